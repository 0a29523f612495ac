//! How tasks of one shard wait for each other.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

/// Tasks that look again when they are woken.
#[derive(Default)]
pub(crate) struct Wakers {
    waiting: RefCell<Vec<Waker>>,
}

impl Wakers {
    pub(crate) fn add(&self, waker: &Waker) {
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.iter().any(|known| known.will_wake(waker)) {
            waiting.push(waker.clone());
        }
    }

    pub(crate) fn wake(&self) {
        self.waiting.take().into_iter().for_each(Waker::wake);
    }
}

/// Says to one task that there is something to do; raised twice before it looks, it says so once.
#[derive(Default)]
pub(crate) struct Flag {
    raised: Cell<bool>,
    waiting: Wakers,
}

impl Flag {
    pub(crate) fn raise(&self) {
        self.raised.set(true);
        self.waiting.wake();
    }

    /// Waits until it is raised, and lowers it.
    pub(crate) async fn taken(&self) {
        poll_fn(|context| {
            if self.raised.take() {
                return Poll::Ready(());
            }
            self.waiting.add(context.waker());
            Poll::Pending
        })
        .await;
    }
}
