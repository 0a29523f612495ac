//! A real Prometheus watches a real broker: every panel of every dashboard has something to show, every rule can be
//! evaluated, and what one broker can be made to complain about is complained about, and nothing else.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::process::Command;

use ringlog_kit::broker::{Broker, Options};

use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::stage::{start_prometheus, until_nothing_is_left};
use crate::{alerts, dashboard, foreign, names, names_of_records, panels, text};

/// Alerts that a slow or full machine may cause, whatever the broker does.
const OF_THE_MACHINE: &[&str] = &[
    "RinglogDiskForecast",
    "RinglogDiskSpace",
    "RinglogFetchSlow",
    "RinglogFlushesSlow",
    "RinglogProduceSlow",
    "RinglogShardSaturated",
];

/// Alerts that the load provokes.
const PROVOKED: &[&str] = &[
    "RinglogConnectionSpike",
    "RinglogConnectionsRefused",
    "RinglogConsumerLag",
    "RinglogConsumerStuck",
    "RinglogFetchErrors",
    "RinglogProduceErrors",
    "RinglogRebalanceLong",
    "RinglogRebalances",
    "RinglogRequestErrors",
];

const FENCED: &str = "RinglogPartitionsFenced";

/// What is recorded of errors, of which there are none while all is well.
const OF_ERRORS: &str = "ringlog:request_errors:ratio5m";

/// Panels for which it is well to show nothing, each with the reason: dashboard, title.
const MAY_BE_EMPTY: &[(&str, &str, &str)] = &[];

/// An expression of a dashboard, with everything chosen.
fn chosen(expr: &str) -> String {
    let expr = expr.replace("$__rate_interval", "10s");
    ["job", "instance", "topic", "group", "api", "shard"]
        .iter()
        .fold(expr, |expr, name| expr.replace(&format!("\"${name}\""), "\".+\""))
}

/// Every expression of every panel, with where it stands.
fn expressions() -> Vec<(String, String)> {
    let mut expressions = Vec::new();
    for name in names("grafana") {
        let dashboard = dashboard(&name);
        for panel in panels(&dashboard) {
            let title = panel["title"].as_str().expect("a title");
            if MAY_BE_EMPTY.iter().any(|(of, panel, _)| (*of, *panel) == (name.as_str(), title)) {
                continue;
            }
            for target in panel["targets"].as_array().expect("queries") {
                let expr = chosen(target["expr"].as_str().expect("an expression"));
                expressions.push((format!("{name}, {title}"), expr));
            }
        }
    }
    assert!(expressions.len() > 100, "{} expressions", expressions.len());
    expressions
}

/// Lets a process have so many descriptors from now on: more or fewer than before.
fn limit_descriptors(process: u32, count: f64) {
    let mut command = Command::new("prlimit");
    command.arg(format!("--pid={process}")).arg(format!("--nofile={count:.0}:"));
    let status = command.status().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(status.success(), "{command:?}");
}

/// Fails where an alert fires that is not expected.
fn check_firing(prometheus: &Prometheus, expected: &[&str], stage: &str) {
    let is_expected = |alert: &String| expected.iter().chain(OF_THE_MACHINE).any(|known| known == alert);
    let unexpected: Vec<String> = prometheus.firing().into_iter().filter(|alert| !is_expected(alert)).collect();
    assert!(unexpected.is_empty(), "{stage}: {unexpected:?} fire");
}

#[test]
fn prometheus_finds_what_it_looks_for_and_complains_about_what_is_wrong() {
    let options = Options::default().set("ringlog.admin.listener", "127.0.0.1:0").set("num.partitions", "1");
    let mut broker = Broker::start(options);
    let admin = broker.admin().expect("the start line tells it");
    let Some(prometheus) = start_prometheus(admin) else { return };
    let mut load = Load::start(broker.address());

    all_is_well(&prometheus, &mut load);

    descriptors_are_few(&broker, &prometheus, &mut load);
    clients_behave_badly(&prometheus, &mut load);
    files_cannot_be_opened(&broker, &prometheus, &mut load);
    folders_cannot_be_made(&broker, &prometheus, &mut load);

    broker.kill();
    // Whoever scrapes it finds somebody who hangs up, and that paces this, once the kernel has let go of the port.
    let mut listener = None;
    let hang_up = || match &listener {
        None => listener = TcpListener::bind(admin).ok(),
        Some(listener) => drop(listener.accept().expect("Prometheus goes on")),
    };
    until_nothing_is_left(hang_up, || prometheus.not_firing("RinglogBrokerDown"));
}

