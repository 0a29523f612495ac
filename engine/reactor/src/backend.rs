//! What a backend is to the core: it begins operations, waits, and reports outcomes. Never the other way round: a
//! backend does not call the core.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::counts::RingCounts;
use crate::op::{FileId, Op, OpId, Outcome, SocketId};
use crate::time::Instant;
use rustix::fd::OwnedFd;

/// How long a turn may wait for something to happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// Report what is there.
    No,
    /// Until then at the latest.
    Until(Instant),
    /// Until something happens.
    Forever,
}

/// One shard's way to disk, network and clock.
///
/// The rules that the core relies on, and the suite in `tests/suite` checks:
/// - `begin` takes the operation with its buffers. Either it answers at once, or exactly one outcome with this id comes
///   out of a later `turn`.
/// - `abandon` says that nobody waits any more. The outcome is still reported once. File operations run to their end;
///   a waiting socket operation is cancelled (`Interrupted` kind errors are fine, nobody reads them). An abandoned
///   `Receive` or `Accept` leaves bytes and connections to the next one.
/// - `LetGo` comes once per id, while nobody waits for an operation on the socket; no other begins on it after that, and
///   no `close_socket` comes.
/// - `close_*` comes once per id, after which no operation on it begins. Operations in flight end first (a socket's are
///   cancelled); the descriptor is closed after the last of them.
pub(crate) trait Backend: fmt::Debug {
    fn begin(&mut self, id: OpId, op: Op) -> Option<Outcome>;
    fn abandon(&mut self, id: OpId);
    fn close_file(&mut self, file: FileId);
    fn close_socket(&mut self, socket: SocketId);
    /// Performs what has begun, waits as told, and appends what has ended to `ended`.
    fn turn(&mut self, wait: Wait, ended: &mut Vec<(OpId, Outcome)>);
    /// What its ring has done, if it has one.
    fn ring_counts(&self) -> Option<RingCounts> {
        None
    }
    /// Monotonic time.
    fn now(&self) -> Instant;
    /// Milliseconds since 1970.
    fn wall_clock_ms(&self) -> i64;
    /// What others ring to end this backend's wait.
    fn bell(&self) -> Bell;
    /// Rings another shard's bell, from this shard's own thread.
    fn ring(&mut self, bell: &Bell) {
        bell.ring();
    }
}

/// Ends the wait of the backend it belongs to, or the next one if it does not wait. May be rung from any thread.
#[derive(Clone, Debug)]
pub(crate) enum Bell {
    /// An eventfd that the backend polls.
    Event(Arc<OwnedFd>),
    /// A ring that takes `MSG_RING` from other rings, and an eventfd for threads that have no ring. The descriptor of
    /// the ring is a duplicate, so that it names this ring as long as somebody may ring.
    Ring { ring: Arc<OwnedFd>, event: Arc<OwnedFd> },
    /// A flag that the simulator looks at.
    Flag(Arc<AtomicBool>),
}

impl Bell {
    /// Rings from any thread.
    pub(crate) fn ring(&self) {
        match self {
            Self::Event(event) | Self::Ring { event, .. } => {
                // An eventfd's write fails only when its counter is full; then it is readable, which is all we want.
                let _ = rustix::io::write(event, &1u64.to_ne_bytes());
            }
            Self::Flag(flag) => flag.store(true, Ordering::Release),
        }
    }
}
