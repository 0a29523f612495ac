//! The end of a segment that is still in memory: what was appended and waits for the disk, and what was written a
//! moment ago and is about to be fetched.
//!
//! A tail is a row of chunks that hold the segment's file byte for byte. Every chunk starts at a block of the file, so
//! whole blocks are written to the disk from where they lie. The last block, while it is partly filled, is written from
//! a copy: the disk never reads memory that a later append may touch.

use std::collections::VecDeque;
use std::time::Duration;

use ringlog_buffer::{Chunk, Pool, Slice};

use crate::limits::{BLOCK_BYTES, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, CHUNK_FILL_MS_MAX, UNCACHED_BYTES_MIN};
use crate::types::{Nanos, Offset};

/// Chunks of every tail that fit the budget together.
const CHUNKS_PER_TAIL: usize = 4;

/// Memory of tails. What busy partitions give back is kept for the next appends, which do not pay for fresh pages then.
#[derive(Debug)]
pub(crate) struct TailMemory {
    pool: Pool,
    bytes_max: usize,
    /// Capacity of all chunks that tails hold.
    held_bytes: usize,
    /// Tails that hold chunks.
    tails: usize,
}

impl TailMemory {
    /// Keeps up to `bytes_max` bytes for the next appends: as many as tails may hold, or what is written back at once would
    /// be fresh pages when it is needed again.
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { pool: Pool::new(bytes_max), bytes_max, held_bytes: 0, tails: 0 }
    }

    /// Gives back to the system what was not used since the last call.
    pub(crate) fn trim(&mut self) {
        self.pool.trim();
    }

    /// A chunk of at least `capacity` bytes.
    fn take(&mut self, capacity: usize) -> Chunk {
        let chunk = self.pool.chunk(capacity);
        self.held_bytes += chunk.capacity();
        chunk
    }

    /// The most that one chunk should have, so that a few of every tail fit the budget.
    fn chunk_bytes_max(&self) -> usize {
        let share = self.bytes_max / (CHUNKS_PER_TAIL * self.tails.max(1));
        // A power of two, as chunks of a pool should be.
        (1_usize << share.max(1).ilog2()).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX)
    }

    fn give(&mut self, chunk: Chunk) {
        self.held_bytes -= chunk.capacity();
        drop(chunk);
    }

    /// Capacity of all chunks that tails hold.
    pub(crate) fn held_bytes(&self) -> usize {
        self.held_bytes
    }
}

#[derive(Debug)]
struct TailChunk {
    start: u64,
    chunk: Chunk,
}

impl TailChunk {
    fn end(&self) -> u64 {
        self.start + to_u64(self.chunk.len())
    }
}

/// Where a batch begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TailEntry {
    /// First offset of the batch.
    pub(crate) offset: Offset,
    /// Its position in the file.
    pub(crate) position: u64,
}

/// The part of a segment that is in memory.
#[derive(Debug)]
pub(crate) struct Tail {
    chunks: VecDeque<TailChunk>,
    /// Batches that are wholly in memory.
    entries: VecDeque<TailEntry>,
    end: u64,
    /// Capacity and time of the last chunk.
    capacity: usize,
    chunk_began: Nanos,
    hole: Hole,
}

/// The bytes of the first block that lie before the first append, when a file is continued in the middle of a block.
#[derive(Clone, Debug)]
enum Hole {
    /// The tail began with a block, or the block has been written since.
    None,
    /// The block's first bytes are on the disk only.
    OnDisk,
    /// They have been read.
    Read(Slice),
}

impl Tail {
    /// The tail of a file that holds `end` bytes, none of which are in memory.
    pub(crate) fn at(end: u64) -> Self {
        let hole = if end.is_multiple_of(BLOCK_BYTES) { Hole::None } else { Hole::OnDisk };
        Self {
            chunks: VecDeque::new(),
            entries: VecDeque::new(),
            end,
            capacity: CHUNK_BYTES_MIN,
            chunk_began: Nanos::default(),
            hole,
        }
    }

    /// The tail of the file that follows: it begins with chunks as large as this one has grown to.
    pub(crate) fn successor(&self) -> Self {
        Self { capacity: self.capacity, chunk_began: self.chunk_began, ..Self::at(0) }
    }

    /// Capacity of the last chunk.
    #[cfg(test)]
    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Whether there are chunks.
    pub(crate) fn holds_any(&self) -> bool {
        !self.chunks.is_empty()
    }

