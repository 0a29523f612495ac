//! What a comparison has found: figures of both sides, their ratios and targets; as JSON it is this structure.

use std::process::Command;

use serde::Serialize;

use crate::compare::blocks::Blocks;
use crate::compare::durability::Durability;
use crate::compare::matrix::{Bound, Matrix, Relation, Row, Target};
use crate::compare::metric::{Block, Metric};
use crate::compare::statistics::{CONFIDENCE_MIN, Ratio};
use crate::floor::{Floor, Step};
use crate::report::median;
use crate::workload::shape;

/// Everything.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) matrix: String,
    pub(crate) machine: String,
    pub(crate) command: String,
    /// Of the repository in which this was run, where it was in one.
    pub(crate) commit: Option<String>,
    /// Ours, and the other.
    pub(crate) sides: [String; 2],
    pub(crate) rounds: usize,
    pub(crate) warm_up_records: u64,
    /// What this machine takes for the parts of the work, measured in the same run.
    pub(crate) floor: Floor,
    pub(crate) rows: Vec<RowOutcome>,
    pub(crate) relations: Vec<RelationOutcome>,
    /// Of a side that is compared with itself; empty otherwise.
    pub(crate) sameness: Vec<Sameness>,
}

/// What git calls the state of the files here.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["describe", "--always", "--dirty", "--abbrev=12"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().to_owned()).filter(|text| output.status.success() && !text.is_empty())
}

/// What must come out the same for a side that is compared with itself: cost, throughput, latency.
const SAME: [Metric; 4] = [Metric::BrokerCpuSPerGb, Metric::RecordsPerSecond, Metric::P50Us, Metric::P99Us];
/// All pairs of all rows are taken together, so that there are enough of them to be surer than of a single row.
const SAMENESS_CONFIDENCE: f64 = 0.99;

/// A side that achieves less of an open loop's rate does not keep up with it.
const RATE_SHARE_MIN: f64 = 0.95;

/// One row.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct RowOutcome {
    pub(crate) name: String,
    pub(crate) durability: Durability,
    /// The workload in words.
    pub(crate) shape: String,
    pub(crate) figures: Vec<Figure>,
    pub(crate) floor: Option<RowFloor>,
    /// Of a block each.
    pub(crate) failures: Vec<String>,
    /// What was measured, in pairs.
    pub(crate) blocks: Vec<[Option<Block>; 2]>,
}

/// What nobody can do without in a row, and how far the sides are from it.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct RowFloor {
    pub(crate) steps: Vec<Step>,
    /// CPU seconds per GB of all steps together.
    pub(crate) s_per_gb: f64,
    /// The share of each side's cost that is the floor's.
    pub(crate) shares: [Option<f64>; 2],
}

/// One figure of both sides.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) metric: Metric,
    /// Medians of the blocks of each side.
    pub(crate) sides: [Option<f64>; 2],
    /// Ours over the other.
    pub(crate) ratio: Option<Ratio>,
    pub(crate) target: Option<TargetOutcome>,
}

/// Whether two sides that are the same come out as such, over all rows.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Sameness {
    pub(crate) metric: Metric,
    pub(crate) ratio: Ratio,
    pub(crate) verdict: Verdict,
}

/// What is said of sides that should be the same.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The interval contains 1.
    Holds,
    Failed,
    /// Even the widest interval would often miss 1 by chance.
    TooFewPairs,
}

impl Verdict {
    fn of(ratio: &Ratio) -> Self {
        match ratio.contains(1.0) {
            _ if ratio.confidence < CONFIDENCE_MIN => Self::TooFewPairs,
            true => Self::Holds,
            false => Self::Failed,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Failed => "FAILED",
            Self::TooFewPairs => "too few pairs to tell",
        }
    }
}

/// Whether a target was reached.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct TargetOutcome {
    pub(crate) bound: Bound,
    pub(crate) is_met: bool,
}

/// One row's figure over another's, of each side.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub(crate) struct RelationOutcome {
    pub(crate) name: String,
    pub(crate) durability: Durability,
    pub(crate) metric: Metric,
    pub(crate) row: String,
    pub(crate) over: String,
    pub(crate) sides: [Option<Ratio>; 2],
    pub(crate) target: Option<TargetOutcome>,
}

