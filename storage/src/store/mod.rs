//! The store of one shard: its partitions, its journal, and what is under way between them and the disk.
//!
//! [`append`](Store::append) changes memory only. The rest is moved by [`poll_io`](Store::poll_io), which begins what
//! is due, and by [`io_done`](Store::io_done), which takes it on from there:
//!
//! - `commit` makes appended batches durable, a group at a time, in the journal or straight in the segments;
//! - `writeback` brings journaled batches into the segments and seals them; `prepare` makes their files, and `sync`
//!   syncs many partitions at a time;
//! - `checkpoint` notes how far the segments are durable, and thereby frees the journal;
//! - `handover` lets a partition go to the store of another shard;
//! - `moves` takes partitions to other data directories;
//! - `leftovers` removes what a process before was to remove;
//! - `read` and `lookup` answer from memory, or plan reads of the disk.

mod append;
mod checkpoint;
mod commit;
mod handover;
mod leftovers;
mod lookup;
mod maintenance;
mod moves;
mod partitions;
mod prepare;
mod read;
mod sync;
mod writeback;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) use self::checkpoint::Checkpointing;
pub(crate) use self::commit::Commit;
pub(crate) use self::handover::Handovers;
pub use self::handover::{Handover, Release};
use self::leftovers::Leftovers;
pub use self::maintenance::Maintained;
use self::moves::{MoveStep, Moves};
pub(crate) use self::read::Reads;
use self::sync::{SyncMember, Syncs};
pub(crate) use self::writeback::Writeback;
use crate::answer::{FenceScope, PartitionId, StoreEvent};
use crate::checkpoint::PartitionState;
use crate::config::StoreConfig;
use crate::directory::{LogDir, LogDirs};
use crate::io::{Io, IoErrorKind, IoId, IoOp, IoOutput, IoResult};
use crate::journal::format::PartitionKey;
use crate::journal::space::JournalSpace;
use crate::limits::SPACE_PROBE_MS;
use crate::log::mark::Mark;
use crate::log::partition::Partition;
use crate::log::tail::TailMemory;
use crate::queue::IoQueue;
use crate::recovery::RecoveredShard;
use crate::statistics::{StoreStatistics, StoreUsage};
use crate::types::{Millis, Nanos, Offset};

/// What an operation under way is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// The record of the commit in flight.
    JournalWrite,
    /// A partition's part of the commit in flight, written to its segment.
    DirectWrite(PartitionId, Mark),
    /// Journaled batches on their way into the segment.
    Writeback(PartitionId, Mark),
    /// Makes a segment's file, or reserves space up to this position.
    Prepare(PartitionId, Offset, u64),
    /// Reads the block in which the next write begins.
    ReadBlock(PartitionId, Offset),
    /// Makes durable what these partitions want to be.
    SyncAll(LogDir, Vec<SyncMember>),
    /// Trims and closes a segment.
    Seal(PartitionId, Offset),
    /// Makes a journal file.
    MakeJournalFile(crate::io::FileRef),
    /// Replaces the checkpoint.
    Checkpoint,
    /// Renames the folder of a removed partition.
    RenameRemoved(PartitionId),
    /// Renames a file of a deleted segment.
    RenameRetired(PartitionId),
    /// Deletes the files of a removed partition, or deleted segments; closes what is not needed any more.
    Delete,
    /// Takes a move to another directory further.
    Move(MoveStep),
    /// Looks for files of deleted segments in this folder.
    ListLeftovers(Arc<str>),
    /// Removes what a process before has left.
    RemoveLeftover,
    /// Reads for a fetch or a lookup.
    Read(crate::answer::ReadId),
    /// Reads this index file of a segment for one.
    ReadIndex(crate::answer::ReadId, crate::io::FileRef),
}

/// Whether the store still takes appends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Running,
    Closing,
    Closed,
}

