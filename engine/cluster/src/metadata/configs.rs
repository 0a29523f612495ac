//! Configuration changed at run time, of topics, of brokers, and of all brokers.

use std::collections::BTreeSet;

use ringlog_net::error::ErrorCode;
use ringlog_storage::types::BrokerId;
use thiserror::Error;

use super::{Decision, Intent, Metadata};
use crate::config::{AlterError, Alteration, ConfigChanges, ConfigTarget, alter_incrementally, alter_wholly};
use crate::image::{ConfigResource, config_record};

/// Changes of one resource.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AlterConfigs {
    /// The resource.
    pub resource: ConfigResource,
    /// What changes; in [`AlterMode::Whole`] everything that is to be set.
    pub alterations: Vec<Alteration>,
}

/// What becomes of settings that a request does not name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AlterMode {
    /// They stay: `IncrementalAlterConfigs`.
    Incremental,
    /// They go: `AlterConfigs`.
    Whole,
}

/// Why a resource is not changed.
#[derive(Clone, PartialEq, Debug, Error)]
pub enum AlterConfigsError {
    /// There is no topic of this name.
    #[error("there is no topic {0}")]
    UnknownTopic(String),
    /// There is no broker of this id.
    #[error("broker {0} is not registered")]
    UnknownBroker(BrokerId),
    /// The request names one resource twice.
    #[error("the request names one resource twice")]
    NamedTwice,
    /// Eligible leader replicas need one `min.insync.replicas` for all brokers (KIP-966).
    #[error(
        "min.insync.replicas is set for all brokers and for topics, and cannot be taken away or set for one broker, while eligible.leader.replicas.version is 1"
    )]
    MinInsyncPinned,
    /// The changes are refused.
    #[error("{error}")]
    Config {
        /// What they are of.
        target: ConfigTarget,
        /// Why.
        error: AlterError,
    },
}

impl AlterConfigsError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownBroker(_) | Self::NamedTwice => ErrorCode::InvalidRequest,
            Self::MinInsyncPinned => ErrorCode::InvalidConfig,
            Self::Config { target, error } => error.code(*target),
        }
    }
}

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

impl Metadata {
    /// Changes the configuration of resources, each on its own. Answers in the order of the request.
    pub fn alter_configs(
        &self,
        requests: &[AlterConfigs],
        mode: AlterMode,
        intent: Intent,
    ) -> Decision<Vec<Result<(), AlterConfigsError>>> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> =
            requests.iter().map(|request| &request.resource).filter(|resource| !seen.insert(*resource)).collect();
        let mut records = Vec::new();
        let mut reply = Vec::with_capacity(requests.len());
        for request in requests {
            let changes = if twice.contains(&request.resource) {
                Err(AlterConfigsError::NamedTwice)
            } else {
                self.config_changes(request, mode)
            };
            reply.push(changes.map(|changes| {
                let change =
                    |(key, value): (&String, &Option<String>)| config_record(&request.resource, key, value.as_deref());
                records.extend(changes.iter().map(change));
            }));
        }
        if intent == Intent::ValidateOnly {
            records.clear();
        }
        Decision { records, reply }
    }

    fn config_changes(&self, request: &AlterConfigs, mode: AlterMode) -> Result<ConfigChanges, AlterConfigsError> {
        let target = self.target(&request.resource)?;
        let current = self.image.config(&request.resource);
        let layers = self.layers();
        let mut changes = match mode {
            AlterMode::Incremental => alter_incrementally(target, current, &request.alterations, &layers),
            AlterMode::Whole => alter_wholly(target, current, &request.alterations, &layers),
        }
        .map_err(|error| AlterConfigsError::Config { target, error })?;
        let is_pinned = self.image.feature_level("eligible.leader.replicas.version") > 0;
        match (target, changes.get(MIN_INSYNC_REPLICAS)) {
            (ConfigTarget::Broker, Some(Some(_))) if is_pinned => Err(AlterConfigsError::MinInsyncPinned),
            (ConfigTarget::AllBrokers, Some(None)) if is_pinned && mode == AlterMode::Incremental => {
                Err(AlterConfigsError::MinInsyncPinned)
            }
            (ConfigTarget::AllBrokers, Some(None)) if is_pinned => {
                // The old request names everything that is to be set, and its callers never named this one.
                changes.remove(MIN_INSYNC_REPLICAS);
                Ok(changes)
            }
            _ => Ok(changes),
        }
    }

    fn target(&self, resource: &ConfigResource) -> Result<ConfigTarget, AlterConfigsError> {
        match resource {
            ConfigResource::Topic(name) if self.image.topic(name).is_none() => {
                Err(AlterConfigsError::UnknownTopic(name.to_string()))
            }
            ConfigResource::Topic(_) => Ok(ConfigTarget::Topic),
            ConfigResource::Broker(id) if self.image.broker(*id).is_none() => {
                Err(AlterConfigsError::UnknownBroker(*id))
            }
            ConfigResource::Broker(_) => Ok(ConfigTarget::Broker),
            ConfigResource::AllBrokers => Ok(ConfigTarget::AllBrokers),
        }
    }
}
