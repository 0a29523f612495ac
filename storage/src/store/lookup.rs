//! Lookups by time: the first record at or after a timestamp, and the record with the largest one.

use ringlog_buffer::Slice;

use super::read::{Goal, Place, Step, Waiting, start_position};
use super::{Store, index};
use crate::answer::{LookupOutcome, PartitionId, ReadError, ReadUpTo, TimestampOffset};
use crate::batch::codec::Decompressor;
use crate::batch::{BatchHeader, BatchView, Records, TimestampType};
use crate::limits::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES};
use crate::log::partition::Partition;
use crate::log::scan::{Expected, Found, look};
use crate::log::tail::{to_u64, to_usize};
use crate::types::{Millis, Offset};

impl Store {
    /// The first record whose timestamp is at or after `timestamp` (`ListOffsets`). What is not in memory comes with
    /// `StoreEvent::LookupReady`.
    pub fn offset_for_timestamp(
        &mut self,
        id: PartitionId,
        timestamp: Millis,
        up_to: ReadUpTo,
    ) -> Result<LookupOutcome, ReadError> {
        let partition = self.get(id).filter(|partition| !partition.removing).ok_or(ReadError::UnknownPartition)?;
        let goal = Goal::Timestamp { timestamp, log_start: partition.log_start, cap: cap(partition, up_to) };
        let mut next = late_enough(partition, 0, timestamp);
        // Of the first segment, what is late enough may be deleted.
        while let Some(at) = next {
            match self.look_up(id, at, goal)? {
                LookupOutcome::Ready(None) => {
                    next = self.get(id).and_then(|partition| late_enough(partition, at + 1, timestamp));
                }
                found => return Ok(found),
            }
        }
        Ok(LookupOutcome::Ready(None))
    }

    /// Points a lookup by time that has found nothing in its segment at the next one that may have something.
    pub(super) fn look_further(&self, waiting: &mut Waiting) -> bool {
        let (Goal::Timestamp { timestamp, .. }, Some(partition)) = (waiting.goal, self.get(waiting.id)) else {
            return false;
        };
        let behind = partition.segments.partition_point(|segment| segment.base <= waiting.segment);
        let Some(at) = late_enough(partition, behind, timestamp) else { return false };
        let start = start_position(partition, at, &waiting.goal, None);
        *waiting = Waiting::new(waiting.id, partition.segments[at].base, waiting.goal, start);
        true
    }

    /// The first record that has the largest timestamp of all (`ListOffsets` with -3, KIP-734).
    pub fn max_timestamp(&mut self, id: PartitionId, up_to: ReadUpTo) -> Result<LookupOutcome, ReadError> {
        let partition = self.get(id).filter(|partition| !partition.removing).ok_or(ReadError::UnknownPartition)?;
        let cap = cap(partition, up_to);
        let mut best: Option<(usize, Millis)> = None;
        for (at, segment) in partition.segments.iter().enumerate() {
            let later = best.is_none_or(|(_, max)| segment.times.max > max);
            if segment.times.max > Millis::NONE && later {
                best = Some((at, segment.times.max));
            }
        }
        let Some((at, _)) = best else { return Ok(LookupOutcome::Ready(None)) };
        let batch = partition.segments[at].times.max_batch;
        self.look_up(id, at, Goal::MaxTimestamp { batch, cap })
    }

    fn look_up(&mut self, id: PartitionId, at: usize, goal: Goal) -> Result<LookupOutcome, ReadError> {
        let partition = self.partitions[index(id)].as_ref().expect("looked up before");
        let segment = &partition.segments[at];
        let in_memory = segment.tail.first().is_some_and(|first| match goal {
            Goal::MaxTimestamp { batch, .. } => first.offset <= batch,
            _ => {
                first.position == 0
                    || segment.index.as_ref().is_some_and(|index| match goal {
                        Goal::Timestamp { timestamp, .. } => {
                            index.before_timestamp(timestamp).is_some_and(|entry| entry.position >= first.position)
                        }
                        _ => false,
                    })
            }
        });
        if in_memory {
            return Ok(LookupOutcome::Ready(self.look_in_tail(id, at, goal)));
        }
        let base = segment.base;
        Ok(match self.plan(id, base, goal)? {
            Ok(Step::Looked(found)) => LookupOutcome::Ready(found),
            Ok(_) => unreachable!("a lookup ends in what was found"),
            Err(read) => LookupOutcome::Disk(read),
        })
    }

    /// Looks for the goal among the batches in memory. Only those whose header says that they may have it are copied.
    pub(super) fn look_in_tail(&mut self, id: PartitionId, at: usize, goal: Goal) -> Option<TimestampOffset> {
        let partition = self.partitions[index(id)].as_ref().expect("looked up before");
        let segment = &partition.segments[at];
        let copy = |from, to| {
            let mut bytes: Vec<u8> = Vec::with_capacity(to_usize(to - from));
            segment.tail.slices(from, to).for_each(|slice| bytes.extend_from_slice(&slice));
            bytes
        };
        let mut place = 0;
        while let Some(entry) = segment.tail.entry(place) {
            place += 1;
            let end = segment.tail.entry(place).map_or(segment.bytes, |next| next.position);
            let head = copy(entry.position, end.min(entry.position + to_u64(BATCH_HEADER_BYTES)));
            if let Ok(header) = BatchHeader::parse(&head)
                && let Some(found) = of_header(header, goal)
            {
                match found {
                    InBatch::NotHere => continue,
                    InBatch::Here(found) => return found,
                }
            }
            let bytes = copy(entry.position, end);
            let Ok((batch, _)) = BatchView::parse(&bytes) else { return None };
            match find_in_batch(&batch, goal, &mut self.reads.decompressor) {
                InBatch::NotHere => {}
                InBatch::Here(found) => return found,
            }
        }
        None
    }

