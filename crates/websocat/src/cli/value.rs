//! Values with units, one type each: durations and sizes.
//!
//! A duration is a number with ns, us, ms, s, m, h or d; a bare number counts seconds; `inf` is for ever, 0 is off or at
//! once, whichever the option says. A size is a number of bytes with k, m or g (1024 each).

use std::{fmt, str::FromStr, time};

/// A span of time, possibly endless.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Duration(Option<time::Duration>, bool);

impl Duration {
    pub const INFINITE: Self = Self(None, true);

    /// None: no limit.
    pub fn finite(self) -> Option<time::Duration> {
        if self.1 { None } else { Some(self.0.unwrap_or_default()) }
    }

    /// For option maps: whole milliseconds, rounded up so that a short time does not become none; -1 for `inf`.
    pub fn as_millis(self) -> i64 {
        match self.finite() {
            None => -1,
            Some(d) => i64::try_from(d.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX),
        }
    }
}

impl From<time::Duration> for Duration {
    fn from(d: time::Duration) -> Self {
        Self(Some(d), false)
    }
}

/// Units of durations with their nanoseconds, longest name first where one ends in another.
const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9), ("d", 86400e9)];

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "inf" {
            return Ok(Self::INFINITE);
        }
        let (number, unit) = UNITS
            .iter()
            .find_map(|(name, unit)| text.strip_suffix(name).map(|number| (number, *unit)))
            .unwrap_or((text, 1e9));
        // Not everything that f64 parses is a number here: no signs, exponents, NaN or infinity.
        let plain = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        let value: f64 = number.parse().ok().filter(|_| plain).ok_or_else(|| {
            "not a duration; write a number with ns, us, ms, s, m, h or d (seconds without a unit), or inf".to_owned()
        })?;
        let seconds = value * unit / 1e9;
        time::Duration::try_from_secs_f64(seconds)
            .ok()
            // A hundred years: longer ones overflow deadlines and can only be mistakes.
            .filter(|d| d.as_secs() <= 100 * 366 * 86400)
            .map(Self::from)
            .ok_or_else(|| "too long; write inf for no limit".to_owned())
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finite() {
            None => f.write_str("inf"),
            Some(d) if d.subsec_nanos() == 0 => write!(f, "{}s", d.as_secs()),
            Some(d) if d.subsec_nanos() % 1_000_000 == 0 => write!(f, "{}ms", d.as_millis()),
            Some(d) => write!(f, "{}ns", d.as_nanos()),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
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
        let (number, shift) = match text.as_bytes().last() {
            Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
            Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
            Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
            _ => (text, 0),
        };
        let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err("not a size; write a whole number of bytes, or one with k, m or g".to_owned());
        }
        let value: u64 = number.parse().map_err(|_| "too large".to_owned())?;
        // Script numbers are signed.
        value.checked_mul(1 << shift).filter(|n| i64::try_from(*n).is_ok()).map(Self).ok_or_else(|| "too large".into())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [("0", 0), ("2", 2000), ("1.5s", 1500), ("5ms", 5), ("3us", 1), ("1ns", 1), ("2m", 120_000)] {
            assert_eq!(text.parse::<Duration>().unwrap().as_millis(), ms, "{text}");
        }
        assert_eq!("1h".parse::<Duration>().unwrap().as_millis(), 3_600_000);
        assert_eq!("1d".parse::<Duration>().unwrap().as_millis(), 86_400_000);
        assert_eq!("inf".parse::<Duration>().unwrap().finite(), None);
        for bad in ["", "-1", "-1s", "nan", "NaN", "s", "1x", "infinity", "1e3", "+1", "1 s", "1..2", "99999999999"] {
            assert!(bad.parse::<Duration>().is_err(), "{bad}");
        }
        for text in ["inf", "10s", "1500ms", "7ns"] {
            assert_eq!(text.parse::<Duration>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn sizes() {
        for (text, n) in [("0", 0), ("1000", 1000), ("64k", 65536), ("2M", 2 << 20), ("1g", 1 << 30)] {
            assert_eq!(text.parse::<Size>().unwrap(), Size(n));
        }
        for bad in ["", "k", "-1", "1.5k", "1kb", "99999999999999999999", "9999999999g"] {
            assert!(bad.parse::<Size>().is_err(), "{bad}");
        }
        assert!(Size::positive("0").is_err());
    }
}
