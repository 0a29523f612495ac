//! The budget and its line: who waits, who is served, what is kept.

use super::*;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake};

const KIB: usize = 1024;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

type Take<'a> = Pin<Box<dyn Future<Output = Option<Chunk>> + 'a>>;

fn take(memory: &FrameMemory, bytes: usize) -> Take<'_> {
    grow(memory, bytes, 0)
}

fn grow(memory: &FrameMemory, bytes: usize, held_bytes: usize) -> Take<'_> {
    Box::pin(memory.take(bytes, held_bytes))
}

/// The capacity of what was taken; `None` while it waits.
fn poll(take: &mut Take<'_>, wakes: &Arc<Wakes>) -> Option<usize> {
    let waker = Waker::from(Arc::clone(wakes));
    match take.as_mut().poll(&mut Context::from_waker(&waker)) {
        Poll::Ready(chunk) => Some(chunk.expect("few wait").capacity()),
        Poll::Pending => None,
    }
}

fn now(memory: &FrameMemory, bytes: usize) -> Option<Chunk> {
    match pin!(memory.take(bytes, 0)).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(chunk) => chunk,
        Poll::Pending => None,
    }
}

#[test]
fn the_budget_is_kept_and_what_comes_back_is_given_out_again() {
    let memory = FrameMemory::new(64 * KIB);
    let first = now(&memory, 33 * KIB).expect("fits");
    assert_eq!((first.capacity(), first.is_empty()), (64 * KIB, true));
    assert!(now(&memory, 1).is_none());
    memory.give_back(first.capacity());
    assert_eq!(now(&memory, 1).expect("fits").capacity(), BLOCK_BYTES);
}

#[test]
fn a_frame_larger_than_the_budget_is_let_in_alone() {
    let memory = FrameMemory::new(64 * KIB);
    let small = now(&memory, 4 * KIB).expect("fits");
    let wakes = Arc::new(Wakes::default());
    let mut large = take(&memory, 100 * KIB);
    assert_eq!(poll(&mut large, &wakes), None);
    memory.give_back(small.capacity());
    assert_eq!(wakes.take(), 1);
    assert_eq!(poll(&mut large, &wakes), Some(128 * KIB));
}

#[test]
fn who_comes_first_is_served_first_even_if_smaller_ones_would_fit() {
    let memory = FrameMemory::new(64 * KIB);
    let used = now(&memory, 32 * KIB).expect("fits");
    let (of_large, of_small) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    let (mut large, mut small) = (take(&memory, 64 * KIB), take(&memory, 4 * KIB));
    assert_eq!((poll(&mut large, &of_large), poll(&mut small, &of_small)), (None, None));
    memory.give_back(used.capacity());
    assert_eq!((of_large.take(), of_small.take()), (1, 0));
    assert_eq!(poll(&mut small, &of_small), None);
    assert_eq!(poll(&mut large, &of_large), Some(64 * KIB));
    // The next one is told to look, and finds that nothing is left yet.
    assert_eq!(of_small.take(), 1);
    assert_eq!(poll(&mut small, &of_small), None);
    memory.give_back(64 * KIB);
    assert_eq!(of_small.take(), 1);
    assert_eq!(poll(&mut small, &of_small), Some(4 * KIB));
}

#[test]
fn who_gives_up_waiting_lets_the_next_one_in() {
    let memory = FrameMemory::new(64 * KIB);
    let _used = now(&memory, 32 * KIB).expect("fits");
    let (of_large, of_small) = (Arc::new(Wakes::default()), Arc::new(Wakes::default()));
    let (mut large, mut small) = (take(&memory, 64 * KIB), take(&memory, 4 * KIB));
    assert_eq!((poll(&mut large, &of_large), poll(&mut small, &of_small)), (None, None));
    drop(large);
    assert_eq!(of_small.take(), 1);
    assert_eq!(poll(&mut small, &of_small), Some(4 * KIB));
    assert!(now(&memory, 4 * KIB).is_some(), "nobody is in the line any more");
}

#[test]
fn a_frame_that_grows_does_not_wait_for_what_it_holds() {
    let memory = FrameMemory::new(64 * KIB);
    let wakes = Arc::new(Wakes::default());
    let first = now(&memory, 16 * KIB).expect("fits").capacity();
    assert_eq!(poll(&mut grow(&memory, 64 * KIB, first), &wakes), Some(64 * KIB));
    assert_eq!(memory.used_bytes.get(), 64 * KIB);
    assert_eq!(poll(&mut grow(&memory, 500 * KIB, 64 * KIB), &wakes), Some(512 * KIB), "it is alone");
    memory.give_back(512 * KIB);
    assert_eq!(memory.used_bytes.get(), 0);
}

