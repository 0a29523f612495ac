//! Performs what storage asks of the disk: one [`IoOp`] in, its [`IoResult`] out. Keeps files open between operations.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt, stream};
use ringlog_buffer::{Pool, Slice};
use ringlog_reactor::{Create, Durability, File, OpenOptions, Reactor, WRITE_SLICES_MAX, is_out_of_descriptors};
use ringlog_storage::LogDir;
use ringlog_storage::io::{
    DirEntry, EntryKind, FileId, FileRef, IoErrorKind, IoOp, IoOutput, IoResult, WriteDurability,
};

use super::device::{Device, Devices, Failures};
use crate::lines::{Lines, repeated};
use crate::settings::Settings;
use crate::state::remedy;

/// Files that one shard keeps open, however few it may. Beyond its limit the one that was used longest ago is closed; it is
/// opened again when needed.
const OPEN_FILES_MIN: usize = 16;

/// From so many on files and directories are synced with their whole file system: that costs two flushes or three.
const SYNCED_TOGETHER_MIN: usize = 4;

/// Syncs that are under way at the same time where they are done one by one.
const SYNCS_AT_ONCE_MAX: usize = 16;

/// How long to wait for a descriptor before it is tried again.
const DESCRIPTOR_WAIT: Duration = Duration::from_millis(100);

/// How often a flush looks whether others that overlap with it have ended.
const OVERLAP_WAIT: Duration = Duration::from_millis(1);

/// Memory of reads that is kept for the next ones when whoever read has let go of it.
const READ_MEMORY_BYTES_KEPT_MAX: usize = 16 * 1024 * 1024;

/// The data directories, as one shard uses them.
#[derive(Debug)]
pub(crate) struct Files {
    reactor: Reactor,
    lines: Lines,
    /// Where they are, home first.
    roots: Vec<PathBuf>,
    devices: Devices,
    open: RefCell<OpenFiles>,
    /// Files with writes that no flush covers yet: how many flushes of their device had failed when the first of them began.
    unflushed: RefCell<BTreeMap<FileId, Failures>>,
    /// The file system has refused to write past the page cache.
    is_buffered: Cell<bool>,
    read_memory: Pool,
}

/// Open files, of which the one that was used longest ago goes when there are too many.
#[derive(Debug)]
struct OpenFiles<I = FileId, F = File> {
    limit: usize,
    by_id: BTreeMap<I, (u64, F)>,
    /// Which file was used when, oldest first.
    by_use: BTreeMap<u64, I>,
    uses: u64,
}

impl<I: Copy + Ord, F: Clone> OpenFiles<I, F> {
    fn new(limit: usize) -> Self {
        Self { limit, by_id: BTreeMap::new(), by_use: BTreeMap::new(), uses: 0 }
    }

    fn get(&mut self, id: I) -> Option<F> {
        let (used, file) = self.by_id.get_mut(&id)?;
        self.by_use.remove(used);
        self.uses += 1;
        *used = self.uses;
        self.by_use.insert(self.uses, id);
        Some(file.clone())
    }

    fn insert(&mut self, id: I, file: F) {
        self.remove(id);
        self.uses += 1;
        self.by_use.insert(self.uses, id);
        self.by_id.insert(id, (self.uses, file));
        if self.by_id.len() > self.limit {
            self.remove_oldest();
        }
    }

    fn remove_oldest(&mut self) {
        if let Some((_, oldest)) = self.by_use.pop_first() {
            self.by_id.remove(&oldest);
        }
    }

    fn remove(&mut self, id: I) {
        if let Some((used, _)) = self.by_id.remove(&id) {
            self.by_use.remove(&used);
        }
    }
}

impl Files {
    /// The files of one store, or of one recovery: each has ids of its own.
    pub(crate) fn new(reactor: Reactor, settings: &Settings, devices: Devices, lines: Lines) -> Self {
        let open_files_max = settings.open_files_max.max(OPEN_FILES_MIN);
        Self {
            reactor,
            lines,
            roots: settings.log_dirs.iter().map(|directory| directory.path.clone()).collect(),
            devices,
            open: RefCell::new(OpenFiles::new(open_files_max)),
            unflushed: RefCell::default(),
            is_buffered: Cell::new(false),
            read_memory: Pool::new(READ_MEMORY_BYTES_KEPT_MAX),
        }
    }

