//! `unsafe` lives in two crates; every other crate forbids it.

use crate::Fault;
use crate::source::{code_of, find_word};

/// Folders whose code may say `unsafe`.
pub const FOLDERS: &[&str] = &["storage/buffer/", "engine/reactor/"];

/// The word `unsafe` in the code of a file outside of those folders.
pub fn check(path: &str, text: &str) -> Vec<Fault> {
    if allowed(path) {
        return Vec::new();
    }
    let code = code_of(text);
    let found = (1..).zip(code.lines()).filter(|(_, line)| find_word(line, "unsafe").is_some());
    found.map(|(number, _)| Fault::at(path, number, "`unsafe` outside of the buffer and the reactor")).collect()
}

/// The root file of a crate that does not forbid unsafe code.
pub fn check_root(path: &str, text: &str) -> Vec<Fault> {
    let forbids = code_of(text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]");
    if forbids || allowed(path) { Vec::new() } else { vec![Fault::of(path, "lacks #![forbid(unsafe_code)]")] }
}

fn allowed(path: &str) -> bool {
    FOLDERS.iter().any(|folder| path.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_is_found_outside_of_its_two_places() {
        let text = "fn a() {\n    unsafe { b() }\n}";
        let found = check("net/src/wire.rs", text);
        assert_eq!(found, [Fault::at("net/src/wire.rs", 2, "`unsafe` outside of the buffer and the reactor")]);
        assert_eq!(check("engine/reactor/src/uring.rs", text), []);
        assert_eq!(check("net/src/wire.rs", "#![forbid(unsafe_code)] // no unsafe"), []);
    }

    #[test]
    fn every_other_root_forbids_it() {
        assert_eq!(check_root("net/src/lib.rs", "//! Net.\n").len(), 1);
        assert_eq!(check_root("net/src/lib.rs", "// #![forbid(unsafe_code)]\n").len(), 1);
        assert_eq!(check_root("net/src/lib.rs", "//! Net.\n#![forbid(unsafe_code)]\n"), []);
        assert_eq!(check_root("storage/buffer/src/lib.rs", "//! Buffer.\n"), []);
    }
}
