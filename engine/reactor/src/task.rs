//! Tasks of one shard: a slab of futures, a queue of those that are ready, and wakers that cost no syscall on the
//! shard's own thread.

use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::FutureExt;
use slab::Slab;

use crate::backend::Bell;

/// A number that no other thread of this process has or will have.
fn thread_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    thread_local! {
        static NUMBER: u64 = NEXT.fetch_add(1, Ordering::Relaxed);
    }
    // While a thread's locals are being destroyed it has no number; 0 is nobody's, so that its wakes go the far way.
    NUMBER.try_with(|number| *number).unwrap_or(0)
}

/// The queue of ready tasks. Wakers hold it from any thread; only its owner's thread touches `local`.
struct RunQueue {
    owner: u64,
    local: UnsafeCell<VecDeque<Arc<TaskWaker>>>,
    /// Whether a task was woken from another thread since the owner looked.
    woken_from_afar: AtomicBool,
    bell: OnceLock<Bell>,
}

// SAFETY: `local` is accessed only after comparing the current thread's number with `owner`'s, in `with_local`, and
// thread numbers are never reused. What it holds is `Send`.
unsafe impl Sync for RunQueue {}
// SAFETY: as above; dropping it elsewhere drops `Arc`s of wakers, which are `Send`.
unsafe impl Send for RunQueue {}

impl RunQueue {
    fn is_here(&self) -> bool {
        thread_number() == self.owner
    }

    /// Runs `f`, which must not wake or drop a task, on the queue. Panics on another thread.
    fn with_local<R>(&self, f: impl FnOnce(&mut VecDeque<Arc<TaskWaker>>) -> R) -> R {
        assert!(self.is_here(), "a run queue is touched by its own thread only");
        // SAFETY: this is the owner's thread, and `f`s do not nest: none of those below calls out.
        f(unsafe { &mut *self.local.get() })
    }
}

/// What wakes one task.
struct TaskWaker {
    index: usize,
    /// Whether it is in the queue. Touched by the owner's thread only; atomic for the compiler's sake.
    queued: AtomicBool,
    woken_from_afar: AtomicBool,
    queue: Arc<RunQueue>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queue.is_here() {
            if !self.queued.load(Ordering::Relaxed) {
                self.queued.store(true, Ordering::Relaxed);
                self.queue.with_local(|local| local.push_back(Arc::clone(self)));
            }
        } else {
            self.woken_from_afar.store(true, Ordering::Release);
            // The owner swaps the queue's flag before it looks at the tasks', so one bell serves all that come before.
            if !self.queue.woken_from_afar.swap(true, Ordering::AcqRel)
                && let Some(bell) = self.queue.bell.get()
            {
                bell.ring();
            }
        }
    }
}

struct Slot {
    /// Away while the task is being polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    waker: Arc<TaskWaker>,
    /// Cancelled while it was being polled.
    cancelled: bool,
}

/// Wakers of ended tasks that are kept for the next ones.
const SPARE_WAKERS_MAX: usize = 64;

/// The tasks of one shard.
pub(crate) struct Tasks {
    slots: RefCell<Slab<Slot>>,
    queue: Arc<RunQueue>,
    limit: usize,
    /// Wakers that nobody else has any more.
    spare_wakers: RefCell<Vec<Arc<TaskWaker>>>,
}

impl Tasks {
    pub(crate) fn new(limit: usize) -> Self {
        let queue = RunQueue {
            owner: thread_number(),
            local: UnsafeCell::new(VecDeque::new()),
            woken_from_afar: AtomicBool::new(false),
            bell: OnceLock::new(),
        };
        Self { slots: RefCell::new(Slab::new()), queue: Arc::new(queue), limit, spare_wakers: RefCell::default() }
    }

    /// The bell that a waker on another thread rings.
    pub(crate) fn set_bell(&self, bell: Bell) {
        assert!(self.queue.bell.set(bell).is_ok(), "the bell is set once");
    }

