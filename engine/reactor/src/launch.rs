//! Starting the shards of a real process: one pinned thread each, with a reactor of its own.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};

use crate::backend::Backend;
use crate::core::Core;
use crate::limits::Limits;
use crate::mesh::{Mesh, Seat, seats};
use crate::posix::Posix;
use crate::reactor::Reactor;
use crate::uring::Uring;

/// One shard to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShardSpec {
    /// The core that its thread is pinned to, as the operating system numbers them.
    pub core: Option<usize>,
}

/// Which backend to use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BackendChoice {
    /// `Uring`, or `Posix` where the kernel or the container refuses `io_uring`.
    #[default]
    Auto,
    /// `io_uring`, or nothing.
    Uring,
    /// epoll, and threads for files.
    Posix,
}

/// Which backend runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BackendKind {
    /// `io_uring`
    Uring,
    /// epoll, and threads for files.
    Posix,
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Uring => "uring",
            Self::Posix => "posix",
        })
    }
}

/// The shards could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No shard was asked for.
    #[error("no shard to start")]
    NoShard,
    /// The chosen backend cannot be set up.
    #[error("the {kind} backend cannot be set up: {refusal}")]
    Backend {
        /// The backend that was asked for.
        kind: BackendKind,
        /// What the kernel said.
        refusal: io::Error,
    },
    /// A thread cannot be started.
    #[error("the thread of shard {shard} cannot be started: {error}")]
    Thread {
        /// Index of the shard.
        shard: usize,
        /// What the system said.
        error: io::Error,
    },
}

/// Running shards.
#[derive(Debug)]
pub struct Shards<T> {
    /// A thread gives nothing only if it was never told to run.
    threads: Vec<JoinHandle<Option<T>>>,
    backend: BackendKind,
    warnings: Vec<String>,
}

impl<T> Shards<T> {
    /// The backend in use.
    pub fn backend(&self) -> BackendKind {
        self.backend
    }

    /// What the caller should tell the operator, one line each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Waits until every shard's main future has ended, and gives their results in the order of shards. A shard that
    /// panicked gives its panic.
    pub fn join(self) -> thread::Result<Vec<T>> {
        let result = |thread: JoinHandle<Option<T>>| Ok(thread.join()?.expect("running shards were told to run"));
        self.threads.into_iter().map(result).collect()
    }
}

/// Starts a thread per shard and runs `main` on each. A shard ends when its main future does: its other tasks are
/// dropped then, and operations in flight are waited for. Panics on limits of 0.
pub fn launch<M, T, F, Fut>(
    specs: &[ShardSpec],
    choice: BackendChoice,
    limits: Limits,
    main: F,
) -> Result<Shards<T>, LaunchError>
where
    M: Send + 'static,
    T: Send + 'static,
    F: Fn(Reactor, Mesh<M>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    if specs.is_empty() {
        return Err(LaunchError::NoShard);
    }
    limits.assert_possible();
    let (report, reports) = mpsc::channel();
    let mut starting = Starting { threads: Vec::new(), orders: Vec::new(), reports };
    for (shard, (spec, seat)) in specs.iter().copied().zip(seats(specs.len(), limits.mesh_messages)).enumerate() {
        let (main, report) = (main.clone(), report.clone());
        let (order, orders) = mpsc::channel();
        let thread = thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || {
                let pinned = spec.core.is_none_or(pin);
                let backend = obey(&limits, &orders, |result| {
                    // Nobody listens any more once the launch has failed.
                    let _ = report.send(Report { shard, pinned, result });
                });
                drop(report);
                backend.map(|backend| run_shard(backend, limits, seat, main))
            })
            .map_err(|error| LaunchError::Thread { shard, error })?;
        starting.threads.push(thread);
        starting.orders.push(order);
    }
    starting.run(choice, specs)
}

/// What a thread is told while it starts. Without further orders it ends.
#[derive(Clone, Copy)]
enum Order {
    /// Set up this backend, in place of an earlier one, and report.
    Try(BackendKind),
    /// Run with the backend that was set up.
    Run,
}

/// How a thread fared with its order.
struct Report {
    shard: usize,
    pinned: bool,
    result: io::Result<()>,
}

