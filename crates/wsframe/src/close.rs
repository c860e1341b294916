//! Bodies of Close frames (RFC 6455 5.5.1) and the status codes that may stand in them (7.4).
//!
//! Parsing borrows from the frame, writing goes to a buffer of a control frame's size on the caller's stack.

use crate::{Error, MAX_CONTROL_PAYLOAD};

/// What a peer gave as the end's cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseBody<'a> {
    /// Status code, one for which [`may_send`] holds.
    pub code: u16,
    /// Text for logs, at most 123 bytes, may be empty. Not escaped: it can hold line breaks and terminal sequences.
    pub reason: &'a str,
}

/// Reads the body of a Close frame; None when it is empty, which is allowed.
///
/// Errors: a body of one byte, a code that must not be sent, a reason that is not UTF-8, more than 125 bytes.
///
/// ```
/// use wsframe::{CloseBody, Error, parse_close};
/// assert_eq!(parse_close(b"\x03\xe8bye"), Ok(Some(CloseBody { code: 1000, reason: "bye" })));
/// assert_eq!(parse_close(b""), Ok(None));
/// assert_eq!(parse_close(b"\x03"), Err(Error::CloseBody));
/// ```
pub fn parse_close(body: &[u8]) -> Result<Option<CloseBody<'_>>, Error> {
    //= 6455-5.5-1
    if body.len() > MAX_CONTROL_PAYLOAD {
        return Err(Error::ControlTooLong);
    }
    //= 6455-5.5.1-1
    //= 6455-5.5.1-2
    let Some((code, reason)) = body.split_first_chunk() else {
        return if body.is_empty() { Ok(None) } else { Err(Error::CloseBody) };
    };
    let code = u16::from_be_bytes(*code);
    if !may_send(code) {
        return Err(Error::CloseCode(code));
    }
    //= 6455-5.5.1-3
    //= 6455-8.1-1
    match core::str::from_utf8(reason) {
        Ok(reason) => Ok(Some(CloseBody { code, reason })),
        Err(_) => Err(Error::CloseReasonUtf8),
    }
}

/// Whether an endpoint may put this status code on the wire: 1000 to 1003, 1007 to 1014, 3000 to 4999.
///
/// 1010 is for clients only, which is for the caller to see to.
pub const fn may_send(code: u16) -> bool {
    //= 6455-7.4.1-3
    //= 6455-7.4.1-4
    //= 6455-7.4.1-7
    //= 6455-7.4.2-1
    //= 6455-7.4.2-2
    //= 6455-7.4.2-3
    //= 6455-7.4.2-4
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// A few words for a status code, for messages and logs. Covers every value, those that may not be sent included.
pub const fn close_code_name(code: u16) -> &'static str {
    match code {
        1000 => "normal closure",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "no status received",
        1006 => "abnormal closure",
        1007 => "invalid data",
        1008 => "policy violation",
        1009 => "message too big",
        1010 => "extension required",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        1014 => "bad gateway",
        1015 => "TLS handshake failed",
        3000..=3999 => "registered code",
        4000..=4999 => "private code",
        _ => "reserved code",
    }
}

