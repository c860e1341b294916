//! Standard streams outside Unix: threads that block, on what the standard library gives.

use crate::{
    endpoint::blocking::{BlockingRead, BlockingSink, BlockingWrite, Runner},
    stream::{BoxStreamRead, BoxStreamWrite},
};
use std::{io, sync::Arc};

pub fn open_stdin() -> io::Result<BoxStreamRead> {
    Ok(Box::new(BlockingRead::new(io::stdin(), Runner::thread("stdin"), Arc::new(|e| e))))
}

pub fn open_stdout() -> io::Result<BoxStreamWrite> {
    Ok(Box::new(BlockingWrite::new(io::stdout(), Runner::thread("stdout"), Arc::new(|e| e))))
}

/// There is nothing that could take its place: the reader downstream sees the end when the process ends.
pub fn close_stdout() -> io::Result<()> {
    Ok(())
}

impl BlockingSink for io::Stdout {
    fn finish(self) -> io::Result<()> {
        Ok(())
    }
}
