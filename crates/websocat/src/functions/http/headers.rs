//! Header fields of handshakes: custom ones from the user, lists of tokens, the accept value.
//!
//! For both roles, without I/O (RFC 6455 4.1 and 4.2). Names and values that HTTP does not allow are refused before
//! anything is sent.

use crate::{error::shown, scenario::RhResult};
use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, GeneralPurposeConfig},
    prelude::BASE64_STANDARD,
};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use rhai::{Blob, Dynamic, Map};
use sha1::{Digest as _, Sha1};
use sockets::random::Randomness;

/// RFC 6455 1.3: appended to the key before it is hashed.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Headers that an answer may have once only.
//= 6455-11.3.2-2
//= 6455-11.3.3-1
//= 6455-11.3.4-2
pub(super) fn check_reply_headers(custom: &HeaderMap) -> Result<(), String> {
    for name in [header::SEC_WEBSOCKET_ACCEPT, header::SEC_WEBSOCKET_EXTENSIONS, header::SEC_WEBSOCKET_PROTOCOL] {
        if custom.get_all(&name).iter().nth(1).is_some() {
            return Err(format!("an answer has `{name}` once at most (RFC 6455 11.3)"));
        }
    }
    Ok(())
}

/// Value of Sec-WebSocket-Accept for a Sec-WebSocket-Key as it came.
//= 6455-4.2.2-7
pub fn accept_value(key: &[u8]) -> String {
    BASE64_STANDARD.encode(Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize())
}

/// A Sec-WebSocket-Key of its own, outside of any scenario.
pub fn fresh_key(seed: Option<u64>) -> std::io::Result<String> {
    Ok(BASE64_STANDARD.encode(Randomness::new(seed)?.websocket_key()))
}

/// The last digit of a key has bits that stand for nothing, which some clients do not clear. They may (RFC 4648 3.5).
const KEY: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// Sec-WebSocket-Key: base64 of exactly 16 bytes (RFC 6455 4.2.1).
pub fn is_key(text: &[u8]) -> bool {
    KEY.decode(text).is_ok_and(|bytes| bytes.len() == 16)
}

/// An HTTP token: what header names are, too.
pub(super) fn is_token(text: &[u8]) -> bool {
    HeaderName::from_bytes(text).is_ok()
}

/// Elements of all fields of that name as one list (RFC 6455 9.1, 11.3.2, 11.3.4), split at commas, without blanks around them and without empty ones.
//= 6455-11.3.4-1
//= 6455-4.2.1-9
pub(super) fn elements<'a>(headers: &'a HeaderMap, name: &'a HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let fields = headers.get_all(name).into_iter();
    fields.flat_map(|value| value.as_bytes().split(|b| *b == b',')).map(<[u8]>::trim_ascii).filter(|e| !e.is_empty())
}

/// A list such as Connection has this token, in any letter case.
pub(super) fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|e| e.eq_ignore_ascii_case(token.as_bytes()))
}

/// The value of a field that may come once at most: `Err` when it comes more often.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a [u8]>, ()> {
    let mut values = headers.get_all(name).iter().map(|v| v.as_bytes().trim_ascii());
    let first = values.next();
    if values.next().is_some() { Err(()) } else { Ok(first) }
}

/// All fields of that name as one.
pub(super) fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<Box<str>> {
    let all: Vec<_> = elements(headers, name).map(String::from_utf8_lossy).collect();
    (!all.is_empty()).then(|| all.join(", ").into())
}

/// Custom headers of a script: a map from name to string, blob, or an array of them for a name that comes several times.
pub(super) fn custom_headers(map: Map) -> RhResult<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in map {
        let bad = |why: String| format!("header `{}`: {why}", shown(name.as_bytes()));
        let field = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad("this is not a header name".into()))?;
        let values = if value.is_array() { value.into_array().unwrap_or_default() } else { vec![value] };
        for value in values {
            let value = header_value(value).map_err(bad)?;
            headers.try_append(field.clone(), value).map_err(|_| bad("too many headers".into()))?;
        }
    }
    Ok(headers)
}

