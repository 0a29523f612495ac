//! What is cleaned up when somebody ends this program while brokers run: their processes and their data.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ringlog_reactor::{BackendChoice, Limits, Mesh, Reactor, ShardSpec, Shards, launch};
use rustix::process::{Pid, Signal, kill_process};

/// What shells report of a program that SIGINT has ended.
const EXIT_CODE: i32 = 130;

/// Folders of brokers that run, and their processes.
static RUNNING: Mutex<Vec<(PathBuf, Option<u32>)>> = Mutex::new(Vec::new());

/// A folder, and perhaps a process, that must not outlive this program.
#[derive(Debug)]
pub(crate) struct Leftovers(PathBuf);

impl Leftovers {
    /// A folder that is about to be made; what an earlier process of the same id has left in its place is removed.
    pub(crate) fn folder(path: &Path) -> Self {
        drop(fs::remove_dir_all(path));
        running().push((path.to_owned(), None));
        Self(path.to_owned())
    }

    /// The process that uses it.
    pub(crate) fn add_process(&self, id: u32) {
        for (_, process) in running().iter_mut().filter(|(path, _)| *path == self.0) {
            *process = Some(id);
        }
    }

    /// Removes the folder; its process must have ended.
    pub(crate) fn remove(&self) {
        running().retain(|(path, _)| *path != self.0);
        // It may be gone already.
        drop(fs::remove_dir_all(&self.0));
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.remove();
    }
}

fn running() -> MutexGuard<'static, Vec<(PathBuf, Option<u32>)>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Cleans up and ends the program on SIGINT or SIGTERM, as long as the result is kept.
pub(crate) fn watch() -> anyhow::Result<Shards<()>> {
    let main = |reactor: Reactor, _mesh: Mesh<()>| async move {
        if reactor.signal().await.is_ok() {
            clean_up();
            std::process::exit(EXIT_CODE);
        }
    };
    Ok(launch(&[ShardSpec { core: None }], BackendChoice::Auto, Limits::default(), main)?)
}

fn clean_up() {
    for (folder, process) in running().drain(..) {
        if let Some(id) = process.and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            // It may have got the same signal from the terminal.
            let _ = kill_process(id, Signal::KILL);
        }
        drop(fs::remove_dir_all(folder));
    }
}
