//! One partition: its segments, and the marks up to which it is appended, on its way, committed, written and durable.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::answer::{PartitionOffsets, ReadError};
use crate::batch::BatchHeader;
use crate::config::{Durability, LogConfig};
use crate::directory::LogDir;
use crate::io::{FileRef, IoErrorKind};
use crate::journal::format::PartitionKey;
use crate::limits::{ROT_RANGES_MAX, SEGMENT_WRITE_BYTES_MAX};
use crate::log::epochs::LeaderEpochs;
use crate::log::mark::Mark;
use crate::log::producers::Producers;
use crate::log::segment::Segment;
use crate::log::tail::TailMemory;
use crate::types::{Millis, Nanos, Offset, TopicPartition};

/// What its files are busy with; at most one thing at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Busy {
    /// Nothing.
    Idle,
    /// A segment's file is made and its name synced, or space is reserved in it.
    Preparing,
    /// The first, partly filled block is read.
    ReadingBlock,
    /// A segment is written.
    Writing,
}

/// Whether a partition's journaled batches are on their way into its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flush {
    /// Not asked for.
    None,
    /// Waits for its turn.
    Queued,
    /// Has its turn: it is being written.
    UnderWay,
    /// Waits for a sync, of what it wrote or of its new file's name, and needs no turn meanwhile.
    Syncing,
}

/// What a partition does not do while the last of it is copied to another directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Hold {
    /// It does everything.
    None,
    /// No batches of it are committed.
    Commits,
    /// No file of it is changed, nor anything begun that would.
    Files,
}

/// A damaged range of offsets, and the file positions it has in its segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotRange {
    /// First offset that is lost.
    pub from: Offset,
    /// First offset behind it that can be read, at the latest the log's end.
    pub next_good: Offset,
    /// Base offset of the segment.
    pub segment: Offset,
    /// Position of the first good batch behind the damage, if it is in the same segment.
    pub next_position: u64,
}

/// One partition of a store.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own; any combination occurs")]
pub(crate) struct Partition {
    pub(crate) name: TopicPartition,
    pub(crate) key: PartitionKey,
    /// The data directory that its folder lies in.
    pub(crate) log_dir: LogDir,
    /// The one that journal and checkpoint are told, once that is to be another one: a complete copy lies there.
    pub(crate) placed: LogDir,
    /// How often that has changed.
    pub(crate) move_count: u64,
    /// Where it is to lie, if that is somewhere else.
    pub(crate) move_to: Option<LogDir>,
    /// What becomes of its commits and files while it is moved.
    pub(crate) hold: Hold,
    /// Its folder, as a path.
    pub(crate) dir: Arc<str>,
    pub(crate) dir_exists: bool,
    /// A folder of its name was there when nothing was known of it.
    pub(crate) has_orphan: bool,
    pub(crate) config: LogConfig,
    pub(crate) log_start: Offset,
    /// At least one; the last takes the appends.
    pub(crate) segments: VecDeque<Segment>,
    /// Behind the last batch appended.
    pub(crate) end: Mark,
    /// Behind the last batch that a commit has taken up.
    pub(crate) issued: Mark,
    /// Behind the last batch that is durable, in the journal or in its segment.
    pub(crate) committed: Mark,
    /// Behind the last batch whose write to its segment has completed.
    pub(crate) written: Mark,
    /// Behind the last batch that is durable in its segment: from here on recovery has to look.
    pub(crate) durable: Mark,
    pub(crate) high_watermark: Offset,
    pub(crate) epochs: LeaderEpochs,
    pub(crate) producers: Producers,
    /// First journal record with something that is not durable in its segment yet.
    pub(crate) journaled_since: Option<u64>,
    /// The same, counted anew since the flush under way was asked for.
    pub(crate) journaled_after_flush: Option<u64>,
    pub(crate) busy: Busy,
    /// Everything below has to get into the segment.
    pub(crate) flush_to: Offset,
    /// … and be synced there.
    pub(crate) sync_wanted: bool,
    /// Whether a flush is asked for or under way.
    pub(crate) flush: Flush,
    /// It has joined a group sync for what was written to its segments, which has not ended.
    pub(crate) data_syncing: bool,
    /// A commit waits for room in the segment's file.
    pub(crate) room_wanted: bool,
    /// It stands among those with something to write and no flush.
    pub(crate) unwritten_noted: bool,
    /// It stands among those whose chunks can be freed.
    pub(crate) is_evictable: bool,
    /// It stands in the queue of the next commit.
    pub(crate) queued: bool,
    /// It stands among the lazily flushed ones, due at this time.
    pub(crate) lazy_due: Option<Nanos>,
    /// Recovery found it, so its checkpoint tells of it.
    pub(crate) recovered: bool,
    /// The journal, or a checkpoint, tells its topic's name.
    pub(crate) journal_knows_name: bool,
    /// The controller appends to it.
    pub(crate) is_of_controller: bool,
    pub(crate) records_since_flush: u64,
    pub(crate) fenced: Option<IoErrorKind>,
    pub(crate) removing: bool,
    /// Operations out for its files, reads included.
    pub(crate) operations: u32,
    /// Segments before the last one that are not sealed.
    pub(crate) unsealed: usize,
    pub(crate) rot: Vec<RotRange>,
    pub(crate) last_append: Millis,
}

