//! Changes of configuration that a request asks for, whichever of the two kinds of request that is.

use ringlog_cluster::config::{AlterOperation, Alteration, SHARDS_KEY, shards_beyond};
use ringlog_cluster::image::ConfigResource;
use ringlog_cluster::metadata::{AlterConfigs, AlterMode, Intent};
use ringlog_cluster::placement::Placement;
use ringlog_net::error::ErrorCode;
use std::sync::Arc;

use crate::config_resource::{Named, ResourceError, named};
use crate::controller::{METADATA_LOG, decide};
use crate::shard::Shard;
use crate::topics::all_partitions;
use crate::{logging, resize};

/// Why a resource is not changed: the code, and words for people.
pub(crate) type Failure = (ErrorCode, String);

/// What is asked for of one resource.
pub(crate) enum Asked {
    /// A change of the cluster's metadata.
    Cluster(AlterConfigs),
    /// Other levels of loggers of this broker.
    Loggers(Vec<Alteration>),
}

/// Has the controller change every resource that was understood, and loggers change their levels. Another number of shards is
/// in use when this answers. Answers code and words in the order of the request.
pub(crate) async fn alter(
    shard: &Shard,
    asked: Vec<Result<Asked, Failure>>,
    mode: AlterMode,
    validate_only: bool,
) -> Vec<(ErrorCode, Option<String>)> {
    let intent = if validate_only { Intent::ValidateOnly } else { Intent::Apply };
    let of_cluster = asked.iter().flatten().filter_map(|asked| match asked {
        Asked::Cluster(changes) => Some(changes.clone()),
        Asked::Loggers(_) => None,
    });
    let of_cluster: Vec<_> = of_cluster.collect();
    // What is not named goes away where everything is replaced.
    let may_change_shards = |changes: &AlterConfigs| {
        is_of_broker(&changes.resource)
            && (mode == AlterMode::Whole || changes.alterations.iter().any(|one| one.key == SHARDS_KEY))
    };
    let changes_shards = !validate_only && of_cluster.iter().any(may_change_shards);
    let of_loggers = asked.iter().flatten().filter(|asked| matches!(asked, Asked::Loggers(_))).count();
    let decided = decide(shard, move |metadata, _| metadata.alter_configs(&of_cluster, mode, intent)).await;
    if changes_shards && decided.is_ok() {
        resize::settled(shard).await;
    }
    let mut decided = decided.map(Vec::into_iter);
    let mut told = Vec::with_capacity(asked.len());
    for asked in asked {
        let result = match asked {
            Err(failure) => Err(failure),
            Ok(Asked::Cluster(_)) => match decided.as_mut() {
                Ok(results) => results
                    .next()
                    .expect("every valid resource has its answer")
                    .map_err(|error| (error.code(), error.to_string())),
                Err(code) => Err((*code, code.message().to_owned())),
            },
            Ok(Asked::Loggers(_)) if of_loggers > 1 => {
                Err((ErrorCode::InvalidRequest, "the request names one resource twice".to_owned()))
            }
            Ok(Asked::Loggers(alterations)) => {
                let altered = logging::alter(shard, alterations, validate_only).await;
                altered.map_err(|error| (error.code(), error.to_string()))
            }
        };
        told.push(match result {
            Ok(()) => (ErrorCode::None, None),
            Err((code, message)) => (code, Some(message)),
        });
    }
    told
}

/// What is to be changed of the resource of a type and a name.
pub(crate) fn asked(
    shard: &Shard,
    resource_type: i8,
    resource_name: &str,
    alterations: Vec<Alteration>,
) -> Result<Asked, Failure> {
    let node = shard.settings().broker.node_id;
    let resource = named(resource_type, resource_name).and_then(|resource| match resource {
        Named::Loggers(id) if id != node => Err(ResourceError::OtherBroker { asked: id, node }),
        resource => Ok(resource),
    });
    match resource.map_err(|error| (error.code(), error.to_string()))? {
        Named::Cluster(resource) => {
            if is_of_broker(&resource) {
                check_shards(shard, &alterations)?;
            }
            Ok(Asked::Cluster(AlterConfigs { resource, alterations }))
        }
        Named::Loggers(_) => Ok(Asked::Loggers(alterations)),
    }
}

fn is_of_broker(resource: &ConfigResource) -> bool {
    matches!(resource, ConfigResource::Broker(_) | ConfigResource::AllBrokers)
}

/// A broker cannot have more shards in use than it has, nor so few that one of them has more partitions than it can have.
fn check_shards(shard: &Shard, alterations: &[Alteration]) -> Result<(), Failure> {
    let there = shard.shards();
    let is_set = |alteration: &&Alteration| alteration.key == SHARDS_KEY && alteration.operation == AlterOperation::Set;
    let asked = alterations.iter().filter(is_set);
    for asked in asked.filter_map(|alteration| alteration.value.as_deref()?.trim().parse().ok()) {
        if let Some(beyond) = shards_beyond(asked, there) {
            return Err((ErrorCode::InvalidConfig, beyond));
        }
        if let Ok(asked @ 1..) = u16::try_from(asked) {
            check_room(shard, asked)?;
        }
    }
    Ok(())
}

fn check_room(shard: &Shard, asked: u16) -> Result<(), Failure> {
    let partitions_max = shard.settings().store(shard.index()).partitions_max;
    let image = shard.with(|state| Arc::clone(&state.image));
    let wanted = Placement::most(asked, all_partitions(&image).chain([METADATA_LOG]));
    if wanted <= partitions_max {
        return Ok(());
    }
    let why = format!(
        "one shard would have {wanted} partitions, and can have {partitions_max}; put more shards to use, or delete topics first"
    );
    Err((ErrorCode::InvalidConfig, format!("{SHARDS_KEY}={asked}: {why}")))
}