    /// Performs one operation. What changes or keeps something waits until there is a descriptor for it, because nothing mends
    /// what is told to have failed.
    pub(crate) async fn perform(&self, op: IoOp) -> IoResult {
        match op {
            // Names are the file system's own, which stops where its journal cannot be flushed.
            IoOp::Sync { .. } | IoOp::SyncAll { .. } => Box::pin(self.perform_flush(op)).await,
            op => self.attempt(op).await.map_err(|error| kind(&error)),
        }
    }

    async fn perform_flush(&self, op: IoOp) -> IoResult {
        let files = match &op {
            IoOp::Sync { file } => slice::from_ref(file),
            IoOp::SyncAll { files, .. } => files,
            _ => &[],
        };
        let device = files.first().map(|file| self.device(&file.path));
        // What is written meanwhile is the next one's.
        let covered = self.take_unflushed(files);
        let mut result = self.attempt(op).await.map_err(|error| kind(&error));
        if let Some(device) = device
            && result.is_ok()
        {
            result = self.confirm(device, &covered).await.map(|()| IoOutput::Done);
        }
        if result.is_err() {
            for (file, failures) in covered {
                self.note_unflushed(file, failures);
            }
        }
        result
    }

    /// These files are flushed. It counts if no other flush of the device has failed since they were written, of whichever
    /// shard: what they hold may be lost otherwise.
    async fn confirm(&self, device: &Device, covered: &[(FileId, Failures)]) -> Result<(), IoErrorKind> {
        let Some(first) = covered.iter().map(|(_, failures)| *failures).min() else { return Ok(()) };
        let overlapping = device.next_flush();
        while !device.have_ended(overlapping) {
            self.reactor.sleep(OVERLAP_WAIT).await;
        }
        device.failure_since(first).map_or(Ok(()), Err)
    }

    fn take_unflushed(&self, files: &[FileRef]) -> Vec<(FileId, Failures)> {
        let mut unflushed = self.unflushed.borrow_mut();
        files.iter().filter_map(|file| Some((file.id, unflushed.remove(&file.id)?))).collect()
    }

    /// Something was written to a file when so many flushes of its device had failed.
    fn note_unflushed(&self, file: FileId, failures: Failures) {
        let mut unflushed = self.unflushed.borrow_mut();
        let first = unflushed.entry(file).or_insert(failures);
        *first = failures.min(*first);
    }

    /// Flushes something of this path to its device, and has the device know of that.
    async fn flush(&self, path: &str, flush: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let device = self.device(path);
        let number = device.begin_flush();
        let result = flush.await;
        device.end_flush(number, result.as_ref().err().filter(|error| is_of_device(error)).map(kind));
        result
    }

    fn device(&self, path: &str) -> &Device {
        self.devices.of(LogDir::of_path(path).0)
    }

    async fn attempt(&self, op: IoOp) -> io::Result<IoOutput> {
        match op {
            IoOp::List { path } => return Ok(IoOutput::Listing(self.list(&path).await?)),
            IoOp::Read { file, offset, bytes } => {
                let file = match self.opened(&file) {
                    Some(open) => open,
                    None => self.open(&file, Create::No).await?,
                };
                let (result, chunk) = file.read(self.read_memory.chunk(bytes), offset, bytes).await;
                result?;
                return Ok(IoOutput::Read(chunk));
            }
            IoOp::CreateDir { path } => match self.reactor.create_dir(self.at(&path)).await {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => result?,
            },
            IoOp::Create { file, allocate_bytes } => {
                let file = self.file(&file, Create::IfMissing).await?;
                if allocate_bytes > 0 {
                    file.allocate(0, allocate_bytes).await?;
                }
            }
            IoOp::Allocate { file, bytes } => self.file(&file, Create::No).await?.allocate(0, bytes).await?,
            IoOp::Write { file, offset, data, durability } => {
                let open = self.file(&file, Create::No).await?;
                match durability {
                    WriteDurability::Buffered => {
                        let failures = self.device(&file.path).failures();
                        let result = write(&open, offset, data, Durability::None).await;
                        // A flush that began before it ended does not cover it.
                        self.note_unflushed(file.id, failures);
                        result?;
                    }
                    WriteDurability::Durable => write(&open, offset, data, Durability::Dsync).await?,
                }
            }
            IoOp::Sync { file } => self.sync(&file).await?,
            IoOp::SyncAll { files, dirs } => Box::pin(self.sync_all(&files, &dirs)).await?,
            IoOp::SyncDir { path } => self.sync_dir(&path).await?,
            IoOp::Truncate { file, bytes } => self.file(&file, Create::No).await?.truncate(bytes).await?,
            IoOp::Rename { from, to } => self.reactor.rename(self.at(&from), self.at(&to)).await?,
            IoOp::RemoveFile { file } => {
                self.forget(file.id);
                missing_is_fine(self.reactor.remove_file(self.at(&file.path)).await)?;
            }
            IoOp::RemoveDir { path } => {
                missing_is_fine(self.with_descriptor(async || self.remove_dir(&path).await).await)?;
            }
            IoOp::Close { file } => self.forget(file.id),
        }
        Ok(IoOutput::Done)
    }

