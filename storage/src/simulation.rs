//! The store and its recovery on a disk that loses what was not synced: seeded worlds of appends, reads, crashes.
//!
//! After every start the whole log is read and compared with what was appended: everything that was called committed is
//! there once, in order, byte for byte; what was not may be there, as long as nothing before it is missing.

mod faults;
mod handovers;
mod leftovers;
mod model;
mod moves;
mod removals;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::RefUnwindSafe;

use crate::answer::{
    AppendError, AppendOrigin, FenceScope, MinOneBatch, NewBatch, PartitionId, ReadBatches, ReadEnd, ReadError, ReadId,
    ReadLimits, ReadOutcome, ReadUpTo, StorageError, StoreEvent,
};
use crate::batch::{BatchBuilder, BatchView, Producer, Record, split, stamp};
use crate::config::{Durability, LogConfig, StoreConfig};
use crate::directory::{LogDir, LogDirs};
use crate::io::Io;
use crate::journal::format::PartitionKey;
use crate::recovery::{Recovered, Recovery, RecoveryNews};
use crate::store::Store;
use crate::testdisk::{Dice, Disk};
use crate::types::{
    LeaderEpoch, Millis, Nanos, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, ShardId, TopicPartition,
    Uuid,
};

use model::{CLIENTS, Client, Model, Stored};

/// How a world is laid out.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) partitions: u32,
    pub(crate) journal_file_bytes: u64,
    pub(crate) journal_files: u64,
    pub(crate) segment_bytes: u32,
    pub(crate) direct_bytes_min: u64,
    pub(crate) unwritten_bytes_max: u64,
    pub(crate) durability: Durability,
    /// Data directories, over which new partitions are spread.
    pub(crate) dirs: u16,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            partitions: 3,
            journal_file_bytes: 64 << 10,
            journal_files: 4,
            segment_bytes: 64 << 10,
            direct_bytes_min: 8 << 10,
            unwritten_bytes_max: 512 << 10,
            durability: Durability::Sync,
            dirs: 1,
        }
    }
}

/// A process on a disk.
pub(crate) struct World {
    pub(crate) disk: Disk,
    pub(crate) dice: Dice,
    pub(crate) shape: Shape,
    pub(crate) now: Nanos,
    pub(crate) stores: Vec<Store>,
    /// Operations handed out, by store.
    pub(crate) out: Vec<Vec<Io>>,
    pub(crate) ids: BTreeMap<u32, (usize, PartitionId)>,
    pub(crate) models: BTreeMap<u32, Model>,
    pub(crate) news: Vec<RecoveryNews>,
    pub(crate) events: Vec<(usize, StoreEvent)>,
    pub(crate) refused_for_space: u64,
    /// Who appends to a partition, where it is not a client.
    pub(crate) origins: BTreeMap<u32, AppendOrigin>,
    pub(crate) compare: bool,
    /// Appends that wait for their commit, by partition and last offset, as a broker keeps them.
    waiting: BTreeSet<(u32, Offset)>,
    /// The disk fails, so appends may be refused.
    faulty: bool,
}

pub(crate) fn key(partition: u32) -> PartitionKey {
    PartitionKey {
        topic_id: Uuid::from_u128(1_000_000 + u128::from(partition)),
        partition: PartitionIndex::new(i32::try_from(partition).expect("small")),
    }
}

/// A batch of one record.
pub(crate) fn batch(value_bytes: usize, fill: u8, producer: Producer, timestamp: i64) -> Vec<u8> {
    let value = vec![fill; value_bytes];
    let mut builder = BatchBuilder::new().producer(producer);
    for part in value.chunks(value_bytes.div_ceil(3).max(1)) {
        builder.push(&Record { timestamp: Millis::new(timestamp), value: Some(part), ..Record::default() });
    }
    builder.build()
}

/// The first idempotent producer of a partition.
pub(crate) fn producer(partition: u32, base_sequence: Sequence) -> Producer {
    Producer { id: producer_id(partition, 0), epoch: ProducerEpoch::new(0), base_sequence }
}

fn producer_id(partition: u32, client: usize) -> ProducerId {
    ProducerId::new(i64::from(partition) + 1000 * i64::try_from(client).expect("small"))
}

impl World {
    pub(crate) fn new(seed: u64, shape: Shape) -> Self {
        Self {
            disk: Disk::new(),
            dice: Dice::new(seed),
            shape,
            now: Nanos::new(1),
            stores: Vec::new(),
            out: Vec::new(),
            ids: BTreeMap::new(),
            models: BTreeMap::new(),
            news: Vec::new(),
            events: Vec::new(),
            refused_for_space: 0,
            origins: BTreeMap::new(),
            compare: true,
            waiting: BTreeSet::new(),
            faulty: false,
        }
    }

