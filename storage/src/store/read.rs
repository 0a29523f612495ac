//! Reads: from the tails and the cache at once, otherwise by a plan of disk reads that ends in an event.

use std::collections::BTreeMap;

use ringlog_buffer::Slice;

use super::lookup::expected;
use super::{Purpose, Store, index};
use crate::answer::{
    MinOneBatch, PartitionId, ReadBatches, ReadEnd, ReadError, ReadId, ReadLimits, ReadOutcome, ReadUpTo, StoreEvent,
    TimestampOffset,
};
use crate::batch::BatchView;
use crate::cache::ReadCache;
use crate::checkpoint::decode_index;
use crate::io::{IoErrorKind, IoOp};
use crate::limits::{BLOCK_BYTES, READ_BYTES_MAX, READ_SLACK_BYTES, READS_IN_FLIGHT_MAX, SIDE_FILE_BYTES_MAX};
use crate::log::partition::{Partition, RotRange};
use crate::log::scan::{Expected, Found, Resync, block_of, look, resync, resync_done};
use crate::log::tail::{to_u64, to_usize};
use crate::types::{Millis, Offset};

/// Bytes read of a segment's index file: all that a bounded index can take.
pub(super) const INDEX_FILE_BYTES: usize = 128 << 10;

/// Reads under way, and what they have brought.
#[derive(Debug)]
pub(crate) struct Reads {
    next: u64,
    pub(super) waiting: BTreeMap<ReadId, Waiting>,
    pub(super) cache: ReadCache,
    /// Sealed segments whose index is in memory, in the order in which they were loaded.
    pub(super) indexes: std::collections::VecDeque<(PartitionId, Offset)>,
    pub(super) index_bytes: usize,
    pub(super) decompressor: crate::batch::codec::Decompressor,
}

impl Reads {
    /// Reads of a partition that are under way.
    pub(super) fn under_way(&self, id: PartitionId) -> usize {
        self.waiting.values().filter(|waiting| waiting.id == id).count()
    }

    pub(crate) fn new(cache_bytes_max: usize) -> Self {
        Self {
            next: 0,
            waiting: BTreeMap::new(),
            cache: ReadCache::new(cache_bytes_max),
            indexes: std::collections::VecDeque::new(),
            index_bytes: 0,
            decompressor: crate::batch::codec::Decompressor::default(),
        }
    }
}

/// What is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Goal {
    /// Batches from `offset` on, below `cap`.
    Fetch { offset: Offset, limits: ReadLimits, cap: Offset },
    /// The first record at or after a time, from the start of the log on, below `cap`.
    Timestamp { timestamp: Millis, log_start: Offset, cap: Offset },
    /// The record with the largest timestamp in the batch at `batch`.
    MaxTimestamp { batch: Offset, cap: Offset },
}

impl Goal {
    /// Batches that end at or before this offset are passed over.
    pub(super) fn from(&self) -> Offset {
        match self {
            Self::Fetch { offset, .. } => *offset,
            Self::Timestamp { log_start, .. } => *log_start,
            Self::MaxTimestamp { batch, .. } => *batch,
        }
    }
}

/// What the read under way is to bring.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// The segment's index.
    Index,
    /// Batches, the first of which begins at `position`.
    Batches,
    /// A sound batch somewhere behind a damaged one, whose first offset is this.
    Resync(Offset),
}

/// A read that waits for a disk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) id: PartitionId,
    pub(super) segment: Offset,
    pub(super) goal: Goal,
    stage: Stage,
    /// From here on, a batch border unless something is damaged.
    place: Place,
    /// Where the bytes that are read begin.
    read_from: u64,
    /// How many were asked for.
    read_bytes: usize,
    /// Where the segment's batches ended in its file when they were: what is written since may have come only in part.
    written: u64,
    /// Fewer came although the segment should have them: its file ends there.
    file_ends: bool,
    /// Whether some are out.
    gone: bool,
}

