//! `AlterUserScramCredentials`: users of SCRAM, whether or not a listener asks for them.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, ScramCredentialDeletion, ScramCredentialUpsertion,
};

use crate::k50_describe_user_scram_credentials::of_user;
use crate::session::{Session, every_version, settled};
use crate::topic::fresh_name;

pub(crate) const SHA_256: i8 = 1;
pub(crate) const SHA_512: i8 = 2;

pub(crate) fn upsert(user: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion {
        name: user.to_owned(),
        mechanism,
        iterations,
        salt: b"sixteen bytes of".to_vec(),
        salted_password: vec![7; if mechanism == SHA_512 { 64 } else { 32 }],
    }
}

fn delete(user: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion { name: user.to_owned(), mechanism }
}

/// Users with their codes, in ascending order.
pub(crate) fn alter(
    session: &mut Session,
    version: i16,
    deletions: &[ScramCredentialDeletion],
    upsertions: &[ScramCredentialUpsertion],
) -> Vec<(String, ErrorCode)> {
    let request = AlterUserScramCredentialsRequest { deletions: deletions.to_vec(), upsertions: upsertions.to_vec() };
    let results = session.ask(version, &request).results.into_iter();
    let mut told: Vec<_> = results
        .map(|result| {
            let code = ErrorCode::from_wire(result.error_code);
            assert_eq!(result.error_message.is_none(), code == ErrorCode::None, "{result:?}");
            (result.user, code)
        })
        .collect();
    told.sort();
    told
}

#[test]
fn every_version_sets_and_takes_away() {
    every_version(ApiKey::AlterUserScramCredentials, |session, version| {
        let user = fresh_name("scram");
        let mut change = |deletions: &[_], upsertions: &[_], expected: &[(i8, i32)]| {
            assert_eq!(alter(session, version, deletions, upsertions), [(user.clone(), ErrorCode::None)]);
            let code = if expected.is_empty() { ErrorCode::ResourceNotFound } else { ErrorCode::None };
            let expected = (code, expected.to_vec());
            assert_eq!(settled(|| of_user(session, 0, &user), |told| *told == expected), expected);
        };
        change(&[], &[upsert(&user, SHA_256, 4096)], &[(SHA_256, 4096)]);
        change(&[], &[upsert(&user, SHA_256, 16_384)], &[(SHA_256, 16_384)]);
        change(&[], &[upsert(&user, SHA_512, 4096)], &[(SHA_256, 16_384), (SHA_512, 4096)]);
        change(&[delete(&user, SHA_256)], &[], &[(SHA_512, 4096)]);
        change(&[delete(&user, SHA_512)], &[], &[]);
    });
}

#[test]
fn every_version_refuses_users_each_on_their_own() {
    every_version(ApiKey::AlterUserScramCredentials, |session, version| {
        let (good, bad) = (fresh_name("a-good"), fresh_name("bad"));
        for (deletions, upsertions, code) in [
            (vec![], vec![upsert(&bad, SHA_256, 4095)], ErrorCode::UnacceptableCredential),
            (vec![], vec![upsert(&bad, SHA_256, 16_385)], ErrorCode::UnacceptableCredential),
            (vec![], vec![upsert(&bad, SHA_512, -1)], ErrorCode::UnacceptableCredential),
            (vec![], vec![upsert(&bad, 0, 4096)], ErrorCode::UnsupportedSaslMechanism),
            (vec![], vec![upsert(&bad, 3, 4096)], ErrorCode::UnsupportedSaslMechanism),
            (vec![delete(&bad, 3)], vec![], ErrorCode::UnsupportedSaslMechanism),
            (vec![delete(&bad, SHA_256)], vec![], ErrorCode::ResourceNotFound),
            (vec![delete(&bad, SHA_256)], vec![upsert(&bad, SHA_256, 4096)], ErrorCode::ResourceNotFound),
            (vec![], vec![upsert(&bad, SHA_256, 4096), upsert(&bad, SHA_512, 4096)], ErrorCode::DuplicateResource),
            (vec![], vec![upsert(&bad, SHA_256, 1), upsert(&bad, 0, 4096)], ErrorCode::UnacceptableCredential),
        ] {
            let upsertions = [upsertions, vec![upsert(&good, SHA_256, 4096)]].concat();
            let told = alter(session, version, &deletions, &upsertions);
            assert_eq!(told, [(good.clone(), ErrorCode::None), (bad.clone(), code)], "{deletions:?} {upsertions:?}");
        }
        assert_eq!(of_user(session, 0, &bad).0, ErrorCode::ResourceNotFound);
        let nameless = alter(session, version, &[delete("", SHA_256)], &[]);
        assert_eq!(nameless, [(String::new(), ErrorCode::UnacceptableCredential)]);
        assert_eq!(alter(session, version, &[], &[]), []);
    });
}
