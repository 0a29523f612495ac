//! One shard's loop: ready tasks, operations in flight, timers, the mesh, and the backend that they wait on.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use slab::Slab;

use crate::backend::{Backend, Bell, Wait};
use crate::counts::{LoopTimes, ReactorCounts};
use crate::limits::Limits;
use crate::op::{FileId, Op, OpId, Outcome, SocketId, failed};
use crate::task::{Task, Tasks};
use crate::time::Instant;
use crate::timer::Timers;

/// Operations that one poll of a task may begin before it goes to the back of the queue, so that a connection that
/// always has bytes cannot keep the loop.
const OPERATIONS_PER_POLL_MAX: u32 = 64;

/// The place of one operation in the core's table; the operation itself is with the backend.
enum Slot {
    Waiting { waker: Waker, is_file: bool },
    Ended(Outcome),
    Abandoned { is_file: bool },
}

/// Futures that wait until there is room under a limit, in the order in which they came.
#[derive(Default)]
struct Waiters {
    by_ticket: BTreeMap<u64, Waker>,
    next_ticket: u64,
}

impl Waiters {
    fn join(&mut self, waker: &Waker) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.by_ticket.insert(ticket, waker.clone());
        ticket
    }

    fn pop(&mut self) -> Option<Waker> {
        self.by_ticket.pop_first().map(|(_, waker)| waker)
    }
}

/// Which limit a future waits for.
#[derive(Clone, Copy)]
enum Full {
    FileOperations,
    Sockets,
}

/// What the mesh does in the loop. `mesh::Mesh` implements it for its message type.
pub(crate) trait MeshPort {
    /// Wakes the tasks whose rings have messages, or room, again.
    fn poll(&self);
    /// Rings the bells of sleeping shards for which there is something since the last time.
    fn flush(&self);
    /// Whether `poll` would wake a task.
    fn has_work(&self) -> bool;
    /// Tells the other shards to ring from now on. Answers whether there was something to do already.
    fn announce_sleep(&self) -> bool;
    /// The wait is over.
    fn announce_awake(&self);
}

/// The core of one shard's reactor. `Reactor` is the handle to it.
pub(crate) struct Core {
    pub(crate) tasks: Rc<Tasks>,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) limits: Limits,
    operations: RefCell<Slab<Slot>>,
    file_operations: Cell<usize>,
    /// Who waits until fewer than `limits.file_operations` are in flight.
    file_waiters: RefCell<Waiters>,
    sockets: Cell<usize>,
    /// Who waits until fewer than `limits.sockets` are open.
    socket_waiters: RefCell<Waiters>,
    poll_budget: Cell<u32>,
    backend: RefCell<Box<dyn Backend>>,
    ended: RefCell<Vec<(OpId, Outcome)>>,
    mesh: RefCell<Option<Rc<dyn MeshPort>>>,
    random: Cell<u64>,
    times: RefCell<LoopTimes>,
    /// The clock when somebody looked at it last.
    seen_at: Cell<Instant>,
    begun: Cell<u64>,
}

impl Core {
    pub(crate) fn new(backend: Box<dyn Backend>, limits: Limits, seed: u64) -> Rc<Self> {
        let tasks = Rc::new(Tasks::new(limits.tasks));
        tasks.set_bell(backend.bell());
        Rc::new(Self {
            tasks,
            timers: RefCell::default(),
            limits,
            operations: RefCell::default(),
            file_operations: Cell::new(0),
            file_waiters: RefCell::default(),
            sockets: Cell::new(0),
            socket_waiters: RefCell::default(),
            poll_budget: Cell::new(0),
            backend: RefCell::new(backend),
            ended: RefCell::default(),
            mesh: RefCell::new(None),
            random: Cell::new(seed),
            times: RefCell::default(),
            seen_at: Cell::new(Instant::from_nanos(0)),
            begun: Cell::new(0),
        })
    }

    pub(crate) fn now(&self) -> Instant {
        let now = self.backend.borrow().now();
        self.seen_at.set(now);
        now
    }

