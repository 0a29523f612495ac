//! How much one shard may have under way at a time. Everything that waits is a task of its reactor, whose number is
//! limited and whose limit panics: so the limits here are derived from that one, and add up to less.

use ringlog_reactor::Limits;

/// A connection's reader and writer.
const TASKS_PER_CONNECTION: usize = 2;
/// Operations of the store that the disk has at a time; the rest stays with the store.
pub(crate) const STORE_OPERATIONS_MAX: usize = 4096;
/// Records of one decision of the controller: they are one batch of its log. Requests have limits that keep below.
pub(crate) const DECISION_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Segments of the brokers' own topics are at least that long, whatever is configured: the largest decision fits in.
pub(crate) const INTERNAL_SEGMENT_BYTES_MIN: u32 = 16 * 1024 * 1024;
/// Topics that are being made because a client named them; more are made when the client asks again.
pub(crate) const AUTO_CREATIONS_MAX: usize = 512;
/// Everything else that a shard spawns: acceptors, jobs, the controller, a poster per other shard, topics being made.
const OTHER_TASKS_MAX: usize = 2048;

/// With fewer requests a shard would be of no use.
const REQUESTS_MIN: usize = 1024;
/// With fewer calls shards would wait for each other most of the time.
const CALLS_MIN: usize = 64;

/// Limits of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ShardLimits {
    /// Requests of all connections that were begun and are not answered: a task each. More wait in their connections.
    pub(crate) requests: usize,
    /// Fetches that wait for data. Beyond, a fetch is answered with what there is, so that other requests still find room.
    pub(crate) watches: usize,
    /// Calls to other shards that are not answered: a task each on the shard that is called, and all may call the same
    /// one. More wait with the requests that they are for.
    pub(crate) calls: usize,
}

impl ShardLimits {
    /// The limits of each of `shards` shards. Panics if the reactor allows fewer tasks than that needs.
    pub(crate) fn new(reactor: &Limits, shards: usize) -> Self {
        let spoken_for = TASKS_PER_CONNECTION * reactor.sockets + STORE_OPERATIONS_MAX + OTHER_TASKS_MAX;
        let left = reactor.tasks.saturating_sub(spoken_for);
        let requests = left / 2;
        let limits = Self { requests, watches: requests / 2, calls: requests / (shards - 1).max(1) };
        let needed = spoken_for + limits.requests + (shards - 1) * limits.calls;
        assert!(
            limits.requests >= REQUESTS_MIN && limits.calls >= CALLS_MIN && needed <= reactor.tasks,
            "{} tasks are too few for {} sockets of a shard and calls between {shards} shards",
            reactor.tasks,
            reactor.sockets,
        );
        limits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_decision_fits_into_a_segment_of_its_log() {
        let room = usize::try_from(INTERNAL_SEGMENT_BYTES_MIN).expect("it is small");
        assert!(DECISION_BYTES_MAX < room, "those of the metadata");
        assert!(ringlog_cluster::group::DECISION_BYTES_MAX < room, "those of groups");
    }

    #[test]
    fn the_default_tasks_are_enough_for_a_thousand_shards() {
        for shards in [1, 2, 3, 16, 1000] {
            let reactor = Limits::default();
            let limits = ShardLimits::new(&reactor, shards);
            let tasks = 2 * reactor.sockets + STORE_OPERATIONS_MAX + limits.requests + (shards - 1) * limits.calls;
            assert!(tasks < reactor.tasks, "{limits:?} of {shards} shards need {tasks} tasks");
            assert!(limits.requests >= reactor.sockets, "every connection may have a request under way");
            assert!(limits.watches < limits.requests && limits.watches >= reactor.sockets);
        }
    }

    #[test]
    #[should_panic(expected = "20000 tasks are too few")]
    fn too_few_tasks_are_found_at_the_start() {
        ShardLimits::new(&Limits { tasks: 20_000, ..Limits::default() }, 2);
    }
}
