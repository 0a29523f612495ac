//! Memory of answers: a budget of the shard for what was read and has not been sent.

use std::cell::Cell;

/// One fetch may bring this part of what is left of the budget, so that something is left for others.
const SHARE_OF_ONE: usize = 4;

/// The budget that the answers of all connections of a shard share. It makes fetches smaller and lets none of them wait: a
/// client that does not read must not hold up those that do. A fetch brings at least one batch whatever is left, so the
/// budget is exceeded by one batch for each request in flight at most.
#[derive(Debug)]
pub(crate) struct Answers {
    bytes_max: usize,
    used_bytes: Cell<usize>,
}

impl Answers {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used_bytes: Cell::new(0) }
    }

    /// Sets aside up to `bytes` bytes for what is to be read.
    pub(crate) fn reserve(&self, bytes: usize) -> Reserved<'_> {
        let left = self.bytes_max.saturating_sub(self.used_bytes.get());
        let mut reserved = Reserved { answers: self, bytes: 0 };
        reserved.resize(bytes.min(left / SHARE_OF_ONE));
        reserved
    }

    /// Bytes in use, and how many there are.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.used_bytes.get(), self.bytes_max)
    }

    /// A connection that had `before` bytes of answers to send has `now`.
    pub(crate) fn recount(&self, before: usize, now: usize) {
        let others = self.used_bytes.get().checked_sub(before).expect("what is taken away was counted");
        self.used_bytes.set(others + now);
    }
}

/// A part of the budget. It comes back when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved<'a> {
    answers: &'a Answers,
    bytes: usize,
}

impl Reserved<'_> {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Sets aside what was read in the place of what might have been.
    pub(crate) fn resize(&mut self, bytes: usize) {
        self.answers.recount(self.bytes, bytes);
        self.bytes = bytes;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.resize(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_less_is_left_the_less_a_fetch_may_bring() {
        let answers = Answers::new(1600);
        assert_eq!(answers.reserve(100).bytes(), 100);
        let mut first = answers.reserve(1000);
        let second = answers.reserve(1000);
        assert_eq!((first.bytes(), second.bytes()), (400, 300));
        // A batch was larger.
        first.resize(1300);
        assert_eq!(answers.reserve(1000).bytes(), 0);
        answers.recount(0, 1300);
        drop(first);
        drop(second);
        assert_eq!(answers.reserve(1000).bytes(), 75);
        answers.recount(1300, 0);
        assert_eq!(answers.used_bytes.get(), 0);
    }
}