impl Waiting {
    /// A read of a segment from `start` on, or of its index first where that is not known.
    pub(super) fn new(id: PartitionId, segment: Offset, goal: Goal, start: Option<Place>) -> Self {
        Self {
            id,
            segment,
            goal,
            stage: if start.is_some() { Stage::Batches } else { Stage::Index },
            place: start.unwrap_or(Place { offset: segment, position: 0 }),
            read_from: 0,
            read_bytes: 0,
            written: 0,
            file_ends: false,
            gone: false,
        }
    }
}

/// A batch border in a segment: no batch behind it has a smaller offset.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) offset: Offset,
    pub(super) position: u64,
}

/// What looking at some bytes came to.
pub(super) enum Step {
    /// Batches, and the place behind them.
    Fetched(ReadBatches, Place),
    Looked(Option<TimestampOffset>),
    /// Go on from here, with so many bytes at least.
    More(Place, usize),
    /// What stands here is damaged.
    Bad(Place),
}

impl Store {
    /// Reads batches from the one that holds `offset` on. See [`ReadLimits`]. What is not in memory comes with
    /// [`StoreEvent::ReadReady`].
    pub fn read(&mut self, id: PartitionId, offset: Offset, limits: ReadLimits) -> Result<ReadOutcome, ReadError> {
        let partition = self.get(id).filter(|partition| !partition.removing).ok_or(ReadError::UnknownPartition)?;
        if offset < partition.log_start || offset > partition.end.offset {
            return Err(partition.out_of_range());
        }
        let cap = match limits.up_to {
            ReadUpTo::HighWatermark => partition.high_watermark,
            ReadUpTo::LogEnd => partition.end.offset,
        };
        if let Some(range) = partition.rot_at(offset) {
            return Err(ReadError::Rot { from: range.from, next_good: range.next_good });
        }
        if offset >= cap {
            return Ok(ReadOutcome::Ready(ReadBatches { next_offset: offset, ..ReadBatches::default() }));
        }
        let cap = partition.rot_after(offset).map_or(cap, |rot| cap.min(rot));
        let at = partition.segment_at(offset).expect("the log start lies in the first segment or behind its begin");
        if let Some(ready) = read_tail(partition, at, offset, limits, cap) {
            self.statistics.reads_from_tail += 1;
            return Ok(ReadOutcome::Ready(ready));
        }
        let base = partition.segments[at].base;
        let goal = Goal::Fetch { offset, limits, cap };
        match self.plan(id, base, goal)? {
            Ok(Step::Fetched(batches, _)) => self.or_damage(id, goal, batches).map(ReadOutcome::Ready),
            Ok(_) => unreachable!("a fetch ends in batches"),
            Err(read) => Ok(ReadOutcome::Disk(read)),
        }
    }

    /// A reader that finds nothing between its offset and a damaged range is told of the damage: it would wait for ever.
    fn or_damage(&self, id: PartitionId, goal: Goal, batches: ReadBatches) -> Result<ReadBatches, ReadError> {
        if let Goal::Fetch { limits: ReadLimits { min_one_batch: MinOneBatch::Yes, .. }, cap, .. } = goal
            && batches.bytes == 0
            && let Some(range) = self.get(id).and_then(|partition| partition.rot_at(cap))
        {
            return Err(ReadError::Rot { from: range.from, next_good: range.next_good });
        }
        Ok(batches)
    }

