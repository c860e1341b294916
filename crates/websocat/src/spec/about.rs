//! What `--explain` needs to know to put an endpoint or overlay into words.

use crate::cli::{Args, value::Duration};

/// The command line around the thing that is explained.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub args: &'a Args,
    /// A listener takes one connection only.
    pub one_connection: bool,
    /// The other side may be a person at a prompt.
    pub console: bool,
}

/// A number of bytes as people say it.
pub fn bytes_in_words(n: u64) -> String {
    match n {
        1 => "1 byte".to_owned(),
        n if n > 0 && n % (1 << 30) == 0 => format!("{} GiB", n >> 30),
        n if n > 0 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n > 0 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} bytes"),
    }
}

/// Milliseconds as people say them.
pub fn time_in_words(ms: u64) -> String {
    match ms {
        60_000 => "a minute".to_owned(),
        1000 => "a second".to_owned(),
        ms if ms > 60_000 && ms % 60_000 == 0 => format!("{} minutes", ms / 60_000),
        ms if ms > 0 && ms % 1000 == 0 => format!("{} seconds", ms / 1000),
        ms => Duration(std::time::Duration::from_millis(ms)).to_string(),
    }
}

/// The same for a duration that is not without end.
pub fn duration_in_words(time: Duration) -> String {
    time.millis().map_or_else(|| "any time".to_owned(), time_in_words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_said_in_the_largest_unit_that_fits() {
        let said = [0, 1, 1000, 1024, 1 << 20, 3 << 30].map(bytes_in_words);
        assert_eq!(said, ["0 bytes", "1 byte", "1000 bytes", "1 KiB", "1 MiB", "3 GiB"]);
        let said = [1, 1000, 1500, 30_000, 60_000, 90_000, 120_000].map(time_in_words);
        assert_eq!(said, ["1ms", "a second", "1.5s", "30 seconds", "a minute", "90 seconds", "2 minutes"]);
    }
}
