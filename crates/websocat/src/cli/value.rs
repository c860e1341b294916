//! Values that many options share: durations and sizes with units.
//!
//! Their texts are parsed and printed here and nowhere else; scripts get plain integers (milliseconds, bytes). A number
//! that is negative or too large is an error.

use std::{fmt, str::FromStr, time};

/// DURATION: a number with ns, us, ms, s, m, h or d (bare: seconds), or `inf`. 0 means off or at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(pub time::Duration);

impl Duration {
    /// No limit; typed as `inf`.
    pub const INFINITE: Self = Self(time::Duration::MAX);

    /// So many seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(time::Duration::from_secs(secs))
    }

    /// Whole milliseconds for a script, at least one for what is not zero; None for `inf`.
    pub fn millis(self) -> Option<u64> {
        if self == Self::INFINITE {
            return None;
        }
        let up = self.0.as_nanos().div_ceil(1_000_000);
        // Scripts count in i64.
        Some(u64::try_from(up).unwrap_or(u64::MAX).min(i64::MAX as u64))
    }

    /// None: no limit.
    pub fn finite(self) -> Option<time::Duration> {
        (self != Self::INFINITE).then_some(self.0)
    }

    /// As a time limit: neither `inf` nor 0 limits anything.
    pub fn limit_millis(self) -> Option<u64> {
        self.millis().filter(|ms| *ms > 0)
    }
}

/// Units with their nanoseconds, longest first where one is the end of another.
const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86400e9)];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "inf" {
            return Ok(Self::INFINITE);
        }
        let bad = || format!("`{text}` is not a duration; write a number with ns, us, ms, s, m, h or d, or inf");
        let unit = UNITS.iter().find(|(name, _)| text.ends_with(name));
        let (number, scale) = match unit {
            Some((name, scale)) => (&text[..text.len() - name.len()], *scale),
            None => (text, 1e9),
        };
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(bad());
        }
        let number: f64 = number.parse().map_err(|_| bad())?;
        time::Duration::try_from_secs_f64(number * scale / 1e9).map(Self).map_err(|_| bad())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::INFINITE => f.write_str("inf"),
            Self(d) => write!(f, "{d:?}"),
        }
    }
}

/// SIZE in bytes: a number, or one with k, m or g (powers of 1024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl Size {
    /// Parser of options for which zero makes no sense.
    pub fn positive(text: &str) -> Result<Self, String> {
        text.parse().and_then(|size: Self| if size.0 > 0 { Ok(size) } else { Err("must be at least 1".to_owned()) })
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, shift) = match text.bytes().last().map(|b| b.to_ascii_lowercase()) {
            Some(b'k') => (&text[..text.len() - 1], 10),
            Some(b'm') => (&text[..text.len() - 1], 20),
            Some(b'g') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let bytes = number.parse::<u64>().ok().filter(|_| digits).and_then(|n| n.checked_mul(1 << shift));
        // Script numbers are signed.
        let bytes = bytes.filter(|n| i64::try_from(*n).is_ok());
        bytes.map(Self).ok_or_else(|| format!("`{text}` is not a size; write a number, if you like with k, m or g"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0"),
            n if n % (1 << 30) == 0 => write!(f, "{}g", n >> 30),
            n if n % (1 << 20) == 0 => write!(f, "{}m", n >> 20),
            n if n % (1 << 10) == 0 => write!(f, "{}k", n >> 10),
            n => write!(f, "{n}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("30", Some(30_000)),
            ("0", Some(0)),
            ("1.5s", Some(1500)),
            ("20ms", Some(20)),
            ("1ns", Some(1)),
            ("2m", Some(120_000)),
            ("1h", Some(3_600_000)),
            ("1d", Some(86_400_000)),
            ("inf", None),
        ] {
            assert_eq!(text.parse::<Duration>().unwrap().millis(), ms, "{text}");
        }
        for text in ["", "-1", "NaN", "nan", "1e3", "s", "1 s", "1x", "+1", "1e999", ".", "99999999999999999999999"] {
            assert!(text.parse::<Duration>().unwrap_err().contains("is not a duration"), "{text}");
        }
        for text in ["30s", "20ms", "inf", "1.5s"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes() {
        for (text, bytes) in [("0", 0), ("10", 10), ("64k", 65536), ("1M", 1 << 20), ("2g", 2 << 30)] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(bytes));
        }
        for text in ["", "k", "-1", "1.5k", "99999999999g", "1kb", "+1"] {
            assert!(text.parse::<Size>().unwrap_err().contains("is not a size"), "{text}");
        }
        assert_eq!(Size(65536).to_string(), "64k");
    }
}
