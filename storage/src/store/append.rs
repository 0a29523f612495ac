//! Appending: checks, the offset, one copy into the tail, and then the state that follows from it.

use super::commit::journal_bytes_max;
use super::{Phase, Space, Store, index};
use crate::answer::{AppendError, AppendOrigin, Appended, NewBatch, PartitionId, StorageError, StoreEvent};
use crate::batch::{BatchHeader, TimestampType, stamp};
use crate::config::Durability;
use crate::journal::format::record_bytes;
use crate::log::partition::Partition;
use crate::log::producers::Verdict;
use crate::log::segment::file_name;
use crate::log::tail::to_u64;
use crate::types::{LeaderEpoch, Millis, Offset, ProducerId};

/// How long a batch of a topic with [`Durability::Interval`] waits if `flush.ms` is not set.
const INTERVAL_FLUSH_MS: u64 = 1000;
/// How long a batch of a topic with [`Durability::None`] waits if `flush.ms` is not set.
const NONE_FLUSH_MS: u64 = 10_000;

impl Store {
    /// Appends one batch in memory, at once: checks its producer's sequence, gives it the next offsets and this leader
    /// epoch, and copies it into the partition's tail. The batch itself must have been validated. Whether it is
    /// committed is told in the answer and by [`StoreEvent::HighWatermark`]. On an error nothing has changed, but that a
    /// batch of an idempotent producer that was refused is noted: what it sends behind that must not take its place.
    pub fn append(
        &mut self,
        id: PartitionId,
        batch: NewBatch<'_>,
        origin: AppendOrigin,
        leader_epoch: LeaderEpoch,
        now: Millis,
    ) -> Result<Appended, AppendError> {
        self.wall_clock = self.wall_clock.max(now);
        let at = index(id);
        let partition = self.partitions.get(at).and_then(Option::as_ref).ok_or(AppendError::UnknownPartition)?;
        if partition.removing {
            return Err(AppendError::UnknownPartition);
        }
        if let Some(duplicate) = check_producer(partition, batch.header, origin)? {
            return match self.fenced.or(partition.fenced) {
                // Its commit was lost with the write that failed: nobody would ever tell of it.
                Some(reason) if !duplicate.committed => Err(AppendError::Storage(StorageError::Fenced(reason))),
                _ => Ok(duplicate),
            };
        }
        if leader_epoch < partition.epochs.latest().unwrap_or(leader_epoch) {
            let latest = partition.epochs.latest().unwrap_or(leader_epoch);
            return Err(AppendError::StaleLeaderEpoch { latest, found: leader_epoch });
        }
        let bytes = batch.bytes();
        if to_u64(bytes) > u64::from(partition.config.segment_bytes) {
            return Err(AppendError::BatchTooLarge { bytes });
        }
        match self.check_room(partition.fenced, origin, bytes) {
            Ok(()) => {}
            Err(AppendError::Backpressure) => {
                self.make_room();
                return Err(AppendError::Backpressure);
            }
            Err(refusal) => {
                let partition = self.partitions[at].as_mut().expect("looked up before");
                if origin == AppendOrigin::Client {
                    partition.producers.refused(batch.header, now);
                }
                return Err(refusal);
            }
        }
        self.partitions[at].as_mut().expect("looked up before").is_of_controller |= origin == AppendOrigin::Controller;
        Ok(self.append_checked(id, batch, leader_epoch, now))
    }

    /// Whether a client's append of so many bytes would get an answer other than [`AppendError::Backpressure`]. Tells before a batch
    /// is validated whether that is worth while, and has room made if it is not.
    pub fn has_room(&mut self, id: PartitionId, bytes: usize) -> bool {
        let fenced = self.get(id).map(|partition| partition.fenced);
        let answer = fenced.map_or(Ok(()), |fenced| self.check_room(fenced, AppendOrigin::Client, bytes));
        let must_wait = answer == Err(AppendError::Backpressure);
        if must_wait {
            self.make_room();
        } else if !self.is_full_for(bytes) {
            self.writeback.want_room(false);
        }
        !must_wait
    }

