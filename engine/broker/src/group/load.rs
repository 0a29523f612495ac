//! Reading a coordinator's log. It serves only when it knows all of it.

use ringlog_cluster::coordinator::Coordinator as _;
use ringlog_cluster::group::Groups;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::GroupRecord;
use ringlog_net::wire::DecodeError;
use ringlog_storage::answer::PartitionId;
use std::sync::Arc;

use crate::partition::replay::{ReplayError, replay_log};
use crate::partition::table::PartitionKey;
use crate::shard::Shard;

/// Loads the coordinator of a log of this shard.
pub(crate) async fn load(shard: Shard, key: PartitionKey, log: PartitionId) {
    let mut machine = Groups::new(Arc::clone(&shard.settings().broker.groups));
    let replayed = replay_log(&shard, key, |offset, record| {
        let record_key = record.key.ok_or_else(|| "it has no key".to_owned())?;
        match GroupRecord::decode(record_key, record.value) {
            Ok(record) => {
                let Ok(()) = machine.replay(offset, &record);
                Ok(())
            }
            // Other kinds of groups, of a newer release.
            Err(DecodeError::Key(_)) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    });
    let result = replayed.await;
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
