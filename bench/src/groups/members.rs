//! A large group: how long it takes to be stable, and what it costs while it is.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::TopicPartitions;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ringlog_reactor::{Instant, Reactor};

use super::{
    CONSUMER_HEARTBEAT_VERSION, HEARTBEAT_VERSION, JOIN_VERSION, Protocol, REBALANCE_TIMEOUT_MS, SYNC_VERSION, ask,
    consumer_heartbeat, set_up,
};
use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::{Connection, Receive};
use crate::descriptors;
use crate::load::{self, Load, Measured};
use crate::report::{Target, figure};

const GROUP: &str = "large";
const MEMBERS: usize = 1000;
const PARTITIONS: i32 = 1000;
const SESSION_TIMEOUT_MS: i32 = 45_000;
/// How often classic members send heartbeats: Kafka's `heartbeat.interval.ms`.
const CLASSIC_HEARTBEAT: Duration = Duration::from_secs(3);
/// What members of the consumer protocol are told by default.
const CONSUMER_HEARTBEAT: Duration = Duration::from_secs(5);
const STEADY_CORES_MAX: f64 = 0.05;
/// A group that is not stable by then is not going to be.
const STABLE_MAX: Duration = Duration::from_mins(2);

/// What all members of a run share.
#[derive(Debug, Default)]
struct Shared {
    /// The generation, or epoch, in which each member has its partitions, and how many.
    placed: RefCell<BTreeMap<usize, (i32, usize)>>,
    last_joined: Cell<Option<Instant>>,
}

impl Shared {
    fn place(&self, member: usize, generation: i32, partitions: usize) {
        self.placed.borrow_mut().insert(member, (generation, partitions));
    }

    fn is_stable(&self) -> bool {
        let placed = self.placed.borrow();
        let partitions: usize = placed.values().map(|(_, partitions)| partitions).sum();
        let newest = placed.values().map(|(generation, _)| *generation).max();
        let is_complete = placed.len() == MEMBERS && i32::try_from(partitions) == Ok(PARTITIONS);
        is_complete && placed.values().all(|(generation, _)| Some(*generation) == newest)
    }
}

struct Run {
    stable_seconds: f64,
    steady: Measured,
}

pub(crate) fn run(setup: &Setup, protocol: Protocol) -> anyhow::Result<()> {
    descriptors::make_room(MEMBERS)?;
    println!("groups: {MEMBERS} members, {PARTITIONS} partitions, {protocol:?}");
    let mut runs = Vec::new();
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(setup, Cores::One)?;
        let measured = setup.measured();
        runs.push(load::run(&mut broker, setup, move |load| drive(load, protocol, measured))?);
        broker.stop()?;
    }
    let interval = if protocol == Protocol::Classic { CLASSIC_HEARTBEAT } else { CONSUMER_HEARTBEAT };
    let stable: Vec<_> = runs.iter().map(|run| run.stable_seconds).collect();
    figure("last join to stable", "s", &stable, Target::AtMost(2.0 * interval.as_secs_f64()));
    let steady: Vec<_> = runs.iter().map(|run| run.steady.broker_cpu_seconds / run.steady.seconds).collect();
    figure("broker CPU while steady", "cores", &steady, Target::AtMost(STEADY_CORES_MAX));
    Ok(())
}

async fn drive(load: Load, protocol: Protocol, measured: Duration) -> anyhow::Result<Run> {
    set_up(&load, PARTITIONS).await?;
    let shared = Rc::<Shared>::default();
    for number in 0..MEMBERS {
        let connection = load.connect(Receive::Pooled).await?;
        let member = Member { number, connection, reactor: load.reactor.clone(), shared: Rc::clone(&shared) };
        load.spawn(async move {
            match protocol {
                Protocol::Classic => member.classic().await,
                Protocol::Consumer => member.consumer().await,
            }
        });
    }
    let begun = load.reactor.now();
    while !shared.is_stable() {
        load.reactor.sleep(Duration::from_millis(5)).await;
        load.counts.check()?;
        if load.reactor.now() - begun > STABLE_MAX {
            bail!("the group is not stable after {STABLE_MAX:?}");
        }
    }
    let last_joined = shared.last_joined.get().context("members have joined")?;
    let stable_seconds = (load.reactor.now() - last_joined).as_secs_f64();
    Ok(Run { stable_seconds, steady: load.measure(measured).await? })
}

