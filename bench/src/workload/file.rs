//! A workload as it is written down: TOML, checked when it is read, so that what runs is possible and ends.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ringlog_storage::batch::Codec;
use serde::Deserialize;
use thiserror::Error;

use crate::payload::Payload;
use crate::requests::{Acks, TopicSetting};
use crate::workload::schedule::Tick;

/// Bytes of a file that are read at most.
const FILE_BYTES_MAX: u64 = 64 * 1024;
const NAME_BYTES_MAX: usize = 64;
/// Partitions of all topics together.
const ALL_PARTITIONS_MAX: u64 = 10_000;

/// Why there is no workload.
#[derive(Debug, Error)]
pub(crate) enum WorkloadError {
    #[error("{}: cannot be read: {error}", path.display())]
    Unreadable { path: PathBuf, error: std::io::Error },
    /// The parser names the line, the key and what it expected.
    #[error("{}: {error}", path.display())]
    Syntax { path: PathBuf, error: toml::de::Error },
    #[error("{}: {key} = {value}: expected {expected}", path.display())]
    Value { path: PathBuf, key: &'static str, value: String, expected: String },
}

/// What is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Records are produced.
    Produce,
    /// Records are produced, and consumers fetch them meanwhile.
    Tail,
    /// Topics are filled, then fetched from their beginning.
    CatchUp,
    /// Records are produced and fetched, and it is told how long each took from one end to the other.
    EndToEnd,
    /// Topics are filled; then records are produced, and meanwhile consumers fetch what was there before, again and again.
    Replay,
    /// Partitions and connections are there, and nothing is done with them.
    Idle,
}

/// What the kernel keeps of a broker's files when consumers begin to read what topics were filled with.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PageCache {
    /// Whatever it has kept.
    #[default]
    Full,
    /// Nothing, where the folder of the broker's data is known.
    Freed,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Produce => "produce",
            Self::Tail => "tail",
            Self::CatchUp => "catch-up",
            Self::EndToEnd => "end-to-end",
            Self::Replay => "replay",
            Self::Idle => "idle",
        })
    }
}

/// When a connection sends its next request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Pace {
    /// Open loop: at its time, whether or not earlier ones were answered. Records a second, of all connections.
    Rate(u64, Tick),
    /// Closed loop: when fewer than so many of its requests are under way.
    InFlight(usize),
}

/// A workload whose numbers all are in their ranges.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) topics: u16,
    /// Of each topic.
    pub(crate) partitions: u16,
    pub(crate) payload: Payload,
    pub(crate) acks: Acks,
    /// Connections that produce.
    pub(crate) connections: usize,
    pub(crate) pace: Pace,
    /// Connections that fetch; each partition belongs to one of them.
    pub(crate) consumers: usize,
    /// What catch-up and replay fetch.
    pub(crate) fill_bytes: u64,
    pub(crate) page_cache: PageCache,
    pub(crate) warm_up_ms: u64,
    pub(crate) seconds: u64,
    /// Settings of its topics, beside those that every run's have.
    pub(crate) topic: Vec<TopicSetting>,
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    name: String,
    kind: Kind,
    #[serde(default = "one")]
    topics: u64,
    partitions: u64,
    record_bytes: Option<u64>,
    #[serde(default)]
    batch_bytes: u64,
    #[serde(default)]
    compressibility: f64,
    keys: Option<u64>,
    #[serde(default)]
    codec: CodecName,
    #[serde(default = "all")]
    acks: Acks,
    connections: u64,
    rate: Option<u64>,
    tick_us: Option<u64>,
    in_flight: Option<u64>,
    consumers: Option<u64>,
    fill_bytes: Option<u64>,
    page_cache: Option<PageCache>,
    warm_up_ms: u64,
    seconds: u64,
    #[serde(default)]
    topic: BTreeMap<String, String>,
}

const fn one() -> u64 {
    1
}

