//! One file of a partition's log, and what is known of it.

use crate::io::FileRef;
use crate::limits::{SEGMENT_ALLOCATE_BYTES_MIN, SEGMENT_ALLOCATE_STEP_BYTES_MAX};
use crate::log::index::{IndexEntry, SparseIndex};
use crate::log::mark::Mark;
use crate::log::tail::Tail;
use crate::types::{Millis, Offset};

/// Digits of the base offset in the name of a file.
const BASE_DIGITS: usize = 20;
/// What is behind the name of a file that is to be removed.
const DELETED_SUFFIX: &str = ".deleted";

/// Whether more may come, and what has been done about it if not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Seal {
    /// Appends go here, or its data is not all in the file yet.
    Open,
    /// It is being trimmed, synced, and given its index file.
    Sealing,
    /// Its file will never change again.
    Sealed,
}

/// What is kept of times in a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Times {
    /// Of the first batch; [`Millis::NONE`] while there is none.
    pub(crate) first: Millis,
    /// The largest.
    pub(crate) max: Millis,
    /// Base offset of the first batch with the largest one.
    pub(crate) max_batch: Offset,
}

impl Times {
    pub(crate) const NONE: Self = Self { first: Millis::NONE, max: Millis::NONE, max_batch: Offset::UNKNOWN };

    pub(crate) fn note(&mut self, timestamp: Millis, batch: Offset) {
        if self.first == Millis::NONE {
            self.first = timestamp;
        }
        if timestamp > self.max {
            (self.max, self.max_batch) = (timestamp, batch);
        }
    }
}

/// A segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Offset of its first record, and the name of its file.
    pub(crate) base: Offset,
    pub(crate) file: FileRef,
    /// Length of its content.
    pub(crate) bytes: u64,
    pub(crate) times: Times,
    /// `None` while the index of a sealed segment is only in its file.
    pub(crate) index: Option<SparseIndex>,
    pub(crate) tail: Tail,
    /// Reserved length of the file; `None` while the file may not exist.
    pub(crate) allocated: Option<u64>,
    /// Something was written that no sync covers.
    pub(crate) needs_sync: bool,
    /// A sync of what was written before is under way.
    pub(crate) syncing: bool,
    pub(crate) seal: Seal,
}

impl Segment {
    pub(crate) fn new(base: Offset, file: FileRef, index_interval_bytes: u32, tail: Tail) -> Self {
        Self {
            base,
            file,
            bytes: 0,
            times: Times::NONE,
            index: Some(SparseIndex::new(u64::from(index_interval_bytes))),
            tail,
            allocated: None,
            needs_sync: false,
            syncing: false,
            seal: Seal::Open,
        }
    }

    /// Notes a batch that was appended at `position`.
    pub(crate) fn note(&mut self, offset: Offset, position: u64, timestamp: Millis) {
        let entry = IndexEntry { offset, position, max_timestamp_before: self.times.max };
        self.index.get_or_insert_default().note(entry);
        self.times.note(timestamp, offset);
    }

    /// Whether `needed` bytes can be written without reserving first.
    pub(crate) fn has_room(&self, needed: u64) -> bool {
        self.allocated.is_some_and(|allocated| allocated >= needed.next_multiple_of(crate::limits::BLOCK_BYTES))
    }

    /// The mark at the end of this segment, where the next record has offset `next`.
    pub(crate) fn end(&self, next: Offset) -> Mark {
        Mark { segment: self.base, position: self.bytes, offset: next }
    }
}

/// Name of a segment's file, as Kafka writes it: the base offset in twenty digits.
pub(crate) fn file_name(base: Offset, extension: &str) -> String {
    format!("{:0BASE_DIGITS$}.{extension}", base.get())
}

/// What a file of a deleted segment is called until it is removed (Kafka's name).
pub(crate) fn deleted_name(name: &str) -> String {
    format!("{name}{DELETED_SUFFIX}")
}

/// Whether a file of this name is one of a deleted segment.
pub(crate) fn is_deleted_name(name: &str) -> bool {
    let stem =
        name.strip_suffix(DELETED_SUFFIX).and_then(|name| name.strip_suffix(".log").or(name.strip_suffix(".index")));
    stem.is_some_and(|base| base.len() == BASE_DIGITS && base.bytes().all(|byte| byte.is_ascii_digit()))
}

/// How much to reserve so that `needed` bytes fit: doubling, in bounded steps, up to the largest size it may reach.
pub(crate) fn allocation_for(needed: u64, segment_bytes: u32) -> u64 {
    let ahead = needed.clamp(SEGMENT_ALLOCATE_BYTES_MIN, SEGMENT_ALLOCATE_STEP_BYTES_MAX);
    let most = u64::from(segment_bytes).next_multiple_of(crate::limits::BLOCK_BYTES);
    let needed = needed.next_multiple_of(crate::limits::BLOCK_BYTES);
    (needed + ahead).next_multiple_of(SEGMENT_ALLOCATE_BYTES_MIN).min(most).max(needed)
}
