//! Disk operations of the processes: from their submission over their time in the device to their outcome.

use std::io;
use std::path::Path;

use ringlog_buffer::Chunk;

use super::disk::{DiskEffect, DiskOperation, Plan, Removal, to_u64};
use super::errno::Errno;
use super::events::{Happening, ShardKey};
use super::world::{Host, InFlight, OpenFile, World};
use crate::op::{DirEntry, Durability, EntryKind, FileId, Op, OpId, Opened, Outcome, failed};

impl World {
    pub(super) fn begin_disk(&mut self, key: ShardKey, id: OpId, op: Op) -> Option<Outcome> {
        let host = &mut self.hosts[key.host];
        let plan = match plan(host, key, &op, self.now) {
            Ok(plan) => plan,
            Err(errno) => return Some(failed(op, errno.into())),
        };
        if let Some(file) = op.file().and_then(|file| host.shards[key.shard].files.get_mut(&file)) {
            file.in_flight += 1;
        }
        self.events.push(plan.done_at, Happening::DiskEnds { shard: key, op: id });
        if is_flush(&op) && matches!(plan.effect, Some(DiskEffect::Error(_))) && self.random.chance(500) {
            // Others may be told of success before this one is told of its failure.
            host.disk.flush_failed();
        }
        let covered = match &op {
            Op::SyncData { file } => {
                host.shards[key.shard].files.get(file).map(|open| host.disk.covered_of_file(open.node))
            }
            Op::SyncDir { .. } => Some(host.disk.covered_names()),
            Op::SyncFileSystem { .. } => Some(host.disk.covered_in_all()),
            _ => None,
        };
        let held = InFlight { op, effect: plan.effect, covered: covered.unwrap_or_default() };
        host.shards[key.shard].operations.insert(id, held);
        None
    }

    pub(super) fn disk_ends(&mut self, key: ShardKey, id: OpId) {
        let Some(held) = self.shard(key).and_then(|shard| shard.operations.remove(&id)) else { return };
        let file = held.op.file();
        let host = &mut self.hosts[key.host];
        let outcome = perform(host, key, held);
        if let Some(file) = file {
            let shard = &mut host.shards[key.shard];
            let open = shard.files.get_mut(&file).expect("a file stays open while operations are in flight");
            open.in_flight -= 1;
            if open.is_closing && open.in_flight == 0 {
                really_close(host, key, file);
            }
        }
        if let Outcome::Filled(Ok(len), chunk) = &outcome {
            self.trace.fold_bytes(&chunk[chunk.len() - len..]);
        }
        self.end(key, id, outcome);
    }

    pub(super) fn close_file(&mut self, key: ShardKey, file: FileId) {
        let Some(shard) = self.shard(key) else { return };
        let Some(open) = shard.files.get_mut(&file) else { return };
        open.is_closing = true;
        if open.in_flight == 0 {
            really_close(&mut self.hosts[key.host], key, file);
        }
    }

    /// The process is gone in the middle of its disk operations: each was performed, or not, or in part.
    pub(super) fn interrupt_disk(&mut self, key: ShardKey) {
        let Some(shard) = self.shard(key) else { return };
        let operations = std::mem::take(&mut shard.operations);
        let host = &mut self.hosts[key.host];
        for held in operations.into_values() {
            match &held.op {
                Op::Write { file, slices, offset, .. } => {
                    let node = host.shards[key.shard].files[file].node;
                    host.disk.write_interrupted(node, *offset, slices);
                }
                Op::Allocate { .. }
                | Op::Truncate { .. }
                | Op::CreateDir { .. }
                | Op::RemoveFile { .. }
                | Op::RemoveDir { .. }
                | Op::Rename { .. }
                | Op::Open { .. }
                | Op::SyncData { .. }
                | Op::SyncDir { .. }
                | Op::SyncFileSystem { .. }
                    if self.random.chance(500) =>
                {
                    drop(perform(host, key, held));
                }
                _ => {}
            }
        }
    }
}

