//! The one table of configuration keys, a file for each subject.
//!
//! A row reads `name: Kind = default, valid, scope, effect`, under one line of documentation. Kafka's keys carry the
//! types, defaults and ranges of Apache Kafka 4.4, except where one of [`DEFAULTS_OF_OUR_OWN`] says why not.

mod client_metrics;
mod group;
mod groups;
mod log;
mod network;
mod quorum;
mod reason;
mod remote;
mod replication;
mod retired;
mod ringlog;
mod sasl;
mod security;
mod server;
mod share;
mod topic;
mod transactions;

use super::key::ConfigKey;

pub use retired::RetiredKey;

/// Kafka's keys whose default is another one here: without a line of configuration a single node starts, in the current
/// folder, reachable from this machine alone.
pub const DEFAULTS_OF_OUR_OWN: &[&str] =
    &["controller.listener.names", "listeners", "log.dir", "node.id", "process.roles"];

const BROKER_TABLES: &[&[ConfigKey]] = &[
    ringlog::ROWS,
    server::ROWS,
    network::ROWS,
    log::ROWS,
    quorum::ROWS,
    replication::ROWS,
    groups::ROWS,
    share::ROWS,
    transactions::ROWS,
    security::ROWS,
    sasl::ROWS,
    remote::ROWS,
];

/// Every broker key.
pub fn broker_keys() -> impl Iterator<Item = &'static ConfigKey> {
    BROKER_TABLES.iter().copied().flatten()
}

/// Every topic key, in alphabetical order.
pub fn topic_keys() -> &'static [ConfigKey] {
    topic::ROWS
}

/// Every key of a group, in alphabetical order.
pub fn group_keys() -> &'static [ConfigKey] {
    group::ROWS
}

/// Every key of a subscription to metrics of clients, in alphabetical order.
pub fn client_metrics_keys() -> &'static [ConfigKey] {
    client_metrics::ROWS
}

/// The broker key of this name.
pub fn broker_key(name: &str) -> Option<&'static ConfigKey> {
    BROKER_TABLES.iter().find_map(|rows| find(rows, name))
}

/// The topic key of this name.
pub fn topic_key(name: &str) -> Option<&'static ConfigKey> {
    find(topic::ROWS, name)
}

/// The group key of this name.
pub fn group_key(name: &str) -> Option<&'static ConfigKey> {
    find(group::ROWS, name)
}

/// The key of this name of a subscription to metrics of clients.
pub fn client_metrics_key(name: &str) -> Option<&'static ConfigKey> {
    find(client_metrics::ROWS, name)
}

/// Rows stand in alphabetical order in every table.
fn find(rows: &'static [ConfigKey], name: &str) -> Option<&'static ConfigKey> {
    rows.binary_search_by(|key| key.name.cmp(name)).ok().map(|at| &rows[at])
}

/// What became of a key that older releases of Kafka had.
pub fn retired_key(name: &str) -> Option<&'static RetiredKey> {
    retired::ROWS.iter().find(|row| row.name == name)
}

/// Makes the rows of one subject's table.
macro_rules! keys {
    (@default null) => { None };
    (@default $text:literal) => { Some($text) };
    (@internal) => { false };
    (@internal internal) => { true };
    ($($(#[doc = $doc:literal])+ $name:literal: $kind:ident = $default:tt, $valid:expr, $scope:expr, $effect:expr
        $(, $internal:ident)?;)*) => {
        pub(super) const ROWS: &[crate::config::key::ConfigKey] = &[$(crate::config::key::ConfigKey {
            name: $name,
            kind: crate::config::key::Kind::$kind,
            default: crate::config::keys::keys!(@default $default),
            valid: $valid,
            scope: $scope,
            effect: $effect,
            internal: crate::config::keys::keys!(@internal $($internal)?),
            doc: concat!($($doc),+),
        },)*];
    };
}
use keys;

#[cfg(test)]
mod tests;
