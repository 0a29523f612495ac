//! What a shard tells of itself: owned copies, taken in slices that are short enough for its clients not to notice.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use ringlog_cluster::fetch_session::TopicKey;
use ringlog_cluster::group::GroupFacts;
use ringlog_measure::Durations;
use ringlog_net::messages::ApiKey;
use ringlog_reactor::{MeshCounts, ReactorCounts};
use ringlog_storage::statistics::{PartitionExtent, StoreStatistics, StoreUsage};
use ringlog_storage::types::PartitionIndex;

use super::counters::{ApiCounts, ConnectionCounts, Traffic};
use crate::admin::health::ShardHealth;
use crate::connection_limits::Refused;
use crate::group;
use crate::partition::table::PartitionKey;
use crate::shard::Shard;
use crate::state::{Disk, State};

/// Partitions, or groups with their offsets, that one look brings: some ten microseconds.
const ROWS_PER_LOOK: usize = 512;

/// What one shard has counted, and what it holds.
#[derive(Clone, Debug)]
pub(crate) struct ShardSnapshot {
    pub(crate) apis: Vec<(ApiKey, ApiCounts)>,
    pub(crate) errors: Vec<((ApiKey, i16), u64)>,
    pub(crate) connections: ConnectionCounts,
    pub(crate) refused: Refused,
    pub(crate) send_time: Durations,
    /// Of all partitions that it ever had.
    pub(crate) traffic: Traffic,
    /// Of partitions that it has no more.
    pub(crate) gone: Traffic,
    pub(crate) sent_bytes: u64,
    pub(crate) sent: Vec<(TopicKey, u64)>,
    pub(crate) budgets: [Budget; 3],
    /// Requests that wait until there is room for another one.
    pub(crate) queued_requests: usize,
    pub(crate) waiting_fetches: usize,
    pub(crate) calls_in_flight: usize,
    pub(crate) reactor: ReactorCounts,
    pub(crate) mesh: MeshCounts,
    pub(crate) store: StoreStatistics,
    pub(crate) usage: StoreUsage,
    pub(crate) partitions: usize,
    pub(crate) disk: Disk,
    pub(crate) health: ShardHealth,
}

/// A part of a shard's memory, or a number of places, that is shared by its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Budget {
    pub(crate) name: &'static str,
    pub(crate) used: usize,
    pub(crate) limit: usize,
}

/// One partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PartitionRow {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: PartitionIndex,
    pub(crate) extent: PartitionExtent,
    pub(crate) traffic: Traffic,
}

/// Where a look at partitions goes on.
pub(crate) type PartitionCursor = Option<PartitionKey>;

/// Where a look at groups goes on: behind this group of this coordinator.
pub(crate) type GroupCursor = Option<(PartitionIndex, Arc<str>)>;

/// All of a shard but its partitions and groups.
pub(crate) fn shard(shard: &Shard) -> ShardSnapshot {
    let (queued_requests, requests) = shard.requests().usage();
    let (frame_bytes, frame_bytes_max) = shard.frames().usage();
    let (answer_bytes, answer_bytes_max) = shard.answers().usage();
    let budgets = [
        Budget { name: "frames", used: frame_bytes, limit: frame_bytes_max },
        Budget { name: "answers", used: answer_bytes, limit: answer_bytes_max },
        requests,
    ];
    let counted = shard.with_counters(|counters| {
        (
            counters.apis().map(|(api, counts)| (api, counts.clone())).collect::<Vec<_>>(),
            counters.errors.iter().map(|(key, count)| (*key, *count)).collect::<Vec<_>>(),
            counters.connections,
            counters.send_time.clone(),
            counters.sent.clone(),
        )
    });
    let (apis, errors, connections, send_time, sent) = counted;
    shard.with(|state| ShardSnapshot {
        apis,
        errors,
        connections,
        refused: shard.connection_gate().refused(),
        send_time,
        traffic: state.traffic,
        gone: state.gone_traffic,
        sent_bytes: sent.bytes,
        sent: sent.by_topic.into_iter().collect(),
        budgets,
        queued_requests,
        waiting_fetches: state.watches.count(),
        calls_in_flight: shard.calls_in_flight(),
        reactor: shard.reactor().counts(),
        mesh: shard.mesh_counts(),
        store: state.store.statistics().clone(),
        usage: state.store.usage(),
        partitions: state.table.count(),
        disk: state.disk(),
        health: ShardHealth::of(state),
    })
}

/// The partitions behind a cursor, and where to go on; nowhere behind the last.
pub(crate) fn partitions(state: &State, after: PartitionCursor) -> (Vec<PartitionRow>, PartitionCursor) {
    let from = after.map_or(Unbounded, Excluded);
    let mut rows = Vec::new();
    for (looked_at, (key, id)) in (1..).zip(state.table.range(from)) {
        if let (Some(slot), Some(extent)) = (state.table.get(id), state.store.partition_extent(id)) {
            let (topic, partition, traffic) = (Arc::clone(&slot.topic), key.partition, slot.traffic);
            rows.push(PartitionRow { topic, partition, extent, traffic });
        }
        if looked_at == ROWS_PER_LOOK {
            return (rows, Some(key));
        }
    }
    (rows, None)
}

/// The groups behind a cursor, and where to go on. Those whose coordinator does not serve are not known.
pub(crate) fn groups(state: &State, after: &GroupCursor) -> (Vec<GroupFacts>, GroupCursor) {
    group::facts_after(state, after, ROWS_PER_LOOK)
}
