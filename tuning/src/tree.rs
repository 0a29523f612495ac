//! Small files beneath a folder that stands for the root: what is not there, not text or too long is unknown.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The longest file that is read: interrupts and mounts of a large machine are some hundred kilobytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Entries of a folder that are looked at.
const ENTRIES_MAX: usize = 16 * 1024;

/// A machine's files.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    root: &'a Path,
}

impl<'a> Tree<'a> {
    pub(crate) const fn new(root: &'a Path) -> Self {
        Self { root }
    }

    /// A path of the machine, as it is found.
    pub(crate) fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a file, without the white space around it.
    pub(crate) fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let mut bytes = Vec::new();
        let file = File::open(self.path(path)).ok()?;
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
            return None;
        }
        Some(String::from_utf8(bytes).ok()?.trim().to_owned())
    }

    /// The number that is all there is in a file.
    pub(crate) fn number(&self, path: impl AsRef<Path>) -> Option<u64> {
        self.text(path)?.parse().ok()
    }

    /// Names in a folder, sorted; none if it cannot be read.
    pub(crate) fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(path)) else { return Vec::new() };
        let names = entries.take(ENTRIES_MAX).filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    /// Whether there is such a file or folder.
    pub(crate) fn has(&self, path: impl AsRef<Path>) -> bool {
        self.path(path).exists()
    }
}

/// The number behind a word: 3 of `node3`.
pub(crate) fn numbered(name: &str, word: &str) -> Option<usize> {
    name.strip_prefix(word)?.parse().ok()
}

/// Of `always [madvise] never` the one in brackets; the whole of anything else.
pub(crate) fn selected(text: &str) -> &str {
    let inside = text.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    inside.map_or(text.trim(), |(inside, _)| inside)
}

/// The words of `always [madvise] never`.
pub(crate) fn choices(text: &str) -> Vec<String> {
    text.split_whitespace().map(|word| word.trim_matches(['[', ']']).to_owned()).collect()
}

/// `MemTotal` and the like, in bytes.
pub(crate) fn meminfo(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.trim_start().strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_found_by_name() {
        assert_eq!(meminfo("MemTotal:       16384 kB\nMemFree: 1 kB\n", "MemTotal"), Some(16 << 20));
        assert_eq!(meminfo("MemFree: 1 kB\n", "MemTotal"), None);
        assert_eq!(meminfo("MemTotal: many kB\n", "MemTotal"), None);
        assert_eq!(meminfo("MemTotal: 99999999999999999 kB", "MemTotal"), None);
    }

    #[test]
    fn the_choice_in_brackets_is_in_force() {
        assert_eq!(selected("always [madvise] never"), "madvise");
        assert_eq!(selected(" none\n"), "none");
        assert_eq!(choices("none [mq-deadline] kyber"), ["none", "mq-deadline", "kyber"]);
    }
}
