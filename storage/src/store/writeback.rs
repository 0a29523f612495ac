//! Writeback: journaled batches go into their segments in large writes; segments are synced and sealed.
//!
//! A partition's files are busy with at most one thing at a time. [`Store::drive`] looks at what the partition wants
//! and begins the next step; every step's end leads back there.

use std::collections::{BTreeSet, VecDeque};

use ringlog_buffer::{Chunk, Slice};

use super::sync::{SyncPart, is_unsynced};
use super::{Purpose, Space, Store};
use crate::answer::PartitionId;
use crate::io::{FileRef, IoErrorKind, IoOp, IoOutput, IoResult, WriteDurability};
use crate::limits::{BLOCK_BYTES, SEGMENT_WRITE_BYTES_MAX, WRITEBACK_IN_FLIGHT_MAX};
use crate::log::mark::Mark;
use crate::log::partition::{Busy, Flush, Hold, Partition};
use crate::log::segment::Seal;
use crate::log::tail::{to_u64, to_usize};
use crate::types::{Nanos, Offset};

/// Chunks looked at in one go when memory is short.
const EVICTIONS_PER_TURN: usize = 64;
/// Bytes of zeros in one write to a new journal file.
const ZEROS_BYTES: usize = 1 << 20;

/// The flushes of a shard.
#[derive(Debug, Default)]
pub(crate) struct Writeback {
    /// Partitions whose flush waits for its turn.
    requests: VecDeque<PartitionId>,
    /// Flushes that have their turn.
    under_way: usize,
    /// Partitions with something to write and no flush, each once, by the last journal record when they came to stand here.
    unwritten: VecDeque<(u64, PartitionId)>,
    /// Partitions that could not get space.
    pub(super) starved: BTreeSet<PartitionId>,
    /// Records before this sequence are old when that time has come.
    old: Option<(Nanos, u64)>,
    /// An append waits until less is unwritten.
    room_wanted: bool,
    /// No new journal file before this time.
    journal_retry: Nanos,
}

impl Writeback {
    /// A flush that had its turn has nothing to write for now.
    pub(super) fn give_turn_back(&mut self) {
        self.under_way -= 1;
    }

    /// Remembers whether an append waits for room. Answers whether that is news that it does.
    pub(super) fn want_room(&mut self, is_wanted: bool) -> bool {
        !std::mem::replace(&mut self.room_wanted, is_wanted) && is_wanted
    }

    /// The partition is gone.
    pub(super) fn forget_unwritten(&mut self, id: PartitionId) {
        self.unwritten.retain(|(_, other)| *other != id);
    }

    /// Whether no flush has its turn or waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way == 0 && self.requests.is_empty()
    }
}

impl Store {
    /// Asks for everything committed to get into the segment.
    pub(super) fn request_flush(&mut self, id: PartitionId) {
        let partition = self.known(id);
        if partition.fenced.is_some() || partition.removing {
            return;
        }
        partition.flush_to = partition.committed.offset;
        partition.journaled_after_flush = None;
        match partition.flush {
            Flush::None => {
                partition.flush = Flush::Queued;
                self.writeback.requests.push_back(id);
            }
            Flush::Queued => {}
            Flush::UnderWay | Flush::Syncing => self.drive(id),
        }
    }

    /// The same, and for the segment to be synced, so that the journal is not needed any more.
    pub(super) fn request_sync(&mut self, id: PartitionId) {
        self.known(id).sync_wanted = true;
        self.request_flush(id);
    }

    /// A commit waits until the partition's segment can be written.
    pub(super) fn wait_for_file(&mut self, id: PartitionId) {
        let partition = self.known(id);
        partition.room_wanted = true;
        let (dir, is_preparing) = (partition.log_dir, partition.busy == Busy::Preparing);
        if is_preparing {
            self.syncs.hurry(dir);
        }
        self.drive(id);
    }

    /// Notes that a journal record holds something of this partition.
    pub(super) fn journaled_at(&mut self, id: PartitionId, sequence: u64) {
        let partition = self.known(id);
        if partition.removing {
            // Nobody needs it any more, and nothing would ever bring it into a segment.
            return;
        }
        partition.journaled_after_flush.get_or_insert(sequence);
        if partition.journaled_since.is_none() {
            partition.journaled_since = Some(sequence);
            self.journaled.insert((sequence, id));
        }
    }

