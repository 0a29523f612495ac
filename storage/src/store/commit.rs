//! The group commit: at most one is in flight; what is appended meanwhile is the next group.
//!
//! In a group every partition takes the cheaper road. Little is copied into one record of the journal, together with
//! everybody else's little. Much goes straight into the segment, and the record only says so: recovery learns from it
//! where to look, and, from the record that follows, that the write had succeeded.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ringlog_buffer::{Chunk, Slice};

use super::{Purpose, Space, Store, nanos};
use crate::answer::{PartitionId, StoreEvent};
use crate::directory::Placement;
use crate::io::{FileRef, IoErrorKind, IoOp, WriteDurability};
use crate::journal::format::record_bytes;
use crate::journal::format::{ENTRY_HEADER_BYTES, Entry, EntryKind, HEADER_BYTES, PartitionKey, RecordHeader};
use crate::limits::{
    GROUP_DIRECT_MAX, GROUP_PARTITIONS_MAX, RECORD_PAYLOAD_BYTES_MAX, SEGMENT_WRITE_BYTES_MAX, TOPIC_NAME_BYTES_MAX,
};
use crate::log::mark::Mark;
use crate::log::partition::{Busy, Hold, Partition};
use crate::log::tail::{to_u64, to_usize};
use crate::statistics::CommitSpan;
use crate::types::{Nanos, Offset, Uuid};

/// The group commit of a shard.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// Partitions with uncommitted batches; each stands here once.
    queue: VecDeque<PartitionId>,
    /// Facts for the next record that are not batches. Bounded: of every kind one per partition.
    notices: BTreeMap<(EntryKind, PartitionKey), Entry>,
    in_flight: Option<Group>,
    /// What waits until all notices are durable.
    pub(crate) after_notices: Vec<AfterNotice>,
    /// When the next group may begin, if little waits for it.
    not_before: Nanos,
    /// Bytes appended since the last group began.
    waiting_bytes: u64,
    /// Partitions that leave what room the journal has to what makes space.
    held_back: BTreeSet<PartitionId>,
    /// The journal is full: nothing is tried until another file is made or a checkpoint has freed one.
    blocked: bool,
    /// Memory of the last record.
    spare: Option<Slice>,
    /// Memory of the last group's members; there are none in it.
    spare_members: Vec<Member>,
    /// Bytes that went straight to segments since the last checkpoint.
    pub(crate) direct_bytes: u64,
}

/// A commit in flight.
#[derive(Debug)]
struct Group {
    sequence: u64,
    /// Operations out.
    outstanding: usize,
    members: Vec<Member>,
    /// What waits for the notices that the record holds.
    after_notices: Vec<AfterNotice>,
    began: Nanos,
}

/// What must not happen before the journal tells why: recovery would look for what is gone, or meet what it does not know.
/// Each counts as an operation of its partition.
#[derive(Debug)]
pub(crate) enum AfterNotice {
    /// The folder of a removed partition goes on its way.
    Removed(PartitionId),
    /// A segment whose records are deleted goes on its way.
    Retired(PartitionId, FileRef),
    /// A partition that lies in another directory now goes on with the files there.
    Moved(PartitionId),
    /// Whoever deleted records before this offset is told.
    Deleted(PartitionId, Offset),
}

/// A partition's part of a group.
#[derive(Clone, Copy, Debug)]
struct Member {
    id: PartitionId,
    from: Mark,
    to: Mark,
    road: Road,
    named: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Road {
    Journal,
    Direct,
    /// Its direct write failed.
    Failed,
}

impl Commit {
    pub(crate) fn is_under_way(&self) -> bool {
        self.in_flight.is_some() || !self.queue.is_empty() || !self.held_back.is_empty() || !self.notices.is_empty()
    }

