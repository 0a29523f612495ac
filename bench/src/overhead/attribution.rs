//! Which part of observing an instruction belongs to. Nearly all of it is inlined, into functions of the broker and out of
//! those of the standard library; so what counts is whether a function of an observing file is anywhere among those that
//! an instruction was inlined from.

use std::collections::BTreeMap;

use addr2line::Loader;
use anyhow::{Context as _, anyhow};

use super::profile::{FunctionId, Profile};
use crate::report::number;

/// What observes: counters, which are always there, or the recorder of single requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Observer {
    Counters,
    Recorder,
}

impl Observer {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counters => "counters",
            Self::Recorder => "recorder",
        }
    }
}

/// A part of what observes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Part {
    pub(super) observer: Observer,
    pub(super) name: &'static str,
}

/// The part that measures turns of the loop.
pub(super) const TURNS: &str = "turns";
/// Where the parts are. Plain additions that stand in other files, such as those of bytes that went to the journal, are not
/// told apart: each is one or two instructions.
const PARTS: [(Part, &str); 5] = [
    (Part { observer: Observer::Recorder, name: "recorder" }, "engine/broker/src/recorder"),
    (Part { observer: Observer::Counters, name: "requests" }, "engine/broker/src/metrics"),
    (Part { observer: Observer::Counters, name: TURNS }, "engine/reactor/src/counts.rs"),
    (Part { observer: Observer::Counters, name: "commits" }, "storage/src/statistics.rs"),
    (Part { observer: Observer::Counters, name: "commits" }, "engine/measure/src/"),
];
/// The function that reads the clock, and its file.
const CLOCK: (&str, &str) = ("now", "engine/reactor/src/core.rs");

/// What something takes.
#[derive(Clone, Copy, PartialEq, Default, Debug)]
pub(super) struct Work {
    pub(super) instructions: f64,
    pub(super) clock_reads: f64,
}

impl std::ops::AddAssign for Work {
    fn add_assign(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.clock_reads += other.clock_reads;
    }
}

/// The work of a run, for one request.
#[derive(Clone, PartialEq, Default, Debug)]
pub(super) struct Attributed {
    pub(super) all: Work,
    pub(super) parts: BTreeMap<Part, Work>,
}

/// A function that an instruction belongs to, or was inlined from.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Frame {
    /// Without its path.
    pub(super) function: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// Finds the functions of an address, from within.
pub(super) trait Frames {
    fn of(&self, address: u64) -> anyhow::Result<Vec<Frame>>;
}

/// Those of this program, by its lines.
pub(super) struct ProgramFrames(Loader);

impl ProgramFrames {
    pub(super) fn of_this_program() -> anyhow::Result<Self> {
        let path = std::env::current_exe().context("this program's path")?;
        Loader::new(&path).map(Self).map_err(|error| anyhow!("the lines of {}: {error}", path.display()))
    }
}

impl Frames for ProgramFrames {
    fn of(&self, address: u64) -> anyhow::Result<Vec<Frame>> {
        let refused = |error| anyhow!("the functions of {address:#x}: {error}");
        let mut found = self.0.find_frames(address).map_err(|error| refused(error.to_string()))?;
        let mut frames = Vec::new();
        while let Some(frame) = found.next().map_err(|error| refused(error.to_string()))? {
            let name = frame.function.map(|function| function.demangle().map(std::borrow::Cow::into_owned));
            let name = name.transpose().map_err(|error| refused(error.to_string()))?.unwrap_or_default();
            let location = frame.location;
            frames.push(Frame {
                function: name.rsplit("::").next().unwrap_or_default().to_owned(),
                file: location.as_ref().and_then(|location| location.file).unwrap_or_default().to_owned(),
                line: location.and_then(|location| location.line).unwrap_or_default(),
            });
        }
        Ok(frames)
    }
}