    /// The file is not used any more.
    fn forget(&self, file: FileId) {
        self.open.borrow_mut().remove(file);
        self.unflushed.borrow_mut().remove(&file);
    }

    /// Where a path of storage leads.
    fn at(&self, path: &str) -> PathBuf {
        let (dir, name) = LogDir::of_path(path);
        self.roots[dir.index()].join(name)
    }

    async fn file(&self, file: &FileRef, create: Create) -> io::Result<File> {
        if let Some(open) = self.opened(file) {
            return Ok(open);
        }
        // While one write waits for a descriptor, another may open it.
        self.with_descriptor(async || match self.opened(file) {
            Some(open) => Ok(open),
            None => self.open(file, create).await,
        })
        .await
    }

    /// Does something that takes a descriptor, as soon as there is one. The file that was used longest ago goes for it.
    async fn with_descriptor<T>(&self, act: impl AsyncFn() -> io::Result<T>) -> io::Result<T> {
        let mut has_told = false;
        loop {
            match act().await {
                Err(error) if error.raw_os_error().is_some_and(is_out_of_descriptors) => {
                    if !std::mem::replace(&mut has_told, true) {
                        repeated!(
                            self.lines,
                            WriteWaits,
                            "writes that wait for files to be opened",
                            WARN,
                            "a write waits for a file to be opened: {error}; {}",
                            remedy(kind(&error))
                        );
                    }
                    self.open.borrow_mut().remove_oldest();
                    self.reactor.sleep(DESCRIPTOR_WAIT).await;
                }
                result => return result,
            }
        }
    }

    /// The file, if it is open already.
    fn opened(&self, file: &FileRef) -> Option<File> {
        self.open.borrow_mut().get(file.id)
    }

    async fn open(&self, file: &FileRef, create: Create) -> io::Result<File> {
        let options = OpenOptions { write: true, create, direct: true };
        let opened = self.reactor.open(self.at(&file.path), options).await?;
        if !opened.is_direct() {
            self.is_buffered.set(true);
        }
        self.open.borrow_mut().insert(file.id, opened.clone());
        Ok(opened)
    }

    async fn sync(&self, file: &FileRef) -> io::Result<()> {
        let open = self.file(file, Create::No).await?;
        self.flush(&file.path, open.sync_data()).await
    }

