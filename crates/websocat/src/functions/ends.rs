//! Addresses of the two ends of a connection.

use super::http::{Http1Client, IncomingRequest};
use crate::{
    register,
    scenario::{Handle, RhResult, kind_of},
};
use rhai::{Dynamic, Engine};
use sockets::{
    info::{Address, SocketInfo},
    socket::{DatagramSocket, StreamSocket},
};
use std::sync::PoisonError;

/// Reads what is known of whatever has a connection. `function` is for messages.
fn known<T>(function: &str, x: Dynamic, read: impl Fn(&SocketInfo) -> T) -> RhResult<T> {
    let x = x.flatten();
    let found = of(&x, |socket: &StreamSocket| read(&socket.info))
        .or_else(|| of(&x, |socket: &DatagramSocket| read(&socket.info)))
        .or_else(|| of(&x, |request: &IncomingRequest| read(request.info())))
        .or_else(|| of(&x, |client: &Http1Client| read(client.info())));
    match found {
        Some(Some(fact)) => Ok(fact),
        Some(None) => Err(format!("{function}: this handle was used up or taken away before").into()),
        None => Err(format!("{function} takes a socket, a request or an HTTP client, not {}", kind_of(&x)).into()),
    }
}

/// None: not of this type; Some(None): nothing in it any more.
fn of<H: Send + 'static, T>(x: &Dynamic, read: impl FnOnce(&H) -> T) -> Option<Option<T>> {
    let h = x.read_lock::<Handle<H>>()?;
    let content = h.lock().unwrap_or_else(PoisonError::into_inner);
    Some(content.as_ref().map(read))
}

fn shown(address: Option<&Address>) -> Dynamic {
    match address {
        Some(Address::Ip(addr)) => Dynamic::from(*addr),
        Some(Address::Named(name)) => name.to_string().into(),
        None => Dynamic::UNIT,
    }
}

/// Address of the other end of a socket's connection, or of the connection that a request came on: a socket address for IP
/// (`get_ip`, `get_port`, `str`), text for whatever else has a name, `()` where nothing is known.
fn peer_addr(x: Dynamic) -> RhResult<Dynamic> {
    known("peer_addr", x, |info| shown(info.peer.as_ref()))
}

/// Address of our own end of a socket's connection, or of the connection that a request came on, as `peer_addr` gives it.
fn local_addr(x: Dynamic) -> RhResult<Dynamic> {
    known("local_addr", x, |info| shown(info.local.as_ref()))
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, peer_addr, local_addr);
}

#[cfg(test)]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn both_ends_know_each_other() {
        let script = r#"listen_tcp(#{addr: "127.0.0.1:0", oneshot: true}, |addr| {
                spawn_task(connect_tcp(#{addr: str(addr)}, |s| exchange_bytes(#{}, s, mock_stream_socket("X|W in|D"))));
                dummy_task()
            }, |s, from| {
                note(`${str(peer_addr(s)) == str(from)} ${get_ip(local_addr(s))} ${str(peer_addr(null_stream_socket()))}`);
                exchange_bytes(#{}, s, mock_stream_socket("R in|X|D"))
            })"#;
        assert_eq!(run_script(script).await.unwrap(), "true 127.0.0.1 ()");
    }

    #[test]
    fn wrong_use() {
        for (script, part) in [
            ("peer_addr(5)", "peer_addr takes a socket, a request or an HTTP client, not i64"),
            ("let s = null_datagram_socket(); drop(s); local_addr(s)", "local_addr: this handle was used up"),
        ] {
            let e = eval_error(script);
            assert!(e.contains(part) && e.contains("line 1"), "{script}: {e}");
        }
    }
}
