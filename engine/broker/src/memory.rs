//! Memory for large frames: a budget of the shard, and chunks that are used again.

use std::cell::{Cell, RefCell};
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
/// done; a frame that is larger than the whole budget is let in when nothing else is. Who comes first is served first,
/// so that no frame waits for ever behind smaller ones.
#[derive(Debug)]
pub(crate) struct FrameMemory {
    bytes_max: usize,
    used_bytes: Cell<usize>,
    line: RefCell<Line>,
    free: RefCell<FreeChunks>,
}

/// Who waits, in the order of arrival.
#[derive(Debug, Default)]
struct Line {
    wakers: BTreeMap<u64, Option<Waker>>,
    next: u64,
}

impl FrameMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used_bytes: Cell::new(0), line: RefCell::default(), free: RefCell::default() }
    }

    /// An empty chunk of at least `bytes` bytes of capacity; waits while the budget is used up. `None` when too many wait.
    /// Giving up the wait is fine.
    pub(crate) async fn take(&self, bytes: usize) -> Option<Chunk> {
        let capacity = bytes.next_power_of_two().max(BLOCK_BYTES);
        let must_wait = !self.line.borrow().wakers.is_empty() || !self.fits(capacity);
        // Whoever is next looks when this place is given up, behind the count of what was taken.
        let _place = if must_wait { Some(self.wait(capacity).await?) } else { None };
        let chunk = self.pop(capacity);
        self.used_bytes.set(self.used_bytes.get() + chunk.capacity());
        Some(chunk)
    }

    async fn wait(&self, capacity: usize) -> Option<Place<'_>> {
        let place = self.stand_in_line()?;
        poll_fn(|context| {
            let mut line = self.line.borrow_mut();
            if line.first() == Some(place.number) && self.fits(capacity) {
                return Poll::Ready(());
            }
            line.wakers.insert(place.number, Some(context.waker().clone()));
            Poll::Pending
        })
        .await;
        Some(place)
    }

    fn stand_in_line(&self) -> Option<Place<'_>> {
        let mut line = self.line.borrow_mut();
        if line.wakers.len() >= WAITING_MAX {
            return None;
        }
        let number = line.next;
        line.next += 1;
        line.wakers.insert(number, None);
        Some(Place { memory: self, number })
    }

    fn fits(&self, capacity: usize) -> bool {
        let used_bytes = self.used_bytes.get();
        used_bytes == 0 || used_bytes + capacity <= self.bytes_max
    }

    /// Gives `bytes` back to the budget.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            let left = self.used_bytes.get().checked_sub(bytes);
            self.used_bytes.set(left.expect("no more comes back than was taken"));
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
    fn first(&self) -> Option<u64> {
        self.wakers.first_key_value().map(|(number, _)| *number)
    }
}

/// A place in the line. When it is given up, the next one has its turn.
#[derive(Debug)]
struct Place<'a> {
    memory: &'a FrameMemory,
    number: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.memory.line.borrow_mut().wakers.remove(&self.number);
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
