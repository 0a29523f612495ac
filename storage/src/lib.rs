//! What is kept: record batches, partition logs, the shard journal and recovery. Pure: I/O is asked for as data.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod batch;
pub mod types;