    /// Notes that something committed is not in its segment yet. A flush, while there is one, finds it by itself.
    pub(super) fn note_unwritten(&mut self, id: PartitionId) {
        let last_record = self.next_sequence.saturating_sub(1);
        let partition = self.known(id);
        let is_news = partition.flush == Flush::None && !partition.unwritten_noted;
        if is_news && partition.written.offset < partition.committed.offset {
            partition.unwritten_noted = true;
            self.writeback.unwritten.push_back((last_record, id));
        }
    }

    /// When the oldest journaled data has to be written back.
    pub(super) fn writeback_deadline(&self) -> Option<Nanos> {
        (!self.writeback.unwritten.is_empty()).then(|| self.writeback.old.map(|(at, _)| at)).flatten()
    }

    /// Begins flushes that are due: asked for, old, or in the way of memory.
    pub(super) fn advance_writeback(&mut self) {
        if self.fenced.is_some() {
            return;
        }
        self.request_old();
        if self.writeback.room_wanted || self.unwritten_bytes > self.config.unwritten_bytes_max / 2 {
            self.request_oldest(self.free_turns(), u64::MAX);
            self.hurry_lazy();
        }
        self.evict_chunks();
        while self.writeback.under_way < WRITEBACK_IN_FLIGHT_MAX {
            let Some(id) = self.writeback.requests.pop_front() else { break };
            let Some(partition) = self.get_mut(id) else { continue };
            if partition.flush == Flush::Queued {
                partition.flush = Flush::UnderWay;
                self.writeback.under_way += 1;
                self.drive(id);
            }
        }
    }

    fn request_old(&mut self) {
        let next = (self.clock.saturating_add(self.config.writeback_age), self.next_sequence);
        match self.writeback.old {
            _ if self.writeback.unwritten.is_empty() => self.writeback.old = None,
            None => self.writeback.old = Some(next),
            Some((at, sequence)) if at <= self.clock => {
                self.request_oldest(usize::MAX, sequence);
                self.writeback.old = Some(next);
            }
            Some(_) => {}
        }
    }

    /// Flushes that could be begun at once.
    fn free_turns(&self) -> usize {
        WRITEBACK_IN_FLIGHT_MAX.saturating_sub(self.writeback.under_way + self.writeback.requests.len())
    }

    /// Asks for the flush of partitions with something unwritten from records before `sequence`, oldest first.
    fn request_oldest(&mut self, mut count: usize, sequence: u64) {
        while count > 0
            && let Some((_, id)) = self.writeback.unwritten.pop_front_if(|(last_record, _)| *last_record < sequence)
        {
            let Some(partition) = self.get_mut(id) else { continue };
            partition.unwritten_noted = false;
            if partition.flush == Flush::None && partition.written.offset < partition.committed.offset {
                self.request_flush(id);
                count -= 1;
            }
        }
    }

    /// Frees written chunks, those that were written first, while there are more than the budget allows.
    fn evict_chunks(&mut self) {
        for _ in 0..EVICTIONS_PER_TURN {
            if self.tail_memory.held_bytes() <= self.config.tail_bytes_max {
                return;
            }
            let Some(id) = self.evictable.pop_front() else {
                // What is held is unwritten, or is being filled: then writing little by little would free nothing.
                if self.unwritten_bytes > to_u64(self.config.tail_bytes_max) / 4 {
                    self.request_oldest(self.free_turns(), u64::MAX);
                }
                return;
            };
            let Some(partition) = self.partitions.get_mut(super::index(id)).and_then(Option::as_mut) else { continue };
            partition.is_evictable = false;
            partition.evict_chunk(&mut self.tail_memory);
            self.note_evictable(id);
        }
    }

    /// Has the partition stand among those that can free a chunk, if it can.
    fn note_evictable(&mut self, id: PartitionId) {
        let partition = self.known(id);
        if !partition.is_evictable && partition.can_evict() {
            partition.is_evictable = true;
            self.evictable.push_back(id);
        }
    }