    /// Answers from the cache, or begins to read the disk.
    pub(super) fn plan(
        &mut self,
        id: PartitionId,
        base: Offset,
        goal: Goal,
    ) -> Result<Result<Step, ReadId>, ReadError> {
        let partition = self.partitions[index(id)].as_ref().expect("looked up before");
        let at = partition.segment_with_base(base).expect("looked up before");
        let file = partition.segments[at].file.id;
        let start = start_position(partition, at, &goal, self.reads.cache.cursor(file, goal.from()));
        let waiting = Waiting::new(id, base, goal, start);
        if let Some(place) = start
            && let Some((part_start, part)) = self.reads.cache.find(file, place.position)
        {
            let part_end = part_start + to_u64(part.len());
            let step = self.examine(&waiting, part_start, &part);
            if self.is_worth_while(&waiting, &step, part_end) {
                self.statistics.reads_from_cache += 1;
                return Ok(Ok(step));
            }
        }
        if self.reads.waiting.len() >= READS_IN_FLIGHT_MAX {
            return Err(ReadError::Backpressure);
        }
        let read = ReadId::new(self.reads.next);
        self.reads.next += 1;
        self.statistics.reads_from_disk += 1;
        self.known(id).operations += 1;
        self.reads.waiting.insert(read, waiting);
        self.start_read(read, 0);
        Ok(Err(read))
    }

    /// Whether what a part of the cache brought is an answer. A little that ends with the part, as behind a read that went
    /// beyond its limit, is not: the disk brings it together with what follows.
    fn is_worth_while(&self, waiting: &Waiting, step: &Step, part_end: u64) -> bool {
        match (step, waiting.goal) {
            (Step::Fetched(batches, _), Goal::Fetch { limits, .. }) if batches.end == ReadEnd::More => {
                let partition = self.partitions[index(waiting.id)].as_ref().expect("looked up before");
                let at = partition.segment_with_base(waiting.segment).expect("looked up before");
                let written = partition.written.position_in(waiting.segment, partition.segments[at].bytes);
                written <= part_end || batches.bytes >= limits.bytes_max.min(READ_BYTES_MAX) / 2
            }
            (Step::Fetched(..) | Step::Looked(_), _) => true,
            (Step::More(..) | Step::Bad(_), _) => false,
        }
    }

    pub(super) fn start_read(&mut self, read: ReadId, bytes_min: usize) {
        let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
        if self.moves.park(waiting.id, read) {
            return;
        }
        let partition = self.partitions[index(waiting.id)].as_ref().expect("its operations are counted");
        let Some(at) = partition.segment_with_base(waiting.segment) else {
            let error = partition.out_of_range();
            return self.end_read(read, Err(error));
        };
        let segment = &partition.segments[at];
        if waiting.stage == Stage::Index {
            let stem = segment.file.path.strip_suffix(".log").expect("a segment's file ends so");
            let file = self.queue.file(format!("{stem}.index"));
            waiting.read_from = 0;
            let op = IoOp::Read { file: file.clone(), offset: 0, bytes: INDEX_FILE_BYTES };
            self.queue.start(op, Purpose::ReadIndex(read, file));
            return;
        }
        let (from, before) = block_of(waiting.place.position);
        let wanted = match waiting.goal {
            Goal::Fetch { limits, .. } => {
                (limits.bytes_max.saturating_add(READ_SLACK_BYTES)).clamp(64 << 10, READ_BYTES_MAX)
            }
            Goal::Timestamp { .. } | Goal::MaxTimestamp { .. } => READ_BYTES_MAX / 4,
        };
        let written = partition.written.position_in(segment.base, segment.bytes);
        let left = written.next_multiple_of(BLOCK_BYTES).saturating_sub(from);
        let bytes = to_u64((wanted.max(bytes_min) + before).next_multiple_of(to_usize(BLOCK_BYTES))).min(left);
        // To ask for more behind the end of a file that was cut short would bring the same bytes again, for ever.
        if bytes == 0 || waiting.file_ends {
            return self.read_ran_out(read);
        }
        (waiting.read_from, waiting.read_bytes, waiting.written) = (from, to_usize(bytes), written);
        let op = IoOp::Read { file: segment.file.clone(), offset: from, bytes: waiting.read_bytes };
        self.queue.start(op, Purpose::Read(read));
    }

