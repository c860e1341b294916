//! `--key value` pairs, then `--` and a command line.

use crate::Result;
use std::{collections::HashMap, ffi::OsString, str::FromStr, time::Duration};

pub struct Arguments {
    values: HashMap<String, String>,
    /// What stands after `--`.
    pub command: Vec<OsString>,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = OsString>) -> Result<Self> {
        let mut values = HashMap::new();
        while let Some(word) = words.next() {
            if word == "--" {
                break;
            }
            let key = word.to_str().and_then(|word| word.strip_prefix("--")).ok_or(crate::USAGE)?;
            let value = words.next().and_then(|value| value.into_string().ok()).ok_or(crate::USAGE)?;
            values.insert(key.into(), value);
        }
        Ok(Self { values, command: words.collect() })
    }

    pub fn optional<T: FromStr>(&self, key: &str) -> Result<Option<T>> {
        let parse = |value: &String| value.parse().map_err(|_| format!("--{key}: cannot read {value:?}"));
        Ok(self.values.get(key).map(parse).transpose()?)
    }

    pub fn required<T: FromStr>(&self, key: &str) -> Result<T> {
        Ok(self.optional(key)?.ok_or_else(|| format!("--{key} is missing"))?)
    }

    pub fn or<T: FromStr>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.optional(key)?.unwrap_or(default))
    }

    /// How long a rate is measured, after the warm-up.
    pub fn seconds(&self) -> Result<Duration> {
        Ok(Duration::from_secs_f64(self.or("seconds", 2.0)?))
    }
}
