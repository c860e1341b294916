//! WebSocket options as typed, and what they mean together.

use super::WrapOpts;
use crate::{
    cli::value::{Duration, Size},
    error::{Error, Result},
    spec::{bytes_in_words, time_in_words},
};
use serde::{Deserialize, Serialize};
use sockets::overlay::ws::TextInvalid;

/// WebSocket options as typed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct FramerArgs {
    /// Never send a WebSocket Close frame
    #[arg(long, short = 'n')]
    pub no_close: bool,
    /// Status code of the Close that we send at the end of our data; 1000 when absent
    ///
    /// A code that came from the other side, such as from another WebSocket, is handed on all the same.
    #[arg(long, value_name = "CODE", value_parser = close_code)]
    pub close_status_code: Option<u16>,
    /// Reason beside that code: text of at most 123 bytes
    #[arg(long, value_name = "TEXT", value_parser = close_reason, requires = "close_status_code")]
    pub close_reason: Option<String>,
    /// What happens to text messages that are not UTF-8, in both directions; `fail` when absent
    ///
    /// `fail` ends the connection with status 3. `lossy` puts U+FFFD in the place of what is wrong. `pass` does not look.
    #[arg(long, value_name = "HOW")]
    pub text_invalid: Option<InvalidText>,
    /// Silence of the peer after which it is sent a ping; 0: never
    ///
    /// 30 s when absent, but a client at a prompt sends none. Any data of the peer count as a sign of life.
    #[arg(long, value_name = "DURATION")]
    pub ping_interval: Option<Duration>,
    /// Silence of the peer after which the connection ends, with status 32; 0: never
    ///
    /// 60 s when absent, or twice the interval of the pings if that is longer.
    #[arg(long, value_name = "DURATION")]
    pub ping_timeout: Option<Duration>,
    /// Print the time that each ping took to be answered on standard error
    #[arg(long)]
    pub print_ping_rtts: bool,
    /// Send at most so many pings
    #[arg(long, value_name = "N")]
    pub max_sent_pings: Option<u32>,
    /// Answer at most so many pings; 0: none
    #[arg(long, value_name = "N")]
    pub inhibit_pongs: Option<u32>,
    /// How many pings and pongs a peer may send per second (100 or 100/s); more get Close 1008. 100 when absent, 0: any
    #[arg(long, value_name = "RATE", value_parser = rate)]
    pub max_control_rate: Option<u32>,
    /// Longest frame that is accepted; a longer one gets Close 1009
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub max_ws_frame_length: Option<Size>,
    /// Longest message that is accepted, as it comes and inflated; a longer one gets Close 1009
    #[arg(long, value_name = "SIZE", value_parser = Size::positive)]
    pub max_ws_message_length: Option<Size>,
    /// Accept frames whose masking does not fit the role of their sender
    #[arg(long)]
    pub ws_ignore_invalid_masks: bool,
    /// Accepted for old command lines; messages leave at once, and together only while there are more
    #[arg(long)]
    pub ws_no_flush: bool,
    /// Accepted for old command lines; writes are gathered without a buffer overlay
    #[arg(long)]
    pub ws_no_auto_buffer: bool,
    /// End the writing direction of the connection below, too, when there is nothing more to send
    #[arg(long)]
    pub ws_shutdown_socket_on_eof: bool,
}

/// What a WebSocket does with text that is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum InvalidText {
    Fail,
    Lossy,
    Pass,
}

impl From<InvalidText> for TextInvalid {
    fn from(how: InvalidText) -> Self {
        match how {
            InvalidText::Fail => Self::Fail,
            InvalidText::Lossy => Self::Lossy,
            InvalidText::Pass => Self::Pass,
        }
    }
}

fn close_code(text: &str) -> Result<u16, String> {
    let code = text.parse().ok().filter(|code| wsframe::may_send(*code));
    code.ok_or_else(|| {
        "must be a code that may be sent: 1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 7.4)".into()
    })
}

pub(super) fn close_reason(text: &str) -> Result<String, String> {
    match text.len() {
        0..=MAX_REASON => Ok(text.to_owned()),
        n => Err(format!("has {n} bytes, but a Close frame carries at most {MAX_REASON}")),
    }
}

fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/s").unwrap_or(text);
    number.parse().map_err(|_| "must be a number per second, such as 100 or 100/s".into())
}

