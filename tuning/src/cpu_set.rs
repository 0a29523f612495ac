//! Sets of processors, as the kernel writes them: `0-3,6`.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Serialize, Serializer};

/// The largest number of a processor that is believed: twice what Linux can be built for on any machine that is sold.
pub const CPU_NUMBER_MAX: usize = 16 * 1024 - 1;

/// Processors by number.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct CpuSet(BTreeSet<usize>);

impl CpuSet {
    /// Reads a list such as `0-3,6`, with white space around it; nothing is the empty set. `None` of anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let mut numbers = BTreeSet::new();
        if text.is_empty() {
            return Some(Self(numbers));
        }
        let mut named = 0;
        for item in text.split(',') {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
            if first > last || last > CPU_NUMBER_MAX {
                return None;
            }
            // A list that names them again and again is none of the kernel's.
            named += last - first + 1;
            if named > 2 * CPU_NUMBER_MAX {
                return None;
            }
            numbers.extend(first..=last);
        }
        Some(Self(numbers))
    }

    /// Whether it has this one.
    pub fn contains(&self, number: usize) -> bool {
        self.0.contains(&number)
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The numbers, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().copied()
    }

    /// The least number.
    pub fn first(&self) -> Option<usize> {
        self.0.first().copied()
    }

    /// Those that the other one has too.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).copied().collect())
    }
}

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(numbers: I) -> Self {
        Self(numbers.into_iter().filter(|number| *number <= CPU_NUMBER_MAX).collect())
    }
}

impl Extend<usize> for CpuSet {
    fn extend<I: IntoIterator<Item = usize>>(&mut self, numbers: I) {
        self.0.extend(numbers.into_iter().filter(|number| *number <= CPU_NUMBER_MAX));
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<usize> = self.iter().collect();
        for (at, range) in numbers.chunk_by(|left, right| left + 1 == *right).enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            match range {
                [first, .., last] => write!(f, "{first}-{last}")?,
                [only] => write!(f, "{only}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl Serialize for CpuSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_and_written() {
        for (text, written) in [
            ("0-3,6\n", Some("0-3,6")),
            ("0", Some("0")),
            ("", Some("")),
            ("\n", Some("")),
            ("3,1,2", Some("1-3")),
            ("0-1,1-2", Some("0-2")),
            ("2-1", None),
            ("0-99999999", None),
            ("99999999999999999999", None),
            ("-1", None),
            ("a", None),
            ("0,,1", None),
            ("0-16383,0-16383,0-16383", None),
        ] {
            assert_eq!(CpuSet::parse(text).map(|set| set.to_string()).as_deref(), written, "{text:?}");
        }
    }
}
