//! `…-fd:` and `…-fdname:`: sockets that this program was started with, as specifiers and as options of functions.

use crate::{
    error::{Error, Kind, Result},
    scenario::RhResult,
    spec::{Form, OptionMap},
};
use serde::Deserialize;
use sockets::net::inherited_socket::{InheritedSocket, Wanted, Which, take};
use std::ffi::OsStr;

/// Whether a form is one for inherited descriptors, by the end of its name.
pub fn is_inherited(form: &Form) -> bool {
    form.name.ends_with("-fd") || form.name.ends_with("-fdname")
}

/// The value of `…-fd:` or `…-fdname:`.
pub fn parse(form: &'static Form, value: &OsStr) -> Result<Which> {
    let (prefix, shown) = (form.prefixes[0], value.display());
    let text = value.to_str().ok_or_else(|| Error::usage(format!("`{shown}` is not UTF-8")))?;
    if form.name.ends_with("-fdname") {
        return Ok(Which::Name(text.to_owned()));
    }
    let number = Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit())).and_then(|text| text.parse().ok());
    number
        .map(Which::Number)
        .ok_or_else(|| Error::usage(format!("`{shown}` is not a descriptor number; write {prefix}3")))
}

/// The key of the function's options that says which.
pub fn option_map(which: &Which) -> OptionMap {
    match which {
        Which::Number(number) => OptionMap::new().number("fd", Some(number)),
        Which::Name(name) => OptionMap::new().text("named_fd", name),
    }
}

/// As `fields` of an announcement.
pub fn announced(which: &Which) -> String {
    match which {
        Which::Number(number) => format!("fd={number}"),
        Which::Name(name) => format!("fdname={name:?}"),
    }
}

/// Options of functions that can use an inherited descriptor.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct InheritedOpts {
    /// Inherited descriptor instead of an address
    pub fd: Option<i32>,
    /// Inherited descriptor by its name in LISTEN_FDNAMES
    pub named_fd: Option<String>,
    /// Do not check the type of the descriptor
    pub fd_force: bool,
}

impl InheritedOpts {
    /// Which one, if any is given.
    pub fn which(&self) -> RhResult<Option<Which>> {
        match (self.fd, &self.named_fd) {
            (Some(_), Some(_)) => Err("give one of the options `fd` and `named_fd`, not both".into()),
            (Some(fd), None) => Ok(Some(Which::Number(fd))),
            (None, Some(name)) => Ok(Some(Which::Name(name.clone()))),
            (None, None) if self.fd_force => Err("option `fd_force` needs `fd` or `named_fd`".into()),
            (None, None) => Ok(None),
        }
    }
}

/// Takes the socket over, for a listener.
pub fn take_listener(which: &Which, wanted: Wanted, force: bool) -> Result<InheritedSocket> {
    take(which, wanted, force).map_err(|e| Error::with_source(Kind::Listen, e.to_string(), e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoints::TABLE;

    #[test]
    fn numbers_and_names() {
        let forms: Vec<_> = TABLE.iter().flat_map(|(forms, _)| *forms).filter(|form| is_inherited(form)).collect();
        let form = |name: &str| *forms.iter().find(|form| form.name == name).unwrap();
        let number = form("unix-listen-fd");
        assert_eq!(parse(number, "3".as_ref()).unwrap(), Which::Number(3));
        for text in ["", "x", "-1", "+3", "3x", "99999999999"] {
            let e = parse(number, text.as_ref()).unwrap_err().to_string();
            assert!(e.contains("write unix-listen-fd:3"), "{e}");
        }
        for text in ["", "name", "3"] {
            assert_eq!(parse(form("unix-listen-fdname"), text.as_ref()).unwrap(), Which::Name(text.into()));
        }
    }
}
