//! Walking over batches in bytes of a segment, whether or not they are sound.

use crate::batch::{BatchHeader, BatchView};
use crate::limits::{BATCH_BYTES_MAX, BATCH_HEADER_BYTES};
use crate::log::tail::{to_u64, to_usize};
use crate::types::Offset;

/// What must hold of every batch in a stretch of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Expected {
    /// No batch begins before this offset.
    pub(crate) from: Offset,
    /// Every batch ends before this offset.
    pub(crate) end: Offset,
    /// Bytes from the place looked at to the end of what the segment holds.
    pub(crate) bytes_left: u64,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Found<'a> {
    /// A header that may be right; the batch reaches beyond the bytes at hand. So many are needed.
    Incomplete(usize),
    /// A whole batch. Its checksum has not been looked at.
    Batch(BatchView<'a>),
    /// Nothing that could be a batch of this stretch.
    Bad,
}

/// Looks at the batch at the begin of `bytes`.
pub(crate) fn look(bytes: &[u8], expected: Expected) -> Found<'_> {
    if expected.bytes_left < to_u64(BATCH_HEADER_BYTES) {
        return Found::Bad;
    }
    if bytes.len() < BATCH_HEADER_BYTES {
        return Found::Incomplete(BATCH_HEADER_BYTES);
    }
    let Ok(header) = BatchHeader::parse(bytes) else { return Found::Bad };
    if !plausible(header, expected) {
        return Found::Bad;
    }
    match BatchView::parse(bytes) {
        Ok((batch, _)) => Found::Batch(batch),
        Err(_) => Found::Incomplete(header.batch_bytes()),
    }
}

fn plausible(header: BatchHeader<'_>, expected: Expected) -> bool {
    let fits = header.batch_bytes() <= BATCH_BYTES_MAX && to_u64(header.batch_bytes()) <= expected.bytes_left;
    let in_range = header.base_offset() >= expected.from && header.last_offset() < expected.end;
    fits && in_range && header.last_offset_delta() >= 0 && header.record_count() >= 0
}

/// Finds the first sound batch behind the begin of `bytes`.
pub(crate) enum Resync {
    /// At this place.
    At(usize),
    /// Perhaps at this place: so many bytes from there are needed to tell.
    Perhaps(usize, usize),
    /// Not in these bytes; the last few of them are to be looked at again, together with what follows.
    Nowhere,
}

/// See [`Resync`].
pub(crate) fn resync(bytes: &[u8], expected: Expected) -> Resync {
    for at in 1..bytes.len() {
        // The magic byte rules out most places.
        match bytes.get(at + 16) {
            Some(2) => {}
            Some(_) => continue,
            None => return Resync::Nowhere,
        }
        let left = Expected { bytes_left: expected.bytes_left.saturating_sub(to_u64(at)), ..expected };
        match look(&bytes[at..], left) {
            Found::Batch(batch) if batch.check_crc() => return Resync::At(at),
            Found::Incomplete(needed) if needed > BATCH_HEADER_BYTES => return Resync::Perhaps(at, needed),
            Found::Incomplete(_) => return Resync::Nowhere,
            Found::Batch(_) | Found::Bad => {}
        }
    }
    Resync::Nowhere
}

/// How many of `bytes` a resync that found nothing has done with.
pub(crate) fn resync_done(bytes: usize) -> u64 {
    to_u64(bytes.saturating_sub(BATCH_HEADER_BYTES)).max(1)
}

/// Where a block begins that holds `position`, and how much of it lies before.
pub(crate) fn block_of(position: u64) -> (u64, usize) {
    let before = position % crate::limits::BLOCK_BYTES;
    (position - before, to_usize(before))
}
