//! What a partition remembers of idempotent producers (KIP-98): enough to tell a batch that continues from one that was
//! sent again, and from one that leaves a gap.
//!
//! [`Producers::check`] only looks; [`Producers::note`] changes the state, once the batch is in the log.

use std::collections::BTreeMap;

use crate::answer::ActiveProducer;
use crate::batch::BatchHeader;
use crate::limits::{PRODUCER_BATCHES_MAX, PRODUCERS_PER_PARTITION_MAX};
use crate::types::{Millis, Offset, ProducerEpoch, ProducerId, Sequence};

/// One of a producer's last batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RememberedBatch {
    pub(crate) base_sequence: Sequence,
    pub(crate) last_sequence: Sequence,
    pub(crate) base_offset: Offset,
    pub(crate) last_offset: Offset,
    /// Its largest timestamp, so that a duplicate can be answered like the first time.
    pub(crate) timestamp: Millis,
}

impl RememberedBatch {
    /// A place in a sequence, and nothing else: equal to no batch, and followed by the one that begins with `next`.
    fn before(next: Sequence) -> Self {
        Self {
            base_sequence: Sequence::NONE,
            last_sequence: next.before().unwrap_or(Sequence::NONE),
            base_offset: Offset::UNKNOWN,
            last_offset: Offset::UNKNOWN,
            timestamp: Millis::NONE,
        }
    }

    /// The sequence that follows.
    fn next_sequence(&self) -> Sequence {
        if self.last_sequence == Sequence::NONE { Sequence::new(0) } else { self.last_sequence.advance(1) }
    }
}

/// One producer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Producer {
    pub(crate) epoch: ProducerEpoch,
    /// When it last wrote, by the broker's clock; decides about its expiry.
    pub(crate) seen: Millis,
    /// Oldest first; the first `count` are in use.
    batches: [RememberedBatch; PRODUCER_BATCHES_MAX],
    count: usize,
    /// Last offset of the newest batch before those.
    forgotten: Offset,
}

impl Producer {
    pub(crate) fn new(epoch: ProducerEpoch, seen: Millis) -> Self {
        let nothing = RememberedBatch::before(Sequence::NONE);
        Self { epoch, seen, batches: [nothing; PRODUCER_BATCHES_MAX], count: 0, forgotten: Offset::UNKNOWN }
    }

    pub(crate) fn batches(&self) -> &[RememberedBatch] {
        &self.batches[..self.count]
    }

    pub(crate) fn push(&mut self, batch: RememberedBatch) {
        if self.count == PRODUCER_BATCHES_MAX {
            self.forgotten = self.batches[0].last_offset;
            self.batches.rotate_left(1);
            self.count -= 1;
        }
        self.batches[self.count] = batch;
        self.count += 1;
    }
}

/// What a producer's batch is to this partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    /// Append it.
    New,
    /// It is one of the last five: it was appended with these offsets.
    Duplicate(RememberedBatch),
    /// A newer instance of the producer has written.
    OldEpoch {
        /// That instance's epoch.
        current: ProducerEpoch,
    },
    /// It does not follow the last batch.
    Gap {
        /// The last sequence known.
        last: Sequence,
    },
}

/// All producers of a partition. Bounded; the one that was idle the longest is forgotten first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
}

impl Producers {
    /// Those of which a batch is remembered, by their ids.
    pub(crate) fn active(&self) -> impl Iterator<Item = ActiveProducer> {
        self.by_id.iter().filter_map(|(id, producer)| {
            let last = producer.batches().last()?;
            let (last_sequence, last_timestamp) = (last.last_sequence, last.timestamp);
            Some(ActiveProducer { id: *id, epoch: producer.epoch, last_sequence, last_timestamp })
        })
    }

