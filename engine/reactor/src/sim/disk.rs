//! A simulated disk: names and bytes in memory, a volatile write cache, and faults on demand.
//!
//! What a process reads is the *current* state. What was not synced is volatile: a power cut leaves the durable state
//! plus whatever part of the unsynced changes the seed chooses, sector by sector and name by name. The rules are as
//! strict as POSIX allows, stricter than any one file system:
//!
//! - a write is durable after a `sync_data` that began when it had ended, or on its own when it asked for that (`RWF_DSYNC`), range by range;
//! - a change of length is durable after `sync_data`, or with a later durable write that needs it;
//! - a name (create, rename, remove) is durable after `sync_dir` of its directory, whatever was synced of the file;
//!   a rename is lost or kept as one;
//! - a failed sync may have lost for ever whatever was not synced, whoever wrote it: later syncs know nothing of that, and
//!   readers see what is left.

mod content;
mod faults;
mod names;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use ringlog_buffer::Slice;

use self::content::Mark;
use self::content::SECTOR_BYTES;
pub(super) use self::content::{to_u64, to_usize};
use self::faults::Faults;
pub use self::faults::{DiskEffect, DiskFault, DiskOperation, Trigger};
use self::names::Names;
pub(super) use self::names::{Entry, NodeId, Removal};
use super::errno::Errno;
use super::random::Random;
use crate::op::{Create, Durability};

/// The largest file: it bounds what a mistaken offset can make the simulator hold.
const FILE_BYTES_MAX: u64 = 1 << 40;

/// How a simulated disk behaves when nothing is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DiskOptions {
    /// Time that an operation takes by itself: reads and writes, and whatever needs no flush.
    pub latency: RangeInclusive<Duration>,
    /// Time that a flush adds: a sync, a durable write.
    pub flush_latency: RangeInclusive<Duration>,
    /// Bytes per second that the device moves, all operations together.
    pub bandwidth_bytes_per_s: u64,
    /// Space for contents, in whole pages of 4 KiB.
    pub capacity_bytes: u64,
    /// What `O_DIRECT` asks of offsets, lengths and addresses.
    pub direct_alignment_bytes: u64,
    /// One operation in a thousand, times this, takes ten times as long.
    pub outliers_per_mille: u32,
    /// Whether the file system can be synced as a whole.
    pub syncs_as_a_whole: bool,
}

impl Default for DiskOptions {
    fn default() -> Self {
        Self {
            latency: Duration::from_micros(5)..=Duration::from_micros(60),
            flush_latency: Duration::from_micros(50)..=Duration::from_micros(200),
            bandwidth_bytes_per_s: 2_000_000_000,
            capacity_bytes: 64 << 30,
            direct_alignment_bytes: SECTOR_BYTES,
            outliers_per_mille: 5,
            syncs_as_a_whole: true,
        }
    }
}

/// What is decided when an operation is submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Plan {
    /// When it completes, in nanoseconds.
    pub(super) done_at: u64,
    /// What goes wrong then.
    pub(super) effect: Option<DiskEffect>,
}

/// What a sync covers: what was there when it was submitted.
#[derive(Debug, Default)]
pub(super) struct Covered {
    names: Mark,
    files: Vec<(NodeId, Mark)>,
}

/// The disk of one node. It outlives the node's processes.
#[derive(Debug)]
pub(super) struct Disk {
    options: DiskOptions,
    random: Random,
    names: Names,
    faults: Faults,
    /// Descriptors that hold an exclusive lock.
    locks: BTreeMap<NodeId, u64>,
    used_bytes: u64,
    device_free_at: u64,
}

impl Disk {
    pub(super) fn new(options: DiskOptions, random: Random) -> Self {
        let (names, faults) = (Names::new(), Faults::default());
        Self { options, random, names, faults, locks: BTreeMap::new(), used_bytes: 0, device_free_at: 0 }
    }

    pub(super) fn options_mut(&mut self) -> &mut DiskOptions {
        &mut self.options
    }

