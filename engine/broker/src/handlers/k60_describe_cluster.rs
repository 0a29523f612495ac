//! `DescribeCluster`, versions 0 to 2: the brokers as admin clients ask for them (KIP-700).

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_cluster::{DescribeClusterBroker, DescribeClusterRequest, DescribeClusterResponse};

use crate::dispatch::{Handled, Incoming};
use crate::operations;
use crate::topics::endpoint_of;

/// The endpoints that `EndpointType` can ask for (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeClusterRequest = incoming.decode()?;
    let (shard, listener) = (incoming.connection.shard(), incoming.connection.listener);
    let is_controllers = shard.settings().broker.listeners.get(listener).is_some_and(|of| of.is_controller);
    if let Err((code, message)) = check_endpoint_type(request.endpoint_type, is_controllers) {
        let response = DescribeClusterResponse {
            error_code: code.code(),
            error_message: Some(message.to_owned()),
            ..DescribeClusterResponse::default()
        };
        return Ok(Handled::Now(incoming.respond(&response)));
    }
    let of_the_cluster = request.include_cluster_authorized_operations;
    let image = shard.with(|state| state.image.clone());
    let told = image.brokers().filter(|broker| request.include_fenced_brokers || !broker.is_fenced);
    let brokers = told.filter_map(|broker| {
        let endpoint = endpoint_of(shard, broker, listener)?;
        Some(DescribeClusterBroker {
            broker_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.as_deref().map(str::to_owned),
            is_fenced: broker.is_fenced,
        })
    });
    let response = DescribeClusterResponse {
        endpoint_type: request.endpoint_type,
        cluster_id: image.cluster_id().to_owned(),
        controller_id: image.controller().get(),
        brokers: brokers.collect(),
        cluster_authorized_operations: if of_the_cluster { operations::OF_THE_CLUSTER } else { operations::UNASKED },
        ..DescribeClusterResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

/// Whether what is asked for can be told over this listener: over a controller's the controllers, over others the brokers.
fn check_endpoint_type(endpoint_type: i8, is_controllers: bool) -> Result<(), (ErrorCode, &'static str)> {
    match (endpoint_type, is_controllers) {
        (BROKERS, false) | (CONTROLLERS, true) => Ok(()),
        (BROKERS, true) => {
            Err((ErrorCode::MismatchedEndpointType, "this is a listener of controllers; ask one for clients"))
        }
        (CONTROLLERS, false) => {
            Err((ErrorCode::MismatchedEndpointType, "this is a listener for clients; ask a controller's listener"))
        }
        _ => Err((ErrorCode::UnsupportedEndpointType, "EndpointType is 1 (brokers) or 2 (controllers)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_listener_tells_its_own_endpoints() {
        let code = |endpoint_type, is_controllers| {
            check_endpoint_type(endpoint_type, is_controllers).err().map(|(code, _)| code)
        };
        assert_eq!((code(BROKERS, false), code(CONTROLLERS, true)), (None, None));
        assert_eq!(code(BROKERS, true), Some(ErrorCode::MismatchedEndpointType));
        assert_eq!(code(CONTROLLERS, false), Some(ErrorCode::MismatchedEndpointType));
        assert_eq!(code(3, true), Some(ErrorCode::UnsupportedEndpointType));
    }
}
