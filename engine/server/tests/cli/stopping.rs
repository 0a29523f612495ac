//! SIGTERM: a clean end, and nothing to recover at the next start.

use ringlog_kit::broker::{Broker, Options};

use crate::{printed, ringlog, ringlog_reading};

#[test]
fn a_terminated_broker_ends_well_and_starts_again() {
    let mut broker = Broker::start(Options::default());
    let bootstrap = broker.bootstrap();
    let cluster = ["-b", bootstrap.as_str()];
    printed(&ringlog_reading(&[&["produce", "kept"][..], &cluster].concat(), b"one\ntwo\n"));
    let status = broker.terminate();
    assert_eq!(status.code(), Some(0), "{:?}", broker.log());
    broker.restart();
    let output = ringlog(&[&["consume", "kept", "-o", ":end"][..], &cluster].concat());
    assert_eq!(printed(&output), "one\ntwo\n");
    assert_eq!(broker.terminate().code(), Some(0));
}

#[test]
fn a_killed_broker_has_what_it_acknowledged() {
    let mut broker = Broker::start(Options::default());
    let bootstrap = broker.bootstrap();
    let cluster = ["-b", bootstrap.as_str()];
    printed(&ringlog_reading(&[&["produce", "kept"][..], &cluster].concat(), b"one\ntwo\n"));
    broker.kill();
    broker.restart_with(Options::default().set("ringlog.backend", "posix").set("ringlog.cores", "1"));
    let output = ringlog(&[&["consume", "kept", "-o", ":end"][..], &cluster].concat());
    assert_eq!(printed(&output), "one\ntwo\n");
}

#[test]
fn the_start_line_tells_where_and_how() {
    let options = Options::default().set("ringlog.backend", "posix").set("ringlog.cores", "1");
    let options = options.set("listeners", "A://127.0.0.1:0,B://127.0.0.1:0");
    let options = options.set("listener.security.protocol.map", "A:PLAINTEXT,B:PLAINTEXT");
    let broker = Broker::start(options);
    let log = broker.log();
    let line = log.iter().find(|line| line.starts_with("ringlog: listening on ")).expect("it says so");
    let expected = format!(" (posix, 1 shard, data in {})", broker.data().display());
    assert!(line.ends_with(&expected), "{line}");
    assert_eq!(line.matches("127.0.0.1:").count(), 2, "{line}");
    // Each of the two is served.
    let addresses = line.trim_start_matches("ringlog: listening on ").split(" (").next().expect("the line has a brace");
    for address in addresses.split(", ") {
        assert_eq!(printed(&ringlog(&["topic", "list", "-b", address])), "NAME  PARTITIONS  REPLICAS\n");
    }
}

#[test]
fn a_setting_without_effect_is_told_once() {
    let broker = Broker::start(Options::default().set("num.io.threads", "8").set("num.partitons", "8"));
    let log = broker.log();
    let warnings: Vec<_> = log.iter().filter(|line| line.contains(" WARN ")).collect();
    assert_eq!(warnings.iter().filter(|line| line.contains("num.io.threads has no effect")).count(), 1, "{log:?}");
    assert_eq!(warnings.iter().filter(|line| line.contains("did you mean num.partitions?")).count(), 1, "{log:?}");
}
