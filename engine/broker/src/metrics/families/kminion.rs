//! The names of kminion, as its dashboards (Grafana 14012, 14013 and 14014) ask for them.

use super::{Family, FamilySet, Kind, Source};

const TOPIC: &[&str] = &["topic_name"];
const PARTITION: &[&str] = &["topic_name", "partition_id"];
const GROUP_TOPIC: &[&str] = &["group_id", "topic_name"];
const OFFSET: &[&str] = &["group_id", "topic_name", "partition_id"];

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    source: Source,
) -> Family {
    Family { name, kind, set: FamilySet::Kminion, help, labels, source }
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "kminion_kafka_cluster_info",
        Kind::Gauge,
        &["cluster_id", "controller_id", "broker_count"],
        "The cluster.",
        Source::Broker(|all, samples| {
            let (controller, brokers) = (all.image.controller().get(), all.image.brokers().count());
            samples.put(&[all.image.cluster_id().into(), controller.into(), brokers.into()], true);
        }),
    ),
    family(
        "kminion_kafka_broker_info",
        Kind::Gauge,
        &["broker_id", "address", "port", "rack_id", "is_controller"],
        "A broker of the cluster.",
        Source::Broker(|all, samples| {
            for broker in all.image.brokers() {
                let (host, port) = broker
                    .listeners
                    .first()
                    .map_or((String::new(), 0), |listener| (listener.endpoint.host.clone(), listener.endpoint.port));
                let rack = broker.rack.as_deref().unwrap_or_default();
                let is_controller = if broker.id == all.image.controller() { "true" } else { "false" };
                let labels = [
                    broker.id.get().into(),
                    host.as_str().into(),
                    i32::from(port).into(),
                    rack.into(),
                    is_controller.into(),
                ];
                samples.put(&labels, true);
            }
        }),
    ),
    family(
        "kminion_kafka_broker_log_dir_size_total_bytes",
        Kind::Gauge,
        &["broker_id"],
        "Bytes of all partitions of a broker.",
        Source::Broker(|all, samples| {
            let bytes: u64 = all.partitions.iter().map(|row| row.extent.bytes).sum();
            samples.put(&[all.node_id.into()], bytes);
        }),
    ),
    family(
        "kminion_kafka_topic_info",
        Kind::Gauge,
        &["topic_name", "partition_count", "replication_factor"],
        "A topic.",
        Source::Topics(|topic, samples| {
            samples.put(&[topic.label(), topic.partitions.into(), topic.replicas.into()], true);
        }),
    ),
    family(
        "kminion_kafka_topic_log_dir_size_total_bytes",
        Kind::Gauge,
        TOPIC,
        "Bytes of all partitions of a topic.",
        Source::Topics(|topic, samples| {
            samples.put(&[topic.label()], topic.bytes);
        }),
    ),
    family(
        "kminion_kafka_topic_high_water_mark_sum",
        Kind::Untyped,
        TOPIC,
        "High watermarks of all partitions of a topic.",
        Source::Topics(|topic, samples| {
            samples.put(&[topic.label()], topic.high_watermarks);
        }),
    ),
    family(
        "kminion_kafka_topic_low_water_mark_sum",
        Kind::Untyped,
        TOPIC,
        "First offsets of all partitions of a topic that can be read.",
        Source::Topics(|topic, samples| {
            samples.put(&[topic.label()], topic.log_starts);
        }),
    ),
    family(
        "kminion_kafka_topic_partition_high_water_mark",
        Kind::Gauge,
        PARTITION,
        "High watermark of a partition: behind the last offset that consumers may see.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.high_watermark.get());
        }),
    ),
    family(
        "kminion_kafka_topic_partition_low_water_mark",
        Kind::Gauge,
        PARTITION,
        "First offset of a partition that can be read.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.log_start.get());
        }),
    ),
    family(
        "kminion_kafka_consumer_group_info",
        Kind::Gauge,
        &["group_id", "state", "protocol_type", "member_count"],
        "A group.",
        Source::Groups(|group, samples| {
            let labels = [
                group.group.as_ref().into(),
                group.state.into(),
                group.protocol_type.as_ref().into(),
                group.members.into(),
            ];
            samples.put(&labels, true);
        }),
    ),
    family(
        "kminion_kafka_consumer_group_members",
        Kind::Gauge,
        &["group_id"],
        "Members of a group.",
        Source::Groups(|group, samples| {
            samples.put(&[group.group.as_ref().into()], group.members);
        }),
    ),
    family(
        "kminion_kafka_consumer_group_topic_offset_sum",
        Kind::Untyped,
        GROUP_TOPIC,
        "Offsets that a group has committed of all partitions of a topic.",
        Source::GroupTopics(|row, samples| {
            samples.put(&row.labels(), row.offsets);
        }),
    ),
    family(
        "kminion_kafka_consumer_group_topic_lag",
        Kind::Gauge,
        GROUP_TOPIC,
        "Lag of a group on all partitions of a topic.",
        Source::GroupTopics(|row, samples| {
            samples.put(&row.labels(), row.lag);
        }),
    ),
    family(
        "kminion_kafka_consumer_group_topic_partition_lag",
        Kind::Gauge,
        OFFSET,
        "Offsets from what a group has committed to the partition's high watermark.",
        Source::Offsets(|row, samples| {
            row.lag.into_iter().for_each(|lag| samples.put(&row.labels(), lag));
        }),
    ),
];
