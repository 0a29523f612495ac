//! Reading a coordinator's log. It serves only when it knows all of it.

use std::sync::Arc;

use ringlog_cluster::group::Groups;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::PartitionId;

use crate::coordinator_log::replay;
use crate::partition::replay::ReplayError;
use crate::partition::table::PartitionKey;
use crate::shard::Shard;

/// Loads the coordinator of a log of this shard.
pub(crate) async fn load(shard: Shard, key: PartitionKey, log: PartitionId) {
    let mut machine = Groups::new(Arc::clone(&shard.settings().broker.groups));
    let result = replay(&shard, key, &mut machine).await;
    let now = shard.both_clocks();
    shard.with(|state| {
        // Its topic may have been deleted meanwhile, or made again.
        if !state.groups.is_loading(key.partition, log) {
            return;
        }
        match result {
            Ok(()) => {
                // Nobody waits yet.
                let _ = machine.open(now, &state.image, ErrorCode::NotCoordinator);
                state.groups.loaded(key.partition, Some(machine));
            }
            Err(error) => {
                report(&error, key);
                state.groups.loaded(key.partition, None);
            }
        }
    });
}

fn report(error: &ReplayError, key: PartitionKey) {
    tracing::error!(
        topic = super::GROUP_TOPIC,
        partition = key.partition.get(),
        "its groups have no coordinator until the broker is restarted: {error}"
    );
}
