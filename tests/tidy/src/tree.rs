//! The tree itself: which files belong to it, and what cargo knows about it. The only part that reads from outside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The files of the tree, tracked or about to be, with their text. Files that are no text are left out.
#[derive(Debug)]
pub struct Tree {
    top: PathBuf,
    files: BTreeMap<String, String>,
    binaries: Vec<String>,
}

impl Tree {
    /// Reads the tree that this crate stands in.
    pub fn read() -> Self {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let listed = output(Command::new("git").current_dir(&top).args([
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
        ]));
        let mut tree = Self { top, files: BTreeMap::new(), binaries: Vec::new() };
        for path in listed.lines() {
            match std::fs::read(tree.top.join(path)).map(String::from_utf8) {
                Ok(Ok(text)) => drop(tree.files.insert(path.to_owned(), text)),
                Ok(Err(_)) => tree.binaries.push(path.to_owned()),
                // A file that is deleted but not committed yet, or a link to a folder.
                Err(_) => {}
            }
        }
        assert!(tree.files.len() > 20, "git lists only {} files", tree.files.len());
        tree
    }

    /// Every text file: path and text.
    pub fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The Rust files.
    pub fn rust_files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files().filter(|(path, _)| has_extension(path, "rs"))
    }

    /// Files that are no text.
    pub fn binaries(&self) -> impl Iterator<Item = &str> {
        self.binaries.iter().map(String::as_str)
    }

    /// The text of one file.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether the tree has a file or a folder of this name.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        let all = || self.files.keys().map(String::as_str).chain(self.binaries());
        all().any(|file| file == path || file.starts_with(&folder))
    }

    /// Whether a file may be run.
    pub fn is_executable(&self, path: &str) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::metadata(self.top.join(path)).is_ok_and(|meta| meta.permissions().mode() & 0o111 != 0)
    }

    /// What `cargo metadata` says about the workspace and all that it depends on here.
    pub fn metadata(&self) -> Value {
        let text = output(Command::new(env!("CARGO")).current_dir(&self.top).args([
            "metadata",
            "--format-version=1",
            "--filter-platform=x86_64-unknown-linux-gnu",
        ]));
        serde_json::from_str(&text).expect("cargo metadata prints JSON")
    }

    /// A path as cargo prints it, relative to the top of the tree.
    pub fn relative(&self, path: &str) -> String {
        let top = self.top.canonicalize().expect("the tree is there");
        Path::new(path).strip_prefix(&top).unwrap_or(Path::new(path)).to_string_lossy().into_owned()
    }
}

/// Whether a path ends in this extension.
pub fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path).extension().is_some_and(|found| found == extension)
}

fn output(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout).expect("paths and metadata are UTF-8")
}
