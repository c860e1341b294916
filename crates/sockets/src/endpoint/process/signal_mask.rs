//! Signals that whoever started the program has left blocked, which is inherited just as ignored ones are: a supervisor that
//! takes its own signals from a descriptor, or a thread of a program that keeps them away from its threads.

use std::{io, mem::MaybeUninit, ptr};

/// Lets these signals through to this thread, and to all threads and processes that it starts from now on. One that waits
/// already is delivered at once.
#[allow(unsafe_code)] // nothing safe sets the mask
pub fn unblock(signals: &[i32]) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the whole set before anything else looks at it; numbers that are no signals are refused;
    // pthread_sigmask only reads the set, and is given no place for the former mask.
    let error = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            if libc::sigaddset(set.as_mut_ptr(), *signal) != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut())
    };
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
