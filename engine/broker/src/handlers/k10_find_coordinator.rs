//! `FindCoordinator`, versions 0 to 6. Groups are coordinated by this broker; the first to be looked for makes the topic
//! that their coordinators write to. Transactions and share groups have no coordinator here, and are told so with the code
//! that lets clients ask again.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::find_coordinator::{Coordinator, FindCoordinatorRequest, FindCoordinatorResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{GROUP_TOPIC, create_topic};
use crate::shard::Shard;
use crate::topics::endpoint_of;

/// From this version on one request asks for several keys (KIP-699).
const SEVERAL_KEYS_VERSION_MIN: i16 = 4;
/// From this version on share groups have coordinators.
const SHARE_VERSION_MIN: i16 = 6;
/// The kinds of coordinators that a key can ask for.
const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;
/// Stands for the node and the port of a coordinator that there is none of.
const NOBODY: i32 = -1;

/// Where a coordinator is, or why there is none.
type Found = Result<(i32, String, i32), ErrorCode>;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: FindCoordinatorRequest = incoming.decode()?;
    let (version, listener) = (incoming.version(), incoming.connection.listener);
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let found = if request.key_type == SHARE && version < SHARE_VERSION_MIN {
            Err(ErrorCode::InvalidRequest)
        } else {
            find(&shard, request.key_type, listener).await
        };
        let response = if version >= SEVERAL_KEYS_VERSION_MIN {
            let coordinators = request.coordinator_keys.into_iter().map(|key| coordinator(key, &found)).collect();
            FindCoordinatorResponse { coordinators, ..FindCoordinatorResponse::default() }
        } else {
            let Coordinator { node_id, host, port, error_code, mut error_message, .. } =
                coordinator(request.key, &found);
            if found.is_ok() {
                // Kafka's words for success in these versions.
                error_message = Some("NONE".to_owned());
            }
            FindCoordinatorResponse { error_code, error_message, node_id, host, port, ..Default::default() }
        };
        respond(&response, version)
    }))
}

async fn find(shard: &Shard, key_type: i8, listener: usize) -> Found {
    match key_type {
        GROUP => {}
        TRANSACTION | SHARE => return Err(ErrorCode::CoordinatorNotAvailable),
        _ => return Err(ErrorCode::InvalidRequest),
    }
    if shard.with(|state| state.image.topic(GROUP_TOPIC).is_none()) {
        create_topic(shard).await?;
    }
    let image = shard.with(|state| state.image.clone());
    image.topic(GROUP_TOPIC).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let broker = image.broker(shard.settings().broker.node_id).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    let endpoint = endpoint_of(shard, broker, listener).ok_or(ErrorCode::CoordinatorNotAvailable)?;
    Ok((broker.id.get(), endpoint.host.clone(), i32::from(endpoint.port)))
}

fn coordinator(key: String, found: &Found) -> Coordinator {
    let (code, (node_id, host, port)) = match found {
        Ok(found) => (ErrorCode::None, found.clone()),
        Err(code) => (*code, (NOBODY, String::new(), NOBODY)),
    };
    let error_message = Some(if code == ErrorCode::None { String::new() } else { code.message().to_owned() });
    Coordinator { key, node_id, host, port, error_code: code.code(), error_message }
}
