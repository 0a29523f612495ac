//! The loggers of a broker and their levels, which can be changed while it runs (KIP-412). They are not written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringlog_net::error::ErrorCode;
use thiserror::Error;

use super::alteration::{ALTERATIONS_MAX, AlterOperation, Alteration};

mod kafka;

pub use kafka::{KAFKA_LOGGERS, KafkaLogger, REQUEST_LOGGER, STATE_CHANGE_LOGGER};

/// The name of the logger that all others inherit from; Kafka's.
pub const ROOT_LOGGER: &str = "root";

/// From which severity on a logger lets lines through.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What helps to find a fault.
    Debug,
    /// What happens seldom and is good to know.
    Info,
    /// What should be looked at.
    Warn,
    /// What went wrong.
    Error,
    /// Nothing: what is fatal ends the process, and is said in any case.
    Fatal,
}

impl LogLevel {
    const ALL: [(&str, Self); 6] = [
        ("TRACE", Self::Trace),
        ("DEBUG", Self::Debug),
        ("INFO", Self::Info),
        ("WARN", Self::Warn),
        ("ERROR", Self::Error),
        ("FATAL", Self::Fatal),
    ];

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, level)| level)
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, _) = Self::ALL.into_iter().find(|(_, level)| level == self).expect("every level has its name");
        f.write_str(name)
    }
}

/// Why levels are not changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum LoggerError {
    /// A logger stands in the request twice.
    #[error("the logger {0} is named twice")]
    Twice(String),
    /// More loggers than [`ALTERATIONS_MAX`].
    #[error("{0} loggers are more than the {ALTERATIONS_MAX} of one request")]
    TooMany(usize),
    /// A level is to be set, and none is given.
    #[error("a level is missing for {0}")]
    MissingLevel(String),
    /// Nobody logs under this name.
    #[error("there is no logger {0}; describe the loggers of the broker to see their names")]
    Unknown(String),
    /// Not a level.
    #[error("{logger}={level}: expected one of DEBUG, ERROR, FATAL, INFO, TRACE, WARN")]
    BadLevel {
        /// The logger.
        logger: String,
        /// What was given.
        level: String,
    },
    /// Nothing is above the root.
    #[error("the level of the logger {ROOT_LOGGER} cannot be taken away; set another one")]
    RootStays,
    /// A level is no list.
    #[error("the level of {0} is not a list, which can be appended to or subtracted from")]
    NotAList(String),
}

impl LoggerError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Unknown(_) | Self::BadLevel { .. } => ErrorCode::InvalidConfig,
            Self::Twice(_) | Self::TooMany(_) | Self::MissingLevel(_) | Self::RootStays | Self::NotAList(_) => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

/// The loggers of a broker. Their names are paths of modules, with dots as Java has them: Kafka's tools take no colons. One
/// without a level of its own has that of the nearest one above it, at last that of the root.
///
/// Beside them stand names of Kafka's, each for some of the loggers: who sets its level sets theirs, the later one wins, and
/// its level is told as that of the first of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loggers {
    names: BTreeSet<String>,
    stand_ins: BTreeMap<&'static str, &'static [&'static str]>,
    root: LogLevel,
    own: BTreeMap<String, LogLevel>,
}

impl Loggers {
    /// The loggers of these names, and Kafka's names for them. Those that are given a level are loggers too.
    pub fn new(
        names: &[&str],
        of_kafka: &'static [KafkaLogger],
        root: LogLevel,
        own: impl IntoIterator<Item = (String, LogLevel)>,
    ) -> Self {
        let (stand_ins, plain): (Vec<KafkaLogger>, Vec<KafkaLogger>) =
            of_kafka.iter().partition(|(_, stands_for)| !stands_for.is_empty());
        let plain = plain.iter().map(|(name, _)| name);
        let names = names.iter().chain(plain).map(|name| (*name).to_owned()).collect();
        let mut loggers = Self { names, stand_ins: stand_ins.into_iter().collect(), root, own: BTreeMap::new() };
        for (name, level) in own {
            if !loggers.stand_ins.contains_key(name.as_str()) {
                loggers.names.insert(name.clone());
            }
            loggers.set(&name, Some(level));
        }
        loggers
    }

    /// The level of the root.
    pub fn root(&self) -> LogLevel {
        self.root
    }

    /// The level in force of each logger, by name, without the root and without names that stand for others.
    pub fn in_force(&self) -> impl Iterator<Item = (&str, LogLevel)> {
        self.names.iter().map(|name| (name.as_str(), self.level(name)))
    }

