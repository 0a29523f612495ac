//! The whole broker under the simulator: seeded workloads with faults, and the checker of what clients saw.
//!
//! A seed decides everything: the broker's sizes, who its clients are and what they do, when the power fails. [`run`]
//! lets it happen and panics when clients saw what cannot be true of a broker that keeps its promises. The same seed
//! gives the same run, in every build: `cargo run --release -p ringlog-sim -- --seed N --trace` tells what happened.
//!
//! [`ledger`] judges; [`clients`] speak the protocol; [`world`] runs the broker and disturbs it as [`plan`] says.
#![forbid(unsafe_code)]
#![allow(
    clippy::field_reassign_with_default,
    clippy::format_push_string,
    clippy::manual_is_multiple_of,
    clippy::semicolon_if_nothing_returned,
    clippy::struct_field_names,
    clippy::unused_self,
    reason = "matters of taste, of which the simulation keeps its own"
)]
#![warn(missing_docs)]

mod clients;
mod connection;
mod ledger;
mod plan;
mod records;
pub mod seeds;
mod world;

use std::time::Duration;

pub use ledger::Counts;

/// What a run came to. A failed one panics instead.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// Sums up every operation of the run: two runs of one seed agree on it.
    pub trace_hash: u64,
    /// How long it took, for those inside.
    pub virtual_time: Duration,
    /// What clients did.
    pub counts: Counts,
    /// How many times the broker was started.
    pub starts: u64,
}

/// Whether a run tells what happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Trace {
    /// Not.
    #[default]
    Off,
    /// On stderr.
    On,
}

/// Runs one seed.
pub fn run(seed: u64, trace: Trace) -> Outcome {
    world::World::new(seed, trace == Trace::On).run()
}
