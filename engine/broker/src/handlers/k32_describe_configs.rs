//! `DescribeConfigs`, versions 1 to 4: configuration of topics, brokers and their loggers, groups, and subscriptions to
//! metrics of clients, with where each value comes from.

use ringlog_cluster::config::{
    ConfigSource, DescribedConfig, LogLevel, describe_all_brokers, describe_broker, describe_client_metrics,
    describe_group, describe_topic,
};
use ringlog_cluster::image::{ConfigResource, Image};
use ringlog_cluster::metadata::check_topic_name;
use ringlog_net::conn::CloseReason;
use ringlog_net::messages::describe_configs::{
    DescribeConfigsRequest, DescribeConfigsResource, DescribeConfigsResourceResult, DescribeConfigsResponse,
    DescribeConfigsResult, DescribeConfigsSynonym,
};

use crate::config_resource::{Named, ResourceError, named};
use crate::dispatch::{Handled, Incoming, respond};
use crate::logging;
use crate::scatter::once_each;
use crate::settings::Settings;
use crate::shard::Shard;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let mut request: DescribeConfigsRequest = incoming.decode()?;
    request.resources =
        once_each(request.resources, |resource| (resource.resource_type, resource.resource_name.clone()));
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    Ok(Handled::later(async move {
        let mut results = Vec::with_capacity(request.resources.len());
        for resource in &request.resources {
            let described = describe(&shard, &image, resource, &request).await;
            let (error_code, error_message, configs) = match described {
                Ok(configs) => (0, None, configs),
                Err(error) => (error.code().code(), Some(error.to_string()), Vec::new()),
            };
            results.push(DescribeConfigsResult {
                error_code,
                error_message,
                resource_type: resource.resource_type,
                resource_name: resource.resource_name.clone(),
                configs,
            });
        }
        respond(&DescribeConfigsResponse { throttle_time_ms: 0, results }, version)
    }))
}

async fn describe(
    shard: &Shard,
    image: &Image,
    resource: &DescribeConfigsResource,
    request: &DescribeConfigsRequest,
) -> Result<Vec<DescribeConfigsResourceResult>, ResourceError> {
    let node = shard.settings().broker.node_id;
    match named(resource.resource_type, &resource.resource_name)? {
        Named::Cluster(of_cluster) => {
            let configs = describe_config(image, shard.settings(), &of_cluster, resource.resource_type)?;
            let selected = configs.into_iter().filter(|config| is_named(resource, config.name));
            Ok(selected.map(|config| tell(config, request)).collect())
        }
        Named::Loggers(id) if id == node => {
            let levels = logging::levels(shard).await;
            let selected = levels.into_iter().filter(|(name, _)| is_named(resource, name));
            Ok(selected.map(|(name, level)| tell_logger(name, level)).collect())
        }
        Named::Loggers(id) => Err(ResourceError::OtherBroker { asked: id, node }),
    }
}

fn describe_config(
    image: &Image,
    settings: &Settings,
    resource: &ConfigResource,
    resource_type: i8,
) -> Result<Vec<DescribedConfig>, ResourceError> {
    let node = settings.broker.node_id;
    let layers = settings.layers(image);
    match resource {
        ConfigResource::Topic(name) => {
            check_topic_name(name).map_err(|why| ResourceError::TopicName(name.to_string(), why))?;
            image.topic(name).ok_or_else(|| ResourceError::UnknownTopic(name.to_string()))?;
            Ok(describe_topic(image.topic_settings(name), &layers))
        }
        ConfigResource::Broker(id) if *id == node => Ok(describe_broker(&layers)),
        ConfigResource::Broker(id) => Err(ResourceError::OtherBroker { asked: *id, node }),
        ConfigResource::AllBrokers => Ok(describe_all_brokers(&layers)),
        ConfigResource::Group(name) | ConfigResource::ClientMetrics(name) if name.is_empty() => {
            Err(ResourceError::NoName(resource_type))
        }
        // Neither has to be there to be described.
        ConfigResource::Group(_) => Ok(describe_group(image.config(resource), &layers)),
        ConfigResource::ClientMetrics(_) => Ok(describe_client_metrics(image.config(resource))),
    }
}

/// Whether the client named the key, or asked for all of them.
fn is_named(resource: &DescribeConfigsResource, name: &str) -> bool {
    // An empty list asks for everything too: that is what Kafka's clients of old mean by it.
    let named = resource.configuration_keys.as_ref().filter(|keys| !keys.is_empty());
    named.is_none_or(|keys| keys.iter().any(|key| key == name))
}

fn tell_logger(name: String, level: LogLevel) -> DescribeConfigsResourceResult {
    DescribeConfigsResourceResult {
        name,
        value: Some(level.to_string()),
        config_source: ConfigSource::BrokerLogger.wire_code(),
        ..DescribeConfigsResourceResult::default()
    }
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
