//! Moves of partitions from one data directory to another (KIP-113), while everything goes on.
//!
//! Segments are copied in bounded pieces into a folder of its own, `…-future`. When little is left, the partition's commits
//! are held, the rest goes into its segments and into the copy, and the copy is synced and renamed to `…-moved`. Then the
//! journal is told where the partition lies. That is the moment in which it is moved: a start finds either fact with a
//! whole, durable log for it, and nothing was committed in between. Behind it the folders are renamed, the partition goes on
//! with the new files, and the old folder is removed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};

use super::commit::AfterNotice;
use super::moves_copy::{Copies, Piece};
use super::{Phase, Purpose, Space, Store, index};
use crate::answer::{FutureCopy, PartitionId, PartitionPlace, ReadId, StorageError, StoreEvent};
use crate::directory::{LogDir, delete_of, folder_of, future_of, moved_of, stray_of};
use crate::io::{IoErrorKind, IoOp, IoOutput, IoResult};
use crate::journal::format::{Entry, PartitionKey};
use crate::limits::{MOVE_HOLD_BYTES_MAX, MOVE_HOLD_MS_MAX, MOVE_RETRY_MS};
use crate::log::mark::Mark;
use crate::log::partition::{Busy, Flush, Hold, Partition};
use crate::log::segment::{Seal, Segment, file_name};
use crate::types::{Nanos, Offset};

/// Steps of a move that end without an operation, in one turn.
const STEPS_PER_TURN: usize = 8;

/// The moves of a shard. One at a time is under way.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Partitions that are to be moved, each once.
    queue: VecDeque<PartitionId>,
    under_way: Option<Move>,
    /// Bytes that may be copied in a second.
    bytes_per_second: Option<u64>,
    /// No piece is copied before this time.
    not_before: Nanos,
    /// What was being moved when the process before ended, until it is opened.
    pub(super) resumed: BTreeMap<PartitionKey, LogDir>,
    /// Counts the names that are given to what is put away.
    names: u64,
}

/// A move under way. It counts as an operation of its partition.
#[derive(Debug)]
struct Move {
    id: PartitionId,
    to: LogDir,
    /// The folder of the copy.
    folder: Arc<str>,
    copies: Copies,
    stage: Stage,
    /// An operation for it is out.
    is_busy: bool,
    /// The hold is given up at this time.
    hold_until: Nanos,
    /// When the piece under way was begun.
    piece_begun: Nanos,
    /// Reads of the disk that wait until the folders are renamed.
    parked: Vec<ReadId>,
    /// What the old folder is called when it is to be removed.
    old: Option<Arc<str>>,
    /// Why it is dropped, if that is not because nobody wants it.
    failed: Option<IoErrorKind>,
}

/// How far a move is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Stage {
    /// The folder of the copy is made.
    Making,
    /// What is written to the segments is copied.
    Copying,
    /// Commits are held until all that is committed is in the segments.
    Settling,
    /// Nothing changes, and the rest is copied.
    Finishing,
    /// The copy is made durable.
    Securing,
    /// It waits for the journal to be told.
    Telling,
    /// The partition is moved; it waits for reads of the old files.
    Draining,
    /// The folders are renamed.
    Switching,
    /// The old folder is removed.
    Leaving,
    /// The copy is removed: the move has failed, or is not wanted.
    Dropping,
}

/// What an operation of a move was for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MoveStep {
    /// Looks whether something has the name that the partition's folder will have.
    Look,
    /// Makes the folder of the copy.
    Make,
    /// Reads a piece.
    Read(Piece),
    /// Writes it.
    Write(Piece),
    /// Reads the index of a sealed segment.
    ReadIndex(Offset),
    /// Makes the copy of a sealed segment what it will be for ever.
    Finish(Offset),
    /// Makes the copy durable.
    Secure,
    /// Renames the old folder.
    RenameOld,
    /// Renames the copy.
    RenameCopy,
    /// Removes the old folder.
    Leave,
    /// Removes the copy.
    Drop,
}

/// What to do after a step.
enum Flow {
    /// Something has to happen first.
    Wait,
    /// The next step can be taken.
    Again,
    /// The move has ended.
    End,
}

impl Moves {
    /// Moves of a store that goes on with these, once their partitions are opened.
    pub(super) fn new(resumed: BTreeMap<PartitionKey, LogDir>) -> Self {
        Self { resumed, ..Self::default() }
    }

