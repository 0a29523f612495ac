//! What the dashboards ask for whose names of metrics Ringlog has: their names, labels and kinds of expression, said in our
//! own words. Labels that Kubernetes adds are left out.

/// The dashboard that a question comes from, and an expression of its kind.
pub(crate) fn expressions() -> Vec<(String, String)> {
    let rows = EXPRESSIONS.iter().flat_map(|(dashboard, rows)| rows.iter().map(move |row| (dashboard, row)));
    rows.map(|(dashboard, row)| ((*dashboard).to_owned(), (*row).to_owned())).collect()
}

const EXPRESSIONS: &[(&str, &[&str])] = &[
    (
        "Kafka Exporter Overview (7589), and Strimzi's strimzi-kafka-exporter",
        &[
            r#"count(kafka_topic_partitions{topic=~".*"})"#,
            r#"sum(kafka_topic_partitions{topic=~".*"}) by (topic)"#,
            r#"sum(kafka_topic_partition_replicas{topic=~".*"})"#,
            r#"sum(kafka_topic_partition_in_sync_replica{topic=~".*"})"#,
            r#"sum(kafka_topic_partition_under_replicated_partition{topic=~".*"})"#,
            r#"sum(kafka_cluster_partition_atminisr{topic=~".*"})"#,
            r#"sum(kafka_cluster_partition_underminisr{topic=~".*"})"#,
            r#"sum(kafka_topic_partition_leader_is_preferred{topic=~".*"} < bool 1)"#,
            r#"sum(rate(kafka_topic_partition_current_offset{topic=~".*"}[10s])) by (topic)"#,
            r#"sum(delta(kafka_topic_partition_current_offset{instance=~".*", topic=~".*"}[10s]) / 5) by (topic)"#,
            r#"sum(delta(kafka_consumergroup_current_offset{consumergroup=~".*", topic=~".*"}[10s]) / 60) by (consumergroup, topic)"#,
            r#"sum(kafka_consumergroup_lag{consumergroup=~".*", topic=~".*"}) by (consumergroup, topic)"#,
            r#"sum(kafka_consumergroup_lag{consumergroup=~".*", topic=~".*"}) by (consumergroup, partition, topic)"#,
            r#"sum(kafka_consumergroup_current_offset{consumergroup=~".*", topic=~".*"}) by (consumergroup, partition, topic)"#,
            r#"sum(kafka_topic_partition_current_offset{topic=~".*"}) by (partition, topic)"#,
            r#"sum(kafka_topic_partition_oldest_offset{topic=~".*"}) by (partition, topic)"#,
            r#"kafka_broker_info{address=~".+", id=~".+"}"#,
            "kafka_brokers",
        ],
    ),
    (
        "kminion, cluster (14012)",
        &[
            r#"kminion_kafka_cluster_info{cluster_id=~".+", controller_id=~".+", broker_count="1"}"#,
            r#"kminion_kafka_broker_info{broker_id=~".+", address=~".+", port=~".+", rack_id=~".*", is_controller="true"}"#,
            "count(kminion_kafka_broker_info)",
            "count(kminion_kafka_topic_info)",
            "count(kminion_kafka_consumer_group_info)",
            "sum(kminion_kafka_broker_log_dir_size_total_bytes) by (broker_id)",
            "sum(kminion_kafka_topic_partition_high_water_mark - kminion_kafka_topic_partition_low_water_mark)",
            "sum(rate(kminion_kafka_topic_partition_high_water_mark[10s]))",
            "topk(10, sum(kminion_kafka_topic_log_dir_size_total_bytes) by (topic_name))",
        ],
    ),
    (
        "kminion, consumer groups (14013)",
        &[
            r#"kminion_kafka_consumer_group_info{group_id=~".*", state=~".+", protocol_type=~".*", member_count=~".+"}"#,
            r#"sum(kminion_kafka_consumer_group_info{group_id=~".*"}) by (state)"#,
            r#"kminion_kafka_consumer_group_members{group_id=~".*"}"#,
            r#"sum(kminion_kafka_consumer_group_topic_lag{group_id=~".*", topic_name=~".*"}) by (group_id, topic_name)"#,
            r#"sum(kminion_kafka_consumer_group_topic_partition_lag{group_id=~".*"}) by (group_id, topic_name, partition_id)"#,
            r#"sum(rate(kminion_kafka_consumer_group_topic_offset_sum{group_id=~".*"}[10s])) by (group_id, topic_name)"#,
        ],
    ),
    (
        "kminion, topics (14014)",
        &[
            r#"kminion_kafka_topic_info{topic_name=~".*", partition_count=~".+", replication_factor="1"}"#,
            r#"sum(kminion_kafka_topic_log_dir_size_total_bytes{topic_name=~".*"}) by (topic_name)"#,
            r#"sum(rate(kminion_kafka_topic_high_water_mark_sum{topic_name=~".*"}[10s])) by (topic_name)"#,
            "kminion_kafka_topic_high_water_mark_sum - kminion_kafka_topic_low_water_mark_sum",
            r#"kminion_kafka_topic_partition_high_water_mark{topic_name=~".*", partition_id=~".+"}"#,
            r#"kminion_kafka_topic_partition_low_water_mark{topic_name=~".*", partition_id=~".+"}"#,
        ],
    ),
    (
        "Strimzi's strimzi-kafka",
        &[
            "count(kafka_server_replicamanager_leadercount)",
            "sum(kafka_server_replicamanager_leadercount) by (instance)",
            "sum(kafka_server_replicamanager_partitioncount)",
            "sum(kafka_server_replicamanager_underreplicatedpartitions)",
            "sum(kafka_controller_kafkacontroller_activecontrollercount)",
            "sum(kafka_controller_kafkacontroller_offlinepartitionscount)",
            "sum(kafka_controller_controllerstats_uncleanleaderelections_total)",
            r#"sum(kafka_cluster_partition_atminisr{topic=~".*", partition=~".*"})"#,
            r#"sum(kafka_cluster_partition_underminisr{topic=~".*", partition=~".*"})"#,
            r#"sum(kafka_cluster_partition_replicascount{topic=~".*", partition=~".*"})"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_bytesin_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_bytesout_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_messagesin_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_totalproducerequests_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_failedproducerequests_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_totalfetchrequests_total{topic=~".*", topic!=""}[10s]))"#,
            r#"sum(irate(kafka_server_brokertopicmetrics_failedfetchrequests_total{topic=~".*", topic!=""}[10s]))"#,
            "sum(kafka_network_socketserver_networkprocessoravgidle_percent * 100) by (instance)",
            "sum(kafka_server_kafkarequesthandlerpool_requesthandleravgidle_percent * 100) by (instance)",
            "sum(kafka_server_socket_server_metrics_connection_count) by (instance)",
            "sum(kafka_server_socket_server_metrics_connection_creation_rate) by (instance)",
            "sum(kafka_server_kafkaserver_linux_disk_write_bytes) by (instance)",
            "sum(kafka_server_kafkaserver_linux_disk_read_bytes) by (instance)",
            r#"sum(kafka_log_log_size{topic=~".*", partition=~".*"}) by (topic)"#,
            "sum(process_open_fds) by (instance)",
        ],
    ),
    (
        "Strimzi's strimzi-kraft",
        &[
            "max(kafka_server_raftmetrics_current_state) by (current_state)",
            "sum(kafka_server_raftmetrics_current_leader) by (instance)",
            "sum(kafka_server_raftmetrics_current_vote) by (instance)",
            "sum(kafka_server_raftmetrics_current_epoch) by (instance)",
            "sum(kafka_server_raftmetrics_high_watermark) by (instance)",
            "sum(kafka_server_raftmetrics_log_end_offset) by (instance)",
            "sum(kafka_server_raftmetrics_append_records_rate) by (instance)",
            "sum(kafka_server_raftmetrics_fetch_records_rate) by (instance)",
            "sum(rate(kafka_server_raftchannelmetrics_incoming_byte_total[10s])) by (instance)",
            "sum(rate(kafka_server_raftchannelmetrics_outgoing_byte_total[10s])) by (instance)",
            "sum(rate(kafka_server_raftchannelmetrics_request_total[10s])) by (instance)",
            "sum(rate(kafka_server_raftchannelmetrics_response_total[10s])) by (instance)",
        ],
    ),
];

