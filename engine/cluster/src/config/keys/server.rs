//! Who this broker is, and what it does on behalf of clients.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, EachOf};

use super::keys;
use super::reason::{FAST_START, JAVA_CLASS, LATER_CLUSTER, LATER_SHARE, METRICS, PURGATORY, STABLE_ONLY, THREADS};

keys! {
    /// Plug-in that may refuse a change of configuration.
    "alter.config.policy.class.name": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// Whether a Metadata request may create the topics it names.
    "auto.create.topics.enable": Boolean = "true", Any, ReadOnly, Acts;
    /// Threads for background work.
    "background.threads": Int = "10", AtLeast(1), ClusterWide, THREADS;
    /// Older name of `node.id`; if both are given they must agree.
    "broker.id": Int = "-1", Any, ReadOnly, Acts;
    /// Rack or availability zone, told to clients that prefer replicas nearby.
    "broker.rack": String = null, Any, ReadOnly, Acts;
    /// Names of providers that resolve `${provider:path:key}` in values.
    "config.providers": List = "", Any, ClusterWide, JAVA_CLASS;
    /// Whether a stopping broker first hands its leaderships over.
    "controlled.shutdown.enable": Boolean = "true", Any, ReadOnly, LATER_CLUSTER;
    /// Plug-in that may refuse the creation of a topic.
    "create.topic.policy.class.name": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// Replicas of a topic that is created without a factor.
    "default.replication.factor": Int = "1", Any, ReadOnly, Acts;
    /// How many finished DeleteRecords waits may pile up before a sweep.
    "delete.records.purgatory.purge.interval.requests": Int = "1", Any, ReadOnly, PURGATORY;
    /// Whether DeleteTopics is served at all.
    "delete.topic.enable": Boolean = "true", Any, ReadOnly, Acts;
    /// Whether a dead letter topic is created when it is first needed.
    "errors.deadletterqueue.auto.create.topics.enable": Boolean = "false", Any, ClusterWide, LATER_SHARE;
    /// What the names of dead letter topics begin with.
    "errors.deadletterqueue.topic.name.prefix": String = "dlq.", Any, ClusterWide, LATER_SHARE;
    /// How many finished Fetch waits may pile up before a sweep.
    "fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, PURGATORY;
    /// How often the older metric reporters poll.
    "kafka.metrics.polling.interval.secs": Int = "10", AtLeast(1), ReadOnly, METRICS;
    /// The older kind of metric reporters.
    "kafka.metrics.reporters": List = "", Any, ReadOnly, METRICS;
    /// The most partitions in one DescribeTopicPartitions response.
    "max.request.partition.size.limit": Int = "2000", AtLeast(1), ReadOnly, Acts;
    /// Classes that are told about metrics.
    "metric.reporters": List = "org.apache.kafka.common.metrics.JmxReporter", Any, ClusterWide, METRICS;
    /// Samples kept for a windowed metric.
    "metrics.num.samples": Int = "2", AtLeast(1), ReadOnly, METRICS;
    /// The most detailed level of metric that is recorded.
    "metrics.recording.level": String = "INFO", Any, ReadOnly, METRICS;
    /// Window over which one sample of a metric is taken.
    "metrics.sample.window.ms": Long = "30000", AtLeast(1), ReadOnly, METRICS;
    /// Identity of this server within the cluster; no two servers share one.
    "node.id": Int = "1", AtLeast(0), ReadOnly, Acts;
    /// Threads that execute requests.
    "num.io.threads": Int = "8", AtLeast(1), ClusterWide, THREADS;
    /// Threads that read and write sockets, per listener.
    "num.network.threads": Int = "3", AtLeast(1), ClusterWide, THREADS;
    /// Partitions of a topic that is created without a count.
    "num.partitions": Int = "1", AtLeast(1), ReadOnly, Acts;
    /// Threads per data directory that recover logs at start and flush them at the end.
    "num.recovery.threads.per.data.dir": Int = "2", AtLeast(1), ClusterWide, THREADS;
    /// Threads that move replicas between data directories.
    "num.replica.alter.log.dirs.threads": Int = null, Any, ReadOnly, THREADS;
    /// What this server is: `broker`, `controller` or both. A single node is both.
    "process.roles": List = "broker,controller", EachOf(&["broker", "controller"]), ReadOnly, Acts;
    /// How many finished Produce waits may pile up before a sweep.
    "producer.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, PURGATORY;
    /// How long this broker waits for another server's answer.
    "request.timeout.ms": Int = "30000", Any, ReadOnly, LATER_CLUSTER;
    /// How long a start may take before it is given up.
    "server.max.startup.time.ms": Long = "9223372036854775807", AtLeast(0), ReadOnly, FAST_START, internal;
    /// How many finished ShareFetch waits may pile up before a sweep.
    "share.fetch.purgatory.purge.interval.requests": Int = "1000", Any, ReadOnly, PURGATORY;
    /// The largest telemetry payload that a client may push.
    "telemetry.max.bytes": Int = "1048576", AtLeast(1), ReadOnly, Acts;
    /// Whether API versions still in development are served.
    "unstable.api.versions.enable": Boolean = "false", Any, ReadOnly, STABLE_ONLY, internal;
    /// Whether feature levels still in development may be used.
    "unstable.feature.versions.enable": Boolean = "false", Any, ReadOnly, STABLE_ONLY, internal;
}