impl Report {
    /// A comparison of which nothing was run yet.
    pub(crate) fn new(matrix: &Matrix, machine: String, sides: [String; 2], floor: Floor) -> Self {
        // What was run, without the place of the program.
        let arguments = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
        Self {
            matrix: matrix.name.clone(),
            machine,
            command: format!("ringlog-bench {arguments}"),
            commit: commit(),
            sides,
            rounds: matrix.rounds,
            warm_up_records: matrix.warm_up_records,
            floor,
            rows: Vec::new(),
            relations: Vec::new(),
            sameness: Vec::new(),
        }
    }

    /// Looks whether the sides, which are the same, come out as such.
    pub(crate) fn check_sameness(&mut self) {
        let check = |metric: &Metric| {
            let ratios = self.rows.iter().flat_map(|row| row.ratios(*metric)).collect();
            let ratio = Ratio::of_ratios(ratios, SAMENESS_CONFIDENCE)?;
            Some(Sameness { metric: *metric, ratio, verdict: Verdict::of(&ratio) })
        };
        self.sameness = SAME.iter().filter_map(check).collect();
    }

    /// What rows that were run say about others.
    pub(crate) fn relate(&mut self, relations: &[Relation]) {
        self.relations = relations.iter().filter_map(|relation| RelationOutcome::of(relation, &self.rows)).collect();
    }

    /// Targets that were missed, open loops that were not kept up with, and blocks that failed.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        for row in &self.rows {
            let missed = row.figures.iter().filter(|figure| figure.target.is_some_and(|target| !target.is_met));
            complaints.extend(missed.map(|figure| {
                let bound = figure.target.map(|target| target.bound.to_string()).unwrap_or_default();
                let found = figure.sides[0].unwrap_or(f64::NAN);
                format!("{} {}: {} {found:.3}, target {bound}", row.name, row.durability, figure.metric.label())
            }));
            complaints.extend(row.queues(&self.sides).map(|why| format!("{} {}: {why}", row.name, row.durability)));
            complaints.extend(row.failures.iter().map(|why| format!("{} {}: {why}", row.name, row.durability)));
        }
        let missed = self.relations.iter().filter(|relation| relation.target.is_some_and(|target| !target.is_met));
        complaints.extend(missed.map(|relation| format!("{}: missed", relation.name)));
        complaints
    }
}

impl RowOutcome {
    pub(crate) fn new(row: &Row, blocks: Blocks, floor: &Floor) -> Self {
        let figures = Metric::ALL.iter().filter_map(|metric| Figure::of(*metric, row, &blocks.pairs));
        let figures: Vec<Figure> = figures.collect();
        // What fetches cost is known apart from the rest only where the row was run without them too.
        let cost = [Metric::FetchCpuSPerGb, Metric::BrokerCpuSPerGb];
        let cost = cost.iter().find_map(|metric| figures.iter().find(|figure| figure.metric == *metric));
        let floor = floor.sum(&row.floor).map(|s_per_gb| RowFloor {
            steps: row.floor.clone(),
            s_per_gb,
            shares: cost.map_or([None, None], |cost| {
                cost.sides.map(|side| side.filter(|cost| *cost > 0.0).map(|cost| s_per_gb / cost))
            }),
        });
        Self {
            name: row.name.clone(),
            durability: row.durability,
            shape: shape(&row.workload),
            figures,
            floor,
            failures: blocks.failures,
            blocks: blocks.pairs,
        }
    }

    pub(crate) fn figure(&self, metric: Metric) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.metric == metric)
    }

    /// The share of an open loop's rate that a side has achieved, if it has not kept up with it.
    pub(crate) fn behind(&self, side: usize) -> Option<f64> {
        self.figure(Metric::RateShare)?.sides[side].filter(|share| *share < RATE_SHARE_MIN)
    }

    /// What is said of each side that has not kept up.
    pub(crate) fn queues(&self, sides: &[String; 2]) -> impl Iterator<Item = String> {
        let behind = sides.iter().enumerate().filter_map(|(side, name)| Some((name, self.behind(side)?)));
        behind.map(|(name, share)| {
            let share = 100.0 * share;
            format!("not kept up: {name} achieved {share:.0}% of the rate; its latencies are the growth of a queue")
        })
    }

    /// The ratio of each pair that has both values.
    fn ratios(&self, metric: Metric) -> impl Iterator<Item = f64> {
        let value = move |block: &Option<Block>| block.as_ref().and_then(|block| metric.of(block));
        let ratios = self.blocks.iter().filter_map(move |[ours, theirs]| Some(value(ours)? / value(theirs)?));
        ratios.filter(|ratio| ratio.is_finite())
    }
}