    /// Takes what a read of the disk has brought.
    pub(super) fn read_done(&mut self, read: ReadId, result: Result<Slice, IoErrorKind>) {
        let waiting = *self.reads.waiting.get(&read).expect("it waits");
        let gone = self.get(waiting.id).is_none_or(|partition| partition.removing);
        if gone || waiting.gone {
            return self.end_read(read, Err(ReadError::UnknownPartition));
        }
        if waiting.stage == Stage::Index {
            self.index_read(&waiting, result.ok());
            return self.index_known(read);
        }
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(reason) => return self.end_read(read, Err(ReadError::Storage(reason))),
        };
        let partition = self.partitions[index(waiting.id)].as_ref().expect("looked up above");
        let Some(at) = partition.segment_with_base(waiting.segment) else {
            let error = partition.out_of_range();
            return self.end_read(read, Err(error));
        };
        let segment = &partition.segments[at];
        let written = partition.written.position_in(segment.base, segment.bytes);
        let present = to_usize(waiting.written.saturating_sub(waiting.read_from));
        let file_ends = bytes.len() < present.min(waiting.read_bytes);
        let bytes = bytes.slice(0..present.min(bytes.len()));
        self.reads.waiting.get_mut(&read).expect("it waits").file_ends = file_ends;
        self.reads.cache.keep(segment.file.id, waiting.read_from, bytes.clone());
        if to_u64(bytes.len()) <= waiting.place.position - waiting.read_from {
            let has_grown = written > waiting.written && !file_ends;
            return if has_grown { self.start_read(read, 0) } else { self.read_ran_out(read) };
        }
        let step = match waiting.stage {
            Stage::Resync(_) => return self.look_behind_damage(read, &bytes),
            Stage::Batches | Stage::Index => self.examine(&waiting, waiting.read_from, &bytes),
        };
        self.take_step(read, step, &bytes);
    }

    fn take_step(&mut self, read: ReadId, step: Step, bytes: &Slice) {
        match step {
            Step::Fetched(..) | Step::Looked(_) => self.end_read(read, Ok(step)),
            Step::More(place, bytes_min) => {
                let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
                waiting.place = place;
                self.start_read(read, bytes_min);
            }
            Step::Bad(place) => {
                let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
                waiting.stage = Stage::Resync(place.offset);
                waiting.place = place;
                self.look_behind_damage(read, bytes);
            }
        }
    }

    /// Looks for a sound batch behind a damaged one.
    fn look_behind_damage(&mut self, read: ReadId, bytes: &Slice) {
        let waiting = *self.reads.waiting.get(&read).expect("it waits");
        let Stage::Resync(damaged) = waiting.stage else { unreachable!("only called in this stage") };
        let partition = self.partitions[index(waiting.id)].as_ref().expect("its operations are counted");
        let at = partition.segment_with_base(waiting.segment).expect("looked up before");
        let inside = to_usize(waiting.place.position - waiting.read_from);
        let expected = expected(partition, at, waiting.place.position, damaged.next());
        match resync(&bytes[inside..], expected) {
            Resync::At(behind) => {
                let found = look(&bytes[inside + behind..], Expected { from: Offset::ZERO, ..expected });
                let Found::Batch(batch) = found else { unreachable!("it was found a moment ago") };
                self.damage_ends(read, damaged, batch.base_offset(), waiting.place.position + to_u64(behind));
            }
            Resync::Perhaps(behind, needed) => {
                // One byte before the place, so that it is looked at again.
                let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
                waiting.place.position += to_u64(behind.saturating_sub(1));
                self.start_read(read, needed + 1);
            }
            Resync::Nowhere => {
                let done = resync_done(bytes.len() - inside);
                let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
                waiting.place.position += done;
                let ended = done >= expected.bytes_left || expected.bytes_left <= to_u64(bytes.len() - inside);
                if ended { self.read_ran_out(read) } else { self.start_read(read, 0) }
            }
        }
    }

    fn damage_ends(&mut self, read: ReadId, from: Offset, next_good: Offset, next_position: u64) {
        let waiting = *self.reads.waiting.get(&read).expect("it waits");
        let partition = self.known(waiting.id);
        let range = RotRange { from, next_good, segment: waiting.segment, next_position };
        if partition.add_rot(range) {
            self.events.push_back(StoreEvent::RotFound { partition: waiting.id, from, next_good });
        }
        self.end_read(read, Err(ReadError::Rot { from, next_good }));
    }

    /// The segment's file has no more bytes than were looked at.
    fn read_ran_out(&mut self, read: ReadId) {
        let waiting = *self.reads.waiting.get(&read).expect("it waits");
        let partition = self.partitions[index(waiting.id)].as_ref().expect("its operations are counted");
        let Some(at) = partition.segment_with_base(waiting.segment) else {
            let error = partition.out_of_range();
            return self.end_read(read, Err(error));
        };
        let segment = &partition.segments[at];
        let (end, bytes) = (partition.segment_end_offset(at), segment.bytes);
        let written = partition.written.position_in(segment.base, segment.bytes);
        match waiting.stage {
            Stage::Resync(damaged) => self.damage_ends(read, damaged, end, bytes),
            _ if waiting.place.position < written => {
                // The file is shorter than it was known to be.
                let damaged = waiting.place.offset;
                self.damage_ends(read, damaged, end, bytes);
            }
            _ => self.pass_to_tail(read, at),
        }
    }

    /// Everything that is in the file was passed over; what is wanted lies in memory, or nowhere.
    fn pass_to_tail(&mut self, read: ReadId, at: usize) {
        let waiting = *self.reads.waiting.get(&read).expect("it waits");
        let partition = self.partitions[index(waiting.id)].as_ref().expect("its operations are counted");
        let outcome = match waiting.goal {
            Goal::Fetch { offset, limits, cap } => {
                let ready = read_tail(partition, at, offset, limits, cap);
                let nothing = ReadBatches { next_offset: offset, end: ReadEnd::More, ..ReadBatches::default() };
                Ok(Step::Fetched(ready.unwrap_or(nothing), waiting.place))
            }
            goal => Ok(Step::Looked(self.look_in_tail(waiting.id, at, goal))),
        };
        self.end_read(read, outcome);
    }

    pub(super) fn end_read(&mut self, read: ReadId, outcome: Result<Step, ReadError>) {
        let mut waiting = self.reads.waiting.remove(&read).expect("it waits");
        if matches!(outcome, Ok(Step::Looked(None))) && self.look_further(&mut waiting) {
            self.reads.waiting.insert(read, waiting);
            return self.start_read(read, 0);
        }
        let event = match (waiting.goal, outcome) {
            (goal @ Goal::Fetch { .. }, Ok(Step::Fetched(batches, _))) => {
                StoreEvent::ReadReady { read, result: self.or_damage(waiting.id, goal, batches) }
            }
            (Goal::Fetch { .. }, Err(error)) => StoreEvent::ReadReady { read, result: Err(error) },
            (_, Ok(Step::Looked(found))) => StoreEvent::LookupReady { read, result: Ok(found) },
            (_, Err(error)) => StoreEvent::LookupReady { read, result: Err(error) },
            _ => unreachable!("every goal has its own kind of end"),
        };
        self.events.push_back(event);
        self.operation_ended(waiting.id);
    }

    /// The partition is being removed: what its reads bring is not wanted any more.
    pub(super) fn fail_reads_of(&mut self, id: PartitionId) {
        for waiting in self.reads.waiting.values_mut().filter(|waiting| waiting.id == id) {
            waiting.gone = true;
        }
    }

    /// Looks at bytes of a segment that begin at `start`, from the position on where the read stands.
    fn examine(&mut self, waiting: &Waiting, start: u64, bytes: &Slice) -> Step {
        let partition = self.partitions[index(waiting.id)].as_ref().expect("looked up before");
        let at = partition.segment_with_base(waiting.segment).expect("looked up before");
        match waiting.goal {
            Goal::Fetch { offset, limits, cap } => {
                let stretch = Stretch { partition, at, place: waiting.place, start, bytes };
                let step = gather(stretch, offset, limits, cap);
                if let Step::Fetched(_, behind) = step {
                    self.reads.cache.note_cursor(partition.segments[at].file.id, behind.offset, behind.position);
                }
                step
            }
            goal => self.search(waiting.id, at, goal, waiting.place, start, bytes),
        }
    }

    fn index_read(&mut self, waiting: &Waiting, bytes: Option<Slice>) {
        let partition = self.partitions[index(waiting.id)].as_mut().expect("looked up before");
        let interval = u64::from(partition.config.index_interval_bytes);
        let Some(segment) = partition.segment_mut(waiting.segment) else { return };
        let known = bytes.filter(|bytes| to_u64(bytes.len()) <= SIDE_FILE_BYTES_MAX);
        let decoded = known.and_then(|bytes| decode_index(&bytes, segment.base));
        // Without its index a segment is read from its begin; that is slow, and right.
        let found = decoded.filter(|(bytes, _, _)| *bytes == segment.bytes).map(|(_, _, index)| index);
        let found = found.unwrap_or_else(|| crate::log::index::SparseIndex::new(interval));
        self.reads.index_bytes += found.held_bytes();
        segment.index = Some(found);
        self.reads.indexes.push_back((waiting.id, waiting.segment));
        while self.reads.index_bytes > crate::limits::INDEX_CACHE_BYTES_MAX && self.reads.indexes.len() > 1 {
            let Some((id, base)) = self.reads.indexes.pop_front() else { break };
            let partition = self.partitions.get_mut(index(id)).and_then(Option::as_mut);
            if let Some(segment) = partition.and_then(|partition| partition.segment_mut(base))
                && let Some(index) = segment.index.take()
            {
                self.reads.index_bytes = self.reads.index_bytes.saturating_sub(index.held_bytes());
            }
        }
    }

    fn index_known(&mut self, read: ReadId) {
        let waiting = self.reads.waiting.get_mut(&read).expect("it waits");
        let partition = self.partitions[index(waiting.id)].as_ref().expect("looked up before");
        let at = partition.segment_with_base(waiting.segment);
        let place = at.and_then(|at| start_position(partition, at, &waiting.goal, None));
        waiting.stage = Stage::Batches;
        waiting.place = place.unwrap_or(waiting.place);
        self.start_read(read, 0);
    }
}