    /// What `now` has answered last: in this turn, or at the end of the one before. The clock's zero before the first look.
    pub(crate) fn seen_at(&self) -> Instant {
        self.seen_at.get()
    }

    pub(crate) fn wall_clock_ms(&self) -> i64 {
        self.backend.borrow().wall_clock_ms()
    }

    /// The next number of this shard's generator (`SplitMix64`): well spread, not secret.
    pub(crate) fn random_u64(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn bell(&self) -> Bell {
        self.backend.borrow().bell()
    }

    pub(crate) fn ring(&self, bell: &Bell) {
        self.backend.borrow_mut().ring(bell);
    }

    pub(crate) fn set_mesh(&self, port: Rc<dyn MeshPort>) {
        *self.mesh.borrow_mut() = Some(port);
    }

    pub(crate) fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.tasks.spawn(future)
    }

    pub(crate) fn spawn_detached(&self, future: impl Future<Output = ()> + 'static) {
        self.tasks.spawn_detached(future);
    }

    /// One turn of the loop: ready tasks, then the backend, waiting only if nothing is ready and the caller still
    /// `may_wait` after the tasks have run, then what has ended and which timers are due. Answers whether tasks are
    /// ready for the next turn. Never inlined: by its name the benchmarks find what is a shard's own work.
    #[inline(never)]
    pub(crate) fn turn(&self, may_wait: impl FnOnce() -> bool) -> bool {
        self.tasks.collect_woken_from_afar();
        let mesh = self.mesh.borrow().clone();
        if let Some(mesh) = &mesh {
            mesh.poll();
        }
        for _ in 0..self.limits.polls_per_turn {
            self.poll_budget.set(OPERATIONS_PER_POLL_MAX);
            if !self.tasks.run_one() {
                break;
            }
        }
        if let Some(mesh) = &mesh {
            mesh.flush();
        }
        let mut wait = self.wait(may_wait());
        let announced = wait != Wait::No;
        if announced
            && let Some(mesh) = &mesh
            && mesh.announce_sleep()
        {
            wait = Wait::No;
        }
        let mut ended = self.ended.take();
        let began = LoopTimes::begin(|| self.now());
        self.backend.borrow_mut().turn(wait, &mut ended);
        let now = self.now();
        self.times.borrow_mut().turned(wait, began, now);
        if announced && let Some(mesh) = &mesh {
            mesh.announce_awake();
            mesh.poll();
        }
        for (id, outcome) in ended.drain(..) {
            self.end(id, outcome);
        }
        self.ended.replace(ended);
        self.fire_timers(now);
        self.tasks.has_ready()
    }

    /// What the loop has done.
    pub(crate) fn counts(&self) -> ReactorCounts {
        let mut counts = ReactorCounts {
            operations_begun: self.begun.get(),
            file_operations: self.file_operations.get(),
            sockets: self.sockets.get(),
            tasks: self.tasks.count(),
            ring: self.backend.borrow().ring_counts(),
            ..ReactorCounts::default()
        };
        self.times.borrow().tell(&mut counts);
        counts
    }

    /// Whether a turn would run a task without anything happening outside.
    pub(crate) fn is_ready(&self) -> bool {
        self.tasks.has_ready() || self.mesh.borrow().as_ref().is_some_and(|mesh| mesh.has_work())
    }

    fn wait(&self, may_wait: bool) -> Wait {
        if !may_wait || self.tasks.has_ready() {
            return Wait::No;
        }
        self.timers.borrow().next_deadline().map_or(Wait::Forever, Wait::Until)
    }

