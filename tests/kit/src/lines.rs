//! Text to send through a broker: lines of words, the same ones for the same seed.

use std::io::{self, BufWriter, Write};
use std::path::Path;

const WORDS: &[&str] = &[
    "ring",
    "shard",
    "segment",
    "batch",
    "offset",
    "epoch",
    "leader",
    "journal",
    "commit",
    "fetch",
    "produce",
    "über",
    "mesh",
    "chunk",
    "durable",
    "the",
    "a",
    "of",
    "and",
    "then",
    "записи",
    "読む",
    "tail",
    "replay",
];

/// Endless lines without their ends. Each begins with its number, so that no two are equal; lengths vary from a few bytes
/// to a few hundred, now and then some thousand.
#[derive(Debug, Clone)]
pub struct Lines {
    state: u64,
    number: u64,
}

impl Lines {
    /// The lines of one seed.
    pub fn new(seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15, number: 0 }
    }

    /// `SplitMix64`: good enough for text, and the same everywhere.
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a count fits");
        usize::try_from(self.random() % bound).expect("below a usize")
    }
}

impl Iterator for Lines {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        let words = match self.below(1000) {
            0 => 400 + self.below(400),
            1..100 => 30 + self.below(60),
            _ => 1 + self.below(20),
        };
        let mut line = self.number.to_string();
        for _ in 0..words {
            line.push(' ');
            line.push_str(WORDS[self.below(WORDS.len())]);
        }
        self.number += 1;
        Some(line)
    }
}

/// Writes at least `bytes` of lines into a file. Answers how many lines that are.
pub fn write_file(path: &Path, seed: u64, bytes: u64) -> io::Result<u64> {
    let mut file = BufWriter::new(std::fs::File::create(path)?);
    let (mut written, mut count) = (0_u64, 0_u64);
    let mut lines = Lines::new(seed);
    while written < bytes {
        let line = lines.next().expect("lines are endless");
        writeln!(file, "{line}")?;
        written += u64::try_from(line.len()).expect("a length fits") + 1;
        count += 1;
    }
    file.flush()?;
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_for_a_seed_and_differ_from_each_other() {
        let some = || Lines::new(7).take(5000).collect::<Vec<_>>();
        assert_eq!(some(), some());
        assert_ne!(some()[0], Lines::new(8).next().expect("endless"));
        let distinct: std::collections::HashSet<_> = some().into_iter().collect();
        assert_eq!(distinct.len(), 5000);
        assert!(distinct.iter().all(|line| !line.contains('\n')));
        assert!(distinct.iter().any(|line| line.len() > 1500), "long lines occur");
    }

    #[test]
    fn a_file_has_the_lines_it_says() {
        let folder = crate::folder::Folder::new("lines");
        let path = folder.path().join("text");
        let count = write_file(&path, 1, 10_000).expect("the folder can be written");
        let text = std::fs::read_to_string(&path).expect("it was written");
        assert!(text.len() >= 10_000);
        assert_eq!(u64::try_from(text.lines().count()).expect("fits"), count);
    }
}