/// Where to begin reading a segment; `None` if its index has to be read first.
pub(super) fn start_position(partition: &Partition, at: usize, goal: &Goal, cursor: Option<u64>) -> Option<Place> {
    if let (Some(position), Goal::Fetch { offset, .. }) = (cursor, goal) {
        return Some(Place { offset: *offset, position });
    }
    let segment = partition.segments.get(at)?;
    let index = segment.index.as_ref()?;
    let entry = match goal {
        Goal::Timestamp { timestamp, .. } => index.before_timestamp(*timestamp),
        Goal::Fetch { .. } | Goal::MaxTimestamp { .. } => index.before_offset(goal.from()),
    };
    let indexed = entry.map_or(Place { offset: segment.base, position: 0 }, |entry| Place {
        offset: entry.offset,
        position: entry.position,
    });
    let behind_damage = partition
        .rot
        .iter()
        .filter(|range| range.segment == segment.base && range.next_good <= goal.from())
        .map(|range| Place { offset: range.next_good, position: range.next_position })
        .max_by_key(|place| place.position);
    Some(behind_damage.filter(|place| place.position > indexed.position).unwrap_or(indexed))
}

/// Batches that are wholly in memory. `None` if the first of them is not.
fn read_tail(partition: &Partition, at: usize, offset: Offset, limits: ReadLimits, cap: Offset) -> Option<ReadBatches> {
    let segment = &partition.segments[at];
    let end_offset = partition.segment_end_offset(at);
    let first = segment.tail.entry(segment.tail.find(offset)?)?;
    let most = if cap >= end_offset {
        segment.bytes
    } else {
        segment.tail.entry(segment.tail.place_at_least(cap)).map_or(segment.bytes, |entry| entry.position)
    };
    let wanted = first.position.saturating_add(to_u64(limits.bytes_max)).min(most);
    let mut end = segment.tail.border_at_most(wanted, end_offset)?;
    if end.position <= first.position && limits.min_one_batch == MinOneBatch::Yes {
        end = segment.tail.border_at_least(first.position + 1, end_offset);
    }
    if end.position <= first.position || end.position > most {
        let end = if end.position > most { ReadEnd::CaughtUp } else { ReadEnd::Limit };
        return Some(ReadBatches { next_offset: offset, end, ..ReadBatches::default() });
    }
    let slices: Vec<Slice> = segment.tail.slices(first.position, end.position).collect();
    let why = if end.position < most { ReadEnd::Limit } else { end_before(partition, end.offset, cap) };
    Some(ReadBatches { slices, bytes: to_usize(end.position - first.position), next_offset: end.offset, end: why })
}

