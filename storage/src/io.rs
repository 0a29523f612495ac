//! What the store asks the outside to do with files, and how the outside answers: data, never a call.
//!
//! Every path is relative to a data directory and uses `/`: to home, or to the one that stands before a colon
//! ([`LogDir::of_path`](crate::LogDir::of_path)). Nothing is moved from one directory to another. A file that is written or read in place is named by a
//! [`FileRef`], so that the outside can keep it open under its [`FileId`]; ids are never given twice by one store.

use std::sync::Arc;

use ringlog_buffer::{Chunk, Slice};

/// Names one asked-for operation until its result comes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct IoId(u64);

impl IoId {
    /// Wraps the bare number.
    pub(crate) const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// Names a file for as long as the store uses it, whatever its path becomes. Unique within one store.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct FileId(u64);

impl FileId {
    /// Wraps the bare number.
    pub const fn new(value: u64) -> Self {
        Self(value)
    }

    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A file to keep open: its id and where it was when the operation was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileRef {
    /// Under which the outside may keep the file open. When the path has changed since, the id still means this file.
    pub id: FileId,
    /// Path relative to its data directory.
    pub path: Arc<str>,
}

/// One operation to perform. Operations that are out at the same time may be performed in any order.
#[derive(Debug)]
pub struct Io {
    /// To be given back with the result.
    pub id: IoId,
    /// What to do.
    pub op: IoOp,
}

/// Whether a write is complete when the kernel has it, or when a power cut cannot take it any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteDurability {
    /// The kernel has it; a later [`IoOp::Sync`] of the file makes it durable.
    Buffered,
    /// Durable when the result says so (`RWF_DSYNC`).
    Durable,
}

/// A file operation. Offsets, lengths and memory of [`Write`](Self::Write) and [`Read`](Self::Read) are multiples of
/// 4096, for `O_DIRECT`.
#[derive(Clone, Debug)]
pub enum IoOp {
    /// Names and sizes of everything in a directory. A missing one is [`IoErrorKind::NotFound`].
    List {
        /// The directory; empty for a data directory itself.
        path: Arc<str>,
    },
    /// Makes a directory. That it exists already is fine.
    CreateDir {
        /// The directory.
        path: Arc<str>,
    },
    /// Makes a file if it is missing and reserves its first `allocate_bytes` bytes (`fallocate`), of which those never
    /// written read as zeros.
    Create {
        /// The file.
        file: FileRef,
        /// Bytes to reserve; 0 for none.
        allocate_bytes: u64,
    },
    /// Reserves the file's bytes up to `bytes`; those never written read as zeros. Never shortens.
    Allocate {
        /// The file.
        file: FileRef,
        /// Reserve everything below this position.
        bytes: u64,
    },
    /// Writes the slices one after the other. A short write is a failure, and must not be continued or repeated.
    Write {
        /// The file.
        file: FileRef,
        /// Where the first byte goes.
        offset: u64,
        /// What is written.
        data: Vec<Slice>,
        /// When the result may come.
        durability: WriteDurability,
    },
    /// Reads up to `bytes` bytes; fewer only at the end of the file.
    Read {
        /// The file. A missing one is [`IoErrorKind::NotFound`].
        file: FileRef,
        /// Position of the first byte.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// Makes everything durable that was written to the file and completed before (`fdatasync`).
    Sync {
        /// The file.
        file: FileRef,
    },
    /// Makes the directory's entries durable: what was created, renamed or removed in it before.
    SyncDir {
        /// The directory; empty for a data directory itself.
        path: Arc<str>,
    },
    /// [`Sync`](Self::Sync) of each of the files and [`SyncDir`](Self::SyncDir) of each of the directories, in any order.
    /// Where the file system can do them together, all of them take few flushes of the device.
    SyncAll {
        /// The files.
        files: Vec<FileRef>,
        /// The directories.
        dirs: Vec<Arc<str>>,
    },
    /// Cuts the file to `bytes` bytes.
    Truncate {
        /// The file.
        file: FileRef,
        /// Its new length.
        bytes: u64,
    },
    /// Moves a file or directory, replacing a file at the new name.
    Rename {
        /// Old path.
        from: Arc<str>,
        /// New path.
        to: Arc<str>,
    },
    /// Removes a file. That it is missing already is fine. If it is open under an id, it may be closed.
    RemoveFile {
        /// The file.
        file: FileRef,
    },
    /// Removes a directory and the files in it (partition directories have no folders inside). A missing one is fine.
    RemoveDir {
        /// The directory.
        path: Arc<str>,
    },
    /// The store will not use the file again: close it. Always succeeds.
    Close {
        /// The file.
        file: FileRef,
    },
}

/// What an operation came to.
pub type IoResult = Result<IoOutput, IoErrorKind>;

/// What a successful operation brings.
#[derive(Debug)]
pub enum IoOutput {
    /// It is done; nothing to hand over.
    Done,
    /// Bytes read: the written part of the chunk.
    Read(Chunk),
    /// A directory's content, in any order.
    Listing(Vec<DirEntry>),
}

/// One name in a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirEntry {
    /// Its name, without the path.
    pub name: String,
    /// File or directory.
    pub kind: EntryKind,
    /// Length in bytes, for files.
    pub bytes: u64,
}

/// What stands behind a name in a directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
}

/// Why an operation failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IoErrorKind {
    /// ENOSPC or EDQUOT: nothing was reserved, or the write did not fit.
    #[error("No space left on device")]
    NoSpace,
    /// ENOENT.
    #[error("the file does not exist")]
    NotFound,
    /// Fewer bytes were written than asked for.
    #[error("the write was cut short")]
    ShortWrite,
    /// Any other failure, with the system's error number (0 where there is none).
    #[error("{}", system_error(*.0))]
    Other(i32),
}

/// The system's words for one of its errors.
fn system_error(errno: i32) -> String {
    if errno == 0 { "the operation failed".to_owned() } else { std::io::Error::from_raw_os_error(errno).to_string() }
}
