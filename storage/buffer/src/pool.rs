//! Memory that is used again: what the system gives is handed out page by page, zeroed, at a cost that shows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::Chunk;
use crate::memory::{BLOCK_BYTES, Memory};

/// What is smaller than this is a part of an allocation: aligned to blocks, small ones one by one would leave as much between
/// them as they hold.
const WHOLE_BYTES_MIN: usize = 16 * 1024;
/// Bytes of an allocation that is handed out in parts.
const PARTED_BYTES: usize = 256 * 1024;
/// What is handed out is at most this many times what was asked for.
const EXCESS_FACTOR_MAX: usize = 2;

/// As many of those that came back last are looked at for one that fits.
const LOOKS_MAX: usize = 64;

/// Hands out chunks, and keeps their memory for the next ones when the last slice of them has gone, wherever that is.
/// Bytes of the spare part of such a chunk are whatever was there before.
#[derive(Debug)]
pub struct Pool(Arc<Shelf>);

impl Pool {
    /// A pool that keeps at most `bytes_max` bytes which nobody uses.
    pub fn new(bytes_max: usize) -> Self {
        Self(Arc::new(Shelf { bytes_max, free: Mutex::default() }))
    }

    /// An empty chunk of at least `capacity` bytes.
    pub fn chunk(&self, capacity: usize) -> Chunk {
        let capacity = capacity.max(1).next_multiple_of(BLOCK_BYTES);
        let memory = self.0.take(capacity).unwrap_or_else(|| self.0.make(capacity));
        Chunk::over(memory, Some(Arc::clone(&self.0)))
    }

    /// Bytes that nobody uses.
    pub fn free_bytes(&self) -> usize {
        self.0.lock().bytes
    }

    /// Gives back to the system what nobody has used since the last call.
    pub fn trim(&self) {
        let mut free = self.0.lock();
        let used = free.bytes - free.bytes_min;
        free.shrink_to(used);
        free.bytes_min = free.bytes;
    }
}

/// Where memory waits for its next use.
pub(crate) struct Shelf {
    bytes_max: usize,
    free: Mutex<Free>,
}

/// In the order in which it came back. What nobody asks for leaves at the front.
#[derive(Default)]
struct Free {
    memory: VecDeque<Memory>,
    bytes: usize,
    /// The fewest bytes since the pool was trimmed.
    bytes_min: usize,
}

impl Free {
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max
            && let Some(oldest) = self.memory.pop_front()
        {
            self.bytes -= oldest.capacity();
        }
        self.bytes_min = self.bytes_min.min(self.bytes);
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Free> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The memory that was used last, of those that fit: it is the likeliest to be in a cache.
    fn take(&self, capacity: usize) -> Option<Memory> {
        let mut free = self.lock();
        let fitting = capacity..=capacity.saturating_mul(EXCESS_FACTOR_MAX).next_multiple_of(BLOCK_BYTES);
        let from = free.memory.len().saturating_sub(LOOKS_MAX);
        let at = free.memory.range(from..).rposition(|memory| fitting.contains(&memory.capacity()))?;
        let memory = free.memory.remove(from + at)?;
        free.bytes -= memory.capacity();
        free.bytes_min = free.bytes_min.min(free.bytes);
        Some(memory)
    }

    /// Fresh memory; if that is much more than is wanted, what remains is for those who ask next.
    fn make(&self, capacity: usize) -> Memory {
        if capacity >= WHOLE_BYTES_MIN || self.bytes_max < PARTED_BYTES {
            return Memory::untouched(capacity);
        }
        let mut parts = Memory::untouched(PARTED_BYTES).into_parts(capacity);
        let first = parts.next().expect("more than one fits");
        parts.for_each(|part| self.put(part));
        first
    }

