//! What the server answered to an upgrade request: the client's checks of RFC 6455 4.1. Words for refusals are in
//! `refused.rs`.
//!
//! Without I/O. What the server sent appears in messages only through [`shown`].

use super::{HALF_CLOSE, HALF_CLOSE_YES, compression, headers};
use crate::error::shown;
use hyper::{
    Version,
    header::{self, HeaderName},
    http::response,
};
use sockets::overlay::ws::deflate;

/// What the request asked for.
#[derive(Debug, Default)]
pub(super) struct Asked {
    /// Sec-WebSocket-Accept has to be this; None when no key was sent.
    pub accept: Option<String>,
    pub protocols: Vec<Box<[u8]>>,
    /// Value of Sec-WebSocket-Extensions.
    pub extensions: Vec<u8>,
    pub half_close: bool,
    /// Take any 101.
    pub lax: bool,
}

/// What both sides agreed on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Agreed {
    pub subprotocol: Option<Box<str>>,
    pub extensions: Option<Box<str>>,
    /// permessage-deflate is among the extensions.
    pub deflate: Option<deflate::Agreed>,
    pub half_close: bool,
}

/// Judges a reply with status 101; the error says what is wrong with it.
pub(super) fn check(reply: &response::Parts, asked: &Asked) -> Result<Agreed, String> {
    let fields = &reply.headers;
    let mut agreed = Agreed {
        subprotocol: headers::joined(fields, &header::SEC_WEBSOCKET_PROTOCOL),
        extensions: compression::shown_extensions(fields),
        deflate: None,
        half_close: asked.half_close && fields.get(HALF_CLOSE).is_some_and(|v| v == HALF_CLOSE_YES),
    };
    if asked.lax {
        // Any answer is taken; one that cannot be understood just compresses nothing.
        agreed.deflate = compression::judge(&asked.extensions, fields).unwrap_or_default();
        return Ok(agreed);
    }
    let one = |name: &HeaderName| headers::single(fields, name).map_err(|()| format!("it has more than one {name}"));

    //= 6455-4.1-42
    if reply.version < Version::HTTP_11 {
        return Err(format!("it is {:?}, but HTTP/1.1 is needed", reply.version));
    }
    //= 6455-4.1-37
    match one(&header::UPGRADE)? {
        Some(value) if value.eq_ignore_ascii_case(b"websocket") => {}
        Some(value) => return Err(format!("its Upgrade is `{}`, not websocket", shown(value))),
        None => return Err("it has no Upgrade".into()),
    }
    //= 6455-4.1-38
    if !headers::has_token(fields, &header::CONNECTION, "upgrade") {
        return Err("its Connection is not Upgrade".into());
    }
    //= 6455-4.1-39
    //= 6455-11.3.3-1
    if let Some(expected) = &asked.accept {
        match one(&header::SEC_WEBSOCKET_ACCEPT)? {
            Some(value) if value == expected.as_bytes() => {}
            Some(_) => return Err("its Sec-WebSocket-Accept does not fit the key that was sent".into()),
            None => return Err("it has no Sec-WebSocket-Accept".into()),
        }
    }
    agreed.deflate = compression::judge(&asked.extensions, fields)?;
    //= 6455-4.1-41
    //= 6455-11.3.4-2
    if let Some(chosen) = one(&header::SEC_WEBSOCKET_PROTOCOL)?
        && !asked.protocols.iter().any(|p| **p == *chosen)
    {
        return Err(format!("it chose the subprotocol `{}`, which was not asked for", shown(chosen)));
    }
    Ok(agreed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Response;

    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    fn asked() -> Asked {
        Asked {
            accept: Some(ACCEPT.into()),
            protocols: vec![(*b"a").into(), (*b"b").into()],
            extensions: b"x-known".to_vec(),
            half_close: true,
            lax: false,
        }
    }

    fn reply(fields: &[(&str, &str)]) -> response::Parts {
        let mut builder = Response::builder().status(101);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    const GOOD: [(&str, &str); 3] =
        [("Upgrade", "WebSocket"), ("Connection", "keep-alive, upgrade"), ("Sec-WebSocket-Accept", ACCEPT)];

    #[test]
    fn good_replies() {
        assert_eq!(check(&reply(&GOOD), &asked()), Ok(Agreed::default()));
        let more = [
            ("sec-websocket-protocol", "b"),
            ("websocat-half-close", "1"),
            ("sec-websocket-extensions", "X-Known; a=1"),
        ];
        let agreed = check(&reply(&[&GOOD[..], &more].concat()), &asked()).unwrap();
        assert_eq!(agreed.subprotocol.as_deref(), Some("b"));
        assert_eq!(agreed.extensions.as_deref(), Some("X-Known; a=1"));
        assert!(agreed.half_close);
        let not_asked = Asked { half_close: false, ..asked() };
        assert!(!check(&reply(&[&GOOD[..], &more].concat()), &not_asked).unwrap().half_close);
    }

    //= 6455-4.1-37 test
    //= 6455-4.1-38 test
    //= 6455-4.1-39 test
    //= 6455-4.1-40 test
    //= 6455-4.1-41 test
    //= 6455-4.1-42 test
    //= 6455-11.3.3-1 test
    //= 6455-11.3.4-2 test
    #[test]
    fn each_bad_reply_is_refused_unless_lax() {
        let cases: &[(&str, &str, &str, &str)] = &[
            // what is replaced in a good reply, by which value ("-": left out), what is added, what the error says
            ("Upgrade", "-", "", "no Upgrade"),
            ("Upgrade", "h2c", "", "`h2c`"),
            ("Upgrade", "websocket", "Upgrade: websocket", "more than one upgrade"),
            ("Connection", "-", "", "Connection"),
            ("Connection", "close", "", "Connection"),
            ("Sec-WebSocket-Accept", "-", "", "no Sec-WebSocket-Accept"),
            ("Sec-WebSocket-Accept", "AAAA", "", "does not fit"),
            ("Sec-WebSocket-Accept", ACCEPT, "Sec-WebSocket-Accept: x", "more than one sec-websocket-accept"),
            ("", "", "Sec-WebSocket-Extensions: x-unknown", "`x-unknown`"),
            ("", "", "Sec-WebSocket-Protocol: c", "`c`"),
            ("", "", "Sec-WebSocket-Protocol: A", "`A`"),
            ("", "", "Sec-WebSocket-Protocol: a, b", "`a, b`"),
        ];
        for (name, value, added, says) in cases {
            let mut fields: Vec<_> = GOOD.iter().filter(|f| f.0 != *name).copied().collect();
            if !name.is_empty() && *value != "-" {
                fields.push((name, value));
            }
            fields.extend(added.split_once(": "));
            let reply = reply(&fields);
            let error = check(&reply, &asked()).expect_err(says);
            assert!(error.contains(says), "{error} / {says}");
            check(&reply, &Asked { lax: true, ..asked() }).unwrap();
        }
        let mut old = reply(&GOOD);
        old.version = Version::HTTP_10;
        assert!(check(&old, &asked()).unwrap_err().contains("HTTP/1.0"));
    }

    #[test]
    fn a_subprotocol_that_was_not_asked_for_is_refused() {
        let reply = reply(&[&GOOD[..], &[("Sec-WebSocket-Protocol", "a")]].concat());
        assert!(check(&reply, &Asked { protocols: vec![], ..asked() }).is_err());
    }
}