    /// Begins the partition's next step, if its files are not busy.
    pub(super) fn drive(&mut self, id: PartitionId) {
        self.seal_complete(id);
        let exhausted = self.space != Space::There;
        let directory_fenced = self.fenced.is_some();
        let Some(partition) = self.get_mut(id) else { return };
        let is_closed = partition.fenced.is_some() || partition.removing || directory_fenced;
        if partition.busy != Busy::Idle || is_closed || partition.hold == Hold::Files {
            return;
        }
        partition.written = partition.normal(partition.written);
        let unwritten = partition.written.offset < partition.flush_to;
        if partition.flush == Flush::Syncing && unwritten {
            partition.flush = Flush::Queued;
            self.writeback.requests.push_back(id);
            return self.drive(id);
        }
        let wants_write = partition.flush == Flush::UnderWay && unwritten;
        if !wants_write && !partition.room_wanted {
            return self.end_flush_if_written(id);
        }
        if !wants_write {
            // Also while what comes next finds no room.
            self.end_flush_if_written(id);
        }
        let partition = self.known(id);
        let (written, segment_bytes) = (partition.written, partition.config.segment_bytes);
        let at = partition.segment_with_base(written.segment).expect("what is written lies in a segment");
        let segment = &partition.segments[at];
        let needed = partition.next_write_end(at, written);
        if !segment.has_room(needed) {
            let allocate = crate::log::segment::allocation_for(needed, segment_bytes);
            if exhausted && !self.writeback.starved.is_empty() {
                self.writeback.starved.insert(id);
            } else {
                self.start_prepare(id, written.segment, allocate);
            }
        } else if let Some(block) = segment.tail.missing_block(written.position) {
            self.start_read_block(id, written.segment, block);
        } else if wants_write {
            self.start_writeback(id);
        } else {
            partition.room_wanted = false;
            self.queue_commit(id);
        }
    }

    /// Seals the segments that are complete.
    fn seal_complete(&mut self, id: PartitionId) {
        let fenced = self.fenced.is_some();
        let Some(partition) = self.partitions.get_mut(super::index(id)).and_then(Option::as_mut) else { return };
        let is_closed = fenced || partition.fenced.is_some() || partition.removing;
        if is_closed || partition.unsealed == 0 || partition.hold == Hold::Files {
            return;
        }
        partition.written = partition.normal(partition.written);
        let (written, end) = (partition.written, partition.end.segment);
        for segment in &mut partition.segments {
            if segment.seal == Seal::Open && segment.base < written.segment && segment.base < end {
                segment.seal = Seal::Sealing;
                partition.operations += 1;
                let sidecar = super::checkpoint::sidecar(segment);
                let path = segment.file.path.strip_suffix(".log").expect("a segment's file ends so");
                let index_file = self.queue.file(format!("{path}.index"));
                let bytes = crate::log::tail::to_u64(sidecar.len());
                let script = [
                    IoOp::Truncate { file: segment.file.clone(), bytes: segment.bytes },
                    IoOp::Sync { file: segment.file.clone() },
                    IoOp::Create { file: index_file.clone(), allocate_bytes: bytes },
                    IoOp::Write {
                        file: index_file.clone(),
                        offset: 0,
                        data: vec![sidecar],
                        durability: WriteDurability::Buffered,
                    },
                    IoOp::Sync { file: index_file.clone() },
                    IoOp::Close { file: index_file },
                    IoOp::SyncDir { path: partition.dir.clone() },
                ];
                self.queue.start_script(script, Purpose::Seal(id, segment.base));
            }
        }
    }

    pub(super) fn sealed(&mut self, id: PartitionId, base: Offset, result: Result<(), IoErrorKind>) {
        let partition = self.known(id);
        let Some(segment) = partition.segment_mut(base) else { return self.operation_ended(id) };
        let mut newly_sealed = false;
        match result {
            Ok(()) => {
                segment.seal = Seal::Sealed;
                newly_sealed = true;
                segment.needs_sync = false;
                segment.allocated = Some(segment.bytes);
                segment.index = None;
            }
            Err(IoErrorKind::NoSpace) => {
                segment.seal = Seal::Open;
                self.writeback.starved.insert(id);
                self.space_exhausted();
                return self.operation_ended(id);
            }
            Err(reason) => self.fence_partition(id, reason),
        }
        self.known(id).unsealed -= usize::from(newly_sealed);
        self.drive(id);
        self.operation_ended(id);
    }

