//! What the live tests have in common: a Prometheus that complains within seconds, and stages that end when it has.

use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::prometheus::Prometheus;
use crate::{alerts, text};

/// For each stage, on a machine that is busy with others.
const STAGE_MAX: Duration = Duration::from_mins(3);

/// The rules with the times of seconds, where the files have those of minutes: thresholds are as they are. What looks hours
/// back stays as it is too.
fn hurried(rules: &str) -> String {
    let mut hurried = rules.to_owned();
    for minutes in ["5m", "10m"] {
        hurried = hurried.replace(&format!("[{minutes}]"), "[10s]");
    }
    let lines = hurried.lines().map(|line| match line.split_once("for: ") {
        Some((indent, time)) if indent.trim().is_empty() && time.ends_with('m') => format!("{indent}for: 2s\n"),
        _ => format!("{line}\n"),
    });
    lines.collect()
}

/// One that watches a broker by the rules, hurried.
pub(crate) fn start_prometheus(admin: SocketAddr) -> Option<Prometheus> {
    let rules = ["recording.yml", "alerts.yml"].map(|name| (name, hurried(&text(name))));
    Prometheus::start(admin, &rules.each_ref().map(|(name, text)| (*name, text.as_str())))
}

/// Does something again and again until nothing is left of what is wanted, or it has taken too long.
pub(crate) fn until_nothing_is_left<T: fmt::Debug>(mut act: impl FnMut(), mut left: impl FnMut() -> Vec<T>) {
    let give_up_at = Instant::now() + STAGE_MAX;
    loop {
        act();
        let left = left();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < give_up_at, "after {STAGE_MAX:?} there is still {left:#?}");
    }
}

#[test]
fn hurried_rules_have_the_same_thresholds() {
    let (rules, is_hurried) = (text("alerts.yml"), hurried(&text("alerts.yml")));
    assert_eq!(alerts(&rules).len(), is_hurried.matches("        for: 2s\n").count());
    assert!(!is_hurried.contains("[5m]") && is_hurried.contains("[6h]"));
}