/// Whether the device has space.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Space {
    There,
    /// Used up; the next try is at this time.
    Exhausted(Nanos),
}

/// The store of one shard. Performs no I/O; see the crate's documentation for how it is driven.
#[derive(Debug)]
pub struct Store {
    config: StoreConfig,
    generation: u64,
    /// Largest time seen.
    clock: Nanos,
    wall_clock: Millis,
    phase: Phase,
    fenced: Option<IoErrorKind>,
    queue: IoQueue<Purpose>,
    /// Something was changed since [`poll_io`](Self::poll_io) last had nothing to begin.
    stirred: bool,
    /// The data directories.
    dirs: LogDirs,
    /// Folders that were found of partitions of which nothing is known.
    orphans: Arc<BTreeMap<String, LogDir>>,
    partitions: Vec<Option<Partition>>,
    free: Vec<PartitionId>,
    by_key: BTreeMap<PartitionKey, PartitionId>,
    /// The open partition that a folder belongs to, or will.
    pub(crate) by_dir: BTreeMap<Arc<str>, PartitionId>,
    /// Found at start and not opened yet.
    recovered: BTreeMap<PartitionKey, PartitionState>,
    events: VecDeque<StoreEvent>,
    tail_memory: TailMemory,
    /// Partitions with chunks that are written, each once: whose chunks go first when memory is short.
    evictable: VecDeque<PartitionId>,
    /// Bytes appended and not in a segment yet.
    unwritten_bytes: u64,
    journal: JournalSpace,
    next_sequence: u64,
    previous_crc: u32,
    /// Partitions with something in the journal that is not durable in a segment, by the first such record.
    journaled: BTreeSet<(u64, PartitionId)>,
    commit: Commit,
    writeback: Writeback,
    syncs: Syncs,
    moves: Moves,
    checkpointing: Checkpointing,
    reads: Reads,
    space: Space,
    /// Something has found no space, and nothing has found any since: the journal's room is for what makes some.
    is_short: bool,
    /// Folders that are still to be renamed, and how many removed partitions of that name there are.
    pub(crate) removing: BTreeMap<Arc<str>, usize>,
    /// Removed partitions that recovery's checkpoint tells: those of the start.
    pub(crate) removed_keys: BTreeSet<PartitionKey>,
    /// Partitions not committed at once, by the time when they are due.
    lazy: BTreeSet<(Nanos, PartitionId)>,
    /// Removed files and folders, by the time when they are deleted.
    deletions: BTreeSet<(Nanos, maintenance::Doomed)>,
    leftovers: Leftovers,
    handovers: Handovers,
    statistics: StoreStatistics,
}