    /// Adds a task, ready to run. Panics over the limit.
    pub(crate) fn spawn<T: 'static>(self: &Rc<Self>, future: impl Future<Output = T> + 'static) -> Task<T> {
        let result = Rc::new(TaskResult { value: RefCell::new(None), waker: Cell::new(None) });
        let sink = Rc::clone(&result);
        // Not an `async` block: that would have room for the future twice, and move it at the first poll.
        let waker = self.run(future.map(move |value| {
            *sink.value.borrow_mut() = Some(value);
            if let Some(waker) = sink.waker.take() {
                waker.wake();
            }
        }));
        Task { result, waker, tasks: Rc::clone(self) }
    }

    /// Adds a task that nobody waits for, ready to run. Panics over the limit.
    pub(crate) fn spawn_detached(&self, future: impl Future<Output = ()> + 'static) {
        self.run(future);
    }

    fn run(&self, future: impl Future<Output = ()> + 'static) -> Arc<TaskWaker> {
        let future = Box::pin(future);
        let mut slots = self.slots.borrow_mut();
        assert!(slots.len() < self.limit, "{} tasks are the limit of a shard", self.limit);
        let entry = slots.vacant_entry();
        let waker = self.queued_waker(entry.key());
        self.queue.with_local(|local| local.push_back(Arc::clone(&waker)));
        entry.insert(Slot { future: Some(future), waker: Arc::clone(&waker), cancelled: false });
        waker
    }

    /// A waker for the task of this index, as one that is in the queue.
    fn queued_waker(&self, index: usize) -> Arc<TaskWaker> {
        let waker = TaskWaker {
            index,
            queued: AtomicBool::new(true),
            woken_from_afar: AtomicBool::new(false),
            queue: Arc::clone(&self.queue),
        };
        let Some(mut spare) = self.spare_wakers.borrow_mut().pop() else { return Arc::new(waker) };
        *Arc::get_mut(&mut spare).expect("nobody else has a spare waker") = waker;
        spare
    }

    /// Keeps the waker of a task that has ended, unless somebody may still wake it: that must not reach another task.
    fn retire(&self, mut waker: Arc<TaskWaker>) {
        let mut spare = self.spare_wakers.borrow_mut();
        if Arc::get_mut(&mut waker).is_some() && spare.len() < SPARE_WAKERS_MAX {
            spare.push(waker);
        }
    }

    /// How many have not ended.
    pub(crate) fn count(&self) -> usize {
        self.slots.borrow().len()
    }

    pub(crate) fn has_ready(&self) -> bool {
        self.queue.with_local(|local| !local.is_empty())
    }

    /// Polls the next ready task, if there is one.
    pub(crate) fn run_one(&self) -> bool {
        let Some(waker) = self.queue.with_local(VecDeque::pop_front) else { return false };
        waker.queued.store(false, Ordering::Relaxed);
        let Some(mut future) = self.checkout(&waker) else { return true };
        let index = waker.index;
        let waker = Waker::from(waker);
        let ended = future.as_mut().poll(&mut Context::from_waker(&waker)).is_ready();
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(index) else { return true };
        if ended || slot.cancelled {
            let slot = slots.remove(index);
            drop(slots);
            // Outside the borrow: what a future owns may wake or spawn when it is dropped.
            drop(future);
            drop(waker);
            self.retire(slot.waker);
        } else {
            slot.future = Some(future);
        }
        true
    }

    /// The future of the task that `waker` belongs to, unless that task has ended and its place is another's.
    fn checkout(&self, waker: &Arc<TaskWaker>) -> Option<Pin<Box<dyn Future<Output = ()>>>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(waker.index)?;
        if !Arc::ptr_eq(&slot.waker, waker) {
            return None;
        }
        slot.future.take()
    }

    /// Queues the tasks that other threads have woken.
    pub(crate) fn collect_woken_from_afar(&self) {
        if !self.queue.woken_from_afar.load(Ordering::Relaxed)
            || !self.queue.woken_from_afar.swap(false, Ordering::AcqRel)
        {
            return;
        }
        for (_, slot) in self.slots.borrow().iter() {
            if slot.waker.woken_from_afar.swap(false, Ordering::AcqRel) {
                slot.waker.wake_by_ref();
            }
        }
    }

    fn cancel(&self, waker: &Arc<TaskWaker>) {
        let mut slots = self.slots.borrow_mut();
        let Some(slot) = slots.get_mut(waker.index) else { return };
        if !Arc::ptr_eq(&slot.waker, waker) {
            return;
        }
        if slot.future.is_some() {
            let slot = slots.remove(waker.index);
            drop(slots);
            drop(slot);
        } else {
            slot.cancelled = true;
        }
    }

    /// Drops every task, and those that are spawned while others are dropped.
    pub(crate) fn clear(&self) {
        loop {
            let slots = std::mem::take(&mut *self.slots.borrow_mut());
            if slots.is_empty() {
                break;
            }
            drop(slots);
        }
        let queued = self.queue.with_local(std::mem::take);
        drop(queued);
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tasks({} of {})", self.slots.borrow().len(), self.limit)
    }
}

struct TaskResult<T> {
    value: RefCell<Option<T>>,
    waker: Cell<Option<Waker>>,
}

/// A spawned task: a future of its result. Dropping it lets the task run on.
pub struct Task<T> {
    result: Rc<TaskResult<T>>,
    waker: Arc<TaskWaker>,
    tasks: Rc<Tasks>,
}

impl<T> Task<T> {
    /// Drops the task's future, at its current `await`. A task that cancels itself ends at its next one.
    pub fn cancel(self) {
        self.tasks.cancel(&self.waker);
    }

    /// Its result, if it is there.
    pub(crate) fn take(&self) -> Option<T> {
        self.result.value.borrow_mut().take()
    }

    /// Whether its result is there.
    pub fn is_finished(&self) -> bool {
        self.result.value.borrow().is_some()
    }
}

impl<T> Future for Task<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        if let Some(value) = self.result.value.borrow_mut().take() {
            return Poll::Ready(value);
        }
        self.result.waker.set(Some(context.waker().clone()));
        Poll::Pending
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task({})", self.waker.index)
    }
}
