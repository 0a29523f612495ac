//! `gate`: counts what one request costs, and holds the counts against ceilings that only fall. Nothing here is a time:
//! a count is the same on a busy machine, so a gate of counts fails for a reason.

mod ceilings;
mod strace;
pub(crate) mod valgrind;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context as _, bail};

use crate::Setup;
use crate::broker;
use crate::interrupt::{Leftovers, Process};
use crate::report::number;
use crate::scene::{Counted, Scene};
use ceilings::{Ceilings, Counts, Verdict};
use valgrind::{Mode, Places, Program, Whose};

/// The pure paths of `ringlog-paths`.
const PATHS: [&str; 4] = ["append-one", "append-sixteen", "fetch-last", "fetch-many"];
const PATH_TIMES: u32 = 1000;
/// The scenes that are counted on a ring: requests that the kernel moves in one piece.
const ON_RING: [Scene; 3] = [Scene::ProduceOne, Scene::ProduceSixteen, Scene::FetchTail];
/// The least of so many counts is that of the broker: what else wakes its thread only adds.
const RING_RUNS: usize = 3;
/// Places that are told of a count that is above its ceiling.
const PLACES_TOLD_MAX: usize = 8;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file of the ceilings.
    #[arg(long, default_value = "bench/results/ceilings.toml")]
    ceilings: PathBuf,
    /// Lower the ceilings to what is counted now, and record what has none yet.
    #[arg(long)]
    record: bool,
    /// Raise the ceilings that are exceeded, too; the reason is kept in their file.
    #[arg(long, value_name = "REASON", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    raise: Option<String>,
    /// Tell where each scene allocates and copies, whatever its ceilings say.
    #[arg(long)]
    places: bool,
}

pub(crate) fn run(setup: &Setup, arguments: &Arguments) -> anyhow::Result<()> {
    let mut ceilings = Ceilings::read(&arguments.ceilings)?;
    let scratch = broker::folder(setup)?.join(format!("gate-{}", std::process::id()));
    let leftovers = Leftovers::folder(&scratch).with_context(|| scratch.display().to_string())?;
    let counted = count(&scratch)?;
    drop(leftovers);
    if arguments.record || arguments.raise.is_some() {
        ceilings.record(&counted.counts, arguments.raise.as_deref());
        ceilings.write(&arguments.ceilings)?;
    }
    tell(&ceilings, &counted, arguments.places)
}

/// One run of a program, and what is counted of it.
#[derive(Clone, Debug)]
struct Job {
    /// Scene or path.
    of: &'static str,
    times: Times,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// Turns and operations, as the scene itself counts them.
    Turns,
    PathInstructions,
    Instructions,
    Places(Mode),
}

/// How long two runs are; what the longer one takes more is that of `requests`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) short: u32,
    pub(crate) long: u32,
    /// Requests that the longer one has more.
    pub(crate) requests: u32,
}

impl Times {
    pub(crate) fn of(scene: Scene) -> Self {
        let (short, long) = match scene {
            Scene::ProduceMany => (5, 15),
            Scene::ProduceLarge => (10, 30),
            _ => (100, 300),
        };
        Self { short, long, requests: (long - short) * scene.connections() }
    }

    const PATH: Self = Self { short: PATH_TIMES, long: 2 * PATH_TIMES, requests: PATH_TIMES };
    const RING: Self = Self { short: 200, long: 600, requests: 400 };
}

/// Everything that was counted, for one request.
#[derive(Debug, Default)]
struct All {
    counts: Counts,
    /// Where allocations and copies are asked for.
    places: BTreeMap<(String, String), Places>,
    skipped: Vec<String>,
}

impl All {
    fn add(&mut self, of: &str, count: &str, value: f64) {
        let rounded = if count == "instructions" { value.round() } else { (1000.0 * value).round() / 1000.0 };
        self.counts.entry(of.to_owned()).or_default().insert(count.to_owned(), rounded);
    }

    fn add_places(&mut self, of: &str, count: &str, places: Places) {
        self.add(of, count, places.values().sum());
        self.places.insert((of.to_owned(), count.to_owned()), places);
    }
}

