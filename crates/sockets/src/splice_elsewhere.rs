//! Outside Linux bytes between two sockets of the kernel go through a buffer: there never is a [`SpliceCopy`].

use crate::{
    copy::StreamCopy,
    exchange::Failed,
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::task::{Context, Poll};

#[allow(dead_code)] // nothing makes one
pub(crate) enum Spliced {
    Ended,
    Unsupported,
}

pub enum SpliceCopy {}

/// What remains after [`SpliceCopy::new`] refused: the halves as they came.
pub(crate) type Halves = (BoxStreamRead, BoxStreamWrite);

impl SpliceCopy {
    pub(crate) fn new(from: BoxStreamRead, to: BoxStreamWrite, _: Option<usize>) -> Result<Self, Halves> {
        Err((from, to))
    }

    pub(crate) fn into_copy(self) -> StreamCopy {
        match self {}
    }

    pub(crate) fn poll_splice(&mut self, _: &mut Context<'_>) -> Poll<Result<Spliced, Failed>> {
        match *self {}
    }

    pub(crate) fn offer_all(&mut self, _: &mut Context<'_>) {
        match *self {}
    }

    pub(crate) fn offer_rest(&mut self, _: &mut Context<'_>) {
        match *self {}
    }
}
