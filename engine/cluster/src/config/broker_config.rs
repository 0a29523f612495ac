//! A broker's configuration as its parts want it: parsed once at the start, and again when it is changed at run time.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use ringlog_storage::types::BrokerId;

use super::broker_rules::check_broker;
use super::group_config::GroupConfig;
use super::group_rules::check_bounds;
use super::key::Cores;
use super::layers::ConfigLayers;
use super::listener::{Endpoint, Listener, parse_listeners};
use super::log_dirs::data_directories;
use super::static_config::ConfigError;
use super::value::Value;
use crate::quota::QuotaWindows;

/// Everything in a broker's own configuration that acts here; what topics inherit is in
/// [`TopicConfig`](super::TopicConfig).
#[derive(Clone, PartialEq, Debug)]
pub struct BrokerConfig {
    /// `node.id`, or `broker.id`.
    pub node_id: BrokerId,
    /// `broker.rack`.
    pub rack: Option<String>,
    /// The listeners, those of the controller too.
    pub listeners: Vec<Listener>,
    /// `log.dirs`, or `log.dir`: at least one, each apart from the others. The first is home.
    pub data_directories: Vec<String>,
    /// `num.partitions`.
    pub partitions_of_new_topics: i64,
    /// `default.replication.factor`.
    pub replicas_of_new_topics: i64,
    /// `auto.create.topics.enable`.
    pub auto_create_topics: bool,
    /// `delete.topic.enable`.
    pub delete_topics: bool,
    /// `max.request.partition.size.limit`.
    pub described_partitions_max: i64,
    /// `socket.listen.backlog.size`.
    pub listen_backlog: i64,
    /// `socket.receive.buffer.bytes`, where it is set to a number of bytes. Otherwise the kernel sizes the buffers by what a
    /// connection needs, which Kafka's default would keep it from.
    pub socket_receive_buffer_bytes: Option<usize>,
    /// `socket.send.buffer.bytes`, the same way.
    pub socket_send_buffer_bytes: Option<usize>,
    /// `socket.request.max.bytes`.
    pub request_bytes_max: i64,
    /// `connections.max.idle.ms`.
    pub connection_idle_ms_max: i64,
    /// `fetch.max.bytes`.
    pub fetch_bytes_max: i64,
    /// `max.incremental.fetch.session.cache.slots`.
    pub fetch_sessions_max: i64,
    /// `quota.window.num` and `quota.window.size.seconds`.
    pub quota_windows: QuotaWindows,
    /// `controller.quota.window.num` and `controller.quota.window.size.seconds`.
    pub controller_quota_windows: QuotaWindows,
    /// `log.retention.check.interval.ms`.
    pub retention_check_interval_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// What the group coordinators follow.
    pub groups: Arc<GroupConfig>,
    /// `telemetry.max.bytes`.
    pub telemetry_bytes_max: i64,
    /// `ringlog.admin.listener`; `None` for nowhere.
    pub admin: Option<Endpoint>,
    /// `ringlog.metrics.families` and `ringlog.metrics.topics.max`.
    pub metrics: MetricsConfig,
    /// `ringlog.telemetry`.
    pub telemetry: TelemetryReceiver,
    /// `ringlog.backend`.
    pub backend: Backend,
    /// `ringlog.commit.interval.us`.
    pub commit_interval_us: i64,
    /// `ringlog.cores`.
    pub cores: Cores,
    /// `ringlog.journal.bytes`; `None` follows the disk.
    pub journal_bytes: Option<i64>,
    /// `ringlog.log.format`.
    pub log_format: LogFormat,
    /// `ringlog.memory`; `None` follows the machine.
    pub memory_bytes: Option<i64>,
    /// `ringlog.numa`.
    pub numa: Numa,
}

/// Which NUMA nodes come first when not all cores run a shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Numa {
    /// One after the other.
    Fill,
    /// All in turn.
    Spread,
}

/// Bytes that all shards together copy in a second when partitions move to other data directories; `None` is no limit. May
/// change while the broker runs.
pub fn log_dir_move_bytes_per_second(layers: &ConfigLayers<'_>) -> Option<u64> {
    let rate = layers.integer("replica.alter.log.dirs.io.max.bytes.per.second");
    u64::try_from(rate).ok().filter(|_| rate != i64::MAX)
}

