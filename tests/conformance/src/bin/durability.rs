//! The durability scenario as a command: see `tests/durability`.
#![forbid(unsafe_code)]

use anyhow::{Context as _, bail, ensure};
use ringlog_conformance::durability::{Plan, Uploader, run};

fn main() -> anyhow::Result<()> {
    let plan = plan(std::env::args().skip(1))?;
    for uploader in [Uploader::Kcat, Uploader::Java] {
        ensure!(uploader.is_there(), "{uploader:?} is missing: tests/conformance/prepare brings it");
    }
    let report = run(&plan, &[Uploader::Kcat, Uploader::Java])?;
    println!("passed: {report:?}");
    Ok(())
}

fn plan(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plan> {
    let mut plan = Plan { bytes: 24_000_000, backend: None, settings: Vec::new() };
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} wants a value"))?;
        match name.as_str() {
            "--bytes" => plan.bytes = bytes(&value)?,
            "--backend" => plan.backend = Some(value),
            "--set" => {
                let (key, value) = value.split_once('=').context("--set KEY=VALUE")?;
                plan.settings.push((key.to_owned(), value.to_owned()));
            }
            _ => bail!("usage: tests/durability [--bytes 500M] [--backend uring|posix] [--set KEY=VALUE]..."),
        }
    }
    Ok(plan)
}

/// A number of bytes, with `K`, `M` or `G` for thousands of them.
fn bytes(text: &str) -> anyhow::Result<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G']);
    let unit = match &text[digits.len()..] {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        _ => bail!("not a number of bytes: {text}"),
    };
    let count: u64 = digits.parse().with_context(|| format!("not a number of bytes: {text}"))?;
    count.checked_mul(unit).with_context(|| format!("too many bytes: {text}"))
}