impl Store {
    /// A store that goes on from what recovery found for its shard.
    pub fn new(mut config: StoreConfig, boot: RecoveredShard) -> Self {
        assert!(config.journal_file_bytes.is_multiple_of(crate::limits::BLOCK_BYTES), "journal files are whole blocks");
        config.direct_bytes_min = config.direct_bytes_min.min(commit::journal_bytes_max(config.journal_file_bytes));
        let mut queue = IoQueue::new();
        let (usable, unusable): (Vec<_>, Vec<_>) =
            boot.journal_files.into_iter().partition(|(_, bytes)| *bytes == config.journal_file_bytes);
        for (path, _) in unusable {
            // Half made, or of another configured length; recovery has drained it.
            let file = queue.file(path);
            queue.start(IoOp::RemoveFile { file }, Purpose::Delete);
        }
        let files: Vec<_> = usable.into_iter().map(|(path, _)| queue.file(path)).collect();
        let journal = JournalSpace::new(
            config.shard,
            config.journal_file_bytes,
            config.journal_bytes_max,
            files,
            boot.next_file_number,
        );
        let dirs = boot.dirs.count();
        let recovered = boot.partitions.into_iter().map(|partition| (partition.key, partition)).collect();
        let moves = Moves::new(boot.moves);
        Self {
            generation: boot.generation,
            clock: Nanos::default(),
            wall_clock: Millis::default(),
            phase: Phase::Running,
            fenced: None,
            queue,
            stirred: true,
            dirs: boot.dirs,
            orphans: boot.orphans,
            partitions: Vec::new(),
            free: Vec::new(),
            by_key: BTreeMap::new(),
            by_dir: BTreeMap::new(),
            recovered,
            events: VecDeque::new(),
            tail_memory: TailMemory::new(config.tail_bytes_max),
            evictable: VecDeque::new(),
            unwritten_bytes: 0,
            journal,
            next_sequence: boot.next_sequence,
            previous_crc: 0,
            journaled: BTreeSet::new(),
            commit: Commit::default(),
            writeback: Writeback::default(),
            syncs: Syncs::new(dirs),
            moves,
            checkpointing: Checkpointing::default(),
            reads: Reads::new(config.cache_bytes_max),
            space: Space::There,
            is_short: false,
            removing: BTreeMap::new(),
            removed_keys: BTreeSet::new(),
            lazy: BTreeSet::new(),
            deletions: BTreeSet::new(),
            leftovers: Leftovers::new(boot.leftovers),
            handovers: Handovers::default(),
            statistics: StoreStatistics::default(),
            config,
        }
    }

    /// Begins what is due and gives the next operation to perform. Ask until it is `None`: after appends, after
    /// results, and when [`next_deadline`](Self::next_deadline) has come.
    pub fn poll_io(&mut self, now: Nanos) -> Option<Io> {
        self.clock = self.clock.max(now);
        let mut goes_on = false;
        // What one part does may be what another waits for, without an operation in between: hence a second turn.
        for _ in 0..2 {
            if let Some(io) = self.queue.poll() {
                return Some(io);
            }
            if self.phase == Phase::Closed {
                break;
            }
            self.make_journal_files();
            self.start_syncs();
            self.queue_lazy();
            self.start_commit();
            self.probe_space();
            self.advance_preparations();
            self.advance_handovers();
            goes_on = self.advance_moves();
            self.advance_closing();
            if self.phase == Phase::Closed {
                // Whoever drives it goes away: what begins now would not end.
                break;
            }
            self.advance_checkpoint();
            self.advance_writeback();
            self.delete_due();
            self.advance_leftovers();
        }
        let io = self.queue.poll();
        self.stirred = io.is_some() || goes_on;
        io
    }

    /// Whether [`poll_io`](Self::poll_io) may have something to begin although no [`deadline`](Self::next_deadline) has come.
    /// An answer from memory is no reason for it.
    pub fn has_work(&self) -> bool {
        self.stirred || self.queue.has_ready()
    }

    /// Takes the result of an operation. Panics on an id that is not under way.
    pub fn io_done(&mut self, id: IoId, result: IoResult, now: Nanos) {
        self.clock = self.clock.max(now);
        self.stirred = true;
        let Some((purpose, result)) = self.queue.done(id, result) else { return };
        match purpose {
            Purpose::JournalWrite => self.journal_written(result.map(drop)),
            Purpose::DirectWrite(partition, to) => self.direct_written(partition, to, result.map(drop)),
            Purpose::Writeback(partition, to) => self.written_back(partition, to, result.map(drop)),
            Purpose::Prepare(partition, segment, bytes) => {
                self.reserved(partition, segment, bytes, result.map(drop));
            }
            Purpose::ReadBlock(partition, segment) => self.block_read(partition, segment, result),
            Purpose::SyncAll(dir, members) => self.all_synced(dir, members, result.map(drop)),
            Purpose::Seal(partition, segment) => self.sealed(partition, segment, result.map(drop)),
            Purpose::MakeJournalFile(file) => self.journal_file_made(file, result.map(drop)),
            Purpose::Checkpoint => self.checkpoint_written(result.map(drop)),
            Purpose::RenameRemoved(partition) => self.removed_renamed(partition, result.map(drop)),
            // What could not be renamed stays, and no later file has its name.
            Purpose::RenameRetired(partition) => self.operation_ended(partition),
            Purpose::Move(step) => self.move_step_done(step, result),
            Purpose::ListLeftovers(dir) => self.leftovers_listed(&dir, result),
            Purpose::RemoveLeftover => self.leftovers.removed(),
            // What could not be deleted is tried again after a restart; to close a file always succeeds.
            Purpose::Delete => {}
            Purpose::Read(read) => self.read_done(read, result.map(bytes_read)),
            Purpose::ReadIndex(read, file) => {
                // It is read once: what is wanted of it stays in memory.
                self.queue.start(IoOp::Close { file }, Purpose::Delete);
                self.read_done(read, result.map(bytes_read));
            }
        }
    }