const fn all() -> Acks {
    Acks::All
}

#[derive(Clone, Copy, Default, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum CodecName {
    #[default]
    None,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

impl From<CodecName> for Codec {
    fn from(name: CodecName) -> Self {
        match name {
            CodecName::None => Self::None,
            CodecName::Gzip => Self::Gzip,
            CodecName::Snappy => Self::Snappy,
            CodecName::Lz4 => Self::Lz4,
            CodecName::Zstd => Self::Zstd,
        }
    }
}

/// The ranges of the numbers.
mod range {
    use std::ops::RangeInclusive;

    pub(super) const TOPICS: RangeInclusive<u64> = 1..=100;
    pub(super) const PARTITIONS: RangeInclusive<u64> = 1..=10_000;
    pub(super) const RECORD_BYTES: RangeInclusive<u64> = 1..=1_000_000;
    /// A consumer finds the intended time in the value, which must hold it.
    pub(super) const STAMPED_RECORD_BYTES: RangeInclusive<u64> = 16..=1_000_000;
    /// The largest batch that a topic accepts by default is a little larger.
    pub(super) const BATCH_BYTES: RangeInclusive<u64> = 0..=1_048_576;
    pub(super) const CONNECTIONS: RangeInclusive<u64> = 1..=10_000;
    pub(super) const CONSUMERS: RangeInclusive<u64> = 1..=1_000;
    pub(super) const RATE: RangeInclusive<u64> = 1..=100_000_000;
    pub(super) const TICK_US: RangeInclusive<u64> = 0..=100_000;
    pub(super) const IN_FLIGHT: RangeInclusive<u64> = 1..=100;
    pub(super) const FILL_BYTES: RangeInclusive<u64> = 1..=1_000_000_000_000;
    pub(super) use crate::ranges::{SECONDS, WARM_UP_MS};
}

/// The keys whose values are whole numbers, with their ranges.
const NUMBERS: [(&str, RangeInclusive<u64>); 12] = [
    ("topics", range::TOPICS),
    ("partitions", range::PARTITIONS),
    ("record_bytes", range::RECORD_BYTES),
    ("batch_bytes", range::BATCH_BYTES),
    ("connections", range::CONNECTIONS),
    ("rate", range::RATE),
    ("tick_us", range::TICK_US),
    ("in_flight", range::IN_FLIGHT),
    ("consumers", range::CONSUMERS),
    ("fill_bytes", range::FILL_BYTES),
    ("warm_up_ms", range::WARM_UP_MS),
    ("seconds", range::SECONDS),
];

const OF_FILLED: &str = "to be left out but with kind = \"catch-up\" or \"replay\"";

/// A key, its value, and what was expected of it.
type Refusal = (&'static str, String, String);

impl Workload {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, WorkloadError> {
        let unreadable = |error| WorkloadError::Unreadable { path: path.to_owned(), error };
        Self::parse(path, &read_bounded(path, FILE_BYTES_MAX).map_err(unreadable)?)
    }

    /// Reads a file's text; the path is for errors.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, WorkloadError> {
        let syntax = |error| WorkloadError::Syntax { path: path.to_owned(), error };
        check_types(&toml::from_str(text).map_err(syntax)?).map_err(|refusal| refused(path, refusal))?;
        // From the text once more: its errors tell the line.
        let table: Table = toml::from_str(text).map_err(syntax)?;
        table.checked().map_err(|refusal| refused(path, refusal))
    }

    /// Reads what stands within another file; the path is for errors, and may tell more than the file.
    pub(crate) fn from_table(path: &Path, table: toml::Table) -> Result<Self, WorkloadError> {
        check_types(&table).map_err(|refusal| refused(path, refusal))?;
        let table: Table = table.try_into().map_err(|error| WorkloadError::Syntax { path: path.to_owned(), error })?;
        table.checked().map_err(|refusal| refused(path, refusal))
    }

    /// Refuses what cannot be had of a broker that somebody else has started.
    pub(crate) fn check_on_running(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            self.page_cache == PageCache::Full,
            "{}: page_cache = \"freed\": where a broker that runs already has its files is not known; leave the key out, or \
             let the broker be started",
            self.name
        );
        Ok(())
    }

    /// The same workload over another time, where it was asked for.
    pub(crate) fn over(mut self, warm_up_ms: Option<u64>, seconds: Option<u64>) -> anyhow::Result<Self> {
        let refused = |(key, value, expected): Refusal| anyhow::anyhow!("{key} = {value}: expected {expected}");
        self.warm_up_ms =
            within("warm-up-ms", warm_up_ms.unwrap_or(self.warm_up_ms), &range::WARM_UP_MS).map_err(refused)?;
        self.seconds = within("seconds", seconds.unwrap_or(self.seconds), &range::SECONDS).map_err(refused)?;
        Ok(self)
    }
}

