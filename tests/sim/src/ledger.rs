//! The checker: what clients sent, what they were told, what they saw, and whether all of it can be true of one log.
//!
//! Every observation is compared with all earlier ones when it is made; [`Ledger::audit`] looks at a whole log at the end.
//! An answer may describe any moment between its request and itself, so it is held against what was known when the
//! request was sent ([`Mark`]). A violation panics: the seed has failed.
//!
//! Topics whose durability is not `sync` promise nothing about a crash. Each crash begins them anew: what was seen and
//! acknowledged before is forgotten, and answers to requests sent before count no more.

mod groups;
mod topics;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringlog_net::error::ErrorCode;
use ringlog_reactor::Instant;
use ringlog_storage::batch::{BatchView, Decompressor, crc32c, split};
use ringlog_storage::types::{Millis, Uuid};

use self::groups::Groups;
pub(crate) use self::topics::{Kind, Stage, Topic};
use crate::records::{self, BatchNumber, Form};

/// A partition of one incarnation of a topic.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: Uuid,
    pub(crate) index: i32,
}

impl fmt::Debug for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.index)
    }
}

/// Who sends a batch, and how often it may be in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sender {
    /// A producer with an id: once, whatever happens.
    Idempotent { producer_id: i64, sequence: i32 },
    /// A plain producer, on its n-th connection: as often as it was sent.
    Plain { client: usize, connection: u64 },
}

/// A batch that was sent, perhaps.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) partition: Partition,
    pub(crate) sender: Sender,
    pub(crate) form: Form,
    crc: u32,
    attempts: u32,
    /// What was known when it was first sent: it lies behind all of that.
    sent_after: Option<(u64, i64)>,
}

/// A batch that was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Seen {
    next: i64,
    hash: u32,
    number: BatchNumber,
}

/// What is known of a partition's log.
#[derive(Clone, Debug, Default)]
struct Log {
    seen: BTreeMap<i64, Seen>,
    places: BTreeMap<BatchNumber, BTreeSet<i64>>,
    acknowledged: BTreeMap<i64, (BatchNumber, i64)>,
    high_watermark: i64,
    log_start: i64,
    /// What the log will start with whatever happens.
    deleted: i64,
    /// When the high watermark was known to lie beyond an offset.
    grew: Vec<(i64, Instant)>,
}

/// What was known of a partition at some moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    crashes: u64,
    stage: Stage,
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

/// What a response says of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    pub(crate) high_watermark: i64,
    pub(crate) log_start: i64,
}

/// Counters of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Batches that were acknowledged.
    pub acknowledged: u64,
    /// Batches that were read, again and again.
    pub read: u64,
    /// Answers with an error, and lost connections.
    pub failures: u64,
    /// Topics created.
    pub topics: u64,
}

/// Everything that clients know.
pub(crate) struct Ledger {
    /// Wall-clock time at which the run began.
    pub(crate) start: Millis,
    pub(crate) counts: Counts,
    /// Storage errors have a cause: disk faults, a full disk, a shutdown.
    pub(crate) storage_may_fail: bool,
    /// Partitions go to other shards: a batch that waits for room in the one they leave gets none there.
    pub(crate) partitions_leave: bool,
    pub(crate) groups: Groups,
    topics: BTreeMap<Uuid, Topic>,
    uncertain_names: BTreeSet<String>,
    sent: Vec<Sent>,
    logs: BTreeMap<Partition, Log>,
    producer_ids: BTreeSet<i64>,
    crashes: u64,
    decompressor: Decompressor,
}

impl Ledger {
    pub(crate) fn new(start: Millis) -> Self {
        Self {
            start,
            counts: Counts::default(),
            storage_may_fail: false,
            partitions_leave: false,
            groups: Groups::default(),
            topics: BTreeMap::new(),
            uncertain_names: BTreeSet::new(),
            sent: Vec::new(),
            logs: BTreeMap::new(),
            producer_ids: BTreeSet::new(),
            crashes: 0,
            decompressor: Decompressor::default(),
        }
    }

    /// The process ended without being asked to.
    pub(crate) fn crashed(&mut self) {
        self.crashes += 1;
        for (partition, log) in &mut self.logs {
            if !self.topics[&partition.topic].kind.is_durable() {
                *log = Log::default();
            }
            // It is shown before it is durable: until somebody is told that it is, it may go back.
            log.log_start = log.deleted;
        }
    }

    /// A client was told that everything before this offset is deleted.
    pub(crate) fn deleted(&mut self, partition: Partition, mark: &Mark, log_start: i64) {
        if self.counts_still(partition, mark) {
            let log = self.logs.entry(partition).or_default();
            log.deleted = log.deleted.max(log_start);
        }
    }

