//! Quotas of clients.

use super::*;
use crate::image::{QuotaEntity, QuotaName};

type Part<'a> = (&'a str, Option<&'a str>);

fn request(parts: &[Part<'_>], changes: &[(&str, Option<f64>)]) -> AlterQuotas {
    AlterQuotas {
        parts: parts.iter().map(|(kind, name)| ((*kind).to_owned(), name.map(str::to_owned))).collect(),
        changes: changes.iter().map(|(key, value)| ((*key).to_owned(), *value)).collect(),
    }
}

fn alter(cluster: &mut Cluster, requests: &[AlterQuotas], intent: Intent) -> Vec<String> {
    let told = |reply: Result<(), QuotaError>| match reply {
        Ok(()) => "ok".to_owned(),
        Err(error) => format!("{}: {error}", error.code().name()),
    };
    cluster.rehearsal.step(|metadata| metadata.alter_quotas(requests, intent)).into_iter().map(told).collect()
}

fn all(cluster: &Cluster) -> Vec<String> {
    let told = |(entity, values): (&QuotaEntity, &crate::image::QuotaValues)| {
        let parts: Vec<_> =
            entity.parts().map(|(kind, name)| format!("{}={:?}", kind.name(), name.to_wire())).collect();
        format!("{} {values:?}", parts.join(","))
    };
    cluster.image().quotas().map(told).collect()
}

#[test]
fn quotas_are_set_and_taken_away() {
    let mut cluster = Cluster::started("");
    let user = [("user", Some("alice"))];
    let both = [("client-id", None), ("user", None)];
    let requests = [
        request(&user, &[("producer_byte_rate", Some(1000.0)), ("request_percentage", Some(0.5))]),
        request(&both, &[("consumer_byte_rate", Some(1.000_000_1))]),
        request(&[("ip", Some("::1"))], &[("connection_creation_rate", Some(7.0))]),
    ];
    assert_eq!(alter(&mut cluster, &requests, Intent::ValidateOnly), ["ok", "ok", "ok"]);
    assert!(all(&cluster).is_empty());
    assert_eq!(alter(&mut cluster, &requests, Intent::Apply), ["ok", "ok", "ok"]);
    assert_eq!(
        all(&cluster),
        [
            "ip=Some(\"::1\") {\"connection_creation_rate\": 7.0}",
            "user=None,client-id=None {\"consumer_byte_rate\": 1.0000001}",
            "user=Some(\"alice\") {\"producer_byte_rate\": 1000.0, \"request_percentage\": 0.5}",
        ]
    );
    let before = cluster.rehearsal.log.len();
    let removal = [("producer_byte_rate", None), ("request_percentage", None), ("planet", None)];
    assert_eq!(alter(&mut cluster, &[request(&user, &removal)], Intent::Apply), ["ok"]);
    assert_eq!(cluster.rehearsal.log.len(), before + 2, "what is not there is not taken away");
    let alice = QuotaEntity { user: Some(QuotaName::Named("alice".into())), ..QuotaEntity::default() };
    assert!(cluster.image().quotas_of(&alice).is_empty());
    assert_eq!(cluster.image().quota_entity_count(), 2);
}

#[test]
fn an_entity_that_is_refused_keeps_what_it_has() {
    let mut cluster = Cluster::started("");
    let user: &[Part<'_>] = &[("user", Some("alice"))];
    let address: &[Part<'_>] = &[("ip", Some("127.0.0.1"))];
    let good = ("producer_byte_rate", Some(1.0));
    let long = "u".repeat(1025);
    for (parts, change, expected) in [
        (&[] as &[Part<'_>], good, "a quota wants a user, a client id or an address"),
        (&[("planet", None)], good, "there are no quotas of \"planet\": a user, a client-id or an ip can have some"),
        (&[("user", Some(""))], good, "the name of the user is empty; the default has no name at all"),
        (&[("user", Some(&*long))], good, "the name of the user is longer than 1024 bytes"),
        (
            &[("ip", None), ("user", None)],
            good,
            "quotas of an ip are its own, and not of a user or a client-id as well",
        ),
        (&[("ip", Some("nowhere"))], ("connection_creation_rate", None), "\"nowhere\" is not an IP address"),
        (user, ("connection_creation_rate", Some(1.0)), "the entity has no quota \"connection_creation_rate\""),
        (address, good, "the entity has no quota \"producer_byte_rate\""),
        (user, ("producer_byte_rate", Some(f64::NAN)), "the value of producer_byte_rate is not a finite number"),
        (user, ("request_percentage", Some(f64::INFINITY)), "the value of request_percentage is not a finite number"),
        (user, ("producer_byte_rate", Some(0.0)), "the value of producer_byte_rate is not above 0"),
        (user, ("producer_byte_rate", Some(1.5)), "the value of producer_byte_rate is not a whole number"),
        (user, ("producer_byte_rate", Some(0.999_999_9)), "the value of producer_byte_rate is not a whole number"),
        (user, ("producer_byte_rate", Some(9.3e18)), "the value of producer_byte_rate is too large"),
        (address, ("connection_creation_rate", Some(3e9)), "the value of connection_creation_rate is too large"),
    ] {
        let reply = alter(&mut cluster, &[request(parts, &[change])], Intent::Apply);
        assert_eq!(reply, [format!("INVALID_REQUEST: {expected}")]);
    }
    let twice = "INVALID_REQUEST: the request names the entity or one of its keys twice";
    assert_eq!(alter(&mut cluster, &[request(user, &[good]), request(user, &[])], Intent::Apply), [twice, twice]);
    assert_eq!(alter(&mut cluster, &[request(user, &[good, good])], Intent::Apply), [twice]);
    assert!(all(&cluster).is_empty());
}