/// The text of a file of at most so many bytes, whatever the file system tells of its size. A pipe is refused before it is
/// opened: it has no end, or nobody ever writes to it.
pub(crate) fn read_bounded(path: &Path, bytes_max: u64) -> std::io::Result<String> {
    use std::io::{Error, ErrorKind};
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            let hint = "name a file that is there; those under bench/ are found from the repository's root";
            Error::new(ErrorKind::NotFound, format!("{error}: {hint}"))
        }
        _ => error,
    })?;
    if !metadata.is_file() {
        return Err(Error::other("it is no regular file"));
    }
    let mut text = String::new();
    fs::File::open(path)?.take(bytes_max + 1).read_to_string(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(bytes) if bytes <= bytes_max => Ok(text),
        _ => Err(Error::other(format!("it has more than {bytes_max} bytes"))),
    }
}

/// A value as it stands in the file, or what kind of value it is.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("{text:?}"),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        other => format!("({})", other.type_str()),
    }
}

/// Refuses values of another type with what the key accepts, which the parser does not know.
fn check_types(table: &toml::Table) -> Result<(), Refusal> {
    for (key, range) in NUMBERS {
        match table.get(key) {
            Some(value) if value.as_integer().is_none_or(|number| number < 0) => {
                let expected = format!("a whole number from {} to {}", range.start(), range.end());
                return Err((key, written(value), expected));
            }
            _ => {}
        }
    }
    match table.get("acks") {
        Some(value) if !matches!(value.as_str(), Some("1" | "all")) => {
            Err(("acks", written(value), "\"1\" or \"all\"".to_owned()))
        }
        _ => Ok(()),
    }
}

fn refused(path: &Path, (key, value, expected): Refusal) -> WorkloadError {
    WorkloadError::Value { path: path.to_owned(), key, value, expected }
}

impl Table {
    fn checked(self) -> Result<Workload, Refusal> {
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if self.name.is_empty() || self.name.len() > NAME_BYTES_MAX || !self.name.chars().all(is_name) {
            let expected = format!("1 to {NAME_BYTES_MAX} small letters, digits and hyphens");
            return Err(("name", format!("{:?}", self.name), expected));
        }
        let topics = within("topics", self.topics, &range::TOPICS)?;
        let partitions = within("partitions", self.partitions, &range::PARTITIONS)?;
        if topics * partitions > ALL_PARTITIONS_MAX {
            let expected = format!("at most {ALL_PARTITIONS_MAX} of all topics together");
            return Err(("partitions", partitions.to_string(), expected));
        }
        Ok(Workload {
            payload: self.payload()?,
            pace: self.pace()?,
            consumers: self.consumers()?,
            fill_bytes: self.fill_bytes()?,
            page_cache: self.page_cache()?,
            name: self.name,
            kind: self.kind,
            topics: small(topics),
            partitions: small(partitions),
            acks: self.acks,
            connections: small(within("connections", self.connections, &range::CONNECTIONS)?),
            warm_up_ms: within("warm_up_ms", self.warm_up_ms, &range::WARM_UP_MS)?,
            seconds: within("seconds", self.seconds, &range::SECONDS)?,
            topic: self.topic.into_iter().collect(),
        })
    }

