//! What decides: cluster metadata, its image, the configuration table. Pure.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
