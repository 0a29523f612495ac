//! Starting the shards of a real process: one pinned thread each, with a reactor of its own.

use std::fmt;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::mpsc;
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
    threads: Vec<JoinHandle<T>>,
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
        self.threads.into_iter().map(JoinHandle::join).collect()
    }
}

/// Starts a thread per shard and runs `main` on each. A shard ends when its main future does: its other tasks are
/// dropped then, and operations in flight are waited for.
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
    let (kind, mut warnings) = choose(choice, &limits)?;
    let (report, reports) = mpsc::channel();
    let mut threads = Vec::with_capacity(specs.len());
    for (shard, (spec, seat)) in specs.iter().copied().zip(seats(specs.len(), limits.mesh_messages)).enumerate() {
        let (main, report) = (main.clone(), report.clone());
        let thread = thread::Builder::new()
            .name(format!("shard-{shard}"))
            .spawn(move || {
                let pinned = spec.core.is_none_or(pin);
                let _ = report.send((shard, pinned));
                drop(report);
                run_shard(kind, limits, seat, main)
            })
            .map_err(|error| LaunchError::Thread { shard, error })?;
        threads.push(thread);
    }
    drop(report);
    for (shard, pinned) in reports {
        if !pinned {
            warnings.push(format!(
                "shard {shard} runs unpinned: core {} is not available to this process",
                specs[shard].core.expect("a shard without a core counts as pinned")
            ));
        }
    }
    Ok(Shards { threads, backend: kind, warnings })
}

/// Pins this thread, if the core is one of those that it may run on. Answers whether it did.
fn pin(core: usize) -> bool {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    cores.into_iter().find(|id| id.id == core).is_some_and(core_affinity::set_for_current)
}

/// Tries the preferred backend once, on this thread, before any shard relies on it.
fn choose(choice: BackendChoice, limits: &Limits) -> Result<(BackendKind, Vec<String>), LaunchError> {
    let refusal = match choice {
        BackendChoice::Posix => return Ok((BackendKind::Posix, Vec::new())),
        BackendChoice::Auto | BackendChoice::Uring => match Uring::new(limits) {
            Ok(_) => return Ok((BackendKind::Uring, Vec::new())),
            Err(refusal) => refusal,
        },
    };
    if choice == BackendChoice::Uring {
        return Err(LaunchError::Backend { kind: BackendKind::Uring, refusal });
    }
    let warning = format!(
        "io_uring is refused ({refusal}), so the posix backend runs instead: the same behaviour, with more CPU per \
         request and a thread hand-over for every disk operation. Allow io_uring_setup, io_uring_enter and \
         io_uring_register (container seccomp profile, sysctl kernel.io_uring_disabled, memlock limit) to get it back"
    );
    Ok((BackendKind::Posix, vec![warning]))
}

fn run_shard<M, T, F, Fut>(kind: BackendKind, limits: Limits, seat: Seat<M>, main: F) -> T
where
    M: Send + 'static,
    T: 'static,
    F: Fn(Reactor, Mesh<M>) -> Fut,
    Fut: Future<Output = T> + 'static,
{
    let backend: Box<dyn Backend> = match kind {
        BackendKind::Uring => Box::new(Uring::new(&limits).expect("a ring was set up just before")),
        BackendKind::Posix => Box::new(Posix::new(&limits).expect("epoll and eventfd are there on every Linux")),
    };
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