/// Series that those dashboards ask for too and that Ringlog does not have, each with the reason.
pub(crate) const ABSENT: &[(&str, &str)] = &[
    ("jvm_memory_used_bytes", "there is no Java virtual machine: process_resident_memory_bytes"),
    ("jvm_gc_collection_seconds_sum", "nothing is collected"),
    ("jvm_gc_collection_seconds_count", "nothing is collected"),
    ("jvm_threads_current", "there is no Java virtual machine: process_threads"),
    ("container_memory_usage_bytes", "the kubelet tells it"),
    ("container_cpu_usage_seconds_total", "the kubelet tells it"),
    ("kubelet_volume_stats_available_bytes", "the kubelet tells it"),
    ("kafka_exporter_build_info", "the exporter is no program of its own: ringlog_build_info"),
    (
        "kafka_server_raftmetrics_commit_latency_avg",
        "a quorum of one commits with its shard's group commits, whose time is ringlog_commit_duration_seconds",
    ),
    ("kminion_exporter_up", "the exporter is no program of its own"),
    (
        "kminion_kafka_consumer_group_offset_commits_total",
        "commits are not counted by group: kafka_network_requestmetrics_requests_total{request=\"OffsetCommit\"}",
    ),
    ("kminion_kafka_consumer_group_topic_members", "members are counted by group alone"),
];
