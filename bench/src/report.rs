//! Figures: their median, and the line that tells it beside the target.

use std::fmt::Write as _;

/// Which side of the target is good.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At most this.
    AtMost(f64),
    /// Nothing is asked: the figure is for information.
    None,
}

/// Prints one figure: its median, its runs, and whether the target is met.
pub(crate) fn figure(name: &str, unit: &str, runs: &[f64], target: Target) {
    println!("{}", line(name, unit, runs, target));
}

fn line(name: &str, unit: &str, runs: &[f64], target: Target) -> String {
    let middle = median(runs);
    let mut line = format!("{name}: {middle:.3} {unit}");
    if let Target::AtMost(limit) = target {
        let met = if middle <= limit { "met" } else { "MISSED" };
        let _ = write!(line, " (target <= {limit}: {met})");
    }
    let runs: Vec<String> = runs.iter().map(|run| format!("{run:.3}")).collect();
    let _ = write!(line, "; runs {}", runs.join(" "));
    line
}

/// The middle one; between the two middle ones of an even number.
pub(crate) fn median(runs: &[f64]) -> f64 {
    let mut sorted = runs.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// A count as a number to divide by and into. Counts of a run are far below 2^53.
pub(crate) fn number(count: u64) -> f64 {
    u32::try_from(count >> 32).map_or(f64::INFINITY, f64::from) * 4_294_967_296.0
        + u32::try_from(count & 0xffff_ffff).map_or(f64::INFINITY, f64::from)
}

/// Decimal gigabytes.
pub(crate) fn gigabytes(bytes: u64) -> f64 {
    number(bytes) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_median_target_and_runs() {
        let runs = [3.0, 1.0, 2.0];
        assert_eq!(
            line("cost", "us", &runs, Target::AtMost(2.5)),
            "cost: 2.000 us (target <= 2.5: met); runs 3.000 1.000 2.000"
        );
        assert_eq!(
            line("cost", "us", &runs, Target::AtMost(1.5)),
            "cost: 2.000 us (target <= 1.5: MISSED); runs 3.000 1.000 2.000"
        );
        assert_eq!(line("cost", "us", &[1.0, 2.0], Target::None), "cost: 1.500 us; runs 1.000 2.000");
    }

    #[test]
    fn large_counts_keep_their_value() {
        assert!((number(7_000_000_000) - 7e9).abs() < 0.5);
    }
}
