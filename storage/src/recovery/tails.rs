//! Reading the end of a partition's log behind its checkpoint: what is sound is kept, a torn end is cut off, and what
//! is damaged although it was durable once is marked.

use std::collections::VecDeque;

use ringlog_buffer::Slice;

use crate::batch::BatchView;
use crate::checkpoint::{PartitionState, SegmentState};
use crate::limits::{BLOCK_BYTES, RECOVERY_READ_BYTES};
use crate::log::index::IndexEntry;
use crate::log::mark::Mark;
use crate::log::partition::RotRange;
use crate::log::producers::Producers;
use crate::log::scan::{Expected, Found, Resync, look, resync, resync_done};
use crate::log::tail::{to_u64, to_usize};
use crate::types::{Millis, Offset};

/// What the scan wants.
#[derive(Debug)]
pub(crate) enum ScanStep {
    /// Bytes of the segment with this base offset.
    Read { segment: Offset, offset: u64, bytes: usize },
    /// It has ended.
    Done,
}

/// A scan under way.
#[derive(Debug)]
pub(crate) struct TailScan {
    pub(crate) state: PartitionState,
    /// Everything before was durable once.
    proven: Mark,
    /// Segments that follow the one being read.
    next_segments: VecDeque<Offset>,
    position: u64,
    expected: Offset,
    /// Offset of the damage that is being passed over.
    damaged: Option<Offset>,
    window: Slice,
    window_start: u64,
    /// The window reaches to the end of the file.
    at_file_end: bool,
    now: Millis,
    /// Bytes were found behind the end that are not zeros.
    pub(crate) torn: bool,
    done: bool,
}

impl TailScan {
    pub(crate) fn new(state: PartitionState, proven: Option<Mark>, segments: Vec<Offset>, now: Millis) -> Self {
        let from = state.durable;
        Self {
            proven: proven.map_or(from, |proven| proven.max(from)),
            next_segments: segments.into_iter().filter(|base| *base > from.segment).collect(),
            position: from.position,
            expected: from.offset,
            damaged: None,
            window: Slice::default(),
            window_start: 0,
            at_file_end: false,
            now,
            torn: false,
            done: false,
            state,
        }
    }

    fn segment(&mut self) -> &mut SegmentState {
        self.state.segments.last_mut().expect("a partition has a segment")
    }

    /// Takes the bytes that were asked for; none if the file is missing.
    pub(crate) fn take(&mut self, offset: u64, asked: usize, bytes: Slice) {
        self.at_file_end = bytes.len() < asked;
        self.window_start = offset;
        self.window = bytes;
    }

    /// The next step.
    pub(crate) fn next(&mut self) -> ScanStep {
        while !self.done {
            if self.next_segments.front().is_some_and(|next| *next <= self.expected) {
                self.begin_next_segment();
            }
            let inside = self.position.checked_sub(self.window_start).map(to_usize);
            let Some(bytes) = inside.and_then(|from| self.window.get(from..)).filter(|_| !self.window.is_empty())
            else {
                if self.at_file_end {
                    self.end_of_file();
                    continue;
                }
                return self.read(RECOVERY_READ_BYTES);
            };
            let end = self.next_segments.front().copied().unwrap_or(Offset::MAX);
            let left = if self.at_file_end { to_u64(bytes.len()) } else { u64::MAX };
            if let Some(damaged) = self.damaged {
                let expected = Expected { from: damaged.next(), end, bytes_left: left };
                match resync(bytes, expected) {
                    Resync::At(at) => self.end_damage(to_u64(at)),
                    Resync::Perhaps(at, needed) => {
                        self.position += to_u64(at.saturating_sub(1));
                        return self.read(needed + 1);
                    }
                    Resync::Nowhere if self.at_file_end => self.end_of_file(),
                    Resync::Nowhere => {
                        self.position += resync_done(bytes.len());
                        return self.read(RECOVERY_READ_BYTES);
                    }
                }
                continue;
            }
            match look(bytes, Expected { from: self.expected, end, bytes_left: left }) {
                Found::Incomplete(needed) if !self.at_file_end => return self.read(needed),
                Found::Batch(batch) if self.is_sound(&batch) => self.accept_at_position(),
                _ => self.bad(),
            }
        }
        ScanStep::Done
    }

