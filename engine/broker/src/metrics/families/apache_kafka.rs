//! The names that the JMX exporter makes of Apache Kafka's beans with the rules of Strimzi, whose dashboards ask for them.
//! The help of each names the bean. What a single node cannot have, such as partitions that lack replicas, is 0.

use super::{Family, FamilySet, Kind, Source};
use crate::metrics::counters::ApiCounts;
use crate::metrics::exposition::{Samples, decimal};
use crate::metrics::gather::Gathered;
use ringlog_net::error::ErrorCode;

const NANOS_PER_MILLI: f64 = 1e6;
const TOPIC: &[&str] = &["topic"];
const PARTITION: &[&str] = &["topic", "partition"];
const REQUEST: &[&str] = &["request"];
/// What Kafka calls a broker that serves.
const BROKER_STATE_RUNNING: u64 = 3;

const fn family(
    name: &'static str,
    kind: Kind,
    labels: &'static [&'static str],
    help: &'static str,
    source: Source,
) -> Family {
    Family { name, kind, set: FamilySet::Jmx, help, labels, source }
}

/// A number of the whole broker.
const fn gauge(name: &'static str, help: &'static str, source: fn(&Gathered, &mut Samples<'_>)) -> Family {
    family(name, Kind::Gauge, &[], help, Source::Broker(source))
}

/// A count of the whole broker.
const fn counter(name: &'static str, help: &'static str, source: fn(&Gathered, &mut Samples<'_>)) -> Family {
    family(name, Kind::Counter, &[], help, Source::Broker(source))
}

/// A part of the time of the requests of each key, without quantiles.
fn phase(all: &Gathered, samples: &mut Samples<'_>, nanos: impl Fn(&ApiCounts) -> u64) {
    for (api, counts) in &all.apis {
        let count = counts.total_time.count();
        samples.put_sum_and_count(&[api.name().into()], nanos(counts), count, NANOS_PER_MILLI);
    }
}

fn groups_in(all: &Gathered, samples: &mut Samples<'_>, state: &str) {
    samples.put(&[], all.groups.iter().filter(|group| group.state == state).count());
}

pub(super) const FAMILIES: &[Family] = &[
    family(
        "kafka_server_brokertopicmetrics_messagesin_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=MessagesInPerSec: records appended.",
        Source::Traffic(|traffic| traffic.messages_in),
    ),
    family(
        "kafka_server_brokertopicmetrics_bytesin_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=BytesInPerSec: bytes of batches appended.",
        Source::Traffic(|traffic| traffic.bytes_in),
    ),
    family(
        "kafka_server_brokertopicmetrics_bytesout_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=BytesOutPerSec: bytes of batches sent to consumers.",
        Source::Sent,
    ),
    family(
        "kafka_server_brokertopicmetrics_totalproducerequests_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=TotalProduceRequestsPerSec: produce requests, once for each partition that they name.",
        Source::Traffic(|traffic| traffic.produces),
    ),
    family(
        "kafka_server_brokertopicmetrics_failedproducerequests_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=FailedProduceRequestsPerSec: those of them that were refused, for whatever reason.",
        Source::Traffic(|traffic| traffic.produces_failed),
    ),
    family(
        "kafka_server_brokertopicmetrics_totalfetchrequests_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=TotalFetchRequestsPerSec: fetch requests, once for each partition that they ask for.",
        Source::Traffic(|traffic| traffic.fetches),
    ),
    family(
        "kafka_server_brokertopicmetrics_failedfetchrequests_total",
        Kind::Counter,
        TOPIC,
        "kafka.server:type=BrokerTopicMetrics,name=FailedFetchRequestsPerSec: those of them that were refused, for whatever reason.",
        Source::Traffic(|traffic| traffic.fetches_failed),
    ),
    gauge(
        "kafka_server_replicamanager_leadercount",
        "kafka.server:type=ReplicaManager,name=LeaderCount: partitions that this broker leads.",
        |all, samples| {
            samples.put(&[], all.image.partition_count());
        },
    ),
    gauge(
        "kafka_server_replicamanager_partitioncount",
        "kafka.server:type=ReplicaManager,name=PartitionCount: partitions of this broker.",
        |all, samples| {
            samples.put(&[], all.image.partition_count());
        },
    ),
    gauge(
        "kafka_server_replicamanager_underreplicatedpartitions",
        "kafka.server:type=ReplicaManager,name=UnderReplicatedPartitions: partitions with replicas that are not in sync.",
        |all, samples| {
            let partitions = all.image.topics().flat_map(|topic| &topic.partitions);
            samples.put(&[], partitions.filter(|one| one.isr.len() < one.replicas.len()).count());
        },
    ),
    gauge(
        "kafka_server_replicamanager_underminisrpartitioncount",
        "kafka.server:type=ReplicaManager,name=UnderMinIsrPartitionCount: partitions with fewer replicas in sync than a producer needs; on one node as many as there are with none.",
        |all, samples| {
            samples.put(
                &[],
                all.image.topics().flat_map(|topic| &topic.partitions).filter(|one| one.isr.is_empty()).count(),
            );
        },
    ),
    gauge(
        "kafka_server_replicamanager_offlinereplicacount",
        "kafka.server:type=ReplicaManager,name=OfflineReplicaCount: replicas whose disk has failed.",
        |all, samples| {
            samples.put(&[], all.sum(|shard| shard.store.fenced_partitions));
        },
    ),
    gauge(
        "kafka_server_replicamanager_reassigningpartitions",
        "kafka.server:type=ReplicaManager,name=ReassigningPartitions: partitions whose replicas are being changed.",
        |all, samples| {
            let partitions = all.image.topics().flat_map(|topic| &topic.partitions);
            let is_moving = |one: &&ringlog_cluster::image::PartitionImage| {
                !one.adding_replicas.is_empty() || !one.removing_replicas.is_empty()
            };
            samples.put(&[], partitions.filter(is_moving).count());
        },
    ),
    counter(
        "kafka_server_replicamanager_isrshrinks_total",
        "kafka.server:type=ReplicaManager,name=IsrShrinksPerSec: replicas that fell out of sync; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    counter(
        "kafka_server_replicamanager_isrexpands_total",
        "kafka.server:type=ReplicaManager,name=IsrExpandsPerSec: replicas that came in sync; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    family(
        "kafka_cluster_partition_underreplicated",
        Kind::Gauge,
        PARTITION,
        "kafka.cluster:type=Partition,name=UnderReplicated: whether the partition has replicas that are not in sync.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.len() < image.replicas.len()));
        }),
    ),
    family(
        "kafka_cluster_partition_underminisr",
        Kind::Gauge,
        PARTITION,
        "kafka.cluster:type=Partition,name=UnderMinIsr: whether fewer replicas are in sync than a producer needs, which is one at most on a single node.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.is_empty()));
        }),
    ),
    family(
        "kafka_cluster_partition_atminisr",
        Kind::Gauge,
        PARTITION,
        "kafka.cluster:type=Partition,name=AtMinIsr: whether just as many replicas are in sync as a producer needs, which a single replica always is.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.len() == 1));
        }),
    ),
    family(
        "kafka_cluster_partition_replicascount",
        Kind::Gauge,
        PARTITION,
        "kafka.cluster:type=Partition,name=ReplicasCount: replicas of the partition.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.replicas.len()));
        }),
    ),
    family(
        "kafka_cluster_partition_insyncreplicascount",
        Kind::Gauge,
        PARTITION,
        "kafka.cluster:type=Partition,name=InSyncReplicasCount: replicas of the partition that are in sync.",
        Source::Partitions(|all, row, samples| {
            all.image_of(row, |image| samples.put(&row.labels(), image.isr.len()));
        }),
    ),
    gauge(
        "kafka_controller_kafkacontroller_activecontrollercount",
        "kafka.controller:type=KafkaController,name=ActiveControllerCount: whether this node is the active controller.",
        |all, samples| {
            samples.put(&[], all.image.controller().get() == all.node_id);
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_activebrokercount",
        "kafka.controller:type=KafkaController,name=ActiveBrokerCount: registered brokers that are not fenced.",
        |all, samples| {
            samples.put(&[], all.image.brokers().filter(|broker| !broker.is_fenced).count());
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_fencedbrokercount",
        "kafka.controller:type=KafkaController,name=FencedBrokerCount: registered brokers that are fenced.",
        |all, samples| {
            samples.put(&[], all.image.brokers().filter(|broker| broker.is_fenced).count());
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_offlinepartitionscount",
        "kafka.controller:type=KafkaController,name=OfflinePartitionsCount: partitions without a leader.",
        |all, samples| {
            let partitions = all.image.topics().flat_map(|topic| &topic.partitions);
            samples.put(&[], partitions.filter(|one| one.leader.get() < 0).count());
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_preferredreplicaimbalancecount",
        "kafka.controller:type=KafkaController,name=PreferredReplicaImbalanceCount: partitions that the first of their replicas does not lead.",
        |all, samples| {
            let partitions = all.image.topics().flat_map(|topic| &topic.partitions);
            samples.put(&[], partitions.filter(|one| one.replicas.first() != Some(&one.leader)).count());
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_globaltopiccount",
        "kafka.controller:type=KafkaController,name=GlobalTopicCount: topics of the cluster.",
        |all, samples| {
            samples.put(&[], all.image.topic_count());
        },
    ),
    gauge(
        "kafka_controller_kafkacontroller_globalpartitioncount",
        "kafka.controller:type=KafkaController,name=GlobalPartitionCount: partitions of the cluster.",
        |all, samples| {
            samples.put(&[], all.image.partition_count());
        },
    ),
    counter(
        "kafka_controller_controllerstats_uncleanleaderelections_total",
        "kafka.controller:type=ControllerStats,name=UncleanLeaderElectionsPerSec: leaders that were not in sync; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    family(
        "kafka_log_log_size",
        Kind::Gauge,
        PARTITION,
        "kafka.log:type=Log,name=Size: bytes of the partition's batches.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.bytes);
        }),
    ),
    family(
        "kafka_log_log_logstartoffset",
        Kind::Gauge,
        PARTITION,
        "kafka.log:type=Log,name=LogStartOffset: first offset that can be read.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.log_start.get());
        }),
    ),
    family(
        "kafka_log_log_logendoffset",
        Kind::Gauge,
        PARTITION,
        "kafka.log:type=Log,name=LogEndOffset: offset of the next record.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.offsets.log_end.get());
        }),
    ),
    family(
        "kafka_log_log_numlogsegments",
        Kind::Gauge,
        PARTITION,
        "kafka.log:type=Log,name=NumLogSegments: segments of the partition.",
        Source::Partitions(|_, row, samples| {
            samples.put(&row.labels(), row.extent.segments);
        }),
    ),
    family(
        "kafka_log_logflushstats_logflushrateandtimems",
        Kind::Summary,
        &[],
        "kafka.log:type=LogFlushStats,name=LogFlushRateAndTimeMs: milliseconds of a flush; here one group commit of all partitions of a shard.",
        Source::Broker(|all, samples| {
            samples.put_summary(&[], &all.flush_time, NANOS_PER_MILLI);
        }),
    ),
    gauge(
        "kafka_network_socketserver_networkprocessoravgidle_percent",
        "kafka.network:type=SocketServer,name=NetworkProcessorAvgIdlePercent: part of the time, 0 to 1, in which shards had nothing to do, since the scrape before.",
        |all, samples| samples.put(&[], all.rates.idle),
    ),
    gauge(
        "kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent",
        "kafka.server:type=KafkaRequestHandlerPool,name=RequestHandlerAvgIdlePercent: the same, since shards do both.",
        |all, samples| samples.put(&[], all.rates.idle),
    ),
    family(
        "kafka_network_requestmetrics_requests_total",
        Kind::Counter,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=RequestsPerSec: requests answered, of all versions.",
        Source::Broker(|all, samples| {
            for (api, counts) in &all.apis {
                samples.put(&[api.name().into()], counts.total_time.count());
            }
        }),
    ),
    family(
        "kafka_network_requestmetrics_errors_total",
        Kind::Counter,
        &["request", "error"],
        "kafka.network:type=RequestMetrics,name=ErrorsPerSec: errors that responses told, each as often as it was told; that there was none is not counted.",
        Source::Broker(|all, samples| {
            for ((api, code), count) in &all.errors {
                samples.put(&[api.name().into(), ErrorCode::from_wire(*code).name().into()], *count);
            }
        }),
    ),
    family(
        "kafka_network_requestmetrics_totaltimems",
        Kind::Summary,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=TotalTimeMs: milliseconds from a request's arrival to its answer, since the start.",
        Source::Broker(|all, samples| {
            for (api, counts) in &all.apis {
                samples.put_summary(&[api.name().into()], &counts.total_time, NANOS_PER_MILLI);
            }
        }),
    ),
    family(
        "kafka_network_requestmetrics_requestqueuetimems",
        Kind::Summary,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=RequestQueueTimeMs: milliseconds until a request is taken up.",
        Source::Broker(|all, samples| phase(all, samples, |counts| counts.queued_nanos)),
    ),
    family(
        "kafka_network_requestmetrics_localtimems",
        Kind::Summary,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=LocalTimeMs: milliseconds with the handler.",
        Source::Broker(|all, samples| phase(all, samples, |counts| counts.local_nanos)),
    ),
    family(
        "kafka_network_requestmetrics_remotetimems",
        Kind::Summary,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=RemoteTimeMs: milliseconds of waiting for other shards, the disk, members of a group, or data to come.",
        Source::Broker(|all, samples| phase(all, samples, |counts| counts.remote_nanos)),
    ),
    family(
        "kafka_network_requestmetrics_throttletimems",
        Kind::Summary,
        REQUEST,
        "kafka.network:type=RequestMetrics,name=ThrottleTimeMs: milliseconds for which clients were told to wait.",
        Source::Broker(|all, samples| phase(all, samples, |counts| counts.throttled_nanos)),
    ),
    gauge(
        "kafka_network_requestchannel_requestqueuesize",
        "kafka.network:type=RequestChannel,name=RequestQueueSize: requests that wait until there is room for another one.",
        |all, samples| {
            samples.put(&[], all.shards.iter().map(|shard| shard.queued_requests).sum::<usize>());
        },
    ),
    family(
        "kafka_server_socket_server_metrics_connection_count",
        Kind::Untyped,
        &[],
        "kafka.server:type=socket-server-metrics connection-count: connections that are open.",
        Source::Broker(|all, samples| {
            samples.put(&[], all.sum(|shard| shard.connections.accepted - shard.connections.closed));
        }),
    ),
    gauge(
        "kafka_server_socket_server_metrics_connection_creation_rate",
        "kafka.server:type=socket-server-metrics connection-creation-rate: connections accepted a second, since the scrape before.",
        |all, samples| samples.put(&[], all.rates.accepted_per_second),
    ),
    gauge(
        "kafka_server_socket_server_metrics_connection_close_rate",
        "kafka.server:type=socket-server-metrics connection-close-rate: connections closed a second, since the scrape before.",
        |all, samples| samples.put(&[], all.rates.closed_per_second),
    ),
    counter(
        "kafka_server_socket_server_metrics_connection_creation_total",
        "kafka.server:type=socket-server-metrics connection-creation-total: connections accepted.",
        |all, samples| {
            samples.put(&[], all.sum(|shard| shard.connections.accepted));
        },
    ),
    counter(
        "kafka_server_socket_server_metrics_connection_close_total",
        "kafka.server:type=socket-server-metrics connection-close-total: connections closed.",
        |all, samples| {
            samples.put(&[], all.sum(|shard| shard.connections.closed));
        },
    ),
    gauge(
        "kafka_server_kafkaserver_brokerstate",
        "kafka.server:type=KafkaServer,name=BrokerState: 3 while the broker runs.",
        |_, samples| samples.put(&[], BROKER_STATE_RUNNING),
    ),
    gauge(
        "kafka_server_raftmetrics_current_leader",
        "kafka.server:type=raft-metrics current-leader: the node that writes the metadata log.",
        |all, samples| {
            samples.put(&[], i64::from(all.image.controller().get()));
        },
    ),
    gauge(
        "kafka_server_raftmetrics_current_vote",
        "kafka.server:type=raft-metrics current-vote: the node that this one has voted for; itself, where it is alone.",
        |all, samples| {
            samples.put(&[], i64::from(all.image.controller().get()));
        },
    ),
    family(
        "kafka_server_raftmetrics_current_state",
        Kind::Gauge,
        &["current_state"],
        "kafka.server:type=raft-metrics current-state: what this node is in the quorum.",
        Source::Broker(|_, samples| samples.put(&["leader".into()], true)),
    ),
    gauge(
        "kafka_server_raftmetrics_current_epoch",
        "kafka.server:type=raft-metrics current-epoch: epoch of the quorum's leader.",
        |_, samples| {
            samples.put(&[], i64::from(crate::controller::CONTROLLER_EPOCH.get()));
        },
    ),
    gauge(
        "kafka_server_raftmetrics_log_end_offset",
        "kafka.server:type=raft-metrics log-end-offset: offset of the next record of the metadata log.",
        |all, samples| {
            all.metadata_log.iter().for_each(|log| samples.put(&[], log.log_end.get()));
        },
    ),
    gauge(
        "kafka_server_raftmetrics_high_watermark",
        "kafka.server:type=raft-metrics high-watermark: offset behind the last committed record of the metadata log.",
        |all, samples| {
            all.metadata_log.iter().for_each(|log| samples.put(&[], log.high_watermark.get()));
        },
    ),
    gauge(
        "kafka_server_raftmetrics_append_records_rate",
        "kafka.server:type=raft-metrics append-records-rate: records of the metadata log that were written a second, since the scrape before.",
        |all, samples| samples.put(&[], all.rates.metadata_records_per_second),
    ),
    gauge(
        "kafka_server_raftmetrics_fetch_records_rate",
        "kafka.server:type=raft-metrics fetch-records-rate: records of the metadata log that were fetched from its leader a second; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    counter(
        "kafka_server_raftchannelmetrics_incoming_byte_total",
        "kafka.server:type=raft-channel-metrics incoming-byte-total: bytes from other nodes of the quorum; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    counter(
        "kafka_server_raftchannelmetrics_outgoing_byte_total",
        "kafka.server:type=raft-channel-metrics outgoing-byte-total: bytes to other nodes of the quorum; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    counter(
        "kafka_server_raftchannelmetrics_request_total",
        "kafka.server:type=raft-channel-metrics request-total: requests to other nodes of the quorum; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    counter(
        "kafka_server_raftchannelmetrics_response_total",
        "kafka.server:type=raft-channel-metrics response-total: responses from other nodes of the quorum; none on a single node.",
        |_, samples| samples.put(&[], 0_u64),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroups",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroups: groups of this coordinator.",
        |all, samples| samples.put(&[], all.groups.len()),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numoffsets",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumOffsets: offsets that are committed.",
        |all, samples| samples.put(&[], all.offsets.len()),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupsstable",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsStable: groups whose members have what they should.",
        |all, samples| groups_in(all, samples, "Stable"),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupsempty",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsEmpty: groups without members.",
        |all, samples| groups_in(all, samples, "Empty"),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupspreparingrebalance",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsPreparingRebalance: groups that wait for their members to join.",
        |all, samples| groups_in(all, samples, "PreparingRebalance"),
    ),
    gauge(
        "kafka_coordinator_group_groupmetadatamanager_numgroupscompletingrebalance",
        "kafka.coordinator.group:type=GroupMetadataManager,name=NumGroupsCompletingRebalance: groups that wait for their leader's assignment.",
        |all, samples| groups_in(all, samples, "CompletingRebalance"),
    ),
    gauge(
        "kafka_log_logmanager_offlinelogdirectorycount",
        "kafka.log:type=LogManager,name=OfflineLogDirectoryCount: data directories that have failed for a shard.",
        |all, samples| {
            let has_failed = all.shards.iter().any(|shard| shard.disk == crate::state::Disk::Failed);
            samples.put(&[], has_failed);
        },
    ),
    gauge(
        "kafka_server_kafkaserver_linux_disk_read_bytes",
        "kafka.server:type=KafkaServer,name=linux-disk-read-bytes: bytes read from storage devices.",
        |all, samples| {
            let bytes = all.process.as_ref().and_then(|process| process.read_bytes);
            if let Some(bytes) = bytes {
                samples.put(&[], decimal(bytes));
            }
        },
    ),
    gauge(
        "kafka_server_kafkaserver_linux_disk_write_bytes",
        "kafka.server:type=KafkaServer,name=linux-disk-write-bytes: bytes written to storage devices.",
        |all, samples| {
            let bytes = all.process.as_ref().and_then(|process| process.written_bytes);
            if let Some(bytes) = bytes {
                samples.put(&[], decimal(bytes));
            }
        },
    ),
];
