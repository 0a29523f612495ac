//! Histograms of a fixed size: recording one value is a few instructions, without allocation, lock or atomic.
//!
//! A histogram belongs to one shard, which records; whoever wants to tell of it takes a copy, and adds those of other shards
//! up with [`Histogram::merge`]. Buckets are spaced by powers of two, each of which is divided into [`PARTS`] equal ones, so
//! a quantile is off by an eighth of its value at most.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

/// Into how many buckets one octave is divided.
pub const PARTS: usize = 4;

/// Times in nanoseconds, from one microsecond to a minute.
pub type Durations = Histogram<10, 26>;

/// Sizes in bytes, from 64 to 2 GiB.
pub type Sizes = Histogram<6, 25>;

/// Counts of values by size. The first octave begins behind 2 to the power of `FIRST`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Histogram<const FIRST: u32, const OCTAVES: usize> {
    below: u64,
    octaves: [[u64; PARTS]; OCTAVES],
    beyond: u64,
    sum: u64,
}

impl<const FIRST: u32, const OCTAVES: usize> Default for Histogram<FIRST, OCTAVES> {
    fn default() -> Self {
        const { assert!(FIRST >= 2 && OCTAVES > 0, "an octave is divided into four parts") };
        Self { below: 0, octaves: [[0; PARTS]; OCTAVES], beyond: 0, sum: 0 }
    }
}

impl<const FIRST: u32, const OCTAVES: usize> Histogram<FIRST, OCTAVES> {
    /// Counts one value.
    #[inline]
    pub fn record(&mut self, value: u64) {
        self.sum = self.sum.wrapping_add(value);
        // A bucket holds what is at most its bound, not what is less.
        let before = value.saturating_sub(1);
        let bucket = match before.checked_ilog2().and_then(|power| Some((power, power.checked_sub(FIRST)?))) {
            None => &mut self.below,
            Some((power, octave)) => {
                let part = usize::try_from((before >> (power - 2)) & 3).expect("two bits fit");
                match usize::try_from(octave).ok().and_then(|octave| self.octaves.get_mut(octave)) {
                    Some(parts) => &mut parts[part],
                    None => &mut self.beyond,
                }
            }
        };
        *bucket += 1;
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        self.below += other.below;
        self.beyond += other.beyond;
        self.sum = self.sum.wrapping_add(other.sum);
        for (mine, theirs) in self.octaves.iter_mut().flatten().zip(other.octaves.iter().flatten()) {
            *mine += theirs;
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.below + self.octaves.iter().flatten().sum::<u64>() + self.beyond
    }

    /// The values together.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// For the bound of every octave, from the lowest on: how many values were at most as large.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let mut count = self.below;
        let first = std::iter::once((1 << FIRST, self.below));
        let octaves = (FIRST + 1..).zip(&self.octaves).map(move |(power, parts)| {
            count += parts.iter().sum::<u64>();
            (1 << power, count)
        });
        first.chain(octaves)
    }

    /// The value that so many thousandths of all values do not exceed; 0 when there are none. Values beyond the last bucket
    /// count as its bound.
    pub fn quantile(&self, thousandths: u64) -> u64 {
        let count = self.count();
        if count == 0 {
            return 0;
        }
        // The rank of the value, from 1 on.
        let rank = (u128::from(count) * u128::from(thousandths)).div_ceil(1000).max(1);
        let mut seen = u128::from(self.below);
        if rank <= seen {
            return 1 << FIRST;
        }
        let bounds = (FIRST..).zip(&self.octaves).flat_map(|(power, parts)| {
            let part_of = move |index: u64| ((1_u64 << power) + (index << (power - 2)), 1_u64 << (power - 2));
            (0..).zip(parts).map(move |(index, count)| (part_of(index), *count))
        });
        for ((from, width), count) in bounds {
            let (before, count) = (seen, u128::from(count));
            seen += count;
            if rank <= seen {
                // As if the values of a bucket lay evenly in it.
                let within = u128::from(width) * (rank - before) / count;
                return from + u64::try_from(within).expect("at most the width");
            }
        }
        (FIRST..).nth(OCTAVES).map_or(u64::MAX, |power| 1 << power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Small = Histogram<3, 4>;

    fn of(values: &[u64]) -> Small {
        let mut histogram = Small::default();
        for value in values {
            histogram.record(*value);
        }
        histogram
    }

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let check = |value: u64, expected: &[u64]| {
            let counts: Vec<u64> = of(&[value]).cumulative().map(|(_, count)| count).collect();
            assert_eq!(counts, expected, "{value}");
        };
        check(0, &[1, 1, 1, 1, 1]);
        check(8, &[1, 1, 1, 1, 1]);
        check(9, &[0, 1, 1, 1, 1]);
        check(16, &[0, 1, 1, 1, 1]);
        check(17, &[0, 0, 1, 1, 1]);
        check(128, &[0, 0, 0, 0, 1]);
        check(129, &[0, 0, 0, 0, 0]);
        check(u64::MAX, &[0, 0, 0, 0, 0]);
        assert_eq!(Small::default().cumulative().map(|(bound, _)| bound).collect::<Vec<_>>(), [8, 16, 32, 64, 128]);
    }

    #[test]
    fn merged_counts_are_those_of_all_values() {
        let (one, other) = ([0, 9, 11, 40, 500], [8, 9, 33, 127, 1 << 40]);
        let mut merged = of(&one);
        merged.merge(&of(&other));
        assert_eq!(merged, of(&[one, other].concat()));
        assert_eq!(merged.count(), 10);
        assert_eq!(merged.sum(), 560 + 177 + (1 << 40));
    }

    #[test]
    fn a_quantile_is_off_by_an_eighth_at_most() {
        let mut histogram = Durations::default();
        for value in 1..=100_000_u64 {
            histogram.record(value * 1000);
        }
        for thousandths in [1, 10, 250, 500, 900, 990, 999, 1000] {
            let exact = thousandths * 100_000;
            let told = histogram.quantile(thousandths);
            assert!(told.abs_diff(exact) <= exact / 8, "{thousandths}: {told} is not {exact}");
        }
        assert_eq!(Durations::default().quantile(500), 0);
        assert_eq!(of(&[1 << 20]).quantile(500), 128, "what is beyond counts as the last bound");
        assert_eq!(of(&[3]).quantile(500), 8);
    }

    /// What the widest types hold is what their names say.
    #[test]
    fn the_usual_histograms_reach_far_enough() {
        let last = |bounds: &mut dyn Iterator<Item = (u64, u64)>| bounds.last().map(|(bound, _)| bound);
        assert_eq!(last(&mut Durations::default().cumulative()), Some(1 << 36));
        assert_eq!(last(&mut Sizes::default().cumulative()), Some(1 << 31));
    }
}