    /// Whether a batch can be the next one: where nothing is proven any more, only the very next offset.
    fn is_sound(&self, batch: &BatchView<'_>) -> bool {
        let follows = batch.base_offset() == self.expected || self.expected < self.proven.offset;
        follows && batch.check_crc()
    }

    fn accept_at_position(&mut self) {
        let window = self.window.clone();
        let bytes = &window[to_usize(self.position - self.window_start)..];
        let (batch, _) = BatchView::parse(bytes).expect("looked at a moment ago");
        let (base, position) = (batch.base_offset(), self.position);
        if base > self.expected {
            // Offsets are missing between two sound batches: they are lost.
            self.add_rot(self.expected, base, position);
        }
        let segment = self.segment();
        let before = segment.times.max;
        segment.index.note(IndexEntry { offset: base, position, max_timestamp_before: before });
        segment.times.note(batch.max_timestamp(), base);
        self.state.epochs.assign(batch.leader_epoch(), base);
        self.state.producers.note(batch.header(), base, batch.last_offset(), self.now);
        self.expected = batch.next_offset();
        self.position += to_u64(batch.bytes().len());
        self.segment().bytes = self.position;
    }

    fn add_rot(&mut self, from: Offset, next_good: Offset, next_position: u64) {
        if next_good <= self.state.log_start {
            // It was deleted. The file went before a checkpoint told how far its producers had come, and the journal may know an
            // earlier place of theirs: they may go on with any sequence.
            self.state.producers = Producers::default();
            return;
        }
        let segment = self.segment().base;
        self.state.rot.push(RotRange { from, next_good, segment, next_position });
    }

    /// What stands at the position is no batch that could follow.
    fn bad(&mut self) {
        if self.expected < self.proven.offset {
            self.damaged = Some(self.expected);
            return;
        }
        let inside = to_usize(self.position - self.window_start);
        self.torn |= self.window[inside..].iter().any(|byte| *byte != 0);
        self.done = true;
    }

    fn end_damage(&mut self, behind: u64) {
        let damaged = self.damaged.take().expect("damage is being passed over");
        self.position += behind;
        let inside = to_usize(self.position - self.window_start);
        let window = self.window.clone();
        let (batch, _) = BatchView::parse(&window[inside..]).expect("found a moment ago");
        self.add_rot(damaged, batch.base_offset(), self.position);
        self.expected = batch.base_offset();
    }

    fn end_of_file(&mut self) {
        let damaged = self.damaged.take();
        if damaged.is_none() && self.expected >= self.proven.offset {
            self.done = true;
            return;
        }
        // What was durable here is gone, up to the next segment or to the end of what is proven.
        let from = damaged.unwrap_or(self.expected);
        if let Some(next) = self.next_segments.front().copied() {
            let bytes = self.segment().bytes;
            self.add_rot(from, next, bytes);
            self.expected = next;
            return;
        }
        let end = self.proven;
        self.add_rot(from, end.offset, end.position);
        self.expected = end.offset;
        self.position = end.position;
        self.segment().bytes = end.position;
        self.done = true;
    }

    fn begin_next_segment(&mut self) {
        let base = self.next_segments.pop_front().expect("there is one");
        self.state.segments.push(SegmentState::empty(base));
        self.position = 0;
        self.expected = self.expected.max(base);
        self.window = Slice::default();
        self.window_start = 0;
        self.at_file_end = false;
    }

    fn read(&mut self, wanted: usize) -> ScanStep {
        let offset = self.position - self.position % BLOCK_BYTES;
        let bytes = (wanted.max(RECOVERY_READ_BYTES) + to_usize(self.position - offset))
            .next_multiple_of(to_usize(BLOCK_BYTES));
        ScanStep::Read { segment: self.segment().base, offset, bytes }
    }

    /// What was found, once the scan is done.
    pub(crate) fn finish(mut self) -> PartitionState {
        let last = self.state.segments.last().expect("a partition has a segment");
        self.state.durable = Mark { segment: last.base, position: last.bytes, offset: self.expected };
        self.state.log_start = self.state.log_start.min(self.expected);
        self.state
    }
}
