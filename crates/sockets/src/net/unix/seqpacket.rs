//! Message halves of a SEQPACKET socket: one packet of the kernel is one message.
//!
//! A packet that does not fit into what recv(2) is given is cut off. So there is always room for [`MAX_MESSAGE`] bytes: the
//! largest pooled buffer, and behind it one that belongs to the thread. Idle sockets own neither. What is longer is an
//! error, not a message that was cut off. A read of zero bytes is the end, or an empty message if more can follow.

use super::SeqpacketOptions;
use crate::{
    buffer::{LARGEST, Window},
    datagram::{DatagramRead, DatagramWrite, Flags},
    info::SocketInfo,
    net::{kernel_stream::KernelStream, send_flags::NO_WAIT},
    overlay::defragment::Defragment,
    socket::{DatagramSocket, Link},
};
use rustix::{
    io::Errno,
    net::{RecvAncillaryBuffer, RecvFlags, ReturnFlags, recvmsg, send},
};
use std::{
    cell::RefCell,
    io::{self, IoSliceMut},
    net::Shutdown,
    os::fd::AsRawFd as _,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::Interest;

/// Longest message that is read: five times what a sender can send without raising its limits.
pub const MAX_MESSAGE: usize = 1 << 20;
/// The option that says how long messages may be that are sent.
const SEND_LIMIT: &str = "--seqpacket-max-send-datagram-size";

/// What cannot be carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeqpacketError {
    #[error("a SEQPACKET message is longer than the {MAX_MESSAGE} bytes that are read, and was cut off")]
    CutOff,
    #[error(
        "the system does not send a message of {len} bytes as one SEQPACKET packet (EMSGSIZE): its limit is \
         the send buffer, and for that net.core.wmem_max"
    )]
    TooLong { len: usize },
}

impl From<SeqpacketError> for io::Error {
    fn from(error: SeqpacketError) -> Self {
        let kind = match error {
            SeqpacketError::CutOff => io::ErrorKind::InvalidData,
            // Refused by us: the connection works.
            SeqpacketError::TooLong { .. } => io::ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

thread_local! {
    /// Takes what a packet has beyond [`LARGEST`]. Its memory is not touched, and so not there, before such a packet comes.
    static BEYOND: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// A connected SEQPACKET socket with both halves, its link, and its descriptor added to `info`.
pub fn seqpacket_socket(socket: KernelStream, mut info: SocketInfo, options: &SeqpacketOptions) -> DatagramSocket {
    info.fd = Some(socket.as_raw_fd());
    // Each direction has an end of its own.
    info.half_close = true;
    let socket = Arc::new(socket);
    let write = SeqpacketWrite { socket: socket.clone(), grows: options.grows };
    DatagramSocket {
        read: Some(Box::new(SeqpacketRead::new(socket.clone(), options.text))),
        write: Some(Box::new(Defragment::named(Box::new(write), options.max_send, SEND_LIMIT))),
        hangup: None,
        link: Some(Link(socket)),
        info: Arc::new(info),
    }
}

/// Read half.
///
/// Pending: woken when the socket is readable; no buffer is held. EOF: the peer has ended its direction or closed the
/// socket. Empty messages right before that cannot be told from it. Drop midway: what was read and not consumed is lost.
/// An error ends the input. Only bytes of its own are changed.
pub struct SeqpacketRead {
    socket: Arc<KernelStream>,
    /// Of the current message what was not consumed, up to [`LARGEST`] bytes of it.
    window: Window,
    /// What follows that, of which so many bytes were consumed.
    beyond: Vec<u8>,
    taken: usize,
    text: Flags,
    /// Length of the announced chunk.
    len: usize,
    announced: Option<Flags>,
    /// A message was received and not consumed.
    midway: bool,
    ended: bool,
}

impl SeqpacketRead {
    fn new(socket: Arc<KernelStream>, text: bool) -> Self {
        Self {
            socket,
            window: Window::new(3),
            beyond: Vec::new(),
            taken: 0,
            text: if text { Flags::TEXT } else { Flags::NONE },
            len: 0,
            announced: None,
            midway: false,
            ended: false,
        }
    }

    /// The next part of the current message.
    fn announce(&mut self, max: usize) -> Flags {
        let max = max.max(1);
        let behind = self.beyond.len() - self.taken;
        let part = if self.window.is_empty() { behind } else { self.window.len() };
        self.len = part.min(max);
        let last = self.len == self.window.len() + behind;
        let flags = if last { self.text } else { self.text | Flags::PARTIAL };
        self.announced = Some(flags);
        flags
    }

    /// One message. `Ok(false)`: the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            if self.socket.poll_read_ready(cx)?.is_pending() {
                self.window.release();
                return Poll::Pending;
            }
            self.window.reserve(LARGEST);
            let (socket, window, beyond) = (&*self.socket, &mut self.window, &mut self.beyond);
            let received = socket.try_io(Interest::READABLE, || Ok(receive(socket, window, beyond)?));
            match received {
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) => return Poll::Ready(Err(self.end_with(e))),
                Ok(true) => return Poll::Ready(Err(self.end_with(SeqpacketError::CutOff.into()))),
                Ok(false) if self.window.is_empty() && has_ended(socket) => {
                    self.end();
                    return Poll::Ready(Ok(false));
                }
                Ok(false) => {
                    self.midway = true;
                    return Poll::Ready(Ok(true));
                }
            }
        }
    }

    fn end(&mut self) {
        self.window.skip(self.window.len());
        self.window.release();
        (self.beyond, self.taken, self.ended) = (Vec::new(), 0, true);
    }

