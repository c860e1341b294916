//! permessage-deflate in handshakes (RFC 7692 5): options of both roles, and the way from header fields to what was agreed.
//!
//! The grammar and the decisions are in `sockets::overlay::ws`; without I/O, like the rest of judging requests and replies.

use super::headers;
use crate::error::shown;
use hyper::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use sockets::overlay::ws::{
    deflate::{
        Agreed,
        negotiation::{self, MAX_BITS, MIN_BITS, Wish},
    },
    extension,
};
use std::ops::RangeInclusive;

/// Options of `ws_upgrade` and `ws_accept` about permessage-deflate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompressOpts {
    /// Offer or accept permessage-deflate; `ws_wrap` then compresses as was agreed.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress: bool,
    /// Let both sides refer back to earlier messages: smaller, but up to 64 KiB of memory per connection. Otherwise a
    /// client asks for, and a server insists on, messages that stand alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub compress_context: bool,
    /// Largest window both ways, as a power of two: 9 to 15, which is also the value when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compress_window_bits: Option<u8>,
}

/// Windows that can be asked for, as powers of two.
pub const WINDOW_BITS: RangeInclusive<i64> = MIN_BITS as i64..=MAX_BITS as i64;

impl CompressOpts {
    /// Options of a script, which may hold any number.
    pub(super) fn check(self) -> Result<Self, String> {
        match self.compress_window_bits {
            Some(bits) if !WINDOW_BITS.contains(&bits.into()) => {
                Err(format!("option `compress_window_bits`: {bits} is not a window; 9 to 15 are"))
            }
            _ => Ok(self),
        }
    }

    fn wish(&self) -> Wish {
        let window_bits = self.compress_window_bits.unwrap_or(MAX_BITS);
        Wish { context_takeover: self.compress_context, window_bits }
    }

    /// Value of Sec-WebSocket-Extensions for a request; None: compression is not wanted.
    pub(super) fn offer(&self) -> Option<String> {
        self.compress.then(|| negotiation::offer(self.wish()))
    }

    /// What a server answers to a request, and what that means. The error says what is wrong with the request.
    //= 6455-4.2.1-10
    //= 6455-4.2.2-15
    //= 6455-9-3
    pub(super) fn answer(&self, request: &HeaderMap) -> Result<Option<(String, Agreed)>, &'static str> {
        let offers = list(request);
        let offers = extension::parse(&offers).map_err(|_| "Sec-WebSocket-Extensions is malformed")?;
        Ok(if self.compress { negotiation::accept(&offers, self.wish()) } else { None })
    }
}

/// All fields of Sec-WebSocket-Extensions as one list.
//= 6455-11.3.2-1
pub(super) fn list(fields: &HeaderMap) -> Vec<u8> {
    let values: Vec<_> = fields.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter().map(|v| v.as_bytes()).collect();
    values.join(&b", "[..])
}

//= 7692-5.1-2
/// Judges the extensions of a reply by those of the request; the error says what is wrong.
pub(super) fn judge(offers: &[u8], reply: &HeaderMap) -> Result<Option<Agreed>, String> {
    let answers = list(reply);
    let answers = extension::parse(&answers).map_err(|e| format!("its {e}"))?;
    // Custom headers of the user may be anything; what cannot be understood was not asked for.
    let offers = extension::parse(offers).unwrap_or_default();
    for answer in &answers {
        //= 6455-4.1-40
        if !offers.iter().any(|offer| offer.is(answer.name)) {
            let name = shown(answer.name.as_bytes());
            return Err(format!("it uses the extension `{name}`, which was not asked for"));
        }
    }
    negotiation::check(&offers, &answers)
}

/// What is remembered of a reply's extensions, as on the wire.
pub(super) fn shown_extensions(reply: &HeaderMap) -> Option<Box<str>> {
    headers::joined(reply, &header::SEC_WEBSOCKET_EXTENSIONS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(values: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for value in values {
            fields.append(header::SEC_WEBSOCKET_EXTENSIONS, value.parse().unwrap());
        }
        fields
    }

    fn wanted() -> CompressOpts {
        CompressOpts { compress: true, ..CompressOpts::default() }
    }

    //= 6455-9.1-1 test
    //= 6455-9.1-3 test
    //= 6455-9.1-9 test
    #[test]
    fn a_server_looks_at_all_fields() {
        let (text, agreed) = wanted()
            .answer(&fields(&["x-one, x-two; a", "permessage-deflate; x", "permessage-deflate"]))
            .unwrap()
            .unwrap();
        assert_eq!(text, "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
        assert!(agreed.server_no_context_takeover && agreed.client_no_context_takeover);
        assert_eq!(wanted().answer(&fields(&[])), Ok(None));
        assert_eq!(wanted().answer(&fields(&["x-one"])), Ok(None));
        assert_eq!(CompressOpts::default().answer(&fields(&["permessage-deflate"])), Ok(None));
        for bad in [";", "a;b=", "a b", "a;b=\"c", ",,x="] {
            for options in [wanted(), CompressOpts::default()] {
                assert_eq!(
                    options.answer(&fields(&["permessage-deflate", bad])),
                    Err("Sec-WebSocket-Extensions is malformed")
                );
            }
        }
        // A value of two fields is cut nowhere.
        assert!(wanted().answer(&fields(&["a;b=\"c", "d\""])).is_err());
    }

    #[test]
    fn windows_and_contexts_as_asked_for() {
        let options = CompressOpts { compress: true, compress_context: true, compress_window_bits: Some(10) };
        let offer = options.offer().unwrap();
        assert_eq!(offer, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10");
        let (text, _) = options.clone().check().unwrap().answer(&fields(&[&offer])).unwrap().unwrap();
        assert_eq!(text, offer);
        assert_eq!(CompressOpts::default().offer(), None);
        for bits in [0, 8, 16, 255] {
            let error = CompressOpts { compress_window_bits: Some(bits), ..wanted() }.check().unwrap_err();
            assert!(error.contains("compress_window_bits"), "{error}");
        }
    }

    //= 7692-5-15 test
    //= 7692-5.1-2 test
    #[test]
    fn a_client_takes_what_it_asked_for() {
        let offer = wanted().offer().unwrap();
        let judge = |values: &[&str]| judge(offer.as_bytes(), &fields(values));
        assert_eq!(judge(&[]), Ok(None));
        assert!(judge(&[&offer.replace("; client_max_window_bits", "")]).unwrap().is_some());
        for (values, says) in [
            (&["x-other"][..], "`x-other`, which was not asked for"),
            (&["permessage-deflate;"], "malformed"),
            (&["permessage-deflate"], "not what was asked for"),
            (&["permessage-deflate; server_no_context_takeover", "permessage-deflate"], "twice"),
        ] {
            let error = judge(values).unwrap_err();
            assert!(error.contains(says), "{error}");
        }
        assert!(super::judge(b"", &fields(&["permessage-deflate"])).unwrap_err().contains("not asked for"));
        assert!(super::judge(b"x;", &fields(&["x"])).is_err());
    }
}
