//! What is done from time to time: retention, deleted records, producers that went idle, memory of idle partitions.

use std::sync::Arc;
use std::time::Duration;

use super::commit::AfterNotice;
use super::{Purpose, Store, index};
use crate::answer::{PartitionId, ReadError};
use crate::io::{FileRef, IoOp};
use crate::journal::format::{Entry, EntryKind};
use crate::log::mark::Mark;
use crate::log::partition::{Busy, Hold, Partition};
use crate::log::segment::{Seal, deleted_name};
use crate::types::{Millis, Offset};

/// A partition that was not appended to for so long gives its memory back.
const IDLE_MS: i64 = 30_000;

/// Something to be deleted when its delay is over.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Doomed {
    /// A removed partition's folder.
    Directory(String),
    /// A file of a deleted segment.
    File(String),
}

/// What [`Store::maintain`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Maintained {
    /// Segments deleted by retention.
    pub segments_deleted: u64,
    /// Producers forgotten.
    pub producers_expired: u64,
}

impl Store {
    /// Deletes what `retention.ms` and `retention.bytes` allow, forgets idle producers, and takes memory back from idle
    /// partitions: for each of `partitions`. To be called for all of them every few minutes, some at a time.
    pub fn maintain(&mut self, partitions: impl IntoIterator<Item = PartitionId>, now: Millis) -> Maintained {
        let mut done = Maintained::default();
        for id in partitions {
            let Some(partition) = self.get_mut(id).filter(|partition| !partition.removing) else { continue };
            let before = partition.producers.len();
            let idle_ms = partition.config.producer_id_expiration_ms;
            partition.producers.expire(now, idle_ms);
            done.producers_expired += crate::log::tail::to_u64(before - partition.producers.len());
            let keep_from = retained_from(partition, now);
            if keep_from > partition.log_start {
                self.move_log_start(id, keep_from);
            }
            done.segments_deleted += self.delete_segments(id);
            self.shrink_idle(id, now);
        }
        done
    }

    /// Gives memory back to the system that nobody has used since the last call.
    pub fn trim_memory(&mut self) {
        self.tail_memory.trim();
    }

    /// Deletes the records before `before`, or all below the high watermark for [`Offset::UNKNOWN`] (`DeleteRecords`).
    /// Answers the new log start; [`StoreEvent::RecordsDeleted`] tells when it survives a restart.
    pub fn delete_records(&mut self, id: PartitionId, before: Offset) -> Result<Offset, ReadError> {
        let partition = self.get(id).filter(|partition| !partition.removing).ok_or(ReadError::UnknownPartition)?;
        let before = if before == Offset::UNKNOWN { partition.high_watermark } else { before };
        if before < Offset::ZERO || before > partition.high_watermark {
            return Err(ReadError::OffsetOutOfRange {
                log_start: partition.log_start,
                log_end: partition.high_watermark,
            });
        }
        // One that changes nothing may stand on another that is not durable yet.
        let log_start = before.max(partition.log_start);
        self.move_log_start(id, log_start);
        self.delete_segments(id);
        self.known(id).operations += 1;
        self.commit.after_notices.push(AfterNotice::Deleted(id, log_start));
        Ok(log_start)
    }

    fn move_log_start(&mut self, id: PartitionId, to: Offset) {
        let partition = self.known(id);
        partition.log_start = to;
        partition.epochs.trim_start(to);
        partition.rot.retain(|range| range.next_good > to);
        self.tell_log_start(id);
    }

    fn tell_log_start(&mut self, id: PartitionId) {
        let partition = self.known(id);
        let (key, to) = (partition.key, partition.log_start);
        self.commit.notice(Entry::fact(EntryKind::LogStart, key, Mark { offset: to, ..Mark::at_segment(to) }));
    }

