//! The names of `kafka_exporter`, as its dashboard (Grafana 7589) asks for them.

use super::{Family, FamilySet, Kind, Source};

const TOPIC: &[&str] = &["topic"];
const PARTITION: &[&str] = &["topic", "partition"];
const GROUP: &[&str] = &["consumergroup"];
const GROUP_TOPIC: &[&str] = &["consumergroup", "topic"];
const OFFSET: &[&str] = &["consumergroup", "topic", "partition"];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    source: Source,
) -> Family {
    Family { name, kind, set: FamilySet::KafkaExporter, help, labels, source }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "kafka_brokers",
        Kind::Gauge,
        &[],
        "Brokers of the cluster.",
        Source::Broker(|all, samples| {
            samples.put(&[], all.image.brokers().count());
        }),
    ),
    family(
        "kafka_broker_info",
        Kind::Gauge,
        &["id", "address"],
        "A broker of the cluster, and where clients reach it.",
        Source::Broker(|all, samples| {
            for broker in all.image.brokers() {
                let id = broker.id.get();
                let address = broker.listeners.first().map(|listener| &listener.endpoint);
                let address =
                    address.map(|endpoint| format!("{}:{}", endpoint.host, endpoint.port)).unwrap_or_default();
                samples.put(&[id.into(), address.as_str().into()], true);
            }
        }),
    ),
    family(
        "kafka_topic_partitions",
        Kind::Gauge,
        TOPIC,
        "Partitions of a topic.",
        Source::Topics(|topic, samples| {
            samples.put(&[topic.label()], topic.partitions);
        }),
    ),
    family(
        "kafka_topic_partition_current_offset",
        Kind::Gauge,
        PARTITION,
        "High watermark of a partition: behind the last offset that consumers may see.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.high_watermark.get());
        }),
    ),
    family(
        "kafka_topic_partition_oldest_offset",
        Kind::Gauge,
        PARTITION,
        "First offset of a partition that can be read.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.log_start.get());
        }),
    ),
    family(
        "kafka_topic_partition_leader",
        Kind::Gauge,
        PARTITION,
        "Broker that leads a partition.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), i64::from(image.leader.get())));
        }),
    ),
    family(
        "kafka_topic_partition_leader_is_preferred",
        Kind::Gauge,
        PARTITION,
        "Whether a partition is led by the first of its replicas.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.replicas.first() == Some(&image.leader)));
        }),
    ),
    family(
        "kafka_topic_partition_replicas",
        Kind::Gauge,
        PARTITION,
        "Replicas of a partition.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.replicas.len()));
        }),
    ),
    family(
        "kafka_topic_partition_in_sync_replica",
        Kind::Gauge,
        PARTITION,
        "Replicas of a partition that are in sync.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.len()));
        }),
    ),
    family(
        "kafka_topic_partition_under_replicated_partition",
        Kind::Gauge,
        PARTITION,
        "Whether fewer replicas are in sync than a partition has.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.len() < image.replicas.len()));
        }),
    ),
    family(
        "kafka_consumergroup_members",
        Kind::Gauge,
        GROUP,
        "Members of a group.",
        Source::Groups(|group, samples| {
            samples.put(&[group.group.as_ref().into()], group.members);
        }),
    ),
    family(
        "kafka_consumergroup_current_offset",
        Kind::Gauge,
        OFFSET,
        "Offset that a group has committed of a partition.",
        Source::Offsets(|row, samples| {
            samples.put(&row.labels(), row.offset);
        }),
    ),
    family(
        "kafka_consumergroup_lag",
        Kind::Gauge,
        OFFSET,
        "Offsets from what a group has committed to the partition's high watermark.",
        Source::Offsets(|row, samples| {
            row.lag.into_iter().for_each(|lag| samples.put(&row.labels(), lag));
        }),
    ),
    family(
        "kafka_consumergroup_current_offset_sum",
        Kind::Untyped,
        GROUP_TOPIC,
        "Offsets that a group has committed of all partitions of a topic.",
        Source::GroupTopics(|row, samples| {
            samples.put(&row.labels(), row.offsets);
        }),
    ),
    family(
        "kafka_consumergroup_lag_sum",
        Kind::Untyped,
        GROUP_TOPIC,
        "Lag of a group on all partitions of a topic.",
        Source::GroupTopics(|row, samples| {
            samples.put(&row.labels(), row.lag);
        }),
    ),
];
