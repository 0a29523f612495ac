//! Real clients and raw requests against a real process.
//!
//! - `clients.rs` runs the programs of `kcat/`, `java/`, `librdkafka/`, `kafkajs/` and `franz-go/`, each a folder with a
//!   script `run BOOTSTRAP` that prints `ok NAME` or `FAIL NAME: why` for every case.
//! - `keys/` has a file for every API key that is served, with requests of every version.
//! - `dashboards/` has a real Prometheus watch a broker, and asks it what dashboards and alerts ask (`tuning/dashboards`).
//! - `durability.rs` ends a broker with SIGKILL while clients write, and looks for what was acknowledged.
//!
//! What clients do holds on Apache Kafka too: `RINGLOG_CONFORMANCE_BOOTSTRAP=127.0.0.1:PORT` names a broker that runs, with
//! `num.partitions=12` (see `tests/kafka/broker`).
#![forbid(unsafe_code)]

pub mod dashboards;
pub mod durability;