/// Writes the body of a Close frame to the front of `out`; returns its length.
///
/// A reason of more than 123 bytes is cut, between characters. A code for which [`may_send`] does not hold gives an empty
/// body, so that no such code can leave: 1005 ("no status") means just that.
///
/// ```
/// let mut body = [0; 125];
/// let len = wsframe::write_close(1001, "restarting", &mut body);
/// assert_eq!(&body[..len], b"\x03\xe9restarting");
/// ```
pub fn write_close(code: u16, reason: &str, out: &mut [u8; MAX_CONTROL_PAYLOAD]) -> usize {
    if !may_send(code) {
        return 0;
    }
    let Some((head, room)) = out.split_first_chunk_mut() else { return 0 };
    *head = code.to_be_bytes();
    //= 6455-5.5-1
    //= 6455-8.1-1
    let mut end = reason.len().min(room.len());
    while !reason.is_char_boundary(end) {
        end -= 1; // stops at 0, which is a boundary
    }
    for (to, from) in room.iter_mut().zip(reason.as_bytes().iter().take(end)) {
        *to = *from;
    }
    head.len() + end
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{format, vec::Vec};

    //= 6455-5.5.1-1 test
    //= 6455-5.5.1-2 test
    //= 6455-5.5.1-3 test
    //= 6455-8.1-1 test
    #[test]
    fn bodies_of_close_frames() {
        type Parsed = Result<Option<(u16, &'static str)>, Error>;
        let cases: [(&[u8], Parsed); 12] = [
            (&[], Ok(None)),
            (&[3], Err(Error::CloseBody)),
            (&[0xff], Err(Error::CloseBody)),
            (&[3, 0xe8], Ok(Some((1000, "")))),
            (&[3, 0xe9, b'b', b'y', b'e'], Ok(Some((1001, "bye")))),
            (&[3, 0xe8, 0], Ok(Some((1000, "\0")))),
            (&[3, 0xf3, 0xe2, 0x82, 0xac], Ok(Some((1011, "€")))),
            (&[0x13, 0x87], Ok(Some((4999, "")))),
            (&[3, 0xed], Err(Error::CloseCode(1005))),
            (&[3, 0xe8, 0xff], Err(Error::CloseReasonUtf8)),
            (&[3, 0xe8, 0xe2, 0x82], Err(Error::CloseReasonUtf8)),
            (&[3, 0xe8, 0xed, 0xa0, 0x80], Err(Error::CloseReasonUtf8)),
        ];
        for (body, expected) in cases {
            assert_eq!(parse_close(body).map(|b| b.map(|b| (b.code, b.reason))), expected, "{body:?}");
        }
    }

    //= 6455-5.5-1 test
    #[test]
    fn the_longest_body_is_125_bytes() {
        let mut body = [b'x'; 126];
        body[..2].copy_from_slice(&[3, 0xe8]);
        assert_eq!(parse_close(&body[..125]).unwrap().unwrap().reason.len(), 123);
        assert_eq!(parse_close(&body), Err(Error::ControlTooLong));
    }

    //= 6455-7.4.1-3 test
    //= 6455-7.4.1-4 test
    //= 6455-7.4.1-7 test
    //= 6455-7.4.2-1 test
    //= 6455-7.4.2-2 test
    //= 6455-7.4.2-3 test
    //= 6455-7.4.2-4 test
    #[test]
    fn each_code_in_both_directions() {
        let allowed =
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014].into_iter().chain(3000..=4999);
        let allowed: Vec<u16> = allowed.collect();
        for code in 0..=u16::MAX {
            let ok = allowed.binary_search(&code).is_ok();
            assert_eq!(may_send(code), ok, "{code}");
            let expected = if ok { Ok(Some(CloseBody { code, reason: "" })) } else { Err(Error::CloseCode(code)) };
            assert_eq!(parse_close(&code.to_be_bytes()), expected);
            let mut out = [0; 125];
            assert_eq!(write_close(code, "x", &mut out), if ok { 3 } else { 0 });
            if ok {
                assert_eq!(out[..3], [(code >> 8) as u8, code as u8, b'x']);
            }
        }
    }

    #[test]
    fn names_tell_reserved_codes_apart() {
        let reserved: Vec<u16> = (0..=u16::MAX).filter(|c| close_code_name(*c) == "reserved code").collect();
        let expected = (0..1000).chain([1004]).chain(1016..3000).chain(5000..=u16::MAX);
        assert!(reserved.iter().copied().eq(expected));
        assert_eq!(close_code_name(1000), "normal closure");
        assert_eq!(close_code_name(3999), "registered code");
        assert_eq!(close_code_name(4000), "private code");
    }

    //= 6455-5.5-1 test
    //= 6455-8.1-1 test
    #[test]
    fn long_reasons_are_cut_between_characters() {
        for wide in ["x", "é", "€", "𝄞"] {
            for lead in 0..5 {
                let reason = format!("{}{}", "a".repeat(lead), wide.repeat(130));
                let mut out = [0; 125];
                let len = write_close(1000, &reason, &mut out);
                let got = parse_close(&out[..len]).unwrap().unwrap().reason;
                assert!(reason.starts_with(got));
                assert!(got.len() <= 123 && got.len() + wide.len() > 123, "{wide} {lead} {}", got.len());
            }
        }
        let exact = "y".repeat(123);
        let mut out = [0; 125];
        assert_eq!(write_close(1000, &exact, &mut out), 125);
        assert_eq!(parse_close(&out), Ok(Some(CloseBody { code: 1000, reason: &exact })));
        assert_eq!(write_close(1000, "", &mut out), 2);
    }
}
