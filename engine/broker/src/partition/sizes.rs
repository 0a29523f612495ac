//! How large partitions are.

use ringlog_net::error::ErrorCode;
use ringlog_storage::types::LeaderEpoch;

use super::lookup::locate;
use super::table::PartitionKey;
use crate::state::State;

/// Bytes of a partition's batches.
pub(crate) type SizeOutcome = Result<u64, ErrorCode>;

/// Those of each partition, in the order of the keys.
pub(crate) fn sizes(state: &State, keys: &[PartitionKey]) -> Vec<SizeOutcome> {
    let of_partition = |key: &PartitionKey| {
        let (id, _) = locate(state, *key, LeaderEpoch::UNKNOWN)?;
        state.store.partition_bytes(id).ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    keys.iter().map(of_partition).collect()
}