/// Clients hold most of the descriptors that the broker may have.
fn descriptors_are_few(broker: &Broker, prometheus: &Prometheus, load: &mut Load) {
    const CONNECTIONS: u32 = 350;
    const SPARE: f64 = 50.0;
    let (open, usual) = (prometheus.query("process_open_fds")[0], prometheus.query("process_max_fds")[0]);
    limit_descriptors(broker.id(), open + f64::from(CONNECTIONS) + SPARE);
    let held = load.hold(CONNECTIONS);
    until_nothing_is_left(|| load.round(), || prometheus.not_firing("RinglogFileDescriptors"));
    drop(held);
    limit_descriptors(broker.id(), usual);
}

fn clients_behave_badly(prometheus: &Prometheus, load: &mut Load) {
    load.leave_a_group_behind();
    load.limit_connections();
    // Members that say nothing are not members for ever: what has fired counts.
    let mut seen = BTreeSet::new();
    let act = || {
        load.round();
        load.bad_round();
        load.ask_for_too_many_connections();
    };
    let missing = || {
        // The one before may go on for a moment.
        let expected = [PROVOKED, &["RinglogFileDescriptors"]].concat();
        check_firing(prometheus, &expected, "under a load that goes wrong");
        seen.extend(prometheus.firing());
        PROVOKED.iter().filter(|alert| !seen.contains(**alert)).collect()
    };
    until_nothing_is_left(act, missing);
    assert!(!prometheus.query(OF_ERRORS).is_empty());
}

/// Without a descriptor what the journal holds cannot go to its segment: it waits, and nothing is fenced.
fn files_cannot_be_opened(broker: &Broker, prometheus: &Prometheus, load: &mut Load) {
    const TOPIC: &str = "late";
    let (open, usual) = (prometheus.query("process_open_fds")[0], prometheus.query("process_max_fds")[0]);
    load.create_late(TOPIC);
    limit_descriptors(broker.id(), open);
    let waits = || broker.log().iter().any(|line| line.contains("a write waits for a file to be opened"));
    let left = || if waits() { Vec::new() } else { vec!["the line that tells it"] };
    until_nothing_is_left(|| load.late_round(TOPIC), left);
    limit_descriptors(broker.id(), usual);
    assert!(!prometheus.firing().contains(FENCED), "a write that waits fences nothing");
}

/// Somebody has put files where the folders of partitions belong.
fn folders_cannot_be_made(broker: &Broker, prometheus: &Prometheus, load: &mut Load) {
    const TOPIC: &str = "in-the-way";
    for partition in load.create_late(TOPIC) {
        File::create_new(broker.data().join(format!("{TOPIC}-{partition}")))
            .expect("a folder comes with the first segment");
    }
    until_nothing_is_left(|| load.late_round(TOPIC), || prometheus.not_firing(FENCED));
    assert!(!prometheus.firing().contains("RinglogWriteFailed"), "the shards take what others get");
}

fn all_is_well(prometheus: &Prometheus, load: &mut Load) {
    let mut wanted = expressions();
    wanted.extend(foreign::expressions());
    let (recording, alerting) = (text("recording.yml"), text("alerts.yml"));
    let records = names_of_records(&recording);
    let there_now = records.iter().filter(|name| **name != OF_ERRORS);
    wanted.extend(there_now.map(|name| ("recording.yml".to_owned(), (*name).to_owned())));
    let mut left = wanted.clone();
    until_nothing_is_left(
        || load.round(),
        || {
            left.retain(|(_, expr)| prometheus.query(expr).is_empty());
            left.clone()
        },
    );
    let (known, faults) = prometheus.rules();
    assert!(faults.is_empty(), "{faults:#?}");
    let named = records.into_iter().chain(alerts(&alerting).into_iter().map(|(alert, _)| alert));
    assert_eq!(known, named.map(str::to_owned).collect::<BTreeSet<_>>());
    check_firing(prometheus, &[], "under a load that goes well");
    for (name, reason) in foreign::ABSENT {
        assert!(prometheus.query(name).is_empty(), "{name} is there: it is no exception any more ({reason})");
    }
}

#[test]
fn an_expression_is_asked_for_with_everything_chosen() {
    assert_eq!(chosen(r#"rate(a{topic=~"$topic"}[$__rate_interval])"#), r#"rate(a{topic=~".+"}[10s])"#);
}
