//! Offers and answers of permessage-deflate (RFC 7692 5 and 7.1), for both roles, without I/O.
//!
//! A server takes the first offer that is right and that it can keep, and tells all that it decided; a client takes nothing
//! but what fits one of its offers. Windows of 2^8 bytes are received, but never promised: no zlib can write them.

use crate::overlay::ws::extension::Extension;

/// Name of the extension.
//= 6455-9.1-4
//= 6455-9.2-1
pub const NAME: &str = "permessage-deflate";

const SERVER_NO_CONTEXT_TAKEOVER: &str = "server_no_context_takeover";
const CLIENT_NO_CONTEXT_TAKEOVER: &str = "client_no_context_takeover";
const SERVER_MAX_WINDOW_BITS: &str = "server_max_window_bits";
const CLIENT_MAX_WINDOW_BITS: &str = "client_max_window_bits";

/// Windows without a limit: 32 KiB, all that DEFLATE can use.
pub const MAX_BITS: u8 = 15;
/// The smallest window that can be compressed with.
pub const MIN_BITS: u8 = 9;

/// What both sides agreed on, as far as it binds a compressor, ours or the peer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The server begins each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// Logarithm of the server's window: 8 to 15.
    pub server_max_window_bits: u8,
    /// Logarithm of the client's window: 8 to 15.
    pub client_max_window_bits: u8,
}

/// What we would like, in either role.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Windows may be kept from one message to the next: compresses small messages much better, and each connection owns up
    /// to 64 KiB for it.
    pub context_takeover: bool,
    /// Logarithm of the largest windows wanted, both ways: 9 to 15.
    pub window_bits: u8,
}

impl Default for Wish {
    fn default() -> Self {
        //= 7692-7.3-1
        //= 7692-8-1
        Self { context_takeover: false, window_bits: MAX_BITS }
    }
}

/// Parameters of one offer or answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Parameters {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    /// `Some(None)`: without a value.
    client_max_window_bits: Option<Option<u8>>,
}

impl Parameters {
    /// Reads an element; the error names what is wrong with it.
    fn read<'a>(extension: &'a Extension<'_>) -> Result<Self, &'a str> {
        let mut read = Self::default();
        for (name, value) in &extension.parameters {
            let bits = value.as_deref().map(bits);
            //= 6455-9-4
            //= 6455-9.1-5
            //= 7692-7-1
            //= 7692-7-2
            //= 7692-7-3
            //= 7692-7-5
            //= 7692-7-6
            //= 7692-7-7
            let right = match (*name, bits) {
                (SERVER_NO_CONTEXT_TAKEOVER, None) => !std::mem::replace(&mut read.server_no_context_takeover, true),
                (CLIENT_NO_CONTEXT_TAKEOVER, None) => !std::mem::replace(&mut read.client_no_context_takeover, true),
                (SERVER_MAX_WINDOW_BITS, Some(Some(bits))) => read.server_max_window_bits.replace(bits).is_none(),
                (CLIENT_MAX_WINDOW_BITS, None) => read.client_max_window_bits.replace(None).is_none(),
                (CLIENT_MAX_WINDOW_BITS, Some(Some(bits))) => read.client_max_window_bits.replace(Some(bits)).is_none(),
                _ => false,
            };
            if !right {
                return Err(name);
            }
        }
        Ok(read)
    }

    fn text(&self) -> String {
        let mut text = NAME.to_owned();
        let mut put = |on: bool, name: &str, value: Option<u8>| {
            if on {
                text.push_str("; ");
                text.push_str(name);
                if let Some(value) = value {
                    text.push_str(&format!("={value}"));
                }
            }
        };
        let (server, client) = (self.server_max_window_bits, self.client_max_window_bits);
        put(self.server_no_context_takeover, SERVER_NO_CONTEXT_TAKEOVER, None);
        put(self.client_no_context_takeover, CLIENT_NO_CONTEXT_TAKEOVER, None);
        put(server.is_some(), SERVER_MAX_WINDOW_BITS, server);
        put(client.is_some(), CLIENT_MAX_WINDOW_BITS, client.flatten());
        text
    }
}

