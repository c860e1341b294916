//! Ctrl-C, as the number that it has on Unix.

use std::{future::pending, io};

pub fn unblock() -> io::Result<()> {
    Ok(())
}

pub fn heed_children() -> io::Result<()> {
    Ok(())
}

/// Number of the next signal that asks to leave.
pub struct Signals;

impl Signals {
    pub fn new() -> io::Result<Self> {
        Ok(Self)
    }

    pub async fn next(&mut self) -> u8 {
        match tokio::signal::ctrl_c().await {
            Ok(()) => 2,
            Err(_) => pending().await,
        }
    }
}
