//! The pool of receive buffers that the connections of one shard share, and what arrives in them.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;

use ringlog_buffer::Chunk;

use crate::limits::Limits;

/// Buffers of equal size in one allocation. Who takes one gives it back by dropping its [`Received`].
pub(crate) struct ReceivePool {
    /// Never read or written as a chunk: it only owns the memory, whose pages come into being when they are touched.
    memory: Chunk,
    buffer_bytes: usize,
    free: RefCell<Vec<u16>>,
    /// Buffers given back since the backend looked last.
    returned: Cell<usize>,
    /// Bytes that have left the pool for memory of their own and are not dropped yet.
    spilled_bytes: Cell<usize>,
}

impl ReceivePool {
    pub(crate) fn new(limits: &Limits) -> Rc<Self> {
        limits.assert_possible();
        let count = limits.receive_buffers;
        let buffer_bytes = usize::try_from(limits.receive_buffer_bytes).expect("32 bits fit");
        Rc::new(Self {
            memory: Chunk::with_capacity(buffer_bytes * usize::from(count)),
            buffer_bytes,
            free: RefCell::new((0..count).rev().collect()),
            returned: Cell::new(0),
            spilled_bytes: Cell::new(0),
        })
    }

    pub(crate) fn buffer_bytes(&self) -> usize {
        self.buffer_bytes
    }

    /// Takes a free buffer. Its holder is the only one who touches its memory, until `give_back`.
    pub(crate) fn take(&self) -> Option<u16> {
        self.free.borrow_mut().pop()
    }

    pub(crate) fn give_back(&self, index: u16) {
        self.free.borrow_mut().push(index);
        self.returned.set(self.returned.get() + 1);
    }

    /// Buffers given back since the last call.
    pub(crate) fn take_returned(&self) -> usize {
        self.returned.take()
    }

    /// Whether received bytes live outside of the pool because it ran empty. Until they are gone, nothing should be
    /// received that nobody waits for.
    pub(crate) fn is_spilled(&self) -> bool {
        self.spilled_bytes.get() > 0
    }

    /// Address of a buffer: only its holder may write through it.
    pub(crate) fn address(&self, index: u16) -> *mut u8 {
        let at = usize::from(index) * self.buffer_bytes;
        assert!(at + self.buffer_bytes <= self.memory.capacity(), "buffer {index} lies outside the pool");
        // SAFETY: `at` lies inside the allocation, as just checked.
        unsafe { self.memory.as_ptr().cast_mut().add(at) }
    }

    /// Lets `receive` fill a free buffer, which it answers the number of bytes of. `None` when no buffer is free.
    pub(crate) fn fill<E>(
        self: &Rc<Self>,
        receive: impl FnOnce(&mut [u8]) -> Result<(usize, usize), E>,
    ) -> Option<Result<Received, E>> {
        let index = self.take()?;
        // SAFETY: the buffer was just taken, so nobody else reads or writes it; the pool's memory is initialised.
        let buffer = unsafe { std::slice::from_raw_parts_mut(self.address(index), self.buffer_bytes) };
        let result = receive(buffer);
        if !matches!(result, Ok((1.., _))) {
            self.free.borrow_mut().push(index);
        }
        Some(result.map(|(count, _)| match count {
            0 => Received::end(),
            _ => Received::new(Rc::clone(self), index, count),
        }))
    }

    /// Copies `bytes` into a free buffer, for backends that have them elsewhere. `None` when no buffer is free.
    pub(crate) fn copy_in(self: &Rc<Self>, bytes: &[u8]) -> Option<Received> {
        assert!(bytes.len() <= self.buffer_bytes, "{} bytes into a buffer of {}", bytes.len(), self.buffer_bytes);
        let index = self.take()?;
        // SAFETY: the buffer was just taken, so nobody else reads or writes it, and it holds `buffer_bytes`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.address(index), bytes.len()) }
        Some(Received::new(Rc::clone(self), index, bytes.len()))
    }
}

impl fmt::Debug for ReceivePool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivePool({} free, {} bytes each)", self.free.borrow().len(), self.buffer_bytes)
    }
}

/// Bytes that arrived on a socket, in a buffer of the shared pool. Empty when the peer has closed its side. Dropping it
/// returns the buffer: who keeps it holds memory that other connections need.
pub struct Received {
    buffer: Buffer,
    start: usize,
    len: usize,
}

/// Where received bytes are.
enum Buffer {
    /// Nowhere: it is the end of the stream.
    None,
    Pool(Rc<ReceivePool>, u16),
    /// In memory of their own, because the pool ran empty while nobody waited for them.
    Own(Rc<ReceivePool>, Box<[u8]>),
    /// Another shard has received them.
    Elsewhere(Box<[u8]>),
}

impl Received {
    /// The first `len` bytes of the buffer, which the caller has taken from `pool` and filled.
    pub(crate) fn new(pool: Rc<ReceivePool>, index: u16, len: usize) -> Self {
        assert!(len <= pool.buffer_bytes, "{len} bytes in a buffer of {}", pool.buffer_bytes);
        Self { buffer: Buffer::Pool(pool, index), start: 0, len }
    }

    /// What says that the peer has closed its side.
    pub(crate) fn end() -> Self {
        Self { buffer: Buffer::None, start: 0, len: 0 }
    }

    /// What another shard has received.
    pub(crate) fn elsewhere(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self { buffer: Buffer::Elsewhere(bytes.into()), start: 0, len }
    }

    /// Moves the bytes out of the pool, unless as many bytes as the pool has are outside of it already.
    pub(crate) fn spill(&mut self) {
        let Buffer::Pool(pool, _) = &self.buffer else { return };
        let spilled_bytes = pool.spilled_bytes.get() + self.len;
        if spilled_bytes > pool.memory.capacity() {
            return;
        }
        pool.spilled_bytes.set(spilled_bytes);
        let own = Buffer::Own(Rc::clone(pool), Box::from(&**self));
        *self = Self { buffer: own, start: 0, len: self.len };
    }

    /// Forgets the first `bytes`. Answers whether any are left.
    pub(crate) fn discard(&mut self, bytes: usize) -> bool {
        assert!(bytes <= self.len, "discard {bytes} of {}", self.len);
        self.start += bytes;
        self.len -= bytes;
        self.len > 0
    }
}

impl Deref for Received {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let (pool, index) = match &self.buffer {
            Buffer::None => return &[],
            Buffer::Own(_, bytes) | Buffer::Elsewhere(bytes) => return &bytes[self.start..self.start + self.len],
            Buffer::Pool(pool, index) => (pool, index),
        };
        // SAFETY: the pool's memory is initialised from the start, this holder alone has the buffer, and nothing
        // writes to it before it is given back in `drop`. `start + len` was checked against the buffer's size.
        unsafe { std::slice::from_raw_parts(pool.address(*index).add(self.start), self.len) }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        match std::mem::replace(&mut self.buffer, Buffer::None) {
            Buffer::None | Buffer::Elsewhere(_) => {}
            Buffer::Pool(pool, index) => pool.give_back(index),
            Buffer::Own(pool, bytes) => pool.spilled_bytes.set(pool.spilled_bytes.get() - bytes.len()),
        }
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Received({} bytes)", self.len)
    }
}
