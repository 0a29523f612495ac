//! The metadata controller: decides about topics, partitions, configuration, brokers, features and producer ids, and
//! writes what it decided to `__cluster_metadata` in Kafka's own records.
//!
//! Commands are methods that take `&self` and answer a [`Decision`]; see [`crate::coordinator`] for what happens to it.
//! One node is a quorum of one.

mod brokers;
mod configs;
mod features;
mod partitions;
mod producer_ids;
mod quotas;
mod scram;
mod topic_name;
mod topics;

use std::sync::Arc;

use ringlog_net::messages::metadata_log::MetadataRecord;
use ringlog_storage::types::{BrokerId, Offset};

use crate::config::{ConfigLayers, StaticConfig};
use crate::coordinator::{self, Coordinator};
use crate::image::{Image, ReplayError};

pub use brokers::{Registration, StartError, UnregisterError};
pub use configs::{
    AlterConfigs, AlterConfigsError, AlterMode, CLIENT_METRICS_MAX, CONFIGURED_GROUPS_MAX, RESOURCE_NAME_BYTES_MAX,
    ResourceKind,
};
pub use features::{
    FEATURES, Feature, FeatureError, FeatureUpdate, KRAFT_VERSION, KRAFT_VERSION_LEVEL, METADATA_VERSION, UpgradeType,
};
pub use partitions::NewPartitions;
pub use producer_ids::{PRODUCER_ID_BLOCK_LEN, ProducerIdBlock, ProducerIdsExhausted};
pub use quotas::{AlterQuotas, QUOTA_ENTITIES_MAX, QuotaError};
pub use scram::{AlterScram, SCRAM_CREDENTIALS_MAX, ScramError, ScramUpsertion};
pub use topic_name::{InvalidTopicName, TOPIC_NAME_BYTES_MAX, check_topic_name};
pub use topics::{
    Assignment, CreatedTopic, NewTopic, PARTITIONS_MAX, PARTITIONS_PER_REQUEST_MAX, TopicError, TopicRef,
};

/// A decision of the metadata controller.
pub type Decision<Reply> = coordinator::Decision<MetadataRecord, Reply>;

/// Validates only, or also writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Intent {
    /// The request is carried out.
    Apply,
    /// The request is answered as if it were carried out.
    ValidateOnly,
}

/// The metadata controller's machine.
#[derive(Clone, PartialEq, Debug)]
pub struct Metadata {
    image: Image,
    /// What this node was started with; its defaults count for the whole cluster.
    fixed: Arc<StaticConfig>,
}

impl Metadata {
    /// The machine before the first record of its log. `node` is this broker, and the controller.
    pub fn new(cluster_id: impl Into<Arc<str>>, node: BrokerId, fixed: Arc<StaticConfig>) -> Self {
        Self { image: Image::new(cluster_id, node), fixed }
    }

    /// The state. To publish it, clone it into an `Arc`: that costs a few reference counts.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// The layers of configuration of this node, whose defaults count for the whole cluster.
    fn layers(&self) -> ConfigLayers<'_> {
        self.image.layers(self.image.controller(), &self.fixed)
    }

    /// The offset that the first record of the next decision gets.
    fn next_offset(&self) -> Offset {
        self.image.offset().next()
    }
}

impl Coordinator for Metadata {
    type Record = MetadataRecord;
    type Error = ReplayError;

    fn replay(&mut self, offset: Offset, record: &MetadataRecord) -> Result<(), ReplayError> {
        self.image.replay(offset, record)
    }

    fn compact(&self, log: &[MetadataRecord]) -> Result<Vec<MetadataRecord>, ReplayError> {
        let mut machine = self.clone();
        for record in log {
            machine.replay(Offset::ZERO, record)?;
        }
        Ok(machine.image.records())
    }
}

#[cfg(test)]
mod tests;
