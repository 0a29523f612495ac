//! A comparison as people read it on a terminal.

use std::fmt::Write as _;

use crate::compare::outcome::{Figure, RelationOutcome, Report, RowFloor, RowOutcome, TargetOutcome};
use crate::compare::statistics::Ratio;
use crate::floor::{Floor, Step};

const LABEL_WIDTH: usize = 40;
/// Of the columns of figures; names that are longer make them wider.
const FIGURE_WIDTH: usize = 13;
/// Marks latencies that are the growth of a queue.
pub(crate) const QUEUE: &str = "*";

/// What a line is made of: its name, both sides, and what follows them.
fn line(sides: &[String; 2], label: &str, figures: [&str; 2], rest: &str) -> String {
    let [ours, theirs] = sides.each_ref().map(|side| side.len().max(FIGURE_WIDTH) + 2);
    let line = format!("{label:LABEL_WIDTH$}{:>ours$}{:>theirs$}{rest}", figures[0], figures[1]);
    format!("{}\n", line.trim_end())
}

fn figure_or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), short)
}

/// The table of one row.
pub(crate) fn row(row: &RowOutcome, sides: &[String; 2]) -> String {
    let mut text = format!("\n{} {} ({}): {}\n", row.name, row.durability, row.durability.meaning(), row.shape);
    let interval = row
        .figures
        .iter()
        .find_map(|figure| figure.ratio)
        .map_or_else(String::new, |ratio| format!("{:.0}% interval", 100.0 * ratio.confidence));
    let names = sides.each_ref().map(String::as_str);
    text += &line(sides, "", names, &format!("{:>9}  {interval:20}target", "ratio"));
    text.extend(row.figures.iter().map(|figure| self::figure(sides, row, figure)));
    text.extend(row.floor.as_ref().map(|floor| self::floor(sides, floor)));
    text.extend(row.queues(sides).map(|queue| format!("{QUEUE} {queue}\n")));
    text.extend(row.failures.iter().map(|failure| format!("FAILED: {failure}\n")));
    text
}

