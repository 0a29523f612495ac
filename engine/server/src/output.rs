//! What commands print: tables for people, JSON and YAML for programs.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::ValueEnum;
use serde::Serialize;

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

/// Prints `value` in the form that was asked for; `table` makes the text for people.
pub(crate) fn print<T: Serialize>(form: Form, value: &T, table: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
    let text = match form {
        Form::Table => table(value),
        Form::Json => serde_json::to_string_pretty(value).context("writing JSON")? + "\n",
        Form::Yaml => serde_saphyr::to_string(value).context("writing YAML")?,
    };
    write(text.as_bytes())
}

/// Writes to standard output. A reader that has gone away, such as `head`, wants no more: that is no error.
pub(crate) fn write(bytes: &[u8]) -> anyhow::Result<()> {
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
/// themselves may hold anything: control characters, which terminals obey, are not printed.
pub(crate) fn table<const COLUMNS: usize>(headings: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let printable = |cell: &String| cell.replace(char::is_control, "\u{fffd}");
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(printable)).collect();
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let mut line = |cells: [&str; COLUMNS]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            write!(line, "{cell:width$}  ").expect("a String takes everything");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    };
    line(headings);
    for row in rows {
        line(row.each_ref().map(String::as_str));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "12".to_owned()], ["schön".to_owned(), String::new()]];
        assert_eq!(table(["NAME", "COUNT"], &rows), "NAME   COUNT\na      12\nschön\n");
        assert_eq!(table(["NAME"], &[]), "NAME\n");
        assert_eq!(table(["NAME"], &[["a\x1b[2Jb\n".to_owned()]]), "NAME\na\u{fffd}[2Jb\u{fffd}\n");
    }
}
