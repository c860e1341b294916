//! `echo-tungstenite PORT`: sends each message back. One thread, TCP_NODELAY.

use futures_util::{StreamExt, TryStreamExt, future};
use std::io;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Error;

async fn echo(socket: TcpStream) -> Result<(), Error> {
    let (write, read) = tokio_tungstenite::accept_async(socket).await?.split();
    // `forward` flushes when nothing more can be read at once: the batching that favours this library most.
    read.try_filter(|message| future::ready(message.is_text() || message.is_binary())).forward(write).await
}

fn main() -> io::Result<()> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).expect("usage: echo-tungstenite PORT");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::task::spawn_local(async move {
                let _ = echo(socket).await; // a client that goes away is no event here
            });
        }
    })
}