    fn start_read_block(&mut self, id: PartitionId, base: Offset, block: u64) {
        let partition = self.known(id);
        partition.busy = Busy::ReadingBlock;
        partition.operations += 1;
        let file = partition.segment_mut(base).expect("the segment is there").file.clone();
        self.queue.start(IoOp::Read { file, offset: block, bytes: block_bytes() }, Purpose::ReadBlock(id, base));
    }

    pub(super) fn block_read(&mut self, id: PartitionId, base: Offset, result: IoResult) {
        let partition = self.known(id);
        partition.busy = Busy::Idle;
        let written = partition.written.position;
        let filled = match (result, partition.segment_mut(base)) {
            (Ok(IoOutput::Read(chunk)), Some(segment)) => {
                if segment.tail.fill_hole(written, &chunk.freeze()) {
                    Ok(())
                } else {
                    Err(IoErrorKind::Other(0))
                }
            }
            (Ok(_), _) => Ok(()),
            (Err(reason), _) => Err(reason),
        };
        match filled {
            Ok(()) => self.drive(id),
            Err(reason) => self.fence_partition(id, reason),
        }
        self.operation_ended(id);
    }

    fn start_writeback(&mut self, id: PartitionId) {
        let partition = self.known(id);
        let Some(to) = writeback_end(partition) else { return };
        partition.busy = Busy::Writing;
        partition.operations += 1;
        let from = partition.written.position;
        let segment = partition.segment_mut(to.segment).expect("the segment is there");
        let op = IoOp::Write {
            file: segment.file.clone(),
            offset: from - from % BLOCK_BYTES,
            data: segment.tail.blocks(from, to.position),
            durability: WriteDurability::Buffered,
        };
        self.queue.start(op, Purpose::Writeback(id, to));
    }

    pub(super) fn written_back(&mut self, id: PartitionId, to: Mark, result: Result<(), IoErrorKind>) {
        self.known(id).busy = Busy::Idle;
        match result {
            Ok(()) => {
                if let Some(segment) = self.known(id).segment_mut(to.segment) {
                    // A sync that began before does not cover it.
                    segment.needs_sync = true;
                }
                self.advance_written(id, to);
            }
            Err(reason) => self.fence_partition(id, reason),
        }
        self.operation_ended(id);
    }

    /// A write to the segment is complete.
    pub(super) fn advance_written(&mut self, id: PartitionId, to: Mark) {
        let partition = self.known(id);
        let bytes = to.position.saturating_sub(partition.written.position_in(to.segment, 0));
        partition.written = partition.written.max(to);
        self.count_written(id, bytes);
        self.note_evictable(id);
        self.drive(id);
    }

    /// A flush whose batches are all written syncs the segments, if that is wanted, and ends.
    fn end_flush_if_written(&mut self, id: PartitionId) {
        let partition = self.known(id);
        if !matches!(partition.flush, Flush::UnderWay | Flush::Syncing) {
            return;
        }
        if partition.sync_wanted {
            if partition.data_syncing {
                return self.wait_for_sync(id);
            }
            if partition.segments.iter().any(is_unsynced) {
                partition.data_syncing = true;
                partition.operations += 1;
                return self.join_sync(id, SyncPart::Data);
            }
            if partition.segments.iter().any(|segment| segment.seal == Seal::Sealing) {
                return;
            }
            partition.durable = partition.synced();
            partition.sync_wanted = false;
            let (before, after) = (partition.journaled_since, partition.journaled_after_flush.take());
            partition.journaled_since = after;
            partition.journaled_after_flush = after;
            if let Some(before) = before {
                self.journaled.remove(&(before, id));
            }
            if let Some(after) = after {
                self.journaled.insert((after, id));
            }
        }
        if std::mem::replace(&mut self.known(id).flush, Flush::None) == Flush::UnderWay {
            self.writeback.give_turn_back();
        }
        self.note_unwritten(id);
    }

    /// What was written to the partition's segments before the sync began is durable.
    pub(super) fn data_synced(&mut self, id: PartitionId, result: Result<(), IoErrorKind>) {
        let partition = self.known(id);
        partition.data_syncing = false;
        match result {
            Ok(()) => {
                partition.segments.iter_mut().for_each(|segment| segment.syncing = false);
                self.drive(id);
            }
            Err(reason) => self.fence_partition(id, reason),
        }
        self.operation_ended(id);
    }