    /// Capacity of the chunks.
    pub(crate) fn held_bytes(&self) -> usize {
        self.chunks.iter().map(|part| part.chunk.capacity()).sum()
    }

    /// The first batch that is wholly in memory.
    pub(crate) fn first(&self) -> Option<TailEntry> {
        self.entries.front().copied()
    }

    /// Appends one batch, given in parts.
    pub(crate) fn append(&mut self, offset: Offset, parts: &[&[u8]], now: Nanos, memory: &mut TailMemory) {
        self.entries.push_back(TailEntry { offset, position: self.end });
        let mut remaining: usize = parts.iter().map(|part| part.len()).sum();
        for part in parts {
            let mut part = *part;
            while !part.is_empty() {
                let chunk = self.chunk_with_room(remaining, now, memory);
                let (now, later) = part.split_at(part.len().min(chunk.spare_len()));
                if now.len() >= UNCACHED_BYTES_MIN {
                    chunk.append_uncached(now);
                } else {
                    chunk.append(now);
                }
                self.end += to_u64(now.len());
                remaining -= now.len();
                part = later;
            }
        }
    }

    fn chunk_with_room(&mut self, wanted: usize, now: Nanos, memory: &mut TailMemory) -> &mut Chunk {
        if self.chunks.back().is_none_or(|last| last.chunk.spare_len() == 0) {
            let start = self.end - self.end % BLOCK_BYTES;
            let inside = to_usize(self.end - start);
            memory.tails += usize::from(self.chunks.is_empty());
            let is_busy = now.since(self.chunk_began) < Duration::from_millis(CHUNK_FILL_MS_MAX);
            let grown = if is_busy { (self.capacity * 2).min(CHUNK_BYTES_MAX) } else { self.capacity };
            let capacity = grown.min(memory.chunk_bytes_max());
            let mut chunk = memory.take(capacity.max((wanted + inside).next_multiple_of(block_usize())));
            (self.capacity, self.chunk_began) = (capacity, now);
            // Where a file is continued within a block, the bytes before it are on the disk; nobody reads these zeros.
            chunk.spare_mut()[..inside].fill(0);
            chunk.advance(inside);
            self.chunks.push_back(TailChunk { start, chunk });
        }
        &mut self.chunks.back_mut().expect("one was just added").chunk
    }

    /// The place of the batch that holds `offset`, if it is in memory, for [`entry`](Self::entry).
    pub(crate) fn find(&self, offset: Offset) -> Option<usize> {
        self.entries.partition_point(|entry| entry.offset <= offset).checked_sub(1)
    }

    /// The entry at a place.
    pub(crate) fn entry(&self, at: usize) -> Option<TailEntry> {
        self.entries.get(at).copied()
    }

    /// Batch border with the largest position that is at most `position`, as offset and position. `end_offset` is the
    /// offset behind the last batch.
    pub(crate) fn border_at_most(&self, position: u64, end_offset: Offset) -> Option<TailEntry> {
        if position >= self.end {
            return Some(TailEntry { offset: end_offset, position: self.end });
        }
        let at = self.entries.partition_point(|entry| entry.position <= position).checked_sub(1)?;
        self.entry(at)
    }

    /// First batch border at or behind `position`.
    pub(crate) fn border_at_least(&self, position: u64, end_offset: Offset) -> TailEntry {
        let at = self.entries.partition_point(|entry| entry.position < position);
        self.entry(at).unwrap_or(TailEntry { offset: end_offset, position: self.end })
    }

    /// The place of the first entry at or behind `offset`.
    pub(crate) fn place_at_least(&self, offset: Offset) -> usize {
        self.entries.partition_point(|entry| entry.offset < offset)
    }

