//! What is kept: record batches, partition logs, the shard journal and recovery. Pure: I/O is asked for as data.
//!
//! A shard owns one [`Store`]. Appends and reads are answered from memory at once; what has to happen on the disk is
//! handed out by [`Store::poll_io`] and answered with [`Store::io_done`]; what comes of it is told by
//! [`Store::poll_event`]. Before the first store of a process is made, one [`Recovery`] brings the data directory in
//! order in the same way. The files are described in `FORMAT.md`.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod answer;
pub mod batch;
mod cache;
mod checkpoint;
pub mod config;
mod directory;
#[cfg(test)]
mod golden;
pub mod io;
mod journal;
pub mod limits;
mod log;
mod queue;
mod recovery;
#[cfg(test)]
mod simulation;
pub mod statistics;
mod store;
#[cfg(test)]
mod testdisk;
pub mod types;

pub use directory::{LogDir, LogDirs};
pub use journal::format::PartitionKey;
pub use log::partition::RotRange;
pub use recovery::{Recovered, RecoveredShard, Recovery, RecoveryError, RecoveryNews};
pub use store::{Handover, Maintained, Release, Store};