struct Member {
    number: usize,
    connection: Connection,
    reactor: Reactor,
    shared: Rc<Shared>,
}

impl Member {
    async fn classic(mut self) -> anyhow::Result<()> {
        let mut id = String::new();
        loop {
            let request = JoinGroupRequest {
                group_id: GROUP.to_owned(),
                session_timeout_ms: SESSION_TIMEOUT_MS,
                rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
                member_id: id.clone(),
                protocol_type: "consumer".to_owned(),
                protocols: vec![JoinGroupRequestProtocol { name: "range".to_owned(), metadata: vec![0; 64] }],
                ..JoinGroupRequest::default()
            };
            if self.shared.placed.borrow().is_empty() {
                self.shared.last_joined.set(Some(self.reactor.now()));
            }
            let joined = ask(&mut self.connection, &request, JOIN_VERSION).await?;
            id = joined.member_id;
            match ErrorCode::from_wire(joined.error_code) {
                ErrorCode::None => {}
                ErrorCode::MemberIdRequired | ErrorCode::RebalanceInProgress => continue,
                other => bail!("member {}: JoinGroup: {other}", self.number),
            }
            // One partition takes four bytes here.
            let share = |at: usize| -> Vec<u8> {
                (0..PARTITIONS).skip(at).step_by(joined.members.len()).flat_map(i32::to_be_bytes).collect()
            };
            let assignments = joined.members.iter().enumerate().map(|(at, member)| SyncGroupRequestAssignment {
                member_id: member.member_id.clone(),
                assignment: share(at),
            });
            let request = SyncGroupRequest {
                group_id: GROUP.to_owned(),
                generation_id: joined.generation_id,
                member_id: id.clone(),
                group_instance_id: None,
                protocol_type: Some("consumer".to_owned()),
                protocol_name: Some("range".to_owned()),
                assignments: assignments.collect(),
            };
            let synced = ask(&mut self.connection, &request, SYNC_VERSION).await?;
            match ErrorCode::from_wire(synced.error_code) {
                ErrorCode::None => self.shared.place(self.number, joined.generation_id, synced.assignment.len() / 4),
                ErrorCode::RebalanceInProgress => continue,
                other => bail!("member {}: SyncGroup: {other}", self.number),
            }
            self.classic_heartbeats(&id, joined.generation_id).await?;
        }
    }

    /// Lives until the group rebalances.
    async fn classic_heartbeats(&mut self, id: &str, generation_id: i32) -> anyhow::Result<()> {
        loop {
            self.reactor.sleep(CLASSIC_HEARTBEAT).await;
            let request = HeartbeatRequest {
                group_id: GROUP.to_owned(),
                generation_id,
                member_id: id.to_owned(),
                group_instance_id: None,
            };
            let answer = ask(&mut self.connection, &request, HEARTBEAT_VERSION).await?;
            match ErrorCode::from_wire(answer.error_code) {
                ErrorCode::None => {}
                ErrorCode::RebalanceInProgress => return Ok(()),
                other => bail!("member {}: Heartbeat: {other}", self.number),
            }
        }
    }

    async fn consumer(mut self) -> anyhow::Result<()> {
        let member_id = format!("member-{}", self.number);
        let (mut epoch, mut owned) = (0, Vec::<TopicPartitions>::new());
        self.shared.last_joined.set(Some(self.reactor.now()));
        let mut says_what_it_has = true;
        loop {
            let owned_now = says_what_it_has.then_some(owned.as_slice());
            let request = consumer_heartbeat(GROUP, &member_id, epoch, owned_now);
            let answer = ask(&mut self.connection, &request, CONSUMER_HEARTBEAT_VERSION).await?;
            match ErrorCode::from_wire(answer.error_code) {
                ErrorCode::None => {}
                other => bail!("member {}: {other}", self.number),
            }
            epoch = answer.member_epoch;
            says_what_it_has = answer.assignment.is_some();
            if let Some(assignment) = answer.assignment {
                owned = assignment.topic_partitions;
            }
            self.shared.place(self.number, epoch, owned.iter().map(|topic| topic.partitions.len()).sum());
            // As Kafka's consumer does, it tells at once what it has given back or taken.
            if !says_what_it_has {
                let interval = u64::try_from(answer.heartbeat_interval_ms).context("an interval")?;
                self.reactor.sleep(Duration::from_millis(interval)).await;
            }
        }
    }
}