/// Divides the work of `requests` requests into parts. Below a call from a part everything is the part's, unless what is
/// called is one by itself.
pub(super) fn attribute(profile: &Profile, frames: &impl Frames, requests: u32) -> anyhow::Result<Attributed> {
    let requests = f64::from(requests);
    let mut attributed = Attributed::default();
    attributed.all.instructions = number(profile.all) / requests;
    // An inlined call of the clock is several instructions, each of them executed as often as it is called.
    let mut clock_reads: BTreeMap<(Option<Part>, Vec<Frame>), u64> = BTreeMap::new();
    for (&address, &count) in profile.executed.iter().filter(|(_, count)| **count > 0) {
        let frames = frames.of(address)?;
        let part = part(&frames);
        if let Some(part) = part {
            attributed.parts.entry(part).or_default().instructions += number(count) / requests;
        }
        if let Some(at) = frames.iter().position(is_clock) {
            let reads = clock_reads.entry((part, frames[at + 1..].to_vec())).or_default();
            *reads = count.max(*reads);
        }
    }
    // A function that is called from a part may have work of parts inlined, which is counted there.
    let mut counted: BTreeMap<FunctionId, f64> = BTreeMap::new();
    let mut below: BTreeMap<FunctionId, f64> = BTreeMap::new();
    for (address, &count) in profile.executed.iter().filter(|(_, count)| **count > 0) {
        if let (Some(_), Some(function)) = (part(&frames.of(*address)?), profile.functions.get(address)) {
            *counted.entry(*function).or_default() += number(count);
        }
    }
    let mut calls = Vec::new();
    for (call, &instructions) in profile.calls.iter().filter(|(_, instructions)| **instructions > 0) {
        *below.entry(call.function).or_default() += number(instructions);
        let Some(part) = part(&frames.of(call.from)?) else { continue };
        let called = call.to.map(|to| frames.of(to)).transpose()?;
        if called.is_none_or(|frames| self::part(&frames).is_none()) {
            calls.push((part, call, number(instructions)));
            if let Some(caller) = profile.functions.get(&call.from) {
                *counted.entry(*caller).or_default() += number(instructions);
            }
        }
    }
    for (part, call, instructions) in calls {
        let counted = counted.get(&call.function).copied().unwrap_or(0.0) / below[&call.function];
        let rest = instructions * (1.0 - counted).max(0.0);
        attributed.parts.entry(part).or_default().instructions += rest / requests;
    }
    for ((part, _), reads) in clock_reads {
        let reads = number(reads) / requests;
        attributed.all.clock_reads += reads;
        if let Some(part) = part {
            attributed.parts.entry(part).or_default().clock_reads += reads;
        }
    }
    Ok(attributed)
}

/// The part that the outermost observing function belongs to.
fn part(frames: &[Frame]) -> Option<Part> {
    let of_frame = |frame: &Frame| PARTS.iter().find(|(_, place)| is_at(&frame.file, place)).map(|(part, _)| *part);
    frames.iter().rev().find_map(of_frame)
}

fn is_clock(frame: &Frame) -> bool {
    frame.function == CLOCK.0 && is_at(&frame.file, CLOCK.1)
}

