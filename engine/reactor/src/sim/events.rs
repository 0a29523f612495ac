//! The queue of what will happen, in virtual time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::network::{AttemptId, ConnectionId, Side};
use crate::op::OpId;

/// Events that may wait. More mean that a workload makes them faster than it lets them happen.
const EVENTS_MAX: usize = 1 << 20;

/// One shard of one life of a host: what a dead process had asked for finds nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ShardKey {
    pub(super) host: usize,
    pub(super) shard: usize,
    pub(super) life: u32,
}

/// What happens at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happening {
    /// A disk operation ends.
    DiskEnds { shard: ShardKey, op: OpId },
    /// The oldest segment that `from` has sent arrives.
    Arrives { connection: ConnectionId, from: Side },
    /// A reset arrives at `to`.
    Reset { connection: ConnectionId, to: Side },
    /// The peer of `from` has not acknowledged for too long. `progress` is what it had acknowledged then.
    GivesUp { connection: ConnectionId, from: Side, progress: u64 },
    /// An attempt to connect reaches its destination.
    Knocks(AttemptId),
    /// The answer to an attempt to connect comes back.
    Answers(AttemptId),
}

/// Happenings by time and, at one time, by age.
#[derive(Debug, Default)]
pub(super) struct Events {
    heap: BinaryHeap<Reverse<(u64, u64, Happening)>>,
    next_number: u64,
}

impl Events {
    pub(super) fn push(&mut self, at: u64, happening: Happening) {
        assert!(self.heap.len() < EVENTS_MAX, "{EVENTS_MAX} events wait: the workload outruns its devices");
        self.heap.push(Reverse((at, self.next_number, happening)));
        self.next_number += 1;
    }

    pub(super) fn next_at(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(super) fn pop_due(&mut self, now: u64) -> Option<Happening> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, happening))| happening)
    }
}
