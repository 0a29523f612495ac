//! What a partition of a simulated store should hold, and what its idempotent producers believe.

use crate::batch::BatchView;
use crate::config::Durability;
use crate::limits::PRODUCER_BATCHES_MAX;
use crate::types::{Offset, ProducerEpoch, Sequence};

/// Idempotent producers of a partition.
pub(super) const CLIENTS: usize = 6;

/// A batch that was appended.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) base: Offset,
    pub(crate) last: Offset,
    pub(crate) bytes: Vec<u8>,
    /// Which of the partition's producers sent it.
    pub(super) client: usize,
    /// A later batch of its producer, lost in a crash, may have taken its place among those that are remembered.
    pub(super) may_be_forgotten: bool,
}

/// An idempotent producer, as it sees itself.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) epoch: ProducerEpoch,
    pub(super) next_sequence: Sequence,
    /// A crash took batches that had been acknowledged before they were durable.
    pub(super) lost: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self { epoch: ProducerEpoch::new(0), next_sequence: Sequence::new(0), lost: false }
    }
}

/// What a partition should hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Model {
    pub(crate) log: Vec<Stored>,
    pub(crate) acked: Offset,
    pub(crate) log_start: Offset,
    pub(super) clients: [Client; CLIENTS],
}

impl Model {
    /// Whether this producer may send a batch: it has at most [`PRODUCER_BATCHES_MAX`] in flight, like Kafka's.
    pub(super) fn may_send(&self, client: usize) -> bool {
        let waits = |stored: &&Stored| stored.client == client && stored.last >= self.acked;
        self.log.iter().rev().filter(waits).count() < PRODUCER_BATCHES_MAX
    }

    /// A crash comes: marks the batches that later ones of their producers have superseded.
    pub(super) fn mark_superseded(&mut self) {
        let mut later = [(0, ProducerEpoch::new(0)); CLIENTS];
        for stored in self.log.iter_mut().rev() {
            let epoch = BatchView::parse(&stored.bytes).expect("stored").0.producer_epoch();
            let (count, newest) = &mut later[stored.client];
            stored.may_be_forgotten |= *count >= PRODUCER_BATCHES_MAX || epoch < *newest;
            (*count, *newest) = (*count + 1, epoch.max(*newest));
        }
    }

    /// What is behind `end` is lost. Producers that wait for the disk send again what was not acknowledged; others go on
    /// behind what they believe to be stored.
    pub(super) fn lose_behind(&mut self, end: Offset, durability: Durability) {
        let kept = self.log.iter().take_while(|stored| stored.last < end).count();
        for stored in self.log.drain(kept..) {
            self.clients[stored.client].lost = true;
        }
        if durability != Durability::Sync {
            return;
        }
        for (number, client) in self.clients.iter_mut().enumerate() {
            let last = self.log.iter().rfind(|stored| stored.client == number);
            client.lost = false;
            client.next_sequence = last.map_or(Sequence::new(0), |stored| {
                BatchView::parse(&stored.bytes).expect("stored").0.last_sequence().advance(1)
            });
        }
    }
}