impl Partition {
    /// Whether an append to it waits for durable storage. `flush.messages=1` asks for that too.
    pub(crate) fn is_sync(&self) -> bool {
        self.config.durability == Durability::Sync || self.config.flush_messages == Some(1)
    }

    /// Whether something may have the name of its folder: it was made, or there was one of its name before.
    pub(crate) fn may_have_folder(&self) -> bool {
        self.dir_exists || self.has_orphan
    }

    pub(crate) fn offsets(&self) -> PartitionOffsets {
        PartitionOffsets {
            log_start: self.log_start,
            high_watermark: self.high_watermark,
            last_stable: self.high_watermark,
            log_end: self.end.offset,
        }
    }

    pub(crate) fn last_segment(&self) -> &Segment {
        self.segments.back().expect("a partition has a segment")
    }

    /// Place of the segment that holds `offset`, if it is not before the first.
    pub(crate) fn segment_at(&self, offset: Offset) -> Option<usize> {
        self.segments.partition_point(|segment| segment.base <= offset).checked_sub(1)
    }

    /// Place of the segment with this base offset.
    pub(crate) fn segment_with_base(&self, base: Offset) -> Option<usize> {
        self.segments.binary_search_by_key(&base, |segment| segment.base).ok()
    }

    pub(crate) fn segment_mut(&mut self, base: Offset) -> Option<&mut Segment> {
        let at = self.segment_with_base(base)?;
        self.segments.get_mut(at)
    }

    /// Where the next write to the segment at this place may end: it is bounded, unless a single batch is larger.
    pub(crate) fn next_write_end(&self, at: usize, written: Mark) -> u64 {
        let segment = &self.segments[at];
        let first = segment.tail.border_at_least(written.position + 1, self.segment_end_offset(at)).position;
        segment.bytes.min(first.max(written.position + SEGMENT_WRITE_BYTES_MAX))
    }

    /// First offset behind the segment at this place.
    pub(crate) fn segment_end_offset(&self, at: usize) -> Offset {
        self.segments.get(at + 1).map_or(self.end.offset, |next| next.base)
    }

    /// Bytes between two marks.
    pub(crate) fn bytes_between(&self, from: Mark, to: Mark) -> u64 {
        if from.segment == to.segment {
            return to.position.saturating_sub(from.position);
        }
        let between = self
            .segments
            .iter()
            .map(|segment| to.position_in(segment.base, segment.bytes) - from.position_in(segment.base, segment.bytes));
        between.sum()
    }

    /// The answer to an offset that the log does not have.
    pub(crate) fn out_of_range(&self) -> ReadError {
        ReadError::OffsetOutOfRange { log_start: self.log_start, log_end: self.end.offset }
    }

    /// A mark at a segment's very end moves to the begin of the next one, if there is one.
    pub(crate) fn normal(&self, mark: Mark) -> Mark {
        let at = self.segment_with_base(mark.segment);
        match at.and_then(|at| self.segments.get(at).zip(self.segments.get(at + 1))) {
            Some((segment, next)) if mark.position >= segment.bytes => Mark::at_segment(next.base),
            _ => mark,
        }
    }