    /// What has happened since the last call. Ask until it is `None`.
    pub fn poll_event(&mut self) -> Option<StoreEvent> {
        self.events.pop_front()
    }

    /// When [`poll_io`](Self::poll_io) has something to begin although nothing happened before.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let space = match self.space {
            Space::There => None,
            Space::Exhausted(at) => Some(at),
        };
        let lazy = self.lazy.first().map(|(at, _)| *at);
        let deletion = self.deletions.first().map(|(at, _)| *at);
        if self.fenced.is_some() {
            // The rest would be due for ever: nothing of it is begun any more.
            return deletion;
        }
        let (commit, checkpoint) = (self.commit_deadline(), self.checkpoint_deadline());
        let moves = self.moves.deadline(self.clock);
        [space, lazy, deletion, commit, checkpoint, moves, self.syncs.deadline(), self.writeback_deadline()]
            .iter()
            .copied()
            .flatten()
            .min()
    }

    /// Whether the journal or a checkpoint could not be written: nothing is committed any more, and nobody is told that a
    /// partition is removed.
    pub fn is_fenced(&self) -> bool {
        self.fenced.is_some()
    }

    /// What it has done since it was made.
    pub fn statistics(&self) -> &StoreStatistics {
        &self.statistics
    }

    /// What it holds now.
    pub fn usage(&self) -> StoreUsage {
        StoreUsage {
            journal_bytes: self.journal.used_bytes(),
            journal_bytes_max: self.config.journal_bytes_max,
            unwritten_bytes: self.unwritten_bytes,
            unwritten_bytes_max: self.config.unwritten_bytes_max,
            tail_bytes: self.tail_memory.held_bytes(),
            tail_bytes_max: self.config.tail_bytes_max,
            cache_bytes: self.reads.cache.bytes(),
            cache_bytes_max: self.config.cache_bytes_max,
            reads_in_flight: self.reads.waiting.len(),
        }
    }

    /// Refuses appends from now on, commits what is appended, brings everything into the segments, writes a clean
    /// checkpoint, and then tells [`StoreEvent::Closed`]. Go on driving the store until that comes. Where the disk has
    /// failed or is full it comes when nothing is under way, and the next start recovers.
    pub fn shutdown(&mut self) {
        if self.phase == Phase::Running {
            self.phase = Phase::Closing;
            self.stirred = true;
        }
    }

    fn advance_closing(&mut self) {
        if self.phase != Phase::Closing {
            return;
        }
        // A disk that failed or is full lets nothing be brought to its end. What is acknowledged is in the journal, and
        // the next start takes it from there.
        let is_stuck = self.fenced.is_some()
            || self.space != Space::There
            || self.partitions.iter().flatten().any(|partition| partition.fenced.is_some());
        if !is_stuck && !self.is_quiet() {
            return;
        }
        if !is_stuck && (!self.checkpointing.is_clean() || !self.journaled.is_empty()) {
            self.begin_closing_checkpoint();
        } else if self.queue.is_idle() {
            self.phase = Phase::Closed;
            self.events.push_back(StoreEvent::Closed);
        }
    }

    fn is_quiet(&self) -> bool {
        !self.commit.is_under_way() && self.checkpointing.is_idle() && self.moves.is_idle()
    }

    /// The partition, if it exists.
    fn get(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(index(id))?.as_ref()
    }

    /// The partition, to be changed.
    fn get_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        self.stirred = true;
        self.partitions.get_mut(index(id))?.as_mut()
    }

    /// A partition for which an operation is under way: it cannot be gone.
    fn known(&mut self, id: PartitionId) -> &mut Partition {
        self.get_mut(id).expect("a partition stays until its operations have ended")
    }

    /// Nothing more is written to this partition.
    fn fence_partition(&mut self, id: PartitionId, reason: IoErrorKind) {
        let Some(partition) = self.get_mut(id) else { return };
        if partition.fenced.is_none() {
            self.give_unwritten_up(id);
            let partition = self.known(id);
            // It stays where it is: a start looks at what is wrong first.
            (partition.fenced, partition.move_to) = (Some(reason), None);
            self.statistics.fenced_partitions += 1;
            self.events.push_back(StoreEvent::Fenced { scope: FenceScope::Partition(id), reason });
            // Once only: what ends later, as of a segment that is being sealed, proves nothing about what was at risk then.
            self.leave_writeback(id);
        }
    }

    /// What the partition has not written never will be: others may have its part of what a shard may hold. To be called
    /// before it is fenced or removed, whichever comes first.
    fn give_unwritten_up(&mut self, id: PartitionId) {
        let partition = self.known(id);
        let bytes = partition.bytes_between(partition.written, partition.end);
        self.count_written(id, bytes);
    }

    /// Counts bytes as written that are so, or that are given up.
    fn count_written(&mut self, id: PartitionId, bytes: u64) {
        let partition = self.known(id);
        if partition.fenced.is_none() && !partition.removing {
            debug_assert!(bytes <= self.unwritten_bytes, "{bytes} of {}", self.unwritten_bytes);
            self.unwritten_bytes = self.unwritten_bytes.saturating_sub(bytes);
        }
    }

    #[cfg(test)]
    pub(crate) fn check_unwritten(&self) {
        let counted = self.partitions.iter().flatten().filter(|one| one.fenced.is_none() && !one.removing);
        let bytes: u64 = counted.map(|one| one.bytes_between(one.written, one.end)).sum();
        assert_eq!(self.unwritten_bytes, bytes, "what is counted as unwritten");
    }

    /// Nothing more is written at all.
    fn fence_directory(&mut self, reason: IoErrorKind) {
        if self.fenced.is_none() {
            self.fenced = Some(reason);
            self.events.push_back(StoreEvent::Fenced { scope: FenceScope::Directory, reason });
        }
    }

    fn space_exhausted(&mut self) {
        let next_try = self.clock.saturating_add(std::time::Duration::from_millis(SPACE_PROBE_MS));
        if self.space == Space::There {
            self.events.push_back(StoreEvent::SpaceExhausted);
        }
        self.space = Space::Exhausted(next_try);
        self.is_short = true;
    }

    fn space_returned(&mut self) {
        if self.space != Space::There {
            self.space = Space::There;
            self.queue_held_back();
            self.events.push_back(StoreEvent::SpaceReturned);
        }
    }
}

/// What a read has brought.
fn bytes_read(output: IoOutput) -> ringlog_buffer::Slice {
    match output {
        IoOutput::Read(chunk) => chunk.freeze(),
        IoOutput::Done | IoOutput::Listing(_) => ringlog_buffer::Slice::default(),
    }
}

/// A time that was measured, in nanoseconds.
fn nanos(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Place of a partition in the table.
fn index(id: PartitionId) -> usize {
    usize::try_from(id.get()).expect("32 bits fit an index")
}
