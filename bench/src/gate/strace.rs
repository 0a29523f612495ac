//! Counting system calls: `strace` of a scene on a ring, and what the ring's thread has asked of the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::valgrind::Program;
use crate::interrupt::Process;

/// What one run took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Calls {
    /// `io_uring_enter` of the shard's thread.
    pub(crate) enters: u64,
    /// All of the shard's thread.
    pub(crate) syscalls: u64,
}

/// Counts the calls of a run.
pub(crate) fn calls(program: &Program, scratch: &Path) -> anyhow::Result<Calls> {
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-o"]).arg(scratch).arg(&program.path).args(&program.arguments);
    let output = Process::output(&mut command).context("strace cannot be run")?;
    if !output.status.success() {
        bail!("{command:?} ended with {}:\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    let trace = fs::read_to_string(scratch).with_context(|| scratch.display().to_string())?;
    drop(fs::remove_file(scratch));
    count(&trace).context("no thread has set a ring up")
}

/// Counts the calls of the thread that has set a ring up. A call that strace tells in two lines counts once.
fn count(trace: &str) -> Option<Calls> {
    let lines = || trace.lines().filter_map(|line| line.split_once(' '));
    let (thread, _) = lines().find(|(_, call)| call.trim_start().starts_with("io_uring_setup("))?;
    let of_thread = lines().filter(|(other, _)| *other == thread).map(|(_, call)| call.trim_start());
    let begun = of_thread.filter(|call| call.starts_with(|first: char| first.is_ascii_lowercase()));
    let mut calls = Calls { enters: 0, syscalls: 0 };
    for call in begun {
        calls.syscalls += 1;
        calls.enters += u64::from(call.starts_with("io_uring_enter("));
    }
    Some(calls)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_ring_count_once() {
        let trace = "\
10 read(3, \"\", 1) = 0
11 io_uring_setup(1024, {}) = 5
11 io_uring_enter(0, 1, 1, 0x9, {}, 24 <unfinished ...>
10 write(3, \"\", 1) = 1
11 <... io_uring_enter resumed>) = 1
11 close(3)   = 0
11 +++ exited with 0 +++
";
        assert_eq!(count(trace), Some(Calls { enters: 1, syscalls: 3 }));
        assert_eq!(count("10 read(3, \"\", 1) = 0\n"), None);
    }
}