    /// Where the log is durable in its segments: what is written, as far as syncs have covered it.
    pub(crate) fn synced(&self) -> Mark {
        let mut mark = self.durable;
        let from = self.segment_with_base(mark.segment).unwrap_or(0);
        for (at, segment) in self.segments.iter().enumerate().skip(from) {
            if segment.needs_sync || segment.syncing {
                let begin = Mark::at_segment(segment.base);
                return mark.max(begin);
            }
            if self.written.segment == segment.base {
                return mark.max(self.written);
            }
            mark = segment.end(self.segment_end_offset(at));
        }
        mark
    }

    /// Whether something that is written to its segments, or on its way there, is not synced: a write under way may be on
    /// the device in part, or wholly and not told yet.
    pub(crate) fn may_lose_writes(&self) -> bool {
        self.busy == Busy::Writing || self.segments.iter().any(|segment| segment.needs_sync || segment.syncing)
    }

    /// Whether the segment must end before this batch is appended.
    pub(crate) fn must_roll(&self, batch: BatchHeader<'_>, bytes: u64) -> bool {
        let active = self.last_segment();
        if active.bytes == 0 {
            return false;
        }
        let full = active.bytes + bytes > u64::from(self.config.segment_bytes);
        let first = active.times.first;
        let old = first >= Millis::new(0) && batch.max_timestamp().since(first) > self.config.segment_ms;
        // Retention has let go of all of it: it goes as soon as another one takes its place.
        let is_over = self.log_start >= self.end.offset
            && self.config.retention_ms.is_some_and(|most| batch.max_timestamp().since(active.times.max) > most);
        // Offsets within a segment are 32 bits relative to its base in Kafka's own index files.
        let last = self.end.offset.get().saturating_add(i64::from(batch.last_offset_delta()));
        full || old || is_over || last - active.base.get() > i64::from(i32::MAX)
    }

    /// Begins the next segment.
    pub(crate) fn roll(&mut self, file: FileRef) {
        let tail = self.last_segment().tail.successor();
        let segment = Segment::new(self.end.offset, file, self.config.index_interval_bytes, tail);
        self.end = Mark::at_segment(segment.base);
        self.segments.push_back(segment);
        self.unsealed += 1;
    }

    /// Whether [`evict_chunk`](Self::evict_chunk) would free anything.
    pub(crate) fn can_evict(&self) -> bool {
        self.segments.iter().find(|segment| segment.tail.holds_any()).is_some_and(|segment| {
            let written = self.written.position_in(segment.base, u64::MAX);
            segment.tail.releasable(written) || (written >= segment.bytes && segment.base < self.end.segment)
        })
    }

    /// Frees the first chunk, if it is written and is not being filled.
    pub(crate) fn evict_chunk(&mut self, memory: &mut TailMemory) {
        let Some(segment) = self.segments.iter_mut().find(|segment| segment.tail.holds_any()) else { return };
        let written = self.written.position_in(segment.base, u64::MAX);
        if segment.tail.release(written, memory) == 0 && written >= segment.bytes && segment.base < self.end.segment {
            segment.tail.clear(memory);
        }
    }

    /// Whether something of the log waits to be committed.
    pub(crate) fn has_uncommitted(&self) -> bool {
        self.issued.offset < self.end.offset
    }

    /// Remembers a damaged range. Ranges come in any order and never overlap; when there are too many, the two last are
    /// joined.
    pub(crate) fn add_rot(&mut self, range: RotRange) -> bool {
        if self.rot.iter().any(|known| known.from <= range.from && range.next_good <= known.next_good) {
            return false;
        }
        self.rot.retain(|known| known.next_good <= range.from || range.next_good <= known.from);
        self.rot.push(range);
        self.rot.sort_by_key(|known| known.from);
        if self.rot.len() > ROT_RANGES_MAX
            && let Some(last) = self.rot.pop()
            && let Some(before) = self.rot.last_mut()
        {
            *before = RotRange { from: before.from, ..last };
        }
        true
    }

    /// The damaged range that holds `offset`.
    pub(crate) fn rot_at(&self, offset: Offset) -> Option<RotRange> {
        self.rot.iter().find(|range| range.from <= offset && offset < range.next_good).copied()
    }

    /// The first damaged offset at or behind `offset`.
    pub(crate) fn rot_after(&self, offset: Offset) -> Option<Offset> {
        self.rot.iter().map(|range| range.from).find(|from| *from >= offset)
    }
}
