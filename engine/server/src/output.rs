//! What commands print: tables for people, JSON and YAML for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

use crate::printable::{is_unsafe, push_printable};

/// The widest that a cell of a table is, in characters: the longest names of topics still fit.
const CELL_WIDTH_MAX: usize = 256;
/// How narrow a screen makes a cell at most.
const CELL_WIDTH_MIN: usize = 8;
/// Between two columns.
const GAP: &str = "  ";

/// The form of a command's result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub(crate) enum Form {
    /// Aligned columns.
    #[default]
    Table,
    /// One JSON document.
    Json,
    /// One YAML document.
    Yaml,
}

/// Prints `value` in the form that was asked for; `table` makes the text for people. Names from outside belong into cells, or
/// go through [`printable`](crate::printable::printable): of a text only the ends of lines are taken as they are.
pub(crate) fn print<T: Serialize>(form: Form, value: &T, table: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    match form {
        Form::Table => say(&table(value)),
        Form::Json => write(json(value)?.as_bytes()),
        Form::Yaml => write(serde_saphyr::to_string(value).context("writing YAML")?.as_bytes()),
    }
}

/// Prints lines for people.
pub(crate) fn say(lines: &str) -> anyhow::Result<()> {
    let mut text = String::with_capacity(lines.len());
    for line in lines.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        push_printable(&mut text, line);
        text.push_str(end);
    }
    write(text.as_bytes())
}

/// What JSON lets stand and a terminal obeys is told by its number, which is the same to programs.
fn json<T: Serialize>(value: &T) -> anyhow::Result<String> {
    let plain = serde_json::to_string_pretty(value).context("writing JSON")?;
    let mut text = String::with_capacity(plain.len() + 1);
    for character in plain.chars() {
        if character != '\n' && is_unsafe(character) {
            write!(text, "\\u{:04x}", u32::from(character)).expect("a String takes everything");
        } else {
            text.push(character);
        }
    }
    text.push('\n');
    Ok(text)
}

/// Writes to standard output. A reader that has gone away, such as `head`, wants no more: that is no error.
fn write(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("writing to standard output"),
    }
}

/// A cell that is not left empty.
pub(crate) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// Aligns rows under their headings, two blanks between columns and none at the end of a line. What clients have named
/// themselves may hold anything: control characters, which terminals obey, are not printed, and what is too long for the
/// screen, or for any cell, ends with `…`. Programs ask for a form in which everything is whole.
pub(crate) fn table<const COLUMNS: usize>(headings: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    aligned(&headings, rows, screen_width())
}

/// As [`table`], where the columns depend on what there is to tell.
pub(crate) fn table_of(headings: &[&str], rows: &[Vec<String>]) -> String {
    aligned(headings, rows, screen_width())
}

/// Columns of the terminal that standard output is; `None` if it is none.
fn screen_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// As [`table`], for a screen that is so wide, or for none.
pub(crate) fn aligned<Row: AsRef<[String]>>(headings: &[&str], rows: &[Row], screen_width: Option<usize>) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row.as_ref()) {
            // Not counted further than it is shown.
            *width = (*width).max(cell.chars().take(CELL_WIDTH_MAX).count());
        }
    }
    if let Some(screen_width) = screen_width {
        narrow(&mut widths, screen_width);
    }
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, &width) in cells.zip(&widths) {
            write!(line, "{:width$}{GAP}", shown(cell, width)).expect("a String takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(&mut headings.iter().copied());
    for row in rows {
        line(&mut row.as_ref().iter().map(String::as_str));
    }
    text
}

/// Takes from the widest columns what does not fit on the screen, down to [`CELL_WIDTH_MIN`]: then lines wrap.
fn narrow(widths: &mut [usize], screen_width: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    let mut surplus = (widths.iter().sum::<usize>() + gaps).saturating_sub(screen_width);
    while surplus > 0 {
        let Some(widest) = widths.iter_mut().max().filter(|width| **width > CELL_WIDTH_MIN) else { return };
        *widest -= 1;
        surplus -= 1;
    }
}

/// What is printed of a cell of this width.
pub(crate) fn shown(cell: &str, width: usize) -> String {
    let printable = |character: char| if is_unsafe(character) { '\u{fffd}' } else { character };
    if cell.chars().nth(width).is_none() {
        return cell.chars().map(printable).collect();
    }
    cell.chars().take(width.saturating_sub(1)).map(printable).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "12".to_owned()], ["schön".to_owned(), String::new()]];
        assert_eq!(aligned(&["NAME", "COUNT"], &rows, None), "NAME   COUNT\na      12\nschön\n");
        assert_eq!(aligned::<[String; 1]>(&["NAME"], &[], None), "NAME\n");
        assert_eq!(aligned(&["NAME"], &[["a\x1b[2Jb\n".to_owned()]], None), "NAME\na\u{fffd}[2Jb\u{fffd}\n");
    }

    #[test]
    fn json_says_the_same_without_moving_a_cursor() {
        let name = "a\u{9b}2J\u{202e}\x1b\u{7f} schön";
        let text = json(&[name]).expect("it is JSON");
        assert_eq!(text, "[\n  \"a\\u009b2J\\u202e\\u001b\\u007f schön\"\n]\n");
        assert_eq!(serde_json::from_str::<Vec<String>>(&text).expect("it is JSON"), [name]);
    }

    #[test]
    fn what_is_too_long_for_a_cell_is_cut() {
        let of = |length: usize| ["ö".repeat(length), "end".to_owned()];
        let told = aligned(&["KEY", "VALUE"], &[of(32_000), of(CELL_WIDTH_MAX)], None);
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines[1], format!("{}…  end", "ö".repeat(CELL_WIDTH_MAX - 1)));
        assert_eq!(lines[2], format!("{}  end", "ö".repeat(CELL_WIDTH_MAX)));
    }

    #[test]
    fn a_narrow_screen_takes_from_the_widest_columns() {
        let row = [["short".to_owned(), "0123456789".repeat(3), "abcdefghij".repeat(2)]];
        let check = |screen, expected: &str| {
            let told = aligned(&["A", "B", "C"], &row, Some(screen));
            assert_eq!(told.lines().nth(1), Some(expected), "{screen}");
        };
        check(59, "short  012345678901234567890123456789  abcdefghijabcdefghij");
        check(50, "short  01234567890123456789…  abcdefghijabcdefghij");
        check(40, "short  012345678901234…  abcdefghijabcd…");
        // Nobody reads columns of one character.
        check(1, "short  0123456…  abcdefg…");
    }
}
