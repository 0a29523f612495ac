//! Where this shard sends requests for partitions: its copy of the placement, and who waits until it has changed.
//!
//! A request for a partition that is on its way to another shard waits. And who moves a partition waits until the requests
//! that were sent before, by the placement of that time, are where they were sent: so none of them meets a shard that the
//! partition has left.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use futures_channel::oneshot;
use ringlog_cluster::placement::Placement;

use crate::partition::table::PartitionKey;

/// The routes of one shard.
#[derive(Debug)]
pub(crate) struct Routes {
    placement: RefCell<Arc<Placement>>,
    /// Requests that wait for the next placement.
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
    /// Requests that are being sent by the placement in force, and those by the one before.
    senders: RefCell<Rc<Senders>>,
}

/// Requests that are being sent by one placement.
#[derive(Debug, Default)]
struct Senders {
    count: Cell<usize>,
    /// Whoever waits until there are none.
    waiting: RefCell<Option<oneshot::Sender<()>>>,
}

/// A request that is being sent, by the placement of when it began. To be dropped when it is in its place with the shards that
/// own its partitions.
#[derive(Debug)]
pub(crate) struct Sending(Rc<Senders>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.count.set(self.0.count.get() - 1);
        if self.0.count.get() == 0
            && let Some(waiting) = self.0.waiting.borrow_mut().take()
        {
            // Who waited may have given up.
            let _ = waiting.send(());
        }
    }
}

impl Routes {
    pub(crate) fn new(shards: u16) -> Self {
        let placement = RefCell::new(Arc::new(Placement::new(shards)));
        Self { placement, waiting: RefCell::default(), senders: RefCell::default() }
    }

    /// The placement in force.
    pub(crate) fn placement(&self) -> Arc<Placement> {
        Arc::clone(&self.placement.borrow())
    }

    /// The shard that owns a partition.
    pub(crate) fn owner(&self, key: PartitionKey) -> usize {
        self.placement.borrow().owner(key).index()
    }

    /// Begins to send a request, once none of its partitions is on its way. `waits` tells whether one of them is.
    pub(crate) async fn begin(&self, waits: impl Fn(&Placement) -> bool) -> Sending {
        loop {
            let has_to_wait = {
                let placement = self.placement.borrow();
                placement.holds_any() && waits(&placement)
            };
            if !has_to_wait {
                let senders = Rc::clone(&self.senders.borrow());
                senders.count.set(senders.count.get() + 1);
                return Sending(senders);
            }
            let (sender, changed) = oneshot::channel();
            self.waiting.borrow_mut().push(sender);
            // Either way it looks again.
            let _ = changed.await;
        }
    }

    /// Puts a placement in force, and waits until nothing is being sent by the one before.
    pub(crate) async fn change(&self, placement: Arc<Placement>) {
        *self.placement.borrow_mut() = placement;
        for waiting in self.waiting.take() {
            let _ = waiting.send(());
        }
        let before = self.senders.take();
        if before.count.get() > 0 {
            let (sender, none_left) = oneshot::channel();
            *before.waiting.borrow_mut() = Some(sender);
            let _ = none_left.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::types::{PartitionIndex, Uuid};
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    const KEY: PartitionKey = PartitionKey { topic_id: Uuid::from_u128(7), partition: PartitionIndex::new(0) };

    fn holding() -> Arc<Placement> {
        let mut placement = Placement::new(2);
        placement.hold([KEY]);
        Arc::new(placement)
    }

    #[test]
    fn a_request_for_a_partition_on_its_way_waits_until_it_has_moved() {
        let (routes, mut context) = (Routes::new(2), Context::from_waker(Waker::noop()));
        assert!(pin!(routes.change(holding())).poll(&mut context).is_ready());
        let mut waits = pin!(routes.begin(|placement| placement.is_held(KEY)));
        assert!(waits.as_mut().poll(&mut context).is_pending());
        let other = PartitionKey { partition: PartitionIndex::new(1), ..KEY };
        assert!(pin!(routes.begin(|placement| placement.is_held(other))).poll(&mut context).is_ready());
        assert!(pin!(routes.change(Arc::new(Placement::new(3)))).poll(&mut context).is_ready());
        assert!(waits.poll(&mut context).is_ready());
        assert_eq!(routes.placement().in_use(), 3);
    }

    #[test]
    fn a_placement_is_in_force_when_what_was_sent_by_the_one_before_is_in_its_place() {
        let (routes, mut context) = (Routes::new(2), Context::from_waker(Waker::noop()));
        let Poll::Ready(before) = pin!(routes.begin(|_| false)).poll(&mut context) else { panic!("nothing is held") };
        let mut change = pin!(routes.change(holding()));
        assert!(change.as_mut().poll(&mut context).is_pending());
        // What is sent by the new one is not waited for.
        let Poll::Ready(after) = pin!(routes.begin(|_| false)).poll(&mut context) else { panic!("it holds another") };
        drop(before);
        assert!(change.poll(&mut context).is_ready());
        drop(after);
    }
}
