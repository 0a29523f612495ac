//! The last records of one kind, and reading them in order.

use std::collections::VecDeque;

use super::record::{Reason, Record};

/// Records of one kind that a shard keeps: those that were slow and those of the sample, 4,096 together.
pub(super) const RING_RECORDS_MAX: usize = 2048;

/// Which records somebody wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    All,
    Slow,
    Sampled,
}

/// The number of the next record of each kind that somebody wants of one shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Cursor {
    pub(crate) slow: u64,
    pub(crate) sampled: u64,
}

impl Cursor {
    /// Goes behind a record. Answers how many before it were overwritten, and never seen.
    pub(crate) fn go_behind(&mut self, record: &Record) -> u64 {
        let next = match record.reason {
            Reason::Slow { .. } => &mut self.slow,
            Reason::Sampled => &mut self.sampled,
        };
        record.number.saturating_sub(std::mem::replace(next, record.number + 1))
    }
}

/// The last records, each with its number.
#[derive(Debug, Default)]
pub(super) struct Ring {
    next: u64,
    records: VecDeque<Record>,
}

impl Ring {
    /// Takes a record, in the place of the oldest one if there are many.
    pub(super) fn push(&mut self, record: Record) {
        if self.records.len() == RING_RECORDS_MAX {
            self.records.pop_front();
        }
        self.records.push_back(Record { number: self.next, ..record });
        self.next += 1;
    }

    /// What is here from this number on.
    pub(super) fn from(&self, number: u64) -> impl Iterator<Item = &Record> {
        let first = self.records.front().map_or(self.next, |record| record.number);
        let seen = usize::try_from(number.saturating_sub(first)).unwrap_or(usize::MAX);
        self.records.range(seen.min(self.records.len())..)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::record;
    use super::*;

    fn numbers(ring: &Ring, from: u64) -> Vec<u64> {
        ring.from(from).map(|record| record.number).collect()
    }

    #[test]
    fn the_last_records_are_there_and_each_keeps_its_number() {
        let mut ring = Ring::default();
        assert!(numbers(&ring, 0).is_empty());
        for number in 0..3 {
            ring.push(record(number));
        }
        assert_eq!(numbers(&ring, 0), [0, 1, 2]);
        assert_eq!(numbers(&ring, 2), [2]);
        assert!(numbers(&ring, 3).is_empty());
        assert!(numbers(&ring, u64::MAX).is_empty());
        for number in 3..2058 {
            ring.push(record(number));
        }
        assert_eq!(numbers(&ring, 2), (10..2058).collect::<Vec<_>>());
        assert_eq!(numbers(&ring, 2057), [2057]);
    }

    #[test]
    fn a_reader_is_told_of_those_that_he_missed_of_each_kind() {
        let slow = |number| Record { number, reason: Reason::Slow { is_sampled: true }, ..record(0) };
        let sampled = |number| Record { number, reason: Reason::Sampled, ..record(0) };
        let mut cursor = Cursor::default();
        let lost: Vec<_> =
            [slow(0), sampled(5), slow(1), slow(4), sampled(6)].iter().map(|one| cursor.go_behind(one)).collect();
        assert_eq!((lost.as_slice(), cursor), (&[0, 5, 0, 2, 0][..], Cursor { slow: 5, sampled: 7 }));
    }
}
