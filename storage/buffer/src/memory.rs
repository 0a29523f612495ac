//! Where the bytes of chunks lie.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

/// Alignment of every allocation, in bytes: what `O_DIRECT` asks of memory, file offsets and lengths.
pub const BLOCK_BYTES: usize = 4096;
/// The largest capacity of one chunk, in bytes.
pub const CAPACITY_BYTES_MAX: usize = 1 << 30;
/// From this capacity on memory is aligned to huge pages and asks for them: one fault, one entry of the processor's
/// translation cache, and one page to hold for a disk's write, where there are 512 otherwise.
pub const HUGE_PAGE_BYTES: usize = 2 << 20;
/// From this capacity on memory that is not to be touched comes from the system and not from the allocator, which would fill
/// it with zeros at once.
const MAPPED_BYTES_MIN: usize = 64 << 10;

/// One aligned, zero-initialised allocation, or a part of one. Its bytes are always initialised, so handing out `&mut [u8]`
/// of what lies behind the writer's position is sound.
pub(crate) struct Memory {
    start: NonNull<u8>,
    capacity: usize,
    origin: Origin,
}

/// Where a [`Memory`] goes in the end.
enum Origin {
    Allocator,
    /// Pages of the system.
    Mapped,
    /// A part of one that goes when its last part does.
    Part {
        _whole: Arc<Memory>,
    },
}

// SAFETY: a `Memory` owns its bytes, and a part shares none with another part. Who may read or write which part is decided by `Chunk` and `Slice`: only the
// one `Chunk` writes, only at or behind its `len`, and every `Slice` lies wholly before it.
unsafe impl Send for Memory {}
// SAFETY: as above; shared access reads only bytes before the writer's `len`, which never change any more.
unsafe impl Sync for Memory {}

impl Memory {
    /// Memory for `capacity` bytes, which must be a positive number of whole blocks, at most [`CAPACITY_BYTES_MAX`].
    pub(crate) fn new(capacity: usize) -> Self {
        Self::made(capacity, capacity >= HUGE_PAGE_BYTES)
    }

    /// The same for what is used again and again: nothing of it is touched, and takes time, before it is used.
    pub(crate) fn untouched(capacity: usize) -> Self {
        Self::made(capacity, capacity >= MAPPED_BYTES_MIN)
    }

    fn made(capacity: usize, mapped: bool) -> Self {
        assert!(capacity > 0 && capacity.is_multiple_of(BLOCK_BYTES) && capacity <= CAPACITY_BYTES_MAX);
        let start = if mapped { map(capacity) } else { allocate(capacity) };
        let Some(start) = start else { handle_alloc_error(layout(capacity)) };
        Self { start, capacity, origin: if mapped { Origin::Mapped } else { Origin::Allocator } }
    }

    /// The memory in parts of this capacity, which must be whole blocks; what remains is not used.
    pub(crate) fn into_parts(self, capacity: usize) -> impl Iterator<Item = Self> {
        assert!(capacity > 0 && capacity.is_multiple_of(BLOCK_BYTES));
        let whole = Arc::new(self);
        (0..whole.capacity / capacity).map(move |at| {
            // SAFETY: the part ends within the whole, since `at` is less than the number of parts that fit.
            let start = unsafe { whole.start.add(at * capacity) };
            Self { start, capacity, origin: Origin::Part { _whole: Arc::clone(&whole) } }
        })
    }

    pub(crate) fn start(&self) -> *mut u8 {
        self.start.as_ptr()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.capacity
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let start = self.start.as_ptr();
        match self.origin {
            // SAFETY: allocated in `made` with the same layout, and freed once, when its last owner goes.
            Origin::Allocator => unsafe { dealloc(start, layout(self.capacity)) },
            // SAFETY: mapped in `made`, these bytes and no others, and unmapped once, when its last owner goes.
            Origin::Mapped => unsafe { unmap(start, self.capacity) },
            Origin::Part { .. } => {}
        }
    }
}

fn layout(capacity: usize) -> Layout {
    Layout::from_size_align(capacity, BLOCK_BYTES).expect("a capacity is at most CAPACITY_BYTES_MAX")
}

fn allocate(capacity: usize) -> Option<NonNull<u8>> {
    // SAFETY: `Memory::made` never asks for zero bytes.
    NonNull::new(unsafe { alloc_zeroed(layout(capacity)) })
}

/// Fresh pages of the system, which are zeros until they are written.
fn map(capacity: usize) -> Option<NonNull<u8>> {
    // A mapping begins at any page: the huge page within is what is kept of a longer one.
    let is_huge = capacity >= HUGE_PAGE_BYTES;
    let alignment = if is_huge { HUGE_PAGE_BYTES } else { BLOCK_BYTES };
    let mapped_bytes = if is_huge { capacity + HUGE_PAGE_BYTES } else { capacity };
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the system chooses the place, so nothing that exists is mapped over.
    let mapped = unsafe { mmap_anonymous(null_mut(), mapped_bytes, protection, MapFlags::PRIVATE) }.ok()?;
    let mapped = mapped.cast::<u8>();
    let before = mapped.align_offset(alignment);
    let behind = mapped_bytes - before - capacity;
    // SAFETY: `before` is less than what was mapped beyond `capacity`, or nothing, so `before + capacity` bytes lie within the mapping; both ends are whole
    // pages of it that nobody has a pointer to.
    let start = unsafe {
        let start = mapped.add(before);
        unmap(mapped, before);
        unmap(start.add(capacity), behind);
        start
    };
    if is_huge {
        // SAFETY: these are pages of the mapping. A system without huge pages says so, and goes on with small ones.
        let _ = unsafe { madvise(start.cast(), capacity, Advice::LinuxHugepage) };
    }
    NonNull::new(start)
}

/// # Safety
///
/// `start` begins `bytes` bytes of whole pages that were mapped and that nobody uses any more.
unsafe fn unmap(start: *mut u8, bytes: usize) {
    if bytes > 0 {
        // SAFETY: as the caller promises.
        let unmapped = unsafe { munmap(start.cast(), bytes) };
        unmapped.expect("what was mapped can be unmapped");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_every_size_is_aligned_and_zeroed() {
        let sizes = [
            BLOCK_BYTES,
            MAPPED_BYTES_MIN,
            HUGE_PAGE_BYTES - BLOCK_BYTES,
            HUGE_PAGE_BYTES,
            3 * HUGE_PAGE_BYTES + BLOCK_BYTES,
        ];
        for capacity in sizes {
            let alignment = if capacity < HUGE_PAGE_BYTES { BLOCK_BYTES } else { HUGE_PAGE_BYTES };
            let all = [Memory::new, Memory::untouched, Memory::new].map(|make| make(capacity));
            for memory in &all {
                assert_eq!(memory.start().align_offset(alignment), 0);
                // SAFETY: the test alone has the memory, and it is initialised.
                let bytes = unsafe { std::slice::from_raw_parts_mut(memory.start(), memory.capacity()) };
                assert!(bytes.iter().all(|byte| *byte == 0));
                bytes.fill(7);
            }
        }
    }
}