    /// What is known now.
    pub(crate) fn mark(&self, partition: Partition) -> Mark {
        let log = self.logs.get(&partition);
        Mark {
            crashes: self.crashes,
            stage: self.topics[&partition.topic].stage,
            high_watermark: log.map_or(0, |log| log.high_watermark),
            log_start: log.map_or(0, |log| log.log_start),
        }
    }

    /// Whether an answer to a request of that time still means something.
    fn counts_still(&self, partition: Partition, mark: &Mark) -> bool {
        mark.crashes == self.crashes || self.topics[&partition.topic].kind.is_durable()
    }

    /// An id was given to a producer.
    pub(crate) fn producer_id_given(&mut self, id: i64) {
        assert!(id >= 0, "producer id {id}");
        assert!(self.producer_ids.insert(id), "producer id {id} was given twice");
    }

    /// Makes a batch known before it is sent.
    pub(crate) fn new_batch(&mut self, partition: Partition, sender: Sender, form: Form) -> BatchNumber {
        let number = BatchNumber(u64::try_from(self.sent.len()).expect("few"));
        self.sent.push(Sent { partition, sender, form, crc: 0, attempts: 0, sent_after: None });
        number
    }

    pub(crate) fn sent(&self, number: BatchNumber) -> &Sent {
        &self.sent[usize::try_from(number.0).expect("few")]
    }

    /// A batch is sent now, for the first time or again, on its client's n-th connection.
    pub(crate) fn sending(&mut self, number: BatchNumber, bytes: &[u8], on: u64) {
        let (view, _) = BatchView::parse(bytes).expect("it was built just now");
        let log = self.logs.get(&self.sent(number).partition);
        let known_end = log.and_then(|log| log.acknowledged.last_key_value()).map_or(0, |(_, (_, next))| *next);
        let crashes = self.crashes;
        let sent = &mut self.sent[usize::try_from(number.0).expect("few")];
        sent.crc = view.crc();
        sent.attempts += 1;
        if let Sender::Plain { connection, .. } = &mut sent.sender
            && sent.attempts == 1
        {
            *connection = on;
        }
        sent.sent_after.get_or_insert((crashes, known_end));
    }

    /// A batch was acknowledged.
    pub(crate) fn acknowledged(&mut self, number: BatchNumber, mark: &Mark, base: i64, log_start: i64, now: Instant) {
        let sent = self.sent(number).clone();
        let partition = sent.partition;
        self.must_not_be_gone(partition, mark);
        if !self.counts_still(partition, mark) {
            return;
        }
        self.counts.acknowledged += 1;
        let next = base + i64::from(sent.form.records);
        let what = format!("{partition:?}: batch {} acknowledged at {base}..{next}", number.0);
        let (crashes, after) = sent.sent_after.expect("it was sent");
        if crashes == self.crashes || self.is_durable(partition) {
            assert!(base >= after, "{what}, but offsets up to {after} had been acknowledged when it was first sent");
        }
        let log = self.logs.entry(partition).or_default();
        if let Some((other, (of, end))) = log.acknowledged.range(..=base).next_back() {
            let same = *other == base && *of == number;
            assert!(same || *end <= base, "{what}, but batch {} was at {other}..{end}", of.0);
        }
        if let Some((other, (of, _))) = log.acknowledged.range(base + 1..).next() {
            assert!(next <= *other, "{what}, but batch {} was at {other}", of.0);
        }
        if let Some((at, seen)) = log.seen.range(..next).next_back()
            && seen.next > base
        {
            assert!(*at == base && seen.number == number, "{what}, but batch {} was read at {at}", seen.number.0);
        }
        log.acknowledged.insert(base, (number, next));
        self.told_high_watermark(partition, next, now);
        self.place(partition, number, base);
        // Versions before 5 do not tell where the log starts.
        let log_start = if log_start < 0 { mark.log_start } else { log_start };
        // An acknowledgement tells no high watermark. Records up to it may be deleted before the answer leaves, these as well.
        let told = Told { high_watermark: next.max(mark.high_watermark).max(log_start), log_start };
        self.told(partition, mark, told, now);
    }

    /// Offsets that a response tells, whatever else it says.
    pub(crate) fn told(&mut self, partition: Partition, mark: &Mark, told: Told, now: Instant) {
        self.must_not_be_gone(partition, mark);
        if !self.counts_still(partition, mark) {
            return;
        }
        let Told { high_watermark, log_start } = told;
        assert!(
            high_watermark >= mark.high_watermark,
            "{partition:?}: the high watermark went back from {} to {high_watermark}",
            mark.high_watermark
        );
        assert!(
            log_start >= mark.log_start,
            "{partition:?}: the log start went back from {} to {log_start}",
            mark.log_start
        );
        assert!(log_start <= high_watermark, "{partition:?}: the log starts at {log_start}, behind {high_watermark}");
        let may_move = self.topics[&partition.topic].kind.loses_old_segments();
        assert!(may_move || log_start == 0, "{partition:?}: the log starts at {log_start}, but nothing deletes there");
        self.told_high_watermark(partition, high_watermark, now);
        let log = self.logs.entry(partition).or_default();
        // What was told before a crash, and comes late, may have gone back since.
        if mark.crashes == self.crashes {
            log.log_start = log.log_start.max(log_start);
        }
    }

