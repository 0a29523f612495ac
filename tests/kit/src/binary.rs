//! The `ringlog` program that is under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The program: `RINGLOG_BIN` where that is set, else a release build of this tree, made once per test process.
pub fn ringlog() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| std::env::var_os("RINGLOG_BIN").map_or_else(built, PathBuf::from))
}

/// The top of the tree.
pub fn top() -> &'static Path {
    static TOP: OnceLock<PathBuf> = OnceLock::new();
    TOP.get_or_init(|| {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        top.canonicalize().expect("the tree that this test was built from is there")
    })
}

/// Cargo's target directory, told from where the running test was built: `<target>/<profile>/deps/<test>`.
pub fn target_dir() -> PathBuf {
    let test = std::env::current_exe().expect("a process knows its program");
    let profile = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(Path::parent);
    let target = profile.and_then(Path::parent).or(test.parent());
    target.expect("a program stands in a folder").to_path_buf()
}

fn built() -> PathBuf {
    let target = target_dir();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build
        .current_dir(top())
        .args(["build", "--quiet", "--release", "--package", "ringlog", "--target-dir"])
        .arg(&target);
    let status = build.status().unwrap_or_else(|error| panic!("{build:?}: {error}"));
    assert!(status.success(), "the build of ringlog failed");
    target.join("release/ringlog")
}
