//! What the program says about itself on standard error: log lines, and the last words of a broken invariant.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};

use ringlog_broker::Logging;
use ringlog_cluster::config::{KAFKA_LOGGERS, LogLevel, Loggers, REQUEST_LOGGER};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::log;
use crate::printable::printable;

/// Names the variable that gives the level where the command line does not.
const LEVEL_VARIABLE: &str = "RINGLOG_LOG";

const LEVEL_HELP: &str = "What is logged: error, warn, info, debug or trace, also by module (info,ringlog_broker=debug) \
    [default: info, or the variable RINGLOG_LOG]";

/// What is logged.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LogArguments {
    /// What is logged: error, warn, info, debug or trace.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = parse_levels, help = LEVEL_HELP)]
    log_level: Option<Targets>,
}

fn parse_levels(text: &str) -> Result<Targets, String> {
    text.parse().map_err(|_| "expected a level, or module=level pairs separated by commas".to_owned())
}

/// The loggers of a broker: the modules that have something to say.
const LOGGERS: &[&str] = &[
    "ringlog",
    "ringlog.start",
    "ringlog.start.report",
    "ringlog_broker",
    "ringlog_broker.acceptor",
    "ringlog_broker.admin",
    "ringlog_broker.boot",
    "ringlog_broker.connection",
    "ringlog_broker.connection_limits",
    "ringlog_broker.connection_moves",
    "ringlog_broker.group",
    "ringlog_broker.group.coordinators",
    "ringlog_broker.group.load",
    "ringlog_broker.group.news",
    "ringlog_broker.handlers",
    "ringlog_broker.handlers.k35_describe_log_dirs",
    "ringlog_broker.http",
    "ringlog_broker.logging",
    "ringlog_broker.partition",
    "ringlog_broker.partition.driver",
    "ringlog_broker.partition.files",
    "ringlog_broker.partition.recovery",
    "ringlog_broker.quota",
    "ringlog_broker.resize",
    "ringlog_broker.state",
    "ringlog_broker.telemetry",
    "ringlog_broker.topic_creation",
    "ringlog_broker.topology",
];

/// Starts logging, and says clearly when an invariant breaks. A bad level in the environment counts as none. Answers the
/// loggers, whose levels a broker may change.
pub(crate) fn install(arguments: &LogArguments) -> Logging {
    let of_environment = || std::env::var(LEVEL_VARIABLE).ok().and_then(|text| text.parse().ok());
    let levels = arguments.log_level.clone().or_else(of_environment);
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().event_format(log::Lines).with_writer(log::Sink);
    let loggers = loggers(&levels);
    let (levels, handle) = reload::Layer::new(targets(&loggers));
    tracing_subscriber::registry().with(lines).with(levels).init();
    panic::set_hook(Box::new(|panic| {
        log::flush();
        say_last_words(panic);
        // In every build: a process that goes on without one of its shards answers nothing and holds the directory.
        std::process::abort();
    }));
    Logging::new(loggers, move |loggers| {
        // Fails only once nobody writes log lines any more.
        let _ = handle.reload(targets(loggers));
    })
    .dropping(log::dropped_lines)
}

/// The loggers at the levels that were asked for. Requests are lines only for who asks for them by name, as with the
/// configuration that Kafka comes with.
fn loggers(levels: &Targets) -> Loggers {
    let root = levels.default_level().unwrap_or(LevelFilter::OFF);
    let requests = (REQUEST_LOGGER.to_owned(), LogLevel::Warn);
    let own = levels.iter().map(|(module, level)| (logger_of(module), level_of(level)));
    Loggers::new(LOGGERS, KAFKA_LOGGERS, level_of(root), [requests].into_iter().chain(own))
}

/// What lets through what the loggers do. Every logger is named, because a name stands for all that begins with it.
fn targets(loggers: &Loggers) -> Targets {
    let levels = loggers.in_force().map(|(name, level)| (module_of(name), filter_of(level)));
    Targets::new().with_default(filter_of(loggers.root())).with_targets(levels)
}

/// The logger of a module. Kafka's tools want dots.
fn logger_of(module: &str) -> String {
    module.replace("::", ".")
}

fn module_of(logger: &str) -> String {
    logger.replace('.', "::")
}

fn level_of(filter: LevelFilter) -> LogLevel {
    match filter {
        LevelFilter::TRACE => LogLevel::Trace,
        LevelFilter::DEBUG => LogLevel::Debug,
        LevelFilter::INFO => LogLevel::Info,
        LevelFilter::WARN => LogLevel::Warn,
        LevelFilter::ERROR => LogLevel::Error,
        _ => LogLevel::Fatal,
    }
}

fn filter_of(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Fatal => LevelFilter::OFF,
    }
}

/// Errors that are told together, a line for each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("; "))]
struct Several(Vec<String>);

/// Joins errors into one that is printed as a line for each.
pub(crate) fn several(errors: impl IntoIterator<Item: Display>) -> anyhow::Error {
    Several(errors.into_iter().map(|error| format!("{error:#}")).collect()).into()
}

