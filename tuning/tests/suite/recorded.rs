//! Machines of our own making: the files that kernels show, as far as they are read.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use ringlog_kit::folder::Folder;
use ringlog_tuning::{Machine, Plan, PlanError, Resources, Wishes, plan};

/// Larger machines have no caches, which are many files.
const CPUS_WITH_CACHES_MAX: usize = 16;

/// A folder that stands for the root of a machine.
pub(crate) struct Recorded {
    folder: Folder,
}

/// How the processors of a machine are put together.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) nodes: usize,
    pub(crate) cores_of_node: usize,
    pub(crate) threads_of_core: usize,
}

impl Recorded {
    /// A machine with these processors, numbered as Linux does: first one of each core, then the siblings. 64 GiB of memory.
    pub(crate) fn new(shape: Shape) -> Self {
        let machine = Self { folder: Folder::new("machine") };
        let Shape { nodes, cores_of_node, threads_of_core } = shape;
        let cores = nodes * cores_of_node;
        let cpus = cores * threads_of_core;
        let siblings = |core: usize| (0..threads_of_core).map(move |thread| (core + thread * cores).to_string());
        for cpu in 0..cpus {
            let folder = format!("sys/devices/system/cpu/cpu{cpu}");
            let list = siblings(cpu % cores).collect::<Vec<_>>().join(",");
            machine.file(&format!("{folder}/topology/thread_siblings_list"), &list);
            if cpus > CPUS_WITH_CACHES_MAX {
                continue;
            }
            for (index, (level, kind, size, shared)) in
                [(1, "Data", "48K", &list), (2, "Unified", "2048K", &list)].into_iter().enumerate()
            {
                let cache = format!("{folder}/cache/index{index}");
                machine.file(&format!("{cache}/level"), &level.to_string());
                machine.file(&format!("{cache}/type"), kind);
                machine.file(&format!("{cache}/size"), size);
                machine.file(&format!("{cache}/shared_cpu_list"), shared);
            }
        }
        for node in 0..nodes {
            let of_node = (node * cores_of_node..(node + 1) * cores_of_node).flat_map(siblings);
            let folder = format!("sys/devices/system/node/node{node}");
            machine.file(&format!("{folder}/cpulist"), &of_node.collect::<Vec<_>>().join(","));
            machine.file(&format!("{folder}/meminfo"), &format!("Node {node} MemTotal:       33554432 kB\n"));
        }
        let all = format!("0-{}", cpus - 1);
        machine.file("sys/devices/system/cpu/online", &all);
        machine.file("sys/devices/system/cpu/isolated", "");
        machine.file("sys/devices/system/cpu/smt/active", if threads_of_core > 1 { "1" } else { "0" });
        machine.file("proc/meminfo", "MemTotal:       67108864 kB\nMemAvailable:   60000000 kB\nSwapTotal:  0 kB\n");
        machine.allow(&all);
        machine.limits(1_048_576, "unlimited");
        machine.file("proc/self/cgroup", "0::/\n");
        machine
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a file, or replaces it.
    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.path().join(path);
        fs::create_dir_all(path.parent().expect("it lies in the machine's folder")).expect("folders can be made");
        fs::write(&path, format!("{text}\n")).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// The processors that the process may run on.
    pub(crate) fn allow(&self, cpus: &str) {
        let text =
            format!("Name:\tringlog\nCapEff:\t0000000000000000\nCpus_allowed:\tff\nCpus_allowed_list:\t{cpus}\n");
        self.file("proc/self/status", &text);
    }

    pub(crate) fn limits(&self, descriptors: u64, memlock: &str) {
        let text = format!(
            "Limit                     Soft Limit           Hard Limit           Units\n\
             Max open files            {descriptors}              {descriptors}              files\n\
             Max locked memory         {memlock}            {memlock}            bytes\n"
        );
        self.file("proc/self/limits", &text);
    }

    /// A control group of version 2, with the files that are named.
    pub(crate) fn control_group(&self, files: &[(&str, &str)]) {
        self.file("proc/self/cgroup", "0::/kubepods/pod1\n");
        for (name, text) in files {
            self.file(&format!("sys/fs/cgroup/kubepods/pod1/{name}"), text);
        }
    }

    /// A partition of a disk, mounted at `/var/lib/ringlog`.
    pub(crate) fn disk(&self, file_system: &str, options: &str, queue: &[(&str, &str)]) {
        let disk = "sys/devices/pci0/nvme0n1";
        for (name, text) in queue {
            self.file(&format!("{disk}/queue/{name}"), text);
            self.file(&format!("sys/block/nvme0n1/queue/{name}"), text);
        }
        self.file(&format!("{disk}/nvme0n1p1/partition"), "1");
        let link = self.path().join("sys/dev/block/259:1");
        fs::create_dir_all(link.parent().expect("it has one")).expect("folders can be made");
        symlink("../../devices/pci0/nvme0n1/nvme0n1p1", link).expect("links can be made");
        let mounts = format!(
            "20 1 259:9 / / rw,relatime - ext4 /dev/nvme1n1p1 rw\n\
             30 20 259:1 / /var/lib/ringlog {options} shared:1 - {file_system} /dev/nvme0n1p1 rw\n"
        );
        self.file("proc/self/mountinfo", &mounts);
    }

    pub(crate) fn resources(&self) -> Resources {
        Resources::read(self.path())
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine::read(self.path(), Path::new("/var/lib/ringlog"))
    }

    pub(crate) fn plan(&self, wishes: &Wishes) -> Result<Plan, PlanError> {
        plan(&self.resources(), wishes)
    }
}

/// Nothing is asked for.
pub(crate) fn no_wishes() -> Wishes {
    Wishes {
        cores: ringlog_tuning::CoreChoice::Auto,
        nodes: ringlog_tuning::NodePolicy::Fill,
        memory_bytes: None,
        journal_bytes: None,
        shard_memory_bytes_min: 32 << 20,
        message_bytes: 128,
    }
}

pub(crate) const ONE_CORE: Shape = Shape { nodes: 1, cores_of_node: 1, threads_of_core: 1 };
pub(crate) const TWO_CORES: Shape = Shape { nodes: 1, cores_of_node: 2, threads_of_core: 1 };
pub(crate) const SMT: Shape = Shape { nodes: 1, cores_of_node: 4, threads_of_core: 2 };
pub(crate) const TWO_NODES: Shape = Shape { nodes: 2, cores_of_node: 4, threads_of_core: 2 };
pub(crate) const MANY: Shape = Shape { nodes: 2, cores_of_node: 64, threads_of_core: 1 };
pub(crate) const TOO_MANY: Shape = Shape { nodes: 4, cores_of_node: 64, threads_of_core: 2 };
