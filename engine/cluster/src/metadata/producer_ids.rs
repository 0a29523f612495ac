//! Producer ids are given out to shards in blocks, so that most of them cost no write (KIP-730).

use ringlog_storage::types::{BrokerId, ProducerId};
use thiserror::Error;

use super::{Decision, Metadata};
use crate::image::producer_ids_record;

/// How many ids a block has.
pub const PRODUCER_ID_BLOCK_LEN: i64 = 1000;

/// Consecutive producer ids for one shard's use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProducerIdBlock {
    /// The first id.
    pub first: ProducerId,
    /// How many there are.
    pub len: i64,
}

/// All 2^63 ids have been given out.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("there are no producer ids left")]
pub struct ProducerIdsExhausted;

impl Metadata {
    /// Gives out the next block. Ids of a block that are not used before a restart are lost.
    pub fn allocate_producer_ids(&self, broker: BrokerId) -> Result<Decision<ProducerIdBlock>, ProducerIdsExhausted> {
        let first = self.image.next_producer_id();
        let next = first.get().checked_add(PRODUCER_ID_BLOCK_LEN).ok_or(ProducerIdsExhausted)?;
        let epoch = self.image.broker(broker).map_or(-1, |broker| broker.epoch);
        let record = producer_ids_record(broker, epoch, ProducerId::new(next));
        Ok(Decision { records: vec![record], reply: ProducerIdBlock { first, len: PRODUCER_ID_BLOCK_LEN } })
    }
}
