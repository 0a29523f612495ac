//! Calls to other shards that are under way.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};

use futures_channel::oneshot;

use crate::message::{CallId, Reply};

/// The calls of one shard that are not answered yet. Their number is bounded; beyond, a call waits before it is sent, and
/// with it the connection that it is for.
#[derive(Debug)]
pub(crate) struct Calls {
    limit: usize,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<CallId, oneshot::Sender<Reply>>>,
    /// Those that are not sent yet.
    without_room: RefCell<VecDeque<oneshot::Sender<()>>>,
}

/// A call that was sent, and is not answered yet.
#[derive(Debug)]
pub(crate) struct PendingCall(oneshot::Receiver<Reply>);

impl PendingCall {
    /// The reply. Every call is answered as long as its shard lives, and shards end together.
    pub(crate) async fn reply(self) -> Reply {
        self.0.await.expect("a shard keeps the calls that it has sent until they are answered")
    }
}

impl Calls {
    pub(crate) fn new(limit: usize) -> Self {
        let (waiting, without_room) = (RefCell::default(), RefCell::default());
        Self { limit, next: Cell::new(0), waiting, without_room }
    }

    /// Calls that are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Registers a call, which is to be sent now; waits while too many are under way.
    pub(crate) async fn begin(&self) -> (CallId, PendingCall) {
        while self.waiting.borrow().len() >= self.limit {
            let (sender, room) = oneshot::channel();
            self.without_room.borrow_mut().push_back(sender);
            // Either way it looks again.
            let _ = room.await;
        }
        let (sender, receiver) = oneshot::channel();
        let id = CallId(self.next.replace(self.next.get() + 1));
        self.waiting.borrow_mut().insert(id, sender);
        (id, PendingCall(receiver))
    }

    /// Hands a reply to the task that waits for it. Who gave up waiting misses nothing.
    pub(crate) fn replied(&self, id: CallId, reply: Reply) {
        let waiting = self.waiting.borrow_mut().remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(reply);
        }
        // Who gave up waiting for room does not take it.
        while let Some(next) = self.without_room.borrow_mut().pop_front()
            && next.send(()).is_err()
        {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn a_call_too_many_waits_until_another_is_answered() {
        let calls = Calls::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready((first, pending)) = pin!(calls.begin()).poll(&mut context) else { panic!("there is room") };
        let mut gives_up = Box::pin(calls.begin());
        let mut second = pin!(calls.begin());
        assert!(gives_up.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(gives_up);
        calls.replied(first, Reply::Done);
        assert!(matches!(pin!(pending.reply()).poll(&mut context), Poll::Ready(Reply::Done)));
        let Poll::Ready((second, _)) = second.poll(&mut context) else { panic!("there is room again") };
        assert_ne!(first, second);
    }

    #[test]
    fn a_reply_that_nobody_waits_for_is_dropped() {
        let calls = Calls::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready((id, pending)) = pin!(calls.begin()).poll(&mut context) else { panic!("there is room") };
        drop(pending);
        calls.replied(id, Reply::Done);
        calls.replied(id, Reply::Done);
        assert!(calls.waiting.borrow().is_empty());
    }
}
