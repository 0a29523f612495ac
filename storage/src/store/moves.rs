//! Moves of partitions from one data directory to another (KIP-113), while everything goes on.
//!
//! Segments are copied in bounded pieces into a folder of its own, `…-future`. When little is left, the partition's commits
//! are held, the rest goes into its segments and into the copy, and the copy is synced and renamed to `…-moved`. Then the
//! journal is told where the partition lies. That is the moment in which it is moved: a start finds either fact with a
//! whole, durable log for it, and nothing was committed in between. Behind it the folders are renamed, the partition goes on
//! with the new files, and the old folder is removed.

mod copies;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::copies::{Copies, Piece};
use super::{Phase, Purpose, Store, index};
use crate::answer::{FutureCopy, PartitionId, PartitionPlace, ReadId, StorageError, StoreEvent};
use crate::directory::{LogDir, folder_of, future_of};
use crate::io::{IoErrorKind, IoOp};
use crate::journal::format::PartitionKey;
use crate::log::mark::Mark;
use crate::log::partition::{Hold, Partition};
use crate::log::segment::file_name;
use crate::types::{Nanos, Offset, Uuid};

/// Steps of a move that end without an operation, in one turn.
const STEPS_PER_TURN: usize = 8;

/// The moves of a shard. One at a time is under way.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    /// Partitions that are to be moved, each once.
    queue: BTreeSet<PartitionId>,
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
    /// What has been asked for may be there in the next turn, without any operation.
    NextTurn,
    /// The next step can be taken.
    Again,
    /// The move has ended.
    End,
}

impl Moves {
    /// Whether the partition is being moved, or waits for that.
    pub(super) fn is_about(&self, id: PartitionId) -> bool {
        self.queue.contains(&id) || self.under_way.as_ref().is_some_and(|one| one.id == id)
    }

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
    /// elsewhere is given up. [`StoreEvent::Moved`] or [`StoreEvent::MoveFailed`] tells how one ends that is not given up, and
    /// [`StoreEvent::MoveEnded`] that it is over, as long as there is the partition.
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
        if self.moves.bytes_per_second != bytes_per_second {
            self.moves.bytes_per_second = bytes_per_second;
            self.moves.not_before = Nanos::default();
            self.stirred = true;
        }
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

    /// How many partitions each data directory has, those that are not opened yet and copies counted. The cluster's metadata
    /// does not count.
    pub fn partitions_by_dir(&self) -> Vec<usize> {
        let mut counts = vec![0; self.dirs.count()];
        let counts_for = |key: PartitionKey| key.topic_id != Uuid::METADATA_TOPIC;
        let open = self.partitions.iter().flatten().filter(|partition| !partition.removing);
        for partition in open.filter(|partition| counts_for(partition.key)) {
            counts[partition.log_dir.index()] += 1;
            if let Some(to) = partition.move_to {
                counts[to.index()] += 1;
            }
        }
        for state in self.recovered.values().filter(|state| counts_for(state.key)) {
            counts[self.dirs.find(state.placement.directory).expect("recovery has found it").index()] += 1;
        }
        counts
    }

    /// Whether recovery found this partition, and nobody has opened it yet.
    pub fn is_recovered(&self, key: PartitionKey) -> bool {
        self.recovered.contains_key(&key)
    }

    fn queue_move(&mut self, id: PartitionId) {
        let is_known = self.moves.is_about(id);
        if !is_known && self.get(id).is_some_and(|partition| partition.move_to.is_some()) {
            self.moves.queue.insert(id);
        }
    }

    /// Begins the next move, if there is none, and takes the one under way further. Answers whether it goes on in the next
    /// turn, without waiting for anything.
    pub(super) fn advance_moves(&mut self) -> bool {
        if self.moves.under_way.is_none() {
            self.start_move();
        }
        for _ in 0..STEPS_PER_TURN {
            let Some(mut one) = self.moves.under_way.take() else { return false };
            let flow = if one.is_busy { Flow::Wait } else { self.step_move(&mut one) };
            match flow {
                Flow::Wait => {
                    self.moves.under_way = Some(one);
                    return false;
                }
                Flow::NextTurn => {
                    self.moves.under_way = Some(one);
                    return true;
                }
                Flow::Again => self.moves.under_way = Some(one),
                Flow::End => {
                    self.end_move(&one);
                    return true;
                }
            }
        }
        true
    }

    fn start_move(&mut self) {
        if self.phase != Phase::Running || self.fenced.is_some() {
            return;
        }
        while let Some(id) = self.moves.queue.first().copied() {
            let Some(partition) = self.get(id) else {
                self.moves.queue.pop_first();
                continue;
            };
            // One that is fenced or being removed stays where it is.
            let may_move = !partition.removing && partition.fenced.is_none();
            let Some(to) = partition.move_to.filter(|to| may_move && *to != partition.placed) else {
                self.moves.queue.pop_first();
                self.events.push_back(StoreEvent::MoveEnded { partition: id });
                continue;
            };
            let name = folder_of(&partition.name.topic, partition.key.partition);
            if self.removing.contains_key(&to.path(&name)) {
                // The folder belongs to a removed partition of that name, and will be free.
                return;
            }
            let folder = to.path(&future_of(&partition.name.topic, partition.key));
            let is_untouched = is_untouched(partition);
            if is_untouched && self.checkpointing.is_writing() {
                // What is being written may tell where it lies now.
                return;
            }
            self.moves.queue.pop_first();
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

    /// Nothing of it was ever written anywhere: it will be, elsewhere.
    fn place_untouched(&mut self, id: PartitionId, to: LogDir) {
        self.change_dir(id, to);
        let partition = self.known(id);
        (partition.placed, partition.move_to) = (to, None);
        partition.move_count = partition.move_count.saturating_add(1);
        self.events.push_back(StoreEvent::Moved { partition: id, to });
        self.events.push_back(StoreEvent::MoveEnded { partition: id });
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

    fn end_move(&mut self, one: &Move) {
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
        if !self.moves.is_about(one.id) {
            self.events.push_back(StoreEvent::MoveEnded { partition: one.id });
        }
        self.operation_ended(one.id);
    }
}

/// Whether nothing of the partition is on any disk, nor on its way there.
fn is_untouched(partition: &Partition) -> bool {
    let first = partition.segments.front().expect("a partition has a segment").base;
    let is_empty = partition.end == Mark::at_segment(first);
    is_empty && !partition.journal_knows_name && !partition.may_have_folder() && partition.operations == 0
}