    pub(crate) fn note_appended(&mut self, bytes: u64) {
        self.waiting_bytes += bytes;
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether somebody waits for room in the journal.
    pub(crate) fn wants_room(&self) -> bool {
        self.blocked || !self.held_back.is_empty()
    }

    /// The first sequence that a checkpoint of everything committed leaves to the journal.
    pub(crate) fn first_uncommitted(&self, next_sequence: u64) -> u64 {
        self.in_flight.as_ref().map_or(next_sequence, |group| group.sequence)
    }

    /// Adds a fact to the next record, in place of an older one of its kind.
    pub(crate) fn notice(&mut self, fact: Entry) {
        self.notices.insert((fact.kind, fact.key), fact);
    }
}

impl Store {
    /// Puts a partition into the next group.
    pub(super) fn queue_commit(&mut self, id: PartitionId) {
        let Some(partition) = self.get_mut(id) else { return };
        let due = partition.lazy_due.take();
        if !partition.queued && partition.has_uncommitted() && partition.fenced.is_none() && !partition.removing {
            partition.queued = true;
            self.commit.queue.push_back(id);
        }
        if let Some(due) = due {
            self.lazy.remove(&(due, id));
        }
    }

    /// The journal has more room than before.
    pub(super) fn unblock_commits(&mut self) {
        self.commit.blocked = false;
        self.queue_held_back();
    }

    /// Puts those that were held back into the next group.
    pub(super) fn queue_held_back(&mut self) {
        for id in std::mem::take(&mut self.commit.held_back) {
            self.queue_commit(id);
        }
    }

    /// Begins the next group, if none is in flight and something waits.
    pub(super) fn start_commit(&mut self) {
        let nothing = self.commit.queue.is_empty() && self.commit.notices.is_empty();
        if self.commit.in_flight.is_some() || nothing || self.commit.blocked || self.fenced.is_some() {
            return;
        }
        if self.clock < self.commit.not_before && self.commit.waiting_bytes < self.config.direct_bytes_min {
            return;
        }
        let (members, payload_bytes) = self.choose_members();
        if payload_bytes == 0 {
            return;
        }
        let sequence = self.next_sequence;
        let Some((file, offset)) = self.journal.reserve(record_bytes(payload_bytes), sequence) else {
            for member in members.iter().rev() {
                self.requeue_first(member.id);
            }
            // Another file is on its way, or comes when a checkpoint frees it.
            self.commit.blocked = true;
            return;
        };
        let record = self.write_record(&members, payload_bytes);
        self.queue.start(
            IoOp::Write { file, offset, data: vec![record], durability: WriteDurability::Durable },
            Purpose::JournalWrite,
        );
        let mut outstanding = 1;
        for member in &members {
            if member.road == Road::Direct {
                self.start_direct_write(member);
                outstanding += 1;
            }
            let partition = self.known(member.id);
            partition.issued = member.to;
            partition.operations += 1;
        }
        for member in &members {
            // What did not fit, or was appended to the next segment, is part of the next group.
            self.queue_commit(member.id);
        }
        self.next_sequence += 1;
        self.commit.not_before = self.clock.saturating_add(self.config.commit_interval);
        self.commit.waiting_bytes = 0;
        // Its notices stand in this record, unless there are very many: then it waits for the last of those.
        let told = self.commit.notices.is_empty();
        let after_notices = if told { std::mem::take(&mut self.commit.after_notices) } else { Vec::new() };
        self.count_group(&members);
        self.commit.in_flight = Some(Group { sequence, outstanding, members, after_notices, began: self.clock });
    }

    fn count_group(&mut self, members: &[Member]) {
        let bytes_on = |road| {
            let there = members.iter().filter(|member| member.road == road);
            there.map(|member| member.to.position - member.from.position).sum::<u64>()
        };
        let (journaled, direct) = (bytes_on(Road::Journal), bytes_on(Road::Direct));
        self.statistics.commit_bytes.record(journaled + direct);
        self.statistics.commit_partitions += to_u64(members.len());
        self.statistics.journaled_bytes += journaled;
        self.statistics.direct_bytes += direct;
    }

    /// When a group that waits for its time may begin.
    pub(super) fn commit_deadline(&self) -> Option<Nanos> {
        let waits = self.commit.is_under_way() && self.commit.in_flight.is_none() && !self.commit.blocked;
        (waits && self.clock < self.commit.not_before).then_some(self.commit.not_before)
    }