    fn payload(&self) -> Result<Payload, Refusal> {
        let stamped = self.kind == Kind::EndToEnd;
        let bytes = if stamped { range::STAMPED_RECORD_BYTES } else { range::RECORD_BYTES };
        if !(0.0..=1.0).contains(&self.compressibility) {
            return Err(("compressibility", self.compressibility.to_string(), "0.0 to 1.0".to_owned()));
        }
        let codec = Codec::from(self.codec);
        if stamped && codec != Codec::None {
            let expected = "\"none\" with kind = \"end-to-end\", which writes a time into every request".to_owned();
            return Err(("codec", format!("\"{codec}\""), expected));
        }
        let record_bytes = match (self.record_bytes, self.kind) {
            (Some(count), _) => within("record_bytes", count, &bytes)?,
            (None, Kind::Idle) => 1,
            (None, _) => return Err(("record_bytes", "nothing".to_owned(), "a number".to_owned())),
        };
        let payload = Payload {
            record_bytes: small(record_bytes),
            batch_bytes: small(within("batch_bytes", self.batch_bytes, &range::BATCH_BYTES)?),
            compressibility: self.compressibility,
            keys: self.keys.map(|keys| usize::try_from(keys).unwrap_or(usize::MAX)),
            codec,
        };
        match payload.keys {
            Some(keys) if keys == 0 || keys > payload.keys_max() => {
                let expected = format!(
                    "1 to {} with batches of this size, or to be left out for records without",
                    payload.keys_max()
                );
                Err(("keys", keys.to_string(), expected))
            }
            _ => Ok(payload),
        }
    }

    fn pace(&self) -> Result<Pace, Refusal> {
        if self.kind == Kind::Idle {
            let given = self.rate.or(self.in_flight).map_or(Ok(Pace::InFlight(1)), Err);
            return given.map_err(|value| ("rate", value.to_string(), "no pace with kind = \"idle\"".to_owned()));
        }
        if let (None, Some(tick)) = (self.rate, self.tick_us) {
            return Err(("tick_us", tick.to_string(), "to be left out without rate".to_owned()));
        }
        match (self.rate, self.in_flight) {
            (Some(rate), None) if self.kind != Kind::CatchUp => {
                let tick = within("tick_us", self.tick_us.unwrap_or(0), &range::TICK_US)?;
                Ok(Pace::Rate(within("rate", rate, &range::RATE)?, Tick::from_micros(tick)))
            }
            (None, Some(count)) => Ok(Pace::InFlight(small(within("in_flight", count, &range::IN_FLIGHT)?))),
            (Some(rate), None) => {
                let expected = "to be left out with kind = \"catch-up\", whose filling has in_flight".to_owned();
                Err(("rate", rate.to_string(), expected))
            }
            (Some(rate), Some(_)) => Err(("rate", rate.to_string(), "either rate or in_flight, not both".to_owned())),
            (None, None) => Err(("rate", "nothing".to_owned(), "either rate or in_flight".to_owned())),
        }
    }

    fn consumers(&self) -> Result<usize, Refusal> {
        match (self.kind, self.consumers) {
            (Kind::Produce | Kind::Idle, None) => Ok(0),
            (Kind::Produce | Kind::Idle, Some(count)) => {
                Err(("consumers", count.to_string(), format!("to be left out with kind = \"{}\"", self.kind)))
            }
            (_, None) => Err(("consumers", "nothing".to_owned(), format!("a number with kind = \"{}\"", self.kind))),
            (_, Some(count)) => {
                let count = within("consumers", count, &range::CONSUMERS)?;
                if count > self.topics.saturating_mul(self.partitions) {
                    return Err(("consumers", count.to_string(), "no more than there are partitions".to_owned()));
                }
                Ok(small(count))
            }
        }
    }

