//! What is compared: a TOML file of rows, each a workload in one or both classes of durability, with its targets.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::compare::durability::Durability;
use crate::compare::metric::Metric;
use crate::floor::Step;
use crate::workload::file::{Workload, read_bounded};

/// Bytes of a file that are read at most.
const FILE_BYTES_MAX: u64 = 256 * 1024;
const ROWS_MAX: usize = 200;
const ROUNDS_MAX: usize = 100;
const WARM_UP_RECORDS_MAX: u64 = 1_000_000_000;

/// Everything that is compared.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Matrix {
    pub(crate) name: String,
    /// Of four blocks each: A B B A.
    pub(crate) rounds: usize,
    /// Small requests that a broker takes before its first block counts.
    pub(crate) warm_up_records: u64,
    pub(crate) rows: Vec<Row>,
    pub(crate) relations: Vec<Relation>,
}

/// A workload in one class of durability.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) workload: Workload,
    pub(crate) durability: Durability,
    /// Whether the workload runs without its readers first, so that what they cost and what they disturb can be told.
    pub(crate) without_readers: bool,
    /// Settings that both brokers are started with.
    pub(crate) broker: Vec<(String, String)>,
    /// What no broker can do without, of those costs that the machine's floor tells.
    pub(crate) floor: Vec<Step>,
    pub(crate) targets: Vec<Target>,
}

/// A figure that is to be reached. It belongs to the side that is ours.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) metric: Metric,
    /// The class that it is asked of; without it, all of the row's.
    durability: Option<Durability>,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

/// One row's figure over another's, of the same side.
#[derive(Clone, PartialEq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) row: String,
    pub(crate) over: String,
    pub(crate) durability: Durability,
    pub(crate) metric: Metric,
    at_most: Option<f64>,
    at_least: Option<f64>,
}

impl Target {
    pub(crate) const fn bound(&self) -> Bound {
        Bound { at_most: self.at_most, at_least: self.at_least }
    }
}

impl Relation {
    pub(crate) const fn bound(&self) -> Bound {
        Bound { at_most: self.at_most, at_least: self.at_least }
    }
}

/// What a figure may be.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(crate) struct Bound {
    at_most: Option<f64>,
    at_least: Option<f64>,
}

impl Bound {
    /// Nothing costs less than nothing: a difference below zero says that its parts were not measured well enough.
    pub(crate) fn is_met_by(&self, value: f64) -> bool {
        value >= 0.0
            && self.at_most.is_none_or(|most| value <= most)
            && self.at_least.is_none_or(|least| value >= least)
    }

    fn check(self) -> anyhow::Result<()> {
        ensure!(self.at_most.is_some() || self.at_least.is_some(), "a target needs at_most or at_least");
        Ok(())
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.at_least, self.at_most) {
            (Some(least), Some(most)) => write!(f, "{least} to {most}"),
            (Some(least), None) => write!(f, ">= {least}"),
            (None, Some(most)) => write!(f, "<= {most}"),
            (None, None) => Ok(()),
        }
    }
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    rounds: usize,
    warm_up_records: u64,
    /// What workloads that stand in this file have where they tell nothing else.
    #[serde(default)]
    warm_up_ms: Option<u64>,
    #[serde(default)]
    seconds: Option<u64>,
    row: Vec<FileRow>,
    #[serde(default)]
    relation: Vec<Relation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRow {
    name: String,
    /// A file, from this one's folder; or a table with the same keys as a file.
    workload: toml::Value,
    durability: Vec<Durability>,
    #[serde(default)]
    without_readers: bool,
    #[serde(default)]
    broker: BTreeMap<String, String>,
    #[serde(default)]
    floor: Vec<Step>,
    #[serde(default)]
    target: Vec<Target>,
}

