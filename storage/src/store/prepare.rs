//! Files and space for segments: made when the first write wants them, extended ahead of the content, and asked for
//! again once in a while where the device was full.

use super::sync::SyncPart;
use super::{Purpose, Space, Store};
use crate::answer::PartitionId;
use crate::io::{FileRef, IoErrorKind, IoOp};
use crate::log::partition::Busy;
use crate::types::Offset;

impl Store {
    pub(super) fn start_prepare(&mut self, id: PartitionId, base: Offset, allocate: u64) {
        let renaming = self.is_renaming(id);
        let partition = self.known(id);
        if renaming {
            // The folder still belongs to a removed partition of the same name.
            return;
        }
        partition.busy = Busy::Preparing;
        partition.operations += 1;
        let (dir, dir_exists) = (partition.dir.clone(), partition.dir_exists);
        let fresh = partition.written.position_in(base, 0) == 0;
        let segment = partition.segment_mut(base).expect("the segment is there");
        let file: FileRef = segment.file.clone();
        let mut script = Vec::with_capacity(3);
        if segment.allocated.is_some() {
            script.push(IoOp::Allocate { file, bytes: allocate });
        } else {
            if !dir_exists {
                script.push(IoOp::CreateDir { path: dir });
            }
            if fresh {
                // Left behind by a crash, perhaps, with batches that must not be taken for new ones.
                script.push(IoOp::RemoveFile { file: file.clone() });
            }
            script.push(IoOp::Create { file, allocate_bytes: allocate });
        }
        self.queue.start_script(script, Purpose::Prepare(id, base, allocate));
    }

    /// The space is reserved. Nothing is written to a new file before a power cut cannot take its name any more.
    pub(super) fn reserved(&mut self, id: PartitionId, base: Offset, bytes: u64, result: Result<(), IoErrorKind>) {
        let is_new = self.known(id).segment_mut(base).is_some_and(|segment| segment.allocated.is_none());
        if is_new && result.is_ok() {
            self.join_sync(id, SyncPart::Names(base, bytes));
        } else {
            self.prepared(id, base, bytes, result);
        }
    }

    pub(super) fn prepared(&mut self, id: PartitionId, base: Offset, bytes: u64, result: Result<(), IoErrorKind>) {
        let partition = self.known(id);
        partition.busy = Busy::Idle;
        match result {
            Ok(()) => {
                partition.dir_exists = true;
                if let Some(segment) = partition.segment_mut(base) {
                    segment.allocated = Some(bytes);
                }
                self.writeback.starved.remove(&id);
                self.is_short = false;
                self.space_returned();
                for starved in std::mem::take(&mut self.writeback.starved) {
                    self.drive(starved);
                    self.queue_commit(starved);
                }
            }
            Err(IoErrorKind::NoSpace) => {
                self.writeback.starved.insert(id);
                self.space_exhausted();
                // The journal may still have room for what waits.
                self.queue_commit(id);
                return self.operation_ended(id);
            }
            Err(reason) => self.fence_partition(id, reason),
        }
        self.drive(id);
        self.operation_ended(id);
    }

    /// Tries again to get space, once in a while.
    pub(super) fn probe_space(&mut self) {
        let Space::Exhausted(next_try) = self.space else { return };
        if next_try > self.clock {
            return;
        }
        let wait = std::time::Duration::from_millis(crate::limits::SPACE_PROBE_MS);
        self.space = Space::Exhausted(self.clock.saturating_add(wait));
        match self.writeback.starved.pop_first() {
            Some(id) => {
                let others = std::mem::take(&mut self.writeback.starved);
                self.drive(id);
                self.writeback.starved.extend(others);
                let tries = self.get(id).is_some_and(|partition| partition.busy == Busy::Preparing);
                if !tries && self.writeback.starved.is_empty() {
                    self.space_returned();
                }
            }
            None => self.space_returned(),
        }
    }
}