/// Which requests are kept with where their time went; may change while the broker runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RecorderConfig {
    /// `ringlog.perf.slow.us`: those that take longer; `None` keeps none for that.
    pub slow: Option<Duration>,
    /// `ringlog.perf.sample`: one of so many; `None` keeps none for that.
    pub sample_every: Option<NonZeroU32>,
}

impl RecorderConfig {
    /// The values in force.
    pub fn new(layers: &ConfigLayers<'_>) -> Self {
        let number =
            |key| u32::try_from(layers.integer(key)).expect("the key's range begins at 0 and ends with an int");
        let slow = NonZeroU32::new(number("ringlog.perf.slow.us"));
        Self {
            slow: slow.map(|micros| Duration::from_micros(micros.get().into())),
            sample_every: NonZeroU32::new(number("ringlog.perf.sample")),
        }
    }
}

/// How many shards are to be in use; may change while the broker runs.
pub const SHARDS_KEY: &str = "ringlog.shards";

/// How many shards are to be in use of so many that there are.
pub fn shards_in_use(layers: &ConfigLayers<'_>, there: u16) -> u16 {
    let wanted = u16::try_from(layers.integer(SHARDS_KEY)).unwrap_or(u16::MAX);
    if wanted == 0 { there } else { wanted.min(there) }
}

/// What is wrong with so many shards where there are so many, if anything is. [`shards_in_use`] uses all of them then.
pub fn shards_beyond(wanted: i64, there: u16) -> Option<String> {
    let text =
        || format!("{SHARDS_KEY}={wanted}: expected 0 to {there}, as many shards as this broker has (ringlog.cores)");
    (wanted > i64::from(there)).then(text)
}

/// What is told of the broker in numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MetricsConfig {
    /// Whose names they have.
    pub families: MetricFamilies,
    /// Topics with labels of their own.
    pub topics_max: i64,
}

/// Whose names metrics have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct MetricFamilies {
    /// Those of Apache Kafka's beans, as the JMX exporter writes them.
    pub jmx: bool,
    /// Those of `kafka_exporter`.
    pub kafka_exporter: bool,
    /// Those of kminion.
    pub kminion: bool,
    /// Our own.
    pub ringlog: bool,
}

/// Where metrics of clients go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TelemetryReceiver {
    /// Nowhere, and clients are not told that they could push any.
    Off,
    /// Into the log.
    Log,
}

/// What a line of the log looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// An object for each line, for programs.
    Json,
}

/// How the broker talks to the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backend {
    /// `Uring` where the kernel lets it, `Posix` elsewhere.
    Auto,
    /// `io_uring`.
    Uring,
    /// epoll with pread and pwrite.
    Posix,
}

impl BrokerConfig {
    /// The values in force. `hostname` is what clients are told by listeners that bind every address.
    pub fn new(layers: &ConfigLayers<'_>, hostname: &str) -> Result<Self, Vec<ConfigError>> {
        let mut errors = Vec::new();
        let node_id = node_id(layers).unwrap_or_else(|error| {
            errors.push(error);
            BrokerId::new(0)
        });
        let data_directories = data_directories(layers).unwrap_or_else(|error| {
            errors.push(error);
            Vec::new()
        });
        let listeners = parse_listeners(layers, hostname).unwrap_or_else(|error| {
            errors.push(error.into());
            Vec::new()
        });
        errors.extend(check_roles(layers).err());
        errors.extend(check_bounds(layers));
        errors.extend(check_broker(layers).into_iter().map(ConfigError::Conflict));
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self::with_checked(layers, node_id, data_directories, listeners))
    }

    fn with_checked(
        layers: &ConfigLayers<'_>,
        node_id: BrokerId,
        data_directories: Vec<String>,
        listeners: Vec<Listener>,
    ) -> Self {
        Self {
            node_id,
            rack: layers.value("broker.rack").map(|rack| rack.to_string()).filter(|rack| !rack.is_empty()),
            listeners,
            data_directories,
            partitions_of_new_topics: layers.integer("num.partitions"),
            replicas_of_new_topics: layers.integer("default.replication.factor"),
            auto_create_topics: layers.boolean("auto.create.topics.enable"),
            delete_topics: layers.boolean("delete.topic.enable"),
            described_partitions_max: layers.integer("max.request.partition.size.limit"),
            listen_backlog: layers.integer("socket.listen.backlog.size"),
            socket_receive_buffer_bytes: buffer_bytes(layers, "socket.receive.buffer.bytes"),
            socket_send_buffer_bytes: buffer_bytes(layers, "socket.send.buffer.bytes"),
            request_bytes_max: layers.integer("socket.request.max.bytes"),
            connection_idle_ms_max: layers.integer("connections.max.idle.ms"),
            fetch_bytes_max: layers.integer("fetch.max.bytes"),
            fetch_sessions_max: layers.integer("max.incremental.fetch.session.cache.slots"),
            quota_windows: quota_windows(layers, "quota.window.num", "quota.window.size.seconds"),
            controller_quota_windows: quota_windows(
                layers,
                "controller.quota.window.num",
                "controller.quota.window.size.seconds",
            ),
            retention_check_interval_ms: layers.integer("log.retention.check.interval.ms"),
            producer_id_expiration_ms: layers.integer("producer.id.expiration.ms"),
            groups: Arc::new(GroupConfig::new(layers)),
            telemetry_bytes_max: layers.integer("telemetry.max.bytes"),
            admin: Endpoint::parse(&layers.text("ringlog.admin.listener")),
            metrics: metrics(layers),
            telemetry: match layers.text("ringlog.telemetry").as_str() {
                "log" => TelemetryReceiver::Log,
                _ => TelemetryReceiver::Off,
            },
            backend: match layers.text("ringlog.backend").as_str() {
                "uring" => Backend::Uring,
                "posix" => Backend::Posix,
                _ => Backend::Auto,
            },
            commit_interval_us: layers.integer("ringlog.commit.interval.us"),
            cores: Cores::parse(&layers.text("ringlog.cores")).expect("the key accepts nothing else"),
            journal_bytes: automatic(layers.value("ringlog.journal.bytes").as_ref()),
            log_format: match layers.text("ringlog.log.format").as_str() {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            memory_bytes: automatic(layers.value("ringlog.memory").as_ref()),
            numa: match layers.text("ringlog.numa").as_str() {
                "spread" => Numa::Spread,
                _ => Numa::Fill,
            },
        }
    }
}

