//! What is cleaned up when somebody ends this program while others run for it: their processes, and their data.
//!
//! Whoever starts a process or makes a folder does it under one lock. The clean-up takes that lock and keeps it until this
//! program has ended: it finds everything that was started, and nothing new is.
//!
//! SIGINT and SIGTERM come to this program itself. Of every other end, such as SIGHUP from a terminal that is closed, a
//! second process hears because a pipe ends: it was told what there is, and cleans up in this one's place.

use std::fs;
use std::io::{self, BufRead as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use ringlog_reactor::{BackendChoice, Limits, Mesh, Reactor, ShardSpec, Shards, launch};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};

/// What shells report of a program that SIGINT has ended.
const EXIT_CODE: i32 = 130;

/// How long a process that was killed may take to end.
const END_MAX: Duration = Duration::from_secs(5);

static RUNNING: Mutex<Running> = Mutex::new(Running { paths: Vec::new(), processes: Vec::new(), second: None });

/// Everything that must not outlive this program.
#[derive(Debug, Default)]
struct Running {
    paths: Vec<PathBuf>,
    processes: Vec<u32>,
    /// The pipe to the process that cleans up if this one cannot.
    second: Option<ChildStdin>,
}

/// What that process is told, a line of JSON each.
#[derive(Debug, Deserialize, Serialize)]
enum News {
    Made(PathBuf),
    Removed(PathBuf),
    Started(u32),
    Ended(u32),
}

/// A folder or a file that must not outlive this program. It is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct Leftovers(PathBuf);

impl Leftovers {
    /// What is about to be made there; what an earlier process of the same id has left in its place is removed.
    pub(crate) fn at(path: &Path) -> Self {
        let mut running = running();
        remove(path);
        running.note(News::Made(path.to_owned()));
        Self(path.to_owned())
    }

    /// A folder, which is made.
    pub(crate) fn folder(path: &Path) -> io::Result<Self> {
        let leftovers = Self::at(path);
        // A clean-up may have come in between.
        let _running = running();
        fs::create_dir_all(path)?;
        Ok(leftovers)
    }

    /// Removes it; a process that uses it must have ended.
    pub(crate) fn remove(&self) {
        let mut running = running();
        remove(&self.0);
        running.note(News::Removed(self.0.clone()));
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.remove();
    }
}

/// A process that must not outlive this program. It is killed when this is dropped, if it has not ended.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        let mut running = running();
        let child = command.spawn()?;
        running.note(News::Started(child.id()));
        Ok(Self(child))
    }

    /// Runs a program to its end, and answers what it has written: `Command::output`.
    pub(crate) fn output(command: &mut Command) -> io::Result<Output> {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Self::start(command)?;
        let (out, err) = (process.0.stdout.take(), process.0.stderr.take());
        // Both at once: a program that waits for room in one pipe does not end the other.
        let (stdout, stderr) = std::thread::scope(|scope| {
            let errors = scope.spawn(|| read(err));
            (read(out), errors.join().expect("it does not panic"))
        });
        Ok(Output { status: process.0.wait()?, stdout: stdout?, stderr: stderr? })
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.0.kill());
        drop(self.0.wait());
        running().note(News::Ended(self.0.id()));
    }
}

fn read(pipe: Option<impl io::Read>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    pipe.map_or(Ok(0), |mut pipe| pipe.read_to_end(&mut bytes))?;
    Ok(bytes)
}

fn running() -> MutexGuard<'static, Running> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// It may be gone already, or never have been there.
fn remove(path: &Path) {
    if path.is_dir() {
        drop(fs::remove_dir_all(path));
    } else {
        drop(fs::remove_file(path));
    }
}

/// Cleans up and ends the program on SIGINT or SIGTERM, as long as the result is kept.
pub(crate) fn watch() -> anyhow::Result<Shards<()>> {
    let mut second = Command::new(std::env::current_exe().context("this program's path")?);
    // In a group of its own: what a terminal sends to all that runs in it is not for this one.
    second.arg("clean-up").stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    running().second = second.spawn().context("the process that cleans up")?.stdin;
    let main = |reactor: Reactor, _mesh: Mesh<()>| async move {
        if reactor.signal().await.is_ok() {
            let mut running = running();
            running.clean_up();
            // With the lock: nothing is started behind the clean-up.
            std::process::exit(EXIT_CODE);
        }
    };
    Ok(launch(&[ShardSpec { core: None }], BackendChoice::Auto, Limits::default(), main)?)
}

/// Cleans up behind another process of this program, when it has ended.
pub(crate) fn clean_up() {
    let mut running = Running::default();
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        if let Ok(news) = serde_json::from_str(&line) {
            running.note(news);
        }
    }
    running.clean_up();
}

impl Running {
    fn note(&mut self, news: News) {
        if let (Some(second), Ok(line)) = (&mut self.second, serde_json::to_string(&news)) {
            // If it has ended, there is nobody to tell.
            drop(writeln!(second, "{line}"));
        }
        match news {
            News::Made(path) => self.paths.push(path),
            News::Removed(path) => self.paths.retain(|made| *made != path),
            News::Started(id) => self.processes.push(id),
            News::Ended(id) => self.processes.retain(|started| *started != id),
        }
    }

    fn clean_up(&mut self) {
        let own = |id: u32| i32::try_from(id).ok().and_then(Pid::from_raw);
        let processes: Vec<Pid> = self.processes.iter().copied().filter_map(own).collect();
        for process in processes.iter().flat_map(|process| [*process].into_iter().chain(children(*process))) {
            // It may have got the same signal from the terminal.
            let _ = kill_process(process, Signal::KILL);
        }
        for process in processes {
            // What still runs may write what is removed below. Its end is left to be taken by whoever has started it.
            ended_within(process, END_MAX);
        }
        // Whoever cleans up behind this one has nothing left to do.
        for id in self.processes.clone() {
            self.note(News::Ended(id));
        }
        for path in self.paths.clone() {
            remove(&path);
            self.note(News::Removed(path));
        }
    }
}

/// Waits until a process has ended, whosever it is; no longer than this, and tells whether it has.
pub(crate) fn ended_within(process: Pid, limit: Duration) -> bool {
    // Without such a process there is nothing to open.
    let Ok(descriptor) = pidfd_open(process, PidfdFlags::empty()) else { return true };
    let limit = Timespec::try_from(limit).ok();
    let mut polled = [PollFd::new(&descriptor, PollFlags::IN)];
    poll(&mut polled, limit.as_ref()).is_ok_and(|ended| ended > 0)
}

/// What a process has started, such as the program that strace traces, where the kernel tells it.
fn children(process: Pid) -> Vec<Pid> {
    let path = format!("/proc/{0}/task/{0}/children", process.as_raw_nonzero());
    let ids = fs::read_to_string(path).unwrap_or_default();
    ids.split_whitespace().filter_map(|id| Pid::from_raw(id.parse().ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_read_to_its_end() {
        let output =
            Process::output(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).expect("a shell");
        assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));
        assert_eq!(output.status.code(), Some(3));
    }

    #[test]
    fn what_runs_is_ended_and_what_it_has_left_is_removed() {
        let folder = std::env::temp_dir().join(format!("ringlog-bench-interrupt-{}", std::process::id()));
        fs::create_dir_all(folder.join("inner")).expect("a folder");
        let mut child = Command::new("sleep").arg("600").spawn().expect("a process");
        let mut running = Running { paths: vec![folder.clone()], processes: vec![child.id()], second: None };
        running.clean_up();
        assert!(!folder.exists());
        assert!(!child.wait().expect("it is ours").success());
    }
}