/// 8 to 15, decimal, without leading zero.
fn bits(text: &str) -> Option<u8> {
    if !text.bytes().all(|b| b.is_ascii_digit()) || text.starts_with('0') {
        return None;
    }
    text.parse().ok().filter(|bits| (8..=MAX_BITS).contains(bits))
}

/// The client's offer, as it stands in Sec-WebSocket-Extensions.
//= 6455-9-1
pub fn offer(wish: Wish) -> String {
    let limited = wish.window_bits < MAX_BITS;
    //= 7692-5-1
    //= 7692-5-4
    //= 7692-5-5
    //= 7692-7.1.1.1-1
    //= 7692-7.1.1.2-1
    //= 7692-7.1.2.1-1
    //= 7692-7.1.2.1-2
    //= 7692-7.1.2.2-1
    //= 7692-7.1.2.2-2
    Parameters {
        server_no_context_takeover: !wish.context_takeover,
        client_no_context_takeover: !wish.context_takeover,
        server_max_window_bits: limited.then_some(wish.window_bits),
        client_max_window_bits: Some(limited.then_some(wish.window_bits)),
    }
    .text()
}

/// The server's decision on a client's list: the answer and what it means. None: no offer is acceptable.
pub fn accept(offers: &[Extension<'_>], wish: Wish) -> Option<(String, Agreed)> {
    //= 6455-9.1-9
    //= 7692-5-3
    //= 7692-5-14
    //= 6455-4.2.2-14
    //= 6455-9-2
    //= 6455-9-3
    let offers = offers.iter().filter(|e| e.is(NAME));
    let mut good = offers.filter_map(|e| Parameters::read(e).ok());
    //= 7692-5-8
    //= 7692-7-4
    //= 7692-7.1.2.1-3
    let offered = good.find(|offered| offered.server_max_window_bits.is_none_or(|bits| bits >= MIN_BITS))?;
    // A limit is told where the client asked for one, or where there is one.
    let limit = |theirs: Option<u8>| match theirs {
        Some(theirs) => Some(theirs.min(wish.window_bits)),
        None => (wish.window_bits < MAX_BITS).then_some(wish.window_bits),
    };
    //= 7692-5-7
    //= 7692-5-9
    //= 7692-7.1.1.1-2
    //= 7692-7.1.1.1-3
    //= 7692-7.1.1.1-4
    //= 7692-7.1.1.2-2
    //= 7692-7.1.2.1-4
    //= 7692-7.1.2.1-5
    //= 7692-7.1.2.1-6
    //= 7692-7.1.2.2-3
    //= 7692-7.1.2.2-4
    //= 7692-7.1.2.2-5
    let answer = Parameters {
        server_no_context_takeover: offered.server_no_context_takeover || !wish.context_takeover,
        client_no_context_takeover: offered.client_no_context_takeover || !wish.context_takeover,
        server_max_window_bits: limit(offered.server_max_window_bits),
        client_max_window_bits: offered.client_max_window_bits.and_then(limit).map(Some),
    };
    Some((answer.text(), agreed(&answer)))
}

//= 7692-5-6
//= 7692-7.2.2-10
fn agreed(answer: &Parameters) -> Agreed {
    Agreed {
        server_no_context_takeover: answer.server_no_context_takeover,
        client_no_context_takeover: answer.client_no_context_takeover,
        server_max_window_bits: answer.server_max_window_bits.unwrap_or(MAX_BITS),
        client_max_window_bits: answer.client_max_window_bits.flatten().unwrap_or(MAX_BITS),
    }
}

/// The client's judgement of a server's answer; the error says what is wrong with it. None: there is no compression.
pub fn check(offers: &[Extension<'_>], answer: &[Extension<'_>]) -> Result<Option<Agreed>, String> {
    let mut answers = answer.iter().filter(|e| e.is(NAME));
    let Some(answer) = answers.next() else { return Ok(None) };
    //= 7692-5-11
    if answers.next().is_some() {
        return Err(format!("it uses {NAME} twice"));
    }
    let answer = Parameters::read(answer).map_err(|name| format!("its {NAME} has a wrong parameter, {name}"))?;
    if answer.client_max_window_bits == Some(None) {
        return Err(format!("its {NAME} has {CLIENT_MAX_WINDOW_BITS} without a value"));
    }
    let offers = offers.iter().filter(|e| e.is(NAME)).filter_map(|e| Parameters::read(e).ok());
    //= 7692-5-2
    //= 7692-5-15
    //= 7692-7.1.1.2-3
    let mut fitting = offers.filter(|offered| fits(offered, &answer));
    let offered = fitting.next().ok_or_else(|| format!("its {NAME} is not what was asked for"))?;
    let agreed = agreed(&answer);
    //= 7692-7-8
    if agreed.client_max_window_bits < MIN_BITS {
        return Err(format!("its {NAME} limits our window to 2^8 bytes, which is not supported"));
    }
    // What we said that we would do at most, we do at most, though only the answer binds us.
    let own = offered.client_max_window_bits.flatten().unwrap_or(MAX_BITS).max(MIN_BITS);
    Ok(Some(Agreed {
        client_no_context_takeover: agreed.client_no_context_takeover || offered.client_no_context_takeover,
        client_max_window_bits: agreed.client_max_window_bits.min(own),
        ..agreed
    }))
}

/// An answer does what the offer demands, and nothing that it does not allow.
fn fits(offered: &Parameters, answer: &Parameters) -> bool {
    let context = answer.server_no_context_takeover || !offered.server_no_context_takeover;
    let ours = answer.client_max_window_bits.is_none() || offered.client_max_window_bits.is_some();
    let theirs = match (offered.server_max_window_bits, answer.server_max_window_bits) {
        (None, _) => true,
        (Some(most), Some(bits)) => bits <= most,
        (Some(_), None) => false,
    };
    context && ours && theirs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overlay::ws::extension::parse;

    const PLAIN: Wish = Wish { context_takeover: true, window_bits: 15 };
    const SMALL: Wish = Wish { context_takeover: false, window_bits: 15 };
    const TIGHT: Wish = Wish { context_takeover: true, window_bits: 10 };

    fn answer(offers: &str, wish: Wish) -> Option<String> {
        let offers = parse(offers.as_bytes()).unwrap();
        let (text, agreed) = accept(&offers, wish)?;
        // Whatever is answered must be right for whoever offered it.
        let parsed = parse(text.as_bytes()).unwrap();
        match check(&offers, &parsed) {
            Ok(theirs) => {
                let theirs = theirs.unwrap();
                assert!(!agreed.client_no_context_takeover || theirs.client_no_context_takeover);
                assert!(theirs.client_max_window_bits <= agreed.client_max_window_bits.max(MIN_BITS));
                assert_eq!(theirs.server_max_window_bits, agreed.server_max_window_bits);
                assert_eq!(theirs.server_no_context_takeover, agreed.server_no_context_takeover);
            }
            // Only what we read and do not write.
            Err(e) => assert!(e.contains("2^8") && agreed.client_max_window_bits == 8, "{e}"),
        }
        Some(text.strip_prefix(NAME).unwrap().trim_start_matches("; ").to_owned())
    }

    //= 6455-9.1-4 test
    //= 6455-9.2-1 test
    //= 7692-5-1 test
    //= 7692-7.3-1 test
    //= 7692-8-1 test
    //= 7692-5-4 test
    //= 7692-5-5 test
    //= 7692-7.1.1.1-1 test
    //= 7692-7.1.1.2-1 test
    //= 7692-7.1.2.1-1 test
    //= 7692-7.1.2.1-2 test
    //= 7692-7.1.2.2-1 test
    //= 7692-7.1.2.2-2 test
    #[test]
    fn offers_say_what_is_wanted() {
        // By default no message can be guessed from the size of another.
        assert_eq!(Wish::default(), SMALL);
        for (wish, text) in [
            (PLAIN, "permessage-deflate; client_max_window_bits"),
            (
                SMALL,
                "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits",
            ),
            (TIGHT, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10"),
        ] {
            assert_eq!(offer(wish), text);
            assert!(answer(text, wish).is_some());
        }
    }

    //= 7692-5-3 test
    //= 7692-5-6 test
    //= 7692-5-7 test
    //= 7692-5-8 test
    //= 7692-5-9 test
    //= 7692-7.1.1.1-2 test
    //= 7692-7.1.1.1-3 test
    //= 7692-7.1.1.1-4 test
    //= 7692-7.1.1.2-2 test
    //= 7692-7.1.2.1-4 test
    //= 7692-7.1.2.1-5 test
    //= 7692-7.1.2.1-6 test
    //= 7692-7.1.2.2-3 test
    //= 7692-7.1.2.2-4 test
    //= 7692-7.1.2.2-5 test
    #[test]
    fn answers_of_a_server() {
        const NONE: &str = "server_no_context_takeover; client_no_context_takeover";
        for (offers, wish, says) in [
            ("", PLAIN, "-"),
            ("x-other", PLAIN, "-"),
            ("permessage-deflate", PLAIN, ""),
            ("Permessage-Deflate", PLAIN, ""),
            ("permessage-deflate", SMALL, NONE),
            ("permessage-deflate; client_max_window_bits", SMALL, NONE),
            ("permessage-deflate; server_no_context_takeover", PLAIN, "server_no_context_takeover"),
            ("permessage-deflate; client_no_context_takeover", PLAIN, "client_no_context_takeover"),
            ("permessage-deflate; client_max_window_bits", PLAIN, ""),
            ("permessage-deflate; client_max_window_bits=12", PLAIN, "client_max_window_bits=12"),
            ("permessage-deflate; client_max_window_bits=8", PLAIN, "client_max_window_bits=8"),
            ("permessage-deflate; server_max_window_bits=15", PLAIN, "server_max_window_bits=15"),
            ("permessage-deflate; server_max_window_bits=9", PLAIN, "server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=\"9\"", PLAIN, "server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=9", TIGHT, "server_max_window_bits=9"),
            ("permessage-deflate; server_max_window_bits=12", TIGHT, "server_max_window_bits=10"),
            ("permessage-deflate", TIGHT, "server_max_window_bits=10"),
            (
                "permessage-deflate; client_max_window_bits",
                TIGHT,
                "server_max_window_bits=10; client_max_window_bits=10",
            ),
            // The first that can be kept.
            (
                "x, permessage-deflate; x=1, permessage-deflate; server_no_context_takeover, permessage-deflate",
                PLAIN,
                "server_no_context_takeover",
            ),
            ("permessage-deflate; server_max_window_bits=8, permessage-deflate", PLAIN, ""),
        ] {
            assert_eq!(answer(offers, wish).unwrap_or("-".into()), says, "{offers} {wish:?}");
        }
    }

    //= 6455-9.1-5 test
    //= 7692-5-14 test
    //= 7692-7-1 test
    //= 7692-7-2 test
    //= 7692-7-3 test
    //= 7692-7-4 test
    //= 7692-7.1.2.1-3 test
    #[test]
    fn offers_that_are_declined() {
        for parameters in [
            "x",
            "x=1",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=8",
            "server_max_window_bits=16",
            "server_max_window_bits=08",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "server_max_window_bits=x",
            "server_max_window_bits=1000",
            "server_max_window_bits=10; server_max_window_bits=10",
            "client_max_window_bits=7",
            "client_max_window_bits=16",
            "client_max_window_bits=09",
            "client_max_window_bits; client_max_window_bits=10",
            "server_no_context_takeover=1",
            "server_no_context_takeover=true",
            "server_no_context_takeover; server_no_context_takeover",
            "client_no_context_takeover=0",
            "client_no_context_takeover; client_no_context_takeover",
        ] {
            let offer = format!("{NAME}; {parameters}");
            assert_eq!(answer(&offer, PLAIN), None, "{offer}");
            // A later offer is still looked at.
            assert_eq!(answer(&format!("{offer}, {NAME}"), PLAIN).as_deref(), Some(""), "{offer}");
        }
    }

    //= 7692-5-11 test
    //= 7692-5-15 test
    //= 7692-7.2.2-10 test
    //= 7692-7-5 test
    //= 7692-7-6 test
    //= 7692-7-7 test
    //= 7692-7-8 test
    //= 7692-7.1.1.2-3 test
    #[test]
    fn answers_that_a_client_takes_or_not() {
        let judge = |offers: &str, answer: &str| {
            let (offers, answer) = (parse(offers.as_bytes()).unwrap(), parse(answer.as_bytes()).unwrap());
            check(&offers, &answer)
        };
        let full = Agreed {
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: 15,
            client_max_window_bits: 15,
        };
        let plain = "permessage-deflate; client_max_window_bits";
        let good = |offers: &str, answer: &str, agreed: Agreed| {
            assert_eq!(judge(offers, answer), Ok(Some(agreed)), "{offers} / {answer}");
        };
        assert_eq!(judge(plain, ""), Ok(None));
        good(plain, NAME, full);
        good(plain, "permessage-deflate; server_max_window_bits=8", Agreed { server_max_window_bits: 8, ..full });
        good(plain, "permessage-deflate; client_max_window_bits=9", Agreed { client_max_window_bits: 9, ..full });
        let none = Agreed { server_no_context_takeover: true, client_no_context_takeover: true, ..full };
        good(plain, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", none);
        // Our own hints bind ourselves, the answer need not repeat them.
        good(&offer(SMALL), "permessage-deflate; server_no_context_takeover", none);
        let tight = Agreed { server_max_window_bits: 9, client_max_window_bits: 10, ..full };
        good(&offer(TIGHT), "permessage-deflate; server_max_window_bits=9", tight);
        good(&offer(TIGHT), "permessage-deflate; server_max_window_bits=9; client_max_window_bits=12", tight);
        // Of several offers any may be meant.
        good(
            "permessage-deflate; server_max_window_bits=10, permessage-deflate",
            "permessage-deflate; server_max_window_bits=12",
            Agreed { server_max_window_bits: 12, ..full },
        );
        for (offers, answer, says) in [
            ("", NAME, "not what was asked for"),
            (plain, "permessage-deflate, permessage-deflate", "twice"),
            (plain, "permessage-deflate; x=1", "wrong parameter, x"),
            (plain, "permessage-deflate; client_max_window_bits", "without a value"),
            (plain, "permessage-deflate; client_max_window_bits=16", "wrong parameter, client_max_window_bits"),
            (plain, "permessage-deflate; client_max_window_bits=8", "2^8"),
            (plain, "permessage-deflate; server_max_window_bits", "wrong parameter, server_max_window_bits"),
            (plain, "permessage-deflate; server_max_window_bits=010", "wrong parameter"),
            (plain, "permessage-deflate; server_no_context_takeover=1", "wrong parameter"),
            (plain, "permessage-deflate; client_no_context_takeover; client_no_context_takeover", "wrong parameter"),
            (NAME, "permessage-deflate; client_max_window_bits=10", "not what was asked for"),
            ("permessage-deflate; server_no_context_takeover", NAME, "not what was asked for"),
            ("permessage-deflate; server_max_window_bits=10", NAME, "not what was asked for"),
            (
                "permessage-deflate; server_max_window_bits=10",
                "permessage-deflate; server_max_window_bits=11",
                "not what was asked for",
            ),
        ] {
            let error = judge(offers, answer).unwrap_err();
            assert!(error.contains(says), "{offers} / {answer}: {error}");
        }
    }
}
