//! One line of the log. Names in it come from clients and from the disk: whatever bytes they have, a line stays one line,
//! is no longer than its parts' limits, and as JSON can be read.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use ringlog_cluster::config::LogFormat;
use serde_json::{Number, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::printable::push_printable;

/// Bytes of the message.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Bytes of the last words of a process, which may have a backtrace.
const LAST_WORDS_BYTES_MAX: usize = 64 * 1024;
/// Bytes of one field.
const VALUE_BYTES_MAX: usize = 1024;
/// Fields of one line.
const FIELDS_MAX: usize = 24;

/// What fields are called that every line has. A field of this name in an event takes their place.
const SHARD: &str = "shard";

/// A line before it is written.
#[derive(Debug)]
pub(super) struct Line {
    timestamp: Timestamp,
    level: &'static str,
    logger: String,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// The line of an event, at a time, by a thread that may be a shard's.
    pub(super) fn of_event(event: &Event<'_>, timestamp: Timestamp, shard: Option<u64>) -> Self {
        let metadata = event.metadata();
        let mut line = Self {
            timestamp,
            level: level_name(*metadata.level()),
            // Kafka's tools want dots.
            logger: metadata.target().replace("::", "."),
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut line);
        line.fill_shard(shard);
        line
    }

    /// A warning of the log itself.
    pub(super) fn warning(logger: &str, message: &str, field: &'static str, value: u64, timestamp: Timestamp) -> Self {
        let (logger, message) = (logger.to_owned(), message.to_owned());
        Self { timestamp, level: "WARN", logger, message, fields: vec![(field, value.into())] }
    }

    /// Why the process ends.
    pub(super) fn fatal(message: &str, timestamp: Timestamp, shard: Option<u64>) -> Self {
        let message = bounded(format_args!("{message}"), LAST_WORDS_BYTES_MAX);
        let mut line = Self { timestamp, level: "FATAL", logger: "ringlog".to_owned(), message, fields: Vec::new() };
        line.fill_shard(shard);
        line
    }

    fn fill_shard(&mut self, shard: Option<u64>) {
        if let Some(shard) = shard.filter(|_| self.fields.iter().all(|(name, _)| *name != SHARD)) {
            self.fields.insert(0, (SHARD, shard.into()));
        }
    }

    /// The line, with its end.
    pub(super) fn written(&self, format: LogFormat) -> String {
        match format {
            LogFormat::Text => self.text(),
            LogFormat::Json => self.json(),
        }
    }

    /// `2026-01-31T12:00:00.000000Z  INFO ringlog_broker.boot: a message shard=0 topic=greetings`
    fn text(&self) -> String {
        let mut text = format!("{} {:>5} {}: ", self.time(), self.level, self.logger);
        push_printable(&mut text, &self.message);
        for (name, value) in &self.fields {
            text.push(' ');
            text.push_str(name);
            text.push('=');
            match value {
                Value::String(value) => push_value(&mut text, value),
                value => text.push_str(&value.to_string()),
            }
        }
        text.push('\n');
        text
    }

    /// `{"timestamp":…,"level":"INFO","logger":…,"message":…,"shard":0,"topic":"greetings"}`
    fn json(&self) -> String {
        let mut text = String::from("{");
        let time = self.time();
        let first =
            [("timestamp", &*time), ("level", self.level), ("logger", &*self.logger), ("message", &*self.message)];
        for (name, value) in first {
            push_member(&mut text, name, &Value::from(value));
        }
        for (name, value) in &self.fields {
            push_member(&mut text, name, value);
        }
        text.push_str("}\n");
        text
    }

    /// RFC 3339, in UTC, to the microsecond.
    fn time(&self) -> String {
        format!("{:.6}", self.timestamp)
    }

    fn add(&mut self, field: &Field, value: Value) {
        if self.fields.len() < FIELDS_MAX {
            self.fields.push((field.name(), value));
        }
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, Number::from_f64(value).map_or_else(|| Value::from(value.to_string()), Value::Number));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = bounded(format_args!("{value:?}"), MESSAGE_BYTES_MAX);
        } else {
            self.add(field, bounded(format_args!("{value:?}"), VALUE_BYTES_MAX).into());
        }
    }
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::TRACE => "TRACE",
        Level::DEBUG => "DEBUG",
        Level::INFO => "INFO",
        Level::WARN => "WARN",
        Level::ERROR => "ERROR",
    }
}

fn push_member(text: &mut String, name: &str, value: &Value) {
    if text.len() > 1 {
        text.push(',');
    }
    let _ = write!(text, "{}:{value}", Value::from(name));
}