    fn told_high_watermark(&mut self, partition: Partition, high_watermark: i64, now: Instant) {
        let log = self.logs.entry(partition).or_default();
        if high_watermark > log.high_watermark {
            log.high_watermark = high_watermark;
            log.grew.push((high_watermark, now));
        }
    }

    /// When it was first known that there is something to read at `offset`.
    pub(crate) fn known_readable_since(&self, partition: Partition, offset: i64) -> Option<Instant> {
        let log = self.logs.get(&partition)?;
        let place = log.grew.partition_point(|(high_watermark, _)| *high_watermark <= offset);
        log.grew.get(place).map(|(_, at)| *at)
    }

    /// Batches were read from `offset` on. Answers the offset behind them.
    pub(crate) fn read(&mut self, partition: Partition, mark: &Mark, offset: i64, bytes: &[u8], told: Told) -> i64 {
        let mut at = offset;
        for (index, batch) in split(bytes).enumerate() {
            let batch = batch.unwrap_or_else(|error| panic!("{partition:?} at {at}: {error}"));
            let (base, next) = (batch.base_offset().get(), batch.next_offset().get());
            let fits = if index == 0 { base <= at && at < next } else { base == at };
            assert!(fits, "{partition:?}: asked for {at}, read {base}..{next}: the log has a gap or overlaps");
            assert!(next <= told.high_watermark, "{partition:?}: {base}..{next} lies above {}", told.high_watermark);
            self.read_batch(partition, mark, &batch);
            at = next;
        }
        at
    }

    fn read_batch(&mut self, partition: Partition, mark: &Mark, batch: &BatchView<'_>) {
        self.counts.read += 1;
        if !self.counts_still(partition, mark) {
            return;
        }
        let (base, next) = (batch.base_offset().get(), batch.next_offset().get());
        let hash = crc32c(&[batch.bytes()]);
        let log = self.logs.entry(partition).or_default();
        if let Some(seen) = log.seen.get(&base) {
            let number = seen.number.0;
            assert_eq!((seen.next, seen.hash), (next, hash), "{partition:?}: batch {number} at {base} has changed");
            return;
        }
        let before = log.seen.range(..base).next_back().is_none_or(|(_, seen)| seen.next <= base);
        let behind = log.seen.range(base..).next().is_none_or(|(at, _)| *at >= next);
        assert!(before && behind, "{partition:?}: {base}..{next} overlaps with batches that were read before");
        let number = self.identify(partition, batch);
        let log = self.logs.entry(partition).or_default();
        if let Some((at, (of, end))) = log.acknowledged.range(..next).next_back()
            && *end > base
        {
            let same = *at == base && *of == number && *end == next;
            assert!(same, "{partition:?}: batch {} read at {base}, where {} was acknowledged at {at}", number.0, of.0);
        }
        log.seen.insert(base, Seen { next, hash, number });
        self.place(partition, number, base);
    }

    /// Which batch it is, with all its bytes or records compared.
    fn identify(&mut self, partition: Partition, batch: &BatchView<'_>) -> BatchNumber {
        let base = batch.base_offset().get();
        let broken = |what: String| -> ! { panic!("{partition:?} at {base}: {what}") };
        if !batch.check_crc() {
            broken("the checksum is wrong".to_owned());
        }
        let is_rewritten = self.topics[&partition.topic].kind.is_rewritten();
        let number = if is_rewritten {
            records::number_within(batch, &mut self.decompressor)
        } else {
            records::number_of(self.start, batch.base_timestamp()).ok_or_else(|| "no batch has these times".to_owned())
        };
        let number = number.unwrap_or_else(|what| broken(what));
        let Some(sent) = usize::try_from(number.0).ok().and_then(|index| self.sent.get(index)) else {
            broken(format!("batch {} was never sent", number.0))
        };
        if sent.partition != partition {
            broken(format!("batch {} was sent to {:?}", number.0, sent.partition));
        }
        if sent.attempts == 0 {
            broken(format!("batch {} was not sent yet", number.0));
        }
        if is_rewritten {
            if let Err(what) = records::check_records(batch, number, sent.form, &mut self.decompressor) {
                broken(format!("batch {}: {what}", number.0));
            }
        } else if sent.crc != batch.crc() {
            broken(format!("batch {} is not what was sent", number.0));
        }
        number
    }

