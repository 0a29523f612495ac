//! The few threads that perform file operations for one shard, so that a disk never holds up its loop: all of them for
//! the posix backend, and for a ring those that it does not have.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::backend::Bell;
use crate::disk::{Performed, perform};
use crate::op::{Op, OpId};

/// Bytes of a worker's stack: it makes one system call at a time.
const STACK_BYTES: usize = 128 * 1024;

/// A file operation and the file that it works on, which stays open at least until it ends.
#[derive(Debug)]
struct Job {
    id: OpId,
    op: Op,
    file: Option<Arc<OwnedFd>>,
}

#[derive(Debug)]
struct Ended {
    worker: usize,
    id: OpId,
    performed: Performed,
}

#[derive(Debug)]
struct Worker {
    /// `None` only while the workers are dropped.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// The threads, and the operations that wait for one of them. Each thread has one job at a time, so channels never
/// hold more than one, and the queue is as long as the core's limit of file operations.
#[derive(Debug)]
pub(crate) struct Workers {
    threads: Vec<Worker>,
    idle: Vec<usize>,
    queue: VecDeque<Job>,
    ended: Receiver<Ended>,
}

impl Workers {
    /// Starts `count` threads. Each rings `bell` when an operation has ended.
    pub(crate) fn start(count: usize, bell: &Bell) -> io::Result<Self> {
        assert!(count > 0, "file operations need a thread");
        let (ended_sender, ended) = channel();
        let threads = (0..count)
            .map(|worker| {
                let (jobs, job_receiver) = channel();
                let (ended, bell) = (ended_sender.clone(), bell.clone());
                let thread = Builder::new()
                    .name(format!("disk-{worker}"))
                    .stack_size(STACK_BYTES)
                    .spawn(move || work(worker, &job_receiver, &ended, &bell))?;
                Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
            })
            .collect::<io::Result<Vec<_>>>()?;
        Ok(Self { threads, idle: (0..count).collect(), queue: VecDeque::new(), ended })
    }

    pub(crate) fn submit(&mut self, id: OpId, op: Op, file: Option<Arc<OwnedFd>>) {
        self.queue.push_back(Job { id, op, file });
        self.feed();
    }

    fn feed(&mut self) {
        while !self.queue.is_empty() {
            let Some(worker) = self.idle.pop() else { return };
            let job = self.queue.pop_front().expect("the queue is not empty");
            let jobs = self.threads[worker].jobs.as_ref().expect("the workers are not being dropped");
            jobs.send(job).expect("a worker ends only with its channel");
        }
    }

    fn freed(&mut self, worker: usize) {
        self.idle.push(worker);
        self.feed();
    }

    /// The next operation that has ended, if there is one.
    pub(crate) fn next_ended(&mut self) -> Option<(OpId, Performed)> {
        let Ended { worker, id, performed } = self.ended.try_recv().ok()?;
        self.freed(worker);
        Some((id, performed))
    }
}

impl Drop for Workers {
    /// Waits until all that was submitted has been performed.
    fn drop(&mut self) {
        while !self.queue.is_empty() {
            let Ok(ended) = self.ended.recv() else { break };
            self.freed(ended.worker);
        }
        for worker in &mut self.threads {
            worker.jobs = None;
        }
        for worker in &mut self.threads {
            if let Some(thread) = worker.thread.take() {
                // A worker's panic was reported when it happened.
                let _ = thread.join();
            }
        }
    }
}

fn work(worker: usize, jobs: &Receiver<Job>, ended: &Sender<Ended>, bell: &Bell) {
    for Job { id, op, file } in jobs {
        let performed = perform(op, file.as_ref().map(|file| file.as_fd()));
        drop(file);
        if ended.send(Ended { worker, id, performed }).is_err() {
            return;
        }
        bell.ring();
    }
}
