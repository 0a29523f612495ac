//! The loggers of a broker and their levels, which can be changed while it runs (KIP-412). They are not written down.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use ringlog_net::error::ErrorCode;
use thiserror::Error;

use super::alteration::{ALTERATIONS_MAX, AlterOperation, Alteration};

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

/// The loggers of a broker. Their names are paths of modules, with dots as Java has them: Kafka's tools take no colons. One without a level of its own has that of the nearest one
/// above it, at last that of the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loggers {
    names: BTreeSet<String>,
    root: LogLevel,
    own: BTreeMap<String, LogLevel>,
}

impl Loggers {
    /// The loggers of these names. Those that are given a level are loggers too.
    pub fn new(names: &[&str], root: LogLevel, own: BTreeMap<String, LogLevel>) -> Self {
        let names = names.iter().map(|name| (*name).to_owned()).chain(own.keys().cloned()).collect();
        Self { names, root, own }
    }

    /// The level of the root.
    pub fn root(&self) -> LogLevel {
        self.root
    }

    /// The level in force of each logger, by name, the root among them.
    pub fn levels(&self) -> BTreeMap<&str, LogLevel> {
        let named = self.names.iter().map(|name| (name.as_str(), self.level(name)));
        named.chain([(ROOT_LOGGER, self.root)]).collect()
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
        if !is_root && !self.names.contains(&alteration.key) {
            return Err(LoggerError::Unknown(name()));
        }
        if alteration.operation == AlterOperation::Delete {
            self.own.remove(&alteration.key);
            return if is_root { Err(LoggerError::RootStays) } else { Ok(()) };
        }
        let text = alteration.value.as_deref().ok_or_else(|| LoggerError::MissingLevel(name()))?;
        let bad = || LoggerError::BadLevel { logger: name(), level: text.to_owned() };
        let level = LogLevel::of_name(text).ok_or_else(bad)?;
        if is_root {
            self.root = level;
        } else {
            self.own.insert(name(), level);
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
        Loggers::new(&["a", "a.b", "a.b.c", "ab"], LogLevel::Info, BTreeMap::from([("z".to_owned(), LogLevel::Error)]))
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
}
