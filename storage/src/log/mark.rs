//! A place in a partition's log, between two batches: the segment, the position in its file, and the offset.

use crate::types::Offset;

/// A border between batches. Ordered by offset; two marks with one offset may name the end of a segment and the begin
/// of the next one, which hold the same batches before them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    /// Base offset of the segment.
    pub(crate) segment: Offset,
    /// Position in the segment's file.
    pub(crate) position: u64,
    /// Offset of the next record behind this place.
    pub(crate) offset: Offset,
}

impl Mark {
    /// The begin of the segment that starts with `base`.
    pub(crate) const fn at_segment(base: Offset) -> Self {
        Self { segment: base, position: 0, offset: base }
    }

    /// How far into the segment with this base and size the log reaches before the mark.
    pub(crate) fn position_in(&self, base: Offset, bytes: u64) -> u64 {
        match self.segment.cmp(&base) {
            std::cmp::Ordering::Less => 0,
            std::cmp::Ordering::Equal => self.position,
            std::cmp::Ordering::Greater => bytes,
        }
    }

    /// The later of two marks.
    pub(crate) fn max(self, other: Self) -> Self {
        if (other.offset, other.segment) > (self.offset, self.segment) { other } else { self }
    }
}
