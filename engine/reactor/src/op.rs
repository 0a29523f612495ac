//! The closed set of operations. Everything the program asks of disk, network and signals is one [`Op`]; a backend
//! performs it and answers with one [`Outcome`].
//!
//! An operation owns its buffers from the moment it begins until its outcome: nobody else can touch memory that the
//! kernel reads or writes, whatever happens to the future that waits.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use ringlog_buffer::{Chunk, Slice};

use crate::loose::LooseSocket;
use crate::received::Received;
use crate::usage::ProcessUsage;

/// One operation in flight: an index into the core's table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct OpId(pub(crate) u32);

/// An open file of one backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct FileId(pub(crate) u32);

/// A socket or a listener of one backend.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SocketId(pub(crate) u32);

/// What happens when the file to open does not exist, or does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Create {
    /// The file must exist.
    #[default]
    No,
    /// A missing file is created.
    IfMissing,
    /// The file must not exist.
    New,
}

/// How a file is opened. Every file can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenOptions {
    /// Whether it can be written.
    pub write: bool,
    /// What happens when it does not exist.
    pub create: Create,
    /// Whether to go past the page cache (`O_DIRECT`). Where the file system refuses, the file is opened without, and
    /// [`File::is_direct`](crate::File::is_direct) says so.
    pub direct: bool,
}

/// What a completed write promises.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// Nothing about a loss of power, until a later sync.
    None,
    /// The bytes, and what is needed to read them back, are on stable storage (`RWF_DSYNC`).
    Dsync,
}

/// What an entry of a directory is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A link, a device, a socket.
    Other,
}

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct DirEntry {
    /// Name without its directory. Entries whose names are not UTF-8 are not ours and are left out.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Size in bytes; 0 unless it is a file.
    pub bytes: u64,
}

/// How a listener is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// Whether several listeners (one per shard) share the port, and the kernel spreads connections over them.
    pub reuse_port: bool,
    /// Connections that wait to be accepted at most.
    pub backlog: u32,
    /// How many sockets beyond the limit of the shard this listener may bring it to: who has to come in where all places are
    /// taken, such as an operator, has some of his own.
    pub beyond_limit: usize,
    /// Bytes of the buffers of its connections; where there is no number the kernel sizes them by what it sees.
    pub receive_buffer_bytes: Option<usize>,
    /// The same for what is sent.
    pub send_buffer_bytes: Option<usize>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { reuse_port: false, backlog: 1024, beyond_limit: 0, receive_buffer_bytes: None, send_buffer_bytes: None }
    }
}

/// A request to stop, from outside the process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// `SIGTERM`
    Terminate,
    /// `SIGINT`
    Interrupt,
}

/// One operation, with all that it needs until its outcome.
#[derive(Debug)]
pub(crate) enum Op {
    /// Answers [`Outcome::Opened`].
    Open { path: PathBuf, options: OpenOptions },
    /// Reads at most `bytes` into the spare part of `chunk` and advances it. Answers [`Outcome::Filled`]; fewer bytes
    /// than asked for mean the end of the file.
    Read { file: FileId, chunk: Chunk, offset: u64, bytes: usize },
    /// Answers [`Outcome::Done`]. A short write is an error of kind `WriteZero`.
    Write { file: FileId, slices: Vec<Slice>, offset: u64, durability: Durability },
    /// Reserves blocks for a range and makes the file at least that long. Answers [`Outcome::Done`].
    Allocate { file: FileId, offset: u64, bytes: u64 },
    /// Sets the length. Answers [`Outcome::Done`].
    Truncate { file: FileId, bytes: u64 },
    /// `fdatasync`: bytes and length. Answers [`Outcome::Done`].
    SyncData { file: FileId },
    /// Answers [`Outcome::Number`], bytes.
    Length { file: FileId },
    /// Takes the file's exclusive lock until it is closed. Answers [`Outcome::Done`]; `WouldBlock` when another holds it.
    Lock { file: FileId },
    /// Answers [`Outcome::Done`].
    CreateDir { path: PathBuf },
    /// Answers [`Outcome::Done`].
    RemoveFile { path: PathBuf },
    /// Answers [`Outcome::Done`].
    RemoveDir { path: PathBuf },
    /// Replaces `to` if it exists. Answers [`Outcome::Done`].
    Rename { from: PathBuf, to: PathBuf },
    /// Makes the directory's own entries durable. Answers [`Outcome::Done`].
    SyncDir { path: PathBuf },
    /// Makes everything in the path's file system durable that was written, named or removed before, whoever did it.
    /// Answers [`Outcome::Done`]; `Unsupported` where that is no cheaper than syncs one by one, or not to be trusted.
    SyncFileSystem { path: PathBuf },
    /// Answers [`Outcome::Entries`], in no order.
    ReadDir { path: PathBuf },
    /// Answers [`Outcome::Number`], bytes that may still be written on the path's file system.
    FreeSpace { path: PathBuf },
    /// Answers [`Outcome::Number`], bytes that the path's file system has in all.
    TotalSpace { path: PathBuf },
    /// Answers [`Outcome::Number`], that of the device which the path's file system is on (`st_dev`).
    Device { path: PathBuf },
    /// Answers [`Outcome::Usage`].
    ProcessUsage,
    /// Answers [`Outcome::Listening`].
    Listen { address: SocketAddr, options: ListenOptions },
    /// Answers [`Outcome::Connection`].
    Accept { listener: SocketId, beyond_limit: usize },
    /// Answers [`Outcome::Connection`].
    Connect { address: SocketAddr },
    /// What arrived, in a buffer of the shared pool. Answers [`Outcome::Received`]. Abandoned, it must not lose bytes.
    Receive { socket: SocketId },
    /// Receives 1 to `bytes` bytes into the spare part of `chunk` and advances it. Answers [`Outcome::Filled`]; 0 means
    /// that the peer has closed.
    ReceiveInto { socket: SocketId, chunk: Chunk, bytes: usize },
    /// Sends every byte. Answers [`Outcome::Done`].
    Send { socket: SocketId, slices: Vec<Slice> },
    /// Says that nothing more will be sent. Answers [`Outcome::Done`].
    Shutdown { socket: SocketId },
    /// Waits until the peer will send nothing more, or the connection has failed, and leaves what has arrived. Answers
    /// [`Outcome::Done`], with the error of a connection that has failed.
    HangUp { socket: SocketId },
    /// Ends what is left of operations on a connected socket, which nobody waits for, and takes it from this shard. Answers
    /// [`Outcome::Loose`], with what had arrived. Abandoned, it goes on, and the socket closes.
    LetGo { socket: SocketId },
    /// Gives a socket to this shard that none has. Answers [`Outcome::TakenUp`].
    TakeUp { loose: LooseSocket },
    /// Waits for SIGTERM or SIGINT. Answers [`Outcome::Signal`].
    Signal,
}

