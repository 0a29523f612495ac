//! What the program says about itself on standard error: log lines, and the last words of a broken invariant.

use std::fmt::Display;
use std::io::{self, Write as _};
use std::panic::{self, PanicHookInfo};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

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

/// Starts logging, and says clearly when an invariant breaks. A bad level in the environment counts as none.
pub(crate) fn install(arguments: &LogArguments) {
    let of_environment = || std::env::var(LEVEL_VARIABLE).ok().and_then(|text| text.parse().ok());
    let levels = arguments.log_level.clone().or_else(of_environment);
    let levels = levels.unwrap_or_else(|| Targets::new().with_default(LevelFilter::INFO));
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(false);
    tracing_subscriber::registry().with(lines).with(levels).init();
    panic::set_hook(Box::new(|panic| {
        say_last_words(panic);
        // In every build: a process that goes on without one of its shards answers nothing and holds the directory.
        std::process::abort();
    }));
}

/// Joins errors into one that is printed as a line for each.
pub(crate) fn several(errors: impl IntoIterator<Item: Display>) -> anyhow::Error {
    let lines: Vec<String> = errors.into_iter().map(|error| format!("{error:#}")).collect();
    anyhow::anyhow!(lines.join("\nringlog: "))
}

fn say_last_words(panic: &PanicHookInfo<'_>) {
    let payload = panic.payload();
    let said = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = panic.location().map_or_else(String::new, |location| format!(" at {location}"));
    let thread = std::thread::current();
    let _ = writeln!(
        io::stderr(),
        "ringlog: stopped by a broken invariant in {}{place}: {}\nringlog: this is a fault of ringlog; what was \
         acknowledged is on the disk, and the next start recovers it",
        thread.name().unwrap_or("a thread"),
        said.unwrap_or("no message"),
    );
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        let _ = writeln!(io::stderr(), "{}", std::backtrace::Backtrace::force_capture());
    }
}