impl Figure {
    /// `None` where neither side has it and no target asks for it.
    fn of(metric: Metric, row: &Row, pairs: &[[Option<Block>; 2]]) -> Option<Self> {
        let value = |block: &Option<Block>| block.as_ref().and_then(|block| metric.of(block));
        let sides = [0, 1].map(|side| {
            let values: Vec<f64> = pairs.iter().filter_map(|pair| value(&pair[side])).collect();
            (!values.is_empty()).then(|| median(&values))
        });
        let bound = row.targets.iter().find(|target| target.metric == metric).map(Target::bound);
        if sides == [None, None] && bound.is_none() {
            return None;
        }
        let both = pairs.iter().filter_map(|[ours, theirs]| value(ours).zip(value(theirs)));
        // What was not measured does not reach a target.
        let found = sides[0].unwrap_or(f64::NAN);
        let target = bound.map(|bound| TargetOutcome { bound, is_met: bound.is_met_by(found) });
        Some(Self { metric, sides, ratio: Ratio::of(both), target })
    }
}

impl RelationOutcome {
    /// `None` if one of its rows was not run.
    fn of(relation: &Relation, rows: &[RowOutcome]) -> Option<Self> {
        let find = |name: &str| rows.iter().find(|row| row.name == name && row.durability == relation.durability);
        let (row, over) = (find(&relation.row)?, find(&relation.over)?);
        let sides = [0, 1].map(|side| {
            let value = |pair: &[Option<Block>; 2]| relation.metric.of(pair[side].as_ref()?);
            Ratio::of(row.blocks.iter().zip(&over.blocks).filter_map(|(row, over)| value(row).zip(value(over))))
        });
        let found = sides[0].map_or(f64::NAN, |ratio| ratio.median);
        let bound = relation.bound();
        Some(Self {
            name: relation.name.clone(),
            durability: relation.durability,
            metric: relation.metric,
            row: relation.row.clone(),
            over: relation.over.clone(),
            sides,
            target: Some(TargetOutcome { bound, is_met: bound.is_met_by(found) }),
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::path::Path;

    use crate::usage::Usage;
    use crate::workload::latency::Quantiles;
    use crate::workload::results::{Measured, Volume};

    const MATRIX: &str = r#"
        name = "small"
        rounds = 2
        warm_up_records = 0
        warm_up_ms = 0
        seconds = 1

        [[row]]
        name = "one"
        durability = ["D2"]
        floor = ["receive", "checksum"]
        workload = { kind = "produce", partitions = 1, record_bytes = 100, connections = 1, in_flight = 1 }
        target = [{ metric = "broker_cpu_s_per_gb", at_most = 2.5 }, { metric = "p99_us", at_most = 1.0 }]

        [[row]]
        name = "many"
        durability = ["D2"]
        workload = { kind = "produce", partitions = 9, record_bytes = 100, connections = 1, in_flight = 1 }

        [[relation]]
        name = "many to one"
        row = "many"
        over = "one"
        durability = "D2"
        metric = "broker_cpu_s_per_gb"
        at_most = 1.2
    "#;

    /// A GB for so many seconds of CPU.
    fn block(cpu_seconds: f64) -> Block {
        let us = 10.0 * cpu_seconds;
        let quantiles =
            Quantiles { count: 9, p50_us: us, p90_us: us, p99_us: us, p99_9_us: us, p99_99_us: us, max_us: us };
        let run = Measured {
            seconds: 1.0,
            produce: Some(quantiles),
            produced: Volume { requests: 10, records: 1_000, bytes: 1_000_000_000 },
            broker: Some(Usage { cpu_seconds, ..Usage::default() }),
            ..Measured::default()
        };
        Block { run, without_readers: None }
    }

    /// A report of a matrix with two rows, of which the second costs ours half as much again.
    pub(crate) fn report() -> Report {
        let matrix = Matrix::parse(Path::new("small.toml"), MATRIX).expect("it is right");
        let floor = Floor::sample();
        let sides = ["ringlog".to_owned(), "<kafka>".to_owned()];
        let mut report = Report::new(&matrix, "a machine".to_owned(), sides, floor);
        for (row, factor) in matrix.rows.iter().zip([1.0, 1.5]) {
            let pair = |cpu: f64| [Some(block(cpu * factor)), Some(block(cpu * 10.0))];
            let pairs = vec![pair(2.0), pair(3.0), pair(1.0), [Some(block(2.0 * factor)), None]];
            let blocks = Blocks { pairs, failures: vec!["block 7, <kafka>: it ended".to_owned()] };
            report.rows.push(RowOutcome::new(row, blocks, &floor));
        }
        report.relate(&matrix.relations);
        report
    }

    #[test]
    fn figures_are_medians_and_targets_are_of_ours() {
        let report = report();
        let cost = report.rows[0].figure(Metric::BrokerCpuSPerGb).expect("it was measured");
        assert_eq!(cost.sides, [Some(2.0), Some(20.0)]);
        let ratio = cost.ratio.expect("three pairs");
        assert_eq!((ratio.pairs, (ratio.median * 1e6).round()), (3, 1e5), "the block without its pair is left out");
        assert!(cost.target.is_some_and(|target| target.is_met));
        assert!(report.rows[0].figure(Metric::P99Us).and_then(|p99| p99.target).is_some_and(|target| !target.is_met));
        assert!(report.rows[1].figure(Metric::P99Us).is_some_and(|p99| p99.target.is_none()));
    }

    #[test]
    fn a_row_tells_its_share_of_the_floor_and_rows_are_related_by_pairs() {
        let report = report();
        let floor = report.rows[0].floor.as_ref().expect("the row names steps");
        assert_eq!((floor.s_per_gb, floor.shares), (0.625, [Some(0.3125), Some(0.03125)]));
        assert_eq!(report.rows[1].floor, None);
        let relation = &report.relations[0];
        assert_eq!(relation.sides.map(|ratio| ratio.map(|ratio| ratio.median)), [Some(1.5), Some(1.0)]);
        assert!(relation.target.is_some_and(|target| !target.is_met));
    }

    #[test]
    fn complaints_name_what_was_missed_and_what_failed() {
        let complaints = report().complaints();
        for part in [
            "one D2: latency p99, us 20.000, target <= 1",
            "many D2: block 7, <kafka>: it ended",
            "many to one: missed",
        ] {
            assert!(complaints.iter().any(|complaint| complaint == part), "{complaints:?}");
        }
        assert_eq!(complaints.len(), 4);
    }

    /// A report of an open loop of which ours keeps up, and the other takes half.
    pub(crate) fn report_of_a_queue() -> Report {
        let matrix = Matrix::parse(Path::new("small.toml"), MATRIX).expect("it is right");
        let open = |records| {
            let mut block = block(1.0);
            block.run.intended_records_per_second = Some(1_000);
            block.run.produced.records = records;
            Some(block)
        };
        let blocks = Blocks { pairs: vec![[open(960), open(500)]], failures: Vec::new() };
        let row = RowOutcome::new(&matrix.rows[0], blocks, &Floor::sample());
        Report { rows: vec![row], relations: Vec::new(), ..report() }
    }

    #[test]
    fn a_side_that_does_not_keep_up_is_complained_of() {
        let report = report_of_a_queue();
        assert_eq!([0, 1].map(|side| report.rows[0].behind(side)), [None, Some(0.5)]);
        let expected =
            "one D2: not kept up: <kafka> achieved 50% of the rate; its latencies are the growth of a queue".to_owned();
        assert!(report.complaints().contains(&expected), "{:?}", report.complaints());
    }

    #[test]
    fn sides_that_differ_are_not_the_same() {
        let mut report = report();
        report.check_sameness();
        let of = |metric| report.sameness.iter().find(|same| same.metric == metric).map(|same| same.verdict);
        let verdicts = (of(Metric::BrokerCpuSPerGb), of(Metric::RecordsPerSecond));
        assert_eq!(verdicts, (Some(Verdict::Failed), Some(Verdict::Holds)), "six pairs");
        report.rows.pop();
        report.check_sameness();
        assert!(report.sameness.iter().all(|same| same.verdict == Verdict::TooFewPairs), "three pairs");
    }

    #[test]
    fn a_report_is_json() {
        let json = serde_json::to_value(report()).expect("it has only names and numbers");
        assert_eq!(json["rows"][0]["figures"][0]["metric"], "broker_cpu_s_per_gb");
        assert_eq!(json["rows"][0]["durability"], "D2");
        assert_eq!(json["rows"][0]["blocks"][3][1], serde_json::Value::Null);
    }
}
