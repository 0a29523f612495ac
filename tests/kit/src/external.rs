//! Programs from outside: real clients, with a deadline, and skipped where their toolchain is missing.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

/// Exit code by which a client's script says that its toolchain is missing.
pub const SKIPPED: i32 = 77;

/// How a client's run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Every case passed.
    Passed,
    /// The toolchain is missing; the reason as the script gave it.
    Skipped(String),
    /// What failed, with everything that the client printed.
    Failed(String),
}

/// Runs a program with a deadline; it and its children are ended when that passes. What it prints comes back.
pub fn run(program: &Path, arguments: &[&str], deadline: Duration) -> Output {
    let mut command = Command::new("timeout");
    command.arg("--kill-after=5").arg(deadline.as_secs().max(1).to_string()).arg(program).args(arguments);
    command.current_dir(crate::binary::top());
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What an exit code and the printed text of a client's script mean.
pub fn outcome(client: &str, code: Option<i32>, printed: &str) -> Outcome {
    let passed = printed.lines().filter(|line| line.starts_with("ok ")).count();
    match code {
        Some(0) if passed > 0 => Outcome::Passed,
        Some(0) => Outcome::Failed(format!("{client}: ran no case\n{printed}")),
        Some(SKIPPED) => {
            let reason = printed.lines().find_map(|line| line.strip_prefix("skipped: ")).unwrap_or("no reason given");
            Outcome::Skipped(reason.to_owned())
        }
        Some(124 | 137) => Outcome::Failed(format!("{client}: did not end before its deadline\n{printed}")),
        Some(code) => Outcome::Failed(format!("{client}: exit code {code}\n{printed}")),
        None => Outcome::Failed(format!("{client}: ended by a signal\n{printed}")),
    }
}

/// Runs the script of one client, `tests/conformance/<client>/run`, against a broker. Panics where a case failed, or, with
/// CI=true, where the client was skipped; else says on standard output what passed or why it was skipped.
pub fn check_client(client: &str, bootstrap: &str, deadline: Duration) {
    let script = crate::binary::top().join("tests/conformance").join(client).join("run");
    let output = run(&script, &[bootstrap], deadline);
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    printed.push_str(&String::from_utf8_lossy(&output.stderr));
    match outcome(client, output.status.code(), &printed) {
        Outcome::Passed => println!("{printed}"),
        Outcome::Skipped(reason) => {
            println!("skipped: {client}: {reason}");
            assert!(!in_ci(), "skipped in CI: {client}: {reason}");
        }
        Outcome::Failed(why) => panic!("{why}"),
    }
}

/// Whether this is a CI run, where nothing may be skipped.
pub fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| value == "true")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_told_apart() {
        assert_eq!(outcome("kcat", Some(0), "ok one\n"), Outcome::Passed);
        assert_eq!(outcome("kcat", Some(77), "skipped: no kcat\n"), Outcome::Skipped("no kcat".to_owned()));
        for (code, printed, why) in [
            (Some(0), "", "ran no case"),
            (Some(1), "ok one\nFAIL two: bytes differ\n", "exit code 1\nok one\nFAIL two"),
            (Some(124), "ok one\n", "deadline"),
            (None, "", "signal"),
        ] {
            let Outcome::Failed(said) = outcome("kcat", code, printed) else { panic!("{code:?} is a failure") };
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn a_deadline_ends_a_program() {
        let output = run(Path::new("cat"), &["/dev/zero"], Duration::from_secs(1)).status;
        assert_eq!(output.code(), Some(124));
    }
}
