//! Open files.

use std::fmt;
use std::io;
use std::rc::Rc;

use ringlog_buffer::{Chunk, Slice};

use crate::core::Core;
use crate::op::{Durability, FileId, Op, Opened, Outcome};
use crate::reactor::{done, mismatch};

/// Slices that one write takes at most: the kernel's `IOV_MAX`.
pub const WRITE_SLICES_MAX: usize = 1024;

/// An open file. Clones share it; it closes when the last one and its last operation are gone.
///
/// A file opened `direct` takes offsets, lengths and memory in whole blocks of
/// [`BLOCK_BYTES`](ringlog_buffer::BLOCK_BYTES); others answer `InvalidInput`.
#[derive(Clone)]
pub struct File {
    handle: Rc<Handle>,
}

struct Handle {
    core: Rc<Core>,
    id: FileId,
    direct: bool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.core.close_file(self.id);
    }
}

impl File {
    pub(crate) fn new(core: &Rc<Core>, opened: Opened) -> Self {
        Self { handle: Rc::new(Handle { core: Rc::clone(core), id: opened.file, direct: opened.direct }) }
    }

    /// Whether reads and writes go past the page cache.
    pub fn is_direct(&self) -> bool {
        self.handle.direct
    }

    /// Reads at most `bytes` at `offset` into the spare part of `chunk`, and advances it over what came. Less comes
    /// only at the end of the file. Panics if the spare part is smaller than `bytes`.
    pub async fn read(&self, chunk: Chunk, offset: u64, bytes: usize) -> (io::Result<usize>, Chunk) {
        assert!(bytes <= chunk.spare_len(), "read of {bytes} bytes into {}", chunk.spare_len());
        match self.operate(|file| Op::Read { file, chunk, offset, bytes }).await {
            Outcome::Filled(result, chunk) => (result, chunk),
            other => mismatch(&other),
        }
    }

    /// Writes the slices one behind the other at `offset`. A short write is an error of kind `WriteZero`: what reached
    /// the file is unknown then. So it is when the future is dropped, except that the write runs to its end. Panics
    /// over [`WRITE_SLICES_MAX`].
    pub async fn write(&self, slices: Vec<Slice>, offset: u64, durability: Durability) -> io::Result<()> {
        assert!(slices.len() <= WRITE_SLICES_MAX, "{} slices in one write", slices.len());
        done(self.operate(|file| Op::Write { file, slices, offset, durability }).await)
    }

    /// Reserves blocks for a range, and makes the file reach its end.
    pub async fn allocate(&self, offset: u64, bytes: u64) -> io::Result<()> {
        done(self.operate(|file| Op::Allocate { file, offset, bytes }).await)
    }

    /// Cuts or extends the file to `bytes`.
    pub async fn truncate(&self, bytes: u64) -> io::Result<()> {
        done(self.operate(|file| Op::Truncate { file, bytes }).await)
    }

    /// Makes what was written durable (`fdatasync`).
    pub async fn sync_data(&self) -> io::Result<()> {
        done(self.operate(|file| Op::SyncData { file }).await)
    }

    /// Takes the file's exclusive lock, held until it closes or the process ends. `WouldBlock` when another has it.
    pub async fn lock(&self) -> io::Result<()> {
        done(self.operate(|file| Op::Lock { file }).await)
    }

    /// Length in bytes.
    pub async fn len(&self) -> io::Result<u64> {
        match self.operate(|file| Op::Length { file }).await {
            Outcome::Number(bytes) => bytes,
            other => mismatch(&other),
        }
    }

    /// Whether it has no bytes.
    pub async fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len().await? == 0)
    }

    async fn operate(&self, op: impl FnOnce(FileId) -> Op) -> Outcome {
        self.handle.core.operate(op(self.handle.id)).await
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({}, direct: {})", self.handle.id.0, self.handle.direct)
    }
}