    pub(crate) fn config(&self, shard: ShardId) -> StoreConfig {
        StoreConfig {
            journal_file_bytes: self.shape.journal_file_bytes,
            journal_bytes_max: self.shape.journal_file_bytes * self.shape.journal_files,
            direct_bytes_min: self.shape.direct_bytes_min,
            tail_bytes_max: 128 << 10,
            unwritten_bytes_max: self.shape.unwritten_bytes_max,
            cache_bytes_max: 512 << 10,
            writeback_age: std::time::Duration::from_millis(50),
            direct_bytes_per_checkpoint: 128 << 10,
            ..StoreConfig::new(shard)
        }
    }

    pub(crate) fn log_config(&self) -> LogConfig {
        LogConfig {
            segment_bytes: self.shape.segment_bytes,
            durability: self.shape.durability,
            file_delete_delay_ms: 10,
            index_interval_bytes: 512,
            ..LogConfig::default()
        }
    }

    /// The data directories.
    pub(crate) fn dirs(&self) -> LogDirs {
        let ids: Vec<_> = (0..self.shape.dirs).map(|dir| Uuid::from_u128(500 + u128::from(dir))).collect();
        LogDirs::new(&ids)
    }

    /// The directory of a new partition.
    fn first_dir(&self, partition: u32) -> LogDir {
        LogDir::new(u16::try_from(partition % u32::from(self.shape.dirs)).expect("few"))
    }

    /// Runs recovery. `crash_after` cuts the power after so many operations, and answers `None`.
    fn recover(&mut self, crash_after: Option<u64>) -> Option<Recovered> {
        let mut recovery = Recovery::new(Millis::new(1000), self.dirs());
        let mut out: Vec<Io> = Vec::new();
        let mut performed = 0;
        while !recovery.is_done() {
            while let Some(io) = recovery.poll_io() {
                out.push(io);
            }
            if out.is_empty() {
                continue;
            }
            if crash_after.is_some_and(|most| performed >= most) {
                for io in out {
                    self.disk.perform_in_part(&io.op, &mut self.dice);
                }
                self.disk.cut_power(&mut self.dice);
                return None;
            }
            let io = out.swap_remove(self.dice.index(out.len()));
            let result = self.disk.perform(&io.op);
            recovery.io_done(io.id, result);
            performed += 1;
        }
        Some(recovery.finish().unwrap_or_else(|error| panic!("recovery succeeds: {error}")))
    }

    /// Starts the process and looks at everything.
    pub(crate) fn start(&mut self, shards: u16) {
        self.news.clear();
        let recovered = loop {
            // Now and then the power goes while recovering.
            let crash = self.dice.one_in(8).then(|| self.dice.below(40));
            if let Some(recovered) = self.recover(crash) {
                break recovered;
            }
        };
        self.news.clone_from(&recovered.news);
        let spread = self.dice.below(100);
        let owner = |key: PartitionKey| {
            let number = u64::try_from(key.partition.get()).expect("small") + spread;
            ShardId::new(u16::try_from(number % u64::from(shards)).expect("small"))
        };
        let boots = recovered.into_shards(shards, owner);
        self.stores = boots.into_iter().map(|boot| Store::new(self.config(boot.shard), boot)).collect();
        self.out = self.stores.iter().map(|_| Vec::new()).collect();
        self.ids.clear();
        for partition in 0..self.shape.partitions {
            let shard = owner(key(partition)).index();
            let name = TopicPartition::new(format!("topic{partition}"), key(partition).partition);
            let (config, log_dir) = (self.log_config(), self.first_dir(partition));
            let id = self.stores[shard]
                .create_partition(name, key(partition).topic_id, config, log_dir)
                .expect("there is room");
            self.ids.insert(partition, (shard, id));
        }
        if self.compare {
            self.compare_after_start();
        }
    }

    fn compare_after_start(&mut self) {
        for partition in self.ids.keys().copied().collect::<Vec<_>>() {
            let (shard, id) = self.ids[&partition];
            let offsets = self.stores[shard].partition(id).expect("it was just opened");
            let model = self.models.entry(partition).or_default();
            assert!(
                offsets.log_end >= model.acked,
                "partition {partition}: committed up to {}, but the log ends at {} ({:?})",
                model.acked,
                offsets.log_end,
                self.news
            );
            model.mark_superseded();
            model.lose_behind(offsets.log_end, self.shape.durability);
            let end = model.log.last().map_or(Offset::ZERO, |stored| stored.last.next());
            assert_eq!(offsets.log_end, end, "partition {partition}: the log ends with a batch");
            model.acked = end;
            model.log_start = offsets.log_start;
            self.check_all(partition);
            self.check_duplicates(partition);
        }
    }

