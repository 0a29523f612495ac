//! What the control groups of this process allow: containers limit memory and processor time by them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const MOUNT: &str = "/sys/fs/cgroup";
/// Groups on the way from the process's own to the root that are looked at.
const DEPTH_MAX: usize = 64;

/// The least of all limits on the way to the root; `None` without a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Allowance {
    /// Memory, in bytes.
    pub(super) memory_bytes: Option<u64>,
    /// Processor time, in cores, rounded up.
    pub(super) cores: Option<usize>,
}

/// Reads the limits. What cannot be read counts as no limit.
pub(super) fn read() -> Allowance {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let mut allowance = Allowance::default();
    for folder in folders(&groups) {
        let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
        let memory = [text("memory.max"), text("memory.limit_in_bytes")];
        let memory = memory.iter().flatten().filter_map(|text| text.trim().parse().ok());
        allowance.memory_bytes = allowance.memory_bytes.into_iter().chain(memory).min();
        let of_version_1 = text("cpu.cfs_quota_us").zip(text("cpu.cfs_period_us"));
        let quotas = [text("cpu.max"), of_version_1.map(|(quota, period)| format!("{quota} {period}"))];
        let cores = quotas.iter().flatten().filter_map(|text| parse_quota(text));
        allowance.cores = allowance.cores.into_iter().chain(cores).min();
    }
    allowance
}

/// The folders of the groups in `/proc/self/cgroup`, and of those above them.
fn folders(groups: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        // Version 2 has one tree and names no controllers; version 1 has one for each.
        let is_limit = |name: &str| matches!(name, "" | "memory" | "cpu");
        if !controllers.split(',').any(is_limit) {
            continue;
        }
        let tree = Path::new(MOUNT).join(controllers);
        let group = path.trim_start_matches('/');
        let above = Path::new(group).ancestors().take(DEPTH_MAX);
        folders.extend(above.map(|group| tree.join(group)));
    }
    folders
}

/// `quota period` in microseconds, as cores rounded up; `max` and negative quotas are none.
fn parse_quota(text: &str) -> Option<usize> {
    let mut numbers = text.split_whitespace().map(|number| number.parse::<u64>().ok());
    let (quota, period) = (numbers.next()??, numbers.next()??);
    if period == 0 {
        return None;
    }
    usize::try_from(quota.div_ceil(period)).ok().map(|cores| cores.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_looked_at_up_to_the_root() {
        let folders = |text| folders(text).into_iter().map(|path| path.display().to_string()).collect::<Vec<_>>();
        assert_eq!(
            folders("0::/system.slice/ringlog.service\n"),
            ["/sys/fs/cgroup/system.slice/ringlog.service", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/"]
        );
        assert_eq!(folders("0::/\n"), ["/sys/fs/cgroup/"]);
        assert_eq!(
            folders("5:memory:/docker/a\n4:cpu,cpuacct:/\n3:pids:/x\n"),
            [
                "/sys/fs/cgroup/memory/docker/a",
                "/sys/fs/cgroup/memory/docker",
                "/sys/fs/cgroup/memory/",
                "/sys/fs/cgroup/cpu,cpuacct/"
            ]
        );
        assert_eq!(folders("nonsense"), [""; 0]);
    }

    #[test]
    fn quotas_are_rounded_up() {
        for (text, cores) in [
            ("200000 100000\n", Some(2)),
            ("150000 100000", Some(2)),
            ("50000 100000", Some(1)),
            ("0 100000", Some(1)),
            ("max 100000", None),
            ("-1\n 100000\n", None),
            ("1 0", None),
            ("", None),
        ] {
            assert_eq!(parse_quota(text), cores, "{text:?}");
        }
    }
}