    /// A partition that is fenced or removed has no flush any more.
    pub(super) fn leave_writeback(&mut self, id: PartitionId) {
        let Some(partition) = self.get_mut(id) else { return };
        let was = std::mem::replace(&mut partition.flush, Flush::None);
        let nothing_at_risk = partition.written.offset >= partition.committed.offset
            && partition.segments.iter().all(|segment| !segment.needs_sync && !segment.syncing);
        if nothing_at_risk {
            // What goes from the journal has to stand in the next checkpoint.
            partition.durable = partition.synced();
        }
        let forget = (partition.removing || nothing_at_risk).then(|| partition.journaled_since.take()).flatten();
        if was == Flush::UnderWay {
            self.writeback.give_turn_back();
        }
        if let Some(sequence) = forget {
            self.journaled.remove(&(sequence, id));
        }
        self.writeback.starved.remove(&id);
    }

    /// Begins the making of a journal file, if one is wanted.
    pub(super) fn make_journal_files(&mut self) {
        if self.fenced.is_some() || self.clock < self.writeback.journal_retry {
            return;
        }
        let starved = self.journal.is_starved();
        let Some(path) = self.journal.file_to_make() else { return };
        let dir = self.journal.dir();
        let file = self.queue.file(path);
        let bytes = self.journal.file_bytes();
        let mut script = vec![
            IoOp::CreateDir { path: "journal".into() },
            IoOp::CreateDir { path: dir.as_str().into() },
            IoOp::Create { file: file.clone(), allocate_bytes: bytes },
        ];
        if !starved {
            // Writing into blocks that were written before is faster, so zeros go in ahead of time.
            let step = ZEROS_BYTES.min(to_usize(bytes));
            let mut zeros = Chunk::with_capacity(step);
            zeros.advance(step);
            let zeros: Slice = zeros.freeze();
            for offset in (0..bytes).step_by(step) {
                let length = step.min(to_usize(bytes - offset));
                script.push(IoOp::Write {
                    file: file.clone(),
                    offset,
                    data: vec![zeros.slice(0..length)],
                    durability: WriteDurability::Buffered,
                });
            }
            script.push(IoOp::Sync { file: file.clone() });
        }
        script.push(IoOp::SyncDir { path: dir.as_str().into() });
        if starved {
            script.extend([IoOp::SyncDir { path: "journal".into() }, IoOp::SyncDir { path: "".into() }]);
        }
        self.queue.start_script(script, Purpose::MakeJournalFile(file));
    }

    pub(super) fn journal_file_made(&mut self, file: FileRef, result: Result<(), IoErrorKind>) {
        let made = result.is_ok();
        self.journal.made(made.then_some(file));
        match result {
            Ok(()) => self.unblock_commits(),
            Err(reason) => {
                let wait = std::time::Duration::from_millis(crate::limits::SPACE_PROBE_MS);
                self.writeback.journal_retry = self.clock.saturating_add(wait);
                // There is room in another one, or it is tried again.
                match reason {
                    _ if !self.journal.is_starved() => {}
                    IoErrorKind::NoSpace => self.space_exhausted(),
                    other => self.fence_directory(other),
                }
            }
        }
    }
}

/// How far the next write of committed batches goes: to the end of the segment at most, in bounded steps.
fn writeback_end(partition: &Partition) -> Option<Mark> {
    let from = partition.written;
    let at = partition.segment_with_base(from.segment)?;
    let segment = partition.segments.get(at)?;
    let end_offset = partition.segment_end_offset(at);
    if partition.committed.segment == from.segment {
        let near = partition.committed.position <= from.position + SEGMENT_WRITE_BYTES_MAX;
        if near {
            return (partition.committed.position > from.position).then_some(partition.committed);
        }
    }
    let most =
        partition.committed.position_in(segment.base, segment.bytes).min(from.position + SEGMENT_WRITE_BYTES_MAX);
    let border = segment.tail.border_at_most(most, end_offset).filter(|border| border.position > from.position);
    let border = border.unwrap_or_else(|| segment.tail.border_at_least(from.position + 1, end_offset));
    (border.position > from.position).then_some(Mark {
        segment: from.segment,
        position: border.position,
        offset: border.offset,
    })
}

fn block_bytes() -> usize {
    to_usize(BLOCK_BYTES)
}
