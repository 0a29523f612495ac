//! Changes of configuration that a request asks for, whichever of the two kinds of request that is.

use ringlog_cluster::config::Alteration;
use ringlog_cluster::metadata::{AlterConfigs, AlterMode, Intent};
use ringlog_net::error::ErrorCode;

use crate::config_resource::config_resource;
use crate::controller::decide;
use crate::shard::Shard;

/// Why a resource is not changed: the code, and words for people.
pub(crate) type Failure = (ErrorCode, String);

/// Has the controller change every resource that was understood. Answers code and words in the order of the request.
pub(crate) async fn alter(
    shard: &Shard,
    asked: Vec<Result<AlterConfigs, Failure>>,
    mode: AlterMode,
    validate_only: bool,
) -> Vec<(ErrorCode, Option<String>)> {
    let intent = if validate_only { Intent::ValidateOnly } else { Intent::Apply };
    let valid: Vec<_> = asked.iter().flatten().cloned().collect();
    let decided = decide(shard, move |metadata, _| metadata.alter_configs(&valid, mode, intent)).await;
    let mut decided = decided.map(Vec::into_iter);
    let mut result = |asked: Result<AlterConfigs, Failure>| {
        asked?;
        let results = decided.as_mut().map_err(|code| (*code, code.message().to_owned()))?;
        let result = results.next().expect("every valid resource has its answer");
        result.map_err(|error| (error.code(), error.to_string()))
    };
    let told = |asked| match result(asked) {
        Ok(()) => (ErrorCode::None, None),
        Err((code, message)) => (code, Some(message)),
    };
    asked.into_iter().map(told).collect()
}

/// What is to be changed of the resource of a type and a name.
pub(crate) fn alter_configs(
    resource_type: i8,
    resource_name: &str,
    alterations: Vec<Alteration>,
) -> Result<AlterConfigs, Failure> {
    let resource = config_resource(resource_type, resource_name).map_err(|error| (error.code(), error.to_string()))?;
    Ok(AlterConfigs { resource, alterations })
}
