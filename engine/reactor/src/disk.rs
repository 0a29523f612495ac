//! File operations as plain, blocking system calls: on the posix backend's threads, and where a ring has no operation
//! of its own for the rare ones.

use std::io::{self, ErrorKind, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use ringlog_buffer::{BLOCK_BYTES, Chunk, Slice};
use rustix::fs::{self, AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags, pread, pwritev2, retry_on_intr};

use crate::op::{Create, DirEntry, Durability, EntryKind, Op, OpenOptions};
use crate::usage::{ProcessUsage, process_usage};

/// Entries that one directory may have to be listed. A data directory has a few per partition.
const DIR_ENTRIES_MAX: usize = 4_000_000;

/// `EXT4_SUPER_MAGIC`
const EXT4_MAGIC: fs::FsWord = 0xef53;

/// A file system is synced as a whole only while others have no more to write than this: it would wait for them.
const SYNC_FILE_SYSTEM_UNWRITTEN_BYTES_MAX: u64 = 64 << 20;

/// How a file operation ended. An opened file is a bare descriptor: the backend makes it a file of its own.
#[derive(Debug)]
pub(crate) enum Performed {
    Done(io::Result<()>),
    Number(io::Result<u64>),
    Filled(io::Result<usize>, Chunk),
    /// The descriptor, and whether it goes past the page cache.
    Opened(io::Result<(OwnedFd, bool)>),
    Entries(io::Result<Vec<DirEntry>>),
    Usage(io::Result<ProcessUsage>),
}

/// Performs a file operation, blocking. `fd` is the file that [`Op::file`] names. Panics on socket operations.
pub(crate) fn perform(op: Op, fd: Option<BorrowedFd<'_>>) -> Performed {
    let file = || fd.expect("an operation on a file comes with its descriptor");
    let done = |result: Result<(), Errno>| Performed::Done(result.map_err(io::Error::from));
    match op {
        Op::Open { path, options } => Performed::Opened(open(&path, options)),
        Op::Read { chunk, offset, bytes, .. } => {
            let (result, chunk) = read(file(), chunk, offset, bytes);
            Performed::Filled(result, chunk)
        }
        Op::Write { slices, offset, durability, .. } => Performed::Done(write(file(), &slices, offset, durability)),
        Op::Allocate { offset, bytes, .. } => {
            done(retry_on_intr(|| fs::fallocate(file(), FallocateFlags::empty(), offset, bytes)))
        }
        Op::Truncate { bytes, .. } => done(retry_on_intr(|| fs::ftruncate(file(), bytes))),
        Op::SyncData { .. } => done(retry_on_intr(|| fs::fdatasync(file()))),
        Op::Length { .. } => Performed::Number(length(file())),
        Op::Lock { .. } => done(fs::flock(file(), FlockOperation::NonBlockingLockExclusive)),
        Op::CreateDir { path } => done(fs::mkdirat(CWD, &path, Mode::from_raw_mode(0o755))),
        Op::RemoveFile { path } => done(fs::unlinkat(CWD, &path, AtFlags::empty())),
        Op::RemoveDir { path } => done(fs::unlinkat(CWD, &path, AtFlags::REMOVEDIR)),
        Op::Rename { from, to } => done(fs::renameat(CWD, &from, CWD, &to)),
        Op::SyncDir { path } => done(sync_dir(&path)),
        Op::SyncFileSystem { path } => Performed::Done(sync_file_system(&path)),
        Op::ReadDir { path } => Performed::Entries(read_dir(&path)),
        Op::ProcessUsage => Performed::Usage(process_usage()),
        Op::FreeSpace { path } => Performed::Number(free_space(&path)),
        Op::TotalSpace { path } => Performed::Number(total_space(&path)),
        Op::Device { path } => Performed::Number(device(&path)),
        Op::Listen { .. }
        | Op::Accept { .. }
        | Op::Connect { .. }
        | Op::Receive { .. }
        | Op::ReceiveInto { .. }
        | Op::Send { .. }
        | Op::Shutdown { .. }
        | Op::HangUp { .. }
        | Op::LetGo { .. }
        | Op::TakeUp { .. }
        | Op::Signal => unreachable!("not a file operation: {op:?}"),
    }
}

/// The flags of `open`, without and with `O_DIRECT` as asked.
pub(crate) fn open_flags(options: OpenOptions) -> OFlags {
    let access = if options.write { OFlags::RDWR } else { OFlags::RDONLY };
    let create = match options.create {
        Create::No => OFlags::empty(),
        Create::IfMissing => OFlags::CREATE,
        Create::New => OFlags::CREATE | OFlags::EXCL,
    };
    let direct = if options.direct { OFlags::DIRECT } else { OFlags::empty() };
    access | create | direct | OFlags::CLOEXEC
}

/// Who may read and write a file that we create.
pub(crate) const FILE_MODE: u32 = 0o644;

/// The options to try next after `error`: a file system without `O_DIRECT` refuses it with `EINVAL`, some of them
/// after they have created the file.
pub(crate) fn buffered_retry(options: OpenOptions, error: &io::Error) -> Option<OpenOptions> {
    let refused = options.direct && error.raw_os_error() == Some(Errno::INVAL.raw_os_error());
    let create = if options.create == Create::New { Create::IfMissing } else { options.create };
    refused.then_some(OpenOptions { direct: false, create, ..options })
}

fn open(path: &Path, options: OpenOptions) -> io::Result<(OwnedFd, bool)> {
    let open = |options| {
        retry_on_intr(|| fs::openat(CWD, path, open_flags(options), Mode::from_raw_mode(FILE_MODE)))
            .map_err(io::Error::from)
    };
    match open(options) {
        Ok(fd) => Ok((fd, options.direct)),
        Err(error) => match buffered_retry(options, &error) {
            Some(options) => Ok((open(options)?, false)),
            None => Err(error),
        },
    }
}

fn read(file: BorrowedFd<'_>, mut chunk: Chunk, offset: u64, bytes: usize) -> (io::Result<usize>, Chunk) {
    let mut filled = 0;
    loop {
        let at = offset + u64::try_from(filled).expect("a chunk's length fits 64 bits");
        let spare = &mut chunk.spare_mut()[..bytes - filled];
        match retry_on_intr(|| pread(file, &mut *spare, at)) {
            Ok(count) => {
                chunk.advance(count);
                filled += count;
                if is_read_over(count, filled, bytes) {
                    return (Ok(filled), chunk);
                }
            }
            Err(error) => return (Err(error.into()), chunk),
        }
    }
}

/// Whether a read that brought `count` bytes more is complete, or at the end of the file. A count that is not whole
/// blocks can only end there, and asking for the rest would break the alignment of a direct read.
pub(crate) fn is_read_over(count: usize, filled: usize, wanted: usize) -> bool {
    filled == wanted || count == 0 || !count.is_multiple_of(BLOCK_BYTES)
}

fn write(file: BorrowedFd<'_>, slices: &[Slice], offset: u64, durability: Durability) -> io::Result<()> {
    let flags = match durability {
        Durability::None => ReadWriteFlags::empty(),
        Durability::Dsync => ReadWriteFlags::DSYNC,
    };
    let parts: Vec<IoSlice<'_>> = slices.iter().map(|slice| IoSlice::new(slice)).collect();
    let count = retry_on_intr(|| pwritev2(file, &parts, offset, flags))?;
    whole_write(count, slices)
}

/// A short write is an error: the caller fences what it wrote to, as after any other failed write.
pub(crate) fn whole_write(count: usize, slices: &[Slice]) -> io::Result<()> {
    let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
    if count == wanted {
        return Ok(());
    }
    Err(io::Error::new(ErrorKind::WriteZero, format!("{count} of {wanted} bytes were written")))
}

fn length(file: impl AsFd) -> io::Result<u64> {
    let stat = fs::fstat(file)?;
    Ok(u64::try_from(stat.st_size).expect("a file's length is not negative"))
}

fn open_dir(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| fs::openat(CWD, path, flags, Mode::empty()))
}

