//! The names of inherited descriptors, as service managers hand them over in LISTEN_FDS, LISTEN_FDNAMES and LISTEN_PID.
//!
//! LISTEN_PID is looked at where it is set: a shell that starts a program by hand cannot know it beforehand.

use super::InheritedSocketError;
use std::{env, ffi::OsString};

/// The number of the first one.
const FIRST: i32 = 3;
/// Longest list of names in a message.
const SHOWN: usize = 20;

/// The variables as they are.
#[derive(Clone, Debug, Default)]
pub struct Names {
    pub count: Option<OsString>,
    pub names: Option<OsString>,
    pub pid: Option<OsString>,
}

fn number<T: std::str::FromStr>(variable: &'static str, value: &OsString) -> Result<T, InheritedSocketError> {
    let text = value.to_string_lossy();
    text.parse().map_err(|_| InheritedSocketError::BadVariable { variable, value: text.into_owned() })
}

impl Names {
    pub fn of_environment() -> Self {
        let [count, names, pid] = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID"].map(env::var_os);
        Self { count, names, pid }
    }

    /// The number of the one descriptor with this name; `own`: the number of this process.
    pub fn find(&self, name: &str, own: u32) -> Result<i32, InheritedSocketError> {
        let no = InheritedSocketError::NoVariable;
        let count: u16 = number("LISTEN_FDS", self.count.as_ref().ok_or(no("LISTEN_FDS"))?)?;
        let names = self.names.as_ref().ok_or(no("LISTEN_FDNAMES"))?.to_string_lossy();
        if let Some(pid) = &self.pid {
            let meant = number("LISTEN_PID", pid)?;
            if meant != own {
                return Err(InheritedSocketError::OtherProcess { meant, own });
            }
        }
        let all = || names.split(':').zip(FIRST..).take(count.into());
        let mut found = all().filter(|(n, _)| *n == name).map(|(_, number)| number);
        match (found.next(), found.next()) {
            (Some(number), None) => Ok(number),
            (Some(first), Some(second)) => {
                let numbers: Vec<_> = [first, second].into_iter().chain(found).map(|n| n.to_string()).collect();
                Err(InheritedSocketError::Ambiguous { name: name.to_owned(), numbers: numbers.join(", ") })
            }
            (None, _) => {
                let quoted: Vec<_> = all().take(SHOWN).map(|(name, _)| format!("`{name}`")).collect();
                let names = if quoted.is_empty() { "none".to_owned() } else { quoted.join(", ") };
                Err(InheritedSocketError::UnknownName { name: name.to_owned(), names })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: &str, names: &str, pid: Option<&str>) -> Names {
        Names { count: Some(count.into()), names: Some(names.into()), pid: pid.map(Into::into) }
    }

    #[test]
    fn names_count_from_three_as_far_as_there_are_descriptors() {
        let three = names("3", "a::b:c", Some("7"));
        assert_eq!(three.find("a", 7).unwrap(), 3);
        assert_eq!(three.find("", 7).unwrap(), 4);
        assert_eq!(three.find("b", 7).unwrap(), 5);
        let e = three.find("c", 7).unwrap_err().to_string();
        assert_eq!(e, "no descriptor is called `c`; LISTEN_FDNAMES has `a`, ``, `b`");
        assert_eq!(names("1", "a", None).find("a", 7).unwrap(), 3, "started by hand");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (variables, part) in [
            (names("2", "a:a", None), "called `a`: 3, 4; say which"),
            (names("1", "a", Some("8")), "LISTEN_PID is 8, but this process is 7"),
            (names("1", "a", Some("x")), "LISTEN_PID is `x`, which is no number"),
            (names("-1", "a", None), "LISTEN_FDS is `-1`"),
            (names("99999999999", "a", None), "LISTEN_FDS is `99999999999`"),
            (names("0", "a", None), "LISTEN_FDNAMES has none"),
            (Names { names: None, ..names("1", "", None) }, "LISTEN_FDNAMES is not set"),
            (Names { count: None, ..names("1", "a", None) }, "LISTEN_FDS is not set"),
        ] {
            let e = variables.find("a", 7).unwrap_err().to_string();
            assert!(e.contains(part), "{e}");
        }
    }
}
