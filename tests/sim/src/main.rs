//! Runs seeds for as long as one likes: `ringlog-sim [--from-seed S] [--seconds N]`, or one of them: `--seed S [--trace]`.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ringlog_sim::seeds::{command, name_failures, run_all};
use ringlog_sim::{Trace, run};

/// Seeds between two lines of progress.
const SEEDS_PER_LINE: u64 = 1000;

struct Arguments {
    from_seed: u64,
    seconds: Option<u64>,
    seed: Option<u64>,
    trace: Trace,
}

fn arguments() -> anyhow::Result<Arguments> {
    let mut parsed = Arguments { from_seed: 0, seconds: None, seed: None, trace: Trace::Off };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> anyhow::Result<u64> {
            let text = words.next().with_context(|| format!("{word} wants a number"))?;
            text.parse().with_context(|| format!("{word} {text}"))
        };
        match word.as_str() {
            "--from-seed" => parsed.from_seed = number()?,
            "--seconds" => parsed.seconds = Some(number()?),
            "--seed" => parsed.seed = Some(number()?),
            "--trace" => parsed.trace = Trace::On,
            _ => bail!("usage: ringlog-sim [--from-seed S] [--seconds N] | --seed S [--trace]"),
        }
    }
    Ok(parsed)
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = arguments()?;
    name_failures();
    if let Some(seed) = arguments.seed {
        println!("{:?}", run(seed, arguments.trace));
        return Ok(ExitCode::SUCCESS);
    }
    let began = Instant::now();
    let mut from = arguments.from_seed;
    loop {
        let left = arguments.seconds.map(|seconds| Duration::from_secs(seconds).saturating_sub(began.elapsed()));
        if left.is_some_and(|left| left.is_zero()) {
            return Ok(ExitCode::SUCCESS);
        }
        let line = Instant::now();
        match run_all(from..from + SEEDS_PER_LINE, left) {
            Ok(sum) => {
                let runs = f64::from(u32::try_from(sum.runs).context("more runs than asked for")?);
                let rate = runs / line.elapsed().as_secs_f64();
                println!("seeds {from} to {}: {rate:.1} seeds/s, {sum:?}", from + sum.runs);
            }
            Err(failed) => {
                println!("seed {} failed: {}", failed.seed, command(failed.seed));
                return Ok(ExitCode::FAILURE);
            }
        }
        from += SEEDS_PER_LINE;
    }
}
