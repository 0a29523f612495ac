//! The log: what a line of it looks like, and how it gets to standard error without holding up whoever writes it.

mod line;
mod writer;

use std::fmt;
use std::io;
use std::sync::OnceLock;

use jiff::Timestamp;
use ringlog_cluster::config::LogFormat;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use line::Line;
use writer::LogWriter;

/// Writes events as lines, in the format of the broker's writer, and for people as long as there is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let format = WRITER.get().map_or(LogFormat::Text, |(format, _)| *format);
        writer.write_str(&Line::of_event(event, Timestamp::now(), shard()).written(format))
    }
}

/// The shard that this thread runs, which its name tells.
fn shard() -> Option<u64> {
    thread_local! {
        static SHARD: Option<u64> =
            std::thread::current().name().and_then(|name| name.strip_prefix("shard-")?.parse().ok());
    }
    SHARD.with(|shard| *shard)
}

/// The writer of a broker's log, once there is one. It is the process's, as standard error is: whoever ends the process, a
/// broken invariant included, has it write what it still has.
static WRITER: OnceLock<(LogFormat, LogWriter)> = OnceLock::new();

/// Where lines go: to the writer of the broker, or straight to standard error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sink;

impl io::Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match WRITER.get() {
            Some((_, writer)) => writer.take(line.into()),
            None => io::stderr().write_all(line)?,
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Sink {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        Self
    }
}

/// Has lines go through a thread of their own from now on, for the rest of the process.
pub(crate) fn start_writer(format: LogFormat) -> io::Result<()> {
    if WRITER.get().is_none() {
        let writer = LogWriter::start(io::stderr(), move |dropped| dropped_line(dropped).written(format))?;
        let _ = WRITER.set((format, writer));
    }
    Ok(())
}

/// Lines that were dropped since the start.
pub(crate) fn dropped_lines() -> u64 {
    WRITER.get().map_or(0, |(_, writer)| writer.dropped())
}

/// Writes what is still on its way, for a while at most. Nothing is left behind when this ends, unless nobody reads it.
pub(crate) fn flush() {
    let is_writer = std::thread::current().name() == Some(writer::THREAD);
    if let Some((_, writer)) = WRITER.get().filter(|_| !is_writer) {
        writer.flush();
    }
}

/// The last words of the process, as the log's reader wants them; `None` where that is a person, who wants them plain.
pub(crate) fn last_words(message: &str) -> Option<String> {
    let (format, _) = WRITER.get()?;
    (*format == LogFormat::Json).then(|| Line::fatal(message, Timestamp::now(), shard()).written(LogFormat::Json))
}

fn dropped_line(lines: u64) -> Line {
    let message = format!("{lines} lines of the log were dropped: they came faster than standard error takes them");
    Line::warning("ringlog", &message, "dropped_lines", lines, Timestamp::now())
}
