//! What a machine gives, what a broker makes of it, and what of the machine should be otherwise.
//!
//! - [`Machine::read`] reads what the kernel tells in `/proc` and `/sys`, beneath any folder: a recorded machine is read like the
//!   one that runs. What cannot be read is unknown, and never an error.
//! - [`plan()`] makes shards, cores, memory and ring sizes of it. It is pure, and the same for `ringlog start` and for
//!   `ringlog tune plan`.
//! - [`check()`] holds the machine against what a broker wants, and says what to do; pure too.
//! - [`apply`] writes what the kernel can be told while it runs, and notes what was there before.
//! - [`measure`] measures the disk with the reactor's own operations.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod apply;
mod check;
mod cpu_set;
mod disk;
mod knob;
mod limiting;
mod machine;
mod plan;
mod probe;
mod tree;

pub use check::{Item, Needs, Verdict, check};
pub use cpu_set::{CPU_NUMBER_MAX, CpuSet};
pub use disk::{DiskFigures, Latency, MeasureError, Point, measure};
pub use knob::{Change, Knob};
pub use limiting::{Bound, bounds};
pub use machine::{
    BlockDevice, Cache, ControlGroup, Cpu, Interface, Kernel, Machine, Node, Resources, Space, Storage, Throttling,
    Uring,
};
pub use plan::{CoreChoice, NodePolicy, Plan, PlanError, PlanLine, SHARDS_MAX, Shard, Wishes, bytes, plan};
