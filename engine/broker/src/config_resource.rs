//! What a request calls a resource with configuration.

use ringlog_cluster::config::ResourceType;
use ringlog_cluster::image::ConfigResource;
use ringlog_cluster::metadata::InvalidTopicName;
use ringlog_net::error::ErrorCode;
use ringlog_storage::types::BrokerId;

/// Why a resource has no configuration here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ResourceError {
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    #[error("{0} cannot be the name of a topic: {1}")]
    TopicName(String, InvalidTopicName),
    #[error("this is broker {node}; ask broker {asked} for its own configuration")]
    OtherBroker { asked: BrokerId, node: BrokerId },
    #[error("{0} is not the id of a broker")]
    BadBrokerId(String),
    #[error("a resource of type {0} without a name has no configuration; name one")]
    NoName(i8),
    #[error(
        "there are no resources of type {0}; topics (2), brokers (4), loggers of a broker (8), client metrics (16) and groups \
         (32) have configuration"
    )]
    UnsupportedType(i8),
}

impl ResourceError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::TopicName(..) => ErrorCode::InvalidTopicException,
            Self::OtherBroker { .. } | Self::BadBrokerId(_) | Self::NoName(_) | Self::UnsupportedType(_) => {
                ErrorCode::InvalidRequest
            }
        }
    }
}

/// What a request means by a type and a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Named {
    /// Its configuration is the cluster's metadata.
    Cluster(ConfigResource),
    /// The loggers of a broker, which alone knows their levels.
    Loggers(BrokerId),
}

/// The resource of a type and a name. A broker without a name stands for all of them.
pub(crate) fn named(resource_type: i8, name: &str) -> Result<Named, ResourceError> {
    let broker_id = || name.parse().map(BrokerId::new).map_err(|_| ResourceError::BadBrokerId(name.to_owned()));
    let kind = ResourceType::from_wire_code(resource_type).ok_or(ResourceError::UnsupportedType(resource_type))?;
    Ok(Named::Cluster(match kind {
        ResourceType::Topic => ConfigResource::Topic(name.into()),
        ResourceType::Broker if name.is_empty() => ConfigResource::AllBrokers,
        ResourceType::Broker => ConfigResource::Broker(broker_id()?),
        ResourceType::BrokerLogger => return Ok(Named::Loggers(broker_id()?)),
        ResourceType::ClientMetrics => ConfigResource::ClientMetrics(name.into()),
        ResourceType::Group => ConfigResource::Group(name.into()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_have_types_and_names() {
        let check = |kind, name: &str, expected| assert_eq!(named(kind, name), expected, "{kind} {name:?}");
        let cluster = |resource| Ok(Named::Cluster(resource));
        check(2, "events", cluster(ConfigResource::Topic("events".into())));
        check(4, "", cluster(ConfigResource::AllBrokers));
        check(4, "7", cluster(ConfigResource::Broker(BrokerId::new(7))));
        check(8, "7", Ok(Named::Loggers(BrokerId::new(7))));
        check(16, "slow", cluster(ConfigResource::ClientMetrics("slow".into())));
        check(32, "shop", cluster(ConfigResource::Group("shop".into())));
        for (kind, name) in [(4, "x"), (4, "99999999999"), (8, "")] {
            check(kind, name, Err(ResourceError::BadBrokerId(name.to_owned())));
        }
        for kind in [-1, 0, 1, 33] {
            check(kind, "x", Err(ResourceError::UnsupportedType(kind)));
        }
    }

    #[test]
    fn every_error_has_its_code() {
        let node = BrokerId::new(1);
        for (error, code) in [
            (ResourceError::UnknownTopic("a".to_owned()), ErrorCode::UnknownTopicOrPartition),
            (ResourceError::OtherBroker { asked: BrokerId::new(2), node }, ErrorCode::InvalidRequest),
            (ResourceError::BadBrokerId("x".to_owned()), ErrorCode::InvalidRequest),
            (ResourceError::NoName(32), ErrorCode::InvalidRequest),
            (ResourceError::UnsupportedType(1), ErrorCode::InvalidRequest),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
