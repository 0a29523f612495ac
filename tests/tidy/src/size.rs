//! One subject a file: 600 lines, tests apart. A file that is longer has a recorded ceiling, which may only fall.

use std::collections::BTreeMap;

use crate::Fault;
use crate::source::without_tests;
use crate::tree::has_extension;

/// Lines that a file may have without a recorded ceiling.
pub const LINES_MAX: usize = 600;

/// Lines by which a recorded ceiling may stand above its file, so that an edit does not ask for a new record each time.
pub const SLACK_LINES: usize = 40;

/// Whether the rule holds for this file: code that people write, in any language.
pub fn applies(path: &str, text: &str) -> bool {
    let extensions = ["rs", "go", "js", "mjs", "java", "py", "sh", "kafka"];
    extensions.iter().any(|extension| has_extension(path, extension)) || text.starts_with("#!")
}

/// Lines that count: all but an inline test module at the end.
pub fn lines(path: &str, text: &str) -> usize {
    let counted = if has_extension(path, "rs") { without_tests(text) } else { text };
    counted.lines().count()
}

/// Reads the record: `lines path`, one a line, `#` for comments.
pub fn ceilings(record: &str) -> Result<BTreeMap<String, usize>, String> {
    let rows = record.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    rows.map(|row| {
        let (lines, path) = row.split_once(' ').ok_or_else(|| format!("not `lines path`: {row}"))?;
        let lines = lines.parse().map_err(|_| format!("not a number of lines: {row}"))?;
        Ok((path.to_owned(), lines))
    })
    .collect()
}

/// Holds the lengths of all files against the record.
pub fn check(lengths: &BTreeMap<String, usize>, ceilings: &BTreeMap<String, usize>) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, length) in lengths {
        let what = match ceilings.get(path) {
            None if *length > LINES_MAX => format!("{length} lines, over {LINES_MAX}: divide it by subject"),
            Some(ceiling) if length > ceiling => format!("{length} lines, over its ceiling of {ceiling}: divide it"),
            Some(_) if *length <= LINES_MAX => "is short enough now: take its ceiling out of the record".to_owned(),
            Some(ceiling) if length + SLACK_LINES < *ceiling => format!("fell to {length} lines: lower its ceiling"),
            _ => continue,
        };
        faults.push(Fault::of(path, what));
    }
    for path in ceilings.keys().filter(|path| !lengths.contains_key(*path)) {
        faults.push(Fault::of(path, "is gone: take its ceiling out of the record"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(length: usize, record: &str) -> usize {
        let lengths = BTreeMap::from([("a.rs".to_owned(), length)]);
        check(&lengths, &ceilings(record).expect("a record")).len()
    }

    #[test]
    fn a_long_file_needs_a_ceiling_that_only_falls() {
        assert_eq!(faults(600, ""), 0);
        assert_eq!(faults(601, ""), 1, "too long");
        assert_eq!(faults(700, "# why\n700 a.rs\n"), 0);
        assert_eq!(faults(701, "700 a.rs\n"), 1, "grown");
        assert_eq!(faults(650, "700 a.rs\n"), 1, "fallen, not recorded");
        assert_eq!(faults(660, "700 a.rs\n"), 0, "within the slack");
        assert_eq!(faults(600, "700 a.rs\n"), 1, "needs none any more");
        assert_eq!(faults(1, "700 b.rs\n"), 1, "gone");
        assert!(ceilings("a.rs 700").is_err());
    }

    #[test]
    fn inline_tests_do_not_count() {
        assert_eq!(lines("a.rs", "fn a() {}\n#[cfg(test)]\nmod tests {\n}\n"), 1);
        assert_eq!(lines("a.go", "1\n2\n"), 2);
        assert!(applies("tests/run", "#!/usr/bin/env bash\n") && !applies("README.md", "# Ringlog\n"));
    }
}