    /// The bytes from `from` to `to`, by reference. Panics if they are not in memory.
    pub(crate) fn slices(&self, from: u64, to: u64) -> impl Iterator<Item = Slice> + '_ {
        assert!(from <= to && to <= self.end, "bytes {from}..{to} of a tail that ends at {}", self.end);
        let first = self.chunks.partition_point(|part| part.end() <= from);
        assert!(from == to || self.chunks.get(first).is_some_and(|part| part.start <= from), "bytes are in memory");
        self.chunks.iter().skip(first).take_while(move |part| part.start < to).map(move |part| {
            let start = from.max(part.start) - part.start;
            let end = to.min(part.end()) - part.start;
            part.chunk.slice(to_usize(start)..to_usize(end))
        })
    }

    /// The blocks that hold `from..to`, ready to be written at the block of `from`.
    pub(crate) fn blocks(&self, from: u64, to: u64) -> Vec<Slice> {
        let start = from - from % BLOCK_BYTES;
        let mut whole_from = start;
        let whole_to = to - to % BLOCK_BYTES;
        let mut data = Vec::with_capacity(2);
        if let (Hole::Read(head), Some(first)) = (&self.hole, self.chunks.front())
            && first.start == start
        {
            // The block is partly on the disk: put it together.
            let mut block = Chunk::with_capacity(block_usize());
            block.append(head);
            let block_to = to.min(start + BLOCK_BYTES);
            for slice in self.slices(start + to_u64(head.len()), block_to) {
                block.append(&slice);
            }
            data.push(padded(block));
            whole_from = start + BLOCK_BYTES;
        }
        if whole_from < whole_to {
            data.extend(self.slices(whole_from, whole_to));
        }
        if whole_to < to && whole_to >= whole_from {
            let mut block = Chunk::with_capacity(block_usize());
            for slice in self.slices(whole_to, to) {
                block.append(&slice);
            }
            data.push(padded(block));
        }
        data
    }

    /// Where to read the block whose first bytes are on the disk only, before `from` can be written.
    pub(crate) fn missing_block(&self, from: u64) -> Option<u64> {
        let block = from - from % BLOCK_BYTES;
        let first = self.chunks.front()?;
        (matches!(self.hole, Hole::OnDisk) && first.start == block).then_some(block)
    }

    /// Takes the bytes of that block. Answers whether they reach up to what was appended.
    pub(crate) fn fill_hole(&mut self, written: u64, block: &Slice) -> bool {
        let inside = to_usize(written % BLOCK_BYTES);
        if block.len() < inside {
            return false;
        }
        self.hole = Hole::Read(block.slice(0..inside));
        true
    }

    /// Whether [`release`](Self::release) would free anything.
    pub(crate) fn releasable(&self, written: u64) -> bool {
        let keep = written - written % BLOCK_BYTES;
        self.chunks.front().is_some_and(|part| part.start + to_u64(part.chunk.capacity()) <= keep)
    }

    /// Frees the first chunk, if all of it is written. Answers the bytes freed.
    pub(crate) fn release(&mut self, written: u64, memory: &mut TailMemory) -> usize {
        if !self.releasable(written) {
            return 0;
        }
        let part = self.chunks.pop_front().expect("there is a chunk that can be freed");
        let freed = part.chunk.capacity();
        memory.tails -= usize::from(self.chunks.is_empty());
        let start = self.chunks.front().map_or(self.end, |next| next.start);
        while self.entries.front().is_some_and(|entry| entry.position < start) {
            self.entries.pop_front();
        }
        self.hole = Hole::None;
        memory.give(part.chunk);
        freed
    }

    /// Makes an idle tail small: keeps no more than the last, partly filled block. All must be written.
    pub(crate) fn shrink(&mut self, memory: &mut TailMemory) {
        let keep = self.end - self.end % BLOCK_BYTES;
        self.capacity = CHUNK_BYTES_MIN;
        let block = match (&self.hole, self.chunks.back()) {
            (_, None) => return,
            (Hole::None, Some(last)) if last.start <= keep => {
                let mut block = memory.take(CHUNK_BYTES_MIN);
                for slice in self.slices(keep, self.end) {
                    block.append(&slice);
                }
                Some(block)
            }
            _ => None,
        };
        for part in std::mem::take(&mut self.chunks) {
            memory.give(part.chunk);
        }
        self.entries.clear();
        match block {
            Some(chunk) if !chunk.is_empty() => {
                self.chunks.push_back(TailChunk { start: keep, chunk });
                return;
            }
            Some(chunk) => memory.give(chunk),
            None => self.hole = Self::at(self.end).hole,
        }
        memory.tails -= 1;
    }

    /// Frees everything.
    pub(crate) fn clear(&mut self, memory: &mut TailMemory) {
        memory.tails -= usize::from(!self.chunks.is_empty());
        for part in std::mem::take(&mut self.chunks) {
            memory.give(part.chunk);
        }
        self.entries.clear();
    }
}

fn padded(mut block: Chunk) -> Slice {
    // A fresh chunk's spare bytes are zeros.
    block.advance(block.spare_len());
    block.freeze()
}

fn block_usize() -> usize {
    to_usize(BLOCK_BYTES)
}

pub(crate) fn to_u64(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

pub(crate) fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).expect("what is in memory fits the address space")
}
