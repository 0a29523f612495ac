//! `DescribeConfigs`, versions 1 to 4: configuration of topics and brokers, with where each value comes from.

use std::collections::BTreeSet;

use ringlog_cluster::config::{DescribedConfig, describe_all_brokers, describe_broker, describe_topic};
use ringlog_cluster::image::{ConfigResource, Image};
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::config_resource::{ResourceError, config_resource};
use crate::dispatch::{Handled, Incoming};
use crate::settings::Settings;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeConfigsRequest = incoming.decode()?;
    let shard = incoming.connection.shard();
    let image = shard.with(|state| state.image.clone());
    let results = request.resources.iter().map(|resource| {
        let described = describe(&image, shard.settings(), resource);
        let (code, message, configs) = match described {
            Ok(configs) => (0, None, select(configs, resource).map(|config| tell(config, &request)).collect()),
            Err(error) => (error.code().code(), Some(error.to_string()), Vec::new()),
        };
        DescribeConfigsResult {
            error_code: code,
            error_message: message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs,
        }
    });
    let response = DescribeConfigsResponse { throttle_time_ms: 0, results: results.collect() };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn describe(
    image: &Image,
    settings: &Settings,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, ResourceError> {
    let node = settings.broker.node_id;
    let layers = image.layers(node, &settings.fixed);
    match config_resource(resource.resource_type, &resource.resource_name)? {
        ConfigResource::Topic(name) => {
            image.topic(&name).ok_or_else(|| ResourceError::UnknownTopic(name.to_string()))?;
            Ok(describe_topic(image.topic_settings(&name), &layers))
        }
        ConfigResource::Broker(id) if id == node => Ok(describe_broker(&layers)),
        ConfigResource::Broker(id) => Err(ResourceError::OtherBroker { asked: id, node }),
        ConfigResource::AllBrokers => Ok(describe_all_brokers(&layers)),
    }
}

/// The keys that the client named, or all of them.
fn select(configs: Vec<DescribedConfig>, resource: &DescribeConfigsResource) -> impl Iterator<Item = DescribedConfig> {
    // An empty list asks for everything too: that is what Kafka's clients of old mean by it.
    let named = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    let named: Option<BTreeSet<&str>> = named.map(|keys| keys.iter().map(String::as_str).collect());
    configs.into_iter().filter(move |config| named.as_ref().is_none_or(|named| named.contains(config.name)))
}

fn tell(config: DescribedConfig, request: &DescribeConfigsRequest) -> DescribeConfigsResourceResult {
    let synonyms =
        config.synonyms.into_iter().filter(|_| request.include_synonyms).map(|synonym| DescribeConfigsSynonym {
            name: synonym.name.to_owned(),
            value: synonym.value,
            source: synonym.source.wire_code(),
        });
    DescribeConfigsResourceResult {
        name: config.name.to_owned(),
        value: config.value,
        read_only: config.read_only,
        config_source: config.source.wire_code(),
        is_sensitive: config.is_sensitive,
        synonyms: synonyms.collect(),
        config_type: config.kind.wire_code(),
        documentation: request.include_documentation.then(|| config.documentation.to_owned()),
    }
}
