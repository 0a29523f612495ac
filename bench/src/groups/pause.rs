//! How long readers of a group get nothing when another member joins: partitions that stay with their member should not be
//! paused by those that move, whether the members decide (KIP-429) or the coordinator does (KIP-848).

mod cooperative;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_net::messages::consumer_group_heartbeat::TopicPartitions;
use ringlog_reactor::{Instant, Reactor};
use ringlog_storage::batch::{BatchBuilder, Record};
use ringlog_storage::types::{Millis, Uuid};

use super::{CONSUMER_HEARTBEAT_VERSION, Protocol, ask, consumer_heartbeat, set_up};
use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::{Connection, Receive};
use crate::load::{self, Load};
use crate::report::{Target, figure};
use crate::requests::{self, Acks, FetchLimits, TopicIdPartition};

const GROUP: &str = "paused";
const PARTITIONS: i32 = 12;
const MEMBERS: usize = 2;
/// A record for each partition comes so often.
const PRODUCE_INTERVAL: Duration = Duration::from_millis(5);
/// So often the members say that they live.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(500);
const FETCH_LIMITS: FetchLimits = FetchLimits { bytes_max: 1 << 20, wait_ms: 20 };
/// Nobody joins for so long: what readers wait at most is the measure of the rest.
const QUIET: Duration = Duration::from_secs(3);
/// A group that has not settled by then is not going to.
const SETTLE_MAX: Duration = Duration::from_mins(1);

/// One partition, as its readers see it together.
#[derive(Clone, Copy, Debug, Default)]
struct Reading {
    /// The member that has it.
    owner: Option<usize>,
    next_offset: i64,
    last_read: Option<Instant>,
    /// The longest time between two records.
    longest: Duration,
    /// Another member has got it.
    has_moved: bool,
}

#[derive(Debug, Default)]
struct Shared {
    partitions: RefCell<BTreeMap<i32, Reading>>,
    /// Counts whenever a member gets something else.
    changes: Cell<u64>,
}

impl Shared {
    fn owned(&self, member: usize) -> Vec<(i32, i64)> {
        let partitions = self.partitions.borrow();
        let own = partitions.iter().filter(|(_, reading)| reading.owner == Some(member));
        own.map(|(partition, reading)| (*partition, reading.next_offset)).collect()
    }

    /// A member has exactly these.
    fn assign(&self, member: usize, owned: &[i32]) {
        for (partition, reading) in &mut *self.partitions.borrow_mut() {
            if owned.contains(partition) {
                reading.has_moved |= reading.owner != Some(member);
                reading.owner = Some(member);
            } else if reading.owner == Some(member) {
                reading.owner = None;
            }
        }
        self.changes.set(self.changes.get() + 1);
    }

    fn is_shared_by(&self, members: usize) -> bool {
        let partitions = self.partitions.borrow();
        let each = usize::try_from(PARTITIONS).unwrap_or(0) / members;
        let has_its_share =
            |member| partitions.values().filter(|reading| reading.owner == Some(member)).count() == each;
        (0..members).all(has_its_share)
    }

    /// Begins to measure anew.
    fn reset(&self) {
        for reading in self.partitions.borrow_mut().values_mut() {
            (reading.longest, reading.has_moved) = (Duration::ZERO, false);
        }
    }

    /// The longest time without a record, of partitions that have moved, or of those that have not.
    fn longest(&self, has_moved: bool) -> f64 {
        let partitions = self.partitions.borrow();
        let those = partitions.values().filter(|reading| reading.has_moved == has_moved);
        1e3 * those.map(|reading| reading.longest).max().unwrap_or_default().as_secs_f64()
    }
}

/// Milliseconds.
struct Run {
    quiet: f64,
    staying: f64,
    moving: f64,
}

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let interval = format!("group.consumer.heartbeat.interval.ms={}", HEARTBEAT_INTERVAL.as_millis());
    let settings = [
        interval,
        "group.consumer.min.heartbeat.interval.ms=100".to_owned(),
        "group.initial.rebalance.delay.ms=0".to_owned(),
    ];
    let setup = Setup { set: [&setup.set[..], &settings].concat(), ..setup.clone() };
    println!(
        "groups: {MEMBERS} members read {PARTITIONS} partitions, a record each {PRODUCE_INTERVAL:?}, and a third joins"
    );
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        let mut runs = Vec::new();
        for _ in 0..setup.runs() {
            let mut broker = Broker::start(&setup, Cores::One)?;
            runs.push(load::run(&mut broker, &setup, move |load| drive(load, protocol))?);
            broker.stop()?;
        }
        let each = |of: fn(&Run) -> f64| runs.iter().map(of).collect::<Vec<_>>();
        println!("the longest time without a record, {protocol:?}");
        figure("while nobody joins", "ms", &each(|run| run.quiet), Target::None);
        figure("of partitions that stay", "ms", &each(|run| run.staying), Target::None);
        figure("of partitions that move", "ms", &each(|run| run.moving), Target::None);
    }
    Ok(())
}

