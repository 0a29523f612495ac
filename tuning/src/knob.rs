//! What the kernel can be told while it runs. The list is closed: nothing else is ever written.

use serde::{Serialize, Serializer};

use crate::cpu_set::CPU_NUMBER_MAX;

/// The settings below `/proc/sys` that may be written.
const SYSCTLS: &[&str] = &[
    "kernel.numa_balancing",
    "net.core.somaxconn",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_wmem",
    "vm.dirty_background_ratio",
    "vm.dirty_ratio",
    "vm.max_map_count",
    "vm.swappiness",
    "vm.zone_reclaim_mode",
];
const HUGEPAGE: &str = "sys/kernel/mm/transparent_hugepage/enabled";
const DISKS: &str = "sys/block";
const CPUS: &str = "sys/devices/system/cpu/cpu";

/// A setting of the kernel that runs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Knob {
    /// One below `/proc/sys`, by its name: `vm.swappiness`.
    Sysctl(&'static str),
    /// When memory is mapped at huge pages.
    TransparentHugepage,
    /// Who puts the requests of a disk in order.
    Scheduler {
        /// `nvme0n1`
        disk: String,
    },
    /// Who decides on the clock rate of a processor.
    Governor {
        /// Its number.
        cpu: usize,
    },
}

impl Knob {
    /// One of those below `/proc/sys` that may be written.
    pub fn sysctl(name: &str) -> Option<Self> {
        SYSCTLS.iter().find(|known| **known == name).map(|known| Self::Sysctl(known))
    }

    /// A disk's scheduler; `None` of a name that is no disk's.
    pub fn scheduler(disk: &str) -> Option<Self> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '!');
        let is_name = !disk.is_empty() && disk.len() < 64 && disk.chars().all(is_plain);
        is_name.then(|| Self::Scheduler { disk: disk.to_owned() })
    }

    /// Where it is, from the root, without the first slash.
    pub fn path(&self) -> String {
        match self {
            Self::Sysctl(name) => format!("proc/sys/{}", name.replace('.', "/")),
            Self::TransparentHugepage => HUGEPAGE.to_owned(),
            Self::Scheduler { disk } => format!("{DISKS}/{disk}/queue/scheduler"),
            Self::Governor { cpu } => format!("{CPUS}{cpu}/cpufreq/scaling_governor"),
        }
    }

    /// The one at this path; `None` of any other path.
    pub fn at(path: &str) -> Option<Self> {
        if path == HUGEPAGE {
            return Some(Self::TransparentHugepage);
        }
        if let Some(name) = path.strip_prefix("proc/sys/") {
            return Self::sysctl(&name.replace('/', "."));
        }
        let disk = path.strip_prefix(DISKS).and_then(|rest| rest.strip_prefix('/')?.strip_suffix("/queue/scheduler"));
        if let Some(disk) = disk {
            return Self::scheduler(disk);
        }
        let cpu = path.strip_prefix(CPUS)?.strip_suffix("/cpufreq/scaling_governor")?;
        let cpu = cpu.parse().ok().filter(|cpu| *cpu <= CPU_NUMBER_MAX)?;
        // Only the name that is also made: no signs, no zeros in front.
        Some(Self::Governor { cpu }).filter(|knob| knob.path() == path)
    }

    /// What a person would type to set it.
    pub fn command(&self, value: &str) -> String {
        match self {
            Self::Sysctl(name) if value.contains(' ') => format!("sysctl -w {name}=\"{value}\""),
            Self::Sysctl(name) => format!("sysctl -w {name}={value}"),
            other => format!("echo {value} > /{}", other.path()),
        }
    }
}

impl Serialize for Knob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("/{}", self.path()))
    }
}

/// A setting and the value that it is to have.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Change {
    /// The setting.
    pub knob: Knob,
    /// The value.
    pub value: String,
    /// Why, in a sentence.
    pub because: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knobs_are_found_again_by_their_paths() {
        let scheduler = Knob::scheduler("nvme0n1").expect("it is a disk");
        let swappiness = Knob::sysctl("vm.swappiness").expect("it is known");
        for knob in [scheduler, swappiness, Knob::TransparentHugepage, Knob::Governor { cpu: 12 }] {
            assert_eq!(Knob::at(&knob.path()), Some(knob));
        }
    }

    #[test]
    fn no_other_path_is_a_knob() {
        for path in [
            "etc/passwd",
            "proc/sys/kernel/core_pattern",
            "proc/sys/vm/../kernel/core_pattern",
            "proc/sysrq-trigger",
            "sys/block/../queue/scheduler",
            "sys/block/a/b/queue/scheduler",
            "sys/block//queue/scheduler",
            "sys/devices/system/cpu/cpu+1/cpufreq/scaling_governor",
            "sys/devices/system/cpu/cpu01/cpufreq/scaling_governor",
            "sys/devices/system/cpu/cpu/cpufreq/scaling_governor",
            "",
        ] {
            assert_eq!(Knob::at(path), None, "{path}");
        }
    }

    #[test]
    fn commands_can_be_typed() {
        let knob = |name| Knob::sysctl(name).expect("it is known");
        assert_eq!(knob("vm.swappiness").command("1"), "sysctl -w vm.swappiness=1");
        assert_eq!(knob("net.ipv4.tcp_rmem").command("1 2 3"), "sysctl -w net.ipv4.tcp_rmem=\"1 2 3\"");
        let command = Knob::TransparentHugepage.command("madvise");
        assert_eq!(command, "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled");
    }
}
