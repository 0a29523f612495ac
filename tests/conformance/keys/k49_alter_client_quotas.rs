//! `AlterClientQuotas`: quotas set, taken away, tried and refused.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, OpData, RequestEntryData};

use crate::k48_describe_client_quotas::expect_of_user;
use crate::session::{Session, every_version};
use crate::topic::fresh_name;

/// A part of an entity: type and name, where the default has no name.
type Part<'a> = (&'a str, Option<&'a str>);

fn entry(parts: &[Part<'_>], changes: &[(&str, Option<f64>)]) -> RequestEntryData {
    let part = |(entity_type, name): &Part<'_>| EntityData {
        entity_type: (*entity_type).to_owned(),
        entity_name: name.map(str::to_owned),
    };
    let op = |(key, value): &(&str, Option<f64>)| OpData {
        key: (*key).to_owned(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    };
    RequestEntryData { entity: parts.iter().map(part).collect(), ops: changes.iter().map(op).collect() }
}

/// Changes the quotas of one entity. Answers the code, and what is said about it.
pub(crate) fn alter_one(
    session: &mut Session,
    version: i16,
    parts: &[Part<'_>],
    changes: &[(&str, Option<f64>)],
    validate_only: bool,
) -> (i16, Option<String>) {
    let request = AlterClientQuotasRequest { entries: vec![entry(parts, changes)], validate_only };
    let mut response = session.ask(version, &request);
    assert_eq!(response.entries.len(), 1, "{response:?}");
    let told = response.entries.remove(0);
    (told.error_code, told.error_message)
}

#[test]
fn every_version_sets_and_takes_away() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        for name in ["writer", "a name/that=wants, escaping & %20 \u{fc} <default>"] {
            let user = fresh_name(name);
            let parts = [("user", Some(&*user))];
            let mut change = |changes: &[(&str, Option<f64>)], validate_only, expected: &[&str]| {
                let (code, message) = alter_one(session, version, &parts, changes, validate_only);
                assert_eq!((ErrorCode::from_wire(code), message), (ErrorCode::None, None));
                expect_of_user(session, &user, expected);
            };
            change(&[("producer_byte_rate", Some(10.0))], true, &[]);
            change(&[("producer_byte_rate", Some(10.0))], false, &["producer_byte_rate=10"]);
            change(&[("producer_byte_rate", Some(11.0))], true, &["producer_byte_rate=10"]);
            let both = [("producer_byte_rate", Some(11.0)), ("request_percentage", Some(0.5))];
            change(&both, false, &["producer_byte_rate=11,request_percentage=0.5"]);
            change(&[("producer_byte_rate", None)], false, &["request_percentage=0.5"]);
            change(&[("controller_mutation_rate", None), ("no_such_key", None)], false, &["request_percentage=0.5"]);
            change(&[("request_percentage", None)], false, &[]);
        }
    });
}

#[test]
fn every_version_refuses_what_makes_no_sense() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        let user = fresh_name("refused");
        let alone: &[Part<'_>] = &[("user", Some(&user))];
        let address: &[Part<'_>] = &[("ip", Some("127.0.0.9"))];
        let good = ("producer_byte_rate", Some(1.0));
        for (parts, change) in [
            (&[][..], good),
            (&[("planet", Some("mars"))], good),
            (&[("user", Some(""))], good),
            (&[("client-id", Some(""))], good),
            (&[("user", Some(&*user)), ("ip", Some("127.0.0.9"))], good),
            (&[("ip", None), ("client-id", None)], good),
            (&[("ip", Some("this is no address"))], ("connection_creation_rate", Some(1.0))),
            (alone, ("no_such_key", Some(1.0))),
            (alone, ("connection_creation_rate", Some(1.0))),
            (address, good),
            (address, ("connection_creation_rate", Some(1.5))),
            (alone, ("producer_byte_rate", Some(1.5))),
            (alone, ("producer_byte_rate", Some(0.0))),
            (alone, ("producer_byte_rate", Some(-1.0))),
            (alone, ("consumer_byte_rate", Some(1e19))),
            (alone, ("consumer_byte_rate", Some(f64::NAN))),
            (alone, ("request_percentage", Some(f64::INFINITY))),
            (alone, ("request_percentage", Some(0.0))),
            (alone, ("controller_mutation_rate", Some(-0.5))),
        ] {
            for validate_only in [true, false] {
                let (code, message) = alter_one(session, version, parts, &[change], validate_only);
                assert_eq!(ErrorCode::from_wire(code), ErrorCode::InvalidRequest, "{parts:?} {change:?}");
                assert!(message.is_some());
            }
        }
        expect_of_user(session, &user, &[]);
    });
}

#[test]
fn entities_are_changed_each_on_its_own() {
    every_version(ApiKey::AlterClientQuotas, |session, version| {
        let (good, bad) = (fresh_name("good"), fresh_name("bad"));
        let rate = ("producer_byte_rate", Some(3.0));
        let entries = vec![
            entry(&[("user", Some(&bad))], &[rate, ("no_such_key", Some(1.0))]),
            entry(&[("user", Some(&good))], &[rate]),
        ];
        let response = session.ask(version, &AlterClientQuotasRequest { entries, validate_only: false });
        let code = |user: &str| {
            let of_user = response.entries.iter().find(|it| it.entity[0].entity_name.as_deref() == Some(user));
            ErrorCode::from_wire(of_user.expect("every entity has its answer").error_code)
        };
        assert_eq!((code(&good), code(&bad)), (ErrorCode::None, ErrorCode::InvalidRequest));
        expect_of_user(session, &good, &["producer_byte_rate=3"]);
        expect_of_user(session, &bad, &[]);
        let twice = vec![entry(&[("user", Some(&bad))], &[rate]), entry(&[("user", Some(&bad))], &[rate])];
        let response = session.ask(version, &AlterClientQuotasRequest { entries: twice, validate_only: true });
        assert_eq!(ErrorCode::from_wire(response.entries[0].error_code), ErrorCode::InvalidRequest);
    });
}