    /// Who takes part, how far, and on which road; and the bytes of the record's entries.
    fn choose_members(&mut self) -> (Vec<Member>, usize) {
        let record_max = record_payload_max(self.journal.file_bytes());
        let mut payload_bytes = self.commit.notices.len().min(record_max / ENTRY_HEADER_BYTES) * ENTRY_HEADER_BYTES;
        let mut members = std::mem::take(&mut self.commit.spare_members);
        let is_tight = self.is_short || self.journal.is_short();
        let mut direct_writes = 0;
        let mut left = self.commit.queue.len().min(GROUP_PARTITIONS_MAX);
        while left > 0 {
            left -= 1;
            let Some(id) = self.commit.queue.pop_front() else { break };
            let no_space = self.space != Space::There;
            let direct_bytes_min = self.config.direct_bytes_min;
            let Some(partition) = self.get_mut(id) else { continue };
            partition.queued = false;
            let (is_held, makes_space) = (partition.hold != Hold::None, partition.is_of_controller);
            if !partition.has_uncommitted() || partition.fenced.is_some() || partition.removing || is_held {
                continue;
            }
            let named = !partition.journal_knows_name;
            // The name, and the directory.
            let name_bytes = if named { 2 * ENTRY_HEADER_BYTES + partition.name.topic.len() } else { 0 };
            let overhead = name_bytes + ENTRY_HEADER_BYTES;
            let room = record_max.saturating_sub(payload_bytes + overhead);
            if room == 0 {
                self.requeue_first(id);
                break;
            }
            let much = partition.bytes_between(partition.issued, partition.end) >= direct_bytes_min;
            let direct = (much && can_write_directly(partition) && direct_writes < GROUP_DIRECT_MAX)
                .then(|| direct_member(partition, id))
                .flatten();
            let member = match direct {
                None if !much || no_space => journal_member(partition, id, room),
                direct => direct,
            };
            let Some(member) = member.map(|member| Member { named, ..member }) else {
                if !much && payload_bytes > 0 {
                    // Not even its first batch fits behind the others.
                    self.requeue_first(id);
                    break;
                }
                // Its file is not ready, or is being written, or what the journal has goes there first: it comes with a
                // later group.
                if partition.written.offset < partition.committed.offset {
                    self.request_flush(id);
                }
                self.wait_for_file(id);
                continue;
            };
            let bytes =
                if member.road == Road::Journal { to_usize(member.to.position - member.from.position) } else { 0 };
            let with_it = payload_bytes + overhead + bytes;
            if is_tight && !makes_space && !self.journal.leaves_room(record_bytes(with_it)) {
                self.commit.held_back.insert(id);
                continue;
            }
            direct_writes += usize::from(member.road == Road::Direct);
            payload_bytes = with_it;
            members.push(member);
        }
        (members, payload_bytes)
    }

    fn requeue_first(&mut self, id: PartitionId) {
        self.known(id).queued = true;
        self.commit.queue.push_front(id);
    }

    fn start_direct_write(&mut self, member: &Member) {
        let partition = self.known(member.id);
        partition.busy = Busy::Writing;
        let from = partition.written.position_in(member.to.segment, 0);
        let segment = partition.segment_mut(member.to.segment).expect("the segment is open");
        let op = IoOp::Write {
            file: segment.file.clone(),
            offset: from - from % crate::limits::BLOCK_BYTES,
            data: segment.tail.blocks(from, member.to.position),
            durability: WriteDurability::Durable,
        };
        self.commit.direct_bytes += member.to.position - from;
        self.queue.start(op, Purpose::DirectWrite(member.id, member.to));
    }

