//! What comes from outside, names, messages and settings, as text for a screen or a log: nothing of it ends a line, moves a
//! cursor, or turns the direction of writing.

/// The value with whatever a terminal would obey written out, such as `\u{1b}`.
pub(crate) fn printable(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    push_printable(&mut text, value);
    text
}

/// Adds the value in the same way.
pub(crate) fn push_printable(text: &mut String, value: &str) {
    for character in value.chars() {
        if is_unsafe(character) {
            text.extend(character.escape_default());
        } else {
            text.push(character);
        }
    }
}

/// Control characters, ends of lines that are none to ASCII, and what turns the direction of writing.
pub(crate) fn is_unsafe(character: char) -> bool {
    let turns = ['\u{2028}'..='\u{202e}', '\u{2066}'..='\u{2069}', '\u{200e}'..='\u{200f}'];
    character.is_control() || turns.iter().any(|turns| turns.contains(&character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        for (value, expected) in [
            ("schön, 日本 \u{fffd}", "schön, 日本 \u{fffd}"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nringlog: b\r\t", "a\\nringlog: b\\r\\t"),
            ("\u{9b}2J\u{7f}\0", "\\u{9b}2J\\u{7f}\\u{0}"),
            ("a\u{202e}b\u{2028}", "a\\u{202e}b\\u{2028}"),
        ] {
            assert_eq!(printable(value), expected);
        }
    }
}