fn sync_dir(path: &Path) -> rustix::io::Result<()> {
    let directory = open_dir(path)?;
    retry_on_intr(|| fs::fsync(&directory))
}

/// `syncfs`, where it flushes the device whatever was written before: ext4 does, others only when they have metadata to
/// write. It says nothing of a journal that was given up before, so the directory is asked too, with `fsync`.
fn sync_file_system(path: &Path) -> io::Result<()> {
    let directory = open_dir(path)?;
    if fs::fstatfs(&directory)?.f_type != EXT4_MAGIC {
        return Err(io::Error::new(ErrorKind::Unsupported, "this file system is not known to flush the device"));
    }
    if page_cache_unwritten_bytes()? > SYNC_FILE_SYSTEM_UNWRITTEN_BYTES_MAX {
        return Err(io::Error::new(ErrorKind::Unsupported, "others have too much to write"));
    }
    fs::syncfs(&directory)?;
    retry_on_intr(|| fs::fsync(&directory))?;
    Ok(())
}

/// What the whole machine has in its page cache that is not written yet.
fn page_cache_unwritten_bytes() -> io::Result<u64> {
    Ok(unwritten_bytes(&std::fs::read_to_string("/proc/meminfo")?))
}

fn unwritten_bytes(meminfo: &str) -> u64 {
    let kib = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0)
    };
    (kib("Dirty:") + kib("Writeback:")) * 1024
}

fn read_dir(path: &Path) -> io::Result<Vec<DirEntry>> {
    let directory = open_dir(path)?;
    let mut entries = Vec::new();
    for entry in Dir::read_from(&directory)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name == "." || name == ".." {
            continue;
        }
        if entries.len() == DIR_ENTRIES_MAX {
            return Err(io::Error::new(ErrorKind::FileTooLarge, format!("over {DIR_ENTRIES_MAX} directory entries")));
        }
        let stat = match fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            // Removed since the directory was read.
            Err(Errno::NOENT) => continue,
            Err(error) => return Err(error.into()),
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            _ => EntryKind::Other,
        };
        let bytes = if kind == EntryKind::File { u64::try_from(stat.st_size).unwrap_or(0) } else { 0 };
        entries.push(DirEntry { name: name.to_owned(), kind, bytes });
    }
    Ok(entries)
}

fn free_space(path: &Path) -> io::Result<u64> {
    let stat = fs::statvfs(path)?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

fn total_space(path: &Path) -> io::Result<u64> {
    let stat = fs::statvfs(path)?;
    Ok(stat.f_blocks.saturating_mul(stat.f_frsize))
}

fn device(path: &Path) -> io::Result<u64> {
    Ok(fs::stat(path)?.st_dev)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_page_cache_has_to_write_is_read_from_meminfo() {
        let meminfo = "MemTotal:       24000000 kB\nDirty:              1200 kB\nWriteback:            34 kB\nWritebackTmp: 7 kB\n";
        assert_eq!(unwritten_bytes(meminfo), 1234 * 1024);
        assert_eq!(unwritten_bytes("nothing of that kind"), 0);
    }
}
