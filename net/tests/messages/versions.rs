//! What the API keys say about themselves.

use ringlog_net::messages::ApiKey;

/// The keys and versions of an Apache Kafka 4.4.0 broker, except for Produce, where it advertises 0 to 13.
const BROKER: &str = "
    0 3-13, 1 4-18, 2 1-11, 3 0-13, 8 2-10, 9 1-10, 10 0-6, 11 0-9, 12 0-4, 13 0-5, 14 0-5, 15 0-6, 16 0-5, 17 0-1, 18 0-5,
    19 2-7, 20 1-6, 21 0-2, 22 0-5, 23 2-4, 24 0-5, 25 0-4, 26 0-5, 27 1-2, 28 0-6, 29 1-3, 30 1-3, 31 1-3, 32 1-4, 33 0-2,
    34 1-2, 35 1-5, 36 0-2, 37 0-3, 38 1-3, 39 1-2, 40 1-2, 41 1-3, 42 0-3, 43 0-2, 44 0-1, 45 0-1, 46 0-0, 47 0-0, 48 0-1,
    49 0-1, 50 0-0, 51 0-0, 52 0-2, 53 0-1, 54 0-1, 55 0-2, 56 2-3, 57 0-2, 58 0-0, 59 0-1, 60 0-2, 61 0-0, 62 0-4, 63 0-2,
    64 0-0, 65 0-0, 66 0-2, 67 0-0, 68 0-1, 69 0-1, 70 0-0, 71 0-0, 72 0-0, 73 0-0, 74 0-1, 75 0-0, 76 1-1, 77 1-1, 78 1-2,
    79 1-2, 80 0-1, 81 0-0, 82 0-0, 83 0-0, 84 0-0, 85 0-1, 86 0-0, 87 0-1, 88 0-1, 89 0-1, 90 0-1, 91 0-0, 92 0-0, 93 0-0,
    94 0-0";

#[test]
fn keys_have_the_versions_of_a_broker() {
    let shown = |key: &ApiKey| {
        let versions = key.valid_versions();
        format!("{} {}-{}", key.code(), versions.start(), versions.end())
    };
    let expected: Vec<_> = BROKER.split(',').map(str::trim).collect();
    assert_eq!(ApiKey::ALL.iter().map(shown).collect::<Vec<_>>(), expected);
}

#[test]
fn codes_name_keys() {
    for code in i16::MIN..=i16::MAX {
        let key = ApiKey::from_i16(code);
        assert_eq!(key.is_some(), (0..=3).contains(&code) || (8..=94).contains(&code), "{code}");
        assert!(key.is_none_or(|key| key.code() == code));
    }
    assert_eq!(ApiKey::from_i16(18).map(ApiKey::name), Some("ApiVersions"));
}

#[test]
fn headers_follow_the_flexible_versions() {
    let check = |key: ApiKey, version: i16, request: i16, response: i16| {
        assert_eq!((key.request_header_version(version), key.response_header_version(version)), (request, response));
    };
    check(ApiKey::Produce, 8, 1, 0);
    check(ApiKey::Produce, 9, 2, 1);
    check(ApiKey::ApiVersions, 2, 1, 0);
    check(ApiKey::ApiVersions, 3, 2, 0);
    check(ApiKey::SaslHandshake, 1, 1, 0);
    check(ApiKey::OffsetDelete, 0, 1, 0);
    check(ApiKey::ConsumerGroupHeartbeat, 0, 2, 1);
}

#[test]
fn an_unstable_version_is_known_but_not_valid() {
    assert_eq!(ApiKey::InitProducerId.valid_versions(), 0..=5);
    assert_eq!(ApiKey::InitProducerId.known_versions(), 0..=6);
    for key in ApiKey::ALL.into_iter().filter(|key| *key != ApiKey::InitProducerId) {
        assert_eq!(key.valid_versions(), key.known_versions(), "{key}");
    }
}