    /// Looks for the goal in bytes of a segment that begin at `start`.
    pub(super) fn search(
        &mut self,
        id: PartitionId,
        at: usize,
        goal: Goal,
        mut place: Place,
        start: u64,
        bytes: &Slice,
    ) -> Step {
        let partition = self.partitions[index(id)].as_ref().expect("looked up before");
        loop {
            let inside = to_usize(place.position - start);
            let expected = expected(partition, at, place.position, place.offset);
            let batch = match look(bytes.get(inside..).unwrap_or_default(), expected) {
                Found::Batch(batch) => batch,
                _ if expected.bytes_left == 0 => return Step::More(place, 0),
                Found::Incomplete(needed) => return Step::More(place, needed),
                Found::Bad => return Step::Bad(place),
            };
            if let InBatch::Here(found) = find_in_batch(&batch, goal, &mut self.reads.decompressor) {
                return if batch.check_crc() { Step::Looked(found) } else { Step::Bad(place) };
            }
            place = Place { offset: batch.next_offset(), position: place.position + to_u64(batch.bytes().len()) };
        }
    }
}

/// What batches at this position of a segment have to fulfil.
pub(super) fn expected(partition: &Partition, at: usize, position: u64, from: Offset) -> Expected {
    let segment = &partition.segments[at];
    let written = partition.written.position_in(segment.base, segment.bytes);
    Expected {
        from: from.max(segment.base),
        end: partition.segment_end_offset(at),
        bytes_left: written.saturating_sub(position),
    }
}

/// The first segment from `from` on that has a record at or after a time.
fn late_enough(partition: &Partition, from: usize, timestamp: Millis) -> Option<usize> {
    (from..partition.segments.len()).find(|at| partition.segments[*at].times.max >= timestamp)
}

fn cap(partition: &Partition, up_to: ReadUpTo) -> Offset {
    match up_to {
        ReadUpTo::HighWatermark => partition.high_watermark,
        ReadUpTo::LogEnd => partition.end.offset,
    }
}

enum InBatch {
    /// A later batch may have it.
    NotHere,
    /// The search ends here: with a record, or because what follows must not be seen.
    Here(Option<TimestampOffset>),
}

/// What the header of a batch tells already; `None` if its records have to be looked at.
fn of_header(batch: BatchHeader<'_>, goal: Goal) -> Option<InBatch> {
    let (wanted, cap) = match goal {
        Goal::Timestamp { log_start, .. } if batch.next_offset() <= log_start => return Some(InBatch::NotHere),
        Goal::Timestamp { timestamp, cap, .. } => (timestamp, cap),
        Goal::MaxTimestamp { batch: base, cap } if batch.base_offset() >= base => (batch.max_timestamp(), cap),
        Goal::MaxTimestamp { .. } | Goal::Fetch { .. } => return Some(InBatch::NotHere),
    };
    if batch.base_offset() >= cap {
        return Some(InBatch::Here(None));
    }
    if batch.max_timestamp() < wanted {
        return Some(InBatch::NotHere);
    }
    (batch.timestamp_type() == TimestampType::LogAppendTime).then(|| first_record(batch, goal))
}

/// The first record of a batch that is not deleted.
fn first_record(batch: BatchHeader<'_>, goal: Goal) -> InBatch {
    let log_start = if let Goal::Timestamp { log_start, .. } = goal { log_start } else { Offset::ZERO };
    InBatch::Here(Some(TimestampOffset {
        timestamp: batch.max_timestamp(),
        offset: batch.base_offset().max(log_start),
        leader_epoch: batch.leader_epoch(),
    }))
}

fn find_in_batch(batch: &BatchView<'_>, goal: Goal, decompressor: &mut Decompressor) -> InBatch {
    if let Some(found) = of_header(batch.header(), goal) {
        return found;
    }
    let (wanted, log_start) = match goal {
        Goal::Timestamp { timestamp, log_start, .. } => (timestamp, log_start),
        Goal::MaxTimestamp { .. } | Goal::Fetch { .. } => (batch.max_timestamp(), Offset::ZERO),
    };
    let plain =
        batch.codec().ok().and_then(|codec| decompressor.decompress(codec, batch.payload(), BATCH_BYTES_MAX).ok());
    for record in Records::new(plain.unwrap_or_default(), batch.record_count()).map_while(Result::ok) {
        let timestamp = batch.timestamp_of(record.timestamp_delta);
        let offset = batch.offset_of(record.offset_delta);
        if timestamp >= wanted && offset >= log_start {
            let leader_epoch = batch.leader_epoch();
            return InBatch::Here(Some(TimestampOffset { timestamp, offset, leader_epoch }));
        }
    }
    // What is late enough of it is deleted. Or its records cannot be read any more: it still has an offset not too late.
    if plain.is_some() && log_start > batch.base_offset() {
        InBatch::NotHere
    } else {
        first_record(batch.header(), goal)
    }
}