/// A number of bytes; `None` of `auto`.
fn automatic(value: Option<&Value>) -> Option<i64> {
    match value {
        Some(Value::Integer(bytes)) => Some(*bytes),
        _ => None,
    }
}

fn buffer_bytes(layers: &ConfigLayers<'_>, name: &str) -> Option<usize> {
    usize::try_from(layers.given_integer(name)?).ok()
}

fn metrics(layers: &ConfigLayers<'_>) -> MetricsConfig {
    let named = layers.list("ringlog.metrics.families");
    let has = |name: &str| named.iter().any(|named| named == name);
    MetricsConfig {
        families: MetricFamilies {
            jmx: has("jmx"),
            kafka_exporter: has("kafka_exporter"),
            kminion: has("kminion"),
            ringlog: has("ringlog"),
        },
        topics_max: layers.integer("ringlog.metrics.topics.max"),
    }
}

fn quota_windows(layers: &ConfigLayers<'_>, count: &str, seconds: &str) -> QuotaWindows {
    let number = |key| u32::try_from(layers.integer(key)).expect("the key's range begins at 1 and ends with an int");
    QuotaWindows::new(number(count), Duration::from_secs(number(seconds).into()))
}

/// `broker.id` is the older name, and -1 says that it is not given.
fn node_id(layers: &ConfigLayers<'_>) -> Result<BrokerId, ConfigError> {
    let (node, broker) = (layers.integer("node.id"), layers.integer("broker.id"));
    let is_node_given = layers.fixed.setting("node.id").is_some();
    let id = if is_node_given || broker < 0 { node } else { broker };
    if is_node_given && broker >= 0 && node != broker {
        return Err(ConfigError::Conflict(format!(
            "node.id={node} and broker.id={broker} must agree; give one of them"
        )));
    }
    Ok(BrokerId::new(i32::try_from(id).expect("both keys are whole numbers of 32 bits")))
}

/// A single node is broker and controller in one.
fn check_roles(layers: &ConfigLayers<'_>) -> Result<(), ConfigError> {
    let roles = layers.list("process.roles");
    if !roles.iter().any(|role| role == "broker") {
        let text = format!("process.roles={}: a server without the role broker is not supported yet", roles.join(","));
        return Err(ConfigError::Conflict(text));
    }
    let voters = layers.list("controller.quorum.voters");
    if voters.len() > 1 {
        let text = format!(
            "controller.quorum.voters={}: a quorum of several servers is not supported yet; name this one alone, or none",
            voters.join(",")
        );
        return Err(ConfigError::Conflict(text));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