    async fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.with_descriptor(async || self.flush(path, self.reactor.sync_dir(self.at(path))).await).await
    }

    /// Many are synced together with their file system, where it can: all of them lie in one data directory. A failed write of the
    /// page cache may have been told to somebody else by then, so all files must go past it.
    async fn sync_all(&self, files: &[FileRef], dirs: &[Arc<str>]) -> io::Result<()> {
        let paths = files.iter().map(|file| &file.path).chain(dirs);
        let roots: BTreeSet<LogDir> = paths.map(|path| LogDir::of_path(path).0).collect();
        if let [dir] = roots.iter().collect::<Vec<_>>()[..]
            && files.len() + dirs.len() >= SYNCED_TOGETHER_MIN
            && !self.is_buffered.get()
        {
            let (root, path) = (&self.roots[dir.index()], dir.path(""));
            let sync = async || self.flush(&path, self.reactor.sync_file_system(root.clone())).await;
            match self.with_descriptor(sync).await {
                Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
                result => return result,
            }
        }
        let files = files.iter().map(|file| self.sync(file).left_future());
        let syncs = files.chain(dirs.iter().map(|path| self.sync_dir(path).right_future()));
        // All to their end, whatever fails: the device is not done before.
        let ends = stream::iter(syncs).buffer_unordered(SYNCS_AT_ONCE_MAX);
        ends.fold(Ok(()), async |all, one| all.and(one)).await
    }

    async fn list(&self, path: &str) -> io::Result<Vec<DirEntry>> {
        let entries = self.reactor.read_dir(self.at(path)).await?;
        let entry = |entry: ringlog_reactor::DirEntry| DirEntry {
            name: entry.name,
            kind: match entry.kind {
                ringlog_reactor::EntryKind::Directory => EntryKind::Directory,
                _ => EntryKind::File,
            },
            bytes: entry.bytes,
        };
        Ok(entries.into_iter().map(entry).collect())
    }

    async fn remove_dir(&self, path: &str) -> io::Result<()> {
        let root = self.at(path);
        for entry in self.reactor.read_dir(root.clone()).await? {
            missing_is_fine(self.reactor.remove_file(root.join(entry.name)).await)?;
        }
        self.reactor.remove_dir(root).await
    }
}

/// Writes slices one behind the other. The tail of a small partition is many small chunks: more than one write takes.
async fn write(file: &File, mut offset: u64, mut data: Vec<Slice>, durability: Durability) -> io::Result<()> {
    while data.len() > WRITE_SLICES_MAX {
        let rest = data.split_off(WRITE_SLICES_MAX);
        let bytes: u64 = data.iter().map(|slice| slice.len() as u64).sum();
        file.write(data, offset, durability).await?;
        (offset, data) = (offset + bytes, rest);
    }
    file.write(data, offset, durability).await
}

fn missing_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Whether a flush that failed so may have lost something: there was something to be flushed, and a way to do it.
fn is_of_device(error: &io::Error) -> bool {
    let is_missing = matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported);
    !is_missing && !error.raw_os_error().is_some_and(is_out_of_descriptors)
}

