//! Appends: from the batches of a produce request to offsets that are committed.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use slab::Slab;

use ringlog_buffer::Slice;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::{AppendError, AppendOrigin, Appended, NewBatch, PartitionId};
use ringlog_storage::batch::validate::{InvalidRecord, ProduceError, validate_produced};
use ringlog_storage::types::{Millis, Nanos, Offset};

use super::commit::Counts;
use super::table::PartitionKey;
use crate::countdown::Countdown;
use crate::metrics::counters::Traffic;
use crate::produce_rules::produce_rules;
use crate::recorder::Span;
use crate::shard::Shard;
use crate::state::State;

/// A client's time is for what Kafka waits for, which are other replicas: the leader's own append is not timed there. Here
/// it is the disk that is waited for, and a time below this is no reason to fail.
pub(crate) const WAIT_MIN: Duration = Duration::from_secs(1);

/// One batch for one partition.
#[derive(Clone, Debug)]
pub(crate) struct AppendItem {
    /// Where it goes.
    pub key: PartitionKey,
    /// What the client sent as records of the partition: a part of its frame.
    pub records: Slice,
    /// Version of the produce request: some rules depend on it.
    pub version: i16,
}

/// What became of one batch.
pub(crate) type AppendOutcome = Result<Committed, AppendFailure>;

/// When the appends of a request reached each part of their way through the shard that owns their partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AppendTimes {
    /// They were taken up.
    pub taken_at: Nanos,
    /// They were in the log, or in line for it.
    pub appended_at: Nanos,
    /// The group commit that the last of them waited for.
    pub commit: Option<Span>,
}

impl AppendTimes {
    /// When the last of them was committed.
    pub(crate) fn ended_at(&self) -> Nanos {
        self.commit.map_or(self.appended_at, |commit| commit.to)
    }
}

/// A batch that is committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Committed {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// The time that the broker gave it, or [`Millis::NONE`].
    pub log_append_time: Millis,
    /// First readable offset of the partition.
    pub log_start: Offset,
}

impl From<Appended> for Committed {
    fn from(appended: Appended) -> Self {
        let Appended { base_offset, log_append_time, log_start, .. } = appended;
        Self { base_offset, log_append_time, log_start }
    }
}

/// Why a batch was not appended, or may not be kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct AppendFailure {
    /// Kafka's code.
    pub code: ErrorCode,
    /// What was wrong, for people.
    pub message: Option<String>,
    /// The records that were wrong, where it was single ones.
    pub record_errors: Vec<InvalidRecord>,
}

impl From<ErrorCode> for AppendFailure {
    fn from(code: ErrorCode) -> Self {
        Self { code, message: None, record_errors: Vec::new() }
    }
}

/// The batches of one request that go to this shard.
#[derive(Debug)]
pub(crate) struct Request {
    entries: RefCell<Vec<Entry>>,
    count: Countdown,
    /// When the client wants an answer at the latest.
    deadline: Nanos,
}

impl Counts for Request {
    fn count(&self) -> &Countdown {
        &self.count
    }
}

#[derive(Debug)]
enum Entry {
    /// The store has no room; the batch waits in [`Deferred`].
    Deferred,
    Failed(AppendFailure),
    Appended(PartitionId, Appended),
    /// It is committed, and its partition has gone to another shard.
    Gone(Appended),
}

/// Batches for which the store had no room, in the order of their arrival; what arrives later waits behind them. Their
/// number is bounded by the requests that connections may have in flight.
#[derive(Debug, Default)]
pub(crate) struct Deferred(VecDeque<DeferredItem>);

