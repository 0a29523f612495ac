//! Many seeds, on several threads, until one fails.

use std::cell::Cell;
use std::ops::Range;
use std::panic::{self, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Counts, Outcome, Trace, run};

thread_local! {
    /// The seed that runs on this thread.
    static RUNNING: Cell<Option<u64>> = const { Cell::new(None) };
}

/// What many runs came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// Runs.
    pub runs: u64,
    /// What clients did in all of them.
    pub counts: Counts,
    /// Starts of brokers.
    pub starts: u64,
    /// Time that passed inside.
    pub virtual_time: Duration,
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.counts.acknowledged += other.counts.acknowledged;
        self.counts.read += other.counts.read;
        self.counts.failures += other.counts.failures;
        self.counts.topics += other.counts.topics;
        self.starts += other.starts;
        self.virtual_time += other.virtual_time;
    }

    fn of(outcome: &Outcome) -> Self {
        Self { runs: 1, counts: outcome.counts, starts: outcome.starts, virtual_time: outcome.virtual_time }
    }
}

/// A seed that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Failed {
    /// Which.
    pub seed: u64,
}

/// How to see what happened.
pub fn command(seed: u64) -> String {
    format!("cargo run --release -p ringlog-sim -- --seed {seed} --trace")
}

/// Makes every panic name the seed that runs: where a panic ends the process at once, nothing else would.
pub fn name_failures() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if let Some(seed) = RUNNING.get() {
            eprintln!("\nseed {seed} fails; see it with: {}", command(seed));
        }
        before(info);
    }));
}

/// Runs one seed, on this thread.
fn run_one(seed: u64) -> Result<Outcome, Failed> {
    RUNNING.set(Some(seed));
    let outcome = catch_unwind(|| run(seed, Trace::Off)).map_err(|_| Failed { seed });
    RUNNING.set(None);
    outcome
}

/// Runs the seeds in their order on as many threads as there are cores, until the first failure or until the time is over.
pub fn run_all(seeds: Range<u64>, time_max: Option<Duration>) -> Result<Sum, Failed> {
    let began = Instant::now();
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let worker = || {
        let mut sum = Sum::default();
        while !has_failed.load(Ordering::Relaxed) && time_max.is_none_or(|time| began.elapsed() < time) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                break;
            }
            let outcome = run_one(seed).inspect_err(|_| has_failed.store(true, Ordering::Relaxed))?;
            sum.add(&Sum::of(&outcome));
        }
        Ok(sum)
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().map(|worker| worker.join().expect("failures were caught")).collect()
    });
    let mut total = Sum::default();
    for result in results {
        total.add(&result?);
    }
    Ok(total)
}
