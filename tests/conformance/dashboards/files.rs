//! What can be said of the files without a broker.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use ringlog_conformance::dashboards;
use ringlog_kit::external::in_ci;
use serde_json::Value;

use crate::{alerts, dashboard, folder, names, panels, text};

const COLUMNS: u64 = 24;

#[test]
fn dashboards_are_those_that_their_definitions_make() {
    let made: Vec<String> = names("definitions").iter().map(|name| format!("ringlog-{name}")).collect();
    assert_eq!(names("grafana"), made);
    for name in names("definitions") {
        let made = dashboards::dashboard(&text(&format!("definitions/{name}.toml")))
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let file = text(&format!("grafana/ringlog-{name}.json"));
        let differs = made.lines().zip(file.lines()).find(|(made, line)| made != line);
        let how = "make it anew with cargo run -p ringlog-conformance --bin dashboards";
        assert_eq!(differs, None, "{name}: {how}");
        assert_eq!(made.lines().count(), file.lines().count(), "{name}: {how}");
    }
}

/// Cells of the grid that a panel takes.
fn cells(panel: &Value) -> impl Iterator<Item = (u64, u64)> {
    let of = |name: &str| panel["gridPos"][name].as_u64().unwrap_or_else(|| panic!("{}: no {name}", panel["title"]));
    let (left, top, width, height) = (of("x"), of("y"), of("w"), of("h"));
    assert!(width > 0 && height > 0 && left + width <= COLUMNS, "{}: {}", panel["title"], panel["gridPos"]);
    (left..left + width).flat_map(move |x| (top..top + height).map(move |y| (x, y)))
}

#[test]
fn grafana_finds_in_them_what_it_needs() {
    let mut uids = BTreeSet::new();
    for name in names("grafana") {
        let dashboard = dashboard(&name);
        assert_eq!(dashboard["uid"], name.as_str());
        assert!(uids.insert(dashboard["uid"].to_string()) && dashboard["schemaVersion"].as_u64() >= Some(36), "{name}");
        assert_eq!(dashboard["tags"], serde_json::json!(["ringlog"]));
        assert_eq!(dashboard["links"][0]["tags"], dashboard["tags"], "{name} leads to the others");
        let variables = dashboard["templating"]["list"].as_array().expect("variables");
        assert!(variables.iter().any(|one| one["type"] == "datasource" && one["name"] == "datasource"), "{name}");
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in dashboard["panels"].as_array().expect("panels") {
            let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a title");
            assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{name}, {title}: its id is another's");
            assert!(cells(panel).all(|cell| taken.insert(cell)), "{name}, {title}: lies over another one");
        }
        for panel in panels(&dashboard) {
            let title = &panel["title"];
            assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{name}, {title}");
            assert_eq!(panel["datasource"]["uid"], "${datasource}", "{name}, {title}");
            let targets = panel["targets"].as_array().expect("queries");
            let refs: BTreeSet<_> = targets.iter().map(|target| target["refId"].to_string()).collect();
            assert!(!targets.is_empty() && refs.len() == targets.len(), "{name}, {title}");
            for target in targets {
                let expr = target["expr"].as_str().expect("an expression");
                assert!(!expr.is_empty() && !expr.contains('@'), "{name}, {title}: {expr}");
                for variable in expr.split('$').skip(1).filter_map(|rest| rest.split(['"', ']']).next()) {
                    let is_known = variable == "__rate_interval" || variables.iter().any(|one| one["name"] == variable);
                    assert!(is_known, "{name}, {title}: there is no ${variable}");
                }
                let legend = target["legendFormat"].as_str().unwrap_or_default();
                assert!(targets.len() == 1 || !legend.is_empty(), "{name}, {title}: which query is which");
            }
        }
    }
    assert_eq!(uids.len(), 5);
}

/// What Kafka's operators watch first: each is on some dashboard.
const WATCHED_FIRST: &[&str] = &[
    "kafka_server_brokertopicmetrics_messagesin_total",
    "kafka_server_brokertopicmetrics_bytesin_total",
    "kafka_server_brokertopicmetrics_bytesout_total",
    "kafka_network_requestmetrics_requests_total",
    "ringlog_request_duration_seconds_bucket",
    "ringlog_request_phase_seconds_total",
    "kafka_server_replicamanager_underreplicatedpartitions",
    "kafka_server_replicamanager_isrshrinks_total",
    "kafka_server_replicamanager_isrexpands_total",
    "kafka_controller_kafkacontroller_activecontrollercount",
    "kafka_controller_kafkacontroller_offlinepartitionscount",
    "ringlog_commit_duration_seconds_count",
    "kafka_log_log_numlogsegments",
    "kafka_server_replicamanager_underminisrpartitioncount",
    "kafka_server_replicamanager_leadercount",
    "kafka_server_replicamanager_offlinereplicacount",
    "kafka_server_replicamanager_reassigningpartitions",
    "ringlog_requests_queued",
    "ringlog_connections",
    "ringlog_shard_wait_seconds_total",
    "ringlog_throttled_requests_total",
    "kafka_log_log_size",
    "kafka_consumergroup_lag",
];

