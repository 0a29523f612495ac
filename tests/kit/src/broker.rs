//! A `ringlog` process of a test's own: on a free port of the loopback interface, with a data directory of its own.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::folder::Folder;

/// How long a start may take until its listening line: recovery included, on a machine that is busy.
const START_MAX: Duration = Duration::from_mins(2);

/// How long a line may take that something has caused already.
const LINE_MAX: Duration = Duration::from_mins(1);

/// Lines of the log that are kept for the report of a failure.
const LOG_LINES_MAX: usize = 2000;

/// How a broker is to be started.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Settings by Kafka's keys, given as `--set key=value`.
    pub settings: Vec<(String, String)>,
    /// Arguments behind those.
    pub arguments: Vec<String>,
    /// Data directories beside the first one.
    pub more_directories: usize,
}

impl Options {
    /// The defaults and one more setting.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A running process, ended with SIGKILL when dropped.
#[derive(Debug)]
pub struct Broker {
    options: Options,
    data: PathBuf,
    folder: Option<Folder>,
    process: Process,
}

#[derive(Debug)]
struct Process {
    child: Child,
    address: SocketAddr,
    log: Arc<Log>,
}

/// What a process has printed.
#[derive(Debug, Default)]
struct Log {
    lines: Mutex<VecDeque<String>>,
    /// Told of every line.
    grown: Condvar,
}

impl Log {
    fn push(&self, line: String) {
        let mut lines = self.lines.lock().expect("no reader panics");
        if lines.len() == LOG_LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
        self.grown.notify_all();
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no reader panics").iter().cloned().collect()
    }
}

impl Broker {
    /// Starts a broker on an empty data directory. Panics, with its log, if it does not come up.
    pub fn start(options: Options) -> Self {
        let folder = Folder::new("broker");
        let data = folder.path().join("data");
        let mut broker = Self::start_on(&data, options);
        broker.folder = Some(folder);
        broker
    }

    /// Starts a broker on a data directory that the caller keeps.
    pub fn start_on(data: &Path, options: Options) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let process = Process::start(data, any, &options).unwrap_or_else(|error| panic!("ringlog start: {error:#}"));
        Self { options, data: data.to_path_buf(), folder: None, process }
    }

    /// Where it listens, as clients write it: `127.0.0.1:port`.
    pub fn bootstrap(&self) -> String {
        self.process.address.to_string()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.process.address
    }

    /// Where its metrics are, if it was started with a port for them.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.log().iter().find_map(|line| admin(line))
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Its data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// What it has printed so far, on standard output and standard error, oldest first.
    pub fn log(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Waits until it has printed a line that is what it should be, and answers the first one. Panics, with its log, if that
    /// takes too long.
    pub fn wait_for_line(&self, is_it: impl Fn(&str) -> bool) -> String {
        let log = &self.process.log;
        let lines = log.lines.lock().expect("no reader panics");
        let is_missing = |lines: &mut VecDeque<String>| !lines.iter().any(|line| is_it(line));
        let (lines, _) = log.grown.wait_timeout_while(lines, LINE_MAX, is_missing).expect("no reader panics");
        let found = lines.iter().find(|line| is_it(line)).cloned();
        drop(lines);
        found.unwrap_or_else(|| panic!("no such line in {LINE_MAX:?}"))
    }

    /// Ends it with SIGKILL, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.child.kill().expect("the process is ours");
        self.process.child.wait().expect("the process is ours");
    }

    /// Asks it with SIGTERM to shut down, and waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        signal(self.id(), "TERM");
        self.process.child.wait().expect("the process is ours")
    }

    /// Starts it again, after [`kill`](Self::kill) or [`terminate`](Self::terminate), on the same data and the same port,
    /// so that clients that were connected find it.
    pub fn restart(&mut self) {
        let started = Process::start(&self.data, self.process.address, &self.options);
        self.process = started.unwrap_or_else(|error| panic!("ringlog start, again: {error:#}"));
    }

    /// As [`restart`](Self::restart), with other options.
    pub fn restart_with(&mut self, options: Options) {
        self.options = options;
        self.restart();
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // It may have ended by itself, which is no fault here.
        drop(self.process.child.kill());
        drop(self.process.child.wait());
        if std::thread::panicking() {
            eprintln!("--- log of ringlog {} ---\n{}\n---", self.process.address, self.log().join("\n"));
        }
    }
}

