//! Memory that crosses the layers: received frames, tail chunks of partitions, blocks on their way to a disk.
//!
//! A [`Chunk`] is one 4096-aligned allocation with one writer. What the writer has appended can be shared as
//! [`Slice`]s while the writer goes on appending behind it: a partition's tail serves fetches from the very bytes
//! that the next produce request is appended after, with no copy and no lock.
//!
//! This crate is the one place outside the reactor with `unsafe`: `bytes::BytesMut` can split a tail off in the same
//! way, but promises no alignment, and `O_DIRECT` wants it.
#![warn(missing_docs)]

mod memory;
mod pool;
mod stream;

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use memory::Memory;
pub use memory::{BLOCK_BYTES, CAPACITY_BYTES_MAX, HUGE_PAGE_BYTES};
pub use pool::Pool;
use pool::Shelf;

/// Memory that a chunk and its slices share. When the last of them goes, it goes back to where it came from.
struct Block {
    /// `None` only while the block is dropped.
    memory: Option<Memory>,
    shelf: Option<Arc<Shelf>>,
}

impl Block {
    fn memory(&self) -> &Memory {
        self.memory.as_ref().expect("a block has its memory until it is dropped")
    }

    fn start(&self) -> *mut u8 {
        self.memory().start()
    }

    fn capacity(&self) -> usize {
        self.memory().capacity()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Some(shelf), Some(memory)) = (&self.shelf, self.memory.take()) {
            shelf.put(memory);
        }
    }
}

/// An aligned buffer with one writer. Bytes before [`len`](Self::len) are written and may be shared; the rest is spare.
pub struct Chunk {
    block: Arc<Block>,
    len: usize,
}

impl Chunk {
    /// A chunk of at least `capacity` bytes, rounded up to whole blocks. Panics over [`CAPACITY_BYTES_MAX`]: sizes that
    /// come from outside are checked against a limit of their own long before.
    pub fn with_capacity(capacity: usize) -> Self {
        assert!(capacity <= CAPACITY_BYTES_MAX, "a chunk of {capacity} bytes is over the limit");
        Self::over(Memory::new(capacity.max(1).next_multiple_of(BLOCK_BYTES)), None)
    }

    fn over(memory: Memory, shelf: Option<Arc<Shelf>>) -> Self {
        Self { block: Arc::new(Block { memory: Some(memory), shelf }), len: 0 }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is written yet.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes that the allocation holds.
    pub fn capacity(&self) -> usize {
        self.block.capacity()
    }

    /// Bytes that still fit.
    pub fn spare_len(&self) -> usize {
        self.capacity() - self.len
    }

    /// The part behind what is written. Fill a prefix of it, then [`advance`](Self::advance) over that prefix.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        let (start, len) = (self.block.start(), self.spare_len());
        // SAFETY: the range lies inside the allocation, is initialised, and no `Slice` reaches into it: slices end at
        // or before `len`. `&mut self` excludes a second writer.
        unsafe { std::slice::from_raw_parts_mut(start.add(self.len), len) }
    }

    /// Counts the next `bytes` of the spare part as written. Panics if there are fewer.
    pub fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.spare_len(), "advance by {bytes} over a spare part of {}", self.spare_len());
        self.len += bytes;
    }

    /// Appends `bytes`. Panics if they do not fit: callers look at [`spare_len`](Self::spare_len) first.
    pub fn append(&mut self, bytes: &[u8]) {
        self.spare_mut()[..bytes.len()].copy_from_slice(bytes);
        self.advance(bytes.len());
    }

    /// The same past the processor's caches: for large bytes that are read by a device next, or by nobody for a while.
    pub fn append_uncached(&mut self, bytes: &[u8]) {
        stream::copy(&mut self.spare_mut()[..bytes.len()], bytes);
        self.advance(bytes.len());
    }

    /// Shares a part of what is written. Panics if `range` is not within `0..len`.
    pub fn slice(&self, range: Range<usize>) -> Slice {
        assert!(range.start <= range.end && range.end <= self.len, "slice {range:?} of {} bytes", self.len);
        Slice { block: Some(Arc::clone(&self.block)), start: range.start, len: range.end - range.start }
    }

    /// Turns all that is written into a slice; the spare part can no longer be written.
    pub fn freeze(self) -> Slice {
        self.slice(0..self.len)
    }

    /// Makes the whole chunk spare again, if no slice of it is left. Answers whether it did.
    pub fn try_clear(&mut self) -> bool {
        let alone = Arc::get_mut(&mut self.block).is_some();
        if alone {
            self.len = 0;
        }
        alone
    }

    /// Address of the first byte, for the reactor's operations.
    pub fn as_ptr(&self) -> *const u8 {
        self.block.start()
    }
}

