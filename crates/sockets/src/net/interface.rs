//! Network interfaces by name: the kernel wants numbers, people know `eth0`.

#[cfg_attr(not(any(target_os = "linux", target_os = "android")), path = "interface/elsewhere.rs")]
#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "interface/linux.rs")]
mod os;

use std::{io, num::NonZeroU32};

/// There is no number for this name.
#[derive(Debug, thiserror::Error)]
#[error("no network interface `{name}`: {source}")]
pub struct NoInterface {
    name: String,
    source: io::Error,
}

/// The number of an interface, given by its number or its name.
pub fn number_of(text: &str) -> Result<NonZeroU32, NoInterface> {
    let failed = |source| NoInterface { name: text.to_owned(), source };
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = if digits { text.parse().map_err(io::Error::other) } else { os::index_of(text) };
    let zero = || failed(io::Error::other("interfaces are numbered from 1 on"));
    NonZeroU32::new(number.map_err(failed)?).ok_or_else(zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_they_are_and_names_looked_up() {
        assert_eq!(number_of("7").unwrap().get(), 7);
        for wrong in ["", "0", "4294967296", "no-such-interface", "much-too-long-for-the-name-of-an-interface"] {
            let e = number_of(wrong).unwrap_err().to_string();
            assert!(e.starts_with(&format!("no network interface `{wrong}`: ")), "{e}");
        }
        if cfg!(target_os = "linux") {
            assert_eq!(number_of("lo").unwrap().get(), 1);
        }
    }
}