/// The data directory, and so many beside it.
fn log_dirs(data: &Path, more: usize) -> String {
    let others = (1..=more).map(|number| data.with_extension(format!("{number}")));
    let all = std::iter::once(data.to_path_buf()).chain(others).map(|path| path.display().to_string());
    all.collect::<Vec<_>>().join(",")
}

impl Process {
    fn start(data: &Path, address: SocketAddr, options: &Options) -> anyhow::Result<Self> {
        let mut command = Command::new(crate::binary::ringlog());
        command.arg("start");
        for (key, value) in [
            ("listeners".to_owned(), format!("PLAINTEXT://{address}")),
            ("log.dirs".to_owned(), log_dirs(data, options.more_directories)),
            // Many run side by side; who wants it asks for a free port.
            ("ringlog.admin.listener".to_owned(), String::new()),
        ]
        .iter()
        .chain(&options.settings)
        {
            command.arg("--set").arg(format!("{key}={value}"));
        }
        command.args(&options.arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("{command:?}"))?;
        let log = Arc::new(Log::default());
        let (say, heard) = mpsc::channel();
        follow(child.stdout.take().expect("piped"), Arc::clone(&log), say.clone());
        follow(child.stderr.take().expect("piped"), Arc::clone(&log), say);
        let listening = heard.recv_timeout(START_MAX);
        match listening {
            Ok(address) => Ok(Self { child, address, log }),
            Err(why) => {
                drop(child.kill());
                let status = child.wait().context("the process is ours")?;
                bail!("no listening line ({why}), {status}\n{}", log.lines().join("\n"))
            }
        }
    }
}

/// Copies what a broker prints into its log, line by line, and says when a line tells where it listens.
fn follow(from: impl Read + Send + 'static, log: Arc<Log>, say: mpsc::Sender<SocketAddr>) {
    std::thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n') {
            // A pipe that fails ends the log, as its end does.
            let Ok(line) = line else { break };
            let line = String::from_utf8_lossy(&line).into_owned();
            let address = listening(&line);
            log.push(line);
            if let Some(address) = address {
                // Only the first one is waited for, and then it is in the log already.
                let _ = say.send(address);
            }
        }
    });
}

/// The address in a line such as `ringlog: listening on 127.0.0.1:9092 (uring, …)`.
fn listening(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("listening on ")?;
    let end = rest.find([' ', ',', ';', '(']).unwrap_or(rest.len());
    rest[..end].rsplit('/').next().and_then(|address| address.parse().ok())
}

/// The address in a line such as `ringlog: listening on … metrics on http://127.0.0.1:9644/metrics)`.
fn admin(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("metrics on http://")?;
    rest.split_once('/')?.0.parse().ok()
}

fn signal(id: u32, name: &str) {
    let status = Command::new("sh").args(["-c", &format!("kill -{name} {id}")]).status();
    assert!(status.is_ok_and(|status| status.success()), "process {id} took no SIG{name}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listening_line_tells_the_address() {
        let expected = Some(SocketAddr::from(([127, 0, 0, 1], 39092)));
        for line in [
            "ringlog: listening on 127.0.0.1:39092 (uring, 2 shards, data in ./ringlog-data)",
            "listening on PLAINTEXT://127.0.0.1:39092, PLAINTEXT2://127.0.0.1:1",
            "ringlog: listening on 127.0.0.1:39092",
        ] {
            assert_eq!(listening(line), expected, "{line}");
        }
        let line =
            "ringlog: listening on 127.0.0.1:1 (uring, 1 shard, data in d, metrics on http://127.0.0.1:39644/metrics)";
        assert_eq!(admin(line), Some(SocketAddr::from(([127, 0, 0, 1], 39644))));
        assert_eq!(admin("ringlog: listening on 127.0.0.1:1 (uring, 1 shard, data in d)"), None);
        assert_eq!(listening("ringlog: io_uring is refused (EPERM)"), None);
        assert_eq!(listening("ringlog: listening on nothing"), None);
    }
}
