//! Settings of groups, and subscriptions to metrics of clients: neither has to be there before it is configured.

use ringlog_net::error::ErrorCode;

use super::*;
use crate::config::ClientSubscription;

fn group(name: &str) -> ConfigResource {
    ConfigResource::Group(name.into())
}

fn subscription(name: &str) -> ConfigResource {
    ConfigResource::ClientMetrics(name.into())
}

#[test]
fn a_group_has_settings_before_there_is_one() {
    let mut cluster = Cluster::started("group.consumer.max.session.timeout.ms=50000");
    let key = "consumer.session.timeout.ms";
    assert_eq!(cluster.alter(&group("shop"), key, Some("46000")), "ok");
    assert_eq!(cluster.image().group_settings(&"shop".into()).get(key).map(String::as_str), Some("46000"));
    let expected = "INVALID_CONFIG: consumer.session.timeout.ms=50001: expected a whole number from 45000 to 50000, the \
                    bounds of the broker";
    assert_eq!(cluster.alter(&group("shop"), key, Some("50001")), expected);
    assert_eq!(
        cluster.alter(&group("shop"), "retention.ms", Some("1")),
        "INVALID_CONFIG: retention.ms is not a known key"
    );
    assert_eq!(cluster.alter(&group("shop"), "share.auto.offset.reset", Some("by_duration:P1DT2H")), "ok");
    let both: Vec<_> = cluster.image().group_settings(&"shop".into()).keys().cloned().collect();
    assert_eq!(both, [key, "share.auto.offset.reset"]);
    assert_eq!(cluster.alter_in(AlterMode::Whole, &group("shop"), Vec::new()), "ok");
    assert_eq!(cluster.image().configured_resources().find(|of| **of == group("shop")), None);
}

#[test]
fn a_subscription_has_an_interval_metrics_and_clients() {
    let mut cluster = Cluster::started("");
    for (key, value) in [("interval.ms", "100"), ("metrics", "a,b"), ("match", "client_id=x")] {
        assert_eq!(cluster.alter(&subscription("slow"), key, Some(value)), "ok");
    }
    let known = ClientSubscription::new(cluster.image().config(&subscription("slow")));
    assert_eq!((known.interval_ms, known.metrics.len(), known.selectors.len()), (100, 2, 1));
    for (key, value, expected) in [
        ("interval.ms", "99", "INVALID_REQUEST: interval.ms=99: expected a whole number from 100 to 3600000"),
        ("metrics", "a,,b", "INVALID_REQUEST: metrics=a,,b: expected a comma-separated list without blank items"),
        (
            "match",
            "id=x",
            "INVALID_CONFIG: match=id=x: expected a comma-separated list of name=expression, of client_id, \
             client_instance_id, client_software_name, client_software_version, client_source_address, client_source_port",
        ),
        ("retention.ms", "1", "INVALID_REQUEST: retention.ms is not a known key"),
    ] {
        assert_eq!(cluster.alter(&subscription("slow"), key, Some(value)), expected);
    }
}

#[test]
fn names_have_a_length_and_resources_a_number() {
    let mut cluster = Cluster::started("");
    let expected = "INVALID_REQUEST: a group without a name cannot be configured; name one";
    assert_eq!(cluster.alter(&group(""), "share.isolation.level", Some("read_committed")), expected);
    let expected = "INVALID_REQUEST: a client metrics subscription without a name cannot be configured; name one";
    assert_eq!(cluster.alter(&subscription(""), "metrics", Some("*")), expected);
    let long = "a".repeat(RESOURCE_NAME_BYTES_MAX + 1);
    let expected = "INVALID_REQUEST: the name of the group has 1025 bytes, and may have 1024 at most";
    assert_eq!(cluster.alter(&group(&long), "share.isolation.level", Some("read_committed")), expected);

    let request = |name: String| AlterConfigs {
        resource: subscription(&name),
        alterations: vec![Alteration {
            key: "metrics".to_owned(),
            operation: AlterOperation::Set,
            value: Some("*".to_owned()),
        }],
    };
    let requests: Vec<_> = (0..=CLIENT_METRICS_MAX).map(|number| request(number.to_string())).collect();
    let alter = |cluster: &mut Cluster, requests: &[AlterConfigs]| {
        cluster.rehearsal.step(|metadata| metadata.alter_configs(requests, AlterMode::Incremental, Intent::Apply))
    };
    let mut reply = alter(&mut cluster, &requests);
    let last = reply.pop().expect("every resource has its answer").expect_err("there is no room for it");
    assert_eq!(reply.iter().find(|result| result.is_err()), None);
    let expected =
        "1000 client metrics subscriptions are configured, which is the most there can be; delete all keys of some";
    assert_eq!((last.code(), last.to_string().as_str()), (ErrorCode::PolicyViolation, expected));
    // Who has a place keeps it, and who goes makes room.
    assert_eq!(cluster.alter(&subscription("0"), "interval.ms", Some("100")), "ok");
    assert_eq!(cluster.alter(&subscription("1"), "metrics", None), "ok");
    assert_eq!(alter(&mut cluster, &requests[CLIENT_METRICS_MAX..]), [Ok(())]);
}