    fn fill_bytes(&self) -> Result<u64, Refusal> {
        match (self.kind, self.fill_bytes) {
            (Kind::CatchUp | Kind::Replay, Some(bytes)) => within("fill_bytes", bytes, &range::FILL_BYTES),
            (Kind::CatchUp | Kind::Replay, None) => {
                Err(("fill_bytes", "nothing".to_owned(), format!("a number with kind = \"{}\"", self.kind)))
            }
            (_, None) => Ok(0),
            (_, Some(bytes)) => Err(("fill_bytes", bytes.to_string(), OF_FILLED.to_owned())),
        }
    }

    fn page_cache(&self) -> Result<PageCache, Refusal> {
        match (self.kind, self.page_cache) {
            (Kind::CatchUp | Kind::Replay, given) => Ok(given.unwrap_or_default()),
            (_, None) => Ok(PageCache::Full),
            (_, Some(given)) => Err(("page_cache", format!("{given:?}").to_lowercase(), OF_FILLED.to_owned())),
        }
    }
}

fn within(key: &'static str, value: u64, range: &RangeInclusive<u64>) -> Result<u64, Refusal> {
    if range.contains(&value) {
        return Ok(value);
    }
    Err((key, value.to_string(), format!("{} to {}", range.start(), range.end())))
}

