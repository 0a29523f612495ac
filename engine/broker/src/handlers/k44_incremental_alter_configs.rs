//! `IncrementalAlterConfigs`, versions 0 and 1 (KIP-339).

use ringlog_cluster::config::{AlterOperation, Alteration};
use ringlog_cluster::metadata::AlterMode;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use crate::config_alteration::{Asked, Failure, alter, asked};
use crate::dispatch::{Handled, Incoming, respond};
use crate::shard::Shard;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: IncrementalAlterConfigsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let asked = request.resources.iter().map(|resource| changes(&shard, resource)).collect();
        let results = alter(&shard, asked, AlterMode::Incremental, request.validate_only).await;
        let responses = request.resources.iter().zip(results).map(|(resource, told)| answer(resource, told));
        let response = IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
        respond(&response, version)
    }))
}

fn changes(shard: &Shard, resource: &AlterConfigsResource) -> Result<Asked, Failure> {
    let alterations: Result<Vec<_>, _> = resource.configs.iter().map(alteration).collect();
    asked(shard, resource.resource_type, &resource.resource_name, alterations?)
}

fn alteration(config: &AlterableConfig) -> Result<Alteration, Failure> {
    let code = config.config_operation;
    let unknown = || (ErrorCode::InvalidRequest, format!("{code} is not an operation on a configuration key"));
    let operation = AlterOperation::from_wire_code(code).ok_or_else(unknown)?;
    Ok(Alteration { key: config.name.clone(), operation, value: config.value.clone() })
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
