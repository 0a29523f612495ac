//! `GetTelemetrySubscriptions`: which metrics a client is asked for. No broker advertises the key that nobody has told what to
//! do with metrics; asked all the same, it answers.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};
use ringlog_storage::types::Uuid;

use crate::config::{CLIENT_METRICS, DELETE, Resource, SET};
use crate::session::{Session, every_version, expect};
use crate::topic::fresh_name;

pub(crate) fn get(session: &mut Session, version: i16, id: Uuid) -> GetTelemetrySubscriptionsResponse {
    session.ask(version, &GetTelemetrySubscriptionsRequest { client_instance_id: id })
}

/// A client instance that is new to the broker, and its subscription.
pub(crate) fn fresh_instance(session: &mut Session) -> GetTelemetrySubscriptionsResponse {
    let response = get(session, 0, Uuid::ZERO);
    expect(response.error_code, ErrorCode::None);
    assert_ne!(response.client_instance_id, Uuid::ZERO);
    response
}

/// Asks until the broker says so. Cases that change subscriptions at the same time have every client begin anew.
#[track_caller]
pub(crate) fn await_code(mut ask: impl FnMut() -> i16, code: ErrorCode) {
    while ErrorCode::from_wire(ask()) != code {}
}

#[test]
fn nobody_is_told_of_telemetry_that_is_off() {
    let mut session = Session::open();
    for version in ApiKey::ApiVersions.valid_versions() {
        let request = ApiVersionsRequest {
            client_software_name: "conformance".to_owned(),
            client_software_version: "1".to_owned(),
            ..ApiVersionsRequest::default()
        };
        let told = session.ask(version, &request).api_keys;
        for key in [ApiKey::GetTelemetrySubscriptions, ApiKey::PushTelemetry] {
            assert_eq!(told.iter().find(|row| row.api_key == key.code()), None, "{key}");
        }
    }
}

#[test]
fn every_version_tells_a_client_what_it_is_asked_for() {
    every_version(ApiKey::GetTelemetrySubscriptions, |session, version| {
        let first = get(session, version, Uuid::ZERO);
        expect(first.error_code, ErrorCode::None);
        let id = first.client_instance_id;
        assert_ne!(id, Uuid::ZERO);
        assert_eq!(first.accepted_compression_types, [4, 3, 1, 2]);
        assert_eq!((first.telemetry_max_bytes, first.delta_temporality), (1_048_576, true));
        assert!((100..=300_000).contains(&first.push_interval_ms), "{first:?}");
        await_code(|| get(session, version, id).error_code, ErrorCode::ThrottlingQuotaExceeded);

        let name = fresh_name("subscription");
        let subscription = Resource { kind: CLIENT_METRICS, name: &name };
        let (metric, selected) = (format!("{name}.metric"), format!("client_instance_id={id}"));
        let settings = [
            ("interval.ms", SET, Some("100")),
            ("metrics", SET, Some(metric.as_str())),
            ("match", SET, Some(selected.as_str())),
        ];
        expect(subscription.alter(session, 1, &settings), ErrorCode::None);
        // Asked too early it may still be throttled.
        let subscribed = loop {
            let response = get(session, version, id);
            // A subscription to everything takes the place of all others.
            if response.requested_metrics.iter().any(|known| *known == metric || known == "*")
                && response.push_interval_ms == 100
            {
                break response;
            }
        };
        expect(subscribed.error_code, ErrorCode::None);
        assert_eq!((subscribed.client_instance_id, subscribed.push_interval_ms), (id, 100));
        assert_ne!(subscribed.subscription_id, first.subscription_id);
        let others = fresh_instance(session);
        assert!(!others.requested_metrics.contains(&metric), "{others:?}");
        let all = ["interval.ms", "metrics", "match"].map(|key| (key, DELETE, None));
        expect(subscription.alter(session, 1, &all), ErrorCode::None);
    });
}
