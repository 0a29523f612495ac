//! The pure crates decide and never act: no system calls, clock, threads, async, globals, logging or randomness.

use serde_json::Value;

use crate::layers::{is_member, name, packages};
use crate::source::{code_of, find_word, is_test_file, used_paths, without_tests};
use crate::{Fault, source};

/// Where pure code is: the pure crates, and what decides in a crate that also acts.
pub const FOLDERS: &[&str] = &[
    "storage/src/",
    "net/src/",
    "engine/cluster/src/",
    "engine/measure/src/",
    "engine/server/src/perf/digest",
    "tuning/src/check",
    "tuning/src/cpu_set",
    "tuning/src/knob",
    "tuning/src/limiting",
    "tuning/src/machine",
    "tuning/src/plan",
];

/// The pure crates by name.
pub const CRATES: &[&str] = &["ringlog-storage", "ringlog-net", "ringlog-cluster", "ringlog-measure"];

/// Words that no pure code contains, each with what it stands for.
const WORDS: &[(&str, &str)] = &[
    ("async", "no async in pure code: answer what must happen next as data"),
    ("await", "no async in pure code: answer what must happen next as data"),
    ("Instant", "the clock is an argument"),
    ("SystemTime", "the clock is an argument"),
    ("OnceLock", "no globals"),
    ("LazyLock", "no globals"),
    ("lazy_static", "no globals"),
    ("thread_local", "no globals"),
    ("Mutex", "no locks: state has one owner"),
    ("RwLock", "no locks: state has one owner"),
    ("println", "no output: answer an event"),
    ("eprintln", "no output: answer an event"),
    ("print", "no output: answer an event"),
    ("eprint", "no output: answer an event"),
    ("RandomState", "a seed is an argument"),
];

/// Paths that no pure code uses, whether imported or written out.
const PATHS: &[(&str, &str)] = &[
    ("std::fs", "no files: answer an operation"),
    ("std::thread", "no threads"),
    ("std::env", "the environment is an argument"),
    ("std::process", "no processes"),
    ("std::os", "no system calls"),
    ("std::sync::atomic", "no atomics outside the mesh and the metric counters"),
    ("std::sync::mpsc", "no threads, so no channels"),
    ("std::net::TcpStream", "no sockets: bytes come as arguments"),
    ("std::net::TcpListener", "no sockets: bytes come as arguments"),
    ("std::net::UdpSocket", "no sockets: bytes come as arguments"),
    ("std::net::ToSocketAddrs", "no name look-ups"),
    ("std::net::*", "name the address types that are needed"),
    ("std::io::stdin", "no input"),
    ("std::io::stdout", "no output"),
    ("std::io::stderr", "no output"),
];

/// Dependencies that would bring in what the code itself may not do.
const DEPENDENCIES: &[&str] = &[
    "tokio",
    "async-std",
    "smol",
    "futures",
    "monoio",
    "compio",
    "glommio",
    "libc",
    "nix",
    "rustix",
    "io-uring",
    "mio",
    "socket2",
    "log",
    "tracing",
    "rand",
    "getrandom",
    "fastrand",
    "chrono",
    "time",
    "once_cell",
    "lazy_static",
    "parking_lot",
    "crossbeam",
    "rayon",
    "memmap2",
];

/// What one file of a pure crate does that it may not. Files elsewhere and tests have no faults.
pub fn check(path: &str, text: &str) -> Vec<Fault> {
    if !FOLDERS.iter().any(|folder| path.starts_with(folder)) || is_test_file(path) {
        return Vec::new();
    }
    let code = code_of(without_tests(text));
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(code.lines()) {
        for (word, why) in WORDS.iter().filter(|(word, _)| find_word(line, word).is_some()) {
            faults.push(Fault::at(path, number, format!("`{word}`: {why}")));
        }
        if line.contains("static mut") {
            faults.push(Fault::at(path, number, "`static mut`: no globals"));
        }
        let imports = line.trim_start().starts_with("use ") || line.trim_start().starts_with("pub use ");
        for (banned, why) in PATHS.iter().filter(|(banned, _)| !imports && source::find_word(line, banned).is_some()) {
            faults.push(Fault::at(path, number, format!("`{banned}`: {why}")));
        }
    }
    for (line, used) in used_paths(&code) {
        let brings =
            |banned: &str| used.strip_prefix(banned).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
        for (banned, why) in PATHS.iter().filter(|(banned, _)| brings(banned)) {
            faults.push(Fault::at(path, line, format!("`{banned}`: {why}")));
        }
    }
    faults
}

/// Dependencies of pure crates that act.
pub fn check_dependencies(metadata: &Value) -> Vec<Fault> {
    let pure = packages(metadata).filter(|package| is_member(package) && CRATES.contains(&name(package)));
    pure.flat_map(|package| {
        let used = package["dependencies"].as_array().into_iter().flatten();
        used.filter(|used| used["kind"].is_null() && DEPENDENCIES.contains(&name(used)))
            .map(|used| Fault::of(name(package), format!("is pure and uses {}", name(used))))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(text: &str) -> Vec<String> {
        check("storage/src/log.rs", text).into_iter().map(|fault| fault.to_string()).collect()
    }

    #[test]
    fn acting_is_found() {
        for text in [
            "async fn a() {}",
            "use std::{fs, io};",
            "use std::io::{self, stdin};",
            "fn a() { std::fs::read(p); }",
            "use std::time::Instant;",
            "let t = std::time::SystemTime::now();",
            "std::thread::spawn(f);",
            "static mut A: u8 = 0;",
            "static A: OnceLock<u8> = OnceLock::new();",
            "println!();",
            "use std::net::TcpStream;",
            "use std::sync::atomic::AtomicU64;",
        ] {
            assert_eq!(faults(text).len(), 1, "{text}");
        }
        assert_eq!(faults("\nuse std::fs;"), ["storage/src/log.rs:2: `std::fs`: no files: answer an operation"]);
    }

    #[test]
    fn values_words_in_comments_and_tests_are_fine() {
        for text in [
            "use std::net::{IpAddr, SocketAddr};",
            "// async, std::fs and println! are for the shell\n",
            "let a = \"std::thread\";",
            "use std::fmt; use std::time::Duration;",
            "fn a() {}\n#[cfg(test)]\nmod tests { use std::fs; }",
        ] {
            assert_eq!(faults(text), [""; 0], "{text}");
        }
        assert_eq!(check("engine/broker/src/shard.rs", "async fn a() {}"), []);
        assert_eq!(check("tuning/src/probe.rs", "use std::fs;"), []);
        assert_eq!(check("tuning/src/plan.rs", "use std::fs;").len(), 1);
        assert_eq!(check("tuning/src/plan/cores.rs", "use std::fs;").len(), 1);
        assert_eq!(check("storage/src/log/tests.rs", "use std::fs;"), []);
        assert_eq!(check("storage/buffer/src/lib.rs", "use std::thread;"), []);
    }

    #[test]
    fn dependencies_that_act_are_found() {
        let of = |used: &str, kind: Value| {
            let dependencies = json!([{"name": used, "kind": kind}]);
            json!({"packages": [{"name": "ringlog-net", "source": null, "dependencies": dependencies}]})
        };
        assert_eq!(check_dependencies(&of("libc", Value::Null)).len(), 1);
        assert_eq!(check_dependencies(&of("libc", json!("dev"))), []);
        assert_eq!(check_dependencies(&of("thiserror", Value::Null)), []);
    }
}
