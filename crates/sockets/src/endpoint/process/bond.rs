//! What a session and the supervised child at one of its ends tell each other.
//!
//! The halves of the child's socket and the exchange say what becomes of the session; whoever supervises the child
//! (`supervisor.rs`) acts on it, and says when the child has ended. Nothing here waits or allocates per message.

use std::{
    io,
    process::ExitStatus,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicU8,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Its input was closed by the end of what came for it.
const INPUT_ENDED: u8 = 1;
/// It has said something since it was last asked for.
const OUTPUT: u8 = 2;
/// The peer vanished or was reset, or the session was dropped.
const CUT: u8 = 4;
/// Nobody has a half of its socket any more.
const LEFT_ALONE: u8 = 8;
/// Its input is not used: that it is closed is no end.
const INPUT_UNUSED: u8 = 16;
/// The reader has given the end of the output, because the child ended.
const ENDED: u8 = 32;
/// The reader has given the end of the output while the child went on, or nobody reads.
const UNREAD: u8 = 64;
/// A script wants it killed.
const KILL: u8 = 128;

/// What was said since the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct News {
    pub cut: bool,
    /// Its input or its session has ended in order.
    pub ended: bool,
    pub output: bool,
}

/// Shared by the halves, the exchange and the supervisor of one child.
#[derive(Debug)]
pub struct Bond {
    flags: AtomicU8,
    said: Notify,
    /// Told once, with [`UNREAD`].
    unread: Notify,
    /// Cancelled when the child has ended.
    exited: CancellationToken,
    status: OnceLock<Result<ExitStatus, Arc<io::Error>>>,
    status_counts: bool,
}

impl Bond {
    pub(super) fn new(status_counts: bool) -> Self {
        Self {
            flags: AtomicU8::new(0),
            said: Notify::new(),
            unread: Notify::new(),
            exited: CancellationToken::new(),
            status: OnceLock::new(),
            status_counts,
        }
    }

    fn set(&self, flag: u8) {
        if self.flags.fetch_or(flag, AcqRel) & flag == 0 {
            self.said.notify_one();
        }
    }

    fn is(&self, flag: u8) -> bool {
        self.flags.load(Acquire) & flag != 0
    }

    /// The exchange never writes to the child, as the user wants it: its closed input is not the end of anything.
    pub fn leave_input_unused(&self) {
        self.flags.fetch_or(INPUT_UNUSED, AcqRel);
    }

    /// The peer vanished, or its connection was reset.
    pub fn cut(&self) {
        self.set(CUT);
    }

    /// It is to be killed at once.
    pub(super) fn kill(&self) {
        self.set(KILL);
    }

    pub(super) fn is_to_be_killed(&self) -> bool {
        self.is(KILL)
    }

    /// All that the child said was read and it has ended: writing to it is pointless, and the session is over.
    pub fn has_left(&self) -> bool {
        self.is(ENDED)
    }

    /// Its exit status becomes that of the session.
    pub fn status_counts(&self) -> bool {
        self.status_counts
    }

    /// The exit status, once the child has ended.
    pub async fn ended(&self) -> io::Result<ExitStatus> {
        self.exited.cancelled().await;
        match self.status.get() {
            Some(Ok(status)) => Ok(*status),
            Some(Err(e)) => Err(io::Error::new(e.kind(), e.clone())),
            None => Err(io::Error::other("the runtime is shutting down")),
        }
    }

    pub(super) fn input_ended(&self) {
        self.set(INPUT_ENDED);
    }

    pub(super) fn spoke(&self) {
        // Looked at when a time is over: nobody is woken for it.
        if self.flags.load(Relaxed) & (INPUT_ENDED | OUTPUT) == INPUT_ENDED {
            self.flags.fetch_or(OUTPUT, AcqRel);
        }
    }

    pub(super) fn output_ended_with_it(&self) {
        self.set(ENDED);
    }

    pub(super) fn unread(&self) {
        if !self.has_left() && self.flags.fetch_or(UNREAD, AcqRel) & UNREAD == 0 {
            self.unread.notify_one();
        }
    }

    /// Resolves when the child has ended and nobody would notice it by reading. For one caller.
    pub(super) async fn gone_unread(&self) {
        self.exited.cancelled().await;
        if !self.is(UNREAD) {
            self.unread.notified().await;
        }
    }

    pub(super) fn left_alone(&self) {
        self.set(LEFT_ALONE);
    }

    pub(super) fn exited(&self) -> WaitForCancellationFutureOwned {
        self.exited.clone().cancelled_owned()
    }

    pub(super) fn has_exited(&self) -> bool {
        self.exited.is_cancelled()
    }

    /// The child has ended, or there is no way to know it any more.
    pub(super) fn report(&self, status: Result<ExitStatus, Arc<io::Error>>) {
        // Set once: there is one supervisor.
        let _ = self.status.set(status);
        self.exited.cancel();
        self.said.notify_one();
    }

    /// Resolves when something was said that may be new.
    pub(super) async fn said(&self) {
        self.said.notified().await;
    }

    pub(super) fn news(&self) -> News {
        let flags = self.flags.fetch_and(!OUTPUT, AcqRel);
        let input = flags & INPUT_ENDED != 0 && flags & INPUT_UNUSED == 0;
        let alone = flags & LEFT_ALONE != 0;
        News { cut: flags & CUT != 0, ended: input || alone, output: flags & OUTPUT != 0 }
    }

    /// How far the end of the session has come: each step may begin the grace anew.
    pub(super) fn steps(&self) -> u32 {
        (self.flags.load(Acquire) & (INPUT_ENDED | LEFT_ALONE)).count_ones()
    }

    /// The session has ended before the child.
    pub(super) fn is_alone(&self) -> bool {
        self.is(LEFT_ALONE | CUT)
    }
}
