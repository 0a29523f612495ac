//! Requests to coordinators that are not answered yet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_channel::oneshot;
use ringlog_cluster::group::{GroupReply, Ticket};
use ringlog_net::error::ErrorCode;

use super::Told;
use crate::recorder::{CourseId, Phase};
use crate::shard::Shard;

/// Those of one shard's clients. Their number is bounded by the requests that connections may have in flight, and by what
/// one request asks at once.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<Told>>>,
}

/// A question that was asked.
#[derive(Debug)]
pub(crate) enum Asked {
    /// It is answered already.
    Refused(ErrorCode),
    /// It is with a coordinator.
    Waiting(Waiting),
}

/// A question that a coordinator has.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(super) shard: Shard,
    pub(super) course: CourseId,
    /// What the time is until the coordinator decides.
    pub(super) deciding: Phase,
    /// What it is on the way back.
    pub(super) returning: Phase,
    pub(super) answer: oneshot::Receiver<Told>,
}

impl Asked {
    /// The answer. Every ticket is answered as long as its coordinator's shard lives, and shards end together.
    pub(crate) async fn reply(self) -> GroupReply {
        let Waiting { shard, course, deciding, returning, answer } = match self {
            Self::Refused(code) => return Err(code),
            Self::Waiting(waiting) => waiting,
        };
        let told = answer.await.expect("a shard keeps its tickets until they are answered");
        let now = shard.now();
        shard.recorder().note(course, |trail| {
            trail.until(deciding, told.decided_at);
            trail.committed(told.commit);
            trail.until(returning, now);
        });
        told.answer.reply
    }
}

impl Waits {
    pub(super) fn begin(&self, shard: usize) -> (Ticket, oneshot::Receiver<Told>) {
        let id = self.next.replace(self.next.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        (Ticket { shard, id }, receiver)
    }

    /// Hands an answer to the request that waits for it. Who gave up waiting misses nothing.
    pub(crate) fn answered(&self, told: Told) {
        let waiting = self.waiting.borrow_mut().remove(&told.answer.ticket.id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(told);
        }
    }
}
