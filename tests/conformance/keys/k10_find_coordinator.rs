//! `FindCoordinator`: until groups are served, clients are told to come again.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;

use crate::session::every_version;

/// The first version that asks for several keys at once.
const SEVERAL_KEYS: i16 = 4;

#[test]
fn every_version_answers_for_its_keys() {
    every_version(ApiKey::FindCoordinator, |session, version| {
        let mut request = FindCoordinatorRequest::default();
        if version >= SEVERAL_KEYS {
            request.coordinator_keys = vec!["one".to_owned(), "two".to_owned()];
        } else {
            request.key = "one".to_owned();
        }
        let response = session.ask(version, &request);
        let codes = if version >= SEVERAL_KEYS {
            let keys: Vec<_> = response.coordinators.iter().map(|one| one.key.as_str()).collect();
            assert_eq!(keys, ["one", "two"]);
            response.coordinators.iter().map(|one| one.error_code).collect()
        } else {
            vec![response.error_code]
        };
        // A broker that serves groups names itself here.
        let expected = [ErrorCode::CoordinatorNotAvailable, ErrorCode::None];
        assert!(codes.iter().all(|code| expected.contains(&ErrorCode::from_wire(*code))), "{codes:?}");
    });
}