fn header_value(value: Dynamic) -> Result<HeaderValue, String> {
    let kind = value.type_name();
    let bytes = if value.is_string() {
        value.into_string().unwrap_or_default().into_bytes()
    } else {
        value.try_cast::<Blob>().ok_or_else(|| format!("its value must be a string, a blob or an array, not {kind}"))?
    };
    HeaderValue::from_bytes(&bytes).map_err(|_| "its value has a line break or another control character".to_owned())
}

/// Name and value of a custom header as the command line takes it, or why they cannot be sent.
pub fn check_header(name: &str, value: &str) -> Result<(), String> {
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return Err(format!("`{}` is not a header name", shown(name.as_bytes())));
    }
    if HeaderValue::from_bytes(value.as_bytes()).is_err() {
        return Err("the value has a line break or another control character".to_owned());
    }
    Ok(())
}

/// A list of subprotocols as the command line takes it: tokens, none twice (RFC 6455 4.1).
//= 6455-4.1-31
//= 6455-4.1-32
pub fn check_subprotocols(list: &str) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for name in list.split(',').map(|name| name.trim_matches([' ', '\t'])) {
        if !is_token(name.as_bytes()) {
            return Err(format!("`{}` is not a subprotocol name", shown(name.as_bytes())));
        }
        if seen.contains(&name) {
            return Err(format!("`{name}` is listed twice"));
        }
        seen.push(name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    //= 6455-4.2.2-20 test
    #[test]
    fn accept_value_of_the_sample_key() {
        assert_eq!(accept_value(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn fresh_keys_are_keys() {
        let [a, b] = [None, None].map(|seed| fresh_key(seed).unwrap());
        assert!(is_key(a.as_bytes()) && a != b);
        assert_eq!(fresh_key(Some(3)).unwrap(), "J9988AI2rIrAyJ7HDshMRw==");
    }

    #[test]
    fn keys_are_sixteen_bytes() {
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZQ=="));
        assert!(is_key(b"dGhlIHNhbXBsZSBub25jZR=="), "bits that stand for nothing");
        for bad in ["", "x", "AAAA", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZTE="] {
            assert!(!is_key(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn lists_are_joined_and_tokens_compared_without_case() {
        let mut headers = HeaderMap::new();
        headers.append(header::CONNECTION, HeaderValue::from_static("keep-alive , uPgrade"));
        headers.append(header::CONNECTION, HeaderValue::from_static(",te,"));
        assert!(has_token(&headers, &header::CONNECTION, "Upgrade"));
        assert!(has_token(&headers, &header::CONNECTION, "TE"));
        assert!(!has_token(&headers, &header::CONNECTION, "keep"));
        assert_eq!(elements(&headers, &header::CONNECTION).count(), 3);
        assert_eq!(single(&headers, &header::CONNECTION), Err(()));
        assert_eq!(single(&headers, &header::HOST), Ok(None));
    }

    #[test]
    fn scripts_give_strings_blobs_and_arrays() {
        let engine = rhai::Engine::new();
        let map = |text: &str| engine.eval::<Map>(text).unwrap();
        let headers = custom_headers(map(r#"#{"X-A": "1", "x-b": ["2", blob(2, 0xe9)], "X-a": "3"}"#)).unwrap();
        let all: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
        assert_eq!(all.len(), 4);
        assert!(all.contains(&("x-b", b"\xe9\xe9")));
        for bad in [r#"#{"a b": "1"}"#, r#"#{"a": 1}"#, r#"#{"a": "1\r\nb: 2"}"#, r#"#{"": "1"}"#, r#"#{"a": [[]]}"#] {
            let e = custom_headers(map(bad)).err().unwrap();
            assert!(e.to_string().contains("header `"), "{bad}: {e}");
        }
    }

    //= 6455-4.1-31 test
    //= 6455-4.1-32 test
    #[test]
    fn lists_of_subprotocols() {
        for good in ["a", "a,b", "a , b", "v1.example-x"] {
            check_subprotocols(good).unwrap();
        }
        for bad in ["", "a b", "a,,b", "a,a", "a;", "ä", "a\r\n"] {
            assert!(check_subprotocols(bad).is_err(), "{bad:?}");
        }
    }
}
