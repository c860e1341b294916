//! Where descriptors are not inherited by number.

use super::{InheritedSocketError, Wanted};
use socket2::Socket;

pub fn take(_: i32, _: Wanted, _: bool) -> Result<Socket, InheritedSocketError> {
    Err(InheritedSocketError::Unsupported)
}
