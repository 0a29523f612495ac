//! House rules that a machine can keep. Every rule is a pure function from text to [`Fault`]s, with tests of its own that
//! show it failing; `tests/house.rs` applies all of them to the tree.
#![forbid(unsafe_code)]

pub mod coverage;
pub mod dependencies;
pub mod layers;
pub mod leaks;
pub mod licences;
pub mod names;
pub mod purity;
pub mod readme;
pub mod safety;
pub mod size;
pub mod source;
pub mod tree;
pub mod waits;

use std::fmt;

/// One place that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// File, relative to the top of the tree, or a crate's name.
    pub place: String,
    /// Line, counted from 1; 0 means the whole file.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl Fault {
    /// A fault of a whole file or crate.
    pub fn of(place: &str, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line: 0, what: what.into() }
    }

    /// A fault of one line, counted from 1.
    pub fn at(place: &str, line: usize, what: impl Into<String>) -> Self {
        Self { place: place.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.place, self.what),
            line => write!(f, "{}:{line}: {}", self.place, self.what),
        }
    }
}