/// A number that a range has made small.
fn small<T: TryFrom<u64>>(value: u64) -> T {
    T::try_from(value).ok().expect("its range was checked")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "
        name = \"a\"
        kind = \"produce\"
        partitions = 1
        record_bytes = 100
        connections = 1
        in_flight = 1
        warm_up_ms = 0
        seconds = 1
    ";

    fn parse(text: &str) -> Result<Workload, String> {
        Workload::parse(Path::new("a.toml"), text).map_err(|error| error.to_string())
    }

    fn refusal(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        parse(&GOOD.replace(from, to)).expect_err("a refusal")
    }

    #[test]
    fn the_files_of_the_house_are_right() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
        let mut names: Vec<String> = Vec::new();
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("it is readable").path();
            let workload = Workload::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(path.file_stem().and_then(|stem| stem.to_str()), Some(workload.name.as_str()));
            names.push(workload.name);
        }
        names.sort();
        assert_eq!(names, ["end-to-end", "open-10k", "produce-16k", "produce-large", "small-100b", "tail"]);
    }

    #[test]
    fn files_are_read_with_a_bound() {
        let read = |path: &str| Workload::read(Path::new(path)).expect_err("a refusal").to_string();
        assert!(read("/dev/zero").ends_with("it is no regular file"));
        let missing = read("bench/workloads/nothing.toml");
        assert!(missing.contains("nothing.toml") && missing.contains("repository's root"), "{missing}");
        let path = std::env::temp_dir().join(format!("ringlog-bench-{}.toml", std::process::id()));
        fs::write(&path, "1234").expect("a file");
        let (short, long) = (read_bounded(&path, 4), read_bounded(&path, 3));
        fs::remove_file(&path).expect("it is ours");
        assert_eq!(short.ok().as_deref(), Some("1234"));
        assert_eq!(long.expect_err("4 bytes").to_string(), "it has more than 3 bytes");
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let workload = parse(GOOD).expect("it is right");
        assert_eq!((workload.topics, workload.acks, workload.consumers), (1, Acks::All, 0));
        assert_eq!((workload.payload, workload.pace), (Payload::random(100, 0), Pace::InFlight(1)));
    }

    #[test]
    fn the_page_cache_of_a_broker_that_runs_cannot_be_freed() {
        let more = "consumers = 1\nfill_bytes = 1\npage_cache = \"freed\"";
        let text = GOOD.replace("\"produce\"", &format!("\"catch-up\"\n{more}"));
        let workload = parse(&text).expect("it is right");
        let error = workload.check_on_running().expect_err("a refusal").to_string();
        assert!(error.starts_with("a: page_cache = \"freed\": "), "{error}");
        parse(GOOD).expect("it is right").check_on_running().expect("nothing is freed");
    }

    #[test]
    fn errors_name_file_key_and_what_was_expected() {
        for (from, to, expected) in [
            ("seconds = 1", "seconds = 0", "a.toml: seconds = 0: expected 1 to 3600"),
            ("partitions = 1", "partitions = 10001", "a.toml: partitions = 10001: expected 1 to 10000"),
            (
                "partitions = 1",
                "partitions = 1000\ntopics = 11",
                "a.toml: partitions = 1000: expected at most 10000 of all topics together",
            ),
            ("in_flight = 1", "in_flight = 101", "a.toml: in_flight = 101: expected 1 to 100"),
            ("in_flight = 1", "", "a.toml: rate = nothing: expected either rate or in_flight"),
            (
                "in_flight = 1",
                "in_flight = 1\nrate = 5",
                "a.toml: rate = 5: expected either rate or in_flight, not both",
            ),
            ("in_flight = 1", "rate = 0", "a.toml: rate = 0: expected 1 to 100000000"),
            (
                "in_flight = 1",
                "in_flight = 1\ntick_us = 1",
                "a.toml: tick_us = 1: expected to be left out without rate",
            ),
            ("in_flight = 1", "rate = 1\ntick_us = 100001", "a.toml: tick_us = 100001: expected 0 to 100000"),
            (
                "in_flight = 1",
                "in_flight = 1\ncompressibility = 1.5",
                "a.toml: compressibility = 1.5: expected 0.0 to 1.0",
            ),
            (
                "in_flight = 1",
                "in_flight = 1\nconsumers = 1",
                "a.toml: consumers = 1: expected to be left out with kind = \"produce\"",
            ),
            ("\"a\"", "\"A b\"", "a.toml: name = \"A b\": expected 1 to 64 small letters, digits and hyphens"),
            ("\"produce\"", "\"tail\"", "a.toml: consumers = nothing: expected a number with kind = \"tail\""),
        ] {
            assert_eq!(refusal(from, to), expected);
        }
        let keys = refusal("in_flight = 1", "in_flight = 1\nkeys = 65");
        assert!(keys.starts_with("a.toml: keys = 65: expected 1 to 64 "), "{keys}");
        let stamped = refusal("\"produce\"", "\"end-to-end\"\nconsumers = 1\ncodec = \"zstd\"");
        assert!(stamped.starts_with("a.toml: codec = \"zstd\": expected \"none\" with "), "{stamped}");
    }

    #[test]
    fn errors_of_syntax_name_the_key_too() {
        for (from, to, expected) in [
            ("seconds = 1", "secnods = 1", ["a.toml: ", "secnods", "expected one of"]),
            ("seconds = 1", "", ["a.toml: ", "missing field", "seconds"]),
            ("seconds = 1", "seconds = \"1\"", ["a.toml: ", "seconds = \"1\"", "a whole number from 1 to 3600"]),
            ("seconds = 1", "seconds = -1", ["a.toml: ", "seconds = -1", "a whole number from 1 to 3600"]),
            ("seconds = 1", "seconds = 1\nacks = 1", ["a.toml: ", "acks = 1", "\"1\" or \"all\""]),
            ("\"produce\"", "\"product\"", ["a.toml: ", "kind", "`end-to-end`"]),
            ("seconds = 1", "seconds = 1\nacks = \"0\"", ["a.toml: ", "acks = \"0\"", "\"1\" or \"all\""]),
        ] {
            let error = refusal(from, to);
            assert!(expected.iter().all(|part| error.contains(part)), "{error}");
        }
    }
}
