//! `overhead`: what observing costs of a request: counters with their clocks, and the recorder of single requests.
//!
//! A difference of two measured times cannot show one part in a hundred on a machine that others use. So the work is counted
//! and only its price is measured: callgrind tells how often each instruction of a scene is executed, in the simulator,
//! where every run is the same; debug information tells what each was inlined from; and a broker process serves the same
//! scene on a ring, for the CPU time that a request takes altogether. An error of a tenth in a price is a tenth of one
//! part in a hundred.
//!
//! An instruction costs what one of the broker's costs on average: its time in user space over the instructions of the
//! simulated shard. The time has those of the ring's backend in it and the count has not, so the price is rather too high.
//! A reading of the clock costs what it takes here, in a loop.

mod attribution;
mod profile;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

use crate::Setup;
use crate::broker::{self, Broker, Cores, cpu_times};
use crate::client::Receive;
use crate::gate::valgrind;
use crate::gate::{self, Times};
use crate::interrupt::Leftovers;
use crate::load::{self, Counts};
use crate::report::{Target, figure, median, number};
use crate::scene::Scene;
use crate::usage::thread_cpu;
use attribution::{Attributed, Observer, Part, ProgramFrames, Work, attribute};
use profile::Profile;

/// The small requests: one alone, many at a time, and a fetch.
const SCENES: [Scene; 3] = [Scene::ProduceOne, Scene::ProduceMany, Scene::FetchTail];
/// The most that each observer may take of the CPU time of a small request, in percent.
const SHARE_PERCENT_MAX: f64 = 1.0;
/// Readings of the clock in one measurement of what one costs, and such measurements.
const CLOCK_READS: u32 = 200_000;
const CLOCK_RUNS: usize = 9;

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let scratch = broker::folder(setup)?.join(format!("overhead-{}", std::process::id()));
    let leftovers = Leftovers::folder(&scratch).with_context(|| scratch.display().to_string())?;
    let frames = ProgramFrames::of_this_program()?;
    let clock_ns = clock_ns();
    println!("clock: {clock_ns:.1} ns a reading");
    for scene in SCENES {
        let work = count(scene, &frames, &scratch)?;
        let measured = (0..setup.runs()).map(|_| measure(setup, scene)).collect::<anyhow::Result<Vec<Measured>>>()?;
        tell(scene, &work, &measured, clock_ns);
    }
    drop(leftovers);
    Ok(())
}

/// Counts the work of one request of the scene, in the simulator.
fn count(scene: Scene, frames: &ProgramFrames, scratch: &Path) -> anyhow::Result<Attributed> {
    let times = Times::of(scene);
    let program = std::env::current_exe().context("this program's path")?;
    let run = |times| -> anyhow::Result<Profile> {
        let text = valgrind::profile(&gate::scene(scene.name(), times)?, &scratch.join(scene.name()))?;
        Profile::parse(&text, &program.display().to_string())
    };
    let (short, long) = (run(times.short)?, run(times.long)?);
    let mut work = attribute(&long.beyond(&short), frames, times.requests)?;
    let turns = gate::turns(scene)?;
    for (_, of_turns) in work.parts.iter_mut().filter(|(part, _)| part.name == attribution::TURNS) {
        // The clients have turns as well, on a shard of their own; each reads the clock once more to be measured.
        let ours = turns / of_turns.clock_reads;
        of_turns.instructions *= ours;
        of_turns.clock_reads = turns;
    }
    Ok(work)
}

/// What a broker's process has used for one request, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Measured {
    cpu_ns: f64,
    /// Of that, in user space.
    user_ns: f64,
}

/// Lets a broker process serve the scene, with as many connections as in the simulator.
fn measure(setup: &Setup, scene: Scene) -> anyhow::Result<Measured> {
    let mut broker = Broker::start(setup, Cores::One)?;
    let process = broker.id();
    let duration = setup.measured();
    let (measured, used) = load::run(&mut broker, setup, move |load| async move {
        let mut first = load.connect(Receive::Pooled).await?;
        let topic = first.create_topic("scene", 1).await?;
        for frame in scene.preparation(topic)? {
            crate::requests::check_produced(&first.call(frame).await?)?;
        }
        let request = scene.request(topic)?;
        for _ in 0..scene.connections() {
            let (mut connection, request) = (load.connect(Receive::Pooled).await?, request.clone());
            let counts = std::rc::Rc::clone(&load.counts);
            load.spawn(async move {
                loop {
                    scene.check(&connection.call(request.clone()).await?)?;
                    Counts::add(&counts.requests, 1);
                }
            });
        }
        let measured = load.measure(duration).await?;
        // Of its whole life: what comes before the requests is little.
        Ok((measured, cpu_times(process)?))
    })?;
    broker.stop()?;
    let cpu_ns = 1e9 * measured.broker_cpu_seconds / number(measured.requests);
    Ok(Measured { cpu_ns, user_ns: cpu_ns * used.user / (used.user + used.kernel) })
}

