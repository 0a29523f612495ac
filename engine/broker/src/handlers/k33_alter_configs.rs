//! `AlterConfigs`, versions 0 to 2: what a resource is to have of its own, and nothing else (KIP-133). Newer clients send
//! `IncrementalAlterConfigs`.

use ringlog_cluster::config::{AlterOperation, Alteration, ResourceType};
use ringlog_cluster::metadata::AlterMode;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_configs::{
    AlterConfigsRequest, AlterConfigsResource, AlterConfigsResourceResponse, AlterConfigsResponse, AlterableConfig,
};

use crate::config_alteration::{Asked, Failure, alter, asked};
use crate::dispatch::{Handled, Incoming, respond};
use crate::shard::Shard;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterConfigsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let asked = request.resources.iter().map(|resource| changes(&shard, resource)).collect();
        let results = alter(&shard, asked, AlterMode::Whole, request.validate_only).await;
        let responses = request.resources.iter().zip(results).map(|(resource, told)| answer(resource, told));
        let response = AlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
        respond(&response, version)
    }))
}

fn changes(shard: &Shard, resource: &AlterConfigsResource) -> Result<Asked, Failure> {
    if ResourceType::from_wire_code(resource.resource_type) == Some(ResourceType::BrokerLogger) {
        let text = "levels of loggers are changed by IncrementalAlterConfigs, one by one";
        return Err((ErrorCode::InvalidRequest, text.to_owned()));
    }
    let set = |config: &AlterableConfig| Alteration {
        key: config.name.clone(),
        operation: AlterOperation::Set,
        value: config.value.clone(),
    };
    let alterations = resource.configs.iter().map(set).collect();
    asked(shard, resource.resource_type, &resource.resource_name, alterations)
}

fn answer(
    resource: &AlterConfigsResource,
    (code, error_message): (ErrorCode, Option<String>),
) -> AlterConfigsResourceResponse {
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}
