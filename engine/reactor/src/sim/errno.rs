//! The kernel's error numbers that the simulated devices answer with.

use std::io;

/// An error number of Linux.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// `ENOENT`
    pub const NOT_FOUND: Self = Self(2);
    /// `EIO`
    pub const IO: Self = Self(5);
    /// `EBADF`
    pub const BAD_DESCRIPTOR: Self = Self(9);
    /// `EAGAIN`
    pub const WOULD_BLOCK: Self = Self(11);
    /// `EEXIST`
    pub const EXISTS: Self = Self(17);
    /// `ENOTDIR`
    pub const NOT_A_DIRECTORY: Self = Self(20);
    /// `EISDIR`
    pub const IS_A_DIRECTORY: Self = Self(21);
    /// `EINVAL`
    pub const INVALID: Self = Self(22);
    /// `EMFILE`
    pub const TOO_MANY_FILES: Self = Self(24);
    /// `EFBIG`
    pub const FILE_TOO_LARGE: Self = Self(27);
    /// `ENOSPC`
    pub const NO_SPACE: Self = Self(28);
    /// `EPIPE`
    pub const BROKEN_PIPE: Self = Self(32);
    /// `ENAMETOOLONG`
    pub const NAME_TOO_LONG: Self = Self(36);
    /// `ENOTEMPTY`
    pub const NOT_EMPTY: Self = Self(39);
    /// `EOPNOTSUPP`
    pub const NOT_SUPPORTED: Self = Self(95);
    /// `EADDRINUSE`
    pub const ADDRESS_IN_USE: Self = Self(98);
    /// `EADDRNOTAVAIL`
    pub const ADDRESS_NOT_AVAILABLE: Self = Self(99);
    /// `ECONNRESET`
    pub const CONNECTION_RESET: Self = Self(104);
    /// `ENOTCONN`
    pub const NOT_CONNECTED: Self = Self(107);
    /// `ETIMEDOUT`
    pub const TIMED_OUT: Self = Self(110);
    /// `ECONNREFUSED`
    pub const CONNECTION_REFUSED: Self = Self(111);
    /// `ECANCELED`
    pub const CANCELED: Self = Self(125);
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> Self {
        Self::from_raw_os_error(errno.0)
    }
}