/// What a reading of the monotonic clock costs, as the broker reads it.
fn clock_ns() -> f64 {
    let run = || {
        let before = thread_cpu();
        for _ in 0..CLOCK_READS {
            std::hint::black_box(clock_gettime(ClockId::Monotonic));
        }
        thread_cpu().saturating_sub(before).as_secs_f64() * 1e9 / f64::from(CLOCK_READS)
    };
    median(&(0..CLOCK_RUNS).map(|_| run()).collect::<Vec<f64>>())
}

/// Prices of the work, in nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Prices {
    instruction_ns: f64,
    clock_ns: f64,
}

impl Prices {
    fn of(self, work: Work) -> f64 {
        work.instructions * self.instruction_ns + work.clock_reads * self.clock_ns
    }
}

/// Work of one observer; `None` where nothing of it is in the program.
fn total(parts: &BTreeMap<Part, Work>, observer: Observer) -> Option<Work> {
    let works = parts.iter().filter(|(part, _)| part.observer == observer).map(|(_, work)| *work);
    works.reduce(|mut sum, work| {
        sum += work;
        sum
    })
}

/// Prints the table of a scene, and whether the targets are met.
fn tell(scene: Scene, work: &Attributed, measured: &[Measured], clock_ns: f64) {
    let each = |of: fn(&Measured) -> f64| measured.iter().map(of).collect::<Vec<f64>>();
    let (cpu, user) = (each(|run| run.cpu_ns), each(|run| run.user_ns));
    let cpu_ns = median(&cpu);
    let prices = |user_ns: f64| Prices { instruction_ns: user_ns / work.all.instructions, clock_ns };
    let usual = prices(median(&user));
    println!("\n{}: {:.3} ns an instruction", scene.name(), usual.instruction_ns);
    println!("{:<24} {:>12} {:>12} {:>10} {:>8}", "of one request", "instructions", "clock reads", "ns", "of CPU");
    let line = |name: &str, Work { instructions, clock_reads }: Work, ns: f64| {
        println!("{name:<24} {instructions:>12.1} {clock_reads:>12.2} {ns:>10.1} {:>7.2}%", 100.0 * ns / cpu_ns);
    };
    line("everything", work.all, cpu_ns);
    for (part, work) in &work.parts {
        line(&format!("{}: {}", part.observer.name(), part.name), *work, usual.of(*work));
    }
    figure("broker CPU", "ns/request", &cpu, Target::None);
    figure("of it in user space", "ns/request", &user, Target::None);
    for observer in [Observer::Counters, Observer::Recorder] {
        let Some(work) = total(&work.parts, observer) else {
            println!("{}: nothing of it is in the program", observer.name());
            continue;
        };
        let share = |run: &Measured| 100.0 * prices(run.user_ns).of(work) / run.cpu_ns;
        let shares: Vec<f64> = measured.iter().map(share).collect();
        figure(observer.name(), "% of the CPU of a request", &shares, Target::AtMost(SHARE_PERCENT_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_of_an_observer_is_added_up() {
        let part = |observer, name| Part { observer, name };
        let work = |instructions, clock_reads| Work { instructions, clock_reads };
        let parts = BTreeMap::from([
            (part(Observer::Counters, "requests"), work(100.0, 3.0)),
            (part(Observer::Counters, "turns"), work(20.0, 0.5)),
        ]);
        let counters = total(&parts, Observer::Counters).expect("there are two parts");
        assert_eq!(counters, work(120.0, 3.5));
        assert_eq!(total(&parts, Observer::Recorder), None);
        let prices = Prices { instruction_ns: 0.25, clock_ns: 20.0 };
        assert!((prices.of(counters) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn a_clock_costs_something() {
        assert!(clock_ns() > 0.0);
    }
}