/// Checks an operation as the kernel does at once, and asks the disk for its fate.
fn plan(host: &mut Host, key: ShardKey, op: &Op, now: u64) -> Result<Plan, Errno> {
    use DiskOperation::{Allocate, List, Name, Open, Read, Sync, Write};
    let (files, disk) = (&host.shards[key.shard].files, &mut host.disk);
    let open = |file: &FileId| files.get(file).ok_or(Errno::BAD_DESCRIPTOR);
    let writable =
        |file: &FileId| open(file).and_then(|open| open.is_writable.then_some(open).ok_or(Errno::BAD_DESCRIPTOR));
    let text = |path: &Path| path.to_string_lossy().into_owned();
    Ok(match op {
        Op::Read { file, chunk, offset, bytes } => {
            let open = open(file)?;
            if open.is_direct {
                disk.check_direct(*offset, *bytes, chunk.as_ptr().addr() + chunk.len())?;
            }
            disk.plan(&[Read], &open.path, to_u64(*bytes), now)
        }
        Op::Write { file, slices, offset, durability } => {
            let open = writable(file)?;
            let mut total = 0;
            for slice in slices {
                if open.is_direct {
                    disk.check_direct(*offset, slice.len(), slice.as_ptr().addr())?;
                }
                total += to_u64(slice.len());
            }
            let operations: &[DiskOperation] = if *durability == Durability::Dsync { &[Write, Sync] } else { &[Write] };
            disk.plan(operations, &open.path, total, now)
        }
        Op::Allocate { file, .. } | Op::Truncate { file, .. } => disk.plan(&[Allocate], &writable(file)?.path, 0, now),
        Op::SyncData { file } => disk.plan(&[Sync], &open(file)?.path, 0, now),
        Op::Length { file } | Op::Lock { file } => disk.plan(&[], &open(file)?.path, 0, now),
        Op::Open { path, .. } => disk.plan(&[Open], &text(path), 0, now),
        Op::CreateDir { path } | Op::RemoveFile { path } | Op::RemoveDir { path } => {
            disk.plan(&[Name], &text(path), 0, now)
        }
        Op::Rename { from, to } => disk.plan(&[Name], &format!("{} {}", text(from), text(to)), 0, now),
        Op::SyncDir { path } => disk.plan(&[Sync], &text(path), 0, now),
        Op::SyncFileSystem { path } => {
            if !disk.syncs_as_a_whole() {
                return Err(Errno::NOT_SUPPORTED);
            }
            disk.plan(&[Sync], &text(path), 0, now)
        }
        Op::ReadDir { path } => disk.plan(&[List], &text(path), 0, now),
        Op::FreeSpace { path } | Op::TotalSpace { path } | Op::Device { path } => disk.plan(&[], &text(path), 0, now),
        Op::ProcessUsage => return Err(Errno::NOT_SUPPORTED),
        _ => unreachable!("socket operations go to the network"),
    })
}

