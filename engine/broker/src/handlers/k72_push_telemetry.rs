//! `PushTelemetry`, version 0 (KIP-714). Not advertised while nobody wants to know the metrics of clients.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::push_telemetry::{PushTelemetryRequest, PushTelemetryResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::telemetry::{client, push};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: PushTelemetryRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let client = client(incoming);
    Ok(Handled::later(async move {
        let code = push(&shard, client, request).await.err().unwrap_or(ErrorCode::None);
        respond(&PushTelemetryResponse { error_code: code.code(), ..PushTelemetryResponse::default() }, version)
    }))
}
