//! `AlterClientQuotas`, versions 0 and 1 (KIP-546). Quotas are kept and told; nothing enforces them yet.

use ringlog_cluster::metadata::{AlterQuotas, Intent, QuotaError};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_client_quotas::{
    AlterClientQuotasRequest, AlterClientQuotasResponse, RequestEntryData, ResponseEntryData,
};

use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterClientQuotasRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let intent = if request.validate_only { Intent::ValidateOnly } else { Intent::Apply };
        let asked: Vec<_> = request.entries.iter().map(asked).collect();
        let decided = decide(&shard, move |metadata, _| metadata.alter_quotas(&asked, intent)).await;
        let mut decided = decided.map(Vec::into_iter);
        let answer = |entry: RequestEntryData| {
            let result = match &mut decided {
                Ok(results) => results.next().expect("every entity has its answer").map_err(|error| told(&error)),
                Err(code) => Err((*code, code.message().to_owned())),
            };
            let (code, error_message) = result.err().map_or((ErrorCode::None, None), |(code, told)| (code, Some(told)));
            ResponseEntryData { error_code: code.code(), error_message, entity: entry.entity }
        };
        let entries = request.entries.into_iter().map(answer).collect();
        respond(&AlterClientQuotasResponse { throttle_time_ms: 0, entries }, version)
    }))
}

fn asked(entry: &RequestEntryData) -> AlterQuotas {
    let parts = entry.entity.iter().map(|part| (part.entity_type.clone(), part.entity_name.clone()));
    let changes = entry.ops.iter().map(|op| (op.key.clone(), (!op.remove).then_some(op.value)));
    AlterQuotas { parts: parts.collect(), changes: changes.collect() }
}

fn told(error: &QuotaError) -> (ErrorCode, String) {
    (error.code(), error.to_string())
}