/// Whether a file is at this place of our sources.
fn is_at(file: &str, place: &str) -> bool {
    let top = env!("CARGO_MANIFEST_DIR").trim_end_matches("bench");
    file.strip_prefix(top).unwrap_or(file).starts_with(place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overhead::profile::Call;

    /// Functions by address.
    struct Known(BTreeMap<u64, Vec<Frame>>);

    impl Frames for Known {
        fn of(&self, address: u64) -> anyhow::Result<Vec<Frame>> {
            Ok(self.0.get(&address).cloned().unwrap_or_default())
        }
    }

    fn frame(function: &str, file: &str) -> Frame {
        Frame { function: function.to_owned(), file: file.to_owned(), line: 1 }
    }

    #[test]
    fn inlined_work_is_that_of_the_part_it_was_inlined_from() {
        let std = frame("as_nanos", "/rustc/library/core/src/time.rs");
        let record = frame("record", "engine/measure/src/lib.rs");
        let answered = frame("answered", "engine/broker/src/metrics/counters.rs");
        let respond = frame("respond", "engine/broker/src/connection.rs");
        let commit = frame("commit", "storage/src/store/commit.rs");
        let now = frame("now", "engine/reactor/src/core.rs");
        let gathered = frame("gathered", "engine/broker/src/metrics/gather.rs");
        let known = Known(BTreeMap::from([
            (1, vec![std.clone(), record.clone(), answered.clone(), respond.clone()]),
            (2, vec![record, commit.clone()]),
            (3, vec![std, commit]),
            // Two instructions of one call of the clock, and one of another call.
            (4, vec![now.clone(), answered.clone(), respond.clone()]),
            (5, vec![now.clone(), answered.clone(), respond.clone()]),
            (6, vec![now, respond.clone()]),
            (7, vec![answered, respond.clone()]),
            (8, vec![gathered]),
            (9, vec![respond]),
        ]));
        let profile = Profile {
            all: 1000,
            executed: (1..=8).map(|address| (address, 10)).collect(),
            functions: BTreeMap::new(),
            calls: BTreeMap::from([
                (Call { from: 7, to: None, function: 1 }, 100),
                (Call { from: 7, to: Some(8), function: 2 }, 500),
                (Call { from: 9, to: Some(8), function: 2 }, 500),
            ]),
        };
        let attributed = attribute(&profile, &known, 10).expect("all is known");
        assert_eq!(attributed.all, Work { instructions: 100.0, clock_reads: 2.0 });
        let part = |name| attributed.parts.iter().find(|(part, _)| part.name == name).map(|(_, work)| *work);
        // Addresses 1, 4, 5, 7 and 8, and the library below 7; the function at 8 counts where it is.
        assert_eq!(part("requests"), Some(Work { instructions: 15.0, clock_reads: 1.0 }));
        assert_eq!(part("commits"), Some(Work { instructions: 1.0, clock_reads: 0.0 }));
        assert_eq!((part(TURNS), part("recorder")), (None, None));
    }

    #[test]
    fn what_is_inlined_into_a_called_function_counts_once() {
        let sent = frame("sent", "engine/broker/src/recorder.rs");
        let ended = frame("ended", "engine/broker/src/recorder.rs");
        let request_ended = frame("request_ended", "engine/broker/src/connection.rs");
        let known = Known(BTreeMap::from([
            (1, vec![sent.clone()]),
            (2, vec![request_ended.clone()]),
            (3, vec![ended.clone(), request_ended.clone()]),
            (4, vec![ended, request_ended]),
        ]));
        // The one function calls the other one, and that a library from what is inlined into it.
        let calls = BTreeMap::from([
            (Call { from: 1, to: Some(2), function: 2 }, 100),
            (Call { from: 4, to: None, function: 3 }, 30),
        ]);
        let profile = Profile {
            all: 1000,
            executed: BTreeMap::from([(1, 5), (2, 20), (3, 50)]),
            functions: BTreeMap::from([(1, 1), (2, 2), (3, 2), (4, 2)]),
            calls,
        };
        let attributed = attribute(&profile, &known, 1).expect("all is known");
        let recorder: f64 = attributed.parts.values().map(|work| work.instructions).sum();
        assert!((recorder - 105.0).abs() < 1e-9, "{recorder}");
    }

    #[inline(never)]
    fn a_function_of_this_program(number: u64) -> u64 {
        std::hint::black_box(number) + 1
    }

    #[test]
    fn this_program_knows_its_functions() {
        assert_eq!(a_function_of_this_program(1), 2);
        let maps = std::fs::read_to_string("/proc/self/maps").expect("this process has memory");
        let base = maps.lines().next().and_then(|line| line.split_once('-')).expect("the program comes first").0;
        let base = u64::from_str_radix(base, 16).expect("an address");
        let address = u64::try_from((a_function_of_this_program as fn(u64) -> u64) as usize).expect("64 bits");
        let frames =
            ProgramFrames::of_this_program().expect("tests have their lines").of(address - base).expect("it is there");
        let outermost = frames.last().expect("it is a function");
        assert_eq!(outermost.function, "a_function_of_this_program");
        assert!(outermost.file.ends_with("overhead/attribution.rs"), "{outermost:?}");
    }
}