    /// Reads everything that can be seen, and compares.
    pub(crate) fn check_all(&mut self, partition: u32) {
        let (shard, id) = self.ids[&partition];
        let offsets = self.stores[shard].partition(id).expect("open");
        let mut at = offsets.log_start;
        while at < offsets.high_watermark {
            let limits = ReadLimits {
                bytes_max: 1 + self.dice.index(20_000),
                min_one_batch: MinOneBatch::Yes,
                up_to: ReadUpTo::HighWatermark,
            };
            let read = self.read(shard, id, at, limits).expect("what is committed can be read");
            assert!(read.next_offset > at, "a read makes progress");
            assert!(read.end != ReadEnd::CaughtUp || read.next_offset >= offsets.high_watermark, "there is more");
            self.compare_read(partition, at, &read);
            at = read.next_offset;
        }
    }

    pub(crate) fn compare_read(&self, partition: u32, from: Offset, read: &ReadBatches) {
        let bytes: Vec<u8> = read.slices.iter().flat_map(|slice| slice.iter().copied()).collect();
        assert_eq!(bytes.len(), read.bytes);
        let model = &self.models[&partition];
        let mut expected = model.log.iter().skip_while(|stored| stored.last < from);
        for found in split(&bytes) {
            let found = found.expect("whole batches are read");
            let stored = expected.next().expect("nothing is read that was not appended");
            assert_eq!(found.bytes(), &stored.bytes[..], "partition {partition} at {}", stored.base);
        }
    }

    /// A read, with whatever I/O it takes.
    pub(crate) fn read(
        &mut self,
        shard: usize,
        id: PartitionId,
        at: Offset,
        limits: ReadLimits,
    ) -> Result<ReadBatches, ReadError> {
        match self.stores[shard].read(id, at, limits)? {
            ReadOutcome::Ready(batches) => Ok(batches),
            ReadOutcome::Disk(read) => self.wait_for_read(shard, read),
        }
    }

    fn wait_for_read(&mut self, shard: usize, wanted: ReadId) -> Result<ReadBatches, ReadError> {
        for _ in 0..10_000 {
            self.step(shard);
            let place = self
                .events
                .iter()
                .position(|(_, event)| matches!(event, StoreEvent::ReadReady { read, .. } if *read == wanted));
            if let Some(place) = place
                && let (_, StoreEvent::ReadReady { result, .. }) = self.events.remove(place)
            {
                return result;
            }
        }
        panic!("a read ends");
    }

    /// Lets one operation of a store end, and takes its events.
    pub(crate) fn step(&mut self, shard: usize) {
        if !self.stores[shard].has_work() {
            // At the time that it knows of: no deadline has come.
            assert!(self.stores[shard].poll_io(Nanos::default()).is_none(), "there was work that was not told");
        }
        self.now = self.now.saturating_add(std::time::Duration::from_micros(self.dice.below(2000)));
        while let Some(io) = self.stores[shard].poll_io(self.now) {
            self.out[shard].push(io);
        }
        if !self.out[shard].is_empty() {
            let io = {
                let place = self.dice.index(self.out[shard].len());
                self.out[shard].swap_remove(place)
            };
            let result = self.perform(&io.op);
            self.stores[shard].io_done(io.id, result, self.now);
        }
        self.take_events(shard);
    }

    pub(crate) fn take_events(&mut self, shard: usize) {
        self.stores[shard].check_unwritten();
        while let Some(event) = self.stores[shard].poll_event() {
            match &event {
                StoreEvent::HighWatermark { partition, offset } => {
                    let found = self.ids.iter().find(|(_, place)| **place == (shard, *partition));
                    if let Some((number, _)) = found {
                        self.waiting.retain(|(of, last)| of != number || last >= offset);
                        if self.shape.durability == Durability::Sync {
                            let model = self.models.entry(*number).or_default();
                            model.acked = model.acked.max(*offset);
                        }
                    }
                }
                StoreEvent::Fenced { scope, .. } => {
                    self.waiting.retain(|(of, _)| match scope {
                        FenceScope::Partition(id) => self.ids[of] != (shard, *id),
                        FenceScope::Directory => self.ids[of].0 != shard,
                    });
                    self.events.push((shard, event));
                }
                _ => self.events.push((shard, event)),
            }
        }
    }