impl Op {
    /// The open file that the operation works on.
    pub(crate) fn file(&self) -> Option<FileId> {
        match self {
            Self::Read { file, .. }
            | Self::Write { file, .. }
            | Self::Allocate { file, .. }
            | Self::Truncate { file, .. }
            | Self::SyncData { file }
            | Self::Length { file }
            | Self::Lock { file } => Some(*file),
            _ => None,
        }
    }

    /// Whether it counts against [`Limits::file_operations`](crate::Limits): everything that ends by itself. What
    /// waits for a peer is bounded by the number of sockets instead, so that idle connections never hold back a disk.
    pub(crate) fn is_file(&self) -> bool {
        !matches!(
            self,
            Self::Accept { .. }
                | Self::Connect { .. }
                | Self::Receive { .. }
                | Self::ReceiveInto { .. }
                | Self::Send { .. }
                | Self::Shutdown { .. }
                | Self::HangUp { .. }
                | Self::LetGo { .. }
                | Self::TakeUp { .. }
                | Self::Signal
        )
    }
}

/// An opened file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Opened {
    pub(crate) file: FileId,
    pub(crate) direct: bool,
}

/// How an operation ended. Buffers that the caller wants back come back, whatever happened.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done(io::Result<()>),
    Number(io::Result<u64>),
    /// The chunk is already advanced over the bytes.
    Filled(io::Result<usize>, Chunk),
    Opened(io::Result<Opened>),
    Entries(io::Result<Vec<DirEntry>>),
    Usage(io::Result<ProcessUsage>),
    /// The listener and its local address.
    Listening(io::Result<(SocketId, SocketAddr)>),
    /// The socket and its peer's address.
    Connection(io::Result<(SocketId, SocketAddr)>),
    Received(io::Result<Received>),
    Loose(io::Result<LooseSocket>),
    TakenUp(io::Result<SocketId>),
    Signal(io::Result<Signal>),
}

/// The outcome that says that `op` failed with `error`; gives its chunk back.
pub(crate) fn failed(op: Op, error: io::Error) -> Outcome {
    match op {
        Op::Open { .. } => Outcome::Opened(Err(error)),
        Op::Read { chunk, .. } | Op::ReceiveInto { chunk, .. } => Outcome::Filled(Err(error), chunk),
        Op::Length { .. } | Op::FreeSpace { .. } | Op::TotalSpace { .. } | Op::Device { .. } => {
            Outcome::Number(Err(error))
        }
        Op::ReadDir { .. } => Outcome::Entries(Err(error)),
        Op::ProcessUsage => Outcome::Usage(Err(error)),
        Op::Listen { .. } => Outcome::Listening(Err(error)),
        Op::Accept { .. } | Op::Connect { .. } => Outcome::Connection(Err(error)),
        Op::Receive { .. } => Outcome::Received(Err(error)),
        Op::LetGo { .. } => Outcome::Loose(Err(error)),
        Op::TakeUp { .. } => Outcome::TakenUp(Err(error)),
        Op::Signal => Outcome::Signal(Err(error)),
        Op::Write { .. }
        | Op::Allocate { .. }
        | Op::Truncate { .. }
        | Op::SyncData { .. }
        | Op::Lock { .. }
        | Op::CreateDir { .. }
        | Op::RemoveFile { .. }
        | Op::RemoveDir { .. }
        | Op::Rename { .. }
        | Op::SyncDir { .. }
        | Op::SyncFileSystem { .. }
        | Op::Send { .. }
        | Op::Shutdown { .. }
        | Op::HangUp { .. } => Outcome::Done(Err(error)),
    }
}