    /// Judges a batch with a producer id. A producer that is not known, or was forgotten, may begin with any sequence;
    /// a new epoch begins with 0, unless nothing is remembered of the old one.
    pub(crate) fn check(&self, batch: BatchHeader<'_>) -> Verdict {
        let Some(known) = self.by_id.get(&batch.producer_id()) else { return Verdict::New };
        let epoch = batch.producer_epoch();
        if epoch < known.epoch {
            return Verdict::OldEpoch { current: known.epoch };
        }
        let Some(last) = known.batches().last() else { return Verdict::New };
        let next = last.next_sequence();
        if epoch > known.epoch {
            let begins = batch.base_sequence() == Sequence::new(0);
            return if begins { Verdict::New } else { Verdict::Gap { last: last.last_sequence } };
        }
        let same = |one: &&RememberedBatch| {
            one.base_sequence == batch.base_sequence() && one.last_sequence == batch.last_sequence()
        };
        if let Some(duplicate) = known.batches().iter().find(same) {
            return Verdict::Duplicate(*duplicate);
        }
        if batch.base_sequence() == next { Verdict::New } else { Verdict::Gap { last: last.last_sequence } }
    }

    /// Notes that the first batch of a producer was refused for a reason that is not its own: its next ones, which may be
    /// on their way already, must not take its place.
    pub(crate) fn refused(&mut self, batch: BatchHeader<'_>, now: Millis) {
        let (id, is_full) = (batch.producer_id(), self.by_id.len() >= PRODUCERS_PER_PARTITION_MAX);
        if id < ProducerId::new(0) || self.by_id.contains_key(&id) || is_full {
            return;
        }
        let mut producer = Producer::new(batch.producer_epoch(), now);
        producer.push(RememberedBatch::before(batch.base_sequence()));
        self.by_id.insert(id, producer);
    }

    /// Notes that a batch stands in the log, with its final offsets.
    pub(crate) fn note(&mut self, batch: BatchHeader<'_>, base_offset: Offset, last_offset: Offset, now: Millis) {
        let id = batch.producer_id();
        if id < ProducerId::new(0) {
            return;
        }
        if self.by_id.len() == PRODUCERS_PER_PARTITION_MAX && !self.by_id.contains_key(&id) {
            self.forget_one();
        }
        let epoch = batch.producer_epoch();
        let producer = self.by_id.entry(id).or_insert_with(|| Producer::new(epoch, now));
        if producer.epoch != epoch {
            *producer = Producer::new(epoch, now);
        }
        producer.seen = now;
        if batch.base_sequence() >= Sequence::new(0) {
            producer.push(RememberedBatch {
                base_sequence: batch.base_sequence(),
                last_sequence: batch.last_sequence(),
                base_offset,
                last_offset,
                timestamp: batch.max_timestamp(),
            });
        }
    }

    fn forget_one(&mut self) {
        let idlest = self.by_id.iter().min_by_key(|(id, producer)| (producer.seen, **id)).map(|(id, _)| *id);
        if let Some(id) = idlest {
            self.by_id.remove(&id);
        }
    }

    /// Forgets producers that have been idle for longer than `idle_ms`.
    pub(crate) fn expire(&mut self, now: Millis, idle_ms: i64) {
        self.by_id.retain(|_, producer| now.since(producer.seen) <= idle_ms);
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Everything that is known, in order of ids.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ProducerId, &Producer)> {
        self.by_id.iter().map(|(id, producer)| (*id, producer))
    }

    /// Puts back what a snapshot says of one producer.
    pub(crate) fn restore(&mut self, id: ProducerId, producer: Producer) {
        if self.by_id.len() < PRODUCERS_PER_PARTITION_MAX {
            self.by_id.insert(id, producer);
        }
    }
}

impl Producers {
    /// Forgets batches at or behind `end`, which may never become durable; not the producers. Of one whose batches all go,
    /// the place in its sequence stays: the oldest of them continued what stands before `end`. Where older ones lie between,
    /// its place is not known: nothing but a begin follows, until batches that did become durable are noted again.
    pub(crate) fn trim_end(&mut self, end: Offset) {
        for producer in self.by_id.values_mut() {
            let kept = producer.batches().iter().filter(|batch| batch.base_offset < end).count();
            let oldest = producer.batches().first().copied();
            // They are in order of offsets, so those to forget are the last ones.
            producer.count = kept;
            if let Some(oldest) = oldest.filter(|_| kept == 0) {
                let next = if producer.forgotten < end { oldest.base_sequence } else { Sequence::new(0) };
                producer.push(RememberedBatch::before(next));
            }
        }
    }
}
