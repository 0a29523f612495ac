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
    Box::pin(memory.take(bytes))
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
    match pin!(memory.take(bytes)).poll(&mut Context::from_waker(Waker::noop())) {
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
