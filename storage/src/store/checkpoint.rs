//! The checkpoint of a shard: when it is due, what has to be durable before, and what follows from it.
//!
//! A checkpoint says of every partition how far its segments are durable. Journal records before the first one that
//! still has something to say are free to be overwritten once it is written.

use ringlog_buffer::Slice;

use super::{Phase, Purpose, Space, Store};
use crate::answer::PartitionId;
use crate::checkpoint::{Checkpoint, PartitionState, SegmentState, encode, encode_index};
use crate::directory::Placement;
use crate::io::{IoErrorKind, IoOp};
use crate::journal::format::PartitionKey;
use crate::limits::SPACE_PROBE_MS;
use crate::log::partition::Partition;
use crate::log::segment::{Seal, Segment};
use crate::queue::replacement;
use crate::types::{Nanos, Uuid};

/// Entries of an open segment's index that a checkpoint keeps.
const INDEX_ENTRIES_KEPT: usize = 128;

/// The checkpoints of a shard.
#[derive(Debug, Default)]
pub(crate) struct Checkpointing {
    state: State,
    /// The last one covers all there is, and the store is closing.
    clean: bool,
    /// Not again before this time.
    not_before: Nanos,
    /// First sequence that the last checkpoint left to the journal.
    last_cut: u64,
    /// Partitions of this store that the checkpoint under way tells of.
    named: Vec<PartitionKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    #[default]
    Idle,
    /// Everything in records before this sequence is brought into the segments.
    Flushing(u64),
    /// It is written; records before this sequence are free then.
    Writing(u64),
}

impl Checkpointing {
    /// The checkpoint under way does not tell of this partition as it is now.
    pub(super) fn forget_named(&mut self, key: PartitionKey) {
        self.named.retain(|named| *named != key);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.state == State::Idle
    }

    /// Whether one is on its way to the disk.
    pub(crate) fn is_writing(&self) -> bool {
        matches!(self.state, State::Writing(_))
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.clean
    }
}

impl Store {
    /// Begins a checkpoint if one is due, and takes one under way further.
    pub(super) fn advance_checkpoint(&mut self) {
        if self.fenced.is_some() {
            return;
        }
        if self.checkpointing.is_idle() && self.clock >= self.checkpointing.not_before {
            let everything = self.commit.first_uncommitted(self.next_sequence);
            let full = self.commit.wants_room() && !self.journal.is_starved() && !self.journal.is_making_file();
            if full || self.commit.direct_bytes >= self.config.direct_bytes_per_checkpoint {
                self.begin_checkpoint(everything);
            } else if let Some(cut) = self.journal.cut_wanted() {
                self.begin_checkpoint(cut.min(everything));
            } else if self.handovers.checkpoint_due().is_some_and(|due| self.clock >= due) {
                self.begin_checkpoint(0);
            }
        }
        if let State::Flushing(cut) = self.checkpointing.state {
            let waits = self
                .journaled
                .range(..(cut, PartitionId::new(0)))
                .any(|(_, id)| self.get(*id).is_some_and(|partition| partition.fenced.is_none()));
            if !waits {
                self.write_checkpoint();
            }
        }
    }

    /// When a checkpoint that is wanted may be tried again.
    pub(super) fn checkpoint_deadline(&self) -> Option<Nanos> {
        let is_wanted = self.commit.wants_room() || self.phase == Phase::Closing;
        let wanted = if is_wanted { Some(Nanos::default()) } else { self.handovers.checkpoint_due() };
        let at = wanted?.max(self.checkpointing.not_before);
        (at > self.clock && self.checkpointing.is_idle()).then_some(at)
    }

    /// The last one, with nothing left to the journal.
    pub(super) fn begin_closing_checkpoint(&mut self) {
        if self.clock >= self.checkpointing.not_before {
            self.begin_checkpoint(self.next_sequence);
        }
    }

    fn begin_checkpoint(&mut self, cut: u64) {
        let behind: Vec<PartitionId> = self.journaled.range(..(cut, PartitionId::new(0))).map(|(_, id)| *id).collect();
        for id in behind {
            self.request_sync(id);
        }
        self.commit.direct_bytes = 0;
        self.checkpointing.state = State::Flushing(cut);
    }

