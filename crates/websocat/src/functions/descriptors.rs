//! Descriptors of sockets, for scripts that hand them to children (`Command::dup2`).
//!
//! A number means something as long as its socket lives; whoever keeps it longer may meet another file there.

use super::http::Http1Client;
use crate::{
    register,
    scenario::{Handle, RhResult, kind_of},
};
use rhai::{Dynamic, Engine};
use sockets::{
    info::SocketInfo,
    socket::{DatagramSocket, StreamSocket},
};
use std::sync::PoisonError;

/// Number of the descriptor at the bottom of a socket of either kind or of an HTTP client; -1 if there is none.
fn get_fd(x: Dynamic) -> RhResult<i64> {
    let x = x.flatten();
    let fd = of::<StreamSocket>(&x, |s| &s.info)
        .or_else(|| of::<DatagramSocket>(&x, |s| &s.info))
        .or_else(|| of::<Http1Client>(&x, Http1Client::info));
    fd.unwrap_or_else(|| Err(format!("get_fd takes a socket or an HTTP client, not {}", kind_of(&x)).into()))
}

fn of<T: Send + 'static>(x: &Dynamic, info: impl FnOnce(&T) -> &SocketInfo) -> Option<RhResult<i64>> {
    let handle = x.read_lock::<Handle<T>>()?;
    let inner = handle.lock().unwrap_or_else(PoisonError::into_inner);
    Some(match &*inner {
        Some(socket) => Ok(info(socket).fd.map_or(-1, i64::from)),
        None => Err("this socket was used up or taken away before".into()),
    })
}

pub(super) fn register(engine: &mut Engine) {
    register!(engine, get_fd);
}

#[cfg(all(test, unix))]
mod tests {
    use crate::functions::testing::{eval_error, run_script};

    #[tokio::test]
    async fn descriptors_of_sockets() {
        let script = r#"listen_tcp(#{addr: "127.0.0.1:0", oneshot: true}, |addr| {
                spawn_task(connect_tcp(#{addr: str(addr)}, |s| dummy_task()));
                dummy_task()
            }, |s, from| {
                note(`${get_fd(s) > 2} ${get_fd(line_chunks(#{}, s)) > 2} `);
                dummy_task()
            })"#;
        assert_eq!(run_script(script).await.unwrap(), "true true ");
        assert_eq!(run_script("note(`${get_fd(stdio_socket())}`); dummy_task()").await.unwrap(), "-1");
        assert_eq!(
            run_script("note(`${get_fd(http1_client(#{}, stdio_socket()))}`); dummy_task()").await.unwrap(),
            "-1"
        );
        assert!(eval_error("get_fd(5)").contains("takes a socket or an HTTP client, not i64"));
        assert!(eval_error("let s = stdio_socket(); drop(s); get_fd(s)").contains("used up"));
    }
}