    /// Whether nothing is under way that has to come to its end before the store closes.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.is_none()
    }

    /// When a move goes on although nothing has happened.
    pub(super) fn deadline(&self, clock: Nanos) -> Option<Nanos> {
        let one = self.under_way.as_ref().filter(|one| !one.is_busy)?;
        match one.stage {
            Stage::Copying => Some(self.not_before).filter(|at| *at > clock),
            Stage::Settling => Some(one.hold_until),
            _ => None,
        }
    }

    /// Has a read wait if the partition's files are about to be others.
    pub(super) fn park(&mut self, id: PartitionId, read: ReadId) -> bool {
        let is_switching = |one: &&mut Move| one.id == id && matches!(one.stage, Stage::Draining | Stage::Switching);
        let Some(one) = self.under_way.as_mut().filter(is_switching) else { return false };
        one.parked.push(read);
        true
    }

    fn unique(&mut self, generation: u64, shard: u16) -> u128 {
        self.names += 1;
        u128::from(generation) << 64 | u128::from(shard) << 40 | u128::from(self.names)
    }
}

impl Store {
    /// Has the partition moved to another data directory, or left where it is if it lies there already. A move under way to
    /// elsewhere is given up. [`StoreEvent::Moved`] or [`StoreEvent::MoveFailed`] tells how it ends.
    pub fn move_partition(&mut self, id: PartitionId, to: LogDir) -> Result<(), StorageError> {
        assert!(to.index() < self.dirs.count(), "the directory is one of those of the start");
        if let Some(reason) = self.fenced {
            return Err(StorageError::Fenced(reason));
        }
        let Some(partition) = self.get_mut(id).filter(|partition| !partition.removing) else { return Ok(()) };
        if let Some(reason) = partition.fenced {
            return Err(StorageError::Fenced(reason));
        }
        partition.move_to = (partition.placed != to).then_some(to);
        self.queue_move(id);
        Ok(())
    }

    /// The most bytes that are copied in a second for moves; `None` for as many as the disk takes beside other work.
    pub fn set_move_rate(&mut self, bytes_per_second: Option<u64>) {
        self.moves.bytes_per_second = bytes_per_second;
        self.moves.not_before = Nanos::default();
        self.stirred = true;
    }

    /// Where the partition lies and where it is being moved to; `None` if there is no such partition.
    pub fn partition_place(&self, id: PartitionId) -> Option<PartitionPlace> {
        let partition = self.get(id).filter(|partition| !partition.removing)?;
        let bytes = partition.segments.iter().map(|segment| segment.bytes).sum();
        let under_way = self.moves.under_way.as_ref().filter(|one| one.id == id && one.stage < Stage::Leaving);
        let to = under_way.filter(|one| one.stage >= Stage::Telling).map(|one| one.to).or(partition.move_to);
        let future = to.map(|log_dir| {
            let copies = under_way.filter(|one| one.to == log_dir).map(|one| &one.copies);
            let (bytes, end) = copies.map_or((0, partition.log_start), |copies| copies.extent(partition));
            let offset_lag = partition.end.offset.since(end).max(0);
            FutureCopy { log_dir, bytes, offset_lag }
        });
        Some(PartitionPlace { log_dir: partition.log_dir, bytes, future })
    }

    /// How many partitions each data directory has, those that are not opened yet and copies counted.
    pub fn partitions_by_dir(&self) -> Vec<usize> {
        let mut counts = vec![0; self.dirs.count()];
        for partition in self.partitions.iter().flatten().filter(|partition| !partition.removing) {
            counts[partition.log_dir.index()] += 1;
            if let Some(to) = partition.move_to {
                counts[to.index()] += 1;
            }
        }
        for state in self.recovered.values() {
            counts[self.dirs.find(state.directory).expect("recovery has found it").index()] += 1;
        }
        counts
    }

    /// Whether recovery found this partition, and nobody has opened it yet.
    pub fn is_recovered(&self, key: PartitionKey) -> bool {
        self.recovered.contains_key(&key)
    }

    fn queue_move(&mut self, id: PartitionId) {
        let is_known = self.moves.queue.contains(&id) || self.moves.under_way.as_ref().is_some_and(|one| one.id == id);
        if !is_known && self.get(id).is_some_and(|partition| partition.move_to.is_some()) {
            self.moves.queue.push_back(id);
        }
    }

