//! Worlds in which partitions go from store to store while they are written to. Whenever the process ends, everything
//! committed is there once, whichever store had it.

use std::collections::BTreeMap;

use super::{Shape, World, for_seeds, key, work_on};
use crate::answer::StoreEvent;
use crate::directory::LogDir;
use crate::io::{IoOp, IoOutput};
use crate::store::{Handover, Release};
use crate::types::{Offset, TopicPartition};

impl World {
    /// Has a partition of one of two stores go to the other one, and answers what tells that it has gone. Events are forgotten.
    pub(crate) fn move_over(&mut self, partition: u32) -> Release {
        let (from, id) = self.ids[&partition];
        self.stores[from].release_partition(id);
        let left = (0..100).find_map(|_| {
            self.settle(1);
            self.events.drain(..).find_map(|(_, event)| match event {
                StoreEvent::Released { handover, .. } => handover,
                _ => None,
            })
        });
        let (handover, to) = (left.expect("nothing holds it"), 1 - from);
        let release = handover.release();
        self.stores[to].adopt_partition(handover);
        let name = TopicPartition::new(format!("topic{partition}"), key(partition).partition);
        let config = self.log_config();
        let id = self.stores[to].create_partition(name, key(partition).topic_id, config, LogDir::HOME);
        self.ids.insert(partition, (to, id.expect("there is room")));
        release
    }
}

/// Partitions between two stores.
#[derive(Default)]
struct Moves {
    /// On their way out, and where to.
    leaving: BTreeMap<u32, usize>,
    /// Let go of.
    between: Vec<(u32, usize, Box<Handover>)>,
    /// Taken over, and by whom they may be forgotten when a checkpoint has them.
    taken: BTreeMap<u32, (usize, Release)>,
    /// What shards were not told yet that they may forget: a message may take longer than what comes behind it on other ways.
    late: Vec<(usize, Release)>,
    done: u64,
}

/// Up to where records were deleted, as far as that was told to survive.
type Deleted = BTreeMap<u32, Offset>;

fn delete_records(world: &mut World, partition: u32) {
    let (shard, id) = world.ids[&partition];
    let offsets = world.stores[shard].partition(id).expect("open");
    let span = u64::try_from(offsets.high_watermark.since(offsets.log_start)).expect("it is not before");
    let ahead = i64::try_from(world.dice.below(span + 1)).expect("small");
    let before = offsets.log_start.checked_add(ahead).expect("small");
    world.stores[shard].delete_records(id, before).expect("the log has it");
    let model = world.models.entry(partition).or_default();
    // Recovery does not read what is deleted, so a producer that wrote nothing since may be unknown then.
    model.log.iter_mut().filter(|stored| stored.last < before).for_each(|stored| stored.may_be_forgotten = true);
}

impl Moves {
    fn is_open(&self, partition: u32) -> bool {
        !self.leaving.contains_key(&partition) && self.between.iter().all(|(of, ..)| *of != partition)
    }

    fn begin(&mut self, world: &mut World, partition: u32) {
        let (from, id) = world.ids[&partition];
        let to = world.dice.index(world.stores.len());
        if to != from && self.is_open(partition) {
            if world.dice.one_in(2) {
                world.stores[from].prepare_release(id);
            }
            world.stores[from].release_partition(id);
            self.leaving.insert(partition, to);
        }
    }

    fn take_events(&mut self, world: &mut World, deleted: &mut Deleted) {
        for (shard, event) in std::mem::take(&mut world.events) {
            match event {
                StoreEvent::Released { partition, handover } => {
                    let number = world.ids.iter().find(|(_, place)| **place == (shard, partition)).map(|(of, _)| *of);
                    let number = number.expect("it was open");
                    let to = self.leaving.remove(&number).expect("it was to leave");
                    let handover = handover.expect("the disk does not fail");
                    assert_eq!(handover.key(), key(number));
                    let release = handover.release();
                    world.ids.remove(&number);
                    self.between.push((number, to, handover));
                    self.taken.insert(number, (shard, release));
                }
                StoreEvent::Adopted { key: told } => {
                    let number = u32::try_from(told.partition.get()).expect("small");
                    let (from, release) = self.taken.remove(&number).expect("it was taken over");
                    if world.dice.one_in(4) {
                        self.late.push((from, release));
                    } else {
                        world.stores[from].forget_released(release);
                    }
                    self.done += 1;
                }
                StoreEvent::RecordsDeleted { partition, log_start } => {
                    let number = world.ids.iter().find(|(_, place)| **place == (shard, partition)).map(|(of, _)| *of);
                    let start = deleted.entry(number.expect("it is open")).or_insert(Offset::ZERO);
                    *start = (*start).max(log_start);
                }
                _ => {}
            }
        }
    }

    fn take_over(&mut self, world: &mut World) {
        let Some((number, to, handover)) = self.between.pop() else { return };
        world.stores[to].adopt_partition(handover);
        let name = TopicPartition::new(format!("topic{number}"), key(number).partition);
        let config = world.log_config();
        let id =
            world.stores[to].create_partition(name, key(number).topic_id, config, LogDir::HOME).expect("there is room");
        world.ids.insert(number, (to, id));
        let offsets = world.stores[to].partition(id).expect("it was just opened");
        let end = world.models[&number].log.last().map_or(Offset::ZERO, |stored| stored.last.next());
        assert_eq!((offsets.high_watermark, offsets.log_end), (end, end), "it goes on where it ended");
    }
}

