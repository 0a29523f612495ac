//! One suite for every backend: what the reactor promises, whoever performs it.
//!
//! A case is an `async fn` that gets its shard's [`Here`]; [`on_every_backend`] makes a test of it per backend.

mod files;
mod limits;
mod loose;
mod mesh;
mod sockets;
mod soundness;
mod tasks;

use std::cell::RefCell;
use std::future::Future;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use ringlog_buffer::{Chunk, Slice};
use ringlog_reactor::sim::{Sim, SimOptions};
use ringlog_reactor::{BackendChoice, BackendKind, Limits, Mesh, Reactor, ShardSpec, launch};

/// What performs the operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    Uring,
    Posix,
    Sim,
}

/// What a case is run with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) shards: usize,
    pub(crate) limits: Limits,
}

impl Setup {
    pub(crate) fn shards(shards: usize) -> Self {
        Self { shards, limits: Limits::default() }
    }
}

/// One shard of a case.
#[derive(Clone)]
pub(crate) struct Here<M = Box<u64>> {
    pub(crate) reactor: Reactor,
    /// Messages are boxed, so that a lost or doubled one is a leak or a crash.
    pub(crate) mesh: Mesh<M>,
    /// Empty, on a real disk where the backend is a real one.
    pub(crate) directory: PathBuf,
    pub(crate) backend: Backend,
}

impl<M> Here<M> {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// The seeds that each case is simulated with, twice each.
const SEEDS: std::ops::Range<u64> = 0..8;

/// Runs a case on every shard, and gives the shards' results.
pub(crate) fn run<M, T, F, Fut>(backend: Backend, setup: Setup, case: F) -> Vec<T>
where
    M: Send + 'static,
    T: Send + 'static,
    F: Fn(Here<M>) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = T> + 'static,
{
    let choice = match backend {
        Backend::Uring => BackendChoice::Uring,
        Backend::Posix => BackendChoice::Posix,
        Backend::Sim => {
            let mut results = Vec::new();
            for seed in SEEDS {
                let first = simulate(seed, setup, case.clone());
                let second = simulate(seed, setup, case.clone());
                assert_eq!(first.1, second.1, "seed {seed} repeats itself");
                results = second.0;
            }
            return results;
        }
    };
    let directory = fresh_directory();
    let specs = vec![ShardSpec::default(); setup.shards];
    let here = directory.clone();
    let shards = launch(&specs, choice, setup.limits, move |reactor, mesh| {
        case(Here { reactor, mesh, directory: here.clone(), backend })
    })
    .expect("the backend runs on this machine");
    let kind = if backend == Backend::Uring { BackendKind::Uring } else { BackendKind::Posix };
    assert_eq!(shards.backend(), kind);
    let results = shards.join();
    std::fs::remove_dir_all(&directory).expect("the case has left its directory");
    results.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The results of a case in the order of shards, and the hash of its run.
fn simulate<M, T, F, Fut>(seed: u64, setup: Setup, case: F) -> (Vec<T>, u64)
where
    M: Send + 'static,
    T: 'static,
    F: Fn(Here<M>) -> Fut + Clone + 'static,
    Fut: Future<Output = T> + 'static,
{
    let options = SimOptions { limits: setup.limits, ..SimOptions::default() };
    let mut sim = Sim::new(seed, options);
    let results: Rc<RefCell<Vec<(usize, T)>>> = Rc::default();
    let sink = Rc::clone(&results);
    sim.start_node("suite", setup.shards, move |reactor: Reactor, mesh: Mesh<M>| {
        let (case, sink) = (case.clone(), Rc::clone(&sink));
        async move {
            let directory = PathBuf::from("/suite");
            if let Err(error) = reactor.create_dir(&directory).await {
                assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "only another shard makes it");
            }
            let index = mesh.index();
            let result = case(Here { reactor, mesh, directory, backend: Backend::Sim }).await;
            sink.borrow_mut().push((index, result));
        }
    });
    sim.run_until(|_| results.borrow().len() == setup.shards);
    let mut results = results.take();
    results.sort_by_key(|(index, _)| *index);
    (results.into_iter().map(|(_, result)| result).collect(), sim.trace_hash())
}

/// A directory of this case's own, on the disk that holds the build.
fn fresh_directory() -> PathBuf {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let name = format!("reactor-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&directory).expect("the build's directory can be written");
    directory
}

/// Makes a test per backend of every case.
#[macro_export]
macro_rules! on_every_backend {
    ($setup:expr; $($case:ident),+ $(,)?) => {
        $crate::on_every_backend! { @backend uring Uring, $setup; $($case)+ }
        $crate::on_every_backend! { @backend posix Posix, $setup; $($case)+ }
        $crate::on_every_backend! { @backend sim Sim, $setup; $($case)+ }
    };
    (@backend $module:ident $backend:ident, $setup:expr; $($case:ident)+) => {
        mod $module {
            #[allow(unused_imports, reason = "the setup may name anything of its file")]
            use super::*;
            $(
                #[test]
                fn $case() {
                    $crate::run($crate::Backend::$backend, $setup, super::$case);
                }
            )+
        }
    };
}

/// Whole blocks that tell where they belong.
pub(crate) fn blocks(count: usize, salt: u8) -> Slice {
    let mut chunk = Chunk::with_capacity(count * ringlog_buffer::BLOCK_BYTES);
    for at in 0..count * ringlog_buffer::BLOCK_BYTES {
        let block = u8::try_from(at / ringlog_buffer::BLOCK_BYTES % 251).expect("less than 251");
        chunk.append(&[block.wrapping_add(salt)]);
    }
    chunk.freeze()
}

/// Bytes that tell where they belong.
pub(crate) fn pattern(bytes: usize) -> Slice {
    let mut chunk = Chunk::with_capacity(bytes);
    let period: Vec<u8> = (0..251).collect();
    while chunk.len() < bytes {
        chunk.append(&period[..period.len().min(bytes - chunk.len())]);
    }
    chunk.freeze()
}
