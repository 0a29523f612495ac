//! The text format of `java.util.Properties`, in which `server.properties` is written.

use std::iter::Peekable;
use std::str::{Chars, Lines};

/// The longest file that is read, in bytes. Kafka's own example has about 7 KiB.
pub const PROPERTIES_BYTES_MAX: usize = 1 << 20;

/// One `key=value` of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Property {
    /// The key, with its escapes resolved.
    pub key: String,
    /// The value, with its escapes resolved.
    pub value: String,
    /// Number of the line where it begins, from 1.
    pub line: usize,
}

/// A `\u` escape that is not followed by four hexadecimal digits: the one thing that the format calls an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BadEscape {
    /// Number of the line where the property begins, from 1.
    pub line: usize,
}

/// Reads a whole file: one result for each property, in the order of the file.
pub fn parse_properties(text: &str) -> Vec<Result<Property, BadEscape>> {
    let mut lines = LogicalLines { lines: text.lines(), number: 0 };
    let mut properties = Vec::new();
    while let Some((line, text)) = lines.next_line() {
        properties.push(parse_property(&text, line));
    }
    properties
}

/// Lines with continuations joined, and without comments and empty ones.
struct LogicalLines<'a> {
    lines: Lines<'a>,
    number: usize,
}

impl LogicalLines<'_> {
    fn next_line(&mut self) -> Option<(usize, String)> {
        loop {
            let line = self.lines.next()?.trim_start_matches(BLANKS);
            self.number += 1;
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let first = self.number;
            let mut whole = line.to_owned();
            while is_continued(&whole) {
                whole.pop();
                let Some(next) = self.lines.next() else { break };
                self.number += 1;
                whole.push_str(next.trim_start_matches(BLANKS));
            }
            return Some((first, whole));
        }
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\u{c}'];

/// A line goes on if it ends in an odd number of backslashes: in pairs they stand for backslashes.
fn is_continued(line: &str) -> bool {
    line.bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1
}

fn parse_property(text: &str, line: usize) -> Result<Property, BadEscape> {
    let mut chars = text.chars().peekable();
    let key = unescape_until(&mut chars, |c| BLANKS.contains(&c) || c == '=' || c == ':').ok_or(BadEscape { line })?;
    skip_blanks(&mut chars);
    if chars.next_if(|c| matches!(c, '=' | ':')).is_some() {
        skip_blanks(&mut chars);
    }
    let value = unescape_until(&mut chars, |_| false).ok_or(BadEscape { line })?;
    Ok(Property { key, value, line })
}

fn skip_blanks(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| BLANKS.contains(c)).is_some() {}
}

/// Takes characters up to one that `ends`, which stays. `None` for a malformed `\u` escape.
fn unescape_until(chars: &mut Peekable<Chars<'_>>, ends: impl Fn(char) -> bool) -> Option<String> {
    // Java escapes count in UTF-16, so that characters beyond the first plane come as two escapes.
    let mut units: Vec<u16> = Vec::new();
    while let Some(c) = chars.next_if(|c| !ends(*c)) {
        if c != '\\' {
            push(&mut units, c);
            continue;
        }
        match chars.next() {
            Some('t') => push(&mut units, '\t'),
            Some('n') => push(&mut units, '\n'),
            Some('r') => push(&mut units, '\r'),
            Some('f') => push(&mut units, '\u{c}'),
            Some('u') => units.push(parse_unit(chars)?),
            Some(other) => push(&mut units, other),
            None => {}
        }
    }
    Some(String::from_utf16_lossy(&units))
}

fn push(units: &mut Vec<u16>, c: char) {
    units.extend_from_slice(c.encode_utf16(&mut [0; 2]));
}

fn parse_unit(chars: &mut Peekable<Chars<'_>>) -> Option<u16> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = u16::try_from(chars.next()?.to_digit(16)?).expect("a hexadecimal digit is below 16");
        unit = unit << 4 | digit;
    }
    Some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(&str, &str, usize)]) {
        let found: Vec<_> =
            parse_properties(text).into_iter().map(|property| property.expect("no bad escape")).collect();
        let found: Vec<_> = found.iter().map(|p| (p.key.as_str(), p.value.as_str(), p.line)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn separators_comments_and_blanks() {
        check("a=1", &[("a", "1", 1)]);
        check("a = 1 \n b:2\n c 3\nd", &[("a", "1 ", 1), ("b", "2", 2), ("c", "3", 3), ("d", "", 4)]);
        check("# no\n\n  ! no\r\nkey: value # yes\r\n", &[("key", "value # yes", 4)]);
        check("a==b", &[("a", "=b", 1)]);
        check("=x", &[("", "x", 1)]);
    }

    #[test]
    fn continuation_lines_and_escapes() {
        check("list=a,\\\n   b,\\\n\tc\nnext=1", &[("list", "a,b,c", 1), ("next", "1", 4)]);
        check("path=C:\\\\temp\\\\\nnext=1", &[("path", "C:\\temp\\", 1), ("next", "1", 2)]);
        check("a\\=b\\:c\\ d=e", &[("a=b:c d", "e", 1)]);
        check("tab=\\t\\n\\q", &[("tab", "\t\nq", 1)]);
        check("u=\\u00e9\\ud83d\\ude00", &[("u", "\u{e9}\u{1f600}", 1)]);
        check("end=\\", &[("end", "", 1)]);
        check("# a comment does not go on\\\na=1", &[("a", "1", 2)]);
    }

    #[test]
    fn a_bad_escape_is_one_property_s_error() {
        let found = parse_properties("a=1\nb=\\u12g4\nc=\\u00");
        assert!(found[0].is_ok());
        assert_eq!(found[1..], [Err(BadEscape { line: 2 }), Err(BadEscape { line: 3 })]);
    }
}
