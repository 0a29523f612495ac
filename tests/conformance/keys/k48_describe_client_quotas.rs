//! `DescribeClientQuotas`: open and strict filters.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse,
};

use crate::k49_alter_client_quotas::alter_one;
use crate::session::{Session, every_version, expect, settled};
use crate::topic::fresh_name;

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// A part of a filter: type, kind of match, name.
type Component<'a> = (&'a str, i8, Option<&'a str>);

fn ask(
    session: &mut Session,
    version: i16,
    components: &[Component<'_>],
    strict: bool,
) -> DescribeClientQuotasResponse {
    let component = |(entity_type, match_type, name): &Component<'_>| ComponentData {
        entity_type: (*entity_type).to_owned(),
        match_type: *match_type,
        match_: name.map(str::to_owned),
    };
    let components = components.iter().map(component).collect();
    session.ask(version, &DescribeClientQuotasRequest { components, strict })
}

/// The entities that the filter finds, each as one line, of those whose line holds `of_test`.
fn found(
    session: &mut Session,
    version: i16,
    components: &[Component<'_>],
    strict: bool,
    of_test: &str,
) -> Vec<String> {
    let response = ask(session, version, components, strict);
    expect(response.error_code, ErrorCode::None);
    let entries = response.entries.expect("a list without an error").into_iter();
    let line = entries.map(|entry| {
        let mut parts: Vec<_> = entry
            .entity
            .iter()
            .map(|part| format!("{}={}", part.entity_type, part.entity_name.as_deref().unwrap_or("<default>")))
            .collect();
        parts.sort();
        let mut values: Vec<_> = entry.values.iter().map(|value| format!("{}={}", value.key, value.value)).collect();
        values.sort();
        format!("{} {}", parts.join(","), values.join(","))
    });
    let mut lines: Vec<_> = line.filter(|line| line.contains(of_test)).collect();
    lines.sort();
    lines
}

/// What is known of one user alone, once it is what is expected.
#[track_caller]
pub(crate) fn expect_of_user(session: &mut Session, user: &str, expected: &[&str]) {
    let filter = [("user", EXACT, Some(user))];
    let values = settled(
        || found(session, 1, &filter, true, ""),
        |lines| lines.iter().map(|line| line.rsplit_once(' ').expect("values").1).eq(expected.iter().copied()),
    );
    let values: Vec<_> = values.iter().map(|line| line.rsplit_once(' ').expect("values").1).collect();
    assert_eq!(values, expected);
}

#[test]
fn every_version_filters() {
    every_version(ApiKey::DescribeClientQuotas, |session, version| {
        let user = fresh_name("reader");
        let rate = [("producer_byte_rate", Some(1000.0))];
        for parts in [
            &[("user", Some(&*user))][..],
            &[("user", Some(&user)), ("client-id", Some("c"))],
            &[("user", Some(&user)), ("client-id", None)],
        ] {
            expect(alter_one(session, 1, parts, &rate, false).0, ErrorCode::None);
        }
        let exact = ("user", EXACT, Some(&*user));
        let alone = format!("user={user} producer_byte_rate=1000");
        let with_client = format!("client-id=c,user={user} producer_byte_rate=1000");
        let with_any_client = format!("client-id=<default>,user={user} producer_byte_rate=1000");
        let all = [&*with_any_client, &with_client, &alone];
        settled(|| found(session, version, &[exact], false, &user), |lines| lines.len() == 3);
        for (filter, strict, expected) in [
            (&[][..], false, &all[..]),
            (&[], true, &[]),
            (&[exact], false, &all),
            (&[exact], true, &all[2..]),
            (&[("user", SPECIFIED, None)], true, &all[2..]),
            (&[("user", DEFAULT, None)], false, &[]),
            (&[("user", EXACT, Some("nobody-has-this-name"))], false, &[]),
            (&[exact, ("client-id", SPECIFIED, None)], false, &all[..2]),
            (&[exact, ("client-id", SPECIFIED, None)], true, &all[..2]),
            (&[("client-id", DEFAULT, None)], false, &all[..1]),
            (&[("client-id", DEFAULT, None)], true, &[]),
            (&[exact, ("client-id", EXACT, Some("c"))], true, &all[1..2]),
            (&[("ip", SPECIFIED, None)], false, &[]),
        ] {
            assert_eq!(found(session, version, filter, strict, &user), expected, "{filter:?} {strict}");
        }
    });
}

#[test]
fn every_version_refuses_filters_without_sense() {
    every_version(ApiKey::DescribeClientQuotas, |session, version| {
        for (filter, code) in [
            (&[("planet", SPECIFIED, None)][..], ErrorCode::UnsupportedVersion),
            (&[("", SPECIFIED, None)], ErrorCode::InvalidRequest),
            (&[("user", EXACT, None)], ErrorCode::InvalidRequest),
            (&[("user", DEFAULT, Some("a"))], ErrorCode::InvalidRequest),
            (&[("user", SPECIFIED, Some("a"))], ErrorCode::InvalidRequest),
            (&[("user", 3, None)], ErrorCode::InvalidRequest),
            (&[("user", -1, None)], ErrorCode::InvalidRequest),
            (&[("user", SPECIFIED, None), ("user", SPECIFIED, None)], ErrorCode::InvalidRequest),
            (&[("user", SPECIFIED, None), ("ip", SPECIFIED, None)], ErrorCode::InvalidRequest),
            (&[("ip", SPECIFIED, None), ("client-id", DEFAULT, None)], ErrorCode::InvalidRequest),
        ] {
            let response = ask(session, version, filter, false);
            expect(response.error_code, code);
            assert!(response.error_message.is_some() && response.entries.is_none(), "{response:?}");
        }
    });
}
