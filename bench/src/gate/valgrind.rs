//! Counting under valgrind: instructions with callgrind, allocations and copied bytes with dhat.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;

use crate::interrupt::Process;

/// Frames of a stack that valgrind looks at. Dropping a list may take many.
const FRAMES_MAX: usize = 200;
/// Where a shard's own work begins; it is never inlined.
const TURN: (&str, &str) = ("turn", "engine/reactor/src/core.rs");
/// What a shard's turn calls that is no work of its own: the simulator under it, and the client.
pub(crate) const OTHERS: [&str; 2] = ["engine/reactor/src/sim/", "bench/src/"];
/// The switch of callgrind: on in a turn, and off in the simulator's backend.
const SWITCHES: [&str; 2] = [
    "--toggle-collect=*ringlog_reactor::core::Core::turn*",
    "--toggle-collect=*ringlog_reactor::sim::world::SimBackend as ringlog_reactor::backend::Backend*",
];

/// The source of the C library's allocator.
const ALLOCATOR: &str = "malloc/malloc.c";

/// What dhat looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    Allocations,
    Copies,
}

/// Work by the place in our code that asks for it.
pub(crate) type Places = BTreeMap<String, f64>;

/// Whose instructions count.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose {
    /// Everybody's.
    Program,
    /// Those of turns of shards.
    Shards,
}

/// A program with its arguments.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// Instructions of a whole run, but for those of the allocator: what these are depends on where in the heap it finds room,
/// and so on as little as the length of a path. Allocations have a count of their own.
pub(crate) fn instructions(program: &Program, whose: Whose, scratch: &Path) -> anyhow::Result<f64> {
    let switches: &[&str] = match whose {
        Whose::Program => &[],
        Whose::Shards => &SWITCHES,
    };
    Ok(crate::report::number(without_allocator(&callgrind(program, switches, scratch)?)?))
}

/// Instructions of turns of shards, one by one, as callgrind writes them down.
pub(crate) fn profile(program: &Program, scratch: &Path) -> anyhow::Result<String> {
    callgrind(program, &[&["--dump-instr=yes"][..], &SWITCHES].concat(), scratch)
}

/// What callgrind writes down of a run.
fn callgrind(program: &Program, arguments: &[&str], scratch: &Path) -> anyhow::Result<String> {
    let out = format!("--callgrind-out-file={}", scratch.display());
    run(program, &[&["--tool=callgrind", &out][..], arguments].concat())?;
    let text = fs::read_to_string(scratch).with_context(|| scratch.display().to_string())?;
    drop(fs::remove_file(scratch));
    Ok(text)
}

/// The sum of what callgrind has written down of functions that are not the allocator's.
fn without_allocator(text: &str) -> anyhow::Result<u64> {
    // A file has its number and its path the first time, `(3) ./malloc/malloc.c`, and `(3)` from then on.
    let mut allocator = None;
    let (mut counts, mut is_of_call) = (true, false);
    let (mut all, mut sum) = (0, 0);
    for line in text.lines() {
        let (key, value) = line.split_once('=').unwrap_or(("", line));
        match key {
            "fl" | "fi" | "fe" | "cfi" | "cfl" => {
                let (number, path) = value.split_once(' ').unwrap_or((value, ""));
                if path.ends_with(ALLOCATOR) {
                    allocator = Some(number);
                }
                // The others tell of what is inlined or called.
                if key == "fl" {
                    counts = allocator != Some(number);
                }
            }
            // What stands in the next line is that of the function called, and is told there as well.
            "calls" => is_of_call = true,
            "" if value.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) => {
                let cost: u64 = value
                    .rsplit_once(' ')
                    .and_then(|(_, cost)| cost.parse().ok())
                    .with_context(|| format!("callgrind tells no count: {line}"))?;
                if !std::mem::take(&mut is_of_call) {
                    all += cost;
                    sum += if counts { cost } else { 0 };
                }
            }
            _ => {}
        }
    }
    ensure!(all > 0, "callgrind finds no turn of a shard: has `Core::turn` another name?");
    ensure!(
        allocator.is_some(),
        "callgrind does not find the allocator: are the C library's symbols there (libc6-dbg)?"
    );
    Ok(sum)
}

/// Allocations, or copied bytes, that shards ask for, by place.
pub(crate) fn places(program: &Program, mode: Mode, scratch: &Path) -> anyhow::Result<Places> {
    let out = format!("--dhat-out-file={}", scratch.display());
    let frames = format!("--num-callers={FRAMES_MAX}");
    let mode_argument = match mode {
        Mode::Allocations => "--mode=heap",
        Mode::Copies => "--mode=copy",
    };
    run(program, &["--tool=dhat", mode_argument, &out, &frames, "--fullpath-after=", "--read-inline-info=yes"])?;
    let text = fs::read(scratch).with_context(|| scratch.display().to_string())?;
    drop(fs::remove_file(scratch));
    let profile: Profile = serde_json::from_slice(&text).context("dhat's output")?;
    let places = profile.places(mode)?;
    ensure!(!places.is_empty(), "dhat finds no turn of a shard: is the program without its lines?");
    Ok(places)
}

/// Runs a program under valgrind; answers what valgrind says.
fn run(program: &Program, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("valgrind");
    command.args(arguments).arg(&program.path).args(&program.arguments);
    let output = Process::output(&mut command).context("valgrind cannot be run")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{said}", output.status);
    }
    Ok(said)
}