    /// When the next timer is due.
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.borrow().next_deadline()
    }

    fn fire_timers(&self, now: Instant) {
        while let Some(waker) = { self.timers.borrow_mut().pop_due(now) } {
            waker.wake();
        }
    }

    /// Drops every task, as at the end of a process. The operations in flight stay with the backend.
    pub(crate) fn clear(&self) {
        self.tasks.clear();
        *self.mesh.borrow_mut() = None;
        self.file_waiters.take();
        self.socket_waiters.take();
    }

    /// A future of the operation's outcome. It begins when the future is first polled.
    pub(crate) fn operate(self: &Rc<Self>, op: Op) -> Pending {
        Pending { core: Rc::clone(self), stash: None, state: PendingState::New(op) }
    }

    fn end(&self, id: OpId, outcome: Outcome) {
        let index = usize::try_from(id.0).expect("32 bits fit");
        let mut operations = self.operations.borrow_mut();
        let slot = operations.get_mut(index).expect("an operation in flight has its slot");
        match std::mem::replace(slot, Slot::Ended(outcome)) {
            Slot::Waiting { waker, is_file } => {
                drop(operations);
                self.count_file_end(is_file);
                waker.wake();
            }
            Slot::Abandoned { is_file } => {
                let Slot::Ended(outcome) = operations.remove(index) else { unreachable!("just replaced") };
                drop(operations);
                self.count_file_end(is_file);
                self.dispose(&outcome);
            }
            Slot::Ended(_) => panic!("operation {id:?} ended twice"),
        }
    }

    fn count_file_end(&self, is_file: bool) {
        if is_file {
            self.file_operations.set(self.file_operations.get() - 1);
            self.wake_waiter(Full::FileOperations);
        }
    }

    /// Closes what an outcome that nobody wants has opened.
    fn dispose(&self, outcome: &Outcome) {
        match outcome {
            Outcome::Opened(Ok(opened)) => self.close_file(opened.file),
            Outcome::Listening(Ok((socket, _)))
            | Outcome::Connection(Ok((socket, _)))
            | Outcome::TakenUp(Ok(socket)) => {
                self.count_socket();
                self.close_socket(*socket);
            }
            // It closes when the outcome is dropped.
            Outcome::Loose(_) => self.uncount_socket(),
            _ => {}
        }
    }

    pub(crate) fn close_file(&self, file: FileId) {
        self.backend.borrow_mut().close_file(file);
    }

    /// Counts a socket that an outcome has brought.
    pub(crate) fn count_socket(&self) {
        self.sockets.set(self.sockets.get() + 1);
    }

    pub(crate) fn close_socket(&self, socket: SocketId) {
        self.backend.borrow_mut().close_socket(socket);
        self.uncount_socket();
    }

    /// A socket is this shard's no more.
    pub(crate) fn uncount_socket(&self) {
        self.sockets.set(self.sockets.get() - 1);
        self.wake_waiter(Full::Sockets);
    }

    fn waiters(&self, full: Full) -> &RefCell<Waiters> {
        match full {
            Full::FileOperations => &self.file_waiters,
            Full::Sockets => &self.socket_waiters,
        }
    }

    fn wake_waiter(&self, full: Full) {
        let waiter = self.waiters(full).borrow_mut().pop();
        if let Some(waker) = waiter {
            waker.wake();
        }
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("tasks", &self.tasks).field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.clear();
    }
}

/// An outcome that arrived for a future which was dropped before it looked. The next operation of the kind takes it,
/// so that no bytes and no connection are lost.
pub(crate) type Stash = RefCell<VecDeque<Outcome>>;

enum PendingState {
    New(Op),
    /// In a queue for room, or just called from it.
    Queued(Op, Full, u64),
    Begun(OpId),
    Over,
}

/// The future of one operation.
pub(crate) struct Pending {
    core: Rc<Core>,
    stash: Option<Rc<Stash>>,
    state: PendingState,
}

impl Pending {
    /// Where its outcome goes if it is dropped between the outcome and its poll.
    pub(crate) fn with_stash(mut self, stash: &Rc<Stash>) -> Self {
        self.stash = Some(Rc::clone(stash));
        self
    }

