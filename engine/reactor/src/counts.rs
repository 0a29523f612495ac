//! What one shard's loop has done since its start, and where its time went: plain numbers that only its own thread touches.

use ringlog_measure::Durations;

use crate::backend::Wait;
use crate::time::Instant;

/// What a reactor has done since its start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ReactorCounts {
    /// Time that each turn of the loop spent with tasks: while it lasts nobody else on the shard has his turn.
    pub busy: Durations,
    /// Time in the kernel, or looking for what has ended, with something else to do: nanoseconds.
    pub poll_nanos: u64,
    /// Time in which there was nothing to do: nanoseconds.
    pub wait_nanos: u64,
    /// Operations begun.
    pub operations_begun: u64,
    /// Operations of the disk in flight.
    pub file_operations: usize,
    /// Sockets and listeners that are open.
    pub sockets: usize,
    /// Tasks that have not ended.
    pub tasks: usize,
    /// Of a backend that is a ring.
    pub ring: Option<RingCounts>,
}

/// What a ring has done since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct RingCounts {
    /// Requests queued.
    pub submissions: u64,
    /// Completions taken.
    pub completions: u64,
    /// System calls.
    pub enters: u64,
    /// Requests that the kernel has.
    pub in_flight: usize,
}

/// What one end of the mesh has done since its start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MeshCounts {
    /// Messages sent.
    pub sent: u64,
    /// Messages received.
    pub received: u64,
    /// Times that a ring had no room for a message.
    pub full: u64,
    /// Shards that slept and were woken.
    pub rung: u64,
}

/// Where the time of a loop goes. Everything outside of the backend counts as work.
#[derive(Debug, Default)]
pub(crate) struct LoopTimes {
    busy: Durations,
    poll_nanos: u64,
    wait_nanos: u64,
    /// Since when tasks have their turn.
    working_since: Option<Instant>,
}

impl LoopTimes {
    /// When the backend has its turn. Nothing but these times asks for that, so the reading belongs to what counting costs.
    pub(crate) fn begin(clock: impl FnOnce() -> Instant) -> Instant {
        clock()
    }

    /// The backend had its turn from `began` to `ended`.
    pub(crate) fn turned(&mut self, wait: Wait, began: Instant, ended: Instant) {
        if let Some(since) = self.working_since.replace(ended) {
            self.busy.record(nanos(began, since));
        }
        let of_kind = if wait == Wait::No { &mut self.poll_nanos } else { &mut self.wait_nanos };
        *of_kind += nanos(ended, began);
    }

    pub(crate) fn tell(&self, counts: &mut ReactorCounts) {
        counts.busy = self.busy.clone();
        counts.poll_nanos = self.poll_nanos;
        counts.wait_nanos = self.wait_nanos;
    }
}

fn nanos(later: Instant, earlier: Instant) -> u64 {
    later.as_nanos().saturating_sub(earlier.as_nanos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_counts_once() {
        let at = Instant::from_nanos;
        let mut times = LoopTimes::default();
        times.turned(Wait::Forever, at(1_000), at(5_000));
        times.turned(Wait::No, at(9_000), at(10_000));
        times.turned(Wait::Until(at(90_000)), at(12_000), at(90_000));
        let mut counts = ReactorCounts::default();
        times.tell(&mut counts);
        assert_eq!((counts.wait_nanos, counts.poll_nanos), (4_000 + 78_000, 1_000));
        assert_eq!((counts.busy.count(), counts.busy.sum()), (2, 4_000 + 2_000));
        assert_eq!(
            counts.wait_nanos + counts.poll_nanos + counts.busy.sum(),
            89_000,
            "from the first turn to the last"
        );
    }
}
