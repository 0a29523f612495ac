//! Appends that wait until they are committed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ringlog_storage::types::Offset;

/// Counts the appends of one request that are not committed yet.
#[derive(Debug, Default)]
pub(crate) struct CommitCount {
    open: Cell<usize>,
    waker: RefCell<Option<Waker>>,
}

impl CommitCount {
    /// Waits until every append of the request is committed, or will never be.
    pub(crate) async fn settled(&self) {
        poll_fn(|context| {
            if self.open.get() == 0 {
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
        if self.open.get() == 0
            && let Some(waker) = self.waker.borrow_mut().take()
        {
            waker.wake();
        }
    }
}

/// The appends to one partition that wait, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Commits(VecDeque<(Offset, Rc<CommitCount>)>);

impl Commits {
    /// Counts one append, whose last record is at `last_offset`.
    pub(crate) fn push(&mut self, last_offset: Offset, count: &Rc<CommitCount>) {
        count.begin();
        self.0.push_back((last_offset, Rc::clone(count)));
    }

    /// Settles what lies below the new high watermark. A duplicate may stand behind a later batch, and then settles
    /// together with it.
    pub(crate) fn advanced(&mut self, high_watermark: Offset) {
        while let Some((_, count)) = self.0.pop_front_if(|(last_offset, _)| *last_offset < high_watermark) {
            count.settle_one();
        }
    }

    /// Settles everything: the partition is fenced or gone, and nothing more will be committed.
    pub(crate) fn end(&mut self) {
        for (_, count) in self.0.drain(..) {
            count.settle_one();
        }
    }
}