    /// Has everything written back that an append may wait for. Told once, so that asking again wakes nobody.
    fn make_room(&mut self) {
        if self.writeback.want_room(true) {
            self.stirred = true;
        }
    }

    fn is_full_for(&self, bytes: usize) -> bool {
        let after = self.unwritten_bytes.saturating_add(to_u64(bytes));
        after > self.config.unwritten_bytes_max && self.unwritten_bytes > 0
    }

    /// Notes that a client's batch will not be appended for a reason that is not its own: those that follow it must not take
    /// its place.
    pub fn note_refused(&mut self, id: PartitionId, header: BatchHeader<'_>, now: Millis) {
        if let Some(partition) = self.get_mut(id) {
            partition.producers.refused(header, now);
        }
    }

    /// Whether a batch of so many bytes goes in now.
    fn check_room(
        &self,
        fenced: Option<crate::io::IoErrorKind>,
        origin: AppendOrigin,
        bytes: usize,
    ) -> Result<(), AppendError> {
        let refusal = match (self.fenced.or(fenced), self.phase, self.space) {
            (Some(reason), _, _) => StorageError::Fenced(reason),
            (None, Phase::Closing | Phase::Closed, _) => StorageError::Closing,
            (None, Phase::Running, Space::There) if self.is_full_for(bytes) => return Err(AppendError::Backpressure),
            (None, Phase::Running, Space::There) => return Ok(()),
            (None, Phase::Running, Space::Exhausted(_)) if self.goes_on_without_space(origin, bytes) => return Ok(()),
            (None, Phase::Running, Space::Exhausted(_)) => StorageError::NoSpace,
        };
        Err(AppendError::Storage(refusal))
    }

    /// Whether nothing can be committed before the journal has more room.
    #[cfg(test)]
    pub(crate) fn is_journal_full(&self) -> bool {
        self.commit.is_blocked()
    }

    /// What is appended on a full device may have to stay in the journal until there is space for it: it must fit there, and room
    /// is left for what makes space, records of the controller and facts of deletions.
    fn goes_on_without_space(&self, origin: AppendOrigin, bytes: usize) -> bool {
        let fits = to_u64(bytes) <= journal_bytes_max(self.journal.file_bytes());
        fits && match origin {
            AppendOrigin::Client => false,
            AppendOrigin::Coordinator => !self.is_full_for(bytes) && self.journal.leaves_room(record_bytes(bytes)),
            AppendOrigin::Controller => !self.commit.is_blocked(),
        }
    }

    /// Everything is decided: from here on nothing can fail.
    fn append_checked(
        &mut self,
        id: PartitionId,
        batch: NewBatch<'_>,
        leader_epoch: LeaderEpoch,
        now: Millis,
    ) -> Appended {
        let at = index(id);
        let bytes = to_u64(batch.bytes());
        let partition = self.partitions[at].as_mut().expect("looked up before");
        if partition.must_roll(batch.header, bytes) {
            let path = format!("{}/{}", partition.dir, file_name(partition.end.offset, "log"));
            partition.roll(self.queue.file(path));
        }
        let (base_offset, position) = (partition.end.offset, partition.end.position);
        let last_offset =
            base_offset.checked_add(i64::from(batch.header.last_offset_delta())).expect("a log is shorter");
        let mut head = *batch.header.bytes();
        stamp(&mut head, base_offset, leader_epoch);
        let active = partition.segments.back_mut().expect("a partition has a segment");
        active.tail.append(base_offset, &[&head, batch.payload], self.clock, &mut self.tail_memory);
        active.bytes += bytes;
        active.note(base_offset, position, batch.header.max_timestamp());
        partition.end.position += bytes;
        partition.end.offset = last_offset.next();
        partition.epochs.assign(leader_epoch, base_offset);
        partition.producers.note(batch.header, base_offset, last_offset, now);
        partition.last_append = now;
        let records = last_offset.since(base_offset).unsigned_abs() + 1;
        partition.records_since_flush += records;
        self.unwritten_bytes += bytes;
        self.commit.note_appended(bytes);
        let committed = self.after_append(id);
        let partition = self.partitions[at].as_ref().expect("looked up before");
        Appended {
            base_offset,
            last_offset,
            log_append_time: append_time(batch.header),
            log_start: partition.log_start,
            duplicate: false,
            committed,
        }
    }

