//! `UnregisterBroker`, version 0 (KIP-631): forgets a broker that will not come back.

use ringlog_net::conn::CloseReason;
use ringlog_net::messages::unregister_broker::{UnregisterBrokerRequest, UnregisterBrokerResponse};
use ringlog_storage::types::BrokerId;

use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: UnregisterBrokerRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let id = BrokerId::new(request.broker_id);
        let refusal = match decide(&shard, move |metadata, _| metadata.unregister_broker(id)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.code(), error.to_string())),
            Err(code) => Some((code, code.message().to_owned())),
        };
        let mut response = UnregisterBrokerResponse::default();
        if let Some((code, message)) = refusal {
            response.error_code = code.code();
            response.error_message = Some(message);
        }
        respond(&response, version)
    }))
}