/// The machine's part of the cost.
fn floor(sides: &[String; 2], floor: &RowFloor) -> String {
    let steps: Vec<&str> = floor.steps.iter().map(|step| step.name()).collect();
    let label = format!("floor: {} s/GB, share of the cost", short(floor.s_per_gb));
    let [ours, theirs] =
        floor.shares.map(|share| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", 100.0 * share)));
    line(sides, &label, [&ours, &theirs], &format!("{:11}({})", "", steps.join(", ")))
}

/// What the machine takes for the parts of the work.
pub(crate) fn machine(floor: &Floor) -> String {
    let parts = Step::ALL
        .iter()
        .map(|step| format!("{} {}", step.name(), floor.of(*step).map_or_else(|| "unknown".to_owned(), short)));
    format!("floor of this machine, CPU-s/GB: {}", parts.collect::<Vec<_>>().join(", "))
}

/// A figure of one side, marked if it is a latency of an open loop that was not kept up with.
pub(crate) fn value(row: &RowOutcome, figure: &Figure, side: usize) -> Option<String> {
    let is_queue = figure.metric.is_latency() && row.behind(side).is_some();
    Some(format!("{}{}", short(figure.sides[side]?), if is_queue { QUEUE } else { "" }))
}

fn figure(sides: &[String; 2], row: &RowOutcome, figure: &Figure) -> String {
    let Figure { metric, ratio, target, .. } = figure;
    let (middle, interval) = ratio.map_or_else(Default::default, |ratio| (short(ratio.median), interval(&ratio)));
    let target = target.as_ref().map(verdict).unwrap_or_default();
    let [ours, theirs] = [0, 1].map(|side| value(row, figure, side).unwrap_or_else(|| "-".to_owned()));
    line(sides, metric.label(), [&ours, &theirs], &format!("{middle:>9}  {interval:20}{target}"))
}

/// What is said at the end: rows over rows, and what is not as it should be.
pub(crate) fn end(report: &Report) -> String {
    let mut text = String::new();
    if !report.relations.is_empty() {
        let names = report.sides.each_ref().map(String::as_str);
        text.push('\n');
        text += &line(&report.sides, "rows over rows", names, &format!("{:11}target", ""));
        text.extend(report.relations.iter().map(|relation| self::relation(&report.sides, relation)));
    }
    if !report.sameness.is_empty() {
        text.push_str("\nthe same side twice, over all rows: every interval must contain 1\n");
    }
    for same in &report.sameness {
        let verdict = same.verdict.name();
        let (label, middle, interval) = (same.metric.label(), short(same.ratio.median), interval(&same.ratio));
        let (pairs, sure) = (same.ratio.pairs, 100.0 * same.ratio.confidence);
        let _ = writeln!(text, "{label:LABEL_WIDTH$}{middle:>9}  {interval:20}{sure:.1}% of {pairs} pairs: {verdict}");
    }
    let complaints = report.complaints();
    let targets = report.rows.iter().flat_map(|row| &row.figures).filter_map(|figure| figure.target);
    let targets: Vec<_> = targets.chain(report.relations.iter().filter_map(|relation| relation.target)).collect();
    if !targets.is_empty() {
        let met = targets.iter().filter(|target| target.is_met).count();
        let _ = writeln!(text, "\ntargets: {met} of {} met", targets.len());
    }
    text.extend(complaints.iter().map(|complaint| format!("  {complaint}\n")));
    text
}

fn relation(sides: &[String; 2], relation: &RelationOutcome) -> String {
    let [ours, theirs] = relation.sides.map(|ratio| figure_or_dash(ratio.map(|ratio| ratio.median)));
    let target = relation.target.as_ref().map(verdict).unwrap_or_default();
    let name = format!("{} {}", relation.name, relation.durability);
    line(sides, &name, [&ours, &theirs], &format!("{:11}{target}", ""))
}

pub(crate) fn verdict(target: &TargetOutcome) -> String {
    format!("{} {}", target.bound, if target.is_met { "met" } else { "MISSED" })
}

pub(crate) fn interval(ratio: &Ratio) -> String {
    format!("{} to {}", short(ratio.low), short(ratio.high))
}

/// A number with as many digits as tell something.
pub(crate) fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e4 => {
            // In groups of three digits.
            let digits = format!("{value:.0}");
            let mut grouped = String::new();
            for (at, digit) in digits.char_indices() {
                if at > 0 && (digits.len() - at).is_multiple_of(3) && !grouped.ends_with('-') {
                    grouped.push(',');
                }
                grouped.push(digit);
            }
            grouped
        }
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.1 || size == 0.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_digits_that_tell_something() {
        for (value, text) in [
            (5_123_456.7, "5,123,457"),
            (-12_345.0, "-12,345"),
            (1234.5, "1234"),
            (12.345, "12.3"),
            (0.2191, "0.22"),
            (0.0512, "0.0512"),
            (0.0, "0.00"),
        ] {
            assert_eq!(short(value), text);
        }
    }

    #[test]
    fn latencies_of_a_queue_are_marked() {
        let report = crate::compare::outcome::tests::report_of_a_queue();
        let text = row(&report.rows[0], &report.sides);
        let p99 = text.lines().find(|line| line.starts_with("latency p99, us")).expect("it was measured");
        assert!(p99.contains("  10.0  ") && p99.contains("  10.0*  "), "{text}");
        assert_eq!((text.matches("0*").count(), text.matches("\n* not kept up: <kafka>").count()), (5, 1), "{text}");
    }

    #[test]
    fn long_names_make_columns_wider() {
        let sides = ["127.0.0.1:31901".to_owned(), "kafka 4.4.0".to_owned()];
        let [head, row] =
            [line(&sides, "", ["127.0.0.1:31901", "kafka 4.4.0"], ""), line(&sides, "MB/s", ["1", "2"], " ")];
        assert!(head.contains("  127.0.0.1:31901    kafka 4.4.0"), "{head}");
        assert_eq!(head.len(), row.len());
    }
}