    pub(crate) fn put(&self, memory: Memory) {
        if memory.capacity() > self.bytes_max {
            return;
        }
        let mut free = self.lock();
        free.bytes += memory.capacity();
        free.memory.push_back(memory);
        free.shrink_to(self.bytes_max);
    }
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("bytes_max", &self.bytes_max).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn memory_comes_back_when_its_last_slice_goes() {
        let pool = Pool::new(256 * KIB);
        let mut chunk = pool.chunk(100 * KIB);
        let address = chunk.as_ptr();
        chunk.append(b"abc");
        let slice = chunk.slice(1..2);
        drop(chunk);
        assert_eq!(pool.free_bytes(), 0, "a slice still reads it");
        let reader = std::thread::spawn(move || slice.to_vec());
        assert_eq!(reader.join().expect("the reader ends"), b"b");
        assert_eq!(pool.free_bytes(), 100 * KIB);
        let again = pool.chunk(60 * KIB);
        assert_eq!((again.as_ptr(), again.len(), again.capacity()), (address, 0, 100 * KIB));
        assert_eq!(pool.free_bytes(), 0);
    }

    #[test]
    fn a_small_need_does_not_take_large_memory() {
        let pool = Pool::new(1024 * KIB);
        drop(pool.chunk(256 * KIB));
        assert_eq!(pool.chunk(120 * KIB).capacity(), 120 * KIB);
        assert_eq!(pool.chunk(120 * KIB).capacity(), 120 * KIB, "the one that was used last");
        assert_eq!(pool.chunk(128 * KIB).capacity(), 256 * KIB);
    }

    #[test]
    fn small_memory_is_made_many_at_a_time() {
        let pool = Pool::new(1024 * KIB);
        let mut chunks: Vec<Chunk> = (0..64).map(|_| pool.chunk(4 * KIB)).collect();
        assert_eq!(pool.free_bytes(), 0, "one allocation was just enough");
        for (at, chunk) in (0..).zip(&mut chunks) {
            chunk.spare_mut().fill(at);
        }
        for (at, chunk) in (0..).zip(&mut chunks) {
            assert!(chunk.spare_mut().iter().all(|byte| *byte == at), "chunk {at} shares its bytes");
        }
        let other = pool.chunk(5 * KIB);
        assert_eq!((other.capacity(), pool.free_bytes()), (8 * KIB, 248 * KIB));
        drop(chunks);
        assert_eq!(pool.free_bytes(), 504 * KIB);
        let bounded = Pool::new(16 * KIB);
        drop(bounded.chunk(1));
        assert_eq!(bounded.free_bytes(), 4 * KIB, "a small pool has no more than was asked for");
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_oldest_goes_first() {
        let pool = Pool::new(256 * KIB);
        let chunks = [64, 128, 192].map(|kib| pool.chunk(kib * KIB));
        drop(chunks);
        assert_eq!(pool.free_bytes(), 192 * KIB);
        pool.trim();
        drop(pool.chunk(512 * KIB));
        assert_eq!(pool.free_bytes(), 192 * KIB, "what is larger than the pool is not kept");
        let chunk = pool.chunk(192 * KIB);
        drop(pool);
        drop(chunk);
    }

    #[test]
    fn what_was_not_used_since_the_last_time_is_given_back() {
        let pool = Pool::new(1024 * KIB);
        drop([64, 64, 64].map(|kib| pool.chunk(kib * KIB)));
        pool.trim();
        assert_eq!(pool.free_bytes(), 192 * KIB, "all of it was in use a moment ago");
        drop([64, 64].map(|kib| pool.chunk(kib * KIB)));
        pool.trim();
        assert_eq!(pool.free_bytes(), 128 * KIB);
        let used = pool.chunk(64 * KIB);
        pool.trim();
        assert_eq!(pool.free_bytes(), 0, "what is used is not there, what is there was not used");
        drop(used);
        pool.trim();
        assert_eq!(pool.free_bytes(), 64 * KIB);
        pool.trim();
        assert_eq!(pool.free_bytes(), 0);
    }

    #[test]
    fn memory_that_was_taken_back_for_writing_keeps_its_home() {
        let pool = Pool::new(256 * KIB);
        let chunk = pool.chunk(64 * KIB).freeze().try_into_chunk().expect("there is one owner");
        drop(chunk);
        assert_eq!(pool.free_bytes(), 64 * KIB);
    }
}