    /// Begins `op`, unless a limit says otherwise.
    fn begin(&mut self, op: Op, context: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(stash) = &self.stash
            && let Some(outcome) = stash.borrow_mut().pop_front()
        {
            return Poll::Ready(outcome);
        }
        let core = &self.core;
        let Some(budget) = core.poll_budget.get().checked_sub(1) else {
            context.waker().wake_by_ref();
            self.state = PendingState::New(op);
            return Poll::Pending;
        };
        core.poll_budget.set(budget);
        let is_file = op.is_file();
        if is_file && core.file_operations.get() >= core.limits.file_operations {
            return self.queue(op, Full::FileOperations, context);
        }
        let beyond_limit = if let Op::Accept { beyond_limit, .. } = op { beyond_limit } else { 0 };
        if core.sockets.get() >= core.limits.sockets + beyond_limit {
            match op {
                Op::Accept { .. } | Op::TakeUp { .. } => return self.queue(op, Full::Sockets, context),
                Op::Connect { .. } | Op::Listen { .. } => {
                    let error = io::Error::new(io::ErrorKind::QuotaExceeded, "the shard's limit of sockets is reached");
                    return Poll::Ready(failed(op, error));
                }
                _ => {}
            }
        }
        core.begun.set(core.begun.get() + 1);
        let index = core.operations.borrow_mut().insert(Slot::Waiting { waker: context.waker().clone(), is_file });
        let id = OpId(u32::try_from(index).expect("fewer operations than sockets and file operations together"));
        let outcome = core.backend.borrow_mut().begin(id, op);
        if let Some(outcome) = outcome {
            core.operations.borrow_mut().remove(index);
            return Poll::Ready(outcome);
        }
        if is_file {
            core.file_operations.set(core.file_operations.get() + 1);
        }
        self.state = PendingState::Begun(id);
        Poll::Pending
    }

    fn queue(&mut self, op: Op, full: Full, context: &mut Context<'_>) -> Poll<Outcome> {
        let ticket = self.core.waiters(full).borrow_mut().join(context.waker());
        self.state = PendingState::Queued(op, full, ticket);
        Poll::Pending
    }

    /// Takes the outcome, if it is there.
    fn look(&mut self, id: OpId, context: &mut Context<'_>) -> Poll<Outcome> {
        let index = usize::try_from(id.0).expect("32 bits fit");
        let mut operations = self.core.operations.borrow_mut();
        if let Slot::Waiting { waker, .. } = &mut operations[index] {
            waker.clone_from(context.waker());
            self.state = PendingState::Begun(id);
            return Poll::Pending;
        }
        match operations.remove(index) {
            Slot::Ended(outcome) => Poll::Ready(outcome),
            Slot::Waiting { .. } | Slot::Abandoned { .. } => unreachable!("a future that looks has not abandoned"),
        }
    }
}

impl Future for Pending {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        match std::mem::replace(&mut self.state, PendingState::Over) {
            PendingState::New(op) => self.begin(op, context),
            PendingState::Queued(op, full, ticket) => {
                self.core.waiters(full).borrow_mut().by_ticket.remove(&ticket);
                self.begin(op, context)
            }
            PendingState::Begun(id) => self.look(id, context),
            PendingState::Over => panic!("polled after its outcome"),
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let PendingState::Queued(_, full, ticket) = self.state {
            let called = self.core.waiters(full).borrow_mut().by_ticket.remove(&ticket).is_none();
            if called {
                // The room that it was called for is the next one's.
                self.core.wake_waiter(full);
            }
        }
        if let PendingState::New(Op::LetGo { socket }) = self.state {
            self.core.close_socket(socket);
        }
        let PendingState::Begun(id) = self.state else { return };
        let index = usize::try_from(id.0).expect("32 bits fit");
        let mut operations = self.core.operations.borrow_mut();
        let Some(slot) = operations.get_mut(index) else { return };
        match slot {
            Slot::Waiting { is_file, .. } => {
                *slot = Slot::Abandoned { is_file: *is_file };
                drop(operations);
                self.core.backend.borrow_mut().abandon(id);
            }
            Slot::Ended(_) => {
                let Slot::Ended(outcome) = operations.remove(index) else { unreachable!("just matched") };
                drop(operations);
                match &self.stash {
                    Some(stash) => stash.borrow_mut().push_back(outcome),
                    None => self.core.dispose(&outcome),
                }
            }
            Slot::Abandoned { .. } => unreachable!("a future is dropped once"),
        }
    }
}