    /// Begins the next move, if there is none, and takes the one under way further.
    pub(super) fn advance_moves(&mut self) {
        if self.moves.under_way.is_none() {
            self.start_move();
        }
        for _ in 0..STEPS_PER_TURN {
            let Some(mut one) = self.moves.under_way.take() else { return };
            let flow = if one.is_busy { Flow::Wait } else { self.step_move(&mut one) };
            match flow {
                Flow::Wait => {
                    self.moves.under_way = Some(one);
                    return;
                }
                Flow::Again => self.moves.under_way = Some(one),
                Flow::End => return self.end_move(one),
            }
        }
    }

    fn start_move(&mut self) {
        if self.phase != Phase::Running || self.fenced.is_some() {
            return;
        }
        while let Some(id) = self.moves.queue.front().copied() {
            let Some(partition) = self.get(id).filter(|one| !one.removing && one.fenced.is_none()) else {
                self.moves.queue.pop_front();
                continue;
            };
            let Some(to) = partition.move_to.filter(|to| *to != partition.placed) else {
                self.moves.queue.pop_front();
                continue;
            };
            let name = folder_of(&partition.name.topic, partition.key.partition);
            if self.removing.contains_key(&to.path(&name)) {
                // The folder belongs to a removed partition of that name, and will be free.
                return;
            }
            let folder = to.path(&future_of(&partition.name.topic, partition.key));
            let is_untouched = is_untouched(partition) && !self.may_have_folder(partition);
            self.moves.queue.pop_front();
            if is_untouched {
                self.place_untouched(id, to);
                continue;
            }
            self.known(id).operations += 1;
            self.moves.under_way = Some(Move {
                id,
                to,
                folder,
                copies: Copies::default(),
                stage: Stage::Making,
                is_busy: false,
                hold_until: Nanos::default(),
                piece_begun: self.clock,
                parked: Vec::new(),
                old: None,
                failed: None,
            });
            return;
        }
    }

    /// Whether the partition has a folder: it was made, or there was one of its name at the start.
    fn may_have_folder(&self, partition: &Partition) -> bool {
        let name = LogDir::of_path(&partition.dir).1;
        partition.dir_exists || self.orphans.get(name).is_some_and(|dir| *dir == partition.log_dir)
    }

    /// Nothing of it was ever written anywhere: it will be, elsewhere.
    fn place_untouched(&mut self, id: PartitionId, to: LogDir) {
        self.change_dir(id, to);
        let partition = self.known(id);
        (partition.placed, partition.move_to) = (to, None);
        self.events.push_back(StoreEvent::Moved { partition: id, to });
    }

    /// The partition goes on in another directory, with files that have the same names there.
    fn change_dir(&mut self, id: PartitionId, to: LogDir) {
        let partition = self.partitions[index(id)].as_mut().expect("it is being moved");
        let dir = to.path(&folder_of(&partition.name.topic, partition.key.partition));
        for segment in &mut partition.segments {
            let file = self.queue.file(format!("{dir}/{}", file_name(segment.base, "log")));
            let old = std::mem::replace(&mut segment.file, file);
            self.queue.start(IoOp::Close { file: old }, Purpose::Delete);
        }
        let old = std::mem::replace(&mut partition.dir, Arc::clone(&dir));
        partition.log_dir = to;
        if partition.removing {
            // It will leave the new folder.
            *self.removing.entry(dir).or_default() += 1;
            self.free_folder(&old);
        } else {
            self.by_dir.remove(&old);
            self.by_dir.insert(dir, id);
        }
    }

    /// Whether the copy is of no use: nobody wants it, or nobody can finish it.
    fn is_pointless(&self, one: &Move) -> bool {
        self.get(one.id).is_none_or(|partition| {
            partition.removing || partition.fenced.is_some() || partition.move_to != Some(one.to)
        })
    }

