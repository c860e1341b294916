//! `write-splitoff:` with messages: one socket is read from, another one is written to.
//!
//! A WebSocket that is only written to still has to be read: pings want answers, and its Close or its silence is the end of
//! the whole (RFC 6455 5.5, 7.1). What it says is thrown away. Changes no bytes.

use crate::{
    datagram::{BoxDatagramRead, DatagramRead, Flags},
    hangup::Hangup,
    info::SocketInfo,
    owners::{Half, Owner},
    socket::DatagramSocket,
};
use std::{
    io,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Chunks that are thrown away in one poll before what is to be read has its turn.
const TURN: usize = 64;

/// A socket that is read where `read` is, and written where `write` is, whose reader is kept going.
pub fn split_off(read: DatagramSocket, write: DatagramSocket) -> DatagramSocket {
    let info = Arc::new(SocketInfo::clone(&read.info));
    let of = |socket: &DatagramSocket, half| socket.info.owner(half, socket.link.is_some());
    let owners: [(Half, Owner); 2] = [(Half::Read, of(&read, Half::Read)), (Half::Write, of(&write, Half::Write))];
    for (half, owner) in &owners {
        info.set_owner(*half, owner, true);
    }
    let main = read.read;
    let reader = main.map(|main| match write.read {
        Some(unread) => Box::new(SplitReader::new(main, unread, write.info)),
        None => main,
    });
    let hangup = Hangup::either(read.hangup, write.hangup);
    DatagramSocket { read: reader, write: write.write, hangup, link: read.link.or(write.link), info }
}

/// Something failed in the socket that is only written to.
#[derive(Debug, thiserror::Error)]
#[error("{name}, which is only written to: {error}")]
pub struct WritePartError {
    name: String,
    #[source]
    error: io::Error,
}

/// Reads one socket, and another one only to throw away what comes.
///
/// Pending: neither has anything. EOF: at the end of the first one, or when the peer of the other one has left, with what it
/// said. A half-close of the other one means nothing. Drop midway: drops both readers.
pub struct SplitReader {
    main: BoxDatagramRead,
    /// None when it has ended, or failed.
    unread: Option<BoxDatagramRead>,
    info: Arc<SocketInfo>,
    /// A chunk of `main` is announced.
    announced: bool,
    /// What the other peer said when it left, and whether it did.
    body: Vec<u8>,
    over: bool,
    /// It has ended in order, and is asked when to close the connection below.
    closing: Option<BoxDatagramRead>,
}

impl SplitReader {
    fn new(main: BoxDatagramRead, mut unread: BoxDatagramRead, info: Arc<SocketInfo>) -> Self {
        // Nobody looks at what is thrown away.
        unread.parts_suffice();
        unread.may_merge();
        Self { main, unread: Some(unread), info, announced: false, body: Vec::new(), over: false, closing: None }
    }

    fn poll_unread(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        for _ in 0..TURN {
            let Some(unread) = &mut self.unread else { return Ok(()) };
            match unread.poll_chunk(cx, usize::MAX) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(flags)) if flags.any(Flags::EOF) => {
                    if flags.any(Flags::GONE) {
                        self.over = true;
                        self.body.extend_from_slice(unread.chunk_mut());
                    }
                    self.closing = self.unread.take();
                }
                Poll::Ready(Ok(_)) => unread.consume(),
                Poll::Ready(Err(error)) => {
                    self.unread = None;
                    self.over = true;
                    // How it ended is in its record, if it says all that can be said.
                    if self.info.ending.get().is_none() {
                        let kind = error.kind();
                        return Err(io::Error::new(kind, WritePartError { name: self.info.describe(), error }));
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Ok(())
    }
}

impl DatagramRead for SplitReader {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if !self.announced && !self.over {
            self.poll_unread(cx)?;
        }
        if self.over {
            return Poll::Ready(Ok(Flags::EOF | Flags::GONE));
        }
        let flags = ready!(self.main.poll_chunk(cx, max))?;
        self.announced = true;
        Poll::Ready(Ok(flags))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        match (self.over, self.announced) {
            (true, _) => &mut self.body,
            (false, true) => self.main.chunk_mut(),
            (false, false) => &mut [],
        }
    }

    fn consume(&mut self) {
        if !self.over {
            self.announced = false;
            self.main.consume();
        }
    }

    fn for_each_inner(&mut self, visit: &mut dyn FnMut(&mut dyn DatagramRead)) {
        // The other one is not read either until the sink goes on, and has its own end of the connection below.
        visit(&mut *self.main);
        for read in [&mut self.unread, &mut self.closing].into_iter().flatten() {
            visit(&mut **read);
        }
    }

    fn parts_suffice(&mut self) {
        self.main.parts_suffice();
    }

    fn may_merge(&mut self) {
        self.main.may_merge();
    }

    fn awaits_answer(&mut self) -> bool {
        // Nothing of what the other one says is handed on.
        self.main.awaits_answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        exchange::{ExchangeOptions, ExchangePackets},
        info::Ending,
        overlay::ws::{Role, WsError, WsOptions, ws_wrap},
        stop::Stop,
        testing::{Chunk, Recorder, chunk_source, collect_chunks, drive, messages, pair::pair, schedules},
    };
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn reads(chunks: &[Chunk]) -> DatagramSocket {
        DatagramSocket { read: Some(chunk_source(chunks.to_vec())), ..DatagramSocket::default() }
    }

    #[test]
    fn gives_what_the_one_says_and_nothing_of_the_other() {
        let said = [
            (b"a".to_vec(), Flags::TEXT | Flags::PARTIAL),
            (b"b".to_vec(), Flags::TEXT),
            (vec![1; 40], Flags::NONE),
            (b"\x03\xe8".to_vec(), Flags::EOF),
        ];
        let noise: Vec<Chunk> = (0..200).map(|_| (b"noise".to_vec(), Flags::NONE)).collect();
        for schedule in schedules() {
            let read = schedule.datagram(reads(&said));
            let socket = split_off(read, schedule.datagram(reads(&noise)));
            let got = drive(collect_chunks(&mut *schedule.datagram_read_half(socket.read.unwrap()), 9)).unwrap();
            assert_eq!(messages(&got), messages(&said), "{schedule:?}");
            assert_eq!(got.last().unwrap().0, b"\x03\xe8", "{schedule:?}");
        }
    }

    #[tokio::test]
    async fn the_written_websocket_is_answered_and_its_close_ends_all() {
        let (mut peer, ours, _) = pair(10_000);
        let options = WsOptions {
            role: Role::Server,
            answer_close: true,
            close_code: Some(1000),
            require_close: true,
            own_control: true,
            ..WsOptions::default()
        };
        let info = Arc::new(SocketInfo { specifier: Some("ws://h/".into()), ..SocketInfo::default() });
        let write = ws_wrap(options, crate::socket::StreamSocket { info, ..ours });
        let info = write.info.clone();
        let (silent, _keep, _) = pair(10);
        let right = split_off(crate::overlay::chunks::stream_chunks(silent), write);
        assert_eq!(right.info.owner(Half::Write, false).info.describe(), "ws://h/");
        let (left, _other, _) = pair(10);
        let left = crate::overlay::chunks::stream_chunks(left);
        let session = ExchangePackets::new(left, right, ExchangeOptions::default(), Stop::new());
        let session = tokio::spawn(session);
        let (mut read, mut out) = (peer.read.take().unwrap(), peer.write.take().unwrap());
        out.write_all(b"\x89\x82\0\0\0\0hi").await.unwrap();
        let mut pong = [0; 4];
        read.read_exact(&mut pong).await.unwrap();
        assert_eq!(&pong, b"\x8a\x02hi");
        out.write_all(b"\x88\x82\0\0\0\0\x03\xf3").await.unwrap();
        let mut close = [0; 4];
        read.read_exact(&mut close).await.unwrap();
        assert_eq!(&close, b"\x88\x02\x03\xf3");
        drop((read, out));
        session.await.unwrap().unwrap();
        assert!(matches!(info.ending.get(), Some(Ending::Close { code: Some(1011), .. })));
    }

    #[test]
    fn failures_name_the_socket_that_is_only_written_to() {
        struct Broken(Option<Ending>, Arc<SocketInfo>);
        impl DatagramRead for Broken {
            fn poll_chunk(&mut self, _: &mut Context<'_>, _: usize) -> Poll<io::Result<Flags>> {
                if let Some(ending) = self.0.take() {
                    self.1.ending.set(ending).unwrap();
                }
                Poll::Ready(Err(WsError::Silent.into()))
            }
            fn chunk_mut(&mut self) -> &mut [u8] {
                &mut []
            }
            fn consume(&mut self) {}
            fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}
        }
        let socket = |ending| {
            let info = Arc::new(SocketInfo { specifier: Some("ws://h/".into()), ..SocketInfo::default() });
            let read = Some(Box::new(Broken(ending, info.clone())) as _);
            let write = Some(Recorder::new().datagrams());
            split_off(reads(&[]), DatagramSocket { read, write, info, ..DatagramSocket::default() })
        };
        let error = drive(collect_chunks(&mut *socket(None).read.unwrap(), 9)).unwrap_err();
        assert!(error.to_string().starts_with("ws://h/, which is only written to: "), "{error}");
        // What its record says is said by whoever looks at that.
        let got = drive(collect_chunks(&mut *socket(Some(Ending::Silent)).read.unwrap(), 9)).unwrap();
        assert_eq!(got, [(vec![], Flags::EOF | Flags::GONE)]);
    }
}
