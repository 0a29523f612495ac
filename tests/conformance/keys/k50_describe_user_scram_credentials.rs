//! `DescribeUserScramCredentials`: mechanisms and iterations.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_user_scram_credentials::{
    DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResult, UserName,
};

use crate::k51_alter_user_scram_credentials::{SHA_256, SHA_512, alter, upsert};
use crate::session::{Session, every_version, expect, settled};
use crate::topic::fresh_name;

fn describe(session: &mut Session, version: i16, users: Option<&[&str]>) -> Vec<DescribeUserScramCredentialsResult> {
    let name = |name: &&str| UserName { name: (*name).to_owned() };
    let users = users.map(|users| users.iter().map(name).collect());
    let response = session.ask(version, &DescribeUserScramCredentialsRequest { users });
    expect(response.error_code, ErrorCode::None);
    response.results
}

/// The code of a user, and mechanisms with iterations in ascending order.
pub(crate) fn of_user(session: &mut Session, version: i16, user: &str) -> (ErrorCode, Vec<(i8, i32)>) {
    let mut results = describe(session, version, Some(&[user]));
    assert_eq!(results.len(), 1, "{results:?}");
    told(&results.remove(0))
}

fn told(result: &DescribeUserScramCredentialsResult) -> (ErrorCode, Vec<(i8, i32)>) {
    let mut infos: Vec<_> = result.credential_infos.iter().map(|info| (info.mechanism, info.iterations)).collect();
    infos.sort_unstable();
    (ErrorCode::from_wire(result.error_code), infos)
}

#[test]
fn every_version_tells_of_users() {
    every_version(ApiKey::DescribeUserScramCredentials, |session, version| {
        let (one, other) = (fresh_name("one"), fresh_name("other"));
        let upsertions = [upsert(&one, SHA_256, 4096), upsert(&other, SHA_512, 8192)];
        for (_, code) in alter(session, 0, &[], &upsertions) {
            assert_eq!(code, ErrorCode::None);
        }
        alter(session, 0, &[], &[upsert(&one, SHA_512, 5000)]);
        let both = (ErrorCode::None, vec![(SHA_256, 4096), (SHA_512, 5000)]);
        assert_eq!(settled(|| of_user(session, version, &one), |told| *told == both), both);
        for all in [None, Some(&[][..])] {
            let results = describe(session, version, all);
            let of = |user: &str| results.iter().filter(|it| it.user == user).map(told).collect::<Vec<_>>();
            assert_eq!(of(&one), std::slice::from_ref(&both));
            assert_eq!(of(&other), [(ErrorCode::None, vec![(SHA_512, 8192)])]);
        }
        assert_eq!(of_user(session, version, "nobody-has-this-name"), (ErrorCode::ResourceNotFound, Vec::new()));
        let results = describe(session, version, Some(&[&one, &one]));
        assert_eq!(results.iter().map(told).collect::<Vec<_>>(), [(ErrorCode::DuplicateResource, Vec::new())]);
        assert!(results[0].error_message.is_some());
    });
}