    fn step_move(&mut self, one: &mut Move) -> Flow {
        if one.stage < Stage::Securing {
            if self.phase != Phase::Running || self.fenced.is_some() {
                // The copy stays, and tells the next start where the partition is to go.
                self.release(one);
                return Flow::End;
            }
            if one.failed.is_some() || self.is_pointless(one) {
                self.release(one);
                one.stage = Stage::Dropping;
            }
        }
        match one.stage {
            Stage::Making => {
                let path = self.new_dir(one);
                self.begin_step(one, [IoOp::List { path }], MoveStep::Look)
            }
            Stage::Copying => self.copy_on(one),
            Stage::Settling => self.settle(one),
            Stage::Finishing => match self.next_copy(one) {
                Some(flow) => flow,
                None => self.secure(one),
            },
            Stage::Securing => {
                // Only where that has failed: it goes on from the end of its operation.
                self.release(one);
                one.stage = Stage::Dropping;
                Flow::Again
            }
            Stage::Telling => Flow::Wait,
            Stage::Draining => self.drain(one),
            Stage::Switching => {
                let (from, root) = (self.moved_dir(one), one.to.path(""));
                let to = self.new_dir(one);
                self.begin_step(one, [IoOp::Rename { from, to }, IoOp::SyncDir { path: root }], MoveStep::RenameCopy)
            }
            Stage::Leaving => match one.old.take() {
                Some(old) => {
                    let root = LogDir::of_path(&old).0.path("");
                    self.begin_step(one, [IoOp::RemoveDir { path: old }, IoOp::SyncDir { path: root }], MoveStep::Leave)
                }
                None => Flow::End,
            },
            Stage::Dropping => {
                let moved = self.moved_dir(one);
                let script = [
                    IoOp::RemoveDir { path: Arc::clone(&one.folder) },
                    IoOp::RemoveDir { path: moved },
                    IoOp::SyncDir { path: one.to.path("") },
                ];
                self.begin_step(one, script, MoveStep::Drop)
            }
        }
    }

    fn begin_step(&mut self, one: &mut Move, script: impl IntoIterator<Item = IoOp>, step: MoveStep) -> Flow {
        one.is_busy = true;
        self.queue.start_script(script, Purpose::Move(step));
        Flow::Wait
    }

    /// The path that the partition's folder will have.
    fn new_dir(&self, one: &Move) -> Arc<str> {
        let partition = self.get(one.id).expect("its operations are counted");
        one.to.path(&folder_of(&partition.name.topic, partition.key.partition))
    }

    /// That of the complete copy.
    fn moved_dir(&self, one: &Move) -> Arc<str> {
        let partition = self.get(one.id).expect("its operations are counted");
        one.to.path(&moved_of(&partition.name.topic, partition.key))
    }

    /// Copies the next piece, or begins to hold commits when little is left.
    fn copy_on(&mut self, one: &mut Move) -> Flow {
        if self.clock < self.moves.not_before {
            return Flow::Wait;
        }
        if let Some(flow) = self.next_copy(one) {
            return flow;
        }
        let partition = self.get(one.id).expect("its operations are counted");
        let left = partition.bytes_between(partition.written, partition.end);
        if left > MOVE_HOLD_BYTES_MAX {
            // It comes to be written, and is copied then.
            let is_flushed = partition.flush != Flush::None || partition.written.offset >= partition.committed.offset;
            if !is_flushed {
                self.request_flush(one.id);
            }
            self.queue_commit(one.id);
            return Flow::Wait;
        }
        one.hold_until = self.clock.saturating_add(Duration::from_millis(MOVE_HOLD_MS_MAX));
        one.stage = Stage::Settling;
        self.known(one.id).hold = Hold::Commits;
        Flow::Again
    }

    /// Begins to copy what is written and not copied. `None` if that is nothing.
    fn next_copy(&mut self, one: &mut Move) -> Option<Flow> {
        let partition = self.get(one.id).expect("its operations are counted");
        let piece = one.copies.next(partition);
        if let Some(piece) = piece {
            let segment = &partition.segments[partition.segment_with_base(piece.base).expect("it was found there")];
            let op = IoOp::Read { file: segment.file.clone(), offset: piece.from, bytes: piece.bytes() };
            one.piece_begun = self.clock;
            return Some(self.begin_step(one, [op], MoveStep::Read(piece)));
        }
        let base = one.copies.next_to_finish(partition)?;
        let segment = &partition.segments[partition.segment_with_base(base).expect("it was found there")];
        let stem = segment.file.path.strip_suffix(".log").expect("a segment's file ends so");
        let file = self.queue.file(format!("{stem}.index"));
        let op = IoOp::Read { file, offset: 0, bytes: super::read::INDEX_FILE_BYTES };
        Some(self.begin_step(one, [op], MoveStep::ReadIndex(base)))
    }

