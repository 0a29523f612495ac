//! Reads a machine from what its kernel tells in `/proc` and `/sys`.

mod control_group;
#[cfg(feature = "hwloc")]
mod hwloc;
mod kernel;
mod network;
mod processors;
mod storage;

use std::path::{Path, PathBuf};

use ringlog_reactor::UringSupport;
use rustix::fs::statvfs;

use self::kernel::Bound;
use crate::machine::{Machine, Resources, Space, Uring};
use crate::tree::{Tree, meminfo};

/// The capability that lets a process lock memory without a limit: `CAP_IPC_LOCK`.
const IPC_LOCK_BIT: u32 = 14;

impl Resources {
    /// Reads what a plan is made of, beneath `root`: `/`, or a recorded machine. Less than a millisecond on a small machine.
    /// The space of the data directory is in no file.
    pub fn read(root: &Path) -> Self {
        let tree = Tree::new(root);
        let status = tree.text("proc/self/status").unwrap_or_default();
        let limits = tree.text("proc/self/limits").unwrap_or_default();
        Self {
            cpus: processors::cpus(&tree),
            allowed: processors::allowed(&status),
            isolated: processors::isolated(&tree),
            control_group: control_group::read(&tree),
            memory_bytes: tree.text("proc/meminfo").and_then(|text| meminfo(&text, "MemTotal")),
            descriptors: kernel::limit(&limits, "Max open files", Bound::Hard),
            memlock_bytes: kernel::limit(&limits, "Max locked memory", Bound::Soft)
                .filter(|bytes| *bytes != u64::MAX && !kernel::has_capability(&status, IPC_LOCK_BIT)),
            space: None,
        }
    }

    /// Reads what a plan is made of from the machine that this process runs on. `directory` is where data is or will be kept.
    /// With the feature `hwloc` the processors are those that hwloc sees.
    pub fn read_running(directory: &Path) -> Self {
        let resources = Self::read(Path::new("/"));
        let space = existing(directory).and_then(|directory| statvfs(&directory).ok()).map(|stat| Space {
            total_bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
            free_bytes: stat.f_bavail.saturating_mul(stat.f_frsize),
        });
        #[cfg(feature = "hwloc")]
        let resources = Self { cpus: hwloc::cpus().unwrap_or(resources.cpus), ..resources };
        Self { space, ..resources }
    }
}

impl Machine {
    /// Reads everything that files beneath `root` tell. `directory` is where a broker would keep its data, as a path of that
    /// machine.
    pub fn read(root: &Path, directory: &Path) -> Self {
        let tree = Tree::new(root);
        let meminfo_text = tree.text("proc/meminfo").unwrap_or_default();
        Self {
            resources: Resources::read(root),
            kernel: kernel::read(&tree),
            is_smt_active: tree.number("sys/devices/system/cpu/smt/active").map(|active| active != 0),
            nodes: processors::nodes(&tree),
            caches: processors::caches(&tree),
            governors: processors::governors(&tree),
            interrupts: processors::interrupts(&tree),
            memory_available_bytes: meminfo(&meminfo_text, "MemAvailable"),
            swap_bytes: meminfo(&meminfo_text, "SwapTotal"),
            interfaces: network::interfaces(&tree),
            storage: storage::read(&tree, directory),
            uring: None,
        }
    }

    /// Reads the machine that this process runs on: the files, and what only calls tell.
    pub fn read_running(directory: &Path) -> Self {
        let absolute = existing(directory).unwrap_or_else(|| directory.to_owned());
        let mut machine = Self::read(Path::new("/"), &absolute);
        machine.resources = Resources::read_running(&absolute);
        let UringSupport { refusal, missing_operations, waits_as_idle } = UringSupport::ask();
        let missing_operations = missing_operations.into_iter().map(str::to_owned).collect();
        machine.uring = Some(Uring { refusal, missing_operations, waits_as_idle });
        machine
    }
}

/// The directory, or the nearest one above it that exists, as a path from the root without links.
fn existing(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    absolute.ancestors().find_map(|path| path.canonicalize().ok())
}
