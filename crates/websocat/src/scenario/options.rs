//! Option maps of scripts as typed structs: unknown keys and wrong types are errors that name the option.
//!
//! Functions name the structs in their signatures ([`RhOpts`], [`RhFn`]), from where the generated reference has keys
//! and closures.

use super::RhResult;
use rhai::{Dynamic, FnPtr, Map};
use serde::de::{self, DeserializeOwned, Visitor};

/// Type-level wrapper, so that signatures name option structs and arguments for readers and for the documentation.
pub trait Named {
    type Value;
    type Function;
}
impl<T> Named for T {
    type Value = Dynamic;
    type Function = FnPtr;
}
/// `Dynamic` at run time; the parameter names the option struct, or a tuple of them.
pub type RhOpts<T> = <T as Named>::Value;

/// `FnPtr` at run time; the parameter names the function pointer's arguments as a tuple, and its result where that is not a
/// task: `RhFn<(Handle<StreamSocket>, SocketAddr)>`.
pub type RhFn<A> = <A as Named>::Function;

/// Takes an option map apart, struct by struct.
pub struct OptsReader(Map);

impl OptsReader {
    pub fn new(options: Dynamic) -> RhResult<Self> {
        let kind = options.type_name();
        options.try_cast::<Map>().map(Self).ok_or_else(|| format!("options must be a map, not {kind}").into())
    }

    /// Takes the keys that `T` knows and turns them into a `T`.
    pub fn take<T: DeserializeOwned>(&mut self) -> RhResult<T> {
        let mut part = Map::new();
        for key in fields_of::<T>() {
            if let Some(value) = self.0.remove(*key) {
                // One by one first, so that the error can name the option.
                let mut probe = Map::new();
                probe.insert((*key).into(), value.clone());
                part.insert((*key).into(), value);
                if let Err(e) = rhai::serde::from_dynamic::<T>(&Dynamic::from_map(probe)) {
                    let text = e.to_string();
                    if !text.contains("missing field") {
                        return Err(format!("option `{key}`: {text}").into());
                    }
                }
            }
        }
        rhai::serde::from_dynamic(&Dynamic::from_map(part))
    }

    /// All keys must have been taken.
    pub fn finish(self) -> RhResult<()> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(key) => Err(format!("unknown option `{key}`").into()),
        }
    }

    /// For functions with one option struct.
    pub fn read<T: DeserializeOwned>(options: Dynamic) -> RhResult<T> {
        let mut reader = Self::new(options)?;
        let value = reader.take()?;
        reader.finish()?;
        Ok(value)
    }
}

/// Field names of a struct, asked from its own `Deserialize` impl.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Probe<'a>(&'a mut &'static [&'static str]);
    impl<'de> de::Deserializer<'de> for Probe<'_> {
        type Error = de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(de::Error::custom("not a struct"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            *self.0 = fields;
            Err(de::Error::custom("probed"))
        }
        serde::forward_to_deserialize_any! { bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any }
    }
    let mut fields: &'static [&'static str] = &[];
    // The error is how the probe stops; the fields are what it was for.
    let _ = T::deserialize(Probe(&mut fields));
    fields
}