fn kind(error: &io::Error) -> IoErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => IoErrorKind::NoSpace,
        io::ErrorKind::NotFound => IoErrorKind::NotFound,
        io::ErrorKind::WriteZero => IoErrorKind::ShortWrite,
        _ => IoErrorKind::Other(error.raw_os_error().unwrap_or(0)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use ringlog_buffer::Chunk;
    use ringlog_reactor::Mesh;
    use ringlog_reactor::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Sim, SimOptions, Trigger};

    #[test]
    fn more_slices_than_one_write_takes_are_written_one_behind_the_other() {
        const BLOCK_BYTES: usize = 4096;
        let mut sim = Sim::new(1, SimOptions::default());
        let block = |number: usize| {
            let mut chunk = Chunk::with_capacity(BLOCK_BYTES);
            chunk.append(&vec![u8::try_from(number % 251).expect("small"); BLOCK_BYTES]);
            chunk.freeze()
        };
        let blocks = 2 * WRITE_SLICES_MAX + 7;
        let node = sim.start_node("writer", 1, move |reactor: Reactor, _: Mesh<()>| async move {
            let options = OpenOptions { write: true, create: Create::IfMissing, direct: true };
            let file = reactor.open("log", options).await.expect("the disk works");
            write(&file, 0, (0..blocks).map(block).collect(), Durability::None).await.expect("the disk works");
        });
        sim.run_until(|sim| !sim.is_running(node));
        let written = sim.disk(node).read_file("log").expect("it was made");
        assert_eq!(written.len(), blocks * BLOCK_BYTES);
        let is_there = |(number, bytes): (usize, &[u8])| bytes == &*block(number);
        assert!(written.chunks(BLOCK_BYTES).enumerate().all(is_there));
    }

    fn files(reactor: &Reactor, devices: &Devices) -> Files {
        Files {
            reactor: reactor.clone(),
            lines: Lines::new(reactor.clone()),
            roots: vec!["/".into()],
            devices: devices.clone(),
            open: RefCell::new(OpenFiles::new(OPEN_FILES_MIN)),
            unflushed: RefCell::default(),
            is_buffered: Cell::new(false),
            read_memory: Pool::new(0),
        }
    }

    /// Each shard writes to a file of its own and has it flushed, and one of the two flushes fails.
    #[test]
    fn trap_19_a_flush_that_fails_is_told_to_whoever_has_written_before_it_ended() {
        const BLOCK_BYTES: usize = 4096;
        let (mut kept, mut lost) = (0, 0);
        for seed in 0..200 {
            let mut sim = Sim::new(seed, SimOptions::default());
            let devices = Devices::new(&[0]);
            let has_ended = Arc::new([const { AtomicBool::new(false) }; 2]);
            let told = Arc::clone(&has_ended);
            let node = sim.start_node("two", 2, move |reactor: Reactor, mesh: Mesh<()>| {
                let (devices, told) = (devices.clone(), Arc::clone(&told));
                async move {
                    let files = files(&reactor, &devices);
                    let file = FileRef { id: FileId::new(0), path: mesh.index().to_string().into() };
                    let mut chunk = Chunk::with_capacity(BLOCK_BYTES);
                    chunk.append(&[1; BLOCK_BYTES]);
                    let (data, durability) = (vec![chunk.freeze()], WriteDurability::Buffered);
                    let create = IoOp::Create { file: file.clone(), allocate_bytes: BLOCK_BYTES as u64 };
                    files.perform(create).await.expect("there is room");
                    files.perform(IoOp::SyncDir { path: "".into() }).await.expect("names are synced");
                    let write = IoOp::Write { file: file.clone(), offset: 0, data, durability };
                    files.perform(write).await.expect("there is room");
                    let is_kept = files.perform(IoOp::Sync { file }).await.is_ok();
                    told[mesh.index()].store(is_kept, Ordering::Relaxed);
                }
            });
            let (operation, effect) = (DiskOperation::Sync, DiskEffect::Error(Errno::IO));
            let path_contains = (seed % 2).to_string();
            sim.disk(node).fault(DiskFault { operation, path_contains, trigger: Trigger::Nth(1), effect });
            sim.run_until(|sim| !sim.is_running(node));
            sim.power_cut(node);
            for (name, is_kept) in ["0", "1"].iter().zip(has_ended.iter()) {
                let is_there = sim.disk(node).read_file(name).is_ok_and(|bytes| bytes == [1; BLOCK_BYTES]);
                assert!(is_there || !is_kept.load(Ordering::Relaxed), "seed {seed}: what was flushed by shard {name}");
                *if is_there { &mut kept } else { &mut lost } += 1;
            }
        }
        assert!(kept > 20 && lost > 20, "{kept} files kept, {lost} lost");
    }

    #[test]
    fn the_file_that_was_used_longest_ago_is_closed_first() {
        let [a, b, c] = [1, 2, 3];
        let mut open = OpenFiles::new(2);
        open.insert(a, "a");
        open.insert(b, "b");
        assert_eq!(open.get(a), Some("a"));
        open.insert(c, "c");
        assert_eq!((open.get(a), open.get(b), open.get(c)), (Some("a"), None, Some("c")));
        // The same id again is the same place.
        open.insert(a, "a again");
        open.insert(c, "c again");
        assert_eq!((open.get(a), open.get(c)), (Some("a again"), Some("c again")));
        open.remove(a);
        open.remove(b);
        open.insert(b, "b");
        assert_eq!((open.get(a), open.get(b), open.get(c)), (None, Some("b"), Some("c again")));
        assert_eq!((open.by_id.len(), open.by_use.len()), (2, 2));
    }

    #[test]
    fn the_systems_errors_are_told_apart() {
        for (error, expected) in [
            (io::ErrorKind::StorageFull.into(), IoErrorKind::NoSpace),
            (io::ErrorKind::QuotaExceeded.into(), IoErrorKind::NoSpace),
            (io::ErrorKind::NotFound.into(), IoErrorKind::NotFound),
            (io::ErrorKind::WriteZero.into(), IoErrorKind::ShortWrite),
            (io::Error::from_raw_os_error(5), IoErrorKind::Other(5)),
            (io::ErrorKind::InvalidData.into(), IoErrorKind::Other(0)),
        ] {
            assert_eq!(kind(&error), expected, "{error:?}");
        }
    }
}