/// Bytes of a Close frame behind the status code.
const MAX_REASON: usize = wsframe::MAX_CONTROL_PAYLOAD - 2;
/// Status code for an end in order (RFC 6455 7.4.1).
const NORMAL_CLOSE: u16 = 1000;
/// The server did not agree on an extension that the client needs (RFC 6455 7.4.1).
const EXTENSION_REQUIRED: u16 = 1010;
/// Often enough for every usual proxy (60 s) and NAT, seldom enough to disturb nobody.
const PING_INTERVAL_MS: u64 = 30_000;
/// Two pings, of which one may get lost.
const PING_TIMEOUT_MS: u64 = 60_000;
/// More than peers with a purpose send, few enough to be cheap.
const CONTROL_RATE: u32 = 100;

impl FramerArgs {
    /// Options of `ws_wrap`. `complete`: what was not typed is as it is right, not as Websocat 4 has it. `console`: the other
    /// side may be a person at a prompt.
    pub(super) fn options(&self, client: bool, complete: bool, console: bool) -> Result<WrapOpts> {
        if self.close_status_code == Some(EXTENSION_REQUIRED) && !client {
            return Err(Error::usage("--close-status-code 1010 is for clients only (RFC 6455 7.4.1)"));
        }
        let (ping_interval_ms, ping_timeout_ms) = self.keepalive(complete);
        let wants_pings = self.ping_interval.is_some() || self.ping_timeout.is_some() || self.print_ping_rtts;
        Ok(WrapOpts {
            client,
            ignore_masks: self.ws_ignore_invalid_masks,
            no_flush_after_each_message: self.ws_no_flush,
            no_close_frame: self.no_close,
            shutdown_socket_on_eof: self.ws_shutdown_socket_on_eof,
            no_auto_buffer_wrap: self.ws_no_auto_buffer,
            max_ping_replies: self.inhibit_pongs.map(|n| n as usize),
            answer_close: complete,
            close_code: self.close_status_code.or(complete.then_some(NORMAL_CLOSE)),
            close_reason: self.close_reason.clone(),
            require_close: complete,
            text_invalid: self
                .text_invalid
                .or(complete.then_some(InvalidText::Fail))
                .filter(|how| *how != InvalidText::Pass),
            own_control: complete,
            ping_interval_ms,
            ping_timeout_ms,
            no_pings_at_prompt: complete && client && console && !wants_pings,
            max_sent_pings: self.max_sent_pings,
            print_ping_rtts: self.print_ping_rtts,
            max_control_rate: self.max_control_rate.or(complete.then_some(CONTROL_RATE)).filter(|n| *n > 0),
            max_frame_length: self.max_ws_frame_length.map(|size| size.0),
            max_message_length: self.max_ws_message_length.map(|size| size.0),
            ..WrapOpts::default()
        })
    }

    /// In words, for `--explain`; arguments as for `options`.
    pub(super) fn explain(&self, client: bool, complete: bool, console: bool) -> String {
        let role = if client { "client" } else { "server" };
        let mut text = format!("Speaks WebSocket as a {role}");
        // What is wrong with the options is said when they are used.
        let options = self.options(client, complete, console).unwrap_or_default();
        let unless = if options.no_pings_at_prompt { ", unless somebody types here" } else { "" };
        let most = options.max_sent_pings.map(|n| format!(", {n} times at most")).unwrap_or_default();
        match (options.ping_interval_ms.map(time_in_words), options.ping_timeout_ms.map(time_in_words)) {
            (Some(interval), None) => {
                text.push_str(&format!(". Sends a ping after {interval} of silence{most}{unless}"))
            }
            (None, Some(timeout)) => text.push_str(&format!(". Gives up after {timeout} of silence{unless}")),
            (Some(interval), Some(timeout)) => text.push_str(&format!(
                ". Sends a ping after {interval} of silence{most} and gives up after {timeout} of it{unless}"
            )),
            (None, None) => {}
        }
        if let Some(n) = options.max_control_rate {
            text.push_str(&format!(". Takes at most {n} pings and pongs a second"));
        }
        match options.max_ping_replies {
            Some(0) => text.push_str(". Answers no pings"),
            Some(n) => text.push_str(&format!(". Answers {n} pings at most")),
            None => {}
        }
        if let Some(n) = options.max_frame_length {
            text.push_str(&format!(". Takes frames of up to {}", bytes_in_words(n)));
        }
        if let Some(n) = options.max_message_length {
            text.push_str(&format!(". Takes messages of up to {}", bytes_in_words(n)));
        }
        match self.text_invalid {
            Some(InvalidText::Lossy) => text.push_str(". Repairs text that is not UTF-8"),
            Some(InvalidText::Pass) => text.push_str(". Does not look whether text is UTF-8"),
            Some(InvalidText::Fail) | None => {}
        }
        if options.no_close_frame {
            text.push_str(". Never sends Close");
        } else if let Some(code) = options.close_code.filter(|code| *code != NORMAL_CLOSE) {
            text.push_str(&format!(". Closes with {code}"));
        }
        text + "."
    }

