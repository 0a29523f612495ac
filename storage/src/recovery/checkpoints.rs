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
            for state in std::mem::take(&mut checkpoint.partitions) {
                let reach = |state: &PartitionState| (state.durable.offset, state.log_start);
                let found = (checkpoint.generation, reach(&state));
                let known = self.states.get(&state.key).map(|(known, state)| (*known, reach(state)));
                if known.is_none_or(|known| known < found) {
                    self.states.insert(state.key, (checkpoint.generation, state));
                }
            }
        }
        for key in removed {
            self.forget(key);
            self.removed.insert(key);
        }
    }
}
