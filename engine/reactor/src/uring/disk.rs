//! File operations as requests of the ring.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use io_uring::types::{Fd, FsyncFlags};
use io_uring::{opcode, squeue};
use ringlog_buffer::Slice;
use rustix::fs::OFlags;
use rustix::io::ReadWriteFlags;

use crate::disk::{FILE_MODE, Performed, buffered_retry, is_read_over, open_flags, whole_write};
use crate::op::{Durability, Op, OpId};
use crate::uring::check;

/// One file operation with the ring: the operation, which owns the buffers, and what its request points to besides.
#[derive(Debug)]
pub(crate) struct FileFlight {
    pub(crate) id: OpId,
    op: Op,
    /// The file it works on, if it is one that is open; it stays open until the operation has ended.
    pub(crate) file: Option<usize>,
    held: Held,
    /// Bytes read so far.
    filled: usize,
}

/// Memory that a request points to, on the heap so that it stays where it is.
#[derive(Debug)]
enum Held {
    Nothing,
    Parts(Vec<Part>),
    Path(CString),
    Paths(CString, CString),
    /// The directory that is being synced, once it is open.
    Directory(OwnedFd),
}

/// A `struct iovec` that points into a slice of the same flight's operation.
#[derive(Debug)]
#[repr(transparent)]
struct Part(libc::iovec);

/// What became of a request's completion.
pub(crate) enum Step {
    Ended(Performed),
    /// The operation goes on with this request.
    Next(FileFlight, squeue::Entry),
}

impl FileFlight {
    /// The flight of an operation and its first request. Gives the operation back where a path cannot be one.
    pub(crate) fn begin(
        id: OpId,
        op: Op,
        file: Option<usize>,
        fd: Option<BorrowedFd<'_>>,
    ) -> Result<(Self, squeue::Entry), (Op, io::Error)> {
        let held = match hold(&op) {
            Ok(held) => held,
            Err(error) => return Err((op, error)),
        };
        let mut flight = Self { id, op, file, held, filled: 0 };
        let entry = flight.request(fd);
        Ok((flight, entry))
    }

    /// Whether it takes its time, and rings have no operation for it.
    pub(crate) fn is_for_thread(op: &Op) -> bool {
        matches!(
            op,
            Op::ReadDir { .. }
                | Op::SyncFileSystem { .. }
                | Op::FreeSpace { .. }
                | Op::TotalSpace { .. }
                | Op::Device { .. }
                | Op::ProcessUsage
        )
    }

    /// Whether rings have an operation for it. Of what is not for a thread either, locking happens at start, and what is
    /// asked for otherwise is in memory.
    pub(crate) fn is_request(op: &Op) -> bool {
        !Self::is_for_thread(op) && !matches!(op, Op::Lock { .. } | Op::Length { .. })
    }