/// Says why the process ends, behind everything that it has logged.
pub(crate) fn say_failure(error: &anyhow::Error) {
    log::flush();
    for line in lines(error) {
        // There is nobody left to tell if standard error is closed too.
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// What is written of an error: whatever names and messages are in it, a line for each that is told.
fn lines(error: &anyhow::Error) -> Vec<String> {
    let line = |line: &str| log::last_words(line).unwrap_or_else(|| format!("ringlog: {}\n", printable(line)));
    match error.downcast_ref::<Several>() {
        Some(Several(errors)) => errors.iter().map(|error| line(error)).collect(),
        None => vec![line(&format!("{error:#}"))],
    }
}

fn say_last_words(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map_or_else(String::new, |location| format!(" at {location}"));
    let thread = std::thread::current();
    let what = format!(
        "stopped by a broken invariant in {}{place}: {}",
        thread.name().unwrap_or("a thread"),
        said.unwrap_or("no message")
    );
    let whose = "this is a fault of ringlog; what was acknowledged is on the disk, and the next start recovers it";
    let wants_backtrace = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    let backtrace = wants_backtrace.then(std::backtrace::Backtrace::force_capture);
    let backtrace = backtrace.map_or_else(String::new, |backtrace| format!("{backtrace}\n"));
    let of_json = log::last_words(format!("{what}; {whose}\n{backtrace}").trim_end());
    let words = of_json.unwrap_or_else(|| format!("ringlog: {what}\nringlog: {whose}\n{backtrace}"));
    let _ = io::stderr().write_all(words.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Adds the modules below a folder that write log lines.
    fn add_modules(folder: &Path, module: &str, found: &mut Vec<String>) {
        for entry in folder.read_dir().expect("the folder of a crate's source") {
            let path = entry.expect("its entry").path();
            let stem = path.file_stem().and_then(|stem| stem.to_str()).expect("names of modules are text").to_owned();
            let is_own = matches!(stem.as_str(), "lib" | "main" | "mod");
            let inner = if is_own { module.to_owned() } else { format!("{module}::{stem}") };
            if path.is_dir() {
                add_modules(&path, &inner, found);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("source is text");
            if source.contains("tracing::") || source.contains("repeated!(") {
                found.push(inner);
            }
        }
    }

    #[test]
    fn every_module_of_a_broker_that_logs_is_a_logger() {
        let engine = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate is in a folder");
        let mut found = vec!["ringlog".to_owned(), "ringlog_broker".to_owned()];
        add_modules(&engine.join("broker/src"), "ringlog_broker", &mut found);
        add_modules(&engine.join("server/src"), "ringlog", &mut found);
        // Of the command line only `start` is a broker. The others name the macros alone, or write lines of a logger of Kafka's.
        let of_others = ["ringlog_broker::lines", "ringlog_broker::request_log"];
        found.retain(|name| !name.starts_with("ringlog::") || name.starts_with("ringlog::start"));
        found.retain(|name| !of_others.contains(&name.as_str()));
        let mut found: Vec<_> = found.iter().map(|module| logger_of(module)).collect();
        let stands_for = KAFKA_LOGGERS.iter().flat_map(|(_, stands_for)| *stands_for);
        for name in stands_for.filter(|name| name.starts_with("ringlog")) {
            let is_above = |module: &String| {
                module.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            };
            assert!(found.iter().any(is_above), "nothing is logged below {name}");
            found.push((*name).to_owned());
        }
        found.sort_unstable();
        found.dedup();
        assert_eq!(LOGGERS, found);
    }

    #[test]
    fn names_and_messages_in_errors_end_no_line_and_move_no_cursor() {
        let name = "a\x1b[2J\nringlog: b\u{9b}";
        let one = anyhow::anyhow!("topic {name} does not exist");
        assert_eq!(lines(&one), ["ringlog: topic a\\u{1b}[2J\\nringlog: b\\u{9b} does not exist\n"]);
        let two = several([anyhow::anyhow!("{name}").context("one"), anyhow::anyhow!("two")]);
        assert_eq!(lines(&two), ["ringlog: one: a\\u{1b}[2J\\nringlog: b\\u{9b}\n", "ringlog: two\n"]);
    }

    #[test]
    fn requests_are_lines_only_for_who_names_their_logger() {
        let enabled = |levels: &str| {
            let targets = targets(&loggers(&levels.parse().expect("levels")));
            let enabled = |target| targets.would_enable(target, &tracing::Level::DEBUG);
            [
                enabled("kafka::request::logger"),
                enabled("state::change::logger"),
                enabled("ringlog_broker::group::load"),
            ]
        };
        assert_eq!(enabled("info"), [false; 3]);
        assert_eq!(enabled("debug"), [false, true, true]);
        assert_eq!(enabled("info,kafka.request.logger=debug"), [true, false, false]);
        assert_eq!(enabled("info,kafka.coordinator.group=debug"), [false, false, true]);
        assert_eq!(enabled("warn,kafka=debug"), [false, false, true]);
    }

    #[test]
    fn levels_come_and_go_unchanged() {
        let levels: Targets = "warn,ringlog_broker=debug,ringlog_broker::group=off,else=trace".parse().expect("levels");
        let loggers = loggers(&levels);
        let level = |name| loggers.levels()[name];
        assert_eq!((level("root"), level("ringlog")), (LogLevel::Warn, LogLevel::Warn));
        assert_eq!(
            (level("ringlog_broker.state"), level("ringlog_broker.group.load")),
            (LogLevel::Debug, LogLevel::Fatal)
        );
        assert_eq!(level("else"), LogLevel::Trace);
        let targets = targets(&loggers);
        assert!(targets.would_enable("ringlog_broker::state", &tracing::Level::DEBUG));
        assert!(!targets.would_enable("ringlog::start", &tracing::Level::INFO));
        assert!(!targets.would_enable("ringlog_broker::group::load", &tracing::Level::ERROR));
    }
}