/// Why a read ends at `next`, if its limit is not the reason, when it sees what lies before `cap`.
fn end_before(partition: &Partition, next: Offset, cap: Offset) -> ReadEnd {
    // Behind a damaged range there is more.
    if next >= cap && partition.rot_at(cap).is_none() { ReadEnd::CaughtUp } else { ReadEnd::More }
}

/// Bytes of a segment that begin at `start`, and where in them to go on.
#[derive(Clone, Copy)]
struct Stretch<'a> {
    partition: &'a Partition,
    at: usize,
    place: Place,
    start: u64,
    bytes: &'a Slice,
}

/// Gathers the batches of a fetch from bytes of a segment.
fn gather(stretch: Stretch<'_>, offset: Offset, limits: ReadLimits, cap: Offset) -> Step {
    let Stretch { partition, at, mut place, start, bytes } = stretch;
    let mut first = to_usize(place.position - start);
    let mut gathered = 0;
    let done = |first: usize, gathered: usize, behind: Place, end: ReadEnd| {
        let slices = if gathered > 0 { vec![bytes.slice(first..first + gathered)] } else { Vec::new() };
        let next_offset = if gathered > 0 { behind.offset } else { offset };
        Step::Fetched(ReadBatches { slices, bytes: gathered, next_offset, end }, behind)
    };
    loop {
        let inside = to_usize(place.position - start);
        let expected = expected(partition, at, place.position, place.offset);
        let batch: BatchView<'_> = match look(bytes.get(inside..).unwrap_or_default(), expected) {
            Found::Batch(batch) => batch,
            found if gathered > 0 => {
                let too_much = matches!(found, Found::Incomplete(needed) if gathered + needed > limits.bytes_max);
                let is_seen = too_much && place.offset < cap;
                let end = if is_seen { ReadEnd::Limit } else { end_before(partition, place.offset, cap) };
                return done(first, gathered, place, end);
            }
            _ if expected.bytes_left == 0 => return Step::More(place, 0),
            Found::Incomplete(needed) => return Step::More(place, needed),
            Found::Bad => return Step::Bad(place),
        };
        let length = batch.bytes().len();
        let behind = Place { offset: batch.next_offset(), position: place.position + to_u64(length) };
        if batch.last_offset() < offset {
            place = behind;
            continue;
        }
        if batch.base_offset() >= cap {
            return done(first, gathered, place, end_before(partition, batch.base_offset(), cap));
        }
        let too_much = gathered + length > limits.bytes_max;
        if too_much && (gathered > 0 || limits.min_one_batch == MinOneBatch::No) {
            return done(first, gathered, place, ReadEnd::Limit);
        }
        if !batch.check_crc() {
            let damaged = Place { offset: batch.base_offset(), ..place };
            return if gathered > 0 { done(first, gathered, place, ReadEnd::More) } else { Step::Bad(damaged) };
        }
        if gathered == 0 {
            first = inside;
        }
        gathered += length;
        place = behind;
    }
}
