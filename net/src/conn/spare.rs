//! Chunks that no connection needs just now. A connection with nothing under way keeps none, so that thousands of idle
//! ones cost little; and those that are busy in turn use the same few, which stay warm in the core's cache.

use std::cell::RefCell;
use std::rc::Rc;

use ringlog_buffer::Chunk;

/// Bytes of chunks that are kept for all connections that share them.
const SPARE_BYTES_MAX: usize = 4 * 1024 * 1024;
/// As many of those that came back last are looked at for one that is large enough.
const LOOKS_MAX: usize = 8;

/// Chunks that connections of one shard share. Cloning shares them too.
#[derive(Clone, Default, Debug)]
pub struct SpareChunks(Rc<RefCell<Spare>>);

#[derive(Default, Debug)]
struct Spare {
    chunks: Vec<Chunk>,
    bytes: usize,
}

impl SpareChunks {
    /// A chunk with at least `bytes` of room, if one of those that came back last has as much.
    pub(super) fn take(&self, bytes: usize) -> Option<Chunk> {
        let mut spare = self.0.borrow_mut();
        let at = spare.chunks.iter().rev().take(LOOKS_MAX).position(|chunk| chunk.capacity() >= bytes)?;
        let at = spare.chunks.len() - 1 - at;
        let chunk = spare.chunks.swap_remove(at);
        spare.bytes -= chunk.capacity();
        Some(chunk)
    }

    /// Keeps the chunk for others, unless a slice of it is still in use: then it stays where it is.
    pub(super) fn give(&self, chunk: &mut Option<Chunk>) {
        let Some(chunk) = chunk.take_if(Chunk::try_clear) else { return };
        let mut spare = self.0.borrow_mut();
        if spare.bytes + chunk.capacity() <= SPARE_BYTES_MAX {
            spare.bytes += chunk.capacity();
            spare.chunks.push(chunk);
        }
    }

    /// Bytes of chunks that wait for a connection.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.0.borrow().bytes
    }
}