/// Threads that wait for orders. A ring belongs to the thread that sets it up, and one of them may be refused when
/// others were not: so all shards try, and run only when all have the same backend.
struct Starting<T> {
    threads: Vec<JoinHandle<Option<T>>>,
    orders: Vec<Sender<Order>>,
    reports: Receiver<Report>,
}

impl<T> Starting<T> {
    fn run(self, choice: BackendChoice, specs: &[ShardSpec]) -> Result<Shards<T>, LaunchError> {
        let mut warnings = Vec::new();
        let backend = match choice {
            BackendChoice::Uring => self.attempt(BackendKind::Uring),
            BackendChoice::Posix => self.attempt(BackendKind::Posix),
            BackendChoice::Auto => self.attempt(BackendKind::Uring).or_else(|(_, refusal)| {
                warnings.push(fallback_warning(&refusal));
                self.attempt(BackendKind::Posix)
            }),
        };
        let (backend, unpinned) = backend.map_err(|(kind, refusal)| LaunchError::Backend { kind, refusal })?;
        for shard in unpinned {
            let core = specs[shard].core.expect("a shard without a core counts as pinned");
            warnings.push(format!("shard {shard} runs unpinned: core {core} is not available to this process"));
        }
        self.order(Order::Run);
        Ok(Shards { threads: self.threads, backend, warnings })
    }

    fn order(&self, order: Order) {
        for thread in &self.orders {
            // A thread that has panicked says so when it is joined.
            let _ = thread.send(order);
        }
    }

    /// Lets every shard set the backend up. Answers the shards that could not be pinned, or the first refusal.
    fn attempt(&self, kind: BackendKind) -> Result<(BackendKind, Vec<usize>), (BackendKind, io::Error)> {
        self.order(Order::Try(kind));
        let mut reports: Vec<Report> = self.reports.iter().take(self.threads.len()).collect();
        reports.sort_by_key(|report| report.shard);
        let unpinned = reports.iter().filter(|report| !report.pinned).map(|report| report.shard).collect();
        match reports.into_iter().find_map(|report| report.result.err()) {
            Some(refusal) => Err((kind, refusal)),
            None => Ok((kind, unpinned)),
        }
    }
}

/// Follows the orders until one says to run. `None` when no more come.
fn obey(limits: &Limits, orders: &Receiver<Order>, report: impl Fn(io::Result<()>)) -> Option<Box<dyn Backend>> {
    let mut backend = None;
    loop {
        match orders.recv().ok()? {
            Order::Run => return backend,
            Order::Try(kind) => match set_up(kind, limits) {
                Ok(ready) => {
                    backend = Some(ready);
                    report(Ok(()));
                }
                Err(refusal) => report(Err(refusal)),
            },
        }
    }
}

fn set_up(kind: BackendKind, limits: &Limits) -> io::Result<Box<dyn Backend>> {
    Ok(match kind {
        BackendKind::Uring => Box::new(Uring::new(limits)?),
        BackendKind::Posix => Box::new(Posix::new(limits)?),
    })
}

fn fallback_warning(refusal: &io::Error) -> String {
    format!(
        "io_uring is refused ({refusal}), so the posix backend runs instead: the same behaviour, with more CPU per \
         request and a thread hand-over for every disk operation. Allow io_uring_setup, io_uring_enter and \
         io_uring_register (container seccomp profile, sysctl kernel.io_uring_disabled, memlock limit) to get it back"
    )
}

/// Pins this thread, if the core is one of those that it may run on. Answers whether it did.
fn pin(core: usize) -> bool {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().find(|id| id.id == core).is_some_and(core_affinity::set_for_current)
}

fn run_shard<M, T, F, Fut>(backend: Box<dyn Backend>, limits: Limits, seat: Seat<M>, main: F) -> T
where
    M: Send + 'static,
    T: 'static,
    F: Fn(Reactor, Mesh<M>) -> Fut,
    Fut: Future<Output = T> + 'static,
{
    let core = Core::new(backend, limits, seed());
    let mesh = seat.attach(&core);
    let main = core.spawn(main(Reactor::new(Rc::clone(&core)), mesh));
    while !main.is_finished() {
        core.turn(|| !main.is_finished());
    }
    let result = main.take().expect("it is finished");
    core.clear();
    result
}

/// A seed that differs from start to start.
fn seed() -> u64 {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    assert_eq!(filled, Ok(bytes.len()), "the kernel gives 8 random bytes at once");
    u64::from_ne_bytes(bytes)
}
