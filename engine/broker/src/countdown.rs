//! Waiting for several things.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::task::{Poll, Waker};

use crate::recorder::Span;

/// Counts what somebody waits for: appends that are not committed, partitions that have not left, folders that are not free.
#[derive(Debug, Default)]
pub(crate) struct Countdown {
    open: Cell<usize>,
    /// The group commit that the last one of them waited for, if they are appends.
    commit: Cell<Option<Span>>,
    given_up: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Countdown {
    /// Waits until all that was counted is settled, or the wait is given up.
    pub(crate) async fn settled(&self) {
        poll_fn(|context| {
            if self.open.get() == 0 || self.given_up.get() {
                return Poll::Ready(());
            }
            *self.waker.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Counts one more.
    pub(crate) fn begin(&self) {
        self.open.set(self.open.get() + 1);
    }

    /// Counts one less.
    pub(crate) fn settle_one(&self) {
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.wake();
        }
    }

    /// Counts one less, because of this group commit.
    pub(crate) fn settle_one_by(&self, commit: Span) {
        self.commit.set(Some(commit));
        self.settle_one();
    }

    /// The group commit that the last append waited for, as far as it is known.
    pub(crate) fn commit(&self) -> Option<Span> {
        self.commit.get()
    }

    /// Whether something is counted.
    pub(crate) fn is_open(&self) -> bool {
        self.open.get() > 0
    }

    /// Ends the wait, whatever is still open.
    pub(crate) fn give_up(&self) {
        self.given_up.set(true);
        self.wake();
    }

    /// Whether the wait was given up.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.get()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}
