//! `UpdateFeatures`: levels up and down. Only of a feature that no other test needs, since all of them share a broker.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest, UpdateFeaturesResponse};

use crate::session::{Session, every_version, expect, settled};

const FEATURE: &str = "streams.version";

const UPGRADE: i8 = 1;
const SAFE_DOWNGRADE: i8 = 2;
const UNSAFE_DOWNGRADE: i8 = 3;

/// From this version on the kind of upgrade, and whether it is a trial, can be said.
const UPGRADE_TYPE: i16 = 1;
/// Up to this version every feature has its result.
const RESULTS: i16 = 1;

fn update(
    session: &mut Session,
    version: i16,
    updates: &[(&str, i16, i8)],
    validate_only: bool,
) -> UpdateFeaturesResponse {
    let update = |(feature, max_version_level, upgrade_type): &(&str, i16, i8)| FeatureUpdateKey {
        feature: (*feature).to_owned(),
        max_version_level: *max_version_level,
        upgrade_type: *upgrade_type,
        ..Default::default()
    };
    let feature_updates = updates.iter().map(update).collect();
    session.ask(version, &UpdateFeaturesRequest { timeout_ms: 30_000, feature_updates, validate_only })
}

fn level(session: &mut Session, feature: &str) -> i16 {
    let request = ApiVersionsRequest {
        client_software_name: "conformance".to_owned(),
        client_software_version: "1.0".to_owned(),
        ..Default::default()
    };
    let response = session.ask(4, &request);
    let finalized = response.finalized_features.iter().find(|it| it.name == feature);
    finalized.map_or(0, |it| it.max_version_level)
}

/// The levels are the whole broker's, so one test does everything that changes them.
#[test]
fn every_version_goes_up_and_down_as_far_as_it_can() {
    every_version(ApiKey::UpdateFeatures, |session, version| {
        let change = |session: &mut Session, version, level_wanted, upgrade_type, validate_only, expected| {
            let response = update(session, version, &[(FEATURE, level_wanted, upgrade_type)], validate_only);
            expect(response.error_code, ErrorCode::None);
            assert_eq!(response.results.len(), usize::from(version <= RESULTS));
            assert!(response.results.iter().all(|it| it.feature == FEATURE && it.error_code == 0), "{response:?}");
            assert_eq!(settled(|| level(session, FEATURE), |level| *level == expected), expected);
        };
        // What goes down in version 0 is said nowhere that a broker looks.
        let downgrades = version.max(UPGRADE_TYPE);
        change(session, version, 1, UPGRADE, false, 1);
        change(session, downgrades, 0, SAFE_DOWNGRADE, true, 1);
        change(session, downgrades, 0, SAFE_DOWNGRADE, false, 0);
        change(session, version, 1, UPGRADE, false, 1);
        change(session, downgrades, 0, UNSAFE_DOWNGRADE, false, 0);
        change(session, downgrades, 1, UPGRADE, true, 0);
        change(session, version, 1, UPGRADE, false, 1);
        for updates in [
            &[(FEATURE, 0, UPGRADE)][..],
            &[(FEATURE, 9, UPGRADE)],
            &[(FEATURE, -1, UPGRADE)],
            &[("metadata.version", 34, UPGRADE)],
            &[("metadata.version", 0, UPGRADE)],
            &[("kraft.version", 2, UPGRADE)],
            &[("planet.version", 1, UPGRADE)],
            &[("planet.version", 0, UPGRADE)],
            &[("", 1, UPGRADE)],
        ] {
            refuse(session, version, updates, &[false]);
        }
        assert_eq!(update(session, version, &[], false).error_code, ErrorCode::None.code());
    });
}

#[track_caller]
fn refuse(session: &mut Session, version: i16, updates: &[(&str, i16, i8)], trials: &[bool]) {
    for &validate_only in trials {
        let response = update(session, version, updates, validate_only);
        expect(response.error_code, ErrorCode::InvalidUpdateVersion);
        assert!(response.error_message.is_some() && response.results.is_empty(), "{response:?}");
    }
}

#[test]
fn every_version_with_an_upgrade_type_refuses_bad_ones() {
    every_version(ApiKey::UpdateFeatures, |session, version| {
        if version >= UPGRADE_TYPE {
            for updates in [
                &[("transaction.version", 0, 0)][..],
                &[("transaction.version", 0, 4)],
                &[("transaction.version", -1, SAFE_DOWNGRADE)],
                &[("transaction.version", 0, SAFE_DOWNGRADE), ("planet.version", 0, SAFE_DOWNGRADE)],
                &[("metadata.version", 32, UNSAFE_DOWNGRADE)],
                &[("kraft.version", 0, UNSAFE_DOWNGRADE)],
            ] {
                refuse(session, version, updates, &[true, false]);
            }
        }
        assert_eq!((level(session, "transaction.version"), level(session, "kraft.version")), (2, 1));
    });
}
