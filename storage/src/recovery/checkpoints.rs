//! Reading the checkpoints of all shards, and what they say together.

use super::{Purpose, Recovery, RecoveryError};
use crate::checkpoint::{PartitionState, decode};
use crate::io::IoOp;
use crate::limits::{BLOCK_BYTES, SIDE_FILE_BYTES_MAX};
use crate::log::tail::to_usize;
use crate::types::ShardId;

impl Recovery {
    pub(super) fn read_checkpoint(&mut self, shard: Option<ShardId>, path: String, bytes: u64) {
        if bytes == 0 || bytes > SIDE_FILE_BYTES_MAX {
            return self.fail(RecoveryError::CheckpointDamaged { path });
        }
        let file = self.queue.file(path.as_str());
        let bytes = to_usize(bytes.next_multiple_of(BLOCK_BYTES));
        self.queue.start(IoOp::Read { file, offset: 0, bytes }, Purpose::Checkpoint(shard, path));
    }

    pub(super) fn checkpoint_read(&mut self, shard: Option<ShardId>, path: String, bytes: &[u8]) {
        match (decode(bytes), shard) {
            (Some(checkpoint), Some(shard)) => {
                self.checkpoints.insert(shard, checkpoint);
            }
            (Some(checkpoint), None) => self.base = checkpoint,
            (None, _) => self.fail(RecoveryError::CheckpointDamaged { path }),
        }
    }

    /// Of every partition the newest word counts: of two shards that had it one after the other, that which reaches further.
    /// What shards wrote before the last recovery, that has taken up.
    pub(super) fn merge_checkpoints(&mut self) {
        let recovered = self.base.generation;
        self.generation_seen = recovered.max(self.base.drained_generation);
        for state in std::mem::take(&mut self.base.partitions) {
            self.states.insert(state.key, (recovered, state));
        }
        let newer = self.checkpoints.values_mut().filter(|one| one.generation > recovered);
        let mut removed = Vec::new();
        for checkpoint in newer {
            self.generation_seen = self.generation_seen.max(checkpoint.generation);
            removed.append(&mut checkpoint.removed);
            for mut state in std::mem::take(&mut checkpoint.partitions) {
                let reach = |state: &PartitionState| (state.durable.offset, state.log_start);
                let found = (checkpoint.generation, reach(&state));
                let Some((generation, known)) = self.states.get_mut(&state.key) else {
                    self.states.insert(state.key, (checkpoint.generation, state));
                    continue;
                };
                // Where it lies tells who has moved it last, however far that one reaches.
                if (*generation, reach(known)) < found {
                    state.placement = known.placement.or_later(state.placement);
                    (*generation, *known) = (checkpoint.generation, state);
                } else {
                    known.placement = state.placement.or_later(known.placement);
                }
            }
        }
        for key in removed {
            self.forget(key);
            self.removed.insert(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use crate::directory::{LogDirs, Placement};
    use crate::journal::format::PartitionKey;
    use crate::types::{Millis, Offset, PartitionIndex, Uuid};

    #[test]
    fn who_reaches_further_tells_of_the_log_and_who_has_moved_it_last_of_its_place() {
        let key = PartitionKey { topic_id: Uuid::from_u128(7), partition: PartitionIndex::new(0) };
        let place = |directory, move_count| Placement { directory: Uuid::from_u128(directory), move_count };
        let checkpoint = |end, move_count, directory| {
            let mut state = PartitionState::empty(key, "topic".into(), Offset::ZERO);
            state.durable.offset = Offset::new(end);
            state.placement = place(directory, move_count);
            Checkpoint { generation: 1, partitions: vec![state], ..Checkpoint::default() }
        };
        for (one, other, expected) in [
            ((10, 1, 501), (10, 2, 502), (10, 2, 502)),
            ((10, 2, 502), (10, 1, 501), (10, 2, 502)),
            ((10, 1, 501), (20, 2, 502), (20, 2, 502)),
            ((20, 1, 501), (10, 2, 502), (20, 2, 502)),
            ((10, 0, 501), (20, 0, 502), (20, 0, 502)),
        ] {
            let mut recovery = Recovery::new(Millis::new(1), LogDirs::new(&[501, 502].map(Uuid::from_u128)));
            for (shard, (end, move_count, directory)) in [(0, one), (1, other)] {
                recovery.checkpoints.insert(ShardId::new(shard), checkpoint(end, move_count, directory));
            }
            recovery.merge_checkpoints();
            let (_, state) = &recovery.states[&key];
            let (end, move_count, directory) = expected;
            let found = (state.durable.offset, state.placement);
            assert_eq!(found, (Offset::new(end), place(directory, move_count)), "{one:?} {other:?}");
        }
    }
}
