//! Every real client against a Ringlog process of its own.
#![forbid(unsafe_code)]

use std::time::Duration;

use ringlog_kit::broker::Options;
use ringlog_kit::external::check_client;
use ringlog_kit::target::Target;

/// For all cases of one client, its build included, on a machine that is busy with others.
const DEADLINE: Duration = Duration::from_mins(15);

fn check(client: &str, options: Options) {
    let target = Target::new(options.set("num.partitions", "12"));
    check_client(client, &target.bootstrap(), DEADLINE);
}

#[test]
fn kcat() {
    check("kcat", Options::default());
}

#[test]
fn kcat_on_the_posix_backend() {
    check("kcat", Options::default().set("ringlog.backend", "posix"));
}

#[test]
fn librdkafka() {
    check("librdkafka", Options::default());
}

#[test]
fn java() {
    // Groups of one case each need not wait for more members.
    check("java", Options::default().set("group.initial.rebalance.delay.ms", "100"));
}

#[test]
fn kafkajs() {
    check("kafkajs", Options::default());
}

#[test]
fn python() {
    // The clients wait for more members, and for their next heartbeat, as often as they are told to.
    let quick = Options::default().set("group.initial.rebalance.delay.ms", "100");
    let quick = quick.set("group.consumer.min.heartbeat.interval.ms", "300");
    check("python", quick.set("group.consumer.heartbeat.interval.ms", "300"));
}

#[test]
fn franz_go() {
    check("franz-go", Options::default());
}