impl Deferred {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[derive(Debug)]
struct DeferredItem {
    item: AppendItem,
    /// The room that it waits for: what it takes in the log, once that is known.
    bytes: usize,
    request: Rc<Request>,
    index: usize,
}

/// Requests that wait until their batches are committed. One look at all of them now and then costs less than a timer for
/// each. Their number is bounded by the requests that connections may have in flight.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Slab<Rc<Request>>);

impl Waiting {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A request whose batches are in the log, or in line for it.
pub(crate) struct Begun {
    shard: Shard,
    request: Rc<Request>,
    taken_at: Nanos,
    appended_at: Nanos,
    /// Its place in [`Waiting`].
    waiting: Option<usize>,
}

/// Appends what is valid. On return every batch has its place in the order of the log. `wait_max` is how long the client
/// waits for an answer: a second at least, and up to half a second more, because the waits are looked at twice a second.
pub(crate) fn begin(shard: &Shard, items: Vec<AppendItem>, wait_max: Duration) -> Begun {
    let entries = RefCell::new(Vec::with_capacity(items.len()));
    let taken_at = shard.now();
    let deadline = taken_at.saturating_add(wait_max);
    let request = Rc::new(Request { entries, count: Countdown::default(), deadline });
    let now = shard.wall_clock();
    let waiting = shard.with(|state| {
        for (index, item) in items.into_iter().enumerate() {
            let bytes = item.records.len();
            let appended = if state.deferred.0.is_empty() {
                append(state, &item, bytes, &request, now)
            } else {
                Err(NoRoom(bytes))
            };
            let entry = appended.unwrap_or_else(|NoRoom(bytes)| {
                request.count.begin();
                state.deferred.0.push_back(DeferredItem { item, bytes, request: Rc::clone(&request), index });
                Entry::Deferred
            });
            request.entries.borrow_mut().push(entry);
        }
        request.count.is_open().then(|| state.appends.0.insert(Rc::clone(&request)))
    });
    Begun { shard: shard.clone(), request, taken_at, appended_at: shard.now(), waiting }
}

/// Answers requests whose time is over. What is in the log stays there, and may be committed later; what has no place in
/// it by now never gets one.
pub(crate) fn expire(state: &mut State, now: Nanos, wall_clock: Millis) {
    let is_due = |request: &Rc<Request>| request.deadline <= now && !request.count.is_given_up();
    let due: Vec<_> = state.appends.0.iter().map(|(_, request)| request).filter(|request| is_due(request)).collect();
    if due.is_empty() {
        return;
    }
    for request in due {
        request.count.give_up();
    }
    let is_over = |deferred: &DeferredItem| deferred.request.count.is_given_up();
    fail_deferred(state, is_over, ErrorCode::RequestTimedOut, wall_clock);
}

/// A partition has gone to another shard, with everything committed: requests that wait for batches of others too know that.
pub(crate) fn note_gone(state: &State, id: PartitionId) {
    for (_, request) in &state.appends.0 {
        for entry in request.entries.borrow_mut().iter_mut() {
            if let Entry::Appended(of, appended) = entry
                && *of == id
            {
                *entry = Entry::Gone(*appended);
            }
        }
    }
}

/// What waits for room in this partition never gets any here: the partition leaves the shard.
pub(crate) fn refuse_deferred(state: &mut State, key: PartitionKey, wall_clock: Millis) {
    fail_deferred(state, |deferred| deferred.item.key == key, ErrorCode::NotLeaderOrFollower, wall_clock);
}

/// Has some of what waits for room fail.
fn fail_deferred(state: &mut State, fails: impl Fn(&DeferredItem) -> bool, code: ErrorCode, wall_clock: Millis) {
    for deferred in std::mem::take(&mut state.deferred.0) {
        if !fails(&deferred) {
            state.deferred.0.push_back(deferred);
            continue;
        }
        note_refused(state, &deferred.item, wall_clock);
        count_failed(state, deferred.item.key);
        deferred.request.entries.borrow_mut()[deferred.index] = Entry::Failed(code.into());
        deferred.request.count.settle_one();
    }
}

/// What comes next of the batch's producer must not take its place.
fn note_refused(state: &mut State, item: &AppendItem, wall_clock: Millis) {
    let Some(id) = state.table.id(item.key) else { return };
    let slot = state.table.get(id).expect("every id of the table has its slot");
    let rules = produce_rules(&slot.config, item.version);
    if let Ok(produced) = validate_produced(&item.records, &rules, wall_clock, &mut state.codecs) {
        state.store.note_refused(id, produced.header(), wall_clock);
    }
}

/// Appends what was deferred, for as long as there is room.
pub(crate) fn retry_deferred(state: &mut State, now: Millis) {
    while let Some(DeferredItem { item, bytes, request, index }) = state.deferred.0.pop_front() {
        match append(state, &item, bytes, &request, now) {
            Ok(entry) => {
                request.entries.borrow_mut()[index] = entry;
                request.count.settle_one();
            }
            Err(NoRoom(bytes)) => {
                state.deferred.0.push_front(DeferredItem { item, bytes, request, index });
                return;
            }
        }
    }
}

/// The store has no room for so many bytes.
struct NoRoom(usize);

/// Whether there is room for `bytes` is asked for first: a batch that waits is validated when there is some. It may turn
/// out larger than it came, where the topic has another compression; then there must be room for that before it is looked
/// at again, or nothing else would ever have its turn.
fn append(
    state: &mut State,
    item: &AppendItem,
    bytes: usize,
    request: &Rc<Request>,
    now: Millis,
) -> Result<Entry, NoRoom> {
    let entry = match state.table.find(item.key) {
        Ok(id) => append_to(state, id, item, bytes, request, now)?,
        Err(code) => Entry::Failed(code.into()),
    };
    if matches!(entry, Entry::Failed(_)) {
        count_failed(state, item.key);
    }
    Ok(entry)
}

fn count_appended(traffic: &mut Traffic, appended: &Appended, bytes: usize) {
    traffic.produces += 1;
    if !appended.duplicate {
        let records = appended.last_offset.since(appended.base_offset) + 1;
        traffic.messages_in += u64::try_from(records).expect("a batch has records");
        traffic.bytes_in += u64::try_from(bytes).expect("a length fits 64 bits");
    }
}

fn count_failed(state: &mut State, key: PartitionKey) {
    let slot = state.table.id(key).and_then(|id| state.table.get_mut(id));
    for traffic in [Some(&mut state.traffic), slot.map(|slot| &mut slot.traffic)].into_iter().flatten() {
        traffic.produces += 1;
        traffic.produces_failed += 1;
    }
}

fn append_to(
    state: &mut State,
    id: PartitionId,
    item: &AppendItem,
    bytes: usize,
    request: &Rc<Request>,
    now: Millis,
) -> Result<Entry, NoRoom> {
    let slot = state.table.get(id).expect("every id of the table has its slot");
    if !state.store.has_room(id, bytes) {
        return Err(NoRoom(bytes));
    }
    let (config, leader_epoch) = (&slot.config, slot.leader_epoch);
    let rules = produce_rules(config, item.version);
    let produced = match validate_produced(&item.records, &rules, now, &mut state.codecs) {
        Ok(produced) => produced,
        Err(error) => return Ok(Entry::Failed(invalid(&error))),
    };
    if produced.header().is_transactional() {
        // No transaction can be open: nobody has been given a transactional id.
        return Ok(Entry::Failed(ErrorCode::InvalidTxnState.into()));
    }
    let batch = NewBatch::from(&produced);
    let batch_bytes = batch.bytes();
    match state.store.append(id, batch, AppendOrigin::Client, leader_epoch, now) {
        Ok(appended) => {
            let slot = state.table.get_mut(id).expect("was there just now");
            if !appended.committed {
                slot.commits.push(appended.last_offset, request);
            }
            for traffic in [&mut slot.traffic, &mut state.traffic] {
                count_appended(traffic, &appended, item.records.len());
            }
            Ok(Entry::Appended(id, appended))
        }
        Err(AppendError::Backpressure) => Err(NoRoom(batch_bytes)),
        Err(error) => Ok(Entry::Failed(refused(&error))),
    }
}

impl Begun {
    /// Waits until every batch is committed or has failed, or the time is over, and tells what became of each, in the order
    /// of the items.
    pub(crate) async fn outcomes(self) -> (Vec<AppendOutcome>, AppendTimes) {
        let count = &self.request.count;
        count.settled().await;
        let times = AppendTimes { taken_at: self.taken_at, appended_at: self.appended_at, commit: count.commit() };
        let entries = self.request.entries.take();
        let uncommitted = if count.is_given_up() { ErrorCode::RequestTimedOut } else { ErrorCode::KafkaStorageError };
        let outcomes = self.shard.with(|state| {
            if let Some(place) = self.waiting {
                state.appends.0.remove(place);
            }
            entries.into_iter().map(|entry| outcome(state, entry, uncommitted)).collect()
        });
        (outcomes, times)
    }
}

/// `uncommitted` is the answer for a batch that is in the log and not committed.
fn outcome(state: &State, entry: Entry, uncommitted: ErrorCode) -> AppendOutcome {
    match entry {
        Entry::Deferred => unreachable!("a deferred batch counts as open"),
        Entry::Failed(failure) => Err(failure),
        Entry::Gone(appended) => Ok(appended.into()),
        Entry::Appended(id, appended) => {
            let Some(offsets) = state.store.partition(id) else {
                return Err(ErrorCode::UnknownTopicOrPartition.into());
            };
            if !appended.committed && offsets.high_watermark <= appended.last_offset {
                return Err(uncommitted.into());
            }
            Ok(appended.into())
        }
    }
}

/// The answer to a batch that breaks a rule.
fn invalid(error: &ProduceError) -> AppendFailure {
    let code = match error {
        ProduceError::UnknownMagic(_) | ProduceError::Length(_) | ProduceError::Crc => ErrorCode::CorruptMessage,
        ProduceError::TooLarge { .. } | ProduceError::PlainTooLarge(_) => ErrorCode::MessageTooLarge,
        ProduceError::ZstdTooEarly(_) | ProduceError::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
        ProduceError::InvalidRecords(_) if error.has_invalid_timestamp() => ErrorCode::InvalidTimestamp,
        ProduceError::NoBatch
        | ProduceError::SeveralBatches
        | ProduceError::OldMagic(_)
        | ProduceError::Malformed(_)
        | ProduceError::BaseOffset(_)
        | ProduceError::Count { .. }
        | ProduceError::ControlBatch
        | ProduceError::DeleteHorizon
        | ProduceError::ProducerFields(_)
        | ProduceError::Record(_)
        | ProduceError::RecordTooLarge { .. }
        | ProduceError::InvalidRecords(_) => ErrorCode::InvalidRecord,
    };
    AppendFailure { code, message: Some(error.to_string()), record_errors: error.invalid_records().to_vec() }
}

/// The answer to a batch that the store refuses.
fn refused(error: &AppendError) -> AppendFailure {
    let code = match error {
        AppendError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        AppendError::OutOfOrderSequence { .. } => ErrorCode::OutOfOrderSequenceNumber,
        AppendError::InvalidProducerEpoch { .. } => ErrorCode::InvalidProducerEpoch,
        AppendError::StaleLeaderEpoch { .. } => ErrorCode::NotLeaderOrFollower,
        AppendError::BatchTooLarge { .. } => ErrorCode::RecordListTooLarge,
        AppendError::Backpressure | AppendError::Storage(_) => ErrorCode::KafkaStorageError,
    };
    AppendFailure { code, message: Some(error.to_string()), record_errors: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::answer::StorageError;
    use ringlog_storage::batch::codec::Codec;
    use ringlog_storage::batch::record::RecordError;
    use ringlog_storage::batch::validate::InvalidRecordKind;
    use ringlog_storage::io::IoErrorKind;
    use ringlog_storage::types::{LeaderEpoch, ProducerEpoch, ProducerId};

    /// The codes are those that a 4.4 broker gives, and those that the storage crate's golden verdicts of it hold.
    #[test]
    fn a_batch_that_breaks_a_rule_is_answered_as_kafka_does() {
        let invalid_records = |kind| ProduceError::InvalidRecords(vec![InvalidRecord { index: 3, kind }]);
        for (error, code) in [
            (ProduceError::NoBatch, ErrorCode::InvalidRecord),
            (ProduceError::SeveralBatches, ErrorCode::InvalidRecord),
            (ProduceError::OldMagic(1), ErrorCode::InvalidRecord),
            (ProduceError::UnknownMagic(9), ErrorCode::CorruptMessage),
            (ProduceError::Length(-5), ErrorCode::CorruptMessage),
            (ProduceError::Crc, ErrorCode::CorruptMessage),
            (ProduceError::ZstdTooEarly(6), ErrorCode::UnsupportedCompressionType),
            (ProduceError::UnknownCodec(5), ErrorCode::UnsupportedCompressionType),
            (ProduceError::TooLarge { bytes: 2, limit: 1 }, ErrorCode::MessageTooLarge),
            (ProduceError::PlainTooLarge(1), ErrorCode::MessageTooLarge),
            (ProduceError::Malformed(Codec::Gzip), ErrorCode::InvalidRecord),
            (ProduceError::BaseOffset(Offset::new(1)), ErrorCode::InvalidRecord),
            (ProduceError::Count { record_count: 0, last_offset_delta: 0 }, ErrorCode::InvalidRecord),
            (ProduceError::ControlBatch, ErrorCode::InvalidRecord),
            (ProduceError::DeleteHorizon, ErrorCode::InvalidRecord),
            (ProduceError::ProducerFields(ProducerId::new(1)), ErrorCode::InvalidRecord),
            (ProduceError::Record(RecordError::Truncated), ErrorCode::InvalidRecord),
            (ProduceError::RecordTooLarge { bytes: 2, limit: 1 }, ErrorCode::InvalidRecord),
            (invalid_records(InvalidRecordKind::OffsetDelta), ErrorCode::InvalidRecord),
            (invalid_records(InvalidRecordKind::NullKey), ErrorCode::InvalidRecord),
            (invalid_records(InvalidRecordKind::Timestamp), ErrorCode::InvalidTimestamp),
            (invalid_records(InvalidRecordKind::TimestampType), ErrorCode::InvalidTimestamp),
        ] {
            let failure = invalid(&error);
            assert_eq!(failure.code, code, "{error:?}");
            assert_eq!(failure.message, Some(error.to_string()));
            assert_eq!(failure.record_errors, error.invalid_records());
        }
    }

    #[test]
    fn what_the_store_refuses_is_answered_as_kafka_does() {
        let fenced = StorageError::Fenced(IoErrorKind::ShortWrite);
        for (error, code) in [
            (AppendError::UnknownPartition, ErrorCode::UnknownTopicOrPartition),
            (AppendError::OutOfOrderSequence { last: 3, found: 5 }, ErrorCode::OutOfOrderSequenceNumber),
            (
                AppendError::InvalidProducerEpoch { current: ProducerEpoch::new(2), found: ProducerEpoch::new(1) },
                ErrorCode::InvalidProducerEpoch,
            ),
            (
                AppendError::StaleLeaderEpoch { latest: LeaderEpoch::new(2), found: LeaderEpoch::new(1) },
                ErrorCode::NotLeaderOrFollower,
            ),
            (AppendError::BatchTooLarge { bytes: 1 }, ErrorCode::RecordListTooLarge),
            (AppendError::Storage(StorageError::NoSpace), ErrorCode::KafkaStorageError),
            (AppendError::Storage(fenced), ErrorCode::KafkaStorageError),
            (AppendError::Storage(StorageError::Closing), ErrorCode::KafkaStorageError),
        ] {
            assert_eq!(refused(&error).code, code, "{error:?}");
        }
    }
}
