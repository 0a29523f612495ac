//! The sparse index of one segment: from offsets and times to positions in its file.
//!
//! An entry stands for a batch. While a segment is written the index is bounded: when it is full, every second entry
//! goes and the distance between entries doubles, so a large segment costs no more memory than a small one.

use crate::limits::INDEX_ENTRIES_MAX;
use crate::types::{Millis, Offset};

/// One batch of the segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct IndexEntry {
    /// Base offset of the batch.
    pub(crate) offset: Offset,
    /// Its position in the file.
    pub(crate) position: u64,
    /// Largest timestamp of the segment before this batch.
    pub(crate) max_timestamp_before: Millis,
}

/// Entries in order of offsets, which is the order of positions too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct SparseIndex {
    entries: Vec<IndexEntry>,
    interval_bytes: u64,
}

impl SparseIndex {
    pub(crate) fn new(interval_bytes: u64) -> Self {
        Self { entries: Vec::new(), interval_bytes }
    }

    /// An index read from a file or a checkpoint. `None` if its entries are not in order.
    pub(crate) fn from_entries(entries: Vec<IndexEntry>, interval_bytes: u64) -> Option<Self> {
        let in_order = entries.iter().zip(entries.iter().skip(1)).all(|(one, next)| {
            one.offset < next.offset
                && one.position < next.position
                && one.max_timestamp_before <= next.max_timestamp_before
        });
        if !in_order {
            return None;
        }
        let distance = entries.iter().zip(entries.iter().skip(1)).map(|(a, b)| b.position - a.position).min();
        Some(Self { entries, interval_bytes: interval_bytes.max(distance.unwrap_or(0)) })
    }

    pub(crate) fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// Notes a batch, if it lies far enough behind the last one noted. Batches come in order.
    pub(crate) fn note(&mut self, entry: IndexEntry) {
        let far_enough =
            self.entries.last().is_none_or(|last| entry.position >= last.position.saturating_add(self.interval_bytes));
        if far_enough {
            if self.entries.len() == INDEX_ENTRIES_MAX {
                self.thin_out(INDEX_ENTRIES_MAX / 2);
            }
            self.entries.push(entry);
        }
    }

    /// Halves the index until it has at most `entries_max` entries.
    pub(crate) fn thin_out(&mut self, entries_max: usize) {
        while self.entries.len() > entries_max.max(1) {
            let mut place = 0_usize;
            self.entries.retain(|_| {
                place += 1;
                place % 2 == 1
            });
            self.interval_bytes = self.interval_bytes.saturating_mul(2).max(1);
        }
    }

    /// The last entry at or before the batch that holds `offset`; without one, that is the segment's begin.
    pub(crate) fn before_offset(&self, offset: Offset) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).copied()
    }

    /// The last entry at or before the first batch that has a record at or after `timestamp`; without one, that is the
    /// segment's begin.
    pub(crate) fn before_timestamp(&self, timestamp: Millis) -> Option<IndexEntry> {
        let after = self.entries.partition_point(|entry| entry.max_timestamp_before < timestamp);
        after.checked_sub(1).and_then(|at| self.entries.get(at)).copied()
    }

    /// Memory that the entries take.
    pub(crate) fn held_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<IndexEntry>()
    }

    /// Forgets entries at or behind `position`.
    pub(crate) fn trim_end(&mut self, position: u64) {
        self.entries.retain(|entry| entry.position < position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_out_of_order_are_no_index() {
        let check = |positions: [u64; 2], interval_bytes| {
            let entry = |(offset, position)| IndexEntry {
                offset: Offset::new(offset),
                position,
                max_timestamp_before: Millis::NONE,
            };
            let index = SparseIndex::from_entries((0..).zip(positions).map(entry).collect(), 1);
            assert_eq!(index.map(|index| index.interval_bytes), interval_bytes, "{positions:?}");
        };
        check([0, 500], Some(500));
        check([500, 0], None);
        check([500, 500], None);
        check([0, u64::MAX], Some(u64::MAX));
    }
}
