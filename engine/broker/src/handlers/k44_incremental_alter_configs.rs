//! `IncrementalAlterConfigs`, versions 0 and 1 (KIP-339).

use ringlog_cluster::config::{AlterOperation, Alteration};
use ringlog_cluster::metadata::{AlterConfigs, AlterMode, Intent};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterConfigsResourceResponse, AlterableConfig, IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
};

use crate::config_resource::config_resource;
use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};

type Failure = (ErrorCode, String);

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: IncrementalAlterConfigsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let intent = if request.validate_only { Intent::ValidateOnly } else { Intent::Apply };
        let asked: Vec<Result<AlterConfigs, Failure>> = request.resources.iter().map(alter_configs).collect();
        let valid: Vec<_> = asked.iter().flatten().cloned().collect();
        let decided =
            decide(&shard, move |metadata, _| metadata.alter_configs(&valid, AlterMode::Incremental, intent)).await;
        let mut decided = decided.map(Vec::into_iter);
        let results = asked.into_iter().map(|asked| {
            asked?;
            let results = decided.as_mut().map_err(|code| (*code, code.message().to_owned()))?;
            let result = results.next().expect("every valid resource has its answer");
            result.map_err(|error| (error.code(), error.to_string()))
        });
        let responses = request.resources.iter().zip(results).map(|(resource, result)| answer(resource, result));
        let response = IncrementalAlterConfigsResponse { throttle_time_ms: 0, responses: responses.collect() };
        respond(&response, version)
    }))
}

fn alter_configs(resource: &AlterConfigsResource) -> Result<AlterConfigs, Failure> {
    let named = config_resource(resource.resource_type, &resource.resource_name);
    let named = named.map_err(|error| (error.code(), error.to_string()))?;
    let alterations: Result<Vec<_>, _> = resource.configs.iter().map(alteration).collect();
    Ok(AlterConfigs { resource: named, alterations: alterations? })
}

fn alteration(config: &AlterableConfig) -> Result<Alteration, Failure> {
    let code = config.config_operation;
    let unknown = || (ErrorCode::InvalidRequest, format!("{code} is not an operation on a configuration key"));
    let operation = AlterOperation::from_wire_code(code).ok_or_else(unknown)?;
    Ok(Alteration { key: config.name.clone(), operation, value: config.value.clone() })
}

fn answer(resource: &AlterConfigsResource, result: Result<(), Failure>) -> AlterConfigsResourceResponse {
    let (code, error_message) = match result {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message)),
    };
    AlterConfigsResourceResponse {
        error_code: code.code(),
        error_message,
        resource_type: resource.resource_type,
        resource_name: resource.resource_name.clone(),
    }
}