    /// Waits until everything that is committed is durable in the segments.
    fn settle(&mut self, one: &mut Move) -> Flow {
        let partition = self.get(one.id).expect("its operations are counted");
        if is_settled(partition) {
            one.stage = Stage::Finishing;
            self.known(one.id).hold = Hold::Files;
            return Flow::Again;
        }
        let wants_sync = partition.flush == Flush::None && partition.issued.offset == partition.committed.offset;
        if self.clock >= one.hold_until || self.space != Space::There {
            // Producers have waited for long enough; it is tried again.
            self.release(one);
            one.stage = Stage::Copying;
            self.moves.not_before = self.clock.saturating_add(Duration::from_millis(MOVE_RETRY_MS));
        } else if wants_sync {
            self.request_sync(one.id);
            self.drive(one.id);
        }
        Flow::Wait
    }

    /// Makes the copy durable, under a name that says that it is complete.
    fn secure(&mut self, one: &mut Move) -> Flow {
        let moved = self.moved_dir(one);
        let partition = self.partitions[index(one.id)].as_ref().expect("its operations are counted");
        let mut script = Vec::new();
        for (base, copy) in one.copies.iter() {
            if partition.segment_with_base(base).is_none() {
                // Its records were deleted meanwhile.
                let stem = copy.file.path.strip_suffix(".log").expect("a segment's file ends so");
                let index = self.queue.file(format!("{stem}.index"));
                script.extend([copy.file.clone(), index].map(|file| IoOp::RemoveFile { file }));
            } else if !copy.is_finished {
                script.push(IoOp::Sync { file: copy.file.clone() });
            }
        }
        script.extend([
            IoOp::SyncDir { path: Arc::clone(&one.folder) },
            IoOp::Rename { from: Arc::clone(&one.folder), to: moved },
            IoOp::SyncDir { path: one.to.path("") },
        ]);
        one.stage = Stage::Securing;
        self.begin_step(one, script, MoveStep::Secure)
    }

    /// The copy is durable. From here on a checkpoint may tell of it, as the journal will.
    fn tell_place(&mut self, one: &mut Move) {
        let directory = self.dirs.id(one.to);
        let partition = self.known(one.id);
        partition.placed = one.to;
        if partition.move_to == Some(one.to) {
            partition.move_to = None;
        }
        let fact = Entry::placed(partition.key, directory);
        self.commit.notice(fact);
        self.commit.after_notices.push(AfterNotice::Moved(one.id));
        one.stage = Stage::Telling;
    }

    /// The journal tells where the partition lies.
    pub(super) fn place_told(&mut self, id: PartitionId) {
        let one = self.moves.under_way.as_mut().filter(|one| one.id == id).expect("a move waits for what it has told");
        one.stage = Stage::Draining;
    }

    /// Waits for reads of the old files, and renames their folder.
    fn drain(&mut self, one: &mut Move) -> Flow {
        let partition = self.get(one.id).expect("its operations are counted");
        if partition.removing {
            self.release(one);
            one.stage = Stage::Dropping;
            return Flow::Again;
        }
        if self.reads.under_way(one.id) > one.parked.len() {
            return Flow::Wait;
        }
        let (from, exists, root) = (Arc::clone(&partition.dir), self.may_have_folder(partition), partition.log_dir.path(""));
        one.stage = Stage::Switching;
        if !exists {
            return Flow::Again;
        }
        let (dir, folder) = LogDir::of_path(&from);
        let unique = self.moves.unique(self.generation, self.config.shard.get());
        let to = dir.path(&delete_of(folder, unique));
        one.old = Some(Arc::clone(&to));
        self.begin_step(one, [IoOp::Rename { from, to }, IoOp::SyncDir { path: root }], MoveStep::RenameOld)
    }

    /// The partition goes on with the files of the copy.
    fn switch(&mut self, one: &mut Move) {
        for (_, copy) in one.copies.iter() {
            self.queue.start(IoOp::Close { file: copy.file.clone() }, Purpose::Delete);
        }
        self.change_dir(one.id, one.to);
        let partition = self.known(one.id);
        partition.dir_exists = true;
        for segment in &mut partition.segments {
            let copy = one.copies.get(segment.base);
            segment.allocated = match segment.seal {
                Seal::Sealed => Some(segment.bytes),
                Seal::Open | Seal::Sealing => copy.map(|copy| copy.allocated),
            };
        }
        one.stage = Stage::Leaving;
        self.release(one);
        self.events.push_back(StoreEvent::Moved { partition: one.id, to: one.to });
    }

