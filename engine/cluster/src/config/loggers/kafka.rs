//! The names that Apache Kafka's operators know loggers by, and the loggers of ours that have what they look for there.
//!
//! Both ages of Kafka's names are here: those of classes that have moved in Kafka 4, and where they moved. A name stands for
//! its loggers: its level is theirs. One that stands for none is a logger of its own.

/// A name of Kafka's, and the loggers that it stands for.
pub type KafkaLogger = (&'static str, &'static [&'static str]);

/// Where each request is a line, from DEBUG on.
pub const REQUEST_LOGGER: &str = "kafka.request.logger";
/// Where each partition is a line that is opened or closed.
pub const STATE_CHANGE_LOGGER: &str = "state.change.logger";

const ALL: &[&str] = &["ringlog", "ringlog_broker"];
const ACCEPTOR: &[&str] = &["ringlog_broker.acceptor"];
const BOOT: &[&str] = &["ringlog.start", "ringlog_broker.boot"];
const CONNECTION: &[&str] = &["ringlog_broker.connection"];
const CONTROLLER: &[&str] = &["ringlog_broker.topic_creation"];
const GROUPS: &[&str] = &["ringlog_broker.group"];
const HANDLERS: &[&str] = &["ringlog_broker.handlers"];
const LOGGING: &[&str] = &["ringlog_broker.logging"];
const NETWORK: &[&str] = &["ringlog_broker.acceptor", "ringlog_broker.connection"];
const PARTITIONS: &[&str] = &["ringlog_broker.partition", "ringlog_broker.state"];
const QUOTAS: &[&str] = &["ringlog_broker.quota"];
const TELEMETRY: &[&str] = &["ringlog_broker.telemetry"];
const TOPOLOGY: &[&str] = &["ringlog_broker.topology"];

/// The table.
pub const KAFKA_LOGGERS: &[KafkaLogger] = &[
    ("kafka", ALL),
    ("kafka.authorizer.logger", &[]),
    ("kafka.controller", CONTROLLER),
    ("kafka.controller.KafkaController", CONTROLLER),
    ("kafka.coordinator.group", GROUPS),
    ("kafka.coordinator.group.GroupCoordinator", GROUPS),
    ("kafka.coordinator.group.GroupMetadataManager", GROUPS),
    ("kafka.log.LogCleaner", &[]),
    ("kafka.log.LogManager", PARTITIONS),
    ("kafka.log.UnifiedLog", PARTITIONS),
    ("kafka.network.Acceptor", ACCEPTOR),
    ("kafka.network.ConnectionQuotas", ACCEPTOR),
    ("kafka.network.DataPlaneAcceptor", ACCEPTOR),
    ("kafka.network.Processor", CONNECTION),
    ("kafka.network.RequestChannel$", CONNECTION),
    ("kafka.network.SocketServer", NETWORK),
    (REQUEST_LOGGER, &[]),
    ("kafka.server.BrokerServer", BOOT),
    ("kafka.server.ClientQuotaManager", QUOTAS),
    ("kafka.server.ConfigAdminManager", LOGGING),
    ("kafka.server.KafkaApis", HANDLERS),
    ("kafka.server.KafkaRaftServer", BOOT),
    ("kafka.server.KafkaServer", BOOT),
    ("kafka.server.ReplicaManager", PARTITIONS),
    ("kafka.server.ReplicaManager$LogDirFailureHandler", &["ringlog_broker.state"]),
    ("kafka.server.metadata.BrokerMetadataPublisher", TOPOLOGY),
    ("org.apache.kafka", ALL),
    ("org.apache.kafka.common.network.NetworkReceive", CONNECTION),
    ("org.apache.kafka.common.network.Selector", CONNECTION),
    ("org.apache.kafka.controller", CONTROLLER),
    ("org.apache.kafka.controller.QuorumController", CONTROLLER),
    ("org.apache.kafka.controller.ReplicationControlManager", CONTROLLER),
    ("org.apache.kafka.coordinator.common.runtime.CoordinatorLoaderImpl", &["ringlog_broker.group.load"]),
    ("org.apache.kafka.coordinator.group", GROUPS),
    ("org.apache.kafka.coordinator.group.GroupCoordinatorService", GROUPS),
    ("org.apache.kafka.image.loader.MetadataLoader", TOPOLOGY),
    ("org.apache.kafka.server.ClientMetricsManager", TELEMETRY),
    ("org.apache.kafka.server.DefaultAutoTopicCreationManager", CONTROLLER),
    ("org.apache.kafka.server.logger.LoggingController", LOGGING),
    ("org.apache.kafka.server.quota.ClientQuotaManager", QUOTAS),
    ("org.apache.kafka.storage.internals.log.LogCleaner", &["kafka.log.LogCleaner"]),
    ("org.apache.kafka.storage.internals.log.LogManager", PARTITIONS),
    ("org.apache.kafka.storage.internals.log.UnifiedLog", PARTITIONS),
    (STATE_CHANGE_LOGGER, &[]),
];
