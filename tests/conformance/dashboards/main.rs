//! The dashboards and alerts of `tuning/dashboards`: the files, and what a real Prometheus that watches a real broker makes
//! of them.
#![forbid(unsafe_code)]

mod client;
mod files;
mod foreign;
mod live;
mod load;
mod prometheus;
mod small;
mod stage;

use std::path::PathBuf;

/// Where they are.
fn folder() -> PathBuf {
    ringlog_kit::binary::top().join("tuning/dashboards")
}

/// The text of one of them.
fn text(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Names of the files of one folder of theirs, without an ending, in order.
fn names(part: &str) -> Vec<String> {
    let path = folder().join(part);
    let entries = std::fs::read_dir(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let paths = entries.map(|entry| entry.expect("the folder can be read").path());
    let mut names: Vec<String> =
        paths.map(|path| path.file_stem().expect("a file has a name").to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A dashboard of Grafana.
fn dashboard(name: &str) -> serde_json::Value {
    serde_json::from_str(&text(&format!("grafana/{name}.json"))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The panels of a dashboard that show something: not its rows.
fn panels(dashboard: &serde_json::Value) -> impl Iterator<Item = &serde_json::Value> {
    dashboard["panels"].as_array().expect("panels").iter().filter(|panel| panel["type"] != "row")
}

/// The alerts of a file of rules, each with its text.
fn alerts(rules: &str) -> Vec<(&str, &str)> {
    let blocks = rules.split("- alert: ").skip(1);
    blocks.map(|block| (block.lines().next().expect("a name"), block)).collect()
}

/// The series that a file of rules records.
fn names_of_records(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.trim().strip_prefix("- record: ")).collect()
}
