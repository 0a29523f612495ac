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
    waiting: RefCell<BTreeMap<CallId, (Pace, oneshot::Sender<Reply>)>>,
    /// Of those.
    slow: Cell<usize>,
    /// Those that are not sent yet.
    without_room: RefCell<VecDeque<(Pace, oneshot::Sender<()>)>>,
}

/// What a call waits for on the shard that is called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// The disk at most.
    Quick,
    /// All shards, of which the caller is one: an image to be in force, partitions to move. Such calls do not take the places
    /// without which the caller could not do its part.
    Slow,
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
        Self { limit, next: Cell::new(0), waiting, slow: Cell::new(0), without_room }
    }

    /// Calls that are not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.waiting.borrow().len()
    }

    /// Registers a call, which is to be sent now; waits while too many are under way.
    pub(crate) async fn begin(&self, pace: Pace) -> (CallId, PendingCall) {
        while !self.has_room(pace) {
            let (sender, room) = oneshot::channel();
            self.without_room.borrow_mut().push_back((pace, sender));
            // Either way it looks again.
            let _ = room.await;
        }
        let (sender, receiver) = oneshot::channel();
        let id = CallId(self.next.replace(self.next.get() + 1));
        self.waiting.borrow_mut().insert(id, (pace, sender));
        self.slow.set(self.slow.get() + usize::from(pace == Pace::Slow));
        (id, PendingCall(receiver))
    }

    fn has_room(&self, pace: Pace) -> bool {
        self.waiting.borrow().len() < self.limit && (pace == Pace::Quick || self.slow.get() < self.limit.div_ceil(2))
    }

    /// Hands a reply to the task that waits for it. Who gave up waiting misses nothing.
    pub(crate) fn replied(&self, id: CallId, reply: Reply) {
        let waiting = self.waiting.borrow_mut().remove(&id);
        if let Some((pace, waiting)) = waiting {
            self.slow.set(self.slow.get() - usize::from(pace == Pace::Slow));
            let _ = waiting.send(reply);
        }
        // Who gave up waiting for room does not take it.
        while let Some((_, next)) = self.next_with_room()
            && next.send(()).is_err()
        {}
    }

    fn next_with_room(&self) -> Option<(Pace, oneshot::Sender<()>)> {
        let mut without_room = self.without_room.borrow_mut();
        let first = without_room.iter().position(|(pace, _)| self.has_room(*pace))?;
        without_room.remove(first)
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
        let Poll::Ready((first, pending)) = pin!(calls.begin(Pace::Quick)).poll(&mut context) else {
            panic!("there is room")
        };
        let mut gives_up = Box::pin(calls.begin(Pace::Quick));
        let mut second = pin!(calls.begin(Pace::Quick));
        assert!(gives_up.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        drop(gives_up);
        calls.replied(first, Reply::Done);
        assert!(matches!(pin!(pending.reply()).poll(&mut context), Poll::Ready(Reply::Done)));
        let Poll::Ready((second, _)) = second.poll(&mut context) else { panic!("there is room again") };
        assert_ne!(first, second);
    }

    #[test]
    fn slow_calls_leave_room_for_others_and_do_not_hold_them_up() {
        let calls = Calls::new(2);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready((first, _)) = pin!(calls.begin(Pace::Slow)).poll(&mut context) else { panic!("there is room") };
        let mut slow = pin!(calls.begin(Pace::Slow));
        assert!(slow.as_mut().poll(&mut context).is_pending(), "the other place is for quick ones");
        let Poll::Ready((second, _)) = pin!(calls.begin(Pace::Quick)).poll(&mut context) else {
            panic!("there is room")
        };
        let mut quick = pin!(calls.begin(Pace::Quick));
        assert!(quick.as_mut().poll(&mut context).is_pending());
        calls.replied(second, Reply::Done);
        assert!(slow.as_mut().poll(&mut context).is_pending());
        assert!(quick.as_mut().poll(&mut context).is_ready(), "it came later, and goes first");
        calls.replied(first, Reply::Done);
        assert!(slow.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn a_reply_that_nobody_waits_for_is_dropped() {
        let calls = Calls::new(1);
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready((id, pending)) = pin!(calls.begin(Pace::Quick)).poll(&mut context) else {
            panic!("there is room")
        };
        drop(pending);
        calls.replied(id, Reply::Done);
        calls.replied(id, Reply::Done);
        assert!(calls.waiting.borrow().is_empty());
    }
}