    /// Puts the record of a group together, in blocks.
    fn write_record(&mut self, members: &[Member], payload_bytes: usize) -> Slice {
        let bytes = to_usize(record_bytes(payload_bytes));
        let spare = self.commit.spare.take().and_then(Slice::try_into_chunk);
        let mut chunk = spare.filter(|chunk| chunk.capacity() >= bytes).unwrap_or_else(|| Chunk::with_capacity(bytes));
        let (record, padding) = chunk.spare_mut()[..bytes].split_at_mut(HEADER_BYTES + payload_bytes);
        padding.fill(0);
        let mut out = Payload { rest: &mut record[HEADER_BYTES..] };
        let notices = self.commit.notices.len().min(payload_bytes / ENTRY_HEADER_BYTES);
        for (_, fact) in std::iter::from_fn(|| self.commit.notices.pop_first()).take(notices) {
            out.put(&fact.encode());
        }
        for member in members {
            let partition = self.partitions[super::index(member.id)].as_ref().expect("chosen a moment ago");
            put_member(&mut out, partition, member, self.dirs.id(partition.placed));
        }
        assert!(out.rest.is_empty(), "the entries have the length that was counted");
        let header = RecordHeader {
            shard: self.config.shard,
            generation: self.generation,
            sequence: self.next_sequence,
            previous_crc: self.previous_crc,
            payload_bytes,
            crc: 0,
        };
        self.previous_crc = header.seal(record);
        chunk.advance(bytes);
        let record = chunk.freeze();
        self.commit.spare = Some(record.clone());
        record
    }

    /// The record is written.
    pub(super) fn journal_written(&mut self, result: Result<(), IoErrorKind>) {
        if let Err(reason) = result {
            // Whether it is there is unknown; nothing can be committed any more.
            self.fence_directory(reason);
        }
        self.part_ended();
    }

    /// A partition's part is in its segment.
    pub(super) fn direct_written(&mut self, id: PartitionId, to: Mark, result: Result<(), IoErrorKind>) {
        let partition = self.known(id);
        partition.busy = Busy::Idle;
        match result {
            Ok(()) => self.advance_written(id, to),
            Err(reason) => {
                let (key, from) = (partition.key, partition.written);
                self.commit.notice(Entry::fact(EntryKind::Unproven, key, from));
                if let Some(group) = &mut self.commit.in_flight {
                    for member in group.members.iter_mut().filter(|member| member.id == id) {
                        member.road = Road::Failed;
                    }
                }
                self.fence_partition(id, reason);
            }
        }
        self.part_ended();
    }

    fn part_ended(&mut self) {
        let group = self.commit.in_flight.as_mut().expect("a part belongs to the commit in flight");
        group.outstanding -= 1;
        if group.outstanding > 0 {
            return;
        }
        let mut group = self.commit.in_flight.take().expect("it is there");
        let span = CommitSpan { began: group.began, ended: self.clock };
        self.statistics.commit_time.record(nanos(span.ended.since(span.began)));
        self.statistics.last_commit = span;
        for member in &group.members {
            if self.fenced.is_none() {
                self.journaled_at(member.id, group.sequence);
                if member.road != Road::Failed {
                    self.committed(member);
                }
            }
            self.operation_ended(member.id);
        }
        group.members.clear();
        self.commit.spare_members = group.members;
        if self.fenced.is_none() {
            for due in group.after_notices {
                match due {
                    AfterNotice::Removed(id) => self.operation_ended(id),
                    AfterNotice::Moved(id) => self.place_told(id),
                    AfterNotice::Retired(id, file) => self.retire(id, &file),
                    AfterNotice::Deleted(partition, log_start) => {
                        self.events.push_back(StoreEvent::RecordsDeleted { partition, log_start });
                        self.operation_ended(partition);
                    }
                }
            }
        }
    }

