//! Requests to coordinators that are not answered yet.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use futures_channel::oneshot;
use ringlog_cluster::group::{Answer, GroupReply, Ticket};
use ringlog_net::error::ErrorCode;

/// Those of one shard's clients. Their number is bounded by the requests that connections may have in flight, and by what
/// one request asks at once.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<u64, oneshot::Sender<GroupReply>>>,
}

/// A question that was asked.
#[derive(Debug)]
pub(crate) struct Asked(oneshot::Receiver<GroupReply>);

impl Asked {
    /// One that is answered already.
    pub(crate) fn refused(code: ErrorCode) -> Self {
        let (sender, receiver) = oneshot::channel();
        sender.send(Err(code)).expect("the receiver is here");
        Self(receiver)
    }

    /// The answer. Every ticket is answered as long as its coordinator's shard lives, and shards end together.
    pub(crate) async fn reply(self) -> GroupReply {
        self.0.await.expect("a shard keeps its tickets until they are answered")
    }
}

impl Waits {
    pub(crate) fn begin(&self, shard: usize) -> (Ticket, Asked) {
        let id = self.next.replace(self.next.get() + 1);
        let (sender, receiver) = oneshot::channel();
        self.waiting.borrow_mut().insert(id, sender);
        (Ticket { shard, id }, Asked(receiver))
    }

    /// Hands an answer to the request that waits for it. Who gave up waiting misses nothing.
    pub(crate) fn answered(&self, answer: Answer) {
        let waiting = self.waiting.borrow_mut().remove(&answer.ticket.id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer.reply);
        }
    }
}
