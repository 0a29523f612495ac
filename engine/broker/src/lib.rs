//! A shard: it receives requests, drives its partitions through storage, and answers.
//!
//! The way of a request: [`acceptor`] starts a [`connection`], which cuts requests out of what it receives; [`dispatch`]
//! gives each to the handler of its key in [`handlers`]; a handler asks the owners of partitions, which are this shard
//! ([`partition`]) or others over the mesh ([`message`], served by [`mesh_loop`]); answers go back in the order of the
//! requests. State is touched through [`shard::Shard::with`] alone. Changes of metadata go to the [`controller`] on
//! shard 0, and come back as a new image that every shard installs ([`topology`]). Consumer groups are each coordinated on
//! one shard ([`group`]), and so is the use of each client quota counted ([`quota`]). What is counted on the way ([`metrics`]),
//! and where the time of requests went ([`recorder`]), is told over HTTP ([`admin`]).
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod acceptor;
mod admin;
mod answers;
mod boot;
mod calls;
mod clock;
mod config_alteration;
mod config_resource;
mod connection;
mod connection_limits;
mod connection_moves;
mod controller;
mod coordinator_log;
mod countdown;
mod directory;
mod dispatch;
mod entrant;
mod errand;
mod event;
mod group;
mod handlers;
mod handover;
mod http;
mod jobs;
mod limits;
mod lines;
mod logging;
mod memory;
mod mesh_loop;
mod message;
mod metrics;
mod open_connections;
mod operations;
mod partition;
mod places;
mod produce_rules;
mod quota;
mod random;
mod recorder;
mod request_log;
mod requests;
mod resize;
mod routes;
mod scatter;
mod settings;
mod shard;
mod state;
mod telemetry;
mod topic_creation;
mod topics;
mod topology;
mod turn;

pub use boot::{Addresses, BrokerEnd, OnListening, Start, StartError, run_shard};
pub use directory::{DirectoryError, FORMAT_VERSION};
pub use dispatch::served_apis;
pub use logging::Logging;
pub use message::ShardMessage;
pub use recorder::Phase;
pub use settings::{LogDirectory, SHARD_MEMORY_BYTES_MIN, Settings, StoreSizes};