fn work(world: &mut World, moves: &mut Moves, deleted: &mut Deleted, shards: u16) {
    if world.dice.one_in(40)
        && let Some((from, release)) = moves.late.pop()
    {
        world.stores[from].forget_released(release);
    }
    let partition = u32::try_from(world.dice.below(u64::from(world.shape.partitions))).expect("small");
    match world.dice.below(30) {
        0 if moves.is_open(partition) => moves.begin(world, partition),
        1..=4 => moves.take_over(world),
        5 if moves.is_open(partition) && world.dice.one_in(3) => delete_records(world, partition),
        _ if moves.is_open(partition) => work_on(world, shards, partition),
        _ => {
            let shard = world.dice.index(usize::from(shards));
            world.step(shard);
        }
    }
    moves.take_events(world, deleted);
}

fn live(seed: u64, shape: Shape) -> u64 {
    let mut world = World::new(seed, shape);
    let (mut done, mut deleted) = (0, Deleted::default());
    for _ in 0..2 + world.dice.below(4) {
        let shards = 2 + u16::try_from(world.dice.below(2)).expect("small");
        world.start(shards);
        check_deleted(&world, &deleted);
        world.events.clear();
        let mut moves = Moves::default();
        for _ in 0..world.dice.below(1200) {
            work(&mut world, &mut moves, &mut deleted, shards);
        }
        done += moves.done;
        match world.dice.below(5) {
            0 => {
                while !moves.between.is_empty() {
                    moves.take_over(&mut world);
                }
                world.shut_down();
            }
            1 => world.crash(false),
            _ => world.crash(true),
        }
    }
    world.start(1);
    check_deleted(&world, &deleted);
    done
}

fn check_deleted(world: &World, deleted: &Deleted) {
    for (partition, log_start) in deleted {
        let (shard, id) = world.ids[partition];
        let offsets = world.stores[shard].partition(id).expect("open");
        assert!(offsets.log_start >= *log_start, "partition {partition}: deleted records are back");
    }
}

#[test]
fn what_is_committed_survives_while_partitions_move() {
    for_seeds(700_000, 300, |seed| {
        let segment_bytes = if seed.is_multiple_of(2) { 64 << 10 } else { 1 << 20 };
        live(
            seed,
            Shape { partitions: 1 + u32::try_from(seed % 4).expect("small"), segment_bytes, ..Shape::default() },
        );
    });
}

#[test]
fn partitions_do_move_in_these_worlds() {
    let done: u64 = (700_000..700_020).map(|seed| live(seed, Shape::default())).sum();
    assert!(done > 100, "{done} moves ended");
}

/// So that requests for it wait for a short time.
#[test]
fn a_partition_that_was_prepared_leaves_without_the_disk() {
    let mut world = World::new(2, Shape { partitions: 1, ..Shape::default() });
    world.start(2);
    let (from, id) = world.ids[&0];
    assert!(world.append(0, 100));
    world.settle(20);
    world.stores[from].prepare_release(id);
    let is_prepared = (0..300).any(|_| {
        world.settle(1);
        world.events.iter().any(|(_, event)| matches!(event, StoreEvent::Prepared { .. }))
    });
    assert!(is_prepared, "it comes to that");
    world.stores[from].release_partition(id);
    while let Some(io) = world.stores[from].poll_io(world.now) {
        assert!(matches!(io.op, IoOp::Close { .. }), "{:?}", io.op);
        world.stores[from].io_done(io.id, Ok(IoOutput::Done), world.now);
    }
    world.take_events(from);
    let has_left = |(_, event): &(usize, StoreEvent)| matches!(event, StoreEvent::Released { handover: Some(_), .. });
    assert!(world.events.iter().any(has_left));
}

/// A partition that was deleted by the store that took it over is gone, although the journal of the other tells of it: its
/// folder may be that of another one by then.
#[test]
fn what_is_deleted_after_it_has_moved_stays_deleted() {
    let mut world = World::new(1, Shape { partitions: 3, ..Shape::default() });
    world.start(2);
    world.events.clear();
    let (mut moves, mut deleted) = (Moves::default(), Deleted::default());
    let from = world.ids[&0].0;
    assert_eq!(world.ids[&2].0, from);
    assert!(world.append(0, 100) && world.append(2, 100));
    world.settle(100);
    // The second move has the store that took the first write another checkpoint.
    for partition in [0, 2] {
        world.stores[from].release_partition(world.ids[&partition].1);
        moves.leaving.insert(partition, 1 - from);
        for _ in 0..100 {
            world.settle(1);
            moves.take_events(&mut world, &mut deleted);
            moves.take_over(&mut world);
        }
        if partition == 0 {
            let (shard, id) = world.ids.remove(&0).expect("it has moved");
            assert_eq!(shard, 1 - from);
            world.stores[shard].remove_partition(id);
            world.settle(100);
            world.events.clear();
        }
    }
    assert_eq!(moves.done, 2);
    world.crash(false);
    let recovered = world.recover(None).expect("nothing interrupts it");
    assert!(recovered.partitions().all(|(found, _)| found != key(0)), "it was deleted");
}
