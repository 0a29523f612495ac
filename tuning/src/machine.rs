//! What a machine is, as plain values. `None`, and an empty list, mean that the kernel does not tell.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;

use crate::cpu_set::CpuSet;

/// One processor that is online.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cpu {
    /// As the operating system numbers them.
    pub number: usize,
    /// The least number among the processors of its physical core, its SMT siblings: names the core.
    pub core: usize,
    /// The NUMA node that its memory is near to.
    pub node: Option<usize>,
}

/// What the control groups of the process allow: the least of all limits on the way to the root.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ControlGroup {
    /// Memory; `None` without a limit.
    pub memory_bytes: Option<u64>,
    /// Processor time, in thousandths of a processor; `None` without a limit.
    pub cpu_millis: Option<u64>,
    /// The processors of the group itself; `None` where the group does not tell.
    pub cpus: Option<CpuSet>,
    /// What its processor time has come to.
    pub throttling: Option<Throttling>,
}

/// How often a control group ran out of processor time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Throttling {
    /// Periods that have passed.
    pub periods: u64,
    /// Those in which the group had to wait.
    pub throttled_periods: u64,
}

/// Bytes of a file system.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Space {
    /// In all.
    pub total_bytes: u64,
    /// Still to be written.
    pub free_bytes: u64,
}

/// What a plan is made of: little enough to be read at every start.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Resources {
    /// Processors that are online, ascending.
    pub cpus: Vec<Cpu>,
    /// Those that the process may run on, which its control group and `taskset` decide; offline ones may be among them.
    pub allowed: Option<CpuSet>,
    /// Those that the kernel keeps its scheduler from.
    pub isolated: CpuSet,
    /// What the control groups allow.
    pub control_group: ControlGroup,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// File descriptors that the process may have open once it has raised its limit as far as it may.
    pub descriptors: Option<u64>,
    /// Memory that rings may take, at most; `None` where nothing is counted, and where nobody tells.
    pub memlock_bytes: Option<u64>,
    /// The file system of the data directory.
    pub space: Option<Space>,
}

/// A cache of the processors.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Cache {
    /// 1 is the nearest.
    pub level: u32,
    /// `Data`, `Instruction` or `Unified`.
    pub kind: String,
    /// Size of one.
    pub bytes: u64,
    /// Processors that share one, by the first of these caches.
    pub shared_by: CpuSet,
    /// How many the machine has.
    pub count: usize,
}

/// A NUMA node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Node {
    /// As the operating system numbers them.
    pub number: usize,
    /// Its processors.
    pub cpus: CpuSet,
    /// Its memory.
    pub memory_bytes: Option<u64>,
}

/// What the kernel is and how it is set.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Kernel {
    /// `6.1.0-13-amd64`
    pub release: Option<String>,
    /// What tells the time.
    pub clocksource: Option<String>,
    /// What could tell the time.
    pub clocksources: Vec<String>,
    /// When memory is mapped at huge pages: `always`, `madvise` or `never`.
    pub transparent_hugepage: Option<String>,
    /// The settings that are looked at, by name: `vm.swappiness`. Fields are divided by one blank.
    pub sysctls: BTreeMap<String, String>,
}

impl Kernel {
    /// Major and minor number of the release.
    pub fn version(&self) -> Option<(u32, u32)> {
        let mut numbers = self.release.as_deref()?.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }

    /// The first number of a setting.
    pub fn sysctl(&self, name: &str) -> Option<u64> {
        self.sysctls.get(name)?.split(' ').next()?.parse().ok()
    }

    /// The last number of a setting of several.
    pub fn sysctl_last(&self, name: &str) -> Option<u64> {
        self.sysctls.get(name)?.split(' ').next_back()?.parse().ok()
    }
}

/// A network interface of the machine; not the loopback one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Interface {
    /// `eth0`
    pub name: String,
    /// Megabits a second; virtual ones do not tell.
    pub speed_mbit: Option<u64>,
    /// Bytes of a packet.
    pub mtu: Option<u64>,
    /// Whether it carries anything.
    pub is_up: bool,
    /// Queues for what arrives; each can have a core of its own.
    pub receive_queues: usize,
    /// The NUMA node that it is plugged into.
    pub node: Option<usize>,
}

/// The disk that a file system lies on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct BlockDevice {
    /// `nvme0n1`; the whole disk, not its partition.
    pub name: String,
    /// The least that can be written, in bytes.
    pub logical_block_bytes: Option<u64>,
    /// The least that is written in one piece, in bytes.
    pub physical_block_bytes: Option<u64>,
    /// Whether it says that it has heads to move. Virtual disks often say so.
    pub is_rotational: Option<bool>,
    /// The scheduler in force.
    pub scheduler: Option<String>,
    /// The schedulers to choose from.
    pub schedulers: Vec<String>,
    /// Requests that the kernel keeps for it.
    pub requests: Option<u64>,
    /// `write back` asks for flushes, `write through` does not need them.
    pub write_cache: Option<String>,
}

/// What the data directory lies on.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Storage {
    /// The data directory, or what will hold it, as a path from the root.
    pub directory: PathBuf,
    /// Where its file system is mounted.
    pub mount_point: PathBuf,
    /// `ext4`, `xfs`
    pub file_system: String,
    /// What is mounted: `/dev/nvme0n1p2`.
    pub source: String,
    /// Options of the mount and of the file system.
    pub options: Vec<String>,
    /// The disk; none beneath network and memory file systems.
    pub device: Option<BlockDevice>,
}

/// What `io_uring` can do.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Uring {
    /// Why the kernel refuses a ring; `None` if it does not.
    pub refusal: Option<String>,
    /// Operations of the reactor that the kernel does not have.
    pub missing_operations: Vec<String>,
    /// Whether a shard that waits shows as idle, and not as waiting for a disk.
    pub waits_as_idle: bool,
}

/// A machine.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Machine {
    /// What plans are made of.
    pub resources: Resources,
    /// The kernel and its settings.
    pub kernel: Kernel,
    /// Whether cores have several processors each.
    pub is_smt_active: Option<bool>,
    /// NUMA nodes.
    pub nodes: Vec<Node>,
    /// Caches, one entry for all of a kind.
    pub caches: Vec<Cache>,
    /// Who decides on the clock rate of which processors.
    pub governors: BTreeMap<String, CpuSet>,
    /// Processors that interrupts are brought to.
    pub interrupts: Option<CpuSet>,
    /// Memory that is free, or could be.
    pub memory_available_bytes: Option<u64>,
    /// Space for memory that is swapped out; 0 without any.
    pub swap_bytes: Option<u64>,
    /// Network interfaces.
    pub interfaces: Vec<Interface>,
    /// What the data directory lies on.
    pub storage: Option<Storage>,
    /// What `io_uring` can do: asked of the kernel that runs, and not of a recorded machine.
    pub uring: Option<Uring>,
}
