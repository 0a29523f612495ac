//! `InitProducerId`, versions 0 to 5: an id for an idempotent producer (KIP-98, KIP-360).

use futures_channel::oneshot;
use ringlog_cluster::metadata::{Decision, ProducerIdBlock, ProducerIdsExhausted};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use ringlog_storage::types::{ProducerEpoch, ProducerId};

use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};
use crate::shard::Shard;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: InitProducerIdRequest = incoming.decode()?;
    let version = incoming.version();
    if let Some(code) = refusal(&request) {
        return Ok(Handled::Now(incoming.respond(&failed(code))));
    }
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let response = match take(&shard).await {
            Ok(id) => {
                InitProducerIdResponse { producer_id: id.get(), producer_epoch: 0, ..InitProducerIdResponse::default() }
            }
            Err(code) => failed(code),
        };
        respond(&response, version)
    }))
}

/// A producer that asks again with its id gets a new one: without a transactional id nobody else has the old one, and
/// nothing is fenced by a raised epoch (KIP-360).
fn refusal(request: &InitProducerIdRequest) -> Option<ErrorCode> {
    if (request.producer_id == ProducerId::NONE.get()) != (request.producer_epoch == ProducerEpoch::NONE.get()) {
        return Some(ErrorCode::InvalidRequest);
    }
    match request.transactional_id.as_deref() {
        None => None,
        Some("") => Some(ErrorCode::InvalidRequest),
        Some(_) => Some(ErrorCode::CoordinatorNotAvailable),
    }
}

fn failed(code: ErrorCode) -> InitProducerIdResponse {
    InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdResponse::default()
    }
}

/// The next id of this shard's supply, which is filled before it is empty.
async fn take(shard: &Shard) -> Result<ProducerId, ErrorCode> {
    loop {
        let (id, asks) = shard.with(|state| (state.producer_ids.take(), state.producer_ids.should_ask()));
        match id {
            Some(id) => {
                if asks {
                    let shard = shard.clone();
                    shard.reactor().clone().spawn(async move { ask(&shard).await });
                }
                return Ok(id);
            }
            None if asks => ask(shard).await?,
            // Another request has asked; whoever comes back first finds the block.
            None => {
                let (sender, answered) = oneshot::channel();
                shard.with(|state| state.producer_id_waits.push(sender));
                // Either way it looks again.
                let _ = answered.await;
            }
        }
    }
}

async fn ask(shard: &Shard) -> Result<(), ErrorCode> {
    let broker = shard.settings().broker.node_id;
    let allocated = decide(shard, move |metadata, _| match metadata.allocate_producer_ids(broker) {
        Ok(Decision { records, reply }) => Decision { records, reply: Ok(reply) },
        Err(ProducerIdsExhausted) => Decision::reply(Err(ErrorCode::UnknownServerError)),
    });
    let block: Result<ProducerIdBlock, ErrorCode> = allocated.await.and_then(|block| block);
    shard.with(|state| {
        // Those that wait learn of it by the end of their channels.
        state.producer_id_waits.clear();
        match block {
            Ok(block) => {
                state.producer_ids.put(block);
                Ok(())
            }
            Err(code) => {
                state.producer_ids.ask_failed();
                Err(code)
            }
        }
    })
}
