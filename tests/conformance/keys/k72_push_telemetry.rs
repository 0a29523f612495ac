//! `PushTelemetry`: what a client pushes, how often, and how it ends. No broker here has been told what to do with it.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::push_telemetry::PushTelemetryRequest;
use ringlog_storage::types::Uuid;

use crate::k71_get_telemetry_subscriptions::{await_code, fresh_instance, get};
use crate::session::{Session, every_version, expect};

const TELEMETRY_BYTES_MAX: usize = 1_048_576;

/// A push of nothing by a client that is new to the broker.
fn push(session: &mut Session) -> PushTelemetryRequest {
    let instance = fresh_instance(session);
    PushTelemetryRequest {
        client_instance_id: instance.client_instance_id,
        subscription_id: instance.subscription_id,
        ..PushTelemetryRequest::default()
    }
}

#[test]
fn every_version_takes_a_push_an_interval() {
    every_version(ApiKey::PushTelemetry, |session, version| {
        let request = push(session);
        let largest = PushTelemetryRequest { metrics: vec![0; TELEMETRY_BYTES_MAX], ..request.clone() };
        expect(session.ask(version, &largest).error_code, ErrorCode::None);
        await_code(|| session.ask(version, &request).error_code, ErrorCode::ThrottlingQuotaExceeded);
        let last = PushTelemetryRequest { terminating: true, ..request.clone() };
        expect(session.ask(version, &last).error_code, ErrorCode::None);
        await_code(|| session.ask(version, &last).error_code, ErrorCode::InvalidRequest);
    });
}

#[test]
fn a_push_that_breaks_a_rule_is_refused() {
    every_version(ApiKey::PushTelemetry, |session, version| {
        let nobody = PushTelemetryRequest { client_instance_id: Uuid::ZERO, ..push(session) };
        expect(session.ask(version, &nobody).error_code, ErrorCode::InvalidRequest);
        // Who must ask again may do so at once.
        let request = push(session);
        let wrong = PushTelemetryRequest { subscription_id: request.subscription_id ^ 1, ..request };
        expect(session.ask(version, &wrong).error_code, ErrorCode::UnknownSubscriptionId);
        expect(get(session, 0, wrong.client_instance_id).error_code, ErrorCode::None);
        for compression_type in [-1, 5, 9] {
            let wrong = PushTelemetryRequest { compression_type, ..push(session) };
            expect(session.ask(version, &wrong).error_code, ErrorCode::UnsupportedCompressionType);
            expect(get(session, 0, wrong.client_instance_id).error_code, ErrorCode::None);
        }
        let wrong = PushTelemetryRequest { metrics: vec![0; TELEMETRY_BYTES_MAX + 1], ..push(session) };
        expect(session.ask(version, &wrong).error_code, ErrorCode::TelemetryTooLarge);
        await_code(|| get(session, 0, wrong.client_instance_id).error_code, ErrorCode::ThrottlingQuotaExceeded);
        let garbage = PushTelemetryRequest { compression_type: 4, metrics: vec![9; 9], ..push(session) };
        expect(session.ask(version, &garbage).error_code, ErrorCode::InvalidRecord);
    });
}
