//! As Winsock has them.

/// WSAENOTSOCK
pub const NO_SOCKET: i32 = 10038;
/// WSAEAFNOSUPPORT
pub const UNSUPPORTED_FAMILY: i32 = 10047;