/// A field's text: in quotes where it could be taken for more than one field.
fn push_value(text: &mut String, value: &str) {
    let is_plain = |character: char| !character.is_whitespace() && !"\"=\\".contains(character);
    if !value.is_empty() && value.chars().all(is_plain) {
        return push_printable(text, value);
    }
    text.push('"');
    for character in value.chars() {
        if "\"\\".contains(character) {
            text.push('\\');
        }
        push_printable(text, character.encode_utf8(&mut [0; 4]));
    }
    text.push('"');
}

/// The text, or its beginning and how much is missing. What is longer is not even put together.
fn bounded(value: fmt::Arguments<'_>, bytes_max: usize) -> String {
    struct Bounded {
        text: String,
        bytes_max: usize,
        missing: usize,
    }

    impl fmt::Write for Bounded {
        fn write_str(&mut self, part: &str) -> fmt::Result {
            let room = if self.missing > 0 { 0 } else { self.bytes_max - self.text.len() };
            let taken = part.floor_char_boundary(room);
            self.text.push_str(&part[..taken]);
            self.missing += part.len() - taken;
            Ok(())
        }
    }

    let mut bounded = Bounded { text: String::new(), bytes_max, missing: 0 };
    // A text that cannot be written ends where it failed.
    let _ = bounded.write_fmt(value);
    if bounded.missing > 0 {
        let _ = write!(bounded.text, "… ({} bytes more)", bounded.missing);
    }
    bounded.text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::printable::is_unsafe;

    fn line(message: &str, fields: Vec<(&'static str, Value)>) -> Line {
        let timestamp = "2026-01-31T12:00:00.0000015Z".parse().expect("a time");
        Line { timestamp, level: "INFO", logger: "a.b".to_owned(), message: message.to_owned(), fields }
    }

    #[test]
    fn both_formats_tell_the_same() {
        let mut line = line("said", vec![("topic", "t".into()), ("partition", (-1_i64).into()), ("ok", true.into())]);
        line.fill_shard(Some(3));
        assert_eq!(line.text(), "2026-01-31T12:00:00.000001Z  INFO a.b: said shard=3 topic=t partition=-1 ok=true\n");
        let expected = r#"{"timestamp":"2026-01-31T12:00:00.000001Z","level":"INFO","logger":"a.b","message":"said","shard":3,"topic":"t","partition":-1,"ok":true}"#;
        assert_eq!(line.json(), expected.to_owned() + "\n");
    }

    #[test]
    fn no_name_makes_a_second_line_or_another_field() {
        let check = |value: &str, expected: &str| {
            let line = line(value, vec![("topic", value.into())]);
            let text = line.text();
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.ends_with(&format!(" topic={expected}\n")), "{text}");
            assert!(!text.trim_end_matches('\n').contains(is_unsafe), "{text:?}");
            let json = line.json();
            assert_eq!(json.lines().count(), 1, "{json}");
            let read: Value = serde_json::from_str(&json).expect("JSON");
            assert_eq!((read["topic"].as_str(), read["message"].as_str()), (Some(value), Some(value)));
        };
        check("plain.name-1", "plain.name-1");
        check("größer", "größer");
        check("", r#""""#);
        check("a b", r#""a b""#);
        check("a\"b\\c=d", r#""a\"b\\c=d""#);
        check("a\r\n2026 ERROR x: y", r#""a\r\n2026 ERROR x: y""#);
        check("\u{1b}[2J\0\u{7f}", r"\u{1b}[2J\u{0}\u{7f}");
        check("\u{85}", r#""\u{85}""#);
        check("a\u{2028}b\u{202e}c", r#""a\u{2028}b\u{202e}c""#);
        check("\u{fffd}", "\u{fffd}");
    }

    #[test]
    fn what_is_long_is_cut_between_characters() {
        assert_eq!(bounded(format_args!("{}", "aß"), 3), "aß");
        assert_eq!(bounded(format_args!("{}{}", "aß", "c"), 2), "a… (3 bytes more)");
        assert_eq!(
            bounded(format_args!("{}", "x".repeat(5000)), MESSAGE_BYTES_MAX).len(),
            4096 + "… (904 bytes more)".len()
        );
    }

    #[test]
    fn a_shard_of_the_event_s_own_stays() {
        let mut line = line("said", vec![("shard", 7.into())]);
        line.fill_shard(Some(1));
        assert_eq!(line.fields, [("shard", Value::from(7))]);
    }
}