    /// Decides when the batch is committed and becomes durable. Answers whether it is committed already.
    fn after_append(&mut self, id: PartitionId) -> bool {
        let (clock, direct_bytes_min) = (self.clock, self.config.direct_bytes_min);
        let partition = self.known(id);
        if partition.is_sync() {
            self.queue_commit(id);
            return false;
        }
        let much = partition.bytes_between(partition.issued, partition.end) >= direct_bytes_min;
        let many = partition.config.flush_messages.is_some_and(|most| partition.records_since_flush >= most);
        partition.high_watermark = partition.end.offset;
        let offset = partition.high_watermark;
        if much || many {
            self.queue_commit(id);
        } else if partition.lazy_due.is_none() && !partition.queued {
            let default_ms =
                if partition.config.durability == Durability::Interval { INTERVAL_FLUSH_MS } else { NONE_FLUSH_MS };
            let wait_ms = partition.config.flush_ms.unwrap_or(default_ms);
            let due = clock.saturating_add(std::time::Duration::from_millis(wait_ms));
            partition.lazy_due = Some(due);
            self.lazy.insert((due, id));
        }
        self.tell_high_watermark(id, offset);
        true
    }

    /// Announces the high watermark, once for several batches in a row.
    pub(super) fn tell_high_watermark(&mut self, id: PartitionId, offset: Offset) {
        if let Some(StoreEvent::HighWatermark { partition, offset: last }) = self.events.back_mut()
            && *partition == id
        {
            *last = offset;
        } else {
            self.events.push_back(StoreEvent::HighWatermark { partition: id, offset });
        }
    }

    /// Memory is short: what would wait for its time is committed now.
    pub(super) fn hurry_lazy(&mut self) {
        while let Some((_, id)) = self.lazy.pop_first() {
            self.queue_commit(id);
        }
    }

    /// Moves lazily flushed partitions whose time has come into the queue of the next commit.
    pub(super) fn queue_lazy(&mut self) {
        let closing = self.phase != Phase::Running;
        while let Some(&(due, id)) = self.lazy.first() {
            if due > self.clock && !closing {
                break;
            }
            self.lazy.pop_first();
            self.queue_commit(id);
        }
    }
}

/// `Some` if the batch is there already.
fn check_producer(
    partition: &Partition,
    batch: BatchHeader<'_>,
    origin: AppendOrigin,
) -> Result<Option<Appended>, AppendError> {
    if origin != AppendOrigin::Client || batch.producer_id() < ProducerId::new(0) {
        return Ok(None);
    }
    match partition.producers.check(batch) {
        Verdict::New => Ok(None),
        Verdict::Duplicate(first) => Ok(Some(Appended {
            base_offset: first.base_offset,
            last_offset: first.last_offset,
            log_append_time: match batch.timestamp_type() {
                TimestampType::LogAppendTime => first.timestamp,
                TimestampType::CreateTime => Millis::NONE,
            },
            log_start: partition.log_start,
            duplicate: true,
            committed: first.last_offset < partition.high_watermark,
        })),
        Verdict::OldEpoch { current } => {
            Err(AppendError::InvalidProducerEpoch { current, found: batch.producer_epoch() })
        }
        Verdict::Gap { last } => {
            Err(AppendError::OutOfOrderSequence { last: last.get(), found: batch.base_sequence().get() })
        }
    }
}

fn append_time(batch: BatchHeader<'_>) -> Millis {
    match batch.timestamp_type() {
        TimestampType::LogAppendTime => batch.max_timestamp(),
        TimestampType::CreateTime => Millis::NONE,
    }
}