impl Matrix {
    /// Reads a file, and the workload files that it names.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = read_bounded(path, FILE_BYTES_MAX).with_context(|| {
            format!("{}: this matrix cannot be read; those of the house are in bench/matrix", path.display())
        })?;
        Self::parse(path, &text).with_context(|| path.display().to_string())
    }

    /// Reads a file's text; workload files are looked for beside the path.
    pub(crate) fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let file: File = toml::from_str(text)?;
        ensure!((1..=ROUNDS_MAX).contains(&file.rounds), "rounds = {}: expected 1 to {ROUNDS_MAX}", file.rounds);
        let records = file.warm_up_records;
        ensure!(records <= WARM_UP_RECORDS_MAX, "warm_up_records = {records}: expected 0 to {WARM_UP_RECORDS_MAX}");
        ensure!(!file.row.is_empty() && file.row.len() <= ROWS_MAX, "expected 1 to {ROWS_MAX} rows");
        let mut rows = Vec::new();
        let mut names = BTreeSet::new();
        for row in &file.row {
            ensure!(names.insert(row.name.clone()), "row {}: there are two of this name", row.name);
            rows.extend(row.rows(path, &file).with_context(|| format!("row {}", row.name))?);
        }
        for relation in &file.relation {
            relation.check(&rows).with_context(|| format!("relation {}", relation.name))?;
        }
        let File { name, rounds, relation: relations, .. } = file;
        Ok(Self { name, rounds, warm_up_records: records, rows, relations })
    }

    /// A matrix of one workload.
    pub(crate) fn of_workload(workload: Workload, rounds: usize, warm_up_records: u64) -> Self {
        let row = |durability| Row {
            name: workload.name.clone(),
            workload: workload.clone(),
            durability,
            without_readers: false,
            broker: Vec::new(),
            floor: Vec::new(),
            targets: Vec::new(),
        };
        let rows = [Durability::D0, Durability::D2].map(row).to_vec();
        Self { name: workload.name, rounds, warm_up_records, rows, relations: Vec::new() }
    }

    /// Leaves only rows of these names, and of this class; relations stay whose rows both do.
    pub(crate) fn keep(&mut self, names: &[String], durability: Option<Durability>) -> anyhow::Result<()> {
        for name in names {
            let is_known = self.rows.iter().any(|row| row.name == *name);
            ensure!(is_known, "matrix {} has no row {name}; it has {}", self.name, self.row_names());
        }
        self.rows.retain(|row| {
            (names.is_empty() || names.contains(&row.name)) && durability.is_none_or(|only| row.durability == only)
        });
        ensure!(!self.rows.is_empty(), "no row of matrix {} is left", self.name);
        let rows = &self.rows;
        self.relations.retain(|relation| relation.check(rows).is_ok());
        Ok(())
    }

    /// Leaves out, with a line that says so, what cannot be had of brokers that somebody else has started.
    pub(crate) fn keep_on_running(&mut self) -> anyhow::Result<()> {
        self.rows.retain(|row| match row.workload.check_on_running() {
            Ok(()) => true,
            Err(error) => {
                eprintln!("ringlog-bench: row {} is left out: {error:#}", row.name);
                false
            }
        });
        ensure!(!self.rows.is_empty(), "no row of matrix {} is left", self.name);
        let rows = &self.rows;
        self.relations.retain(|relation| relation.check(rows).is_ok());
        Ok(())
    }

    fn row_names(&self) -> String {
        let names: BTreeSet<&str> = self.rows.iter().map(|row| row.name.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

impl FileRow {
    /// One row for each class.
    fn rows(&self, path: &Path, file: &File) -> anyhow::Result<Vec<Row>> {
        let workload = self.workload(path, file)?;
        ensure!(!self.durability.is_empty(), "durability = []: expected \"D0\", \"D2\" or both");
        if self.without_readers {
            ensure!(workload.consumers > 0, "without_readers = true: expected a workload with consumers");
        }
        for target in &self.target {
            target.bound().check()?;
            let is_told = target.durability.is_none_or(|durability| self.durability.contains(&durability));
            ensure!(is_told, "a target is of a class that the row does not have");
        }
        let row = |durability: &Durability| {
            let is_asked = |target: &&Target| target.durability.is_none_or(|asked| asked == *durability);
            Row {
                name: self.name.clone(),
                workload: workload.clone(),
                durability: *durability,
                without_readers: self.without_readers,
                broker: self.broker.clone().into_iter().collect(),
                floor: self.floor.clone(),
                targets: self.target.iter().filter(is_asked).copied().collect(),
            }
        };
        Ok(self.durability.iter().map(row).collect())
    }

    fn workload(&self, path: &Path, file: &File) -> anyhow::Result<Workload> {
        match &self.workload {
            toml::Value::String(name) => {
                let folder = path.parent().unwrap_or(Path::new("."));
                Ok(Workload::read(&folder.join(name))?)
            }
            toml::Value::Table(table) => {
                let mut table = table.clone();
                let defaults = [("warm_up_ms", file.warm_up_ms), ("seconds", file.seconds)];
                for (key, value) in defaults {
                    if let (false, Some(value)) = (table.contains_key(key), value) {
                        table.insert(key.to_owned(), toml::Value::Integer(value.try_into()?));
                    }
                }
                table.entry("name").or_insert_with(|| toml::Value::String(self.name.clone()));
                Ok(Workload::from_table(Path::new("workload"), table)?)
            }
            _ => bail!("workload: expected the name of a file, or a table"),
        }
    }
}

impl Relation {
    fn check(&self, rows: &[Row]) -> anyhow::Result<()> {
        self.bound().check()?;
        for name in [&self.row, &self.over] {
            let is_there = rows.iter().any(|row| row.name == *name && row.durability == self.durability);
            ensure!(is_there, "there is no row {name} in {}", self.durability);
        }
        Ok(())
    }
}

/// Where the matrices of the house are, from the repository's folder.
pub(crate) fn of_the_house(name: &str) -> PathBuf {
    ["bench", "matrix", name].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const GOOD: &str = r#"
        name = "a"
        rounds = 2
        warm_up_records = 1000
        warm_up_ms = 10
        seconds = 3

        [[row]]
        name = "one"
        durability = ["D0", "D2"]
        floor = ["receive", "write"]
        target = [{ metric = "p99_9_us", durability = "D2", at_most = 4.5 }]
        [row.workload]
        kind = "produce"
        partitions = 1
        record_bytes = 100
        connections = 1
        in_flight = 1
        topic = { "segment.bytes" = "1048576" }

        [[row]]
        name = "many"
        durability = ["D2"]
        workload = { kind = "produce", partitions = 10, record_bytes = 100, connections = 1, in_flight = 1 }

        [[relation]]
        name = "many-to-one"
        row = "many"
        over = "one"
        durability = "D2"
        metric = "records_per_second"
        at_least = 0.9
    "#;

    fn parse(text: &str) -> Result<Matrix, String> {
        Matrix::parse(Path::new("a.toml"), text).map_err(|error| format!("{error:#}"))
    }

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        parse(&GOOD.replacen(from, to, 1)).expect_err("a refusal")
    }

    #[test]
    fn the_files_of_the_house_are_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("matrix");
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("it is readable").path();
            let matrix = Matrix::read(&path).unwrap_or_else(|error| panic!("{error:#}"));
            assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(matrix.name.as_str()));
            names.push(matrix.name);
        }
        names.sort();
        assert_eq!(names, ["default", "quick"]);
    }

    #[test]
    fn a_row_is_made_for_each_class_and_classes_are_not_mixed() {
        let matrix = parse(GOOD).expect("it is right");
        let rows: Vec<_> = matrix.rows.iter().map(|row| (row.name.as_str(), row.durability)).collect();
        assert_eq!(rows, [("one", Durability::D0), ("one", Durability::D2), ("many", Durability::D2)]);
        assert_eq!(matrix.rows.iter().map(|row| row.targets.len()).collect::<Vec<_>>(), [0, 1, 0]);
        let workload = &matrix.rows[0].workload;
        assert_eq!((workload.name.as_str(), workload.warm_up_ms, workload.seconds), ("one", 10, 3));
        assert_eq!(workload.topic, [("segment.bytes".to_owned(), "1048576".to_owned())]);
        assert_eq!(matrix.relations.len(), 1);
    }

    #[test]
    fn bounds_are_kept() {
        let target = parse(GOOD).expect("it is right").rows[1].targets[0];
        assert_eq!((target.metric, target.bound().to_string().as_str()), (Metric::P999Us, "<= 4.5"));
        assert!(target.bound().is_met_by(4.5) && !target.bound().is_met_by(4.6));
        let least = Bound { at_most: None, at_least: Some(0.9) };
        assert!(least.is_met_by(1.0) && !least.is_met_by(0.8));
        assert!(!least.is_met_by(f64::NAN) && !target.bound().is_met_by(f64::NAN));
        assert!(!target.bound().is_met_by(-0.1) && target.bound().is_met_by(0.0));
    }

    #[test]
    fn errors_name_row_key_and_what_was_expected() {
        for (from, to, parts) in [
            ("rounds = 2", "rounds = 0", ["rounds = 0", "expected 1 to 100"]),
            ("rounds = 2", "runds = 2", ["runds", "expected one of"]),
            ("\"one\"", "\"many\"", ["row many", "two of this name"]),
            ("partitions = 1\n", "partitions = 0\n", ["row one: workload: partitions = 0", "expected 1 to 10000"]),
            ("partitions = 1\n", "partitins = 1\n", ["row one: workload: ", "partitins"]),
            ("\"p99_9_us\"", "\"p98_us\"", ["unknown variant", "p98_us"]),
            ("at_most = 4.5", "at_mots = 4.5", ["at_mots", "at_most"]),
            (", at_most = 4.5", "", ["row one", "at_most or at_least"]),
            ("over = \"one\"", "over = \"none\"", ["relation many-to-one", "no row none in D2"]),
            ("[\"D0\", \"D2\"]", "[\"D1\"]", ["unknown variant", "D1"]),
            ("floor", "without_readers = true\nfloor", ["row one: without_readers", "consumers"]),
        ] {
            let error = refusal(from, to);
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        let missing = Matrix::read(Path::new("nothing.toml")).expect_err("there is nothing").to_string();
        assert!(missing.contains("nothing.toml") && missing.contains("bench/matrix"), "{missing}");
    }

    #[test]
    fn rows_are_chosen_by_name_and_class() {
        let mut matrix = parse(GOOD).expect("it is right");
        matrix.keep(&["one".to_owned()], Some(Durability::D2)).expect("there is one");
        assert_eq!((matrix.rows.len(), matrix.relations.len()), (1, 0));
        let error = matrix.keep(&["two".to_owned()], None).expect_err("there is none").to_string();
        assert_eq!(error, "matrix a has no row two; it has one");
    }
}