    /// Deletes the segments that lie wholly before the log start. Answers how many.
    fn delete_segments(&mut self, id: PartitionId) -> u64 {
        let mut deleted = 0;
        loop {
            let partition = self.partitions[index(id)].as_mut().expect("looked up before");
            if partition.segments.get(1).is_none_or(|next| next.base > partition.log_start) {
                break;
            }
            if partition.hold == Hold::Files {
                // Its data is on the way to another disk; the next maintenance finds it.
                break;
            }
            // A flush that waits for space on the device may not end before something is deleted.
            partition.written = partition.normal(partition.written);
            partition.durable = partition.synced();
            let (first, next) = (&partition.segments[0], &partition.segments[1]);
            let is_committed = partition.committed.offset >= next.base;
            if !is_committed || first.seal != Seal::Sealed || partition.durable.segment <= first.base {
                // Its data is on the way to the disk. Nothing else may ever have it get there; the next maintenance finds it.
                self.request_sync(id);
                break;
            }
            // All of it is committed, and what comes next may not be: that goes on from the segment behind.
            partition.issued = partition.normal(partition.issued);
            partition.committed = partition.normal(partition.committed);
            let mut first = partition.segments.pop_front().expect("there are two");
            first.tail.clear(&mut self.tail_memory);
            partition.operations += 1;
            self.commit.after_notices.push(AfterNotice::Retired(id, first.file));
            deleted += 1;
        }
        if deleted > 0 {
            // They go behind a record that tells where the log starts now.
            self.tell_log_start(id);
        }
        deleted
    }

    /// Sends the files of a deleted segment on their way. Those of a removed partition go with its folder.
    pub(super) fn retire(&mut self, id: PartitionId, file: &FileRef) {
        self.queue.start(IoOp::Close { file: file.clone() }, Purpose::Delete);
        let partition = self.known(id);
        if !partition.removing {
            let delay = Duration::from_millis(partition.config.file_delete_delay_ms);
            let due = self.clock.saturating_add(delay);
            let stem = file.path.strip_suffix(".log").expect("a segment's file ends so");
            for path in [file.path.to_string(), format!("{stem}.index")] {
                // Renamed at once, so that a restart does not take it for a segment.
                let gone = deleted_name(&path);
                let (from, to): (Arc<str>, Arc<str>) = (path.into(), gone.as_str().into());
                self.known(id).operations += 1;
                self.queue.start(IoOp::Rename { from, to }, Purpose::RenameRetired(id));
                self.deletions.insert((due, Doomed::File(gone)));
            }
        }
        self.operation_ended(id);
    }

    /// Deletes what has waited long enough.
    pub(super) fn delete_due(&mut self) {
        while let Some((due, _)) = self.deletions.first() {
            if *due > self.clock {
                return;
            }
            let (_, doomed) = self.deletions.pop_first().expect("it was there");
            let op = match doomed {
                Doomed::Directory(path) => IoOp::RemoveDir { path: path.into() },
                Doomed::File(path) => IoOp::RemoveFile { file: self.queue.file(path) },
            };
            self.queue.start(op, Purpose::Delete);
        }
    }

    fn shrink_idle(&mut self, id: PartitionId, now: Millis) {
        let Some(partition) = self.partitions.get_mut(index(id)).and_then(Option::as_mut) else { return };
        let idle = now.since(partition.last_append) >= IDLE_MS;
        let written = partition.written.offset == partition.end.offset && partition.busy == Busy::Idle;
        if !idle || !written || partition.segments.iter().all(|segment| segment.tail.held_bytes() == 0) {
            return;
        }
        let last = partition.end.segment;
        for segment in &mut partition.segments {
            if segment.base == last {
                segment.tail.shrink(&mut self.tail_memory);
            } else {
                segment.tail.clear(&mut self.tail_memory);
            }
        }
    }
}

/// The offset from which on retention keeps the log: the begin of a segment, or the end where all records are too old.
fn retained_from(partition: &Partition, now: Millis) -> Offset {
    let mut bytes: u64 = partition.segments.iter().map(|segment| segment.bytes).sum();
    let mut keep_from = partition.log_start;
    for (at, segment) in partition.segments.iter().enumerate() {
        let next = partition.segments.get(at + 1).map_or(partition.end.offset, |next| next.base);
        let is_last = at + 1 == partition.segments.len();
        // Where the producers have given no times, the last append stands for them all.
        let newest = if segment.times.max < Millis::new(0) { partition.last_append } else { segment.times.max };
        let is_known = newest >= Millis::new(0);
        let old = partition.config.retention_ms.is_some_and(|most| is_known && now.since(newest) > most);
        let large = partition.config.retention_bytes.is_some_and(|most| bytes - segment.bytes >= most);
        if !(old || large && !is_last) || next > partition.high_watermark {
            break;
        }
        bytes -= segment.bytes;
        keep_from = keep_from.max(next);
    }
    keep_from
}
