//! Data directories: made by a store that runs for a while, recovered, opened, read from end to end.

use crate::disk::Disk;
use ringlog_storage::answer::{
    AppendError, AppendOrigin, LookupOutcome, MinOneBatch, PartitionId, ReadError, ReadLimits, ReadOutcome, ReadUpTo,
    StoreEvent,
};
use ringlog_storage::batch::{BatchBuilder, BatchView, Producer, Record, split};
use ringlog_storage::config::{LogConfig, StoreConfig};
use ringlog_storage::types::{
    LeaderEpoch, Millis, Nanos, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, ShardId, TopicPartition,
    Uuid,
};
use ringlog_storage::{LogDir, LogDirs, PartitionKey, Recovered, RecoveredShard, Recovery, RecoveryError, Store};
use std::time::Duration;

/// Operations after which a machine that has not ended is taken for one that never ends.
const OPERATIONS_MAX: usize = 20_000;
const NOW: Millis = Millis::new(1_700_000_000_000);

fn store_config(shard: u16) -> StoreConfig {
    StoreConfig {
        journal_file_bytes: 64 << 10,
        journal_bytes_max: 192 << 10,
        direct_bytes_min: 8 << 10,
        tail_bytes_max: 128 << 10,
        unwritten_bytes_max: 256 << 10,
        cache_bytes_max: 64 << 10,
        writeback_age: Duration::from_secs(1),
        direct_bytes_per_checkpoint: 64 << 10,
        ..StoreConfig::new(ShardId::new(shard))
    }
}

fn log_config() -> LogConfig {
    LogConfig { segment_bytes: 16 << 10, index_interval_bytes: 512, file_delete_delay_ms: 0, ..LogConfig::default() }
}

/// A store and its disk.
pub struct Running {
    pub disk: Disk,
    store: Store,
    now: Nanos,
    operations: usize,
}

impl Running {
    pub fn new(disk: Disk, boot: RecoveredShard) -> Self {
        let store = Store::new(store_config(boot.shard.get()), boot);
        Self { disk, store, now: Nanos::default(), operations: 0 }
    }

    pub fn open(&mut self, key: PartitionKey, name: TopicPartition) -> PartitionId {
        self.store.create_partition(name, key.topic_id, log_config(), LogDir::HOME).expect("there are few")
    }

    /// Performs what the store wants now, and answers what it says.
    pub fn turn(&mut self) -> Vec<StoreEvent> {
        while let Some(io) = self.store.poll_io(self.now) {
            self.operations += 1;
            assert!(self.operations < OPERATIONS_MAX, "the store does not come to rest: {:?}", io.op);
            let result = self.disk.perform(&io.op);
            self.store.io_done(io.id, result, self.now);
        }
        std::iter::from_fn(|| self.store.poll_event()).collect()
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) -> Vec<StoreEvent> {
        self.now = self.now.saturating_add(time);
        self.turn()
    }

    pub fn append(&mut self, id: PartitionId, batch: &[u8]) -> Result<Offset, AppendError> {
        let (view, _) = BatchView::parse(batch).expect("was built just now");
        let epoch = self.store.latest_epoch(id).max(LeaderEpoch::new(0));
        self.store
            .append(id, (&view).into(), AppendOrigin::Coordinator, epoch, NOW)
            .map(|appended| appended.base_offset)
    }

    /// Reads a partition from its start to its end, over damage; looks up times. What comes back is whole batches with
    /// the right checksums, in order. Answers whether that led to the end.
    pub fn read_all(&mut self, id: PartitionId) -> bool {
        let offsets = self.store.partition(id).expect("was opened");
        let limits = ReadLimits { bytes_max: 8 << 10, min_one_batch: MinOneBatch::Yes, up_to: ReadUpTo::HighWatermark };
        let mut offset = offsets.log_start;
        while offset < offsets.high_watermark {
            let batches = match self.store.read(id, offset, limits) {
                Ok(ReadOutcome::Ready(batches)) => Ok(batches),
                Ok(ReadOutcome::Disk(read)) => self.result_of(|event| match event {
                    StoreEvent::ReadReady { read: ready, result } if ready == read => Ok(result),
                    other => Err(other),
                }),
                Err(error) => Err(error),
            };
            offset = match batches {
                Ok(batches) => {
                    let bytes: Vec<u8> = batches.slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                    check_batches(&bytes, offset);
                    if batches.next_offset <= offset {
                        return false;
                    }
                    batches.next_offset
                }
                Err(ReadError::Rot { next_good, .. }) => {
                    assert!(next_good > offset, "{next_good} is no way out of damage at {offset}");
                    next_good
                }
                // Its file is gone.
                Err(ReadError::Storage(_)) => return true,
                Err(error) => panic!("reading {offset} of {offsets:?}: {error}"),
            };
        }
        for time in [0, 1_700_000_000_000, 1_700_000_000_020, i64::MAX] {
            let found = self.store.offset_for_timestamp(id, Millis::new(time), ReadUpTo::HighWatermark);
            self.await_lookup(found);
        }
        let found = self.store.max_timestamp(id, ReadUpTo::HighWatermark);
        self.await_lookup(found);
        true
    }

