//! As errno(3) has them.

use rustix::io::Errno;

pub const NO_SOCKET: i32 = Errno::NOTSOCK.raw_os_error();
pub const UNSUPPORTED_FAMILY: i32 = Errno::AFNOSUPPORT.raw_os_error();