/// As much of dhat's output as is of interest.
#[derive(Debug, Deserialize)]
struct Profile {
    #[serde(rename = "pps")]
    points: Vec<Point>,
    #[serde(rename = "ftbl")]
    frames: Vec<String>,
}

/// Where a program allocates or copies.
#[derive(Debug, Deserialize)]
struct Point {
    #[serde(rename = "tb")]
    bytes: u64,
    #[serde(rename = "tbk")]
    blocks: u64,
    /// Of the stack, from within.
    #[serde(rename = "fs")]
    frames: Vec<usize>,
}

impl Profile {
    fn places(&self, mode: Mode) -> anyhow::Result<Places> {
        let mut places = Places::new();
        for point in &self.points {
            let frames: Option<Vec<&str>> =
                point.frames.iter().map(|index| self.frames.get(*index).map(String::as_str)).collect();
            let Some(place) = place(&frames.context("a frame that is not in the table")?) else { continue };
            let count = match mode {
                Mode::Allocations => point.blocks,
                Mode::Copies => point.bytes,
            };
            *places.entry(place).or_default() += crate::report::number(count);
        }
        Ok(places)
    }
}

/// The innermost place in our code, of a stack within a turn of a shard that is the shard's own work.
fn place(frames: &[&str]) -> Option<String> {
    let turn = frames.iter().position(|frame| {
        let (name, source) = parts(frame);
        source.contains(TURN.1) && name.rsplit("::").next().is_some_and(|name| name.starts_with(TURN.0))
    })?;
    let within = frames[..turn].iter().map(|frame| parts(frame).1);
    if within.clone().any(|source| OTHERS.iter().any(|other| source.contains(other))) {
        return None;
    }
    let top = env!("CARGO_MANIFEST_DIR").trim_end_matches("bench");
    Some(within.clone().find_map(|source| source.strip_prefix(top)).unwrap_or("elsewhere").to_owned())
}

/// Name and source of a frame such as `0x4D2285: ringlog::main (/src/main.rs:157)`.
fn parts(frame: &str) -> (&str, &str) {
    let name = frame.split_once(": ").map_or(frame, |(_, name)| name);
    name.rsplit_once(" (").map_or((name, ""), |(name, source)| (name, source.trim_end_matches(')')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "\
positions: line
events: Ir

ob=(1) /usr/lib/libc.so.6
fl=(7) ./malloc/./malloc/malloc.c
fn=(1) malloc
10 1000
fi=(8) ./malloc/arena.h
20 500
fe=(7)
+1 1

fn=(2) free
30 2000

ob=(2) /target/release/ringlog-bench
fl=(9) src/main.rs
fn=(3) respond
1 5
cob=(1)
cfi=(7)
cfn=(1)
calls=2 10
* 1501
fi=(10) src/inlined.rs
-1 20
";

    #[test]
    fn instructions_are_those_of_our_functions() {
        assert_eq!(without_allocator(PROFILE).expect("it is whole"), 25);
        // The allocator may be named first where it is called.
        let (allocator, ours) = PROFILE.split_at(PROFILE.find("ob=(2)").expect("it is there"));
        let called = ours.replace("cfi=(7)", "cfi=(7) ./malloc/./malloc/malloc.c");
        let again = allocator.replace("fl=(7) ./malloc/./malloc/malloc.c", "fl=(7)");
        assert_eq!(without_allocator(&(called + &again)).expect("it is whole"), 25);
        let refusal = |text: &str| without_allocator(text).expect_err(text).to_string();
        assert!(refusal("positions: line\nevents: Ir\n").contains("no turn of a shard"));
        assert!(refusal(&PROFILE.replace("malloc.c", "")).contains("does not find the allocator"));
        assert!(refusal(&PROFILE.replace("1 5\n", "1 x\n")).contains("no count"));
    }

    fn at(name: &str, source: &str) -> String {
        format!("0x4D2285: {name} ({}{source})", env!("CARGO_MANIFEST_DIR").trim_end_matches("bench"))
    }

    #[test]
    fn work_is_found_where_it_is_asked_for() {
        let malloc = "0x1: malloc (in /usr/libexec/valgrind/vgpreload_dhat-amd64-linux.so)".to_owned();
        let broker = at("{async_fn#0}", "engine/broker/src/state.rs:154");
        let turn = at("ringlog_reactor::core::Core::turn", "engine/reactor/src/core.rs:157");
        let sim = at("begin", "engine/reactor/src/sim/world.rs:7");
        let main = at("ringlog_bench::main", "bench/src/main.rs:1");
        let find = |frames: &[&String]| place(&frames.iter().map(|frame| frame.as_str()).collect::<Vec<_>>());
        let found = Some("engine/broker/src/state.rs:154".to_owned());
        assert_eq!(find(&[&malloc, &broker, &turn, &sim, &main]), found);
        assert_eq!(find(&[&malloc, &sim, &broker, &turn, &sim, &main]), None, "the simulator");
        assert_eq!(find(&[&malloc, &broker, &main, &turn, &sim, &main]), None, "the client");
        assert_eq!(find(&[&malloc, &sim, &main]), None, "not in a turn");
        assert_eq!(find(&[&malloc, &turn, &sim, &main]), Some("elsewhere".to_owned()));
    }
}