    /// The level in force behind each name that can be set, the root's among them.
    pub fn levels(&self) -> BTreeMap<&str, LogLevel> {
        let stand_ins = self.stand_ins.iter().map(|(name, stands_for)| {
            let first = stands_for.first().expect("a name that stands for no other is a logger");
            (*name, self.level(first))
        });
        self.in_force().chain(stand_ins).chain([(ROOT_LOGGER, self.root)]).collect()
    }

    fn level(&self, name: &str) -> LogLevel {
        let mut name = name;
        loop {
            if let Some(level) = self.own.get(name) {
                return *level;
            }
            match name.rsplit_once('.') {
                Some((above, _)) => name = above,
                None => return self.root,
            }
        }
    }

    /// Gives a logger, or those that the name stands for, a level of their own, or takes it away.
    fn set(&mut self, name: &str, level: Option<LogLevel>) {
        let stands_for = self.stand_ins.get(name).copied();
        for name in stands_for.unwrap_or(&[name]) {
            match level {
                Some(level) => drop(self.own.insert((*name).to_owned(), level)),
                None => drop(self.own.remove(*name)),
            }
        }
    }

    /// The loggers after these changes. All of them count, or none.
    pub fn altered(&self, alterations: &[Alteration]) -> Result<Self, LoggerError> {
        if alterations.len() > ALTERATIONS_MAX {
            return Err(LoggerError::TooMany(alterations.len()));
        }
        let mut seen = BTreeSet::new();
        let mut altered = self.clone();
        for alteration in alterations {
            if !seen.insert(&alteration.key) {
                return Err(LoggerError::Twice(alteration.key.clone()));
            }
            altered.alter(alteration)?;
        }
        Ok(altered)
    }