    /// A batch is known to be at an offset.
    fn place(&mut self, partition: Partition, number: BatchNumber, base: i64) {
        let sent = &self.sent[usize::try_from(number.0).expect("few")];
        let most = match sent.sender {
            Sender::Idempotent { .. } => 1,
            Sender::Plain { .. } => sent.attempts,
        };
        let places = self.logs.entry(partition).or_default().places.entry(number).or_default();
        places.insert(base);
        let count = u32::try_from(places.len()).expect("few");
        assert!(count <= most, "{partition:?}: batch {} of {:?} is at {places:?}", number.0, sent.sender);
    }

    /// A partition was answered with an error; whether that can be.
    pub(crate) fn refused(&mut self, partition: Partition, mark: &Mark, code: ErrorCode) {
        self.counts.failures += 1;
        let stage = self.topics[&partition.topic].stage;
        match code {
            ErrorCode::UnknownTopicOrPartition | ErrorCode::UnknownTopicId => {
                assert_ne!(stage, Stage::Alive, "{partition:?} exists, but the broker answers {}", code.name());
            }
            ErrorCode::KafkaStorageError => {
                let excused = self.storage_may_fail || stage != Stage::Alive || mark.crashes != self.crashes;
                assert!(excused, "{partition:?}: {} on a disk without faults", code.name());
            }
            ErrorCode::NotLeaderOrFollower => {
                assert!(self.partitions_leave, "{partition:?}: {}, and all stay where they are", code.name());
            }
            other => panic!("{partition:?}: unexpected {}", other.name()),
        }
    }

    fn must_not_be_gone(&self, partition: Partition, mark: &Mark) {
        assert_ne!(mark.stage, Stage::Gone, "{partition:?} had been deleted, and is served again");
    }

    pub(crate) fn is_durable(&self, partition: Partition) -> bool {
        self.topics[&partition.topic].kind.is_durable()
    }

    /// How many times the process has ended without being asked to.
    pub(crate) fn crashes(&self) -> u64 {
        self.crashes
    }

    /// The whole log was read, from `log_start` to the high watermark: nothing that was seen or acknowledged is missing,
    /// and all is in order.
    pub(crate) fn audit(&self, partition: Partition) {
        let Some(log) = self.logs.get(&partition) else { return };
        let mut at = log.log_start;
        let mut last = BTreeMap::new();
        for (base, seen) in &log.seen {
            if seen.next <= log.log_start {
                continue;
            }
            assert!(*base <= at && at < seen.next, "{partition:?}: after {at} comes {base}: something is missing");
            at = seen.next;
            self.check_order(partition, &mut last, seen.number, *base);
        }
        assert_eq!(at, log.high_watermark, "{partition:?}: the log does not end at the high watermark");
        for (base, (number, _)) in log.acknowledged.range(log.log_start..) {
            let there = log.seen.get(base).is_some_and(|seen| seen.number == *number);
            assert!(there, "{partition:?}: batch {} was acknowledged at {base}, and is not there", number.0);
        }
    }

    /// Batches that one sender sent one behind the other are in that order.
    fn check_order(
        &self,
        partition: Partition,
        last: &mut BTreeMap<(u8, i64, u64), (BatchNumber, i64)>,
        number: BatchNumber,
        base: i64,
    ) {
        let sent = self.sent(number);
        let line = match sent.sender {
            Sender::Idempotent { producer_id, .. } => (0, producer_id, 0),
            // What was sent again may have overtaken what came later.
            Sender::Plain { .. } if sent.attempts > 1 => return,
            Sender::Plain { client, connection } => (1, i64::try_from(client).expect("few"), connection),
        };
        if let Some((before, at)) = last.insert(line, (number, base)) {
            let in_order = before < number;
            assert!(in_order, "{partition:?}: batch {} at {at} was sent after batch {} at {base}", before.0, number.0);
            if let (Sender::Idempotent { sequence: earlier, .. }, Sender::Idempotent { sequence, .. }) =
                (self.sent(before).sender, sent.sender)
            {
                let records = i32::try_from(self.sent(before).form.records).expect("few");
                assert_eq!(earlier + records, sequence, "{partition:?}: a gap in the producer's sequence at {base}");
            }
        }
    }

    /// The batches of a partition that were read, in order, with the offset of each. Of the first, some may be deleted.
    pub(crate) fn log_of(&self, partition: Partition) -> Vec<(i64, BatchNumber)> {
        let Some(log) = self.logs.get(&partition) else { return Vec::new() };
        let is_left = |(_, seen): &(&i64, &Seen)| seen.next > log.log_start;
        log.seen.iter().filter(is_left).map(|(base, seen)| (*base, seen.number)).collect()
    }
}