    /// The partition does again what it did not do meanwhile.
    fn release(&mut self, one: &mut Move) {
        self.known(one.id).hold = Hold::None;
        for read in std::mem::take(&mut one.parked) {
            self.start_read(read, 0);
        }
        self.drive(one.id);
        self.queue_commit(one.id);
        self.note_unwritten(one.id);
    }

    fn end_move(&mut self, one: Move) {
        for (_, copy) in one.copies.iter().filter(|_| one.stage != Stage::Leaving) {
            self.queue.start(IoOp::Close { file: copy.file.clone() }, Purpose::Delete);
        }
        if let Some(reason) = one.failed {
            let partition = self.known(one.id);
            if partition.move_to == Some(one.to) {
                partition.move_to = None;
            }
            self.events.push_back(StoreEvent::MoveFailed { partition: one.id, to: one.to, reason });
        }
        self.queue_move(one.id);
        self.operation_ended(one.id);
    }

    /// An operation of the move under way has ended.
    pub(super) fn move_step_done(&mut self, step: MoveStep, result: IoResult) {
        let mut one = self.moves.under_way.take().expect("its operation was out");
        one.is_busy = false;
        match (step, result) {
            (MoveStep::Look, found) => self.make_folder(&mut one, found),
            (MoveStep::Make, Ok(_)) => one.stage = Stage::Copying,
            (MoveStep::Read(piece), Ok(IoOutput::Read(chunk))) => self.write_piece(&mut one, piece, &chunk.freeze()),
            (MoveStep::Write(piece), Ok(_)) => self.piece_copied(&mut one, piece),
            (MoveStep::ReadIndex(base), Ok(IoOutput::Read(chunk))) => {
                self.finish_copy(&mut one, base, Some(chunk.freeze()));
            }
            // A segment without its index is read from its begin.
            (MoveStep::ReadIndex(base), _) => self.finish_copy(&mut one, base, None),
            (MoveStep::Finish(base), Ok(_)) => one.copies.finished(base),
            (MoveStep::Secure, Ok(_)) => self.tell_place(&mut one),
            (MoveStep::RenameOld, renamed) => {
                if renamed.is_err() {
                    // It stays, and a restart finds it beside the new one.
                    one.old = None;
                }
            }
            (MoveStep::RenameCopy, Ok(_)) => self.switch(&mut one),
            (MoveStep::RenameCopy, Err(reason)) => {
                // The journal tells that the copy is the partition. A restart brings that to its end.
                (one.stage, one.old) = (Stage::Leaving, None);
                self.release(&mut one);
                self.fence_partition(one.id, reason);
            }
            // What could not be removed is, when the next start finds it.
            (MoveStep::Leave | MoveStep::Drop, _) => return self.end_move(one),
            (_, Err(reason)) => one.failed = Some(reason),
            (_, Ok(_)) => one.failed = Some(IoErrorKind::Other(0)),
        }
        self.moves.under_way = Some(one);
    }

    /// Makes the folder of the copy. What has the name that the partition's folder will have is put aside.
    fn make_folder(&mut self, one: &mut Move, found: IoResult) {
        let path = self.new_dir(one);
        let root = one.to.path("");
        let mut script = Vec::new();
        match found {
            Ok(_) => {
                let (dir, folder) = LogDir::of_path(&path);
                let unique = self.moves.unique(self.generation, self.config.shard.get());
                script.push(IoOp::Rename { from: Arc::clone(&path), to: dir.path(&stray_of(folder, unique)) });
            }
            Err(IoErrorKind::NotFound) => {}
            Err(reason) => {
                one.failed = Some(reason);
                return;
            }
        }
        script.extend([
            IoOp::RemoveDir { path: Arc::clone(&one.folder) },
            IoOp::RemoveDir { path: self.moved_dir(one) },
            IoOp::CreateDir { path: Arc::clone(&one.folder) },
            IoOp::SyncDir { path: root },
        ]);
        self.begin_step(one, script, MoveStep::Make);
    }

