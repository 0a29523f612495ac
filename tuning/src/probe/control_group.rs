//! What the control groups of this process allow: containers limit memory and processor time by them.

use std::path::{Path, PathBuf};

use crate::cpu_set::CpuSet;
use crate::machine::{ControlGroup, Throttling};
use crate::tree::Tree;

/// Where control groups are mounted.
const MOUNT: &str = "sys/fs/cgroup";
/// Where version 2 is mounted beside version 1.
const MOUNT_BESIDE: &str = "sys/fs/cgroup/unified";
/// Groups that are looked at: the process's own in each tree, and those above.
const FOLDERS_MAX: usize = 128;

/// Reads the limits. What cannot be read counts as no limit.
pub(super) fn read(tree: &Tree<'_>) -> ControlGroup {
    let groups = tree.text("proc/self/cgroup").unwrap_or_default();
    let mut group = ControlGroup::default();
    for folder in folders(&groups) {
        let text = |name: &str| tree.text(folder.join(name));
        let memory = ["memory.max", "memory.high", "memory.limit_in_bytes"].map(text);
        let memory = memory.iter().flatten().filter_map(|text| text.parse().ok());
        group.memory_bytes = group.memory_bytes.into_iter().chain(memory).min();
        let of_version_1 = text("cpu.cfs_quota_us").zip(text("cpu.cfs_period_us"));
        let quotas = [text("cpu.max"), of_version_1.map(|(quota, period)| format!("{quota} {period}"))];
        let cpu = quotas.iter().flatten().filter_map(|text| quota_millis(text));
        group.cpu_millis = group.cpu_millis.into_iter().chain(cpu).min();
        if group.cpus.is_none() {
            let cpus = text("cpuset.cpus.effective").or_else(|| text("cpuset.effective_cpus"));
            group.cpus = cpus.and_then(|text| CpuSet::parse(&text)).filter(|cpus| !cpus.is_empty());
        }
        if group.throttling.is_none() {
            group.throttling = text("cpu.stat").and_then(|text| throttling(&text));
        }
    }
    // What version 1 says where there is no limit.
    group.memory_bytes = group.memory_bytes.filter(|bytes| *bytes < 1 << 60);
    group
}

/// The folders of the groups in `/proc/self/cgroup`, and of those above them.
fn folders(groups: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        // Version 2 has one tree and names no controllers; version 1 has one for each.
        let is_limit = |name: &str| matches!(name, "" | "memory" | "cpu" | "cpuset");
        if !controllers.split(',').any(is_limit) {
            continue;
        }
        let mounts: &[&str] = if controllers.is_empty() { &[MOUNT, MOUNT_BESIDE] } else { &[MOUNT] };
        for mount in mounts {
            let tree = Path::new(mount).join(controllers);
            let group = Path::new(path.trim_start_matches('/'));
            folders.extend(group.ancestors().map(|group| tree.join(group)).take(FOLDERS_MAX - folders.len()));
        }
    }
    folders
}

/// `quota period` in microseconds, as thousandths of a processor; `max` and negative quotas are none.
fn quota_millis(text: &str) -> Option<u64> {
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().ok());
    let (quota, period) = (numbers.next()??, numbers.next()??);
    quota.checked_mul(1000)?.checked_div(period)
}

fn throttling(stat: &str) -> Option<Throttling> {
    let number = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok())
    };
    Some(Throttling { periods: number("nr_periods ")?, throttled_periods: number("nr_throttled ")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_looked_at_up_to_the_root() {
        let folders = |text| folders(text).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            folders("0::/system.slice/ringlog.service\n"),
            [
                "sys/fs/cgroup/system.slice/ringlog.service",
                "sys/fs/cgroup/system.slice",
                "sys/fs/cgroup/",
                "sys/fs/cgroup/unified/system.slice/ringlog.service",
                "sys/fs/cgroup/unified/system.slice",
                "sys/fs/cgroup/unified/"
            ]
        );
        assert_eq!(
            folders("5:memory:/docker/a\n4:cpu,cpuacct:/\n3:pids:/x\n"),
            [
                "sys/fs/cgroup/memory/docker/a",
                "sys/fs/cgroup/memory/docker",
                "sys/fs/cgroup/memory/",
                "sys/fs/cgroup/cpu,cpuacct/"
            ]
        );
        assert_eq!(folders("nonsense"), [""; 0]);
        assert_eq!(folders(&format!("0::{}", "/a".repeat(1000))).len(), FOLDERS_MAX);
    }

    #[test]
    fn quotas_are_parts_of_processors() {
        for (text, millis) in [
            ("200000 100000\n", Some(2000)),
            ("150000 100000", Some(1500)),
            ("0 100000", Some(0)),
            ("max 100000", None),
            ("-1\n 100000\n", None),
            ("1 0", None),
            ("18446744073709551615 1", None),
            ("", None),
        ] {
            assert_eq!(quota_millis(text), millis, "{text:?}");
        }
    }

    #[test]
    fn throttled_periods_are_counted() {
        let stat = "usage_usec 5\nnr_periods 10\nnr_throttled 3\nthrottled_usec 7\n";
        assert_eq!(throttling(stat), Some(Throttling { periods: 10, throttled_periods: 3 }));
        assert_eq!(throttling("usage_usec 5\n"), None);
    }
}
