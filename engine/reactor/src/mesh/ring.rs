//! The two lock-free parts of the mesh: a bounded ring between two threads, and the door that says whether its owner
//! sleeps. `tests/mesh_loom.rs` runs both through every interleaving.

use std::fmt;
use std::mem::MaybeUninit;

#[cfg(loom)]
use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence},
};
#[cfg(not(loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

/// `std`'s cell with loom's interface.
#[cfg(not(loom))]
struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// Keeps what two threads write on cache lines of their own (two, because of the adjacent-line prefetcher).
#[repr(align(128))]
struct Padded<T>(T);

/// A bounded queue from one thread to another. Positions count for ever and wrap; the slot is the position modulo the
/// capacity, a power of two.
pub(crate) struct Ring<M> {
    slots: Box<[UnsafeCell<MaybeUninit<M>>]>,
    /// Next position to take; written by the receiver.
    head: Padded<AtomicUsize>,
    /// Next position to fill; written by the sender.
    tail: Padded<AtomicUsize>,
    sender_waits: AtomicBool,
    receiver_gone: AtomicBool,
}

// SAFETY: a slot is written by the sender before it publishes `tail` past it and read by the receiver after that, and
// the other way round with `head`. That there is one of each is the contract of `push` and `pop`.
unsafe impl<M: Send> Sync for Ring<M> {}
// SAFETY: it owns messages, which are `Send`.
unsafe impl<M: Send> Send for Ring<M> {}

impl<M> Ring<M> {
    /// A ring of `capacity` messages, a power of two.
    pub(crate) fn new(capacity: usize) -> Self {
        assert!(capacity.is_power_of_two(), "the capacity {capacity} is not a power of two");
        Self {
            slots: (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect(),
            head: Padded(AtomicUsize::new(0)),
            tail: Padded(AtomicUsize::new(0)),
            sender_waits: AtomicBool::new(false),
            receiver_gone: AtomicBool::new(false),
        }
    }

    fn slot(&self, position: usize) -> &UnsafeCell<MaybeUninit<M>> {
        &self.slots[position & (self.slots.len() - 1)]
    }

    /// Appends a message, or gives it back when the ring is full.
    ///
    /// # Safety
    /// Only one thread at a time pushes, the sender.
    pub(crate) unsafe fn push(&self, message: M) -> Result<(), M> {
        let tail = self.tail.0.load(Ordering::Relaxed);
        if tail.wrapping_sub(self.head.0.load(Ordering::Acquire)) == self.slots.len() {
            return Err(message);
        }
        // SAFETY: the receiver is done with the slot, since `head` is past its last use, and does not look at it
        // before `tail` is past it; there is no other sender.
        self.slot(tail).with_mut(|slot| unsafe { (*slot).write(message) });
        self.tail.0.store(tail.wrapping_add(1), Ordering::Release);
        Ok(())
    }

    /// Takes the oldest message.
    ///
    /// # Safety
    /// Only one thread at a time pops, the receiver.
    pub(crate) unsafe fn pop(&self) -> Option<M> {
        let head = self.head.0.load(Ordering::Relaxed);
        if self.tail.0.load(Ordering::Acquire) == head {
            return None;
        }
        // SAFETY: the sender has filled the slot, since `tail` is past it, and does not touch it before `head` is;
        // there is no other receiver, so it is read once.
        let message = self.slot(head).with_mut(|slot| unsafe { (*slot).assume_init_read() });
        self.head.0.store(head.wrapping_add(1), Ordering::Release);
        Some(message)
    }

    /// Whether there is nothing to take.
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.0.load(Ordering::Acquire) == self.head.0.load(Ordering::Acquire)
    }

    /// Whether another message fits.
    pub(crate) fn has_room(&self) -> bool {
        let tail = self.tail.0.load(Ordering::Acquire);
        tail.wrapping_sub(self.head.0.load(Ordering::Acquire)) < self.slots.len()
    }

    /// The sender says that it waits for room, and looks once more. Answers whether it may go on at once.
    pub(crate) fn wait_for_room(&self) -> bool {
        self.sender_waits.store(true, Ordering::Relaxed);
        // Pairs with the fence in `take_waiting_sender`: either the receiver sees the flag, or this sees its room.
        fence(Ordering::SeqCst);
        self.has_room() || self.is_receiver_gone()
    }

    /// The receiver, after it has made room: whether the sender waits for it. To be asked after a batch of `pop`s.
    pub(crate) fn take_waiting_sender(&self) -> bool {
        fence(Ordering::SeqCst);
        self.sender_waits.load(Ordering::Relaxed) && self.sender_waits.swap(false, Ordering::AcqRel)
    }

    /// The receiver says that it will take nothing more.
    pub(crate) fn leave(&self) {
        self.receiver_gone.store(true, Ordering::Release);
    }

    /// Whether the receiver has left.
    pub(crate) fn is_receiver_gone(&self) -> bool {
        self.receiver_gone.load(Ordering::Acquire)
    }
}

impl<M> Drop for Ring<M> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: no sender and no receiver are left.
        while unsafe { self.pop() }.is_some() {}
    }
}

impl<M> fmt::Debug for Ring<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ring({} slots)", self.slots.len())
    }
}

/// Whether a shard sleeps, so that who has something for it rings its bell.
pub(crate) struct Door(Padded<AtomicBool>);

impl Door {
    /// The door of a shard that is awake.
    pub(crate) fn new() -> Self {
        Self(Padded(AtomicBool::new(false)))
    }

    /// The owner will sleep. After this it looks at all its rings once more, and sleeps only if there is nothing.
    pub(crate) fn sleep(&self) {
        self.0.0.store(true, Ordering::Relaxed);
        // Pairs with the fence in `must_ring`: either the sender sees that the owner sleeps, or the owner sees what
        // was sent.
        fence(Ordering::SeqCst);
    }

    /// The owner is awake.
    pub(crate) fn awake(&self) {
        self.0.0.store(false, Ordering::Relaxed);
    }

    /// Another shard, after it has changed a ring: whether it has to ring. One of several who ask is told so.
    pub(crate) fn must_ring(&self) -> bool {
        fence(Ordering::SeqCst);
        self.0.0.load(Ordering::Relaxed) && self.0.0.swap(false, Ordering::AcqRel)
    }
}

impl Default for Door {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Door({:?})", self.0.0)
    }
}