    /// Lets everything end that is under way, for up to `steps`.
    pub(crate) fn settle(&mut self, steps: usize) {
        for _ in 0..steps {
            for shard in 0..self.stores.len() {
                self.step(shard);
            }
        }
    }

    /// Performs what the first store asks for, until it asks for nothing. No time passes.
    pub(crate) fn go_on(&mut self) {
        while let Some(io) = self.stores[0].poll_io(self.now) {
            let result = self.disk.perform(&io.op);
            self.stores[0].io_done(io.id, result, self.now);
        }
        self.take_events(0);
    }

    /// Appends a batch of the partition's first producer. Answers whether it was accepted.
    pub(crate) fn append(&mut self, partition: u32, value_bytes: usize) -> bool {
        self.append_of(0, partition, value_bytes)
    }

    /// Appends a batch of any producer that may send one.
    fn append_of_any(&mut self, partition: u32, value_bytes: usize) {
        let client = self.dice.index(CLIENTS);
        if self.models.entry(partition).or_default().may_send(client) {
            self.append_of(client, partition, value_bytes);
        }
    }

    fn append_of(&mut self, number: usize, partition: u32, value_bytes: usize) -> bool {
        let (shard, id) = self.ids[&partition];
        let client = self.models.entry(partition).or_default().clients[number].clone();
        let producer =
            Producer { id: producer_id(partition, number), epoch: client.epoch, base_sequence: client.next_sequence };
        let fill = u8::try_from(self.dice.below(256)).expect("a byte");
        let timestamp = 1_000 + i64::try_from(self.dice.below(1000)).expect("small");
        let bytes = batch(value_bytes, fill, producer, timestamp);
        let (view, _) = BatchView::parse(&bytes).expect("just built");
        let next_sequence = view.last_sequence().advance(1);
        let has_room = self.stores[shard].has_room(id, bytes.len());
        let origin = self.origins.get(&partition).copied().unwrap_or(AppendOrigin::Client);
        let answer =
            self.stores[shard].append(id, NewBatch::from(&view), origin, LeaderEpoch::new(0), Millis::new(timestamp));
        match answer {
            Ok(_) => assert!(
                has_room || origin == AppendOrigin::Controller,
                "partition {partition}: a batch has room that was not told"
            ),
            Err(AppendError::Backpressure) => assert!(!has_room, "partition {partition}: there is no room for a batch"),
            Err(_) => {}
        }
        match answer {
            Ok(appended) => {
                assert!(!appended.duplicate, "a new batch is new");
                if !appended.committed {
                    self.waiting.insert((partition, appended.last_offset));
                }
                let model = self.models.get_mut(&partition).expect("known");
                let end = model.log.last().map_or(Offset::ZERO, |stored| stored.last.next());
                assert_eq!(appended.base_offset, end, "offsets are dense");
                model.clients[number] = Client { next_sequence, lost: false, ..client };
                let mut stored = bytes.clone();
                stamp(&mut stored, appended.base_offset, LeaderEpoch::new(0));
                model.log.push(Stored {
                    base: appended.base_offset,
                    last: appended.last_offset,
                    bytes: stored,
                    client: number,
                    may_be_forgotten: false,
                });
                true
            }
            // What was acknowledged is lost, and the producer learns of it: it begins again with a new epoch.
            Err(AppendError::OutOfOrderSequence { .. }) if client.lost => {
                let epoch = ProducerEpoch::new(client.epoch.get() + 1);
                let model = self.models.get_mut(&partition).expect("known");
                model.clients[number] = Client { epoch, ..Client::default() };
                self.append_of(number, partition, value_bytes)
            }
            Err(AppendError::Backpressure) => false,
            Err(AppendError::Storage(StorageError::Fenced(_))) if self.faulty => false,
            Err(AppendError::Storage(StorageError::NoSpace)) => {
                let may_be_refused = origin != AppendOrigin::Controller || self.stores[shard].is_journal_full();
                assert!(may_be_refused, "the controller is refused, and the journal has room for it");
                self.refused_for_space += 1;
                false
            }
            Err(other) => panic!("an append is refused: {other}"),
        }
    }

    /// The process ends: operations under way are performed in part.
    pub(crate) fn crash(&mut self, power_too: bool) {
        for io in std::mem::take(&mut self.out).into_iter().flatten() {
            self.disk.perform_in_part(&io.op, &mut self.dice);
        }
        if power_too {
            self.disk.cut_power(&mut self.dice);
        }
        self.stores.clear();
        self.waiting.clear();
    }