#[test]
fn frames_that_hold_all_there_is_do_not_wait_for_each_other() {
    let memory = FrameMemory::new(64 * KIB);
    let held = 32 * KIB;
    assert!(now(&memory, held).is_some() && now(&memory, held).is_some());
    let (of_new, of_one, of_other) = (Arc::default(), Arc::default(), Arc::default());
    let (mut new, mut one, mut other) =
        (take(&memory, 4 * KIB), grow(&memory, 64 * KIB, held), grow(&memory, 64 * KIB, held));
    assert_eq!((poll(&mut new, &of_new), poll(&mut one, &of_one)), (None, None));
    // From here on nobody gives anything back by himself, and the one that came first is told.
    assert_eq!(poll(&mut other, &of_other), None);
    assert_eq!(of_one.take(), 1);
    assert_eq!((poll(&mut new, &of_new), poll(&mut other, &of_other)), (None, None));
    assert_eq!(poll(&mut one, &of_one), Some(64 * KIB));
    assert_eq!(memory.used_bytes.get(), 96 * KIB);
    // One at a time: the others wait until this one is done.
    assert_eq!((poll(&mut new, &of_new), poll(&mut other, &of_other)), (None, None));
    memory.give_back(64 * KIB);
    assert_eq!(poll(&mut new, &of_new), None, "a frame that holds memory goes first");
    assert_eq!(poll(&mut other, &of_other), Some(64 * KIB));
    memory.give_back(64 * KIB);
    assert_eq!(poll(&mut new, &of_new), Some(4 * KIB));
}

#[test]
fn who_gives_up_growing_holds_what_it_held_until_that_comes_back() {
    let memory = FrameMemory::new(64 * KIB);
    let held = 32 * KIB;
    assert!(now(&memory, held).is_some() && now(&memory, held).is_some());
    let (of_one, of_other) = (Arc::default(), Arc::default());
    let (mut one, mut other) = (grow(&memory, 64 * KIB, held), grow(&memory, 64 * KIB, held));
    assert_eq!(poll(&mut one, &of_one), None);
    assert_eq!(poll(&mut other, &of_other), None);
    drop(one);
    assert_eq!((of_other.take(), poll(&mut other, &of_other)), (1, None));
    memory.give_back(held);
    assert_eq!(of_other.take(), 1);
    assert_eq!(poll(&mut other, &of_other), Some(64 * KIB));
    assert_eq!(memory.used_bytes.get(), 64 * KIB);
}

#[test]
fn a_chunk_is_used_again_by_a_frame_of_its_size() {
    let memory = FrameMemory::new(64 * KIB);
    let mut chunk = now(&memory, 16 * KIB).expect("fits");
    chunk.append(b"frame");
    let frame = chunk.freeze();
    let held_elsewhere = frame.slice(0..1);
    memory.recycle(frame.clone());
    drop(held_elsewhere);
    assert_eq!(memory.free.borrow().bytes, 0);
    memory.recycle(frame);
    memory.give_back(16 * KIB);
    assert_eq!(memory.free.borrow().bytes, 16 * KIB);
    assert_eq!(now(&memory, 4 * KIB).expect("fits").capacity(), 4 * KIB);
    let again = now(&memory, 15 * KIB).expect("fits");
    assert_eq!((again.capacity(), again.is_empty(), memory.free.borrow().bytes), (16 * KIB, true, 0));
}

#[test]
fn free_chunks_and_used_ones_stay_within_the_budget_together() {
    let memory = FrameMemory::new(64 * KIB);
    for bytes in [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB, 64 * KIB, 16 * KIB] {
        for _ in 0..4 {
            let Some(chunk) = now(&memory, bytes) else { break };
            memory.recycle(chunk.freeze());
            let all = memory.free.borrow().bytes + memory.used_bytes.get();
            memory.give_back(bytes);
            assert!(all - bytes <= 64 * KIB, "{all} bytes with {bytes} counted twice");
        }
    }
    let held: Vec<_> = (0..4).map(|_| now(&memory, 16 * KIB).expect("fits")).collect();
    assert_eq!((held.len(), memory.free.borrow().bytes), (4, 0));
}