    fn committed(&mut self, member: &Member) {
        let direct_bytes_min = self.config.direct_bytes_min;
        let partition = self.known(member.id);
        partition.committed = member.to;
        partition.journal_knows_name = true;
        partition.records_since_flush = partition.end.offset.since(member.to.offset).unsigned_abs();
        let visible = partition.is_sync() && partition.high_watermark < member.to.offset;
        if visible {
            partition.high_watermark = member.to.offset;
        }
        let waiting = partition.bytes_between(partition.written, partition.committed);
        let rolled = partition.written.segment != partition.end.segment;
        if visible {
            self.tell_high_watermark(member.id, member.to.offset);
        }
        if waiting >= direct_bytes_min || rolled {
            self.request_flush(member.id);
        }
        self.note_unwritten(member.id);
        self.drive(member.id);
    }
}

/// Payload of one record in journal files of this length.
fn record_payload_max(file_bytes: u64) -> usize {
    to_usize(file_bytes / 2).min(RECORD_PAYLOAD_BYTES_MAX) - HEADER_BYTES
}

/// Pending bytes that a record of its own has room for, with the partition's name and directory: what is more must go straight into
/// the segment.
pub(super) fn journal_bytes_max(file_bytes: u64) -> u64 {
    to_u64(record_payload_max(file_bytes) - 3 * ENTRY_HEADER_BYTES - TOPIC_NAME_BYTES_MAX)
}

/// Whether the partition's pending batches can go straight into its segment now.
fn can_write_directly(partition: &Partition) -> bool {
    let written = partition.normal(partition.written);
    let Some(at) = partition.segment_with_base(written.segment) else { return false };
    let segment = &partition.segments[at];
    let to = partition.next_write_end(at, written);
    partition.busy == Busy::Idle && segment.has_room(to) && segment.tail.missing_block(written.position).is_none()
}

/// From what is written to the end of that segment, in bounded writes that end with a batch.
fn direct_member(partition: &mut Partition, id: PartitionId) -> Option<Member> {
    partition.written = partition.normal(partition.written);
    let from = partition.written;
    let at = partition.segment_with_base(from.segment)?;
    let segment = partition.segments.get(at)?;
    let end = segment.tail.border_at_most(from.position + SEGMENT_WRITE_BYTES_MAX, partition.segment_end_offset(at))?;
    let end = if end.position > from.position {
        end
    } else {
        segment.tail.border_at_least(from.position + 1, partition.segment_end_offset(at))
    };
    let to = Mark { segment: from.segment, position: end.position, offset: end.offset };
    // Journaled batches that were not written back yet come first; all of them may be committed already.
    (to.offset > partition.issued.offset).then_some(Member { id, from, to, road: Road::Direct, named: false })
}

/// From what was issued last, as much as fits into the record.
fn journal_member(partition: &mut Partition, id: PartitionId, room: usize) -> Option<Member> {
    partition.issued = partition.normal(partition.issued);
    let from = partition.issued;
    let at = partition.segment_with_base(from.segment)?;
    let segment = partition.segments.get(at)?;
    let end = segment.tail.border_at_most(from.position + to_u64(room), partition.segment_end_offset(at))?;
    let to = Mark { segment: from.segment, position: end.position, offset: end.offset };
    (to.position > from.position).then_some(Member { id, from, to, road: Road::Journal, named: false })
}

/// What is left to fill of a record's payload.
struct Payload<'a> {
    rest: &'a mut [u8],
}

impl Payload<'_> {
    fn put(&mut self, bytes: &[u8]) {
        let rest = std::mem::take(&mut self.rest);
        let (now, later) = rest.split_at_mut(bytes.len());
        now.copy_from_slice(bytes);
        self.rest = later;
    }
}

fn put_member(out: &mut Payload<'_>, partition: &Partition, member: &Member, directory: Uuid) {
    let key = partition.key;
    let no_mark = Mark::at_segment(Offset::ZERO);
    if member.named {
        let name = partition.name.topic.as_bytes();
        let bytes = u32::try_from(name.len()).expect("a topic's name is short");
        out.put(&Entry { bytes, ..Entry::fact(EntryKind::Name, key, no_mark) }.encode());
        out.put(name);
        let placement = Placement { directory, move_count: partition.move_count };
        out.put(&Entry::placed(key, placement).encode());
    }
    let bytes = u32::try_from(member.to.position - member.from.position).expect("a part of a group fits 32 bits");
    let kind = if member.road == Road::Journal { EntryKind::Data } else { EntryKind::Direct };
    let entry = Entry { bytes, to_offset: member.to.offset, ..Entry::fact(kind, key, member.from) };
    out.put(&entry.encode());
    if kind == EntryKind::Data {
        let at = partition.segment_with_base(member.from.segment).expect("the segment is open");
        for slice in partition.segments[at].tail.slices(member.from.position, member.to.position) {
            out.put(&slice);
        }
    }
}
