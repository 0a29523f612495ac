//! The blocks of a row: A B B A, each with a broker of its own, which is warm before it counts, and with new topics.

use std::time::Instant;

use anyhow::Context as _;

use crate::Setup;
use crate::compare::matrix::{Matrix, Row};
use crate::compare::metric::{Block, Metric};
use crate::compare::side::{Contender, Side};
use crate::payload::Payload;
use crate::requests::Acks;
use crate::workload::file::{Kind, Pace, PageCache, Workload};
use crate::workload::put;

/// The order within a round, by side: what changes steadily with time falls on both alike. Where a block has two runs,
/// each of them comes first in one of a side's two blocks: the first run on a new broker pays for whatever is new.
const ROUND: [(usize, First); 4] =
    [(0, First::WithoutReaders), (1, First::WithoutReaders), (1, First::WithReaders), (0, First::WithReaders)];
/// Records of a request while a broker warms up: few, so that there are many requests. It is those that a JVM compiles for.
const WARM_UP_PAYLOAD: Payload = Payload::random(100, 1_200);
/// Bytes of such a request, roughly.
const WARM_UP_REQUEST_BYTES: u64 = 1_250;
const WARM_UP_CONNECTIONS: usize = 16;
const WARM_UP_PARTITIONS: u16 = 16;
/// How long what was produced may take to be fetched.
const WARM_UP_FETCH_SECONDS: u64 = 10;

/// Which of two runs of a block comes first, where the row asks for one without readers too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum First {
    WithoutReaders,
    WithReaders,
}

/// The blocks of two sides, in pairs: the first of each, the second of each, and so on.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    pub(crate) pairs: Vec<[Option<Block>; 2]>,
    /// Why blocks are missing.
    pub(crate) failures: Vec<String>,
}

/// Runs all blocks of one row. A block that fails is told of, and the others go on.
pub(crate) fn run(setup: &Setup, matrix: &Matrix, row: &Row, sides: &[Side; 2], names: &[String; 2]) -> Blocks {
    let mut blocks = Blocks { pairs: vec![[None; 2]; matrix.rounds * 2], failures: Vec::new() };
    let mut next = [0, 0];
    let turns = (0..matrix.rounds).flat_map(|_| ROUND);
    for (turn, (side, first)) in (1..).zip(turns) {
        let begin = Instant::now();
        let block = block(setup, matrix, row, &sides[side], first);
        let seconds = begin.elapsed().as_secs_f64();
        let count = matrix.rounds * ROUND.len();
        let said = match &block {
            Ok(block) => main_figure(block),
            Err(error) => format!("FAILED: {error:#}"),
        };
        eprintln!("{} {}, block {turn} of {count}, {}: {said} ({seconds:.0} s)", row.name, row.durability, names[side]);
        match block {
            Ok(block) => blocks.pairs[next[side]][side] = Some(block),
            Err(error) => blocks.failures.push(format!("block {turn}, {}: {error:#}", names[side])),
        }
        next[side] += 1;
    }
    blocks
}

/// One side's turn.
fn block(setup: &Setup, matrix: &Matrix, row: &Row, side: &Side, first: First) -> anyhow::Result<Block> {
    let contender = side.start(setup, &row.broker)?;
    let block = load(setup, matrix, row, &contender, first);
    // That the broker has ended explains more than what its clients notice of it.
    contender.stop()?;
    block
}

/// Everything that a broker does in a block.
fn load(setup: &Setup, matrix: &Matrix, row: &Row, contender: &Contender, first: First) -> anyhow::Result<Block> {
    if matrix.warm_up_records > 0 {
        put(setup, contender.server.clone(), &warm_up(matrix.warm_up_records), contender.leave)
            .context("the warm-up")?;
    }
    let workload = Workload { topic: topic_settings(row, contender), ..row.workload.clone() };
    let run = || measure(setup, contender, &workload);
    if !row.without_readers {
        return Ok(Block { run: run()?, without_readers: None });
    }
    let alone = Workload { consumers: 0, ..workload.clone() };
    let run_alone = || measure(setup, contender, &alone).context("without readers");
    let (run, without_readers) = match first {
        First::WithReaders => (run()?, run_alone()?),
        First::WithoutReaders => {
            let without_readers = run_alone()?;
            (run()?, without_readers)
        }
    };
    Ok(Block { run, without_readers: Some(without_readers) })
}

fn measure(
    setup: &Setup,
    contender: &Contender,
    workload: &Workload,
) -> anyhow::Result<crate::workload::results::Measured> {
    contender.settle()?;
    put(setup, contender.server.clone(), workload, contender.leave)
}

/// The row's own settings, and those of its class, which nothing may change.
fn topic_settings(row: &Row, contender: &Contender) -> Vec<(String, String)> {
    let of_class = row.durability.settings(contender.vendor);
    let own = row.workload.topic.iter().filter(|(key, _)| of_class.iter().all(|(of_class, _)| of_class != key));
    own.cloned().chain(of_class.iter().cloned()).collect()
}

/// Small requests of so many records, which are then fetched. The broker's own settings say how durable they are: this is
/// about its code, not about the disk.
fn warm_up(records: u64) -> Workload {
    let records_per_request = u64::try_from(WARM_UP_PAYLOAD.batch_records()).expect("a count fits 64 bits");
    Workload {
        name: "warm-up".to_owned(),
        kind: Kind::CatchUp,
        topics: 1,
        partitions: WARM_UP_PARTITIONS,
        payload: WARM_UP_PAYLOAD,
        acks: Acks::All,
        connections: WARM_UP_CONNECTIONS,
        pace: Pace::InFlight(4),
        consumers: 4,
        fill_bytes: records.div_ceil(records_per_request) * WARM_UP_REQUEST_BYTES,
        page_cache: PageCache::Full,
        warm_up_ms: 0,
        seconds: WARM_UP_FETCH_SECONDS,
        topic: Vec::new(),
    }
}

/// What is said of a block while others run.
fn main_figure(block: &Block) -> String {
    let first = Metric::ALL.iter().find_map(|metric| Some((metric, metric.of(block)?)));
    first.map_or_else(|| "done".to_owned(), |(metric, value)| format!("{} {value:.3}", metric.label()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_side_has_every_place_in_time_once() {
        let at = |side| (0..ROUND.len()).filter(|place| ROUND[*place].0 == side).sum::<usize>();
        assert_eq!(at(0), at(1), "a steady drift cancels out");
    }

    #[test]
    fn the_run_without_readers_comes_first_in_every_second_block_of_a_side() {
        for side in [0, 1] {
            let order: Vec<First> = ROUND.iter().filter(|(of, _)| *of == side).map(|(_, first)| *first).collect();
            // In the same order on both sides: pairs are the first block of each, and the second.
            assert_eq!(order, [First::WithoutReaders, First::WithReaders], "side {side}");
        }
    }

    #[test]
    fn the_warm_up_has_many_requests() {
        let workload = warm_up(1_000_000);
        let requests = workload.fill_bytes / WARM_UP_REQUEST_BYTES;
        assert!(requests >= 90_000, "{requests}");
    }
}
