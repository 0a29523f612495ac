//! Appends that wait until they are committed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use ringlog_storage::types::Offset;

use crate::recorder::Span;

/// Counts the appends of one request that are not committed yet.
#[derive(Debug, Default)]
pub(crate) struct CommitCount {
    open: Cell<usize>,
    /// The group commit that the last one of them waited for.
    commit: Cell<Option<Span>>,
    given_up: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl CommitCount {
    /// Waits until every append of the request is committed, or will never be, or the wait is given up.
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
    fn settle_one_by(&self, commit: Span) {
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

/// What counts its appends.
pub(crate) trait Counts: fmt::Debug {
    /// Those that are not committed yet.
    fn count(&self) -> &CommitCount;
}

impl Counts for CommitCount {
    fn count(&self) -> &CommitCount {
        self
    }
}

/// The appends to one partition that wait, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Commits(VecDeque<(Offset, Rc<dyn Counts>)>);

impl Commits {
    /// Counts one append, whose last record is at `last_offset`.
    pub(crate) fn push(&mut self, last_offset: Offset, whose: &Rc<impl Counts + 'static>) {
        whose.count().begin();
        self.0.push_back((last_offset, Rc::clone(whose) as Rc<dyn Counts>));
    }

    /// Settles what lies below the new high watermark, which a group commit has moved. A duplicate may stand behind a later batch, and then settles
    /// together with it.
    pub(crate) fn advanced(&mut self, high_watermark: Offset, commit: Span) {
        while let Some((_, whose)) = self.0.pop_front_if(|(last_offset, _)| *last_offset < high_watermark) {
            whose.count().settle_one_by(commit);
        }
    }

    /// Settles everything: the partition is fenced or gone, and nothing more will be committed.
    pub(crate) fn end(&mut self) {
        for (_, whose) in self.0.drain(..) {
            whose.count().settle_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::types::Nanos;
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Wake};

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn commit(from: u64) -> Span {
        Span { from: Nanos::new(from), to: Nanos::new(from + 1) }
    }

    fn push(commits: &mut Commits, last_offsets: &[i64], count: &Rc<CommitCount>) {
        for last_offset in last_offsets {
            commits.push(Offset::new(*last_offset), count);
        }
    }

    #[test]
    fn a_request_is_settled_when_all_of_its_appends_are_and_is_woken_once() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let (count, mut one, mut other) = (Rc::<CommitCount>::default(), Commits::default(), Commits::default());
        push(&mut one, &[4, 9], &count);
        push(&mut other, &[0], &count);
        let mut settled = pin!(count.settled());
        assert!(settled.as_mut().poll(&mut context).is_pending());
        // The high watermark is the first offset that is not committed.
        one.advanced(Offset::new(9), commit(1));
        other.end();
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
        one.advanced(Offset::new(10), commit(2));
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        assert!(settled.as_mut().poll(&mut context).is_ready());
        assert_eq!(count.commit(), Some(commit(2)), "the last one tells");
    }

    #[test]
    fn a_request_without_open_appends_does_not_wait() {
        let count = CommitCount::default();
        assert!(pin!(count.settled()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn a_duplicate_settles_with_the_batch_before_it_at_the_latest() {
        let (later, duplicate) = (Rc::<CommitCount>::default(), Rc::<CommitCount>::default());
        let mut commits = Commits::default();
        push(&mut commits, &[9], &later);
        push(&mut commits, &[4], &duplicate);
        commits.advanced(Offset::new(5), commit(1));
        assert_eq!((later.open.get(), duplicate.open.get()), (1, 1));
        commits.advanced(Offset::new(10), commit(2));
        assert_eq!((later.open.get(), duplicate.open.get()), (0, 0));
    }
}
