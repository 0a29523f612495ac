//! Memory that is used again: what the system gives is handed out page by page, zeroed, at a cost that shows.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::{BLOCK_BYTES, Chunk, Memory};

/// Memory smaller than this is not kept: the allocator is good at it.
const KEPT_BYTES_MIN: usize = 16 * 1024;
/// What is handed out is at most this many times what was asked for.
const EXCESS_FACTOR_MAX: usize = 2;

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
        if capacity < KEPT_BYTES_MIN {
            return Chunk::with_capacity(capacity);
        }
        match self.0.take(capacity) {
            Some(memory) => Chunk::over(memory, Some(Arc::clone(&self.0))),
            None => Chunk::over(Memory::new(capacity.next_multiple_of(BLOCK_BYTES)), Some(Arc::clone(&self.0))),
        }
    }

    /// Bytes that nobody uses.
    pub fn free_bytes(&self) -> usize {
        self.0.free.lock().unwrap_or_else(PoisonError::into_inner).bytes
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
}

impl Shelf {
    /// The memory that was used last, of those that fit: it is the likeliest to be in a cache.
    fn take(&self, capacity: usize) -> Option<Memory> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = capacity..=capacity.saturating_mul(EXCESS_FACTOR_MAX).next_multiple_of(BLOCK_BYTES);
        let at = free.memory.iter().rposition(|memory| fitting.contains(&memory.capacity))?;
        let memory = free.memory.remove(at)?;
        free.bytes -= memory.capacity;
        Some(memory)
    }

    pub(crate) fn put(&self, memory: Memory) {
        if memory.capacity > self.bytes_max {
            return;
        }
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.bytes += memory.capacity;
        free.memory.push_back(memory);
        while free.bytes > self.bytes_max
            && let Some(oldest) = free.memory.pop_front()
        {
            free.bytes -= oldest.capacity;
        }
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
        drop(pool.chunk(KEPT_BYTES_MIN - 1));
        assert_eq!(pool.free_bytes(), 376 * KIB, "what is small is not kept");
    }

    #[test]
    fn what_is_kept_has_a_bound_and_the_oldest_goes_first() {
        let pool = Pool::new(256 * KIB);
        let chunks = [64, 128, 192].map(|kib| pool.chunk(kib * KIB));
        drop(chunks);
        assert_eq!(pool.free_bytes(), 192 * KIB);
        drop(pool.chunk(512 * KIB));
        assert_eq!(pool.free_bytes(), 192 * KIB, "what is larger than the pool is not kept");
        let chunk = pool.chunk(192 * KIB);
        drop(pool);
        drop(chunk);
    }

    #[test]
    fn memory_that_was_taken_back_for_writing_keeps_its_home() {
        let pool = Pool::new(256 * KIB);
        let chunk = pool.chunk(64 * KIB).freeze().try_into_chunk().expect("there is one owner");
        drop(chunk);
        assert_eq!(pool.free_bytes(), 64 * KIB);
    }
}