    fn alter(&mut self, alteration: &Alteration) -> Result<(), LoggerError> {
        let name = || alteration.key.clone();
        if matches!(alteration.operation, AlterOperation::Append | AlterOperation::Subtract) {
            return Err(LoggerError::NotAList(name()));
        }
        let is_root = alteration.key == ROOT_LOGGER;
        let is_known = self.names.contains(&alteration.key) || self.stand_ins.contains_key(alteration.key.as_str());
        if !is_root && !is_known {
            return Err(LoggerError::Unknown(name()));
        }
        if alteration.operation == AlterOperation::Delete {
            self.set(&alteration.key, None);
            return if is_root { Err(LoggerError::RootStays) } else { Ok(()) };
        }
        let text = alteration.value.as_deref().ok_or_else(|| LoggerError::MissingLevel(name()))?;
        let bad = || LoggerError::BadLevel { logger: name(), level: text.to_owned() };
        let level = LogLevel::of_name(text).ok_or_else(bad)?;
        if is_root {
            self.root = level;
        } else {
            self.set(&alteration.key, Some(level));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: AlterOperation = AlterOperation::Set;
    const DELETE: AlterOperation = AlterOperation::Delete;

    fn loggers() -> Loggers {
        Loggers::new(&["a", "a.b", "a.b.c", "ab"], &[], LogLevel::Info, [("z".to_owned(), LogLevel::Error)])
    }

    fn told(loggers: &Loggers) -> String {
        let levels = loggers.levels();
        levels.iter().map(|(name, level)| format!("{name}={level}")).collect::<Vec<_>>().join(" ")
    }

    fn alterations(steps: &[(&str, AlterOperation, Option<&str>)]) -> Vec<Alteration> {
        let alteration = |(key, operation, value): &(&str, AlterOperation, Option<&str>)| Alteration {
            key: (*key).to_owned(),
            operation: *operation,
            value: value.map(str::to_owned),
        };
        steps.iter().map(alteration).collect()
    }

    #[test]
    fn a_logger_inherits_from_the_nearest_one_above_it() {
        let mut loggers = loggers();
        let mut alter = |steps: &[_], expected: &str| {
            loggers = loggers.altered(&alterations(steps)).expect("it is granted");
            assert_eq!(told(&loggers), expected, "{steps:?}");
        };
        alter(&[], "a=INFO a.b=INFO a.b.c=INFO ab=INFO root=INFO z=ERROR");
        alter(&[("a", SET, Some("DEBUG"))], "a=DEBUG a.b=DEBUG a.b.c=DEBUG ab=INFO root=INFO z=ERROR");
        alter(&[("a.b", SET, Some("FATAL"))], "a=DEBUG a.b=FATAL a.b.c=FATAL ab=INFO root=INFO z=ERROR");
        alter(&[("root", SET, Some("WARN"))], "a=DEBUG a.b=FATAL a.b.c=FATAL ab=WARN root=WARN z=ERROR");
        alter(&[("a", DELETE, None), ("z", DELETE, None)], "a=WARN a.b=FATAL a.b.c=FATAL ab=WARN root=WARN z=WARN");
    }

    #[test]
    fn what_is_refused_changes_nothing() {
        let check = |steps: &[_], code, expected: &str| {
            let error = loggers().altered(&alterations(steps)).expect_err("it is refused");
            assert_eq!((error.code(), error.to_string().as_str()), (code, expected));
        };
        let (config, request) = (ErrorCode::InvalidConfig, ErrorCode::InvalidRequest);
        let unknown = "there is no logger c; describe the loggers of the broker to see their names";
        check(&[("a", SET, Some("DEBUG")), ("c", SET, Some("DEBUG"))], config, unknown);
        check(&[("c", DELETE, None)], config, unknown);
        let bad = "a=debug: expected one of DEBUG, ERROR, FATAL, INFO, TRACE, WARN";
        check(&[("a", SET, Some("debug"))], config, bad);
        check(&[("a", SET, None)], request, "a level is missing for a");
        let root = "the level of the logger root cannot be taken away; set another one";
        check(&[("root", DELETE, None)], request, root);
        let list = "the level of a is not a list, which can be appended to or subtracted from";
        check(&[("a", AlterOperation::Append, Some("DEBUG"))], request, list);
        check(&[("a", AlterOperation::Subtract, Some("DEBUG"))], request, list);
        check(&[("a", SET, Some("INFO")), ("a", DELETE, None)], request, "the logger a is named twice");
    }

    #[test]
    fn names_of_kafka_stand_for_loggers() {
        const OF_KAFKA: &[KafkaLogger] = &[("k.One", &["a.b"]), ("k.own", &[]), ("k.Two", &["a", "ab"])];
        let own = [("k.Two".to_owned(), LogLevel::Warn), ("k.own".to_owned(), LogLevel::Error)];
        let mut loggers = Loggers::new(&["a", "a.b", "ab"], OF_KAFKA, LogLevel::Info, own);
        let mut alter = |steps: &[_], expected: &str| {
            loggers = loggers.altered(&alterations(steps)).expect("it is granted");
            assert_eq!(told(&loggers), expected, "{steps:?}");
        };
        alter(&[], "a=WARN a.b=WARN ab=WARN k.One=WARN k.Two=WARN k.own=ERROR root=INFO");
        alter(
            &[("k.One", SET, Some("DEBUG"))],
            "a=WARN a.b=DEBUG ab=WARN k.One=DEBUG k.Two=WARN k.own=ERROR root=INFO",
        );
        alter(&[("k.Two", DELETE, None)], "a=INFO a.b=DEBUG ab=INFO k.One=DEBUG k.Two=INFO k.own=ERROR root=INFO");
        alter(&[("a.b", SET, Some("TRACE"))], "a=INFO a.b=TRACE ab=INFO k.One=TRACE k.Two=INFO k.own=ERROR root=INFO");
        alter(&[("k.own", DELETE, None)], "a=INFO a.b=TRACE ab=INFO k.One=TRACE k.Two=INFO k.own=INFO root=INFO");
        let in_force: Vec<_> = loggers.in_force().map(|(name, _)| name).collect();
        assert_eq!(in_force, ["a", "a.b", "ab", "k.own"]);
        let error = loggers.altered(&alterations(&[("k", SET, Some("DEBUG"))])).expect_err("nobody is called so");
        assert_eq!(error.code(), ErrorCode::InvalidConfig);
    }

    #[test]
    fn the_table_names_each_logger_once_and_stands_for_loggers_alone() {
        let names: BTreeSet<_> = KAFKA_LOGGERS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), KAFKA_LOGGERS.len());
        assert!(KAFKA_LOGGERS.is_sorted_by_key(|(name, _)| *name), "as describe tells them");
        for (name, stands_for) in KAFKA_LOGGERS {
            let of_kafka = stands_for.iter().filter(|name| !name.starts_with("ringlog"));
            for other in of_kafka {
                assert!(KAFKA_LOGGERS.contains(&(other, &[])), "{name} stands for {other}, which is no logger");
            }
        }
    }
}
