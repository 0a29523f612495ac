//! One thread's I/O: a closed set of operations on three backends, an executor, timers, and the mesh between shards.
//!
//! A *shard* is one thread with a [`Reactor`]. Everything that it does outside its own memory is an operation of one
//! closed enum; each backend performs the same operations:
//! - `uring`: `io_uring`, for production;
//! - `posix`: epoll, and a few threads for files, where `io_uring` is forbidden;
//! - `sim`: one thread, a seed, virtual time, a disk and a network in memory, with faults.
//!
//! An operation owns its buffers until its last completion, whatever happens to the future that waits for it. That is
//! the invariant that all `unsafe` code of the backends rests on.
#![warn(missing_docs)]

mod backend;
mod clock;
mod core;
mod counts;
mod disk;
mod file;
mod launch;
mod limits;
mod loose;
mod mesh;
mod network;
mod op;
mod posix;
mod reactor;
mod received;
mod signal;
pub mod sim;
mod socket;
mod task;
mod time;
mod timer;
mod uring;
mod usage;
mod workers;

pub use counts::{MeshCounts, ReactorCounts, RingCounts};
pub use file::{File, WRITE_SLICES_MAX};
pub use launch::{BackendChoice, BackendKind, LaunchError, ShardSpec, Shards, launch};
pub use limits::{Limits, is_out_of_descriptors};
pub use loose::LooseSocket;
pub use mesh::Mesh;
pub use op::{Create, DirEntry, Durability, EntryKind, ListenOptions, OpenOptions, Signal};
pub use reactor::{Elapsed, Reactor, Sleep};
pub use received::Received;
pub use socket::{Listener, Socket};
pub use task::Task;
pub use time::Instant;
pub use uring::UringSupport;
pub use usage::ProcessUsage;
