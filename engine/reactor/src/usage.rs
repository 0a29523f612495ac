//! What the process takes of its machine, as the kernel tells it.

use std::fs::read_to_string;
use std::io::{self, ErrorKind};
use std::path::Path;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat};
use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// Ticks of a second in what the kernel tells programs, on every architecture.
const TICKS_PER_SECOND: u64 = 100;

/// What a process takes of its machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ProcessUsage {
    /// CPU time of all threads, in user and in kernel mode: nanoseconds.
    pub cpu_nanos: u64,
    /// Memory that is in RAM.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// When it was started, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// File descriptors in use.
    pub open_descriptors: u64,
    /// How many it may have.
    pub descriptors_max: u64,
    /// Its threads, those of the kernel for its rings among them.
    pub threads: u64,
    /// Bytes that it has caused to be read from storage devices. The kernel may keep that to itself.
    pub read_bytes: Option<u64>,
    /// Bytes that it has caused to be written to them.
    pub written_bytes: Option<u64>,
}

/// Asks the kernel. Reads a few files below `/proc`.
pub(crate) fn process_usage() -> io::Result<ProcessUsage> {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let status = read_to_string("/proc/self/status")?;
    let io = read_to_string("/proc/self/io").ok();
    let of_io = |name| io.as_deref().and_then(|io| field(io, name));
    let kib = |name| field(&status, name).map_or(0, |kib| kib.saturating_mul(1024));
    Ok(ProcessUsage {
        cpu_nanos: whole(cpu.tv_sec).saturating_mul(1_000_000_000).saturating_add(whole(cpu.tv_nsec)),
        resident_bytes: kib("VmRSS:"),
        virtual_bytes: kib("VmSize:"),
        started_at_ms: started_at_ms(&read_to_string("/proc/self/stat")?, &read_to_string("/proc/stat")?)?,
        open_descriptors: entries(Path::new("/proc/self/fd"))?,
        descriptors_max: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
        threads: field(&status, "Threads:").unwrap_or(0),
        read_bytes: of_io("read_bytes:"),
        written_bytes: of_io("write_bytes:"),
    })
}

fn whole(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// The number behind a name that begins a line.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// From the process's own line and the machine's start. The program's name may hold anything, so what follows it is looked at.
fn started_at_ms(process: &str, machine: &str) -> io::Result<u64> {
    let ticks = process.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(19)?.parse::<u64>().ok());
    let booted_at = field(machine, "btime");
    let started = ticks.zip(booted_at).map(|(ticks, booted_at)| {
        booted_at.saturating_mul(1000).saturating_add(ticks.saturating_mul(1000 / TICKS_PER_SECOND))
    });
    started.ok_or_else(|| io::Error::new(ErrorKind::InvalidData, "/proc/self/stat is not as expected"))
}

fn entries(path: &Path) -> io::Result<u64> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, path, flags, Mode::empty())?;
    let mut count = 0_u64;
    for entry in Dir::read_from(&directory)? {
        let name = entry?;
        count += u64::from(name.file_name() != c"." && name.file_name() != c"..");
    }
    // Less that of the directory itself, and of its listing.
    Ok(count.saturating_sub(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_told_whatever_the_program_is_called() {
        let rest = (3..=52).map(|number| if number == 22 { "250".to_owned() } else { number.to_string() });
        let line = format!("7 (a) b (c)) {}", rest.collect::<Vec<_>>().join(" "));
        assert_eq!(started_at_ms(&line, "cpu 1 2\nbtime 1000\n").ok(), Some(1_002_500));
        assert!(started_at_ms("7 (a", "btime 1000").is_err());
        assert!(started_at_ms(&line, "cpu 1 2").is_err());
    }

    #[test]
    fn a_process_knows_what_it_takes() {
        let before = process_usage().expect("Linux tells it");
        assert!(before.resident_bytes > 0 && before.virtual_bytes >= before.resident_bytes && before.threads > 0);
        assert!(before.started_at_ms > 1_500_000_000_000, "{before:?}");
        let files: Vec<_> = (0..100).map(|_| std::fs::File::open("/proc/self/stat").expect("it is there")).collect();
        let after = process_usage().expect("Linux tells it");
        // Tests beside this one open files too.
        assert!(after.open_descriptors >= before.open_descriptors + 50, "{before:?} {after:?}");
        assert!(after.cpu_nanos > before.cpu_nanos);
        drop(files);
    }
}