/// Does an operation at its end, and says how it went.
fn perform(host: &mut Host, key: ShardKey, held: InFlight) -> Outcome {
    let InFlight { op, effect, covered } = held;
    let disk = &mut host.disk;
    let failure = match effect {
        Some(DiskEffect::Error(errno)) => Some(errno),
        _ => None,
    };
    let node = op.file().map(|file| host.shards[key.shard].files[&file].node);
    let node = || node.expect("operations on files name one that is open");
    let done = |result: Result<(), Errno>| Outcome::Done(result.map_err(io::Error::from));
    let unless_failed = |result: &mut dyn FnMut() -> Result<(), Errno>| match failure {
        Some(errno) => done(Err(errno)),
        None => done(result()),
    };
    if is_flush(&op)
        && let Some(errno) = failure
    {
        disk.flush_failed();
        return done(Err(errno));
    }
    match op {
        Op::Read { mut chunk, offset, bytes, .. } => {
            let read = disk.read(node(), offset, spare(&mut chunk, bytes), effect);
            chunk.advance(read.unwrap_or(0));
            Outcome::Filled(read.map_err(io::Error::from), chunk)
        }
        Op::Write { slices, offset, durability, .. } => {
            let total: usize = slices.iter().map(|slice| slice.len()).sum();
            match disk.write(node(), offset, &slices, durability, effect) {
                Ok(written) if written < total => Outcome::Done(Err(io::ErrorKind::WriteZero.into())),
                result => done(result.map(|_| ())),
            }
        }
        Op::SyncData { .. } => {
            disk.sync_files(&covered);
            done(Ok(()))
        }
        Op::Allocate { offset, bytes, .. } => unless_failed(&mut || disk.allocate(node(), offset, bytes)),
        Op::Truncate { bytes, .. } => unless_failed(&mut || disk.set_len(node(), bytes)),
        Op::Length { .. } => Outcome::Number(disk.len(node()).map_err(io::Error::from)),
        Op::Lock { file } => done(disk.lock(node(), holder(key, file))),
        Op::CreateDir { path } => unless_failed(&mut || disk.create_directory(&path)),
        Op::RemoveFile { path } => unless_failed(&mut || disk.remove(&path, Removal::File)),
        Op::RemoveDir { path } => unless_failed(&mut || disk.remove(&path, Removal::Directory)),
        Op::Rename { from, to } => unless_failed(&mut || disk.rename(&from, &to)),
        Op::SyncDir { path } => done(disk.sync_directory(&path, &covered)),
        Op::SyncFileSystem { path } => done(disk.sync_all(&path, &covered)),
        Op::FreeSpace { path } => Outcome::Number(disk.free_bytes_at(&path).map_err(io::Error::from)),
        Op::TotalSpace { path } => Outcome::Number(disk.capacity_bytes_at(&path).map_err(io::Error::from)),
        Op::Device { path } => Outcome::Number(disk.device_at(&path).map_err(io::Error::from)),
        Op::ReadDir { path } => {
            let entries = failure.map_or_else(|| disk.list(&path), Err);
            let entry = |entry: super::disk::Entry| DirEntry {
                kind: if entry.is_directory { EntryKind::Directory } else { EntryKind::File },
                name: entry.name,
                bytes: entry.bytes,
            };
            Outcome::Entries(entries.map(|list| list.into_iter().map(entry).collect()).map_err(io::Error::from))
        }
        op @ Op::Open { .. } => match failure {
            Some(errno) => failed(op, errno.into()),
            None => Outcome::Opened(open(host, key, &op).map_err(io::Error::from)),
        },
        _ => unreachable!("socket operations go to the network"),
    }
}

fn is_flush(op: &Op) -> bool {
    matches!(op, Op::SyncData { .. } | Op::SyncDir { .. } | Op::SyncFileSystem { .. })
}

fn open(host: &mut Host, key: ShardKey, op: &Op) -> Result<Opened, Errno> {
    let Op::Open { path, options } = op else { unreachable!("called for it") };
    if host.descriptors >= host.descriptors_max {
        return Err(Errno::TOO_MANY_FILES);
    }
    let node = host.disk.open(path, options.create)?;
    host.descriptors += 1;
    let shard = &mut host.shards[key.shard];
    let file = FileId(shard.next_descriptor());
    let open = OpenFile {
        node,
        path: path.to_string_lossy().into_owned(),
        is_direct: options.direct,
        is_writable: options.write,
        in_flight: 0,
        is_closing: false,
    };
    shard.files.insert(file, open);
    Ok(Opened { file, direct: options.direct })
}

fn really_close(host: &mut Host, key: ShardKey, file: FileId) {
    if let Some(open) = host.shards[key.shard].files.remove(&file) {
        host.disk.close(open.node, holder(key, file));
        host.descriptors -= 1;
    }
}

/// Names one descriptor among all of a host.
fn holder(key: ShardKey, file: FileId) -> u64 {
    (to_u64(key.shard) << 32) | u64::from(file.0)
}

/// The part of a chunk that a read of `bytes` may fill.
pub(super) fn spare(chunk: &mut Chunk, bytes: usize) -> &mut [u8] {
    let spare = chunk.spare_mut();
    let bytes = bytes.min(spare.len());
    &mut spare[..bytes]
}
