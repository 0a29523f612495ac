//! Where partitions are, and how large.

use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::PartitionPlace;
use ringlog_storage::types::LeaderEpoch;

use super::lookup::locate;
use super::table::PartitionKey;
use crate::state::State;

/// The directory and the bytes of a partition, and of the copy of it that is being made.
pub(crate) type SizeOutcome = Result<PartitionPlace, ErrorCode>;

/// Those of each partition, in the order of the keys.
pub(crate) fn sizes(state: &State, keys: &[PartitionKey]) -> Vec<SizeOutcome> {
    let of_partition = |key: &PartitionKey| {
        let (id, _) = locate(state, *key, LeaderEpoch::UNKNOWN)?;
        state.store.partition_place(id).ok_or(ErrorCode::UnknownTopicOrPartition)
    };
    keys.iter().map(of_partition).collect()
}