    /// Milliseconds between pings and until the end.
    /// Pings are sent after silence. `complete`: as for `options`.
    pub fn sends_pings(&self, complete: bool) -> bool {
        self.keepalive(complete).0.is_some() && self.max_sent_pings != Some(0)
    }

    fn keepalive(&self, complete: bool) -> (Option<u64>, Option<u64>) {
        let typed = [self.ping_interval, self.ping_timeout].map(|time| time.map(Duration::limit_millis));
        let (interval, timeout) = match typed {
            [Some(interval), Some(timeout)] => (interval, timeout),
            [None, None] if complete => (Some(PING_INTERVAL_MS), Some(PING_TIMEOUT_MS)),
            [Some(interval), None] if complete => {
                (interval, interval.map(|ms| ms.saturating_mul(2).clamp(PING_TIMEOUT_MS, i64::MAX as u64)))
            }
            [None, Some(timeout)] if complete => {
                (timeout.map_or(Some(PING_INTERVAL_MS), |ms| Some((ms / 2).clamp(1, PING_INTERVAL_MS))), timeout)
            }
            [interval, timeout] => (interval.flatten(), timeout.flatten()),
        };
        match (interval, timeout) {
            // No ping could be answered in time: then it counts from the ping.
            (Some(interval), Some(timeout)) if timeout <= interval => {
                (Some(interval), Some(interval.saturating_add(timeout).min(i64::MAX as u64)))
            }
            both => both,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(interval: Option<&str>, timeout: Option<&str>) -> FramerArgs {
        let time = |text: Option<&str>| text.map(|text| text.parse().unwrap());
        FramerArgs { ping_interval: time(interval), ping_timeout: time(timeout), ..FramerArgs::default() }
    }

    #[test]
    fn pings_are_on_by_default_where_nobody_types() {
        let with = |interval, timeout| args(interval, timeout).keepalive(true);
        assert_eq!(with(None, None), (Some(30_000), Some(60_000)));
        assert_eq!(with(Some("0"), None), (None, None));
        assert_eq!(with(None, Some("inf")), (Some(30_000), None));
        assert_eq!(with(Some("5"), None), (Some(5000), Some(60_000)));
        assert_eq!(with(Some("1m"), None), (Some(60_000), Some(120_000)));
        assert_eq!(with(None, Some("10")), (Some(5000), Some(10_000)));
        assert_eq!(with(Some("0"), Some("10")), (None, Some(10_000)));
        assert_eq!(args(None, None).keepalive(false), (None, None));
        assert_eq!(args(Some("1"), None).keepalive(false), (Some(1000), None));
        assert_eq!(with(Some("2s"), Some("2")), (Some(2000), Some(4000)), "counted from the ping");
        assert_eq!(with(Some("2s"), Some("1s")), (Some(2000), Some(3000)));
    }

    #[test]
    fn who_is_at_a_prompt_is_asked_at_run_time() {
        let asks = |args: &FramerArgs, client, complete, console| {
            args.options(client, complete, console).unwrap().no_pings_at_prompt
        };
        let plain = FramerArgs::default();
        assert!(asks(&plain, true, true, true));
        assert!(
            !asks(&plain, false, true, true) && !asks(&plain, true, true, false) && !asks(&plain, true, false, true)
        );
        let wants = FramerArgs { print_ping_rtts: true, ..plain };
        assert!(!asks(&wants, true, true, true) && !asks(&args(Some("1"), None), true, true, true));
    }

    #[test]
    fn servers_do_not_miss_extensions() {
        let args = FramerArgs { close_status_code: Some(1010), ..FramerArgs::default() };
        assert!(args.options(true, true, false).is_ok());
        assert_eq!(args.options(false, true, false).unwrap_err().exit_code(), 2);
    }

    #[test]
    fn codes_reasons_and_rates() {
        assert!(close_code("1000").is_ok() && close_code("4999").is_ok());
        for bad in ["1005", "1006", "1015", "999", "5000", "65536", "-1", "x", ""] {
            assert!(close_code(bad).is_err(), "{bad}");
        }
        assert!(close_reason(&"x".repeat(123)).is_ok() && close_reason("").is_ok());
        assert!(close_reason(&"x".repeat(124)).unwrap_err().contains("at most 123"));
        assert!(close_reason(&"é".repeat(62)).is_err());
        assert_eq!((rate("7"), rate("7/s"), rate("0")), (Ok(7), Ok(7), Ok(0)));
        assert!(rate("-1").is_err() && rate("1/m").is_err() && rate("").is_err());
    }
}