    /// The process ends in an orderly way.
    pub(crate) fn shut_down(&mut self) {
        for shard in 0..self.stores.len() {
            self.stores[shard].shutdown();
            let closed = (0..100_000).any(|_| {
                self.step(shard);
                self.events.iter().any(|(other, event)| *other == shard && matches!(event, StoreEvent::Closed))
            });
            assert!(closed, "a shutdown ends: {:?}", self.stores[shard]);
        }
        assert!(self.waiting.is_empty(), "a shutdown commits everything, or a fence tells that it does not");
        self.events.clear();
        self.stores.clear();
        self.out.clear();
    }
}

/// One world: some lives, each with some work, each ended in one way or another.
fn live(seed: u64, shape: Shape) {
    let mut world = World::new(seed, shape);
    let lives = 2 + world.dice.below(4);
    for _ in 0..lives {
        let shards = 1 + u16::try_from(world.dice.below(3)).expect("small");
        world.start(shards);
        for _ in 0..world.dice.below(400) {
            work(&mut world, shards);
        }
        match world.dice.below(5) {
            0 => world.shut_down(),
            1 => world.crash(false),
            2 => {
                world.settle(200);
                world.crash(true);
            }
            _ => world.crash(true),
        }
    }
    world.start(1);
}

fn work(world: &mut World, shards: u16) {
    let partition = u32::try_from(world.dice.below(u64::from(world.shape.partitions))).expect("small");
    work_on(world, shards, partition);
}

fn work_on(world: &mut World, shards: u16, partition: u32) {
    match world.dice.below(20) {
        0..=5 => {
            let bytes = match world.dice.below(12) {
                0 => 9000 + world.dice.index(20_000),
                1..=4 => 1000 + world.dice.index(4000),
                _ => 1 + world.dice.index(300),
            };
            world.append_of_any(partition, bytes);
        }
        6 => {
            let (shard, id) = world.ids[&partition];
            let offsets = world.stores[shard].partition(id).expect("open");
            let span = u64::try_from(offsets.high_watermark.since(offsets.log_start)).unwrap_or(0);
            let ahead = i64::try_from(world.dice.below(span.max(1))).expect("small");
            let at = offsets.log_start.checked_add(ahead).expect("small");
            let limits = ReadLimits {
                bytes_max: world.dice.index(9000),
                min_one_batch: MinOneBatch::Yes,
                up_to: ReadUpTo::HighWatermark,
            };
            let read = world.read(shard, id, at, limits).expect("what is committed can be read");
            assert!(read.next_offset <= world.stores[shard].partition(id).expect("open").high_watermark);
            world.compare_read(partition, at, &read);
        }
        7 if world.dice.one_in(5) => {
            let (shard, id) = world.ids[&partition];
            world.stores[shard].maintain([id], Millis::new(1_000_000));
        }
        _ => {
            let shard = world.dice.index(usize::from(shards));
            world.step(shard);
        }
    }
}

#[test]
fn what_is_there_is_in_order_without_waiting_for_the_disk() {
    for durability in [Durability::Interval, Durability::None] {
        seeds(300_000, 100, |_| Shape { durability, ..Shape::default() });
    }
}

#[test]
fn one_seed() {
    let Some(seed) = std::env::var("RINGLOG_SEED").ok().and_then(|text| text.parse::<u64>().ok()) else { return };
    live(
        seed,
        Shape {
            partitions: 1 + u32::try_from(seed % 5).expect("small"),
            segment_bytes: if seed.is_multiple_of(2) { 64 << 10 } else { 1 << 20 },
            ..Shape::default()
        },
    );
}

fn seeds(from: u64, count: u64, shape: impl Fn(u64) -> Shape + RefUnwindSafe) {
    for_seeds(from, count, |seed| live(seed, shape(seed)));
}

fn for_seeds(from: u64, count: u64, live: impl Fn(u64) + RefUnwindSafe) {
    let count = std::env::var("RINGLOG_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(count);
    for seed in from..from + count {
        let outcome = std::panic::catch_unwind(|| live(seed));
        if let Err(panic) = outcome {
            eprintln!("failed with seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
    println!("{count} seeds from {from} on");
}

#[test]
fn what_is_committed_survives_everything() {
    seeds(1, 300, |seed| Shape {
        partitions: 1 + u32::try_from(seed % 5).expect("small"),
        segment_bytes: if seed.is_multiple_of(2) { 64 << 10 } else { 1 << 20 },
        ..Shape::default()
    });
}

#[test]
fn what_is_committed_survives_with_the_journal_alone() {
    seeds(100_000, 150, |_| Shape { direct_bytes_min: 1 << 30, ..Shape::default() });
}

#[test]
fn what_is_committed_survives_without_the_journal() {
    seeds(200_000, 150, |_| Shape { direct_bytes_min: 1, ..Shape::default() });
}
