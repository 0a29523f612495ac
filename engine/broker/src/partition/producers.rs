//! The idempotent producers of partitions.

use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::ActiveProducer;
use ringlog_storage::types::LeaderEpoch;

use super::lookup::locate;
use super::table::PartitionKey;
use crate::state::State;

/// Those that a partition remembers.
pub(crate) type ProducersOutcome = Result<Vec<ActiveProducer>, ErrorCode>;

/// Those of each partition, in the order of the keys.
pub(crate) fn producers(state: &State, keys: &[PartitionKey]) -> Vec<ProducersOutcome> {
    let of_partition = |key: &PartitionKey| {
        let (id, _) = locate(state, *key, LeaderEpoch::UNKNOWN)?;
        state.store.producers(id).ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    keys.iter().map(of_partition).collect()
}
