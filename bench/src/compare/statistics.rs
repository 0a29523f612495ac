//! Paired ratios: their median, and the interval that holds the true one, without any assumption about how they are spread.
//!
//! The interval is that of the sign test: whatever the spread, each ratio is above the true median with probability 1/2, so
//! how many are is binomial, and the confidence of an interval between two of the sorted ratios is exact.

use serde::Serialize;

use crate::report::median;

/// The confidence that an interval is to have at least. Fewer than six pairs cannot give it.
pub(crate) const CONFIDENCE_MIN: f64 = 0.95;

/// What paired blocks say about a ratio.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Ratio {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// That the true median lies from `low` to `high`.
    pub(crate) confidence: f64,
    pub(crate) pairs: usize,
}

impl Ratio {
    /// Of each pair, the first over the second. Pairs whose ratio is not a finite number are left out; `None` if no pair
    /// is left.
    pub(crate) fn of(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<Self> {
        let ratios = pairs.into_iter().map(|(ours, theirs)| ours / theirs).filter(|ratio| ratio.is_finite());
        Self::of_ratios(ratios.collect(), CONFIDENCE_MIN)
    }

    /// Of ratios, with at least this confidence if there are enough of them.
    pub(crate) fn of_ratios(mut ratios: Vec<f64>, confidence_min: f64) -> Option<Self> {
        ratios.sort_by(f64::total_cmp);
        let count = ratios.len();
        let last = count.checked_sub(1)?;
        // From the narrowest interval outwards.
        let outward = (0..=last / 2).rev().map(|trim| (trim, confidence(count, trim)));
        let widest = (0, confidence(count, 0));
        let (trim, confidence) = outward.into_iter().find(|(_, found)| *found >= confidence_min).unwrap_or(widest);
        Some(Self { median: median(&ratios), low: ratios[trim], high: ratios[last - trim], confidence, pairs: count })
    }

    pub(crate) fn contains(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }
}

/// How sure it is that the median of whatever `count` values come from lies within those that are left when `trim` values
/// are taken from either end.
fn confidence(count: usize, trim: usize) -> f64 {
    // Of `count` values, `below` are under the median: so many choose so many, over all 2^count.
    let mut chance = (0..count).fold(1.0, |chance, _| chance / 2.0);
    let mut outside = 0.0;
    for (below, left) in (0..=trim).zip((1..=count).rev()) {
        outside += chance;
        chance *= small(left) / small(below + 1);
    }
    (1.0 - 2.0 * outside).max(0.0)
}

/// A count of blocks as a number.
fn small(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() < 1e-9
    }

    #[test]
    fn confidence_is_that_of_the_sign_test() {
        // The range of n values misses their median when all are on one side of it.
        for (count, expected) in [(1, 0.0), (2, 0.5), (4, 0.875), (6, 0.968_75)] {
            assert!(close(confidence(count, 0), expected), "{count}: {}", confidence(count, 0));
        }
        // Binomial tables, n = 10: P(at most 1) = 11/1024.
        assert!(close(confidence(10, 1), 1.0 - 2.0 * 11.0 / 1024.0));
        assert!(close(confidence(2, 1), 0.0), "an interval of nothing is never right");
    }

    #[test]
    fn the_median_is_that_of_the_ratios_of_pairs() {
        // Both sides double with the state of the machine; their ratio does not.
        let ratio = Ratio::of([(1.0, 2.0), (2.0, 4.0), (4.0, 8.0), (3.0, 5.0)]).expect("four");
        assert!(close(ratio.median, 0.5) && close(ratio.low, 0.5) && close(ratio.high, 0.6), "{ratio:?}");
        assert!(close(ratio.confidence, 0.875), "too few for more: the range, and how sure it is");
        assert!(ratio.contains(0.55) && !ratio.contains(1.0));
    }

    #[test]
    fn the_interval_narrows_as_pairs_are_added() {
        let ratios: Vec<f64> = (1..=20_u32).map(f64::from).collect();
        let ratio = Ratio::of_ratios(ratios, CONFIDENCE_MIN).expect("twenty");
        // For n = 20 the tables say: from the 6th to the 15th, 95.86 %.
        assert!(close(ratio.low, 6.0) && close(ratio.high, 15.0) && close(ratio.median, 10.5), "{ratio:?}");
        assert!((ratio.confidence - 0.9586).abs() < 1e-4, "{ratio:?}");
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        assert_eq!(Ratio::of([]), None);
        assert_eq!(Ratio::of([(0.0, 0.0), (1.0, 0.0)]), None);
        let one = Ratio::of([(1.0, 0.0), (1.0, 4.0)]).expect("one");
        assert_eq!((one.pairs, one.confidence), (1, 0.0));
    }
}
