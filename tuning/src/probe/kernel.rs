//! The kernel, its settings, and the limits that it holds this process to.

use crate::machine::Kernel;
use crate::tree::{Tree, choices, selected};

const CLOCKSOURCE: &str = "sys/devices/system/clocksource/clocksource0";

/// The settings that are looked at.
const SYSCTLS: &[&str] = &[
    "fs.file-max",
    "fs.nr_open",
    "kernel.io_uring_disabled",
    "kernel.numa_balancing",
    "net.core.netdev_max_backlog",
    "net.core.rmem_max",
    "net.core.somaxconn",
    "net.core.wmem_max",
    "net.ipv4.tcp_max_syn_backlog",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_wmem",
    "vm.dirty_background_ratio",
    "vm.dirty_ratio",
    "vm.max_map_count",
    "vm.swappiness",
    "vm.zone_reclaim_mode",
];

pub(super) fn read(tree: &Tree<'_>) -> Kernel {
    let sysctl = |name: &&str| {
        let text = tree.text(format!("proc/sys/{}", name.replace('.', "/")))?;
        Some(((*name).to_owned(), text.split_whitespace().collect::<Vec<_>>().join(" ")))
    };
    let transparent_hugepage = tree.text("sys/kernel/mm/transparent_hugepage/enabled");
    Kernel {
        release: tree.text("proc/sys/kernel/osrelease"),
        clocksource: tree.text(format!("{CLOCKSOURCE}/current_clocksource")),
        clocksources: choices(&tree.text(format!("{CLOCKSOURCE}/available_clocksource")).unwrap_or_default()),
        transparent_hugepage: transparent_hugepage.map(|text| selected(&text).to_owned()),
        sysctls: SYSCTLS.iter().filter_map(sysctl).collect(),
    }
}

/// Which of the two limits of `/proc/self/limits`.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// What is in force.
    Soft,
    /// What the process may raise it to.
    Hard,
}

/// A limit in `/proc/self/limits`; the largest number stands for none.
pub(super) fn limit(limits: &str, name: &str, bound: Bound) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix(name))?;
    let mut columns = line.split_whitespace();
    let column = match bound {
        Bound::Soft => columns.next(),
        Bound::Hard => columns.nth(1),
    };
    match column? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// Whether `/proc/self/status` names a capability as in force.
pub(super) fn has_capability(status: &str, bit: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << bit) != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_capabilities_are_found() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024   4096   files\nMax locked memory  unlimited unlimited bytes\n";
        assert_eq!(limit(limits, "Max open files", Bound::Hard), Some(4096));
        assert_eq!(limit(limits, "Max locked memory", Bound::Soft), Some(u64::MAX));
        assert_eq!(limit(limits, "Max nice priority", Bound::Hard), None);
        assert!(has_capability("CapEff:\t0000000000004000\n", 14));
        assert!(!has_capability("CapEff:\t0000000000002000\n", 14));
        assert!(!has_capability("CapEff:\tmany\n", 14));
    }
}
