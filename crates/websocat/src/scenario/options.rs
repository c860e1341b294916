//! Option maps of scripts as typed structs: unknown keys and wrong types are errors that name the option.
//!
//! Functions name the structs in their signatures ([`RhOpts`], [`RhFn`]), from where the generated reference has keys
//! and closures.

use super::RhResult;
use rhai::{Dynamic, EvalAltResult, FnPtr, Map, serde::DynamicDeserializer};
use serde::de::{self, DeserializeOwned, DeserializeSeed, IntoDeserializer as _, Visitor};

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
        self.part().map_err(Into::into)
    }

    fn part<T: DeserializeOwned>(&mut self) -> Result<T, String> {
        let mut at = Place::default();
        let taken = T::deserialize(Part { options: &self.0, at: &mut at });
        for key in at.known {
            self.0.remove(*key);
        }
        taken.map_err(|e| {
            // What serde says comes as a syntax error, which it is not.
            let said = e.to_string();
            let said = said.strip_prefix("Syntax error: ").unwrap_or(&said);
            match (at.key, said.strip_prefix("missing field ")) {
                (_, Some(missing)) => format!("option {missing} is missing"),
                (Some(key), None) => format!("option `{key}`: {}", in_words(said)),
                (None, None) => said.into(),
            }
        })
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
        let value = reader.part().map_err(|e| match reader.0.keys().next() {
            // A misspelt name is the likely reason for one that is missing.
            Some(key) => format!("{e}; unknown option `{key}`"),
            None => e,
        })?;
        reader.finish()?;
        Ok(value)
    }
}

/// What serde says of a value that does not fit, in words for who writes scripts.
fn in_words(said: &str) -> String {
    let types = said.strip_prefix("Output type incorrect: ").and_then(|types| types.strip_suffix(')'));
    if let Some((is, wanted)) = types.and_then(|types| types.split_once(" (expecting ")) {
        return format!("must be {}, not {}", kind(wanted), kind(is));
    }
    match said.strip_prefix("invalid value: integer ").and_then(|said| said.split_once(", expected ")) {
        Some((is, wanted)) => format!("must be {}, not {}", kind(wanted), is.trim_matches('`')),
        None => said.to_owned(),
    }
}

/// A type of Rust as scripts know it.
fn kind(name: &str) -> &str {
    match name.rsplit("::").next().unwrap_or(name) {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" => "true or false",
        "string" | "str" | "String" => "a text",
        "SocketAddr" => "an address in a text (\"IP:PORT\")",
        "array" => "an array",
        "map" => "a map",
        "()" => "nothing",
        other => other,
    }
}

/// How far a struct was read, for errors.
#[derive(Default)]
struct Place {
    /// The fields of the struct.
    known: &'static [&'static str],
    /// The option that is being read.
    key: Option<&'static str>,
}

/// Those options of a map that a struct knows. Listeners read some for each connection: nothing is copied.
struct Part<'a> {
    options: &'a Map,
    at: &'a mut Place,
}

impl<'de> de::Deserializer<'de> for Part<'de> {
    type Error = Box<EvalAltResult>;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
        Err(de::Error::custom("not a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.at.known = fields;
        visitor.visit_map(Entries { options: self.options, fields: fields.iter(), at: self.at })
    }

    serde::forward_to_deserialize_any! { bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf
    option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any }
}

struct Entries<'a> {
    options: &'a Map,
    fields: std::slice::Iter<'static, &'static str>,
    at: &'a mut Place,
}

impl<'a> de::MapAccess<'a> for Entries<'a> {
    type Error = Box<EvalAltResult>;

    fn next_key_seed<K: DeserializeSeed<'a>>(&mut self, seed: K) -> Result<Option<K::Value>, Self::Error> {
        self.at.key = self.fields.find(|field| self.options.contains_key(**field)).copied();
        self.at.key.map(|key| seed.deserialize(key.into_deserializer())).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Self::Error> {
        match self.at.key.and_then(|key| self.options.get(key)) {
            Some(value) => seed.deserialize(DynamicDeserializer::new(value)),
            None => Err(de::Error::custom("no value")), // not reached: a key was found before
        }
    }
}

/// Field names of a struct, asked from its own `Deserialize` impl.
pub fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    let mut at = Place::default();
    // Whether it can be made of nothing does not matter here.
    let _ = T::deserialize(Part { options: &Map::new(), at: &mut at });
    at.known
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    #[derive(Debug, serde::Deserialize)]
    #[allow(dead_code)]
    struct Opts {
        addr: SocketAddr,
        #[serde(default)]
        count: Option<u64>,
        #[serde(default)]
        flag: bool,
        #[serde(default)]
        name: String,
    }

    #[test]
    fn what_does_not_fit_is_said_in_words() {
        for (map, says) in [
            ("#{adr: 1}", "option `addr` is missing; unknown option `adr`"),
            ("#{}", "option `addr` is missing"),
            ("#{addr: 5}", "option `addr`: must be an address in a text (\"IP:PORT\"), not a whole number"),
            ("#{addr: \"h:1\"}", "option `addr`: invalid socket address syntax"),
            ("#{addr: \"[::1]:1\", count: \"x\"}", "option `count`: must be a whole number from 0, not a text"),
            ("#{addr: \"[::1]:1\", count: -1}", "option `count`: must be a whole number from 0, not -1"),
            ("#{addr: \"[::1]:1\", flag: 1}", "option `flag`: must be true or false, not a whole number"),
            ("#{addr: \"[::1]:1\", name: []}", "option `name`: must be a text, not an array"),
            ("#{addr: \"[::1]:1\", more: 1}", "unknown option `more`"),
        ] {
            let map: Dynamic = rhai::Engine::new().eval(map).unwrap();
            let e = OptsReader::read::<Opts>(map).unwrap_err().to_string();
            assert_eq!(e.strip_prefix("Runtime error: ").unwrap_or(&e), says);
        }
    }
}
