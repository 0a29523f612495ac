//! What a broker's process has used so far, and what its disk has done: two readings make a run's usage.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

use crate::broker::cpu_seconds;
use crate::machine;

/// Where the sectors that were written stand in a `stat` file of a block device, and where its flushes do.
const SECTORS_WRITTEN_FIELD: usize = 6;
const FLUSHES_FIELD: usize = 15;
/// `stat` files count sectors of this size, whatever the disk's own is.
const SECTOR_BYTES: u64 = 512;

/// What was used between two readings.
#[derive(Clone, Copy, PartialEq, Default, Debug, Serialize)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    /// At the second reading.
    pub(crate) resident_bytes: u64,
    /// What the process has caused to be written, whether or not it has reached the disk by now.
    pub(crate) write_bytes: u64,
    /// Of all threads, voluntary or not.
    pub(crate) context_switches: u64,
    /// Of everybody who uses the disk; `None` where the data lies on none that is known.
    pub(crate) disk: Option<DiskUsage>,
}

/// What a whole disk has done.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub(crate) struct DiskUsage {
    pub(crate) flushes: u64,
    pub(crate) written_bytes: u64,
}

/// The counters at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident_bytes: u64,
    write_bytes: u64,
    /// By thread: one that ends takes its count along.
    context_switches: BTreeMap<u32, u64>,
    disk: Option<DiskUsage>,
}

impl Reading {
    /// Reads the counters of a process; and those of the disk that has the data, where it can be told.
    pub(crate) fn of(process: u32, data: Option<&Path>) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = format!("/proc/{process}/{name}");
            fs::read_to_string(&path).with_context(|| format!("{path}: is the broker still running?"))
        };
        // A file system in memory is on no disk.
        let disk = data.and_then(|data| machine::disk_stat(data).ok());
        Ok(Self {
            cpu_seconds: cpu_seconds(process)?,
            resident_bytes: field(&read("status")?, "VmRSS")?.saturating_mul(1024),
            // Not to be read of another user's process.
            write_bytes: read("io").and_then(|io| field(&io, "write_bytes")).unwrap_or(0),
            context_switches: context_switches(process)?,
            disk: disk.map(|path| machine::disk_usage(&path)).transpose()?,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Usage {
        let switches = self.context_switches.iter().map(|(thread, count)| {
            // The kernel gives the number of a thread that has ended to another one only after all others.
            count.saturating_sub(before.context_switches.get(thread).copied().unwrap_or(0))
        });
        let disk = self.disk.zip(before.disk).map(|(now, before)| DiskUsage {
            flushes: now.flushes.saturating_sub(before.flushes),
            written_bytes: now.written_bytes.saturating_sub(before.written_bytes),
        });
        Usage {
            cpu_seconds: self.cpu_seconds - before.cpu_seconds,
            resident_bytes: self.resident_bytes,
            write_bytes: self.write_bytes.saturating_sub(before.write_bytes),
            context_switches: switches.sum(),
            disk,
        }
    }
}

/// Refuses the number of no process.
pub(crate) fn check_process(option: &str, process: Option<u32>) -> anyhow::Result<()> {
    let is_there = process.is_none_or(|process| Path::new(&format!("/proc/{process}")).exists());
    ensure!(is_there, "{option} {}: there is no such process", process.unwrap_or_default());
    Ok(())
}

/// CPU time of this thread.
pub(crate) fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}

/// Context switches of each thread of a process.
fn context_switches(process: u32) -> anyhow::Result<BTreeMap<u32, u64>> {
    let folder = format!("/proc/{process}/task");
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(&folder).context(folder)? {
        let entry = entry.context("a thread")?;
        let thread = entry.file_name().to_str().and_then(|name| name.parse().ok()).context("a thread's number")?;
        // A thread may end at any time.
        if let Ok(status) = fs::read_to_string(entry.path().join("status")) {
            let count = field(&status, "voluntary_ctxt_switches")? + field(&status, "nonvoluntary_ctxt_switches")?;
            all.insert(thread, count);
        }
    }
    Ok(all)
}

/// The number behind `NAME:` in a file of `/proc`, without its unit.
fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    let number = rest.and_then(|rest| rest.split_whitespace().next()).with_context(|| name.to_owned())?;
    number.parse().with_context(|| format!("{name}: {number}"))
}

impl DiskUsage {
    /// Reads the `stat` file of a block device.
    pub(crate) fn parse(stat: &str) -> anyhow::Result<Self> {
        let fields: Vec<&str> = stat.split_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Ok(Self {
            flushes: number(FLUSHES_FIELD).context("this kernel does not count flushes")?,
            written_bytes: number(SECTORS_WRITTEN_FIELD).context("sectors written")? * SECTOR_BYTES,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_proc_are_found_by_their_whole_name() {
        let io = "rchar: 9\nwchar: 8\ncancelled_write_bytes: 7\nwrite_bytes: 4096\n";
        assert_eq!(field(io, "write_bytes").expect("it is there"), 4096);
        let status =
            "VmHWM:\t 2 kB\nVmRSS:\t    1234 kB\nvoluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t6\n";
        assert_eq!(field(status, "VmRSS").expect("it is there"), 1234);
        assert_eq!(field(status, "nonvoluntary_ctxt_switches").expect("it is there"), 6);
        assert!(field(status, "VmSwap").is_err() && field("VmRSS: much\n", "VmRSS").is_err());
    }

    #[test]
    fn a_disk_tells_bytes_and_flushes() {
        let stat = "  1 2 3 4 5 6 100 8 9 10 11 12 13 14 15 77 17\n";
        assert_eq!(DiskUsage::parse(stat).expect("it is whole"), DiskUsage { flushes: 77, written_bytes: 51_200 });
        assert!(DiskUsage::parse("1 2 3").is_err());
    }

    #[test]
    fn a_thread_that_has_ended_takes_nothing_from_the_others() {
        let reading = |switches: &[(u32, u64)], bytes| Reading {
            cpu_seconds: 1.0,
            resident_bytes: 10,
            write_bytes: bytes,
            context_switches: switches.iter().copied().collect(),
            disk: None,
        };
        let usage = reading(&[(1, 5), (3, 2)], 7).since(&reading(&[(1, 4), (2, 100)], 3));
        assert_eq!((usage.context_switches, usage.write_bytes, usage.disk), (3, 4, None));
    }

    #[test]
    fn a_process_that_is_not_there_is_refused_with_the_option() {
        check_process("--broker-pid", Some(std::process::id())).expect("this process is there");
        check_process("--broker-pid", None).expect("nothing was said");
        let error = check_process("--broker-pid", Some(u32::MAX)).expect_err("no process").to_string();
        assert_eq!(error, "--broker-pid 4294967295: there is no such process");
    }

    #[test]
    fn a_process_is_read() {
        let own = std::process::id();
        let before = Reading::of(own, Some(Path::new("."))).expect("this process is there");
        let usage = Reading::of(own, None).expect("this process is there").since(&before);
        assert!(usage.resident_bytes > 0 && usage.cpu_seconds >= 0.0);
    }
}
