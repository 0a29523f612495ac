//! Memory for large frames: a budget of the shard, and chunks that are used again.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::task::{Poll, Waker};

use ringlog_buffer::{BLOCK_BYTES, Chunk, Slice};

#[cfg(test)]
mod tests;

/// Free chunks of one size that are kept.
const FREE_CHUNKS_PER_SIZE_MAX: usize = 8;
/// Chunks above this capacity are not kept: they are rare, and large.
const FREE_CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections that may wait for memory; more are refused.
const WAITING_MAX: usize = 64 * 1024;

/// The budget that large frames of all connections of a shard share. Memory of a frame is counted until its request is
/// done. A frame that grows gives up what it held.
///
/// Who comes first is served first, so that no frame waits for ever behind smaller ones; but frames that hold memory
/// already go before those that hold none, and those that hold the most before the others: only when they are whole does
/// their memory come back. And who is first in line is let in over the budget when those in line hold everything that is
/// in use, because waiting would bring nothing then. So a frame that is larger than the whole budget is let in when
/// nothing else is, frames that have half arrived do not block each other, and the budget is exceeded by one frame at a
/// time.
#[derive(Debug)]
pub(crate) struct FrameMemory {
    bytes_max: usize,
    used_bytes: Cell<usize>,
    line: RefCell<Line>,
    free: RefCell<FreeChunks>,
}

/// Who waits, in the order in which they are served.
#[derive(Debug, Default)]
struct Line {
    wakers: BTreeMap<Rank, Option<Waker>>,
    next: u64,
    /// Memory that those in line hold.
    held_bytes: usize,
}

/// A place in the order: by memory held, and within one by arrival.
type Rank = (Reverse<usize>, u64);

impl FrameMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used_bytes: Cell::new(0), line: RefCell::default(), free: RefCell::default() }
    }

    /// An empty chunk of at least `bytes` bytes of capacity, in the place of `held_bytes` bytes that were taken for the same
    /// frame before: those count as given back. Waits while the budget is used up. `None` when too many wait. Giving up the
    /// wait is fine; then what was held is held still.
    pub(crate) async fn take(&self, bytes: usize, held_bytes: usize) -> Option<Chunk> {
        let capacity = bytes.next_power_of_two().max(BLOCK_BYTES);
        let must_wait = !self.line.borrow().wakers.is_empty() || !self.fits(capacity, held_bytes);
        // Whoever is next looks when this place is given up, behind the count of what was taken.
        let _place = if must_wait { Some(self.wait(capacity, held_bytes).await?) } else { None };
        let chunk = self.pop(capacity);
        self.used_bytes.set(self.without(held_bytes) + chunk.capacity());
        Some(chunk)
    }

    async fn wait(&self, capacity: usize, held_bytes: usize) -> Option<Place<'_>> {
        let place = self.stand_in_line(held_bytes)?;
        // What this frame holds will not come back by itself any more: who was first so far may go ahead for that reason.
        self.wake_first();
        poll_fn(|context| {
            let mut line = self.line.borrow_mut();
            let may_go = self.fits(capacity, held_bytes) || line.held_bytes == self.used_bytes.get();
            if line.first() == Some(place.rank) && may_go {
                return Poll::Ready(());
            }
            line.wakers.insert(place.rank, Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        Some(place)
    }

    fn stand_in_line(&self, held_bytes: usize) -> Option<Place<'_>> {
        let mut line = self.line.borrow_mut();
        if line.wakers.len() >= WAITING_MAX {
            return None;
        }
        let rank = (Reverse(held_bytes), line.next);
        line.next += 1;
        line.held_bytes += held_bytes;
        line.wakers.insert(rank, None);
        Some(Place { memory: self, rank })
    }

    fn fits(&self, capacity: usize, held_bytes: usize) -> bool {
        let of_others = self.without(held_bytes);
        of_others == 0 || of_others + capacity <= self.bytes_max
    }

    fn without(&self, held_bytes: usize) -> usize {
        self.used_bytes.get().checked_sub(held_bytes).expect("what is held was taken before")
    }

    /// Bytes in use, and how many there are.
    pub(crate) fn usage(&self) -> (usize, usize) {
        (self.used_bytes.get(), self.bytes_max)
    }

    /// Gives `bytes` back to the budget.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.used_bytes.set(self.without(bytes));
            self.wake_first();
        }
    }

    fn wake_first(&self) {
        let waker = self.line.borrow_mut().wakers.first_entry().and_then(|mut first| first.get_mut().take());
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Keeps the memory of a frame for another one, if nobody else holds a part of it. The frame still counts.
    pub(crate) fn recycle(&self, frame: Slice) {
        if frame.held_bytes() > FREE_CHUNK_BYTES_MAX {
            return;
        }
        let mut free = self.free.borrow_mut();
        // Free chunks have the part of the budget that nobody uses.
        if self.used_bytes.get() + free.bytes <= self.bytes_max
            && let Some(chunk) = frame.try_into_chunk()
        {
            free.push(chunk);
        }
    }

    fn pop(&self, capacity: usize) -> Chunk {
        let mut free = self.free.borrow_mut();
        if let Some(chunk) = free.pop(capacity) {
            return chunk;
        }
        free.shrink_to(self.bytes_max.saturating_sub(self.used_bytes.get() + capacity));
        Chunk::with_capacity(capacity)
    }
}

impl Line {
    fn first(&self) -> Option<Rank> {
        self.wakers.first_key_value().map(|(rank, _)| *rank)
    }
}

/// A place in the line. When it is given up, the next one has its turn.
#[derive(Debug)]
struct Place<'a> {
    memory: &'a FrameMemory,
    rank: Rank,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut line = self.memory.line.borrow_mut();
        line.wakers.remove(&self.rank);
        line.held_bytes -= self.rank.0.0;
        drop(line);
        self.memory.wake_first();
    }
}

/// Chunks to be used again. Their capacities are powers of two.
#[derive(Debug, Default)]
struct FreeChunks {
    by_capacity: BTreeMap<usize, Vec<Chunk>>,
    bytes: usize,
}

impl FreeChunks {
    fn push(&mut self, chunk: Chunk) {
        let capacity = chunk.capacity();
        let of_size = self.by_capacity.entry(capacity).or_default();
        if capacity.is_power_of_two() && of_size.len() < FREE_CHUNKS_PER_SIZE_MAX {
            of_size.push(chunk);
            self.bytes += capacity;
        }
    }

    fn pop(&mut self, capacity: usize) -> Option<Chunk> {
        let chunk = self.by_capacity.get_mut(&capacity)?.pop()?;
        self.bytes -= capacity;
        Some(chunk)
    }

    /// Frees the largest ones until at most `bytes_max` bytes are left.
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(mut largest) = self.by_capacity.last_entry()
        {
            match largest.get_mut().pop() {
                Some(chunk) => self.bytes -= chunk.capacity(),
                None => drop(largest.remove()),
            }
        }
    }
}
