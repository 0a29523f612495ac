//! The table of all families: one row each. It drives what is written, and the README's table.

mod apache_kafka;
mod kafka_exporter;
mod kminion;
mod own;
mod process;

#[cfg(test)]
mod tests;

use ringlog_cluster::config::MetricFamilies;

use super::counters::Traffic;
use super::exposition::Samples;
use super::gather::{Gathered, GroupRow, GroupTopicRow, OffsetRow, TopicRow};
use super::snapshot::PartitionRow;

/// What a family's numbers are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    Summary,
    /// For names that others have given, and that say something else than what they stand for.
    Untyped,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Summary => "summary",
            Self::Untyped => "untyped",
        }
    }
}

/// Whose names these are: each set has a switch, but for that of the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum FamilySet {
    /// Of Apache Kafka's beans, as the JMX exporter writes them for the dashboards of Strimzi.
    Jmx,
    KafkaExporter,
    Kminion,
    Ringlog,
    /// Prometheus' own, for any process.
    Process,
}

impl FamilySet {
    /// Whether it is switched on.
    pub(crate) fn is_on(self, families: MetricFamilies) -> bool {
        match self {
            Self::Jmx => families.jmx,
            Self::KafkaExporter => families.kafka_exporter,
            Self::Kminion => families.kminion,
            Self::Ringlog => families.ringlog,
            Self::Process => true,
        }
    }
}

/// One family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) set: FamilySet,
    /// One line for people.
    pub(crate) help: &'static str,
    /// In the order in which samples give them.
    pub(crate) labels: &'static [&'static str],
    pub(crate) source: Source,
}

/// Where the samples of a family come from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source {
    /// All at once: there are few.
    Broker(fn(&Gathered, &mut Samples<'_>)),
    Topics(fn(&TopicRow, &mut Samples<'_>)),
    /// Of each topic, and of all together, without the label.
    Traffic(fn(&Traffic) -> u64),
    /// The same of what was sent.
    Sent,
    Partitions(fn(&Gathered, &PartitionRow, &mut Samples<'_>)),
    Groups(fn(&GroupRow, &mut Samples<'_>)),
    GroupTopics(fn(&GroupTopicRow, &mut Samples<'_>)),
    Offsets(fn(&OffsetRow, &mut Samples<'_>)),
}

/// All families, set by set.
pub(crate) const ALL: [&[Family]; 5] =
    [apache_kafka::FAMILIES, kafka_exporter::FAMILIES, kminion::FAMILIES, own::FAMILIES, process::FAMILIES];
