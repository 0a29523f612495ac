//! A broker process to be measured: on a free port of the loopback interface, with an empty data directory.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::Setup;
use crate::compare::spawn_on;
use crate::interrupt::{Leftovers, Process, ended_within};
use crate::load::Server;

/// Clock ticks in a second, as `/proc` counts them for every program on Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// How long a broker may take to shut down.
const STOP_MAX: Duration = Duration::from_secs(30);
/// Lines of its log that are told of a broker that does not start.
const LOG_LINES_TOLD: usize = 10;
/// A socket ends before its process does: how long a broker may take to end behind it.
const END_MAX: Duration = Duration::from_millis(500);

/// Where data directories are made.
pub(crate) fn folder(setup: &Setup) -> anyhow::Result<PathBuf> {
    let folder = match &setup.folder {
        Some(folder) => folder.clone(),
        None => beside("bench-data")?,
    };
    fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

/// What stands in this program's folder.
fn beside(name: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program's path")?;
    Ok(own.parent().context("this program's folder")?.join(name))
}

/// Which cores a broker runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cores {
    /// The one that the setup names.
    One,
    /// So many, from core 0 on.
    First(usize),
    /// All, which is the default.
    All,
}

/// A running broker, ended and its data removed when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    process: Process,
    /// Keeps the pipe open: a broker may write to it until it ends.
    _output: BufReader<ChildStdout>,
    pub(crate) address: SocketAddr,
    /// From the start of the process until its port accepted a connection.
    pub(crate) started_in: Duration,
    data: PathBuf,
    log: PathBuf,
    /// Goes behind the process that writes it: fields are dropped in their order.
    _leftovers: Leftovers,
}

impl Broker {
    /// Starts one on an empty directory.
    pub(crate) fn start(setup: &Setup, cores: Cores) -> anyhow::Result<Self> {
        let data = folder(setup)?.join(format!("broker-{}", std::process::id()));
        let leftovers = Leftovers::at(&data);
        Self::start_on(setup, cores, data, leftovers)
    }

    /// Stops it, and starts one on the same data.
    pub(crate) fn start_again(mut self, setup: &Setup, cores: Cores) -> anyhow::Result<Self> {
        self.end()?;
        let Self { data, _leftovers: leftovers, .. } = self;
        Self::start_on(setup, cores, data, leftovers)
    }

    fn start_on(setup: &Setup, cores: Cores, data: PathBuf, leftovers: Leftovers) -> anyhow::Result<Self> {
        let program = setup.ringlog.clone().map_or_else(|| beside("ringlog"), Ok)?;
        let mut command = Command::new(&program);
        command.arg("start");
        command.args(["--set", "listeners=PLAINTEXT://127.0.0.1:0", "--set", "ringlog.admin.listener=", "--set"]);
        command.arg(format!("log.dirs={}", data.display()));
        match cores {
            Cores::One => {
                command.arg("--set").arg(format!("ringlog.cores={0}-{0}", setup.broker_core));
            }
            Cores::First(count) => {
                command.arg("--set").arg(format!("ringlog.cores=0-{}", count.saturating_sub(1)));
            }
            Cores::All => {}
        }
        for setting in &setup.set {
            command.arg("--set").arg(setting);
        }
        // Stays where it is until the next broker starts, for whoever looks for the cause of a failure.
        let log = data.with_extension("log");
        let file = fs::File::create(&log).with_context(|| log.display().to_string())?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(file);
        let begin = Instant::now();
        let started = match cores {
            Cores::One => spawn_on(setup.broker_core, &mut command),
            Cores::First(_) | Cores::All => Process::start(&mut command),
        };
        let mut process = started.with_context(|| {
            format!("{} cannot be started: `cargo build --release -p ringlog` makes it", program.display())
        })?;
        let mut output = BufReader::new(process.0.stdout.take().expect("it is piped"));
        let mut line = String::new();
        output.read_line(&mut line).context("what the broker prints")?;
        let Some(address) = listening(&line) else {
            bail!("{} did not say where it listens{}", program.display(), said(&line, &log));
        };
        drop(std::net::TcpStream::connect(address).context("the broker's port")?);
        let started_in = begin.elapsed();
        tell_warnings(&log);
        Ok(Self { process, _output: output, address, started_in, data, log, _leftovers: leftovers })
    }

