//! Metrics that clients push: what they are asked for is decided on shard 0, and what they push goes into the log.

use std::sync::Arc;

use ringlog_cluster::config::TelemetryReceiver;
use ringlog_cluster::telemetry::metrics::{Measurement, read_metrics};
use ringlog_cluster::telemetry::{Asked, Push, TelemetryClient, codec};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::push_telemetry::PushTelemetryRequest;
use ringlog_storage::types::Uuid;

use crate::dispatch::Incoming;
use crate::errand::on_first_shard;
use crate::lines::repeated;
use crate::random::random_id;
use crate::shard::Shard;

/// What a client has told of its software.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Software {
    pub(crate) name: String,
    pub(crate) version: String,
}

/// Who sent a request.
pub(crate) fn client(incoming: Incoming<'_>) -> TelemetryClient {
    let (peer, software) = (incoming.connection.peer, incoming.connection.software());
    TelemetryClient {
        client_id: incoming.request.header.client_id.to_string(),
        software_name: software.as_ref().map(|software| software.name.clone()),
        software_version: software.map(|software| software.version),
        source_address: peer.ip().to_string(),
        source_port: peer.port(),
    }
}

/// Asks shard 0 what a client is asked for.
pub(crate) async fn get(shard: &Shard, client: TelemetryClient, id: Uuid) -> Result<(Uuid, Arc<Asked>), ErrorCode> {
    on_first_shard(shard, move |shard| {
        let (now, new_id) = (shard.now(), random_id(shard.reactor()));
        shard.with(|state| {
            let image = Arc::clone(&state.image);
            state.telemetry.get(now, &image, &client, id, new_id)
        })
    })
    .await
}

/// Asks shard 0 whether a push is taken, and takes it.
pub(crate) async fn push(
    shard: &Shard,
    client: TelemetryClient,
    request: PushTelemetryRequest,
) -> Result<(), ErrorCode> {
    let push = Push {
        client_instance_id: request.client_instance_id,
        subscription_id: request.subscription_id,
        terminating: request.terminating,
        compression_type: request.compression_type,
        metrics_bytes: request.metrics.len(),
    };
    let asking = client.clone();
    let taken = on_first_shard(shard, move |shard| {
        let now = shard.now();
        shard.with(|state| {
            let image = Arc::clone(&state.image);
            state.telemetry.push(now, &image, &asking, &push)
        })
    });
    taken.await?;
    let measurements = read(shard, &request).map_err(|error| {
        repeated!(
            shard.lines(), MalformedTelemetry, "metrics of clients that cannot be read", DEBUG,
            client_instance_id = %request.client_instance_id,
            client_id = client.client_id,
            "metrics of a client cannot be read: {error}"
        );
        ErrorCode::InvalidRecord
    })?;
    for measurement in measurements {
        let (instance, client) = (request.client_instance_id, &client.client_id);
        repeated!(
            shard.lines(), Measurement, "metrics of clients", INFO,
            client_instance_id = %instance,
            client_id = client,
            "{measurement}"
        );
    }
    Ok(())
}

/// What a push has measured. Where nobody wants to know, only whether its bytes can be unpacked.
fn read(shard: &Shard, request: &PushTelemetryRequest) -> Result<Vec<Measurement>, String> {
    let broker = &shard.settings().broker;
    let bytes_max = usize::try_from(broker.telemetry_bytes_max).unwrap_or(0);
    let codec = codec(request.compression_type).expect("a push with another one is not taken");
    if request.metrics.is_empty() {
        return Ok(Vec::new());
    }
    shard.with(|state| {
        let plain = state.codecs.decompressor.decompress(codec, &request.metrics, bytes_max);
        let plain = plain.map_err(|error| error.to_string())?;
        match broker.telemetry {
            TelemetryReceiver::Off => Ok(Vec::new()),
            TelemetryReceiver::Log => read_metrics(plain).map_err(|error| error.to_string()),
        }
    })
}