#[test]
fn what_is_watched_first_is_on_a_dashboard() {
    let all: String = names("grafana").iter().map(|name| text(&format!("grafana/{name}.json"))).collect();
    for name in WATCHED_FIRST {
        assert!(all.contains(&format!("{name}{{")), "{name} is on no dashboard");
    }
}

/// Runs a program on some of the files. Where it is missing the test says so, and fails in CI.
fn check_with(program: &str, arguments: &[&str]) {
    match Command::new(program).args(arguments).current_dir(folder()).output() {
        Ok(output) => {
            let said = [output.stdout, output.stderr].concat();
            assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&said));
        }
        Err(error) => {
            println!("skipped: {program}: {error}");
            assert!(!in_ci(), "skipped in CI: {program}: {error}");
        }
    }
}

#[test]
fn rules_are_ones_that_prometheus_takes_and_fire_when_they_should() {
    check_with("promtool", &["check", "rules", "recording.yml", "alerts.yml"]);
    check_with("promtool", &["test", "rules", "alerts.test.yml", "baselines.test.yml"]);
}

#[test]
fn the_example_is_one_that_alertmanager_takes() {
    check_with("amtool", &["check-config", "alertmanager.yml"]);
}

/// The scenarios that ask for one alert: what stands between it and the series before.
fn scenarios<'a>(tests: &'a str, alert: &str) -> Vec<&'a str> {
    let asked = format!("alertname: {alert}\n");
    tests.split("  - interval: ").skip(1).filter(|scenario| scenario.contains(&asked)).collect()
}

/// The broker of a scenario on which an alert fires, and the one on which it stays silent. `promtool` holds that those that
/// fire are just those that are expected.
const FIRES: &str = "bad:9644";
const IS_SILENT: &str = "good:9644";

#[test]
fn every_alert_has_a_section_of_the_runbook_and_both_scenarios() {
    let (rules, runbook) = (text("alerts.yml"), text("runbook.md"));
    let tests = [text("alerts.test.yml"), text("baselines.test.yml")].concat();
    let alerts = alerts(&rules);
    assert!(alerts.len() > 30, "{} alerts", alerts.len());
    let mut known = BTreeSet::new();
    for (alert, rule) in alerts {
        assert!(known.insert(alert), "{alert} is there twice");
        for part in ["\n        for: ", "labels: {severity: ", "summary: \"", "description: \""] {
            assert!(rule.contains(part), "{alert} has no {}", part.trim());
        }
        let severity = rule.split("severity: ").nth(1).and_then(|rest| rest.split('}').next());
        assert!(matches!(severity, Some("critical" | "warning")), "{alert}: {severity:?}");
        assert!(rule.contains(&format!("runbook: runbook.md#{}\n", alert.to_lowercase())), "{alert}");
        let section = runbook.split("\n## ").find(|section| section.lines().next() == Some(alert));
        let section = section.unwrap_or_else(|| panic!("runbook.md has no section {alert}"));
        for part in ["**Means** ", "**Look at** ", "**Do** "] {
            assert!(section.contains(part), "runbook.md, {alert}: no {part}");
        }
        let scenarios = scenarios(&tests, alert);
        let [scenario] = scenarios.as_slice() else { panic!("{alert} has {} scenarios", scenarios.len()) };
        let (series, expected) = scenario.split_once("alert_rule_test:").expect("what is expected");
        assert!(series.contains(FIRES) && series.contains(IS_SILENT), "{alert}: a broker of each kind");
        let fires = expected.lines().filter(|line| line.trim_start().starts_with("- exp_labels: ")).count();
        assert!(fires == 1 && expected.contains("summary: "), "{alert} fires on one of them, with its text");
        let is_at_once = rule.contains("        for: 0m\n");
        assert!(is_at_once || expected.contains("exp_alerts: []"), "{alert}: it does not fire before its time");
    }
    let sections = runbook.lines().filter_map(|line| line.strip_prefix("## "));
    assert!(sections.collect::<BTreeSet<_>>() == known, "runbook.md has sections of alerts that are not there");
}

/// What the pages of the folder lead to is there.
#[test]
fn links_lead_somewhere() {
    for page in ["README.md", "runbook.md"] {
        let text = text(page);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let (file, section) = target.split_once('#').unwrap_or((target, ""));
            assert!(file.is_empty() || folder().join(Path::new(file)).exists(), "{page}: {target}");
            let mut sections = text.lines().filter_map(|line| line.strip_prefix("## "));
            let is_there = section.is_empty() || sections.any(|name| name.to_lowercase() == section);
            assert!(is_there, "{page}: {target}");
        }
    }
}