    pub(super) fn add_fault(&mut self, fault: DiskFault) {
        self.faults.add(fault);
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    pub(super) fn used_bytes(&self) -> u64 {
        self.used_bytes
    }

    /// Decides an operation's fate at its submission.
    pub(super) fn plan(&mut self, operations: &[DiskOperation], path: &str, bytes: u64, now: u64) -> Plan {
        let Self { options, random, faults, .. } = self;
        let mut latency = between(&options.latency, random);
        if operations.contains(&DiskOperation::Sync) {
            latency += between(&options.flush_latency, random);
        }
        if random.chance(options.outliers_per_mille) {
            latency *= 10;
        }
        let mut effect = faults.strike(operations, path, random);
        if let Some(DiskEffect::Delay(delay)) = effect {
            latency += nanos(delay);
            effect = None;
        }
        let transfer = bytes.saturating_mul(1_000_000_000) / options.bandwidth_bytes_per_s.max(1);
        self.device_free_at = self.device_free_at.max(now) + transfer;
        Plan { done_at: self.device_free_at + latency, effect }
    }

    /// What `O_DIRECT` refuses.
    pub(super) fn check_direct(&self, offset: u64, len: usize, address: usize) -> Result<(), Errno> {
        let unit = self.options.direct_alignment_bytes.max(1);
        let aligned = [offset, to_u64(len), to_u64(address)].iter().all(|value| value.is_multiple_of(unit));
        if aligned { Ok(()) } else { Err(Errno::INVALID) }
    }

    /// Finds or creates a file, and counts a descriptor for it.
    pub(super) fn open(&mut self, path: &Path, create: Create) -> Result<NodeId, Errno> {
        let node = match (self.names.find(path), create) {
            (Ok(_), Create::New) => return Err(Errno::EXISTS),
            (Ok(node), _) => node,
            (Err(Errno::NOT_FOUND), Create::New | Create::IfMissing) => self.names.create_file(path)?,
            (Err(error), _) => return Err(error),
        };
        self.names.file(node)?;
        self.names.opened(node);
        Ok(node)
    }

    /// Gives a descriptor back; `holder` is its number.
    pub(super) fn close(&mut self, node: NodeId, holder: u64) {
        if self.locks.get(&node) == Some(&holder) {
            self.locks.remove(&node);
        }
        self.names.closed(node);
        if !self.names.takes_space(node) {
            self.count_space();
        }
    }

    /// Every process of the node is gone: descriptors and locks are free.
    pub(super) fn close_all(&mut self) {
        self.locks.clear();
        self.names.close_all();
        self.count_space();
    }

    /// Takes the exclusive lock of a file for the descriptor `holder`.
    pub(super) fn lock(&mut self, node: NodeId, holder: u64) -> Result<(), Errno> {
        let held_by = *self.locks.entry(node).or_insert(holder);
        if held_by == holder { Ok(()) } else { Err(Errno::WOULD_BLOCK) }
    }

    pub(super) fn read(
        &mut self,
        node: NodeId,
        offset: u64,
        out: &mut [u8],
        effect: Option<DiskEffect>,
    ) -> Result<usize, Errno> {
        match effect {
            Some(DiskEffect::Error(errno)) => Err(errno),
            Some(DiskEffect::Short) => {
                let some = self.random.index(out.len());
                Ok(self.names.file(node)?.read(offset, &mut out[..some]))
            }
            Some(DiskEffect::Delay(_)) | None => Ok(self.names.file(node)?.read(offset, out)),
        }
    }

    /// Writes, and answers how many bytes. Fewer than asked means that the space or a fault ended it.
    pub(super) fn write(
        &mut self,
        node: NodeId,
        offset: u64,
        slices: &[Slice],
        durability: Durability,
        effect: Option<DiskEffect>,
    ) -> Result<usize, Errno> {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        if offset.checked_add(to_u64(len)).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Errno::FILE_TOO_LARGE);
        }
        match effect {
            Some(DiskEffect::Error(errno)) => {
                self.write_interrupted(node, offset, slices);
                Err(errno)
            }
            Some(DiskEffect::Short) => {
                let some = self.random.index(len);
                self.write_fitting(node, offset, slices, some, durability)
            }
            Some(DiskEffect::Delay(_)) | None => self.write_fitting(node, offset, slices, len, durability),
        }
    }

    /// A write whose outcome nobody learned: done wholly, in part, or not at all, and durable in no case.
    pub(super) fn write_interrupted(&mut self, node: NodeId, offset: u64, slices: &[Slice]) {
        let mode = self.random.below(3);
        let mut at = offset;
        for slice in slices {
            for (start, len) in sectors(at, slice.len()) {
                let done = match mode {
                    0 => false,
                    1 => true,
                    _ => self.random.chance(500),
                };
                if done {
                    let piece = slice.slice(start..start + len);
                    // Without space, nothing is written.
                    let _ = self.write_fitting(node, at + to_u64(start), &[piece], len, Durability::None);
                }
            }
            at += to_u64(slice.len());
        }
    }

    pub(super) fn allocate(&mut self, node: NodeId, offset: u64, len: u64) -> Result<(), Errno> {
        if offset.checked_add(len).is_none_or(|end| end > FILE_BYTES_MAX) {
            return Err(Errno::FILE_TOO_LARGE);
        }
        let needed = self.names.file(node)?.space_needed(offset, len);
        if needed > self.free_bytes() {
            return Err(Errno::NO_SPACE);
        }
        self.used_bytes += needed;
        self.names.file_mut(node)?.allocate(offset, len);
        Ok(())
    }

    pub(super) fn set_len(&mut self, node: NodeId, len: u64) -> Result<(), Errno> {
        if len > FILE_BYTES_MAX {
            return Err(Errno::FILE_TOO_LARGE);
        }
        let file = self.names.file_mut(node)?;
        let before = file.allocated_bytes();
        file.set_len(len);
        self.used_bytes -= before - file.allocated_bytes();
        Ok(())
    }

    pub(super) fn syncs_as_a_whole(&self) -> bool {
        self.options.syncs_as_a_whole
    }

    /// What a sync of this file that is submitted now would cover.
    pub(super) fn covered_of_file(&self, node: NodeId) -> Covered {
        let mark = self.names.file(node).map(content::Content::mark).unwrap_or_default();
        Covered { names: Mark::default(), files: vec![(node, mark)] }
    }

    /// What a sync of a directory that is submitted now would cover.
    pub(super) fn covered_names(&self) -> Covered {
        Covered { names: self.names.mark(), files: Vec::new() }
    }

    /// What a sync of everything that is submitted now would cover.
    pub(super) fn covered_in_all(&self) -> Covered {
        Covered { names: self.names.mark(), files: self.names.unsynced_files() }
    }

    pub(super) fn sync_files(&mut self, covered: &Covered) {
        for (node, mark) in &covered.files {
            // It may be gone since.
            if let Ok(file) = self.names.file_mut(*node) {
                file.sync(*mark);
            }
        }
    }

    pub(super) fn sync_all(&mut self, path: &Path, covered: &Covered) -> Result<(), Errno> {
        self.names.find(path)?;
        self.sync_files(covered);
        self.names.sync_all(covered.names);
        Ok(())
    }

    /// A flush of the device failed. It has one write cache for whatever lies on it, so it does not matter who asked for that.
    pub(super) fn flush_failed(&mut self) {
        for (node, _) in self.names.unsynced_files() {
            if let Ok(file) = self.names.file_mut(node) {
                file.flush_failed(&mut self.random);
            }
        }
    }

    pub(super) fn len(&self, node: NodeId) -> Result<u64, Errno> {
        Ok(self.names.file(node)?.len())
    }

    pub(super) fn create_directory(&mut self, path: &Path) -> Result<(), Errno> {
        self.names.create_directory(path).map(|_| ())
    }

    pub(super) fn remove(&mut self, path: &Path, wanted: Removal) -> Result<(), Errno> {
        let node = self.names.remove(path, wanted)?;
        if wanted == Removal::File && !self.names.takes_space(node) {
            self.count_space();
        }
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> Result<(), Errno> {
        if self.names.rename(from, to)?.is_some() {
            self.count_space();
        }
        Ok(())
    }

    pub(super) fn sync_directory(&mut self, path: &Path, covered: &Covered) -> Result<(), Errno> {
        self.names.sync(path, covered.names)
    }

    pub(super) fn list(&self, path: &Path) -> Result<Vec<Entry>, Errno> {
        self.names.list(path)
    }

    /// Free space as a process sees it, of the file system that holds `path`.
    pub(super) fn free_bytes_at(&self, path: &Path) -> Result<u64, Errno> {
        self.names.find(path).map(|_| self.free_bytes())
    }

    /// Space as a process sees it, of the file system that holds `path`, used or not.
    pub(super) fn capacity_bytes_at(&self, path: &Path) -> Result<u64, Errno> {
        self.names.find(path).map(|_| self.options.capacity_bytes)
    }

    /// Names the device that holds `path`: a node has one.
    pub(super) fn device_at(&self, path: &Path) -> Result<u64, Errno> {
        self.names.find(path).map(|_| 0)
    }

    pub(super) fn free_bytes(&self) -> u64 {
        self.options.capacity_bytes.saturating_sub(self.used_bytes)
    }

    /// The power goes. Writes in flight are passed to [`write_interrupted`](Self::write_interrupted) before.
    pub(super) fn power_cut(&mut self) {
        self.locks.clear();
        self.names.power_cut(&mut self.random);
        self.device_free_at = 0;
        self.count_space();
    }

    /// Flips one bit of what is stored at `offset` of a file.
    pub(super) fn rot(&mut self, path: &Path, offset: u64) -> Result<(), Errno> {
        let node = self.names.find(path)?;
        let bit = u8::try_from(self.random.below(8)).expect("less than 8");
        if self.names.file_mut(node)?.rot(offset, bit) { Ok(()) } else { Err(Errno::INVALID) }
    }

    /// What a process would read of a whole file, for a test's own eyes.
    pub(super) fn contents(&self, path: &Path) -> Result<Vec<u8>, Errno> {
        let file = self.names.file(self.names.find(path)?)?;
        let mut bytes = vec![0; to_usize(file.len())];
        file.read(0, &mut bytes);
        Ok(bytes)
    }

    /// Whether a power cut could take anything away.
    pub(super) fn has_unsynced(&self) -> bool {
        self.names.has_unsynced()
    }

    fn write_fitting(
        &mut self,
        node: NodeId,
        offset: u64,
        slices: &[Slice],
        limit: usize,
        durability: Durability,
    ) -> Result<usize, Errno> {
        let needed = self.names.file(node)?.space_needed(offset, to_u64(limit));
        if needed > self.free_bytes() {
            return Err(Errno::NO_SPACE);
        }
        self.used_bytes += needed;
        let file = self.names.file_mut(node)?;
        let mut written = 0;
        for slice in slices {
            let piece = &slice[..slice.len().min(limit - written)];
            let at = offset + to_u64(written);
            written += piece.len();
            match durability {
                Durability::None => file.write(at, piece),
                Durability::Dsync => file.write_durable(at, piece),
            }
        }
        Ok(written)
    }

    fn count_space(&mut self) {
        self.used_bytes = self.names.allocated_bytes();
    }
}

/// Cuts a range at the borders of sectors: (bytes before, bytes here).
fn sectors(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let here = to_usize(SECTOR_BYTES - (offset + to_u64(done)) % SECTOR_BYTES).min(len - done);
        let piece = (done, here);
        done += here;
        (here > 0).then_some(piece)
    })
}

pub(super) fn between(range: &RangeInclusive<Duration>, random: &mut Random) -> u64 {
    random.between(nanos(*range.start()), nanos(*range.end()))
}

/// Virtual time is 64 bits of nanoseconds: 584 years.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
