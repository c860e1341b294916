//! The end of a socket that nothing was exchanged with: its peer is told why, and has some time to answer.
//!
//! For sessions whose other side could not be had after this one was open, such as a backend that refuses behind a
//! WebSocket that was accepted (RFC 6455 7.1.1, 7.4.1).

use super::session::LAST_WRITES;
use crate::{
    datagram::{BoxDatagramRead, BoxDatagramWrite, Flags},
    socket::DatagramSocket,
};
use std::{future::poll_fn, io};
use tokio::time::timeout;

/// Ends `socket` with this status code, of which byte streams see only the end. Takes at most as long as the last writes of
/// an exchange. Drop midway: closes the socket at once.
pub async fn farewell(socket: DatagramSocket, code: u16) {
    let DatagramSocket { read, write, link, .. } = socket;
    // Whoever does not take its end has no use for it, and is not waited for.
    match timeout(LAST_WRITES, say(read, write, code)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "cannot say good-bye"),
        Err(_) => tracing::debug!("the peer does not answer our good-bye"),
    }
    if let Some(link) = link {
        link.discard_unread();
    }
}

async fn say(read: Option<BoxDatagramRead>, write: Option<BoxDatagramWrite>, code: u16) -> io::Result<()> {
    let Some(mut write) = write else { return Ok(()) };
    let mut body = code.to_be_bytes();
    poll_fn(|cx| write.poll_write(cx, &mut body, Flags::EOF)).await?;
    poll_fn(|cx| write.poll_shutdown(cx)).await?;
    let Some(mut read) = read else { return Ok(()) };
    if !write.keeps_borders() || write.end_is_silent() {
        return Ok(()); // nobody answers
    }
    loop {
        let flags = poll_fn(|cx| {
            let next = read.poll_chunk(cx, usize::MAX);
            if next.is_pending() {
                // Pongs that are owed meanwhile. What fails here fails reading as well.
                let _ = write.poll_flush(cx);
            }
            next
        })
        .await?;
        read.consume();
        if flags.any(Flags::EOF) {
            break;
        }
    }
    poll_fn(|cx| write.poll_shutdown(cx)).await?;
    poll_fn(|cx| read.poll_closed(cx)).await;
    poll_fn(|cx| write.poll_shutdown(cx)).await
}
