//! What this broker has and Kafka has not.

use crate::config::key::Effect::Acts;
use crate::config::key::Scope::{ClusterWide, PerBroker, ReadOnly};
use crate::config::key::Valid::{AtLeast, AutoOrBytes, Between, Cores, EachOf, HostPort, OneOf};

use super::keys;

keys! {
    /// Where metrics, health and settings are served over HTTP, as `host:port`; empty for nowhere.
    "ringlog.admin.listener": String = "127.0.0.1:9644", HostPort, ReadOnly, Acts;
    /// How the broker talks to the kernel: `uring`, `posix` (epoll), or the better one that works.
    "ringlog.backend": String = "auto", OneOf(&["auto", "posix", "uring"]), ReadOnly, Acts;
    /// Microseconds from one group commit to the next, unless much waits: fewer flushes and bytes for later answers.
    "ringlog.commit.interval.us": Int = "0", Between(0, 1_000_000), ReadOnly, Acts;
    /// Cores to run a shard on each: `all`, a count, or numbers such as `0-3,6`.
    "ringlog.cores": String = "all", Cores, ReadOnly, Acts;
    /// What an acknowledgement promises of topics that do not say: `sync`, `interval` or `none`.
    "ringlog.durability": String = "sync", OneOf(&["interval", "none", "sync"]), ClusterWide, Acts;
    /// Size of one shard's journal, which recovery reads at most; `auto` is 256 MiB, or less on a small disk; it
    /// has three files of 16 MiB at least.
    "ringlog.journal.bytes": Bytes = "auto", AutoOrBytes(50_331_648), ReadOnly, Acts;
    /// What a line of the log looks like: `text` for people, `json` for programs.
    "ringlog.log.format": String = "text", OneOf(&["json", "text"]), ReadOnly, Acts;
    /// Memory of the whole broker; `auto` follows the machine or its container.
    "ringlog.memory": Bytes = "auto", AutoOrBytes(67_108_864), ReadOnly, Acts;
    /// Whose names metrics have, in any number: those of the JMX exporter, of kafka_exporter, of kminion, and our own.
    "ringlog.metrics.families": List = "jmx,kafka_exporter,kminion,ringlog",
        EachOf(&["jmx", "kafka_exporter", "kminion", "ringlog"]), ReadOnly, Acts;
    /// Topics whose metrics have labels of their own, by name; those behind them are told of together.
    "ringlog.metrics.topics.max": Int = "10000", AtLeast(0), ReadOnly, Acts;
    /// Which NUMA nodes come first when not all cores run a shard: one node's (`fill`), or those of all in turn (`spread`).
    "ringlog.numa": String = "fill", OneOf(&["fill", "spread"]), ReadOnly, Acts;
    /// One request of so many is kept, whatever it took, and told at `/perf/requests`; 0: none.
    "ringlog.perf.sample": Int = "128", AtLeast(0), ClusterWide, Acts;
    /// Microseconds above which a request is slow, and kept; what it waits for by its own wish does not count; 0: none.
    "ringlog.perf.slow.us": Int = "100000", AtLeast(0), ClusterWide, Acts;
    /// How many of the shards own partitions and take connections, those of the first of `ringlog.cores`; 0: all.
    "ringlog.shards": Int = "0", AtLeast(0), PerBroker, Acts;
    /// Where metrics go that clients push: `log`; with `off` clients are not told that they could.
    "ringlog.telemetry": String = "off", OneOf(&["log", "off"]), ReadOnly, Acts;
}
