//! The handle that a shard's code holds: tasks, time, randomness, and the doors to files and sockets.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::core::Core;
use crate::counts::ReactorCounts;
use crate::file::File;
use crate::limits::Limits;
use crate::loose::LooseSocket;
use crate::op::{DirEntry, ListenOptions, Op, OpenOptions, Outcome, Signal};
use crate::socket::{Listener, Socket};
use crate::task::Task;
use crate::time::Instant;
use crate::timer::TimerKey;
use crate::usage::ProcessUsage;

/// One shard's reactor. Cloning is cheap; a reactor never leaves its thread.
#[derive(Clone)]
pub struct Reactor {
    pub(crate) core: Rc<Core>,
}

/// The time of a [`Reactor::timeout`] ran out before its future had a result.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the time ran out")]
pub struct Elapsed;

impl Reactor {
    pub(crate) fn new(core: Rc<Core>) -> Self {
        Self { core }
    }

    /// Starts a task on this shard. Panics over [`Limits::tasks`](crate::Limits::tasks).
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.core.spawn(future)
    }

    /// Starts a task that nobody waits for, which costs less. Panics over [`Limits::tasks`](crate::Limits::tasks).
    pub fn spawn_detached(&self, future: impl Future<Output = ()> + 'static) {
        self.core.spawn_detached(future);
    }

    /// The limits of this shard.
    pub fn limits(&self) -> &Limits {
        &self.core.limits
    }

    /// What this shard's loop has done since its start, and where its time went.
    pub fn counts(&self) -> ReactorCounts {
        self.core.counts()
    }

    /// Monotonic time.
    pub fn now(&self) -> Instant {
        self.core.now()
    }

    /// What [`now`](Self::now) has answered last on this shard, to whoever asked: as late as that is, it costs nothing. The
    /// loop itself asks at the end of each turn, so it is older by what tasks have taken since at most.
    pub fn seen_at(&self) -> Instant {
        self.core.seen_at()
    }

    /// Milliseconds since 1970, on a clock that may be set back.
    pub fn wall_clock_ms(&self) -> i64 {
        self.core.wall_clock_ms()
    }

    /// A number from this shard's generator: well spread, different after every start, not fit for secrets. In the
    /// simulator it follows from the seed.
    pub fn random_u64(&self) -> u64 {
        self.core.random_u64()
    }

    /// Waits for `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        self.sleep_until(self.now() + duration)
    }

    /// Waits until `deadline`; not at all if it has passed.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep { core: Rc::clone(&self.core), deadline, key: None }
    }

    /// The future's result, unless `duration` passes first; then the future is dropped.
    pub async fn timeout<F: Future>(&self, future: F, duration: Duration) -> Result<F::Output, Elapsed> {
        let mut sleep = pin!(self.sleep(duration));
        let mut future = pin!(future);
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            sleep.as_mut().poll(context).map(|()| Err(Elapsed))
        })
        .await
    }

    /// Lets every other ready task run first.
    pub async fn yield_now(&self) {
        let mut yielded = false;
        poll_fn(|context| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Opens a file.
    pub async fn open(&self, path: impl Into<PathBuf>, options: OpenOptions) -> io::Result<File> {
        match self.core.operate(Op::Open { path: path.into(), options }).await {
            Outcome::Opened(opened) => Ok(File::new(&self.core, opened?)),
            other => mismatch(&other),
        }
    }

    /// Creates a directory whose parent exists.
    pub async fn create_dir(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::CreateDir { path: path.into() }).await
    }

    /// Removes a file.
    pub async fn remove_file(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::RemoveFile { path: path.into() }).await
    }

    /// Removes an empty directory.
    pub async fn remove_dir(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::RemoveDir { path: path.into() }).await
    }

    /// Renames, replacing what `to` names.
    pub async fn rename(&self, from: impl Into<PathBuf>, to: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::Rename { from: from.into(), to: to.into() }).await
    }

    /// Makes the entries of a directory durable: names created, renamed and removed in it.
    pub async fn sync_dir(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::SyncDir { path: path.into() }).await
    }

    /// Makes everything durable that was written, named or removed before in the file system of `path`, with as few
    /// flushes as for one file. `Unsupported`, at once, where syncs one by one are the better way: on file systems that
    /// are not known to keep that promise, and while others have much in the page cache that would have to be written.
    /// Files must be written past the page cache, or a failure may have been told to somebody else.
    pub async fn sync_file_system(&self, path: impl Into<PathBuf>) -> io::Result<()> {
        self.done(Op::SyncFileSystem { path: path.into() }).await
    }

    /// The entries of a directory, sorted by name.
    pub async fn read_dir(&self, path: impl Into<PathBuf>) -> io::Result<Vec<DirEntry>> {
        match self.core.operate(Op::ReadDir { path: path.into() }).await {
            Outcome::Entries(entries) => entries.map(|mut entries| {
                entries.sort();
                entries
            }),
            other => mismatch(&other),
        }
    }

    /// Bytes that may still be written to the file system that holds `path`.
    pub async fn free_space(&self, path: impl Into<PathBuf>) -> io::Result<u64> {
        match self.core.operate(Op::FreeSpace { path: path.into() }).await {
            Outcome::Number(bytes) => bytes,
            other => mismatch(&other),
        }
    }

    /// Bytes that the file system that holds `path` has in all.
    pub async fn total_space(&self, path: impl Into<PathBuf>) -> io::Result<u64> {
        match self.core.operate(Op::TotalSpace { path: path.into() }).await {
            Outcome::Number(bytes) => bytes,
            other => mismatch(&other),
        }
    }

    /// The number of the device that the file system of `path` is on (`st_dev`), for as long as it is mounted.
    pub async fn device(&self, path: impl Into<PathBuf>) -> io::Result<u64> {
        match self.core.operate(Op::Device { path: path.into() }).await {
            Outcome::Number(device) => device,
            other => mismatch(&other),
        }
    }

    /// What the process takes of its machine. `Unsupported` in the simulator, which has no processes of that kind.
    pub async fn process_usage(&self) -> io::Result<ProcessUsage> {
        match self.core.operate(Op::ProcessUsage).await {
            Outcome::Usage(usage) => usage,
            other => mismatch(&other),
        }
    }

    /// Starts to listen. Port 0 takes a free one: see [`Listener::local_addr`].
    pub async fn listen(&self, address: SocketAddr, options: ListenOptions) -> io::Result<Listener> {
        match self.core.operate(Op::Listen { address, options }).await {
            Outcome::Listening(listening) => {
                listening.map(|(id, local)| Listener::new(&self.core, id, local, options.beyond_limit))
            }
            other => mismatch(&other),
        }
    }

    /// Connects to a listener.
    pub async fn connect(&self, address: SocketAddr) -> io::Result<Socket> {
        match self.core.operate(Op::Connect { address }).await {
            Outcome::Connection(connection) => connection.map(|(id, _)| Socket::new(&self.core, id)),
            other => mismatch(&other),
        }
    }

    /// Makes a socket of this shard of one that another shard has let go of; what had arrived there is received first. Waits
    /// while the shard's sockets are at their limit. The socket closes where this fails, or is dropped.
    pub async fn take_up(&self, mut loose: LooseSocket) -> io::Result<Socket> {
        let unread = std::mem::take(&mut loose.unread);
        match self.core.operate(Op::TakeUp { loose }).await {
            Outcome::TakenUp(taken) => taken.map(|id| Socket::with_unread(&self.core, id, unread)),
            other => mismatch(&other),
        }
    }

    /// Waits for SIGTERM or SIGINT. A process whose reactor waits for them no longer dies of them.
    pub async fn signal(&self) -> io::Result<Signal> {
        match self.core.operate(Op::Signal).await {
            Outcome::Signal(signal) => signal,
            other => mismatch(&other),
        }
    }

    async fn done(&self, op: Op) -> io::Result<()> {
        done(self.core.operate(op).await)
    }
}

/// The result of an operation that answers [`Outcome::Done`].
pub(crate) fn done(outcome: Outcome) -> io::Result<()> {
    match outcome {
        Outcome::Done(result) => result,
        other => mismatch(&other),
    }
}

/// Every operation has one kind of outcome, named beside it in [`Op`].
pub(crate) fn mismatch(outcome: &Outcome) -> ! {
    panic!("a backend answered an operation with an outcome of another kind: {outcome:?}")
}

impl fmt::Debug for Reactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

/// The future of [`Reactor::sleep`].
pub struct Sleep {
    core: Rc<Core>,
    deadline: Instant,
    key: Option<TimerKey>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.core.now() >= self.deadline {
            return Poll::Ready(());
        }
        let mut timers = self.core.timers.borrow_mut();
        let key = match self.key {
            Some(key) if timers.rewake(key, context.waker()) => key,
            _ => timers.insert(self.deadline, context.waker().clone()),
        };
        drop(timers);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.core.timers.borrow_mut().remove(key);
            drop(waker);
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sleep({})", self.deadline)
    }
}
