//! The durability scenario in small, on both backends. `tests/durability` runs it in any size.
#![forbid(unsafe_code)]

use ringlog_conformance::durability::{Plan, Uploader, run};
use ringlog_kit::external::in_ci;

const BYTES: u64 = 24_000_000;

fn check(backend: &str) {
    let (uploaders, missing): (Vec<_>, Vec<_>) =
        [Uploader::Kcat, Uploader::Java].into_iter().partition(|uploader| uploader.is_there());
    if !missing.is_empty() {
        println!("skipped: durability with {missing:?}: missing on this machine");
        assert!(!in_ci(), "skipped in CI: {missing:?}");
    }
    // kcat also reads back what was sent.
    if uploaders.contains(&Uploader::Kcat) {
        let plan = Plan { bytes: BYTES, backend: Some(backend.to_owned()), settings: Vec::new() };
        run(&plan, &uploaders).unwrap_or_else(|error| panic!("{error:#}"));
    }
}

#[test]
fn acknowledged_lines_survive_sigkill_with_uring() {
    check("uring");
}

#[test]
fn acknowledged_lines_survive_sigkill_with_posix() {
    check("posix");
}