    fn end_with(&mut self, error: io::Error) -> io::Error {
        self.end();
        error
    }
}

/// Receives one packet into the empty window, and what does not fit there into `beyond`. True: it was cut off.
fn receive(socket: &KernelStream, window: &mut Window, beyond: &mut Vec<u8>) -> rustix::io::Result<bool> {
    BEYOND.with_borrow_mut(|behind| {
        if behind.is_empty() {
            *behind = vec![0; MAX_MESSAGE - LARGEST];
        }
        let mut parts = [IoSliceMut::new(window.spare_mut()), IoSliceMut::new(behind)];
        let room = parts.first().map_or(0, |part| part.len());
        // Descriptors that the peer sends along have no place: the kernel closes them.
        let got = recvmsg(socket, &mut parts, &mut RecvAncillaryBuffer::default(), RecvFlags::DONTWAIT)?;
        window.advance(got.bytes.min(room));
        if let Some(rest) = behind.get(..got.bytes.saturating_sub(room)).filter(|rest| !rest.is_empty()) {
            beyond.extend_from_slice(rest);
        }
        Ok(got.flags.contains(ReturnFlags::TRUNC))
    })
}

/// Whether zero bytes were the end rather than an empty message: the peer sends no more, and nothing is left.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_ended(socket: &KernelStream) -> bool {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        io::ioctl_fionread,
    };
    let mut polled = [PollFd::new(socket, PollFlags::RDHUP)];
    let said = poll(&mut polled, Some(&Timespec::default()));
    let no_more = polled.iter().any(|p| p.revents().intersects(PollFlags::RDHUP | PollFlags::HUP | PollFlags::ERR));
    // A call that was interrupted tells nothing; a read after the end says so again.
    said.is_ok() && no_more && !ioctl_fionread(socket).is_ok_and(|bytes| bytes > 0)
}

/// By convention.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_ended(_: &KernelStream) -> bool {
    true
}

impl DatagramRead for SeqpacketRead {
    fn poll_chunk(&mut self, cx: &mut Context<'_>, max: usize) -> Poll<io::Result<Flags>> {
        if let Some(flags) = self.announced {
            return Poll::Ready(Ok(flags));
        }
        if !self.midway && (self.ended || !ready!(self.poll_receive(cx))?) {
            (self.len, self.announced) = (0, Some(Flags::EOF));
            return Poll::Ready(Ok(Flags::EOF));
        }
        Poll::Ready(Ok(self.announce(max)))
    }

    fn chunk_mut(&mut self) -> &mut [u8] {
        let (part, start) =
            if self.window.is_empty() { (&mut self.beyond[..], self.taken) } else { (self.window.filled_mut(), 0) };
        part.get_mut(start..start + self.len).unwrap_or_default()
    }

    fn consume(&mut self) {
        let Some(flags) = self.announced.take() else { return };
        let len = std::mem::take(&mut self.len);
        if self.window.is_empty() {
            self.taken += len;
        } else {
            self.window.skip(len);
        }
        if !flags.any(Flags::PARTIAL | Flags::EOF) {
            self.midway = false;
            // Such messages are rare: their memory does not stay.
            (self.beyond, self.taken) = (Vec::new(), 0);
        }
    }

    fn for_each_inner(&mut self, _: &mut dyn FnMut(&mut dyn DatagramRead)) {}

    fn sink_waits(&mut self) {
        self.window.release();
    }
}

/// Write half, for whole messages.
///
/// Pending: nothing of the message was sent. Short writes do not exist. EOF: the shutdown that follows tells the peer.
/// Flushing is not needed, and nothing is lost when dropped. It changes no bytes.
pub struct SeqpacketWrite {
    socket: Arc<KernelStream>,
    /// The send buffer may be made larger, once.
    grows: bool,
}

impl SeqpacketWrite {
    /// The send buffer limits the length of a message. True: it is larger now.
    fn grow(&mut self, len: usize) -> bool {
        let socket = socket2::SockRef::from(&*self.socket);
        let before = socket.send_buffer_size().unwrap_or(usize::MAX);
        // The kernel takes twice of what it is told, and some for itself.
        std::mem::take(&mut self.grows)
            && socket.set_send_buffer_size(len).is_ok()
            && socket.send_buffer_size().is_ok_and(|now| now > before)
    }
}

impl DatagramWrite for SeqpacketWrite {
    fn poll_write(&mut self, cx: &mut Context<'_>, chunk: &mut [u8], flags: Flags) -> Poll<io::Result<()>> {
        if flags.any(Flags::CONTROL) {
            return Poll::Ready(Ok(()));
        }
        loop {
            ready!(self.socket.poll_write_ready(cx))?;
            match self.socket.try_io(Interest::WRITABLE, || Ok(send(&*self.socket, chunk, NO_WAIT)?)) {
                Ok(_) => return Poll::Ready(Ok(())),
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(e) if e.raw_os_error() == Some(Errno::MSGSIZE.raw_os_error()) => {
                    if !self.grow(chunk.len()) {
                        return Poll::Ready(Err(SeqpacketError::TooLong { len: chunk.len() }.into()));
                    }
                }
                Err(e) => return Poll::Ready(Err(e)),
            }
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(match socket2::SockRef::from(&*self.socket).shutdown(Shutdown::Write) {
            Err(e) if e.kind() == io::ErrorKind::NotConnected => Ok(()),
            result => result,
        })
    }
}

#[cfg(all(test, target_os = "linux"))]
#[path = "seqpacket_tests.rs"]
mod tests;
