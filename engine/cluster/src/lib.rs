//! What decides: cluster metadata, its image, consumer groups, the configuration table. Pure.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod connections;
pub mod coordinator;
pub mod expression;
pub mod fetch_session;
pub mod group;
pub mod image;
pub mod metadata;
pub mod placement;
pub mod producer_ids;
pub mod quota;
pub mod repeats;
pub mod telemetry;