fn count(scratch: &Path) -> anyhow::Result<All> {
    let mut all = All::default();
    count_on_ring(scratch, &mut all)?;
    let mut jobs = VecDeque::new();
    for of in PATHS {
        jobs.push_back(Job { of, times: Times::PATH, what: What::PathInstructions });
    }
    for scene in Scene::ALL {
        let (of, times) = (scene.name(), Times::of(scene));
        let whats = [What::Turns, What::Instructions, What::Places(Mode::Allocations), What::Places(Mode::Copies)];
        jobs.extend(whats.map(|what| Job { of, times, what }));
    }
    let (jobs, all) = (Mutex::new(jobs), Mutex::new(all));
    let next = || jobs.lock().expect("nobody panics with it").pop_front();
    // Counts do not mind company.
    thread::scope(|scope| {
        let worker = || -> anyhow::Result<()> {
            while let Some(job) = next() {
                job.run(scratch, &all)?;
            }
            Ok(())
        };
        let workers: Vec<_> =
            (0..thread::available_parallelism().map_or(1, usize::from)).map(|_| scope.spawn(worker)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a worker has panicked"))
    })?;
    Ok(all.into_inner().expect("nobody panics with it"))
}

impl Job {
    fn run(&self, scratch: &Path, all: &Mutex<All>) -> anyhow::Result<()> {
        let Self { of, times, what } = self;
        let requests = f64::from(times.requests);
        let of_one = |total: fn(&Counted) -> u64, runs: &[Counted; 2]| {
            (number(total(&runs[1])) - number(total(&runs[0]))) / requests
        };
        let lock = || all.lock().expect("nobody panics with it");
        match *what {
            What::Turns => {
                let runs = counted(of, *times)?;
                lock().add(of, "turns", of_one(|run| run.turns, &runs));
                lock().add(of, "operations", of_one(|run| run.operations, &runs));
            }
            What::PathInstructions | What::Instructions => {
                let file = scratch.join(format!("{of}-instructions"));
                let run = |times| match what {
                    What::PathInstructions => valgrind::instructions(&path(of, times)?, Whose::Program, &file),
                    _ => valgrind::instructions(&scene(of, times)?, Whose::Shards, &file),
                };
                let (short, long) = (run(times.short)?, run(times.long)?);
                lock().add(of, "instructions", (long - short) / requests);
            }
            What::Places(mode) => {
                let file = scratch.join(format!("{of}-{mode:?}"));
                let run = |times| valgrind::places(&scene(of, times)?, mode, &file);
                let (short, mut places) = (run(times.short)?, run(times.long)?);
                for (place, count) in short {
                    *places.entry(place).or_default() -= count;
                }
                for count in places.values_mut() {
                    *count /= requests;
                }
                let count = match mode {
                    Mode::Allocations => "allocations",
                    Mode::Copies => "copied-bytes",
                };
                lock().add_places(of, count, places);
            }
        }
        Ok(())
    }
}

/// Counts on a ring of this kernel, one run after the other, where that is possible.
fn count_on_ring(scratch: &Path, all: &mut All) -> anyhow::Result<()> {
    let on_ring = |scene: Scene, times| {
        let mut program = self::scene(scene.name(), times)?;
        program.arguments.extend(["--uring".to_owned(), "--folder".to_owned(), scratch.display().to_string()]);
        anyhow::Ok(program)
    };
    if let Err(refusal) = output(&on_ring(Scene::FetchTail, 1)?) {
        all.skipped.push(format!("enters and syscalls: no ring here: {refusal:#}"));
        return Ok(());
    }
    let traced = Process::output(Command::new("strace").args(["-f", "-qq", "-o", "/dev/null", "true"]));
    if !traced.is_ok_and(|output| output.status.success()) {
        all.skipped.push("enters and syscalls: strace is not there, or may not trace".to_owned());
        return Ok(());
    }
    for scene in ON_RING {
        let file = scratch.join("strace");
        let times = Times::RING;
        let (mut enters, mut syscalls) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..RING_RUNS {
            let run = |times| strace::calls(&on_ring(scene, times)?, &file);
            let (short, long) = (run(times.short)?, run(times.long)?);
            let of_one = |short, long| (number(long) - number(short)) / f64::from(times.requests);
            enters = enters.min(of_one(short.enters, long.enters));
            syscalls = syscalls.min(of_one(short.syscalls, long.syscalls));
        }
        all.add(scene.name(), "enters", enters);
        all.add(scene.name(), "syscalls", syscalls);
    }
    Ok(())
}

/// What the simulator counts of a shorter and of a longer run.
fn counted(of: &str, times: Times) -> anyhow::Result<[Counted; 2]> {
    let run = |times| -> anyhow::Result<Counted> { Ok(serde_json::from_str(&output(&scene(of, times)?)?)?) };
    Ok([run(times.short)?, run(times.long)?])
}

/// Turns of the broker's shard for one request of a scene, in the simulator.
pub(crate) fn turns(scene: Scene) -> anyhow::Result<f64> {
    let times = Times::of(scene);
    let [short, long] = counted(scene.name(), times)?;
    Ok((number(long.turns) - number(short.turns)) / f64::from(times.requests))
}

/// This program, for a run of a scene in the simulator.
pub(crate) fn scene(of: &str, times: u32) -> anyhow::Result<Program> {
    let path = std::env::current_exe().context("this program's path")?;
    Ok(Program { path, arguments: vec!["scene".to_owned(), of.to_owned(), times.to_string()] })
}

fn path(of: &str, times: u32) -> anyhow::Result<Program> {
    let path = std::env::current_exe().context("this program's path")?.with_file_name("ringlog-paths");
    Ok(Program { path, arguments: vec![of.to_owned(), times.to_string()] })
}

/// What a program prints.
fn output(program: &Program) -> anyhow::Result<String> {
    let mut command = Command::new(&program.path);
    let output =
        Process::output(command.args(&program.arguments)).with_context(|| program.path.display().to_string())?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Prints every count beside its ceiling, and what to do. An error if one is above.
fn tell(ceilings: &Ceilings, all: &All, tell_places: bool) -> anyhow::Result<()> {
    let (mut exceeded, mut fallen, mut new) = (0, 0, 0);
    println!("{:<16} {:<13} {:>14} {:>14}", "of one request", "count", "now", "ceiling");
    for (of, counts) in &all.counts {
        for (count, &now) in counts {
            let verdict = ceilings.judge(of, count, now);
            let ceiling = ceilings.of(of, count).map_or_else(|| "none".to_owned(), |ceiling| ceiling.to_string());
            let mark = match verdict {
                Verdict::Held => "",
                Verdict::New => "NEW",
                Verdict::Fallen => "fallen",
                Verdict::Exceeded => "ABOVE",
            };
            println!("{of:<16} {count:<13} {now:>14} {ceiling:>14} {mark}");
            exceeded += u32::from(verdict == Verdict::Exceeded);
            fallen += u32::from(verdict == Verdict::Fallen);
            new += u32::from(verdict == Verdict::New);
            if verdict == Verdict::Exceeded || tell_places {
                let places = all.places.get(&(of.clone(), count.clone()));
                tell_most(places.unwrap_or(&Places::new()));
            }
        }
    }
    for skipped in &all.skipped {
        println!("SKIPPED {skipped}");
    }
    if fallen > 0 {
        println!("{fallen} fell by more than 5 %. Lower their ceilings, so that they stay there: bench/gate --record");
    }
    match (exceeded, new) {
        (0, 0) => Ok(()),
        (0, new) => bail!("{new} counts have no ceiling yet: bench/gate --record"),
        (exceeded, _) => bail!(
            "{exceeded} counts are above their ceilings: find what the change does more than before and take it out; \
             if what it brings is worth that, bench/gate --raise 'why it is'"
        ),
    }
}

/// Prints the places that ask for most.
fn tell_most(places: &Places) {
    let mut most: Vec<_> = places.iter().collect();
    most.sort_by(|one, other| other.1.total_cmp(one.1));
    for (place, count) in most.into_iter().take(PLACES_TOLD_MAX).filter(|(_, count)| **count >= 0.01) {
        println!("    {count:>14.2} {place}");
    }
}
