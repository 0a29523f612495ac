//! `ListConfigResources`, versions 0 and 1 (KIP-1142): the names of what can be configured.

use std::sync::Arc;

use ringlog_cluster::config::ResourceType;
use ringlog_cluster::image::{self, Image};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::list_config_resources::{
    ConfigResource, ListConfigResourcesRequest, ListConfigResourcesResponse,
};

use crate::dispatch::{Handled, Incoming};
use crate::scatter::once_each;

/// Before this version only subscriptions of client metrics could be asked for.
const TYPES_VERSION_MIN: i16 = 1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ListConfigResourcesRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let asked = once_each(request.resource_types, |code| *code);
    let asked: Option<Vec<_>> = asked.into_iter().map(ResourceType::from_wire_code).collect();
    let types = match asked {
        _ if incoming.version() < TYPES_VERSION_MIN => vec![ResourceType::ClientMetrics],
        Some(none) if none.is_empty() => ResourceType::ALL.to_vec(),
        Some(types) => types,
        None => {
            let error_code = ErrorCode::UnsupportedVersion.code();
            let response = ListConfigResourcesResponse { error_code, ..ListConfigResourcesResponse::default() };
            return Ok(Handled::Now(incoming.respond(&response)));
        }
    };
    let config_resources = types.into_iter().flat_map(|resource_type| resources(&image, resource_type)).collect();
    let response = ListConfigResourcesResponse { config_resources, ..ListConfigResourcesResponse::default() };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn resources(image: &Image, resource_type: ResourceType) -> Vec<ConfigResource> {
    let names: Vec<String> = match resource_type {
        ResourceType::Topic => image.topics().map(|topic| topic.name.to_string()).collect(),
        ResourceType::Broker | ResourceType::BrokerLogger => {
            image.brokers().map(|broker| broker.id.to_string()).collect()
        }
        // Of these the ones that have settings are listed.
        ResourceType::ClientMetrics => configured(image, |resource| match resource {
            image::ConfigResource::ClientMetrics(name) => Some(name),
            _ => None,
        }),
        ResourceType::Group => configured(image, |resource| match resource {
            image::ConfigResource::Group(name) => Some(name),
            _ => None,
        }),
    };
    let resource = |resource_name| ConfigResource { resource_name, resource_type: resource_type.wire_code() };
    names.into_iter().map(resource).collect()
}

fn configured(image: &Image, name: impl Fn(&image::ConfigResource) -> Option<&Arc<str>>) -> Vec<String> {
    image.configured_resources().filter_map(name).map(ToString::to_string).collect()
}
