//! What recovery ends in: what each shard's store begins with, what an operator should know, what went wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::PartitionState;
use crate::directory::{LogDir, LogDirs, folder_of};
use crate::io::IoErrorKind;
use crate::journal::format::PartitionKey;
use crate::types::{Offset, PartitionIndex, ShardId, TopicPartition, Uuid};

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
    /// Journal files that can be written over, with their lengths.
    pub(crate) journal_files: Vec<(String, u64)>,
    pub(crate) partitions: Vec<PartitionState>,
    /// The data directories.
    pub(crate) dirs: LogDirs,
    /// Partitions that were being moved to another directory.
    pub(crate) moves: BTreeMap<PartitionKey, LogDir>,
    /// Folders that nobody needs any more, of all shards.
    pub(crate) leftovers: Vec<Arc<str>>,
    /// Folders of partitions of which nothing is known: they ended before their first batch was durable.
    pub(crate) orphans: Arc<BTreeMap<String, LogDir>>,
}

impl RecoveredShard {
    /// A shard of an empty data directory, which is the only one.
    pub fn empty(shard: ShardId) -> Self {
        Self {
            shard,
            generation: 1,
            next_sequence: 0,
            next_file_number: 0,
            journal_files: Vec::new(),
            partitions: Vec::new(),
            dirs: LogDirs::default(),
            moves: BTreeMap::new(),
            leftovers: Vec::new(),
            orphans: Arc::default(),
        }
    }
}

/// Something that an operator should know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecoveryNews {
    /// A partition's log ended in batches that were never complete, and never acknowledged; they are cut off.
    TornTail {
        /// Of this partition.
        partition: TopicPartition,
        /// Where its log ends now.
        log_end: Offset,
    },
    /// Data that was once durable is damaged. The rest of the partition can be read.
    Rot {
        /// In this partition.
        partition: TopicPartition,
        /// First offset lost.
        from: Offset,
        /// First good offset behind.
        next_good: Offset,
    },
    /// Records of a journal are damaged that were once durable.
    JournalDamaged {
        /// Of this shard.
        shard: ShardId,
        /// First record behind the damage.
        sequence: u64,
    },
    /// A journal holds batches of a partition whose name is not known any more.
    Nameless {
        /// Which.
        partition: PartitionKey,
    },
    /// A partition's folder was found in another directory than its last start has told: it was moved by hand, and stays
    /// there.
    MovedByHand {
        /// Which.
        partition: TopicPartition,
        /// Where it is.
        to: LogDir,
    },
    /// A second folder of a partition was renamed: it is not known what is in it.
    Stray {
        /// Of this partition.
        partition: TopicPartition,
        /// Where it is.
        dir: LogDir,
        /// What it is called now.
        folder: String,
    },
    /// A move to another directory had come so far that the copy is the partition now.
    MoveCompleted {
        /// Which.
        partition: TopicPartition,
        /// Where it is.
        to: LogDir,
    },
}

/// Why a data directory could not be brought in order.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RecoveryError {
    /// An operation failed.
    #[error("{path}: {reason}")]
    Io {
        /// The file or directory.
        path: String,
        /// What went wrong.
        reason: IoErrorKind,
    },
    /// A checkpoint is not what a checkpoint should be. It is never half-written, so it was damaged later.
    #[error("{path}: the checkpoint is damaged")]
    CheckpointDamaged {
        /// The file.
        path: String,
    },
    /// A partition had records, and its folder is nowhere.
    #[error(
        "partition {partition}: its folder is in none of the directories, and its records were in the one with directory.id={directory}, which its meta.properties tells; mount its disk, name the directory in log.dirs again, or put the folder back"
    )]
    FolderMissing {
        /// Which.
        partition: TopicPartition,
        /// The directory that it was in.
        directory: Uuid,
    },
}

/// What recovery found.
#[derive(Debug)]
pub struct Recovered {
    pub(super) generation: u64,
    pub(super) shards: BTreeMap<ShardId, ShardFiles>,
    pub(super) partitions: Vec<PartitionState>,
    /// Records of journals that were read.
    pub journal_records: u64,
    pub(super) dirs: LogDirs,
    pub(super) moves: BTreeMap<PartitionKey, LogDir>,
    pub(super) leftovers: Vec<Arc<str>>,
    pub(super) orphans: Arc<BTreeMap<String, LogDir>>,
    /// What an operator should know.
    pub news: Vec<RecoveryNews>,
}

impl Recovered {
    /// The partitions that were found.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionKey, TopicPartition)> + '_ {
        self.partitions.iter().map(|state| (state.key, name_of(state)))
    }

    /// Gives every partition to the shard that `owner` names, which is below `shards`.
    pub fn into_shards(self, shards: u16, mut owner: impl FnMut(PartitionKey) -> ShardId) -> Vec<RecoveredShard> {
        let mut out: Vec<RecoveredShard> = (0..shards)
            .map(|shard| {
                let shard = ShardId::new(shard);
                let files = self.shards.get(&shard).cloned().unwrap_or_default();
                RecoveredShard {
                    shard,
                    generation: self.generation,
                    next_sequence: files.next_sequence,
                    next_file_number: files.next_file_number,
                    journal_files: files.files,
                    partitions: Vec::new(),
                    dirs: self.dirs.clone(),
                    moves: BTreeMap::new(),
                    leftovers: Vec::new(),
                    orphans: Arc::clone(&self.orphans),
                }
            })
            .collect();
        for (key, to) in self.moves {
            out[owner(key).index()].moves.insert(key, to);
        }
        if let Some(first) = out.first_mut() {
            first.leftovers = self.leftovers;
        }
        for state in self.partitions {
            let owner = owner(state.key).index();
            assert!(owner < out.len(), "the owner of a partition is one of the shards");
            out[owner].partitions.push(state);
        }
        out
    }
}

/// Of one shard: its journal files, and where numbering goes on.
#[derive(Clone, Debug, Default)]
pub(super) struct ShardFiles {
    pub(super) files: Vec<(String, u64)>,
    pub(super) next_file_number: u32,
    pub(super) next_sequence: u64,
}

/// The partition's name.
pub(super) fn name_of(state: &PartitionState) -> TopicPartition {
    let partition: PartitionIndex = state.key.partition;
    TopicPartition::new(state.topic.clone(), partition)
}

/// The name of the partition's folder.
pub(super) fn folder(state: &PartitionState) -> String {
    folder_of(&state.topic, state.key.partition)
}