    fn await_lookup(&mut self, found: Result<LookupOutcome, ReadError>) {
        if let Ok(LookupOutcome::Disk(read)) = found {
            let _ = self.result_of(|event| match event {
                StoreEvent::LookupReady { read: ready, result } if ready == read => Ok(result),
                other => Err(other),
            });
        }
    }

    fn result_of<T>(&mut self, mut pick: impl FnMut(StoreEvent) -> Result<T, StoreEvent>) -> T {
        let picked = self.turn().into_iter().find_map(|event| pick(event).ok());
        picked.expect("a read ends when the disk has answered")
    }

    /// Answers whether the store was closed in good order; if not, a write had failed.
    pub fn shut_down(mut self) -> (Disk, bool) {
        self.store.shutdown();
        for _ in 0..100 {
            let events = self.wait(Duration::from_secs(1));
            if events.iter().any(|event| matches!(event, StoreEvent::Closed)) {
                return (self.disk, true);
            }
        }
        (self.disk, false)
    }
}

fn check_batches(bytes: &[u8], offset: Offset) {
    let mut next = None;
    for batch in split(bytes) {
        let batch = batch.expect("whole batches");
        assert!(batch.check_crc(), "a batch at {} with a wrong checksum", batch.base_offset());
        let follows = next.is_none_or(|next| batch.base_offset() >= next);
        assert!(follows && batch.next_offset() > offset, "{} is out of order", batch.base_offset());
        next = Some(batch.next_offset());
    }
}

/// Runs recovery to its end, which must come.
pub fn recover(disk: &mut Disk) -> Result<Recovered, RecoveryError> {
    let mut recovery = Recovery::new(NOW, LogDirs::default());
    let mut operations = 0;
    while let Some(io) = recovery.poll_io() {
        operations += 1;
        assert!(operations < OPERATIONS_MAX, "recovery does not end: {:?}", io.op);
        let result = disk.perform(&io.op);
        recovery.io_done(io.id, result);
    }
    assert!(recovery.is_done(), "recovery asks for nothing and has not ended");
    recovery.finish()
}

/// The partitions of a recovered directory, each with its store.
pub fn start(disk: Disk, recovered: Recovered) -> (Running, Vec<PartitionId>) {
    let partitions: Vec<_> = recovered.partitions().collect();
    let boot = recovered.into_shards(1, |_| ShardId::new(0)).pop().expect("one shard");
    let mut running = Running::new(disk, boot);
    let ids = partitions.into_iter().map(|(key, name)| running.open(key, name)).collect();
    (running, ids)
}

/// What each partition spans.
pub fn spans(running: &Running, ids: &[PartitionId]) -> Vec<(Offset, Offset)> {
    let span = |id: &PartitionId| running.store.partition(*id).map(|offsets| (offsets.log_start, offsets.log_end));
    ids.iter().filter_map(span).collect()
}

/// How a directory was left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Left {
    /// Data is in the journal, and nowhere else.
    InJournal,
    /// Parts were written to segments, and checkpoints made.
    Midway,
    /// In good order, after a second start.
    Closed,
}

/// A directory of two topics, one of them deleted in the end.
pub fn make(left: Left) -> Disk {
    let mut running = Running::new(Disk::default(), RecoveredShard::empty(ShardId::new(0)));
    let mut names = (1..=3_u8).map(|n| {
        let key = PartitionKey { topic_id: Uuid::new([n; 16]), partition: PartitionIndex::new(0) };
        (key, TopicPartition::new(format!("topic{n}"), key.partition))
    });
    let names: Vec<_> = names.by_ref().collect();
    let ids: Vec<_> = names.iter().map(|(key, name)| running.open(*key, name.clone())).collect();
    running.turn();
    for round in 0..12_u8 {
        for (at, id) in ids.iter().enumerate() {
            // Every fourth batch is large enough for the segment's own way.
            let value_bytes = if round % 4 == 3 && at == 0 { 3500 } else { 300 };
            running.append(*id, &batch(round, value_bytes)).expect("there is room");
        }
        running.turn();
        if left != Left::InJournal && round % 4 == 1 {
            running.wait(Duration::from_secs(2));
        }
    }
    match left {
        Left::InJournal => running.disk,
        Left::Midway => {
            running.store.remove_partition(ids[2]);
            running.turn();
            running.disk
        }
        Left::Closed => {
            let (mut disk, _) = running.shut_down();
            let recovered = recover(&mut disk).expect("nothing is damaged");
            let (mut running, ids) = start(disk, recovered);
            running.append(ids[0], &batch(200, 300)).expect("there is room");
            running.turn();
            let (disk, closed) = running.shut_down();
            assert!(closed, "nothing fails");
            disk
        }
    }
}

/// Three records of an idempotent producer.
pub fn batch(round: u8, value_bytes: usize) -> Vec<u8> {
    let value = vec![round; value_bytes];
    let producer = Producer {
        id: ProducerId::new(9),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(3 * i32::from(round)),
    };
    let mut builder = BatchBuilder::new().producer(producer);
    for record in 0..3 {
        let timestamp = Millis::new(NOW.get() + i64::from(round) + record);
        builder.push(&Record { timestamp, key: Some(b"key"), value: Some(&value), headers: &[] });
    }
    builder.build()
}
