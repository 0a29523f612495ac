//! What a start finds on the disk, and what each shard's store goes on from.

use crate::checkpoint::PartitionState;
use crate::types::ShardId;

/// What the store of one shard begins with.
#[derive(Clone, Debug)]
pub struct RecoveredShard {
    /// Whose it is.
    pub shard: ShardId,
    /// Number of this start.
    pub(crate) generation: u64,
    /// Of the shard's next journal record.
    pub(crate) next_sequence: u64,
    /// Number of the next journal file to be made.
    pub(crate) next_file_number: u32,
    /// Journal files that can be written over.
    pub(crate) journal_files: Vec<String>,
    pub(crate) partitions: Vec<PartitionState>,
}

impl RecoveredShard {
    /// A shard of an empty data directory.
    pub fn empty(shard: ShardId) -> Self {
        Self {
            shard,
            generation: 1,
            next_sequence: 0,
            next_file_number: 0,
            journal_files: Vec::new(),
            partitions: Vec::new(),
        }
    }
}
