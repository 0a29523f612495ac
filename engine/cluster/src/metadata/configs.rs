//! Configuration changed at run time: of topics, brokers and all brokers, groups, and subscriptions to metrics of clients.

use std::collections::BTreeSet;

use ringlog_net::error::ErrorCode;
use ringlog_storage::types::BrokerId;
use thiserror::Error;

use super::{Decision, Intent, Metadata};
use crate::config::{AlterError, Alteration, ConfigChanges, ConfigTarget, alter_incrementally, alter_wholly};
use crate::image::{ConfigResource, Image, config_record};

/// The most groups that have settings of their own.
pub const CONFIGURED_GROUPS_MAX: usize = 100_000;
/// The most subscriptions to metrics of clients. Every client that asks is compared with each of them.
pub const CLIENT_METRICS_MAX: usize = 1000;
/// The longest name of a group or a subscription, in bytes.
pub const RESOURCE_NAME_BYTES_MAX: usize = 1024;

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
    /// Groups and subscriptions have no defaults that a resource without a name could stand for.
    #[error("a {0} without a name cannot be configured; name one")]
    NoName(ResourceKind),
    /// A name longer than [`RESOURCE_NAME_BYTES_MAX`].
    #[error("the name of the {0} has {1} bytes, and may have {RESOURCE_NAME_BYTES_MAX} at most")]
    NameTooLong(ResourceKind, usize),
    /// There is no room for another one.
    #[error("{1} {0}s are configured, which is the most there can be; delete all keys of some")]
    TooMany(ResourceKind, usize),
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

/// What is configured without having to be there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ResourceKind {
    /// A group.
    #[error("group")]
    Group,
    /// A subscription to metrics of clients.
    #[error("client metrics subscription")]
    ClientMetrics,
}

impl ResourceKind {
    fn count_max(self) -> usize {
        match self {
            Self::Group => CONFIGURED_GROUPS_MAX,
            Self::ClientMetrics => CLIENT_METRICS_MAX,
        }
    }

    fn of(resource: &ConfigResource) -> Option<(Self, &str)> {
        match resource {
            ConfigResource::Group(name) => Some((Self::Group, name)),
            ConfigResource::ClientMetrics(name) => Some((Self::ClientMetrics, name)),
            ConfigResource::Topic(_) | ConfigResource::Broker(_) | ConfigResource::AllBrokers => None,
        }
    }
}

/// Room for resources that a request configures for the first time.
struct Room<'a> {
    image: &'a Image,
    group: Option<usize>,
    client_metrics: Option<usize>,
}

impl<'a> Room<'a> {
    fn new(image: &'a Image) -> Self {
        Self { image, group: None, client_metrics: None }
    }

    /// Takes the place of a resource that has no settings yet and gets some.
    fn take(&mut self, resource: &ConfigResource, changes: &ConfigChanges) -> Result<(), AlterConfigsError> {
        let Some((kind, _)) = ResourceKind::of(resource) else { return Ok(()) };
        if !self.image.config(resource).is_empty() || !changes.values().any(Option::is_some) {
            return Ok(());
        }
        let count_max = kind.count_max();
        let image = self.image;
        let left = match kind {
            ResourceKind::Group => &mut self.group,
            ResourceKind::ClientMetrics => &mut self.client_metrics,
        };
        let is_of_kind = |known: &&ConfigResource| ResourceKind::of(known).is_some_and(|(known, _)| known == kind);
        // Counted once for a request, and only for one that adds some.
        let left = left
            .get_or_insert_with(|| count_max.saturating_sub(image.configured_resources().filter(is_of_kind).count()));
        *left = left.checked_sub(1).ok_or(AlterConfigsError::TooMany(kind, count_max))?;
        Ok(())
    }
}

impl AlterConfigsError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::UnknownTopic(_) => ErrorCode::UnknownTopicOrPartition,
            Self::UnknownBroker(_) | Self::NoName(_) | Self::NameTooLong(..) | Self::NamedTwice => {
                ErrorCode::InvalidRequest
            }
            Self::TooMany(..) => ErrorCode::PolicyViolation,
            Self::MinInsyncPinned => ErrorCode::InvalidConfig,
            Self::Config { target, error } => error.code(*target),
        }
    }
}

const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";

impl Metadata {
    /// Changes the configuration of resources, each on its own, on top of those before it. Answers in the order of the request.
    pub fn alter_configs(
        &self,
        requests: &[AlterConfigs],
        mode: AlterMode,
        intent: Intent,
    ) -> Decision<Vec<Result<(), AlterConfigsError>>> {
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> =
            requests.iter().map(|request| &request.resource).filter(|resource| !seen.insert(*resource)).collect();
        let mut room = Room::new(&self.image);
        // What is wrong together must not come through in two parts.
        let mut changed = self.clone();
        let mut records = Vec::new();
        let mut reply = Vec::with_capacity(requests.len());
        for request in requests {
            let changes = if twice.contains(&request.resource) {
                Err(AlterConfigsError::NamedTwice)
            } else {
                changed.config_changes(request, mode).and_then(|changes| {
                    room.take(&request.resource, &changes)?;
                    Ok(changes)
                })
            };
            reply.push(changes.map(|changes| {
                for (key, value) in &changes {
                    let record = config_record(&request.resource, key, value.as_deref());
                    let next = changed.image.offset().next();
                    changed.image.replay(next, &record).expect("what is checked can be applied");
                    records.push(record);
                }
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
        if let Some((kind, name)) = ResourceKind::of(resource) {
            match name.len() {
                0 => return Err(AlterConfigsError::NoName(kind)),
                bytes if bytes > RESOURCE_NAME_BYTES_MAX => return Err(AlterConfigsError::NameTooLong(kind, bytes)),
                _ => {}
            }
        }
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
            ConfigResource::Group(_) => Ok(ConfigTarget::Group),
            ConfigResource::ClientMetrics(_) => Ok(ConfigTarget::ClientMetrics),
        }
    }
}
