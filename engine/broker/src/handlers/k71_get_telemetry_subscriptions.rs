//! `GetTelemetrySubscriptions`, version 0 (KIP-714). Not advertised while nobody wants to know the metrics of clients.

use ringlog_net::conn::CloseReason;
use ringlog_net::messages::get_telemetry_subscriptions::{
    GetTelemetrySubscriptionsRequest, GetTelemetrySubscriptionsResponse,
};

use crate::dispatch::{Handled, Incoming, respond};
use crate::telemetry::{client, get};

/// Codecs that a client may push with, the best one first: zstd, lz4, gzip, snappy.
const COMPRESSION_TYPES: [i8; 4] = [4, 3, 1, 2];

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: GetTelemetrySubscriptionsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let client = client(incoming);
    Ok(Handled::later(async move {
        let response = match get(&shard, client, request.client_instance_id).await {
            Ok((client_instance_id, asked)) => GetTelemetrySubscriptionsResponse {
                client_instance_id,
                subscription_id: asked.subscription_id,
                accepted_compression_types: COMPRESSION_TYPES.to_vec(),
                push_interval_ms: asked.interval_ms,
                telemetry_max_bytes: i32::try_from(shard.settings().broker.telemetry_bytes_max).unwrap_or(i32::MAX),
                delta_temporality: true,
                requested_metrics: asked.metrics.clone(),
                ..GetTelemetrySubscriptionsResponse::default()
            },
            Err(code) => GetTelemetrySubscriptionsResponse {
                error_code: code.code(),
                ..GetTelemetrySubscriptionsResponse::default()
            },
        };
        respond(&response, version)
    }))
}
