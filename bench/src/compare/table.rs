//! A comparison as people read it on a terminal.

use std::fmt::Write as _;

use crate::compare::outcome::{Figure, RelationOutcome, Report, RowFloor, RowOutcome, TargetOutcome};
use crate::compare::statistics::Ratio;
use crate::floor::{Floor, Step};

const LABEL_WIDTH: usize = 40;

/// The table of one row.
pub(crate) fn row(row: &RowOutcome, sides: &[String; 2]) -> String {
    let mut text = format!("\n{} {} ({}): {}\n", row.name, row.durability, row.durability.meaning(), row.shape);
    let [ours, theirs] = sides;
    let interval = row
        .figures
        .iter()
        .find_map(|figure| figure.ratio)
        .map_or_else(String::new, |ratio| format!("{:.0}% interval", 100.0 * ratio.confidence));
    let _ = writeln!(text, "{:LABEL_WIDTH$}{ours:>14}{theirs:>15}{:>9}  {interval:20}target", "", "ratio");
    text.extend(row.figures.iter().map(figure));
    text.extend(row.floor.as_ref().map(floor));
    text.extend(row.failures.iter().map(|failure| format!("FAILED: {failure}\n")));
    text
}

/// The machine's part of the cost.
fn floor(floor: &RowFloor) -> String {
    let steps: Vec<&str> = floor.steps.iter().map(|step| step.name()).collect();
    let label = format!("floor: {} s/GB, share of the cost", short(floor.s_per_gb));
    let [ours, theirs] =
        floor.shares.map(|share| share.map_or_else(|| "-".to_owned(), |share| format!("{:.0}%", 100.0 * share)));
    format!("{label:LABEL_WIDTH$}{ours:>14}{theirs:>15}{:11}({})\n", "", steps.join(", "))
}

/// What the machine takes for the parts of the work.
pub(crate) fn machine(floor: &Floor) -> String {
    let parts = Step::ALL
        .iter()
        .map(|step| format!("{} {}", step.name(), floor.of(*step).map_or_else(|| "unknown".to_owned(), short)));
    format!("floor of this machine, CPU-s/GB: {}", parts.collect::<Vec<_>>().join(", "))
}

fn figure(figure: &Figure) -> String {
    let Figure { metric, sides: [ours, theirs], ratio, target } = figure;
    let (middle, interval) = ratio.map_or_else(Default::default, |ratio| (short(ratio.median), interval(&ratio)));
    let target = target.as_ref().map(verdict).unwrap_or_default();
    let line = format!(
        "{:LABEL_WIDTH$}{:>14}{:>15}{middle:>9}  {interval:20}{target}",
        metric.label(),
        ours.map_or_else(|| "-".to_owned(), short),
        theirs.map_or_else(|| "-".to_owned(), short)
    );
    format!("{}\n", line.trim_end())
}

/// What is said at the end: rows over rows, and what is not as it should be.
pub(crate) fn end(report: &Report) -> String {
    let mut text = String::new();
    if !report.relations.is_empty() {
        let [ours, theirs] = &report.sides;
        let _ = writeln!(text, "\n{:LABEL_WIDTH$}{ours:>14}{theirs:>15}{:11}target", "rows over rows", "");
        text.extend(report.relations.iter().map(relation));
    }
    if !report.sameness.is_empty() {
        text.push_str("\nthe same side twice, over all rows: every interval must contain 1\n");
    }
    for same in &report.sameness {
        let verdict = if same.is_same { "holds" } else { "FAILED" };
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

fn relation(relation: &RelationOutcome) -> String {
    let side = |ratio: Option<Ratio>| ratio.map_or_else(|| "-".to_owned(), |ratio| short(ratio.median));
    let [ours, theirs] = relation.sides.map(side);
    let target = relation.target.as_ref().map(verdict).unwrap_or_default();
    let name = format!("{} {}", relation.name, relation.durability);
    format!("{name:LABEL_WIDTH$}{ours:>14}{theirs:>15}{:11}{target}\n", "")
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
}
