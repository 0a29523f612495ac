//! Background work of a shard.

use std::time::Duration;

use crate::group;
use crate::partition::append;
use crate::shard::Shard;

/// Partitions that are maintained before requests have their turn again.
const PARTITIONS_PER_TURN: usize = 256;
/// How late a request may be told that its time is over.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(500);

/// Applies retention and expiry, at the interval of `log.retention.check.interval.ms`.
pub(crate) async fn maintain(shard: Shard) {
    let interval = u64::try_from(shard.settings().broker.retention_check_interval_ms).unwrap_or(u64::MAX);
    loop {
        shard.reactor().sleep(Duration::from_millis(interval)).await;
        let now = shard.wall_clock();
        let partitions: Vec<_> = shard.with(|state| state.table.keys().map(|(_, id)| id).collect());
        for some in partitions.chunks(PARTITIONS_PER_TURN) {
            shard.with(|state| state.store.maintain(some.iter().copied(), now));
            shard.reactor().yield_now().await;
        }
        shard.with(|state| state.store.trim_memory());
    }
}

/// Answers requests that have waited for a commit for too long: of producers for longer than these do, of members of groups
/// for longer than `offsets.commit.timeout.ms`.
pub(crate) async fn expire_requests(shard: Shard) {
    let of_groups = shard.settings().broker.groups.offsets_commit_timeout_ms;
    let of_groups = Duration::from_millis(u64::try_from(of_groups).unwrap_or(u64::MAX));
    loop {
        shard.reactor().sleep(EXPIRY_INTERVAL).await;
        let now = shard.now();
        shard.with(|state| {
            if !state.appends.is_empty() {
                append::expire(state, now, shard.wall_clock());
            }
            group::expire(state, now, of_groups);
        });
    }
}
