//! Background work of a shard.

use std::time::Duration;

use crate::shard::Shard;

/// Applies retention and expiry, at the interval of `log.retention.check.interval.ms`.
pub(crate) async fn maintain(shard: Shard) {
    let interval = u64::try_from(shard.settings().broker.retention_check_interval_ms).unwrap_or(u64::MAX);
    loop {
        shard.reactor().sleep(Duration::from_millis(interval)).await;
        let now = shard.wall_clock();
        shard.with(|state| {
            let partitions: Vec<_> = state.table.keys().map(|(_, id)| id).collect();
            state.store.maintain(partitions, now);
        });
    }
}