    fn write_piece(&mut self, one: &mut Move, piece: Piece, bytes: &Slice) {
        let partition = self.get(one.id).expect("its operations are counted");
        // Its segment may have been deleted meanwhile: then nobody needs the piece.
        let Some(at) = partition.segment_with_base(piece.base) else { return };
        let Some(data) = piece.blocks(bytes) else {
            one.failed = Some(IoErrorKind::Other(0));
            return;
        };
        let allocate = match partition.segments[at].seal {
            Seal::Sealed => partition.segments[at].bytes.next_multiple_of(crate::limits::BLOCK_BYTES),
            _ => crate::log::segment::allocation_for(piece.to, partition.config.segment_bytes),
        };
        let path = format!("{}/{}", one.folder, file_name(piece.base, "log"));
        let queue = &mut self.queue;
        let mut script = Vec::with_capacity(2);
        let file = one.copies.reserve(piece, allocate, || queue.file(path), &mut script);
        script.push(IoOp::Write {
            file,
            offset: piece.from,
            data,
            durability: crate::io::WriteDurability::Buffered,
        });
        self.begin_step(one, script, MoveStep::Write(piece));
    }

    /// The next piece comes when the rate allows it; and where commits are under way, not before the disk had as much time for
    /// them as this one took.
    fn piece_copied(&mut self, one: &mut Move, piece: Piece) {
        let bytes = one.copies.copied(piece);
        let took = Duration::from_nanos(self.clock.get().saturating_sub(one.piece_begun.get()));
        if self.commit.is_under_way() {
            self.moves.not_before = self.moves.not_before.max(self.clock.saturating_add(took));
        }
        if let Some(rate) = self.moves.bytes_per_second {
            let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
            let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
            self.moves.not_before = self.moves.not_before.max(self.clock).saturating_add(pause);
        }
    }

    /// Cuts the copy of a sealed segment to its content, and gives it its index.
    fn finish_copy(&mut self, one: &mut Move, base: Offset, index: Option<Slice>) {
        let Some(copy) = one.copies.get(base) else { return };
        let file = copy.file.clone();
        let mut script =
            vec![IoOp::Truncate { file: file.clone(), bytes: copy.bytes }, IoOp::Sync { file: file.clone() }];
        if let Some(content) = index.filter(|content| !content.is_empty()) {
            let stem = file.path.strip_suffix(".log").expect("a segment's file ends so");
            let index_file = self.queue.file(format!("{stem}.index"));
            let bytes = crate::log::tail::to_u64(content.len());
            script.push(IoOp::Create { file: index_file.clone(), allocate_bytes: bytes });
            script.push(IoOp::Write {
                file: index_file.clone(),
                offset: 0,
                data: vec![padded(&content)],
                durability: crate::io::WriteDurability::Buffered,
            });
            script.extend([IoOp::Sync { file: index_file.clone() }, IoOp::Close { file: index_file }]);
        }
        script.push(IoOp::Close { file });
        self.begin_step(one, script, MoveStep::Finish(base));
    }
}

/// Whole blocks.
fn padded(content: &Slice) -> Slice {
    let block = crate::log::tail::to_usize(crate::limits::BLOCK_BYTES);
    if content.len().is_multiple_of(block) {
        return content.clone();
    }
    let mut chunk = Chunk::with_capacity(content.len().next_multiple_of(block));
    chunk.append(content);
    let rest = content.len().next_multiple_of(block) - content.len();
    chunk.append(&vec![0; rest]);
    chunk.freeze()
}

/// Whether nothing of the partition is on any disk, nor on its way there.
fn is_untouched(partition: &Partition) -> bool {
    let first = partition.segments.front().expect("a partition has a segment").base;
    let is_empty = partition.end == Mark::at_segment(first);
    is_empty && !partition.journal_knows_name && partition.operations == 0
}

/// Whether everything that is committed is durable in the segments, and nothing is under way.
fn is_settled(partition: &Partition) -> bool {
    let is_written = partition.issued.offset == partition.committed.offset
        && partition.written.offset == partition.committed.offset
        && partition.durable.offset == partition.committed.offset;
    let is_quiet = partition.busy == Busy::Idle && partition.flush == Flush::None && !partition.data_syncing;
    let written = partition.normal(partition.written);
    let is_done = |one: &Segment| match one.seal {
        Seal::Sealed => true,
        Seal::Sealing => false,
        Seal::Open => one.base >= written.segment && !one.needs_sync && !one.syncing,
    };
    let is_synced = partition.segments.iter().all(is_done);
    is_written && is_quiet && is_synced && partition.journaled_since.is_none()
}
