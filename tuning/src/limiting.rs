//! What a machine runs out of first when much is produced: processors, disk or network.

use serde::Serialize;

use crate::disk::DiskFigures;
use crate::machine::Machine;
use crate::plan::Plan;

/// Processor time for a gigabyte of records that are durable when they are acknowledged, in thousandths of a second:
/// 1 KiB records in batches of 1 MiB, `bench/results/2026-11-28-comparison.md`.
const CPU_MILLIS_PER_GIGABYTE: u64 = 250;

/// What one resource is good for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Bound {
    /// `cores`, `disk` or `network`.
    pub resource: &'static str,
    /// What could be produced if there were enough of everything else, in megabytes a second.
    pub mb_per_second: u64,
    /// How it was found.
    pub because: String,
}

/// What bounds a producer of large batches, the least first; what is not known is left out. An estimate: the figures of the
/// processors are those of another machine.
pub fn bounds(machine: &Machine, plan: &Plan, disk: Option<&DiskFigures>) -> Vec<Bound> {
    let shards = u64::try_from(plan.shards.len()).unwrap_or(u64::MAX);
    let cpu_millis = machine.resources.control_group.cpu_millis.unwrap_or(u64::MAX).min(shards.saturating_mul(1000));
    let mut bounds = vec![Bound {
        resource: "cores",
        mb_per_second: cpu_millis.saturating_mul(1000) / CPU_MILLIS_PER_GIGABYTE,
        because: format!(
            "{CPU_MILLIS_PER_GIGABYTE} ms of a core for a GB of large batches, as measured on another machine"
        ),
    }];
    bounds.extend(disk.map(|disk| Bound {
        resource: "disk",
        mb_per_second: disk.write_mb_per_second,
        because: "durable writes of 1 MiB, as measured here".to_owned(),
    }));
    let speeds = machine.interfaces.iter().filter(|interface| interface.is_up);
    let fastest = speeds.filter_map(|interface| Some((interface.speed_mbit?, &interface.name))).max();
    bounds.extend(fastest.map(|(speed_mbit, name)| Bound {
        resource: "network",
        mb_per_second: speed_mbit / 8,
        because: format!("{name} carries {speed_mbit} Mbit/s"),
    }));
    bounds.sort_by_key(|bound| bound.mb_per_second);
    bounds
}
