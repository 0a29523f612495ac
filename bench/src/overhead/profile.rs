//! What callgrind writes down of a run: how often each instruction was executed, and what calls took.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};

/// A run of this program, instruction by instruction.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Profile {
    /// Instructions of everything.
    pub(super) all: u64,
    /// How often each instruction of the program itself was executed, by its address.
    pub(super) executed: BTreeMap<u64, u64>,
    /// The function that each address is in of which something is told, with all that was inlined there.
    pub(super) functions: BTreeMap<u64, FunctionId>,
    /// Instructions below each call from the program.
    pub(super) calls: BTreeMap<Call, u64>,
}

/// Callgrind's number of a function.
pub(super) type FunctionId = u32;

/// A call from one address of the program.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Call {
    pub(super) from: u64,
    /// Where the function begins that is called; `None` in a library.
    pub(super) to: Option<u64>,
    pub(super) function: FunctionId,
}

impl Profile {
    /// Reads the output of `callgrind --dump-instr=yes`; the program is the object whose path ends with `program`.
    pub(super) fn parse(text: &str, program: &str) -> anyhow::Result<Self> {
        let mut profile = Self::default();
        let mut objects = Objects { program, known: BTreeMap::new() };
        let (mut is_own, mut called_is_own) = (false, None);
        let (mut function, mut called_function) = (0, 0);
        let mut address = 0;
        let mut called_address = None;
        for (number, line) in (1..).zip(text.lines()) {
            let of_line = || format!("line {number} of callgrind's output: {line}");
            if let Some(object) = line.strip_prefix("ob=") {
                is_own = objects.is_program(object).with_context(of_line)?;
            } else if let Some(object) = line.strip_prefix("cob=") {
                called_is_own = Some(objects.is_program(object).with_context(of_line)?);
            } else if let Some(named) = line.strip_prefix("fn=") {
                function = function_id(named).with_context(of_line)?;
            } else if let Some(named) = line.strip_prefix("cfn=") {
                called_function = function_id(named).with_context(of_line)?;
            } else if let Some(call) = line.strip_prefix("calls=") {
                let to = call.split(' ').nth(1).with_context(of_line)?;
                called_address = Some(position(to, address).with_context(of_line)?);
            } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
                let mut fields = line.split(' ');
                address = position(fields.next().unwrap_or_default(), address).with_context(of_line)?;
                let cost = fields.nth(1).and_then(|cost| cost.parse().ok()).with_context(of_line)?;
                if is_own {
                    profile.functions.insert(address, function);
                }
                let Some(to) = called_address.take() else {
                    profile.count(is_own.then_some(address), cost);
                    continue;
                };
                let to = called_is_own.take().unwrap_or(is_own).then_some(to);
                if is_own {
                    *profile.calls.entry(Call { from: address, to, function: called_function }).or_default() += cost;
                }
            }
        }
        ensure!(!profile.executed.is_empty(), "callgrind tells of no instruction of {program}");
        Ok(profile)
    }

    fn count(&mut self, address: Option<u64>, cost: u64) {
        self.all += cost;
        if let Some(address) = address {
            *self.executed.entry(address).or_default() += cost;
        }
    }

    /// What a longer run has more than `shorter`.
    pub(super) fn beyond(mut self, shorter: &Self) -> Self {
        self.all = self.all.saturating_sub(shorter.all);
        for (address, count) in &mut self.executed {
            *count = count.saturating_sub(shorter.executed.get(address).copied().unwrap_or(0));
        }
        for (call, cost) in &mut self.calls {
            *cost = cost.saturating_sub(shorter.calls.get(call).copied().unwrap_or(0));
        }
        self
    }
}

/// The objects that were named: `(3) /usr/lib/libc.so.6` the first time, `(3)` from then on.
struct Objects<'a> {
    program: &'a str,
    known: BTreeMap<&'a str, bool>,
}

impl<'a> Objects<'a> {
    fn is_program(&mut self, named: &'a str) -> anyhow::Result<bool> {
        let (number, path) = named.split_once(' ').map_or((named, None), |(number, path)| (number, Some(path)));
        if let Some(path) = path {
            self.known.insert(number, path.ends_with(self.program));
        }
        self.known.get(number).copied().context("an object that was not named before")
    }
}

/// Of `(3) name`, or `(3)` where it was named before.
fn function_id(named: &str) -> Option<FunctionId> {
    named.strip_prefix('(')?.split_once(')')?.0.parse().ok()
}

/// An address: in hexadecimal, or as its distance from the one before.
fn position(text: &str, before: u64) -> Option<u64> {
    if text == "*" {
        Some(before)
    } else if let Some(distance) = text.strip_prefix('+') {
        before.checked_add(distance.parse().ok()?)
    } else if let Some(distance) = text.strip_prefix('-') {
        before.checked_sub(distance.parse().ok()?)
    } else {
        u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
positions: instr line
events: Ir
summary: 60

ob=(1) /usr/lib/libc.so.6
fl=(1) ./memmove.S
fn=(1) memcpy
0x1000 264 10

ob=(2) /target/release/ringlog-bench
fl=(2) src/main.rs
fn=(2) respond
0x2000 1 5
+3 +1 6
cob=(1)
cfi=(1)
cfn=(1)
calls=2 0x1000 264
* * 10
cfn=(3) answered
calls=1 0x3000 7
+5 +1 20
-8 -1 1
fn=(3)
0x3000 7 8
";

    #[test]
    fn instructions_and_calls_are_found() {
        let profile = Profile::parse(TEXT, "/ringlog-bench").expect("it is whole");
        assert_eq!(profile.all, 30);
        assert_eq!(profile.executed, BTreeMap::from([(0x2000, 6), (0x2003, 6), (0x3000, 8)]));
        let memcpy = Call { from: 0x2003, to: None, function: 1 };
        let answered = Call { from: 0x2008, to: Some(0x3000), function: 3 };
        assert_eq!(profile.calls, BTreeMap::from([(memcpy, 10), (answered, 20)]));
        assert_eq!(profile.functions, BTreeMap::from([(0x2000, 2), (0x2003, 2), (0x2008, 2), (0x3000, 3)]));
    }

    #[test]
    fn a_longer_run_is_told_without_the_shorter() {
        let profile = Profile::parse(TEXT, "/ringlog-bench").expect("it is whole");
        let longer =
            Profile::parse(&TEXT.replace("0x2000 1 5", "0x2000 1 105"), "/ringlog-bench").expect("it is whole");
        let beyond = longer.beyond(&profile);
        assert_eq!((beyond.all, beyond.executed[&0x2000], beyond.executed[&0x3000]), (100, 100, 0));
        assert!(beyond.calls.values().all(|cost| *cost == 0));
    }

    #[test]
    fn what_is_not_callgrinds_is_refused() {
        assert!(Profile::parse(TEXT, "/other").is_err(), "nothing of the program");
        for bad in ["ob=(7)\n", "fn=7\n", "calls=1\n", "0xzz 1 1\n", "0x10 1\n", "-5 1 1\n"] {
            let error = Profile::parse(bad, "/ringlog-bench").expect_err(bad).to_string();
            assert!(error.starts_with("line 1 of callgrind's output"), "{error}");
        }
    }
}