    fn write_checkpoint(&mut self) {
        let everything = self.commit.first_uncommitted(self.next_sequence);
        let cut = self.journaled.first().map_or(everything, |(sequence, _)| everything.min(*sequence));
        let mut partitions: Vec<PartitionState> = Vec::with_capacity(self.partitions.len() + self.recovered.len());
        for partition in self.partitions.iter().flatten().filter(|partition| !partition.removing) {
            partitions.push(state_of(partition, self.dirs.id(partition.placed)));
            self.checkpointing.named.push(partition.key);
        }
        partitions.extend(self.recovered.values().cloned());
        self.checkpointing.named.extend(self.recovered.keys());
        self.checkpointing.named.extend(self.handovers.released().map(|state| state.key));
        partitions.extend(self.handovers.released().cloned());
        let removed: Vec<_> = self.removed_keys.iter().copied().collect();
        self.checkpointing.named.extend(&removed);
        let checkpoint = Checkpoint { generation: self.generation, cut, drained_generation: 0, removed, partitions };
        let dir = self.journal.dir();
        let mut script = vec![
            IoOp::CreateDir { path: "journal".into() },
            IoOp::CreateDir { path: dir.as_str().into() },
            IoOp::SyncDir { path: "journal".into() },
        ];
        let data = Slice::from(encode(&checkpoint).as_slice());
        script.extend(replacement(&mut self.queue, &format!("{dir}/checkpoint"), data));
        self.queue.start_script(script, Purpose::Checkpoint);
        self.checkpointing.state = State::Writing(cut);
    }

    pub(super) fn checkpoint_written(&mut self, result: Result<(), IoErrorKind>) {
        let State::Writing(cut) = std::mem::take(&mut self.checkpointing.state) else {
            panic!("a checkpoint was written that nobody asked for");
        };
        let wait = self.clock.saturating_add(std::time::Duration::from_millis(SPACE_PROBE_MS));
        let named = std::mem::take(&mut self.checkpointing.named);
        match result {
            Ok(()) => {
                let has_told = self.tell_adopted(&named);
                for key in named {
                    if let Some(id) = self.by_key.get(&key).copied() {
                        self.known(id).journal_knows_name = true;
                    }
                }
                self.journal.release_before(cut, self.next_sequence);
                self.is_short = self.space != Space::There;
                self.unblock_commits();
                if cut <= self.checkpointing.last_cut && !has_told {
                    // A fenced partition keeps its records in the journal: no use in trying again at once.
                    self.checkpointing.not_before = wait;
                }
                self.checkpointing.last_cut = cut;
                self.checkpointing.clean = self.phase != Phase::Running;
            }
            Err(IoErrorKind::NoSpace) => {
                self.checkpointing.not_before = wait;
                if self.space == Space::There {
                    self.space_exhausted();
                }
            }
            Err(reason) => self.fence_directory(reason),
        }
    }
}

/// What the checkpoint says of a partition: only what is durable in its segments.
pub(super) fn state_of(partition: &Partition, directory: Uuid) -> PartitionState {
    let durable = partition.normal(partition.durable);
    let mut producers = partition.producers.clone();
    producers.trim_end(durable.offset);
    let mut epochs = partition.epochs.clone();
    epochs.trim_end(durable.offset);
    let segments = partition.segments.iter().filter(|segment| segment.base <= durable.segment);
    PartitionState {
        key: partition.key,
        topic: partition.name.topic.clone(),
        log_start: partition.log_start,
        durable,
        segments: segments
            .map(|segment| segment_state(segment, durable.position_in(segment.base, segment.bytes)))
            .collect(),
        epochs,
        producers,
        // What is damaged behind that is in the journal still, or ends with the log.
        rot: partition.rot.iter().filter(|range| range.from < durable.offset).copied().collect(),
        dir_exists: partition.dir_exists,
        placement: Placement { directory, move_count: partition.move_count },
    }
}

fn segment_state(segment: &Segment, bytes: u64) -> SegmentState {
    let mut index = match (&segment.index, segment.seal) {
        (Some(index), Seal::Open | Seal::Sealing) => index.clone(),
        _ => crate::log::index::SparseIndex::default(),
    };
    index.trim_end(bytes);
    index.thin_out(INDEX_ENTRIES_KEPT);
    SegmentState { base: segment.base, bytes, times: segment.times, sealed: segment.seal == Seal::Sealed, index }
}

/// The content of a sealed segment's index file, in whole blocks.
pub(super) fn sidecar(segment: &Segment) -> Slice {
    let index = segment.index.as_ref().expect("an open segment has its index in memory");
    Slice::from(encode_index(segment.base, segment.bytes, segment.times, index).as_slice())
}
