//! Files are nouns that tell their content, and begin by saying what they are for.

use crate::Fault;
use crate::source::{code_of, find_word};
use crate::tree::has_extension;

/// Names that tell nothing.
const BANNED: &[&str] =
    &["util", "utils", "common", "helper", "helpers", "misc", "manager", "managers", "stuff", "types2"];

/// Words of unfinished work.
const UNFINISHED: &[&str] = &["TODO", "FIXME", "XXX", "HACK"];

/// Files and folders whose name, or a part of it between underscores, tells nothing.
pub fn check_path(path: &str) -> Vec<Fault> {
    let parts = path.split('/').flat_map(|part| part.split(['.', '_', '-']));
    let mut banned = parts.filter(|part| BANNED.contains(&part.to_lowercase().as_str()));
    banned.next().map(|word| Fault::of(path, format!("`{word}` in a name tells nothing"))).into_iter().collect()
}

/// Modules inside a Rust file whose name tells nothing, a missing header, and words of unfinished work.
pub fn check_text(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        for word in UNFINISHED.iter().filter(|word| find_word(line, word).is_some_and(|_| !line.contains("const "))) {
            faults.push(Fault::at(path, number, format!("`{word}`: finish it, or leave it out")));
        }
    }
    if !has_extension(path, "rs") {
        return faults;
    }
    if !text.trim_start().starts_with("//!") {
        faults.push(Fault::of(path, "begins without `//!`: say what the file is for"));
    }
    for (number, line) in (1..).zip(code_of(text).lines()) {
        let name = find_word(line, "mod").and_then(|at| line[at + 3..].split_whitespace().next());
        let name = name.map(|name| name.trim_end_matches([';', '{']));
        if let Some(name) = name.filter(|name| name.split('_').any(|part| BANNED.contains(&part))) {
            faults.push(Fault::at(path, number, format!("module `{name}`: the name tells nothing")));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tell_nothing_are_found() {
        for path in ["net/src/utils.rs", "storage/common/log.rs", "net/src/topic_manager.rs", "tests/Helpers.java"] {
            assert_eq!(check_path(path).len(), 1, "{path}");
        }
        assert_eq!(check_path("net/src/wire.rs"), []);
        assert_eq!(check_text("a.rs", "//! A.\nmod misc;\n").len(), 1);
        assert_eq!(check_text("a.rs", "//! A.\npub mod byte_utils {}\n").len(), 1);
        assert_eq!(check_text("a.rs", "//! A.\nmod wire;\n// mod utils;\n"), []);
    }

    #[test]
    fn a_header_is_wanted_and_unfinished_work_is_not() {
        assert_eq!(check_text("a.rs", "fn a() {}\n").len(), 1);
        assert_eq!(check_text("a.sh", "echo\n"), []);
        let unfinished = ["// TO", "DO: later"].concat();
        assert_eq!(check_text("a.sh", &unfinished).len(), 1);
    }
}
