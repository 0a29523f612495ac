//! The program as people run it: what it prints, how it ends, what it leaves on the disk.
#![forbid(unsafe_code)]

mod groups;
mod logs;
mod members;
mod metrics;
mod perf;
mod recording;
mod records;
mod refusals;
mod settings;
mod stopping;
mod tune;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use ringlog_kit::external;

/// How long a command may take that only a fault makes slow.
const DEADLINE: Duration = Duration::from_mins(1);

/// Runs the program to its end, without the environment's settings.
fn ringlog(arguments: &[&str]) -> Output {
    external::run(Path::new(env!("CARGO_BIN_EXE_ringlog")), arguments, DEADLINE)
}

/// As [`ringlog`], with something to read.
fn ringlog_reading(arguments: &[&str], input: &[u8]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlog"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program is there");
    child.stdin.take().expect("piped").write_all(input).expect("it reads its input");
    child.wait_with_output().expect("it is ours")
}

/// What a successful command printed.
fn printed(output: &Output) -> &str {
    assert!(output.status.success(), "{output:?}");
    std::str::from_utf8(&output.stdout).expect("text")
}

/// The one line that a command that failed says, without the program's name before it.
fn refusal(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut lines = said.lines().filter_map(|line| line.strip_prefix("ringlog: "));
    let line = lines.next().unwrap_or_else(|| panic!("it says why: {said}"));
    assert_eq!(lines.next(), None, "one sentence: {said}");
    line.to_owned()
}
