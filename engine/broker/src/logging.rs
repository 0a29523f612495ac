//! The levels of the loggers of this process. Shard 0 has them, and has them put in force by whoever writes the log.

use std::fmt;
use std::sync::Arc;

use ringlog_cluster::config::{Alteration, LogLevel, LoggerError, Loggers};

use crate::errand::on_first_shard;
use crate::lines::repeated;
use crate::shard::Shard;

/// The loggers of the process, and what puts their levels in force.
#[derive(Clone)]
pub struct Logging {
    loggers: Loggers,
    put_in_force: Arc<dyn Fn(&Loggers) + Send + Sync>,
    dropped_lines: Arc<dyn Fn() -> u64 + Send + Sync>,
}

impl Logging {
    /// `loggers` are in force already.
    pub fn new(loggers: Loggers, put_in_force: impl Fn(&Loggers) + Send + Sync + 'static) -> Self {
        Self { loggers, put_in_force: Arc::new(put_in_force), dropped_lines: Arc::new(|| 0) }
    }

    /// With what tells how many lines were dropped since the start, because nobody took them fast enough.
    #[must_use]
    pub fn dropping(self, dropped_lines: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self { dropped_lines: Arc::new(dropped_lines), ..self }
    }

    pub(crate) fn dropped_lines(&self) -> u64 {
        (self.dropped_lines)()
    }
}

/// Where nobody reads a log.
impl Default for Logging {
    fn default() -> Self {
        Self::new(Loggers::new(&[], &[], LogLevel::Info, []), |_| {})
    }
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.loggers.fmt(f)
    }
}

/// The level of each logger, by name.
pub(crate) async fn levels(shard: &Shard) -> Vec<(String, LogLevel)> {
    on_first_shard(shard, |shard| {
        shard.with(|state| {
            let levels = state.logging.loggers.levels();
            levels.into_iter().map(|(name, level)| (name.to_owned(), level)).collect()
        })
    })
    .await
}

/// Changes levels, all that are asked for or none.
pub(crate) async fn alter(shard: &Shard, alterations: Vec<Alteration>, validate_only: bool) -> Result<(), LoggerError> {
    on_first_shard(shard, move |shard| {
        let logging = shard.with(|state| {
            let altered = state.logging.loggers.altered(&alterations)?;
            if validate_only {
                return Ok(None);
            }
            state.logging.loggers = altered;
            Ok(Some(state.logging.clone()))
        })?;
        if let Some(logging) = logging {
            (logging.put_in_force)(&logging.loggers);
            let levels = logging.loggers.levels();
            for Alteration { key, .. } in &alterations {
                let (lines, level) = (shard.lines(), levels[key.as_str()]);
                repeated!(
                    lines,
                    LevelsChanged,
                    "levels of loggers that were changed",
                    WARN,
                    logger_name = key,
                    "the logger {key} is at level {level} from now on"
                );
            }
        }
        Ok(())
    })
    .await
}
