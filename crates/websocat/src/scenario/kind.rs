//! What a value of a script is called in messages to whoever wrote the script.
//!
//! Functions that take sockets and tasks of several kinds look at their arguments themselves; what they refuse must not be
//! named by the Rust type behind it.

use super::{Handle, TaskHandle};
use rhai::Dynamic;
use sockets::{
    datagram::{BoxDatagramRead, BoxDatagramWrite},
    hangup::Hangup,
    socket::{DatagramSocket, StreamSocket},
    stream::{BoxStreamRead, BoxStreamWrite},
};

/// The name that the documentation of functions has for the type of a value, which is not a shared one.
pub fn kind_of(x: &Dynamic) -> &'static str {
    for (name, is) in [
        ("StreamSocket", x.is::<Handle<StreamSocket>>()),
        ("DatagramSocket", x.is::<Handle<DatagramSocket>>()),
        ("StreamRead", x.is::<Handle<BoxStreamRead>>()),
        ("StreamWrite", x.is::<Handle<BoxStreamWrite>>()),
        ("DatagramRead", x.is::<Handle<BoxDatagramRead>>()),
        ("DatagramWrite", x.is::<Handle<BoxDatagramWrite>>()),
        ("Hangup", x.is::<Handle<Hangup>>()),
        ("Task", x.is::<TaskHandle>()),
    ] {
        if is {
            return name;
        }
    }
    let name = x.type_name();
    // Modules say nothing to users; types with parameters would lose more than their modules.
    if name.contains('<') { name } else { name.rsplit("::").next().unwrap_or(name) }
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::eval_error;

    #[test]
    fn refused_values_have_the_names_of_the_documentation() {
        for (script, part) in [
            ("race([zero_socket()])", "or a hangup, not StreamSocket"),
            ("parallel([dummy_datagram_socket()])", "not DatagramSocket"),
            ("sequential([take_read_part(zero_socket())])", "not StreamRead"),
            ("sequential([make_socket_addr(\"::1\", 5)])", "not SocketAddr"),
            ("take_hangup_part(dummy_task())", "is needed here, not Task"),
            ("shutdown_and_drop(trivial_pkts())", "not DatagramRead"),
            ("is_null(osstr_str(\"x\"))", "not OsString"),
            ("get_fd(pre_triggered_hangup_handle())", "not Hangup"),
            ("watch_peer(#{}, display_pkts(), || dummy_task())", "not DatagramWrite"),
            ("init_in_parallel([dummy_task()], |x| dummy_task())", "not a function but Task"),
            ("tee(#{}, [zero_socket()])", "StreamSocket"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part) && !e.contains("::"), "{script}: {e}");
        }
    }
}
