//! Appends that wait until they are committed.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use ringlog_storage::types::Offset;

use crate::countdown::Countdown;
use crate::recorder::Span;

/// What counts its appends.
pub(crate) trait Counts: fmt::Debug {
    /// Those that are not committed yet.
    fn count(&self) -> &Countdown;
}

impl Counts for Countdown {
    fn count(&self) -> &Countdown {
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

    /// Settles what lies below the new high watermark, which a group commit has moved. A duplicate may stand behind a later batch,
    /// and then settles together with it.
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
    use std::task::{Context, Wake, Waker};

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

    fn push(commits: &mut Commits, last_offsets: &[i64], count: &Rc<Countdown>) {
        for last_offset in last_offsets {
            commits.push(Offset::new(*last_offset), count);
        }
    }

    #[test]
    fn a_request_is_settled_when_all_of_its_appends_are_and_is_woken_once() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let mut context = Context::from_waker(&waker);
        let (count, mut one, mut other) = (Rc::<Countdown>::default(), Commits::default(), Commits::default());
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
        let count = Countdown::default();
        assert!(pin!(count.settled()).poll(&mut Context::from_waker(Waker::noop())).is_ready());
    }

    #[test]
    fn a_duplicate_settles_with_the_batch_before_it_at_the_latest() {
        let (later, duplicate) = (Rc::<Countdown>::default(), Rc::<Countdown>::default());
        let mut commits = Commits::default();
        push(&mut commits, &[9], &later);
        push(&mut commits, &[4], &duplicate);
        commits.advanced(Offset::new(5), commit(1));
        assert_eq!((later.is_open(), duplicate.is_open()), (true, true));
        commits.advanced(Offset::new(10), commit(2));
        assert_eq!((later.is_open(), duplicate.is_open()), (false, false));
    }
}
