//! Features and their levels (KIP-584). A level that is finalized in the metadata log holds for the whole cluster.

use crate::image::SupportedFeature;

/// The feature that says how metadata records are to be read. Kafka has it first in every metadata log.
pub const METADATA_VERSION: &str = "metadata.version";

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
/// written by this program. `kraft.version` is supported but stands in no metadata record (KIP-853).
pub const FEATURES: &[Feature] = &[
    feature(METADATA_VERSION, 33, 33, 33),
    feature("eligible.leader.replicas.version", 0, 1, 1),
    feature("group.version", 0, 1, 1),
    feature("kraft.version", 0, 1, 0),
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