    /// Resident memory, in bytes.
    pub(crate) fn resident_bytes(&self) -> anyhow::Result<u64> {
        let path = format!("/proc/{}/status", self.id());
        let status = fs::read_to_string(&path).context(path)?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>().context("VmRSS")? * 1024)
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.0.id()
    }

    fn pid(&self) -> anyhow::Result<Pid> {
        i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("a process id")
    }

    pub(crate) fn server(&self) -> Server {
        Server { address: self.address, process: Some(self.id()), data: Some(self.data.clone()) }
    }

    pub(crate) fn data(&self) -> &Path {
        &self.data
    }

    /// An error if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        match self.process.0.try_wait().context("the process is ours")? {
            None => Ok(()),
            Some(status) => bail!("the broker ended with {status}; see {}", self.log.display()),
        }
    }

    /// The same result; but that the broker has ended by itself explains an error better than what its clients noticed.
    pub(crate) fn explain<T>(&mut self, result: anyhow::Result<T>) -> anyhow::Result<T> {
        if result.is_err() {
            ended_within(self.pid()?, END_MAX);
            self.check()?;
        }
        result
    }

    /// Asks it to shut down, and waits until it has. One that takes too long is killed: its figures are there already.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        self.end()
    }

    fn end(&mut self) -> anyhow::Result<()> {
        let id = self.pid()?;
        kill_process(id, Signal::TERM).context("the broker has ended before")?;
        if !ended_within(id, STOP_MAX) {
            eprintln!("ringlog-bench: the broker has not shut down within {STOP_MAX:?} and is killed");
            return Ok(());
        }
        let status = self.process.0.wait().context("the process is ours")?;
        if !status.success() {
            bail!("the broker ended with {status}; see {}", self.log.display());
        }
        Ok(())
    }
}

/// Prints what a broker that has started warns of in its settings, once for all that are started alike.
fn tell_warnings(log: &Path) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    for warning in text.lines().filter_map(warning) {
        if told.insert(warning.to_owned()) {
            eprintln!("ringlog-bench: the broker warns: {warning}");
        }
    }
}

/// The warning in a line of the log that is about the start.
fn warning(line: &str) -> Option<&str> {
    Some(line.split_once(" WARN ringlog::start: ")?.1)
}

/// What a broker has printed, and the last lines of its log.
fn said(printed: &str, log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    let last = &lines[lines.len().saturating_sub(LOG_LINES_TOLD)..];
    let printed = if printed.is_empty() { String::new() } else { format!(", but {printed:?}") };
    format!("{printed}; the end of {}:\n{}", log.display(), last.join("\n"))
}

/// CPU seconds that a process has used so far, kernel threads of its rings included.
pub(crate) fn cpu_seconds(process: u32) -> anyhow::Result<f64> {
    let CpuTimes { user, kernel } = cpu_times(process)?;
    Ok(user + kernel)
}

/// CPU seconds of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuTimes {
    pub(crate) user: f64,
    pub(crate) kernel: f64,
}

/// What a process has used so far. Both times are told in steps of 10 ms (`TICKS_PER_SECOND`), and cut; the kernel itself
/// counts exactly.
pub(crate) fn cpu_times(process: u32) -> anyhow::Result<CpuTimes> {
    let path = format!("/proc/{process}/stat");
    let stat = fs::read_to_string(&path).context(path)?;
    // The name in parentheses may hold spaces; the state follows it.
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || fields.next().and_then(|field| field.parse::<u32>().ok()).context("ticks");
    let (user, kernel) = (ticks()?, ticks()?);
    Ok(CpuTimes { user: f64::from(user) / TICKS_PER_SECOND, kernel: f64::from(kernel) / TICKS_PER_SECOND })
}

/// The first address in a line such as `ringlog: listening on 127.0.0.1:9092 (uring, …)`.
pub(crate) fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    rest.split([' ', ',', '\n']).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_is_understood() {
        let line = "ringlog: listening on 127.0.0.1:9092 (uring, 2 shards, data in ./ringlog-data)\n";
        assert_eq!(listening(line), Some(SocketAddr::from(([127, 0, 0, 1], 9092))));
        assert_eq!(listening("listening on 127.0.0.1:1\n"), Some(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert_eq!(listening("no"), None);
    }

    #[test]
    fn the_end_of_a_log_is_told() {
        let log = std::env::temp_dir().join(format!("ringlog-bench-{}.log", std::process::id()));
        let lines: Vec<String> = (0..=LOG_LINES_TOLD).map(|line| format!("line {line}")).collect();
        fs::write(&log, lines.join("\n")).expect("a file");
        let text = said("what", &log);
        fs::remove_file(&log).expect("it is ours");
        assert!(text.starts_with(", but \"what\"; the end of ") && text.ends_with("line 10"), "{text}");
        assert!(text.contains("line 1\n") && !text.contains("line 0\n"), "{text}");
        assert!(said("", Path::new("nothing")).starts_with("; the end of nothing:"));
    }

    #[test]
    fn warnings_about_settings_are_found() {
        let line = "2026-11-28T14:02:32.289342Z  WARN ringlog::start: --set: a is not a known key; did you mean b?";
        assert_eq!(warning(line), Some("--set: a is not a known key; did you mean b?"));
        assert_eq!(warning("2026-11-28T14:02:38.279332Z  INFO ringlog::start: a"), None);
    }

    #[test]
    fn cpu_time_is_read() {
        assert!(cpu_seconds(std::process::id()).expect("this process is there") >= 0.0);
    }
}
