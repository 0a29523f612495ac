//! What a request calls a resource with configuration.

use ringlog_cluster::image::ConfigResource;
use ringlog_net::error::ErrorCode;
use ringlog_storage::types::BrokerId;

/// What can be configured, with its number in requests (`ConfigResource.Type` of Kafka's clients).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ResourceType {
    Topic = 2,
    Broker = 4,
    BrokerLogger = 8,
    ClientMetrics = 16,
    Group = 32,
}

impl ResourceType {
    pub(crate) const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    pub(crate) fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.code() == code)
    }

    pub(crate) const fn code(self) -> i8 {
        self as i8
    }
}

/// Why a resource has no configuration here.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum ResourceError {
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    #[error("this is broker {node}; ask broker {asked} for its own configuration")]
    OtherBroker { asked: BrokerId, node: BrokerId },
    #[error("{0} is not the id of a broker")]
    BadBrokerId(String),
    #[error("resources of type {0} have no configuration here; topics (2) and brokers (4) have")]
    UnsupportedType(i8),
}

impl ResourceError {
    pub(crate) fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::OtherBroker { .. } | Self::BadBrokerId(_) | Self::UnsupportedType(_) => ErrorCode::InvalidRequest,
        }
    }
}

/// The resource of a type and a name. A broker without a name stands for all of them.
pub(crate) fn config_resource(resource_type: i8, name: &str) -> Result<ConfigResource, ResourceError> {
    match ResourceType::from_code(resource_type) {
        Some(ResourceType::Topic) => Ok(ConfigResource::Topic(name.into())),
        Some(ResourceType::Broker) if name.is_empty() => Ok(ConfigResource::AllBrokers),
        Some(ResourceType::Broker) => {
            let id = name.parse().map_err(|_| ResourceError::BadBrokerId(name.to_owned()))?;
            Ok(ConfigResource::Broker(BrokerId::new(id)))
        }
        _ => Err(ResourceError::UnsupportedType(resource_type)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_topics_and_brokers() {
        let check = |kind, name: &str, expected| assert_eq!(config_resource(kind, name), expected, "{kind} {name:?}");
        check(2, "events", Ok(ConfigResource::Topic("events".into())));
        check(4, "", Ok(ConfigResource::AllBrokers));
        check(4, "7", Ok(ConfigResource::Broker(BrokerId::new(7))));
        check(4, "x", Err(ResourceError::BadBrokerId("x".to_owned())));
        check(4, "99999999999", Err(ResourceError::BadBrokerId("99999999999".to_owned())));
        for kind in [-1, 0, 1, 8, 16, 32] {
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
            (ResourceError::UnsupportedType(1), ErrorCode::InvalidRequest),
        ] {
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