    /// The next request. Its pointers lead into `self.op` and `self.held`, whose memory is on the heap.
    fn request(&mut self, fd: Option<BorrowedFd<'_>>) -> squeue::Entry {
        let target = || Fd(fd.expect("an operation on a file comes with its descriptor").as_raw_fd());
        let here = Fd(libc::AT_FDCWD);
        match (&mut self.op, &self.held) {
            (Op::Read { chunk, offset, bytes, .. }, _) => {
                let rest = u32::try_from(*bytes - self.filled).expect("a chunk's length fits 32 bits");
                let at = *offset + u64::try_from(self.filled).expect("a chunk's length fits 64 bits");
                opcode::Read::new(target(), chunk.spare_mut().as_mut_ptr(), rest).offset(at).build()
            }
            (Op::Write { offset, durability, .. }, Held::Parts(parts)) => {
                let flags = match durability {
                    Durability::None => ReadWriteFlags::empty(),
                    Durability::Dsync => ReadWriteFlags::DSYNC,
                };
                let count = u32::try_from(parts.len()).expect("a write takes few slices");
                opcode::Writev::new(target(), parts.as_ptr().cast(), count)
                    .offset(*offset)
                    .rw_flags(flags.bits().cast_signed())
                    .build()
            }
            (Op::Allocate { offset, bytes, .. }, _) => opcode::Fallocate::new(target(), *bytes).offset(*offset).build(),
            (Op::Truncate { bytes, .. }, _) => opcode::Ftruncate::new(target(), *bytes).build(),
            (Op::SyncData { .. }, _) => opcode::Fsync::new(target()).flags(FsyncFlags::DATASYNC).build(),
            (Op::SyncDir { .. }, Held::Directory(fd)) => opcode::Fsync::new(Fd(fd.as_raw_fd())).build(),
            (Op::SyncDir { .. }, Held::Path(path)) => {
                open_request(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC)
            }
            (Op::Open { options, .. }, Held::Path(path)) => open_request(path, open_flags(*options)),
            (Op::CreateDir { .. }, Held::Path(path)) => opcode::MkDirAt::new(here, path.as_ptr()).mode(0o755).build(),
            (Op::RemoveFile { .. }, Held::Path(path)) => opcode::UnlinkAt::new(here, path.as_ptr()).build(),
            (Op::RemoveDir { .. }, Held::Path(path)) => {
                opcode::UnlinkAt::new(here, path.as_ptr()).flags(libc::AT_REMOVEDIR).build()
            }
            (Op::Rename { .. }, Held::Paths(from, to)) => {
                opcode::RenameAt::new(here, from.as_ptr(), here, to.as_ptr()).build()
            }
            (op, held) => unreachable!("no request for {op:?} with {held:?}"),
        }
    }

    /// Takes the completion of the current request.
    pub(crate) fn complete(mut self, result: i32, fd: Option<BorrowedFd<'_>>) -> Step {
        let count = check(result);
        match (self.op, count) {
            (Op::Read { file, mut chunk, offset, bytes }, Ok(count)) => {
                chunk.advance(count);
                self.filled += count;
                if is_read_over(count, self.filled, bytes) {
                    return Step::Ended(Performed::Filled(Ok(self.filled), chunk));
                }
                self.op = Op::Read { file, chunk, offset, bytes };
            }
            (Op::Read { chunk, .. }, Err(error)) => return Step::Ended(Performed::Filled(Err(error), chunk)),
            (Op::Write { slices, .. }, Ok(count)) => return Step::Ended(Performed::Done(whole_write(count, &slices))),
            (Op::Open { options, .. }, Ok(fd)) => {
                return Step::Ended(Performed::Opened(Ok((owned(fd), options.direct))));
            }
            (Op::Open { path, options }, Err(error)) => match buffered_retry(options, &error) {
                Some(options) => self.op = Op::Open { path, options },
                None => return Step::Ended(Performed::Opened(Err(error))),
            },
            (Op::SyncDir { path }, Ok(opened)) if matches!(self.held, Held::Path(_)) => {
                self.held = Held::Directory(owned(opened));
                self.op = Op::SyncDir { path };
            }
            (_, result) => return Step::Ended(Performed::Done(result.map(drop))),
        }
        let entry = self.request(fd);
        Step::Next(self, entry)
    }
}

fn owned(fd: usize) -> OwnedFd {
    let fd = libc::c_int::try_from(fd).expect("a descriptor came from 32 bits");
    // SAFETY: the kernel has just opened it for this request, and nobody else knows of it.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn open_request(path: &CString, flags: OFlags) -> squeue::Entry {
    opcode::OpenAt::new(Fd(libc::AT_FDCWD), path.as_ptr()).flags(flags.bits().cast_signed()).mode(FILE_MODE).build()
}

fn hold(op: &Op) -> io::Result<Held> {
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::from);
    Ok(match op {
        Op::Write { slices, .. } => Held::Parts(slices.iter().map(part).collect()),
        Op::Open { path: at, .. }
        | Op::CreateDir { path: at }
        | Op::RemoveFile { path: at }
        | Op::RemoveDir { path: at }
        | Op::SyncDir { path: at } => Held::Path(path(at)?),
        Op::Rename { from, to } => Held::Paths(path(from)?, path(to)?),
        _ => Held::Nothing,
    })
}

fn part(slice: &Slice) -> Part {
    Part(libc::iovec { iov_base: slice.as_ptr().cast_mut().cast(), iov_len: slice.len() })
}
