//! SIGTERM and SIGINT as bytes in a pipe.
//!
//! A handler and not a `signalfd`: that would want the signals blocked in every thread of the process, and threads
//! exist before the first reactor does.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::pipe::{PipeFlags, pipe_with};

use crate::op::Signal;

/// The pipe's ends, opened by the first reactor that waits for signals, and open until the process ends.
static PIPE: OnceLock<(OwnedFd, OwnedFd)> = OnceLock::new();

/// The end that the handler writes to. Set once, before the handler is installed.
static WRITE_END: AtomicI32 = AtomicI32::new(-1);

extern "C" fn on_signal(number: libc::c_int) {
    let byte = [u8::try_from(number).unwrap_or(0)];
    // SAFETY: `write` may be called in a signal handler; the descriptor stays open for ever, the byte is on the stack.
    // The error number of the interrupted code is put back. A full pipe already says what there is to say.
    unsafe {
        let errno = *libc::__errno_location();
        libc::write(WRITE_END.load(Ordering::Relaxed), byte.as_ptr().cast(), 1);
        *libc::__errno_location() = errno;
    }
}

/// The pipe's readable end. The first call catches the signals from then on.
pub(crate) fn pipe() -> io::Result<BorrowedFd<'static>> {
    if let Some((read_end, _)) = PIPE.get() {
        return Ok(read_end.as_fd());
    }
    let ends = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    let (read_end, write_end) = PIPE.get_or_init(|| ends);
    WRITE_END.store(write_end.as_raw_fd(), Ordering::Relaxed);
    for number in [libc::SIGTERM, libc::SIGINT] {
        // SAFETY: an all-zero `sigaction` is a valid one; the handler only does what a handler may.
        let installed = unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let handler: extern "C" fn(libc::c_int) = on_signal;
            action.sa_sigaction = handler as *const () as libc::sighandler_t;
            action.sa_flags = libc::SA_RESTART;
            libc::sigaction(number, &raw const action, std::ptr::null_mut())
        };
        if installed != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(read_end.as_fd())
}

/// The next signal in the pipe, if there is one.
pub(crate) fn next() -> io::Result<Option<Signal>> {
    let mut byte = [0];
    match rustix::io::read(pipe()?, &mut byte) {
        Ok(_) if libc::c_int::from(byte[0]) == libc::SIGINT => Ok(Some(Signal::Interrupt)),
        Ok(_) => Ok(Some(Signal::Terminate)),
        Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
