//! Features and their levels (KIP-584). A level that is finalized in the metadata log holds for the whole cluster.

use std::collections::BTreeMap;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata_log::MetadataRecord;
use thiserror::Error;

use super::{Decision, Intent, Metadata};
use crate::config::ConfigLayers;
use crate::image::{ConfigResource, SupportedFeature, config_record, feature_record};

/// The feature that says how metadata records are to be read. Kafka has it first in every metadata log.
pub const METADATA_VERSION: &str = "metadata.version";
/// The feature that says how the quorum knows its voters; its level stands in no metadata record (KIP-853).
pub const KRAFT_VERSION: &str = "kraft.version";
/// Voters are known by id and directory, from the first start on.
pub const KRAFT_VERSION_LEVEL: i16 = 1;
/// The feature of KIP-966.
const ELIGIBLE_LEADER_REPLICAS_VERSION: &str = "eligible.leader.replicas.version";

/// A feature of Apache Kafka 4.4.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Feature {
    /// Its name.
    pub name: &'static str,
    /// The lowest level that this release can work at.
    pub level_min: i16,
    /// The highest one.
    pub level_max: i16,
    /// The level that a new cluster begins with; 0 writes nothing down.
    pub level_at_first: i16,
}

const fn feature(name: &'static str, level_min: i16, level_max: i16, level_at_first: i16) -> Feature {
    Feature { name, level_min, level_max, level_at_first }
}

/// All features, `metadata.version` first. Its level 33 is what Kafka calls 4.4-IV2; data of older levels was never
/// written by this program.
pub const FEATURES: &[Feature] = &[
    feature(METADATA_VERSION, 33, 33, 33),
    feature(ELIGIBLE_LEADER_REPLICAS_VERSION, 0, 1, 1),
    feature("group.version", 0, 1, 1),
    feature(KRAFT_VERSION, 0, KRAFT_VERSION_LEVEL, 0),
    feature("share.version", 0, 2, 2),
    feature("streams.version", 0, 1, 1),
    feature("transaction.version", 0, 2, 2),
];

/// What this broker says about itself when it registers.
pub(super) fn supported_features() -> Vec<SupportedFeature> {
    let supported = |feature: &Feature| SupportedFeature {
        name: feature.name.into(),
        level_min: feature.level_min,
        level_max: feature.level_max,
    };
    FEATURES.iter().map(supported).collect()
}

/// What becomes of a level that is lower than before, with Kafka's numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i8)]
pub enum UpgradeType {
    /// It is refused.
    Upgrade = 1,
    /// It is taken, if nothing is lost by it.
    SafeDowngrade = 2,
    /// It is taken.
    UnsafeDowngrade = 3,
}

impl UpgradeType {
    /// The type of this number.
    pub fn from_wire_code(code: i8) -> Option<Self> {
        [Self::Upgrade, Self::SafeDowngrade, Self::UnsafeDowngrade].into_iter().find(|it| *it as i8 == code)
    }
}

/// A new level of one feature.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// Its new level; 0 is as if it were not there.
    pub level: i16,
    /// Whether it may be lower than before; `None` if the request says something that is not known.
    pub upgrade_type: Option<UpgradeType>,
}

/// Why levels are not changed. One such feature is enough, and none is changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FeatureError {
    /// A type of upgrade that is not known.
    #[error("feature {0}: the upgrade type is neither an upgrade nor a safe or unsafe downgrade")]
    UnknownUpgradeType(String),
    /// A level below 0.
    #[error("feature {0}: a level is not below 0, and {1} is")]
    Negative(String, i16),
    /// A feature that is not known.
    #[error("feature {0} is not known to this release")]
    Unknown(String),
    /// A level that is not known.
    #[error("feature {name}: level {level} is not among those of this release, {min} to {max}")]
    OutOfRange {
        /// The feature.
        name: String,
        /// The level.
        level: i16,
        /// The lowest level that there is.
        min: i16,
        /// The highest.
        max: i16,
    },
    /// A lower level, and the request does not say that this is meant.
    #[error("feature {0}: level {1} is a downgrade, which the upgrade type has to allow")]
    Downgrade(String, i16),
    /// A lower level of a feature that only goes up.
    #[error("feature {0} cannot go down to level {1}")]
    Irreversible(String, i16),
}

impl FeatureError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        ErrorCode::InvalidUpdateVersion
    }
}

impl Metadata {
    /// Changes the levels of features: all of them, or none. Of two updates of one feature the last counts.
    pub fn update_features(&self, updates: &[FeatureUpdate], intent: Intent) -> Decision<Result<(), FeatureError>> {
        let last: BTreeMap<_, _> = updates.iter().map(|update| (&update.name, update)).collect();
        let mut records = Vec::new();
        for update in last.into_values() {
            match self.feature_change(update) {
                Ok(changes) => records.extend(changes),
                Err(error) => return Decision::reply(Err(error)),
            }
        }
        if intent == Intent::ValidateOnly {
            records.clear();
        }
        Decision { records, reply: Ok(()) }
    }

    /// The records that one update asks for.
    fn feature_change(&self, update: &FeatureUpdate) -> Result<Vec<MetadataRecord>, FeatureError> {
        let FeatureUpdate { name, level, upgrade_type } = update;
        let upgrade_type = upgrade_type.ok_or_else(|| FeatureError::UnknownUpgradeType(name.clone()))?;
        if *level < 0 {
            return Err(FeatureError::Negative(name.clone(), *level));
        }
        let feature = FEATURES.iter().find(|feature| feature.name == name);
        let Feature { level_min: min, level_max: max, .. } =
            *feature.ok_or_else(|| FeatureError::Unknown(name.clone()))?;
        if !(min..=max).contains(level) {
            return Err(FeatureError::OutOfRange { name: name.clone(), level: *level, min, max });
        }
        let of_quorum = name == KRAFT_VERSION;
        let before = if of_quorum { KRAFT_VERSION_LEVEL } else { self.image.feature_level(name) };
        if *level < before && upgrade_type == UpgradeType::Upgrade {
            return Err(FeatureError::Downgrade(name.clone(), *level));
        }
        if *level < before && of_quorum {
            return Err(FeatureError::Irreversible(name.clone(), *level));
        }
        if *level == before {
            return Ok(Vec::new());
        }
        let mut records = vec![feature_record(name, *level)];
        if name == ELIGIBLE_LEADER_REPLICAS_VERSION && before == 0 {
            records.extend(self.pin_min_insync_replicas());
        }
        Ok(records)
    }

    /// Eligible leader replicas need one `min.insync.replicas` for all brokers: it is set for all of them, and no longer for
    /// any one of them.
    fn pin_min_insync_replicas(&self) -> Vec<MetadataRecord> {
        const KEY: &str = "min.insync.replicas";
        let mut records = Vec::new();
        if !self.image.config(&ConfigResource::AllBrokers).contains_key(KEY) {
            let replicas = ConfigLayers::of_start(&self.fixed).integer(KEY).to_string();
            records.push(config_record(&ConfigResource::AllBrokers, KEY, Some(&replicas)));
        }
        for resource in self.image.configured_resources() {
            if matches!(resource, ConfigResource::Broker(_)) && self.image.config(resource).contains_key(KEY) {
                records.push(config_record(resource, KEY, None));
            }
        }
        records
    }
}
