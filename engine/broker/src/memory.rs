//! Memory for large frames: a budget of the shard, and chunks that are used again.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use ringlog_buffer::{Chunk, Slice};

use crate::event::Event;

/// Free chunks of one size that are kept.
const FREE_CHUNKS_PER_SIZE_MAX: usize = 8;
/// Chunks above this capacity are not kept: they are rare, and large.
const FREE_CHUNK_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Connections that may wait for memory; more are refused.
const WAITING_MAX: usize = 64 * 1024;

/// The budget that large frames of all connections of a shard share. Memory of a frame is counted until its request is
/// done; a frame that is larger than the whole budget is let in when nothing else is.
#[derive(Debug)]
pub(crate) struct FrameMemory {
    bytes_max: usize,
    used_bytes: Cell<usize>,
    waiting: RefCell<VecDeque<Rc<Event>>>,
    /// Indexed by the binary logarithm of the capacity.
    free: RefCell<Vec<Vec<Chunk>>>,
}

impl FrameMemory {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, used_bytes: Cell::new(0), waiting: RefCell::default(), free: RefCell::default() }
    }

    /// An empty chunk of at least `bytes` bytes of capacity; waits while the budget is used up. `None` when too many wait.
    pub(crate) async fn take(&self, bytes: usize) -> Option<Chunk> {
        let capacity = bytes.next_power_of_two();
        while !self.fits(capacity) {
            let event = Rc::new(Event::default());
            {
                let mut waiting = self.waiting.borrow_mut();
                if waiting.len() >= WAITING_MAX {
                    return None;
                }
                waiting.push_back(Rc::clone(&event));
            }
            event.wait().await;
        }
        let chunk = self.pop(capacity);
        self.used_bytes.set(self.used_bytes.get() + chunk.capacity());
        Some(chunk)
    }

    fn fits(&self, capacity: usize) -> bool {
        let used_bytes = self.used_bytes.get();
        used_bytes == 0 || used_bytes + capacity <= self.bytes_max
    }

    /// Gives `bytes` back to the budget.
    pub(crate) fn give_back(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        self.used_bytes.set(self.used_bytes.get() - bytes);
        // All are woken: the first may need more than there is, and those behind it less.
        for event in self.waiting.borrow_mut().drain(..) {
            event.ring();
        }
    }

    /// Keeps the memory of a frame for another one, if nobody else holds a part of it.
    pub(crate) fn recycle(&self, frame: Slice) {
        if frame.held_bytes() > FREE_CHUNK_BYTES_MAX {
            return;
        }
        if let Some(chunk) = frame.try_into_chunk() {
            let (mut free, size) = (self.free.borrow_mut(), size_class(chunk.capacity()));
            if free.len() <= size {
                free.resize_with(size + 1, Vec::new);
            }
            if chunk.capacity().is_power_of_two() && free[size].len() < FREE_CHUNKS_PER_SIZE_MAX {
                free[size].push(chunk);
            }
        }
    }

    fn pop(&self, capacity: usize) -> Chunk {
        let free = self.free.borrow_mut().get_mut(size_class(capacity)).and_then(Vec::pop);
        free.unwrap_or_else(|| Chunk::with_capacity(capacity))
    }
}

fn size_class(capacity: usize) -> usize {
    usize::try_from(capacity.ilog2()).expect("a logarithm is small")
}