async fn drive(load: Load, protocol: Protocol) -> anyhow::Result<Run> {
    let topic_id = set_up(&load, PARTITIONS).await?;
    let shared = Rc::<Shared>::default();
    shared.partitions.borrow_mut().extend((0..PARTITIONS).map(|partition| (partition, Reading::default())));
    spawn_writer(&load, topic_id).await?;
    for number in 0..MEMBERS {
        spawn_member(&load, topic_id, protocol, number, &shared).await?;
    }
    settle(&load, &shared, MEMBERS).await?;
    shared.reset();
    load.reactor.sleep(QUIET).await;
    let quiet = shared.longest(false);
    shared.reset();
    spawn_member(&load, topic_id, protocol, MEMBERS, &shared).await?;
    settle(&load, &shared, MEMBERS + 1).await?;
    Ok(Run { quiet, staying: shared.longest(false), moving: shared.longest(true) })
}

/// Waits until all members have the same number of partitions, and have read from them for a while.
async fn settle(load: &Load, shared: &Shared, members: usize) -> anyhow::Result<()> {
    let begun = load.reactor.now();
    let mut changes = u64::MAX;
    while !shared.is_shared_by(members) || shared.changes.get() != changes {
        changes = shared.changes.get();
        load.reactor.sleep(HEARTBEAT_INTERVAL * 3).await;
        load.counts.check()?;
        if load.reactor.now() - begun > SETTLE_MAX {
            bail!("the {members} members do not come to share the partitions");
        }
    }
    Ok(())
}

async fn spawn_writer(load: &Load, topic_id: Uuid) -> anyhow::Result<()> {
    let mut connection = load.connect(Receive::Pooled).await?;
    let mut batch = BatchBuilder::new();
    batch.push(&Record { timestamp: Millis::new(1), key: None, value: Some(&[7; 100]), headers: &[] });
    let batch = batch.build();
    let frames: Result<Vec<_>, _> =
        (0..PARTITIONS).map(|partition| requests::produce(topic_id, partition, Acks::Leader, &batch)).collect();
    let (frames, reactor) = (frames?, load.reactor.clone());
    load.spawn(async move {
        let mut next = reactor.now();
        loop {
            for frame in &frames {
                connection.send(frame.clone()).await?;
            }
            for _ in &frames {
                requests::check_produced(&connection.response().await?)?;
            }
            next = next + PRODUCE_INTERVAL;
            reactor.sleep_until(next).await;
        }
    });
    Ok(())
}

/// A member, and what it reads with.
async fn spawn_member(
    load: &Load,
    topic_id: Uuid,
    protocol: Protocol,
    number: usize,
    shared: &Rc<Shared>,
) -> anyhow::Result<()> {
    let connection = load.connect(Receive::Pooled).await?;
    let member = Member { number, connection, reactor: load.reactor.clone(), shared: Rc::clone(shared) };
    load.spawn(async move {
        match protocol {
            Protocol::Classic => cooperative::live(member).await,
            Protocol::Consumer => member.live().await,
        }
    });
    let mut connection = load.connect(Receive::Pooled).await?;
    let (reactor, shared) = (load.reactor.clone(), Rc::clone(shared));
    load.spawn(async move {
        loop {
            let offsets = shared.owned(number);
            if offsets.is_empty() {
                reactor.sleep(Duration::from_millis(1)).await;
                continue;
            }
            let offsets = offsets
                .iter()
                .map(|(partition, offset)| (TopicIdPartition { topic_id, partition: *partition }, *offset));
            let answer = connection.ask("a fetch", requests::fetch_all(offsets, FETCH_LIMITS)?).await?;
            let now = reactor.now();
            requests::read_fetched(&answer, |TopicIdPartition { partition, .. }, mut records| {
                let mut partitions = shared.partitions.borrow_mut();
                let reading = partitions.get_mut(&partition).context("a partition of the topic")?;
                // What comes for a partition that was given back meanwhile is another's to read.
                if reading.owner != Some(number) || records.is_empty() {
                    return Ok(());
                }
                while let Some((batch, behind)) = requests::next_batch(records)? {
                    reading.next_offset = batch.next_offset;
                    records = behind;
                }
                let waited = reading.last_read.replace(now).map_or(Duration::ZERO, |last| now - last);
                reading.longest = reading.longest.max(waited);
                Ok(())
            })?;
        }
    });
    Ok(())
}

struct Member {
    number: usize,
    connection: Connection,
    reactor: Reactor,
    shared: Rc<Shared>,
}

impl Member {
    async fn live(mut self) -> anyhow::Result<()> {
        let member_id = format!("member-{}", self.number);
        let (mut epoch, mut owned) = (0, Vec::<TopicPartitions>::new());
        loop {
            let request = consumer_heartbeat(GROUP, &member_id, epoch, Some(&owned));
            let answer = ask(&mut self.connection, &request, CONSUMER_HEARTBEAT_VERSION).await?;
            check(answer.error_code)?;
            epoch = answer.member_epoch;
            if let Some(assignment) = answer.assignment {
                owned = assignment.topic_partitions;
                let partitions: Vec<_> = owned.iter().flat_map(|topic| topic.partitions.iter().copied()).collect();
                self.shared.assign(self.number, &partitions);
                // It tells at once what it has given back or taken.
                continue;
            }
            self.reactor.sleep(Duration::from_millis(u64::try_from(answer.heartbeat_interval_ms)?)).await;
        }
    }
}

fn check(code: i16) -> anyhow::Result<()> {
    requests::check_error(code, || "ConsumerGroupHeartbeat".to_owned())
}
