//! The steps of a move: what is asked of the disk next, and what its answer leads to.

use std::sync::Arc;
use std::time::Duration;

use ringlog_buffer::{Chunk, Slice};

use super::copies::Piece;
use super::{Flow, Move, MoveStep, Stage};
use crate::answer::{PartitionId, StoreEvent};
use crate::directory::{LogDir, Placement, delete_of, folder_of, moved_of, stray_of};
use crate::io::{IoErrorKind, IoOp, IoOutput, IoResult, WriteDurability};
use crate::journal::format::Entry;
use crate::limits::{BLOCK_BYTES, MOVE_HOLD_BYTES_MAX, MOVE_HOLD_MS_MAX, MOVE_RETRY_MS};
use crate::log::partition::{Busy, Flush, Hold, Partition};
use crate::log::segment::{Seal, Segment, allocation_for, file_name};
use crate::log::tail::{to_u64, to_usize};
use crate::store::commit::AfterNotice;
use crate::store::{Phase, Purpose, Space, Store, index, read};
use crate::types::Offset;

impl Store {
    /// Whether the copy is of no use: nobody wants it, or nobody can finish it.
    fn is_pointless(&self, one: &Move) -> bool {
        self.get(one.id).is_none_or(|partition| {
            partition.removing || partition.fenced.is_some() || partition.move_to != Some(one.to)
        })
    }

    pub(super) fn step_move(&mut self, one: &mut Move) -> Flow {
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
        // What is not on its way yet will be committed behind the move.
        let left = partition.bytes_between(partition.written, partition.issued);
        if left > MOVE_HOLD_BYTES_MAX {
            // It comes to be written, and is copied then.
            let is_flushed = partition.flush != Flush::None || partition.written.offset >= partition.committed.offset;
            if !is_flushed {
                self.request_flush(one.id);
                return Flow::NextTurn;
            }
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
        let op = IoOp::Read { file, offset: 0, bytes: read::INDEX_FILE_BYTES };
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
            return Flow::NextTurn;
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
        partition.move_count = partition.move_count.saturating_add(1);
        if partition.move_to == Some(one.to) {
            partition.move_to = None;
        }
        let placement = Placement { directory, move_count: partition.move_count };
        let fact = Entry::placed(partition.key, placement);
        self.commit.notice(fact);
        self.commit.after_notices.push(AfterNotice::Moved(one.id));
        one.stage = Stage::Telling;
    }

    /// The journal tells where the partition lies.
    pub(in crate::store) fn place_told(&mut self, id: PartitionId) {
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
        let (from, exists, root) =
            (Arc::clone(&partition.dir), partition.may_have_folder(), partition.log_dir.path(""));
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
        (partition.dir_exists, partition.has_orphan) = (true, false);
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

    /// An operation of the move under way has ended.
    pub(in crate::store) fn move_step_done(&mut self, step: MoveStep, result: IoResult) {
        let mut one = self.moves.under_way.take().expect("its operation was out");
        one.is_busy = false;
        match (step, result) {
            (MoveStep::Look, found) => self.make_folder(&mut one, found.map(drop)),
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
            (MoveStep::Leave | MoveStep::Drop, _) => return self.end_move(&one),
            (_, Err(reason)) => one.failed = Some(reason),
            (_, Ok(_)) => one.failed = Some(IoErrorKind::Other(0)),
        }
        self.moves.under_way = Some(one);
    }

    /// Makes the folder of the copy. What has the name that the partition's folder will have is put aside.
    fn make_folder(&mut self, one: &mut Move, found: Result<(), IoErrorKind>) {
        let path = self.new_dir(one);
        let root = one.to.path("");
        let mut script = Vec::new();
        match found {
            Ok(()) => {
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
            Seal::Sealed => partition.segments[at].bytes.next_multiple_of(BLOCK_BYTES),
            _ => allocation_for(piece.to, partition.config.segment_bytes),
        };
        let path = format!("{}/{}", one.folder, file_name(piece.base, "log"));
        let queue = &mut self.queue;
        let mut script = Vec::with_capacity(2);
        let file = one.copies.reserve(piece, allocate, || queue.file(path), &mut script);
        script.push(IoOp::Write { file, offset: piece.from, data, durability: WriteDurability::Buffered });
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
            // A crash may have left more in the file than its blocks.
            let content = padded(&content);
            script.push(IoOp::Create { file: index_file.clone(), allocate_bytes: to_u64(content.len()) });
            script.push(IoOp::Write {
                file: index_file.clone(),
                offset: 0,
                data: vec![content],
                durability: WriteDurability::Buffered,
            });
            script.extend([IoOp::Sync { file: index_file.clone() }, IoOp::Close { file: index_file }]);
        }
        script.push(IoOp::Close { file });
        self.begin_step(one, script, MoveStep::Finish(base));
    }
}

/// Whole blocks.
fn padded(content: &Slice) -> Slice {
    let block = to_usize(BLOCK_BYTES);
    if content.len().is_multiple_of(block) {
        return content.clone();
    }
    let mut chunk = Chunk::with_capacity(content.len().next_multiple_of(block));
    chunk.append(content);
    let rest = content.len().next_multiple_of(block) - content.len();
    chunk.append(&vec![0; rest]);
    chunk.freeze()
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