impl Deref for Chunk {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: bytes before `len` are initialised, inside the allocation, and written by nobody any more.
        unsafe { std::slice::from_raw_parts(self.block.start(), self.len) }
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} of {} bytes)", self.len, self.capacity())
    }
}

impl From<&[u8]> for Slice {
    fn from(bytes: &[u8]) -> Self {
        let mut chunk = Chunk::with_capacity(bytes.len());
        chunk.append(bytes);
        chunk.freeze()
    }
}

/// A shared, immutable part of a [`Chunk`]. Cloning counts a reference; the memory goes when the last one does.
#[derive(Clone, Default)]
pub struct Slice {
    block: Option<Arc<Block>>,
    start: usize,
    len: usize,
}

impl Slice {
    /// A part of this slice, sharing the same memory. Panics if `range` is not within `0..len`.
    #[must_use]
    pub fn slice(&self, range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= self.len, "slice {range:?} of {} bytes", self.len);
        Self { block: self.block.clone(), start: self.start + range.start, len: range.end - range.start }
    }

    /// Bytes of memory that this slice keeps alive: its chunk's capacity.
    pub fn held_bytes(&self) -> usize {
        self.block.as_ref().map_or(0, |block| block.capacity())
    }

    /// Takes the memory back for writing, if this is its only owner.
    pub fn try_into_chunk(self) -> Option<Chunk> {
        let mut block = self.block?;
        Arc::get_mut(&mut block)?;
        Some(Chunk { block, len: 0 })
    }
}

impl Deref for Slice {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let Some(block) = &self.block else { return &[] };
        // SAFETY: made by `Chunk::slice` within the written part, which is initialised and never written again while a
        // slice of it lives: the writer starts anew only after `Arc::get_mut` has shown that there is none.
        unsafe { std::slice::from_raw_parts(block.start().add(self.start), self.len) }
    }
}

impl fmt::Debug for Slice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice({} bytes)", self.len)
    }
}

impl PartialEq for Slice {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Slice {}

impl AsRef<[u8]> for Slice {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_keeps_its_bytes_while_the_writer_goes_on() {
        let mut chunk = Chunk::with_capacity(1);
        assert_eq!(chunk.capacity(), BLOCK_BYTES);
        assert_eq!(chunk.as_ptr().align_offset(BLOCK_BYTES), 0);
        chunk.append(b"first");
        let first = chunk.slice(0..5);
        chunk.append(b"second");
        assert_eq!(&*first, b"first");
        assert_eq!(&*chunk.slice(5..11), b"second");
        assert!(!chunk.try_clear(), "a slice still reads it");
        drop(first);
        assert!(chunk.try_clear());
        assert_eq!(chunk.spare_len(), BLOCK_BYTES);
    }

    #[test]
    fn a_reader_on_another_thread_sees_what_was_written_before_it_got_the_slice() {
        let mut chunk = Chunk::with_capacity(64 * BLOCK_BYTES);
        let (send, receive) = std::sync::mpsc::channel::<Slice>();
        let reader = std::thread::spawn(move || {
            receive.iter().map(|s| s.iter().map(|b| u64::from(*b)).sum::<u64>()).sum::<u64>()
        });
        for _ in 0..1000 {
            let from = chunk.len();
            chunk.append(&[1; 100]);
            send.send(chunk.slice(from..from + 100)).expect("the reader is there");
        }
        drop(send);
        assert_eq!(reader.join().expect("the reader ends"), 100_000);
    }

    #[test]
    fn memory_comes_back_only_to_its_last_owner() {
        let slice = Slice::from(&b"abc"[..]);
        let other = slice.slice(1..2);
        assert!(slice.try_into_chunk().is_none());
        assert_eq!(&*other, b"b");
        assert_eq!(other.try_into_chunk().map(|c| c.spare_len()), Some(BLOCK_BYTES));
    }

    #[test]
    #[should_panic(expected = "slice 0..1 of 0 bytes")]
    fn nothing_unwritten_can_be_shared() {
        let _ = Chunk::with_capacity(10).slice(0..1);
    }
}
