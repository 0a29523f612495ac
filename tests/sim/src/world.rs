//! One run: a broker, its clients, and what happens to it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_broker::{BrokerEnd, Logging, ShardMessage, Start, StartError, run_shard};
use ringlog_cluster::config::{BrokerConfig, ConfigLayers, Sources, StaticConfig};
use ringlog_reactor::sim::{
    Client as SimClient, DiskControl, DiskEffect, DiskFault, DiskOperation, Errno, Node, Random, Sim, Trigger,
};
use ringlog_reactor::{Mesh, Reactor, Signal};
use ringlog_storage::RecoveryError;
use ringlog_storage::io::IoErrorKind;
use ringlog_storage::types::Millis;

use crate::Outcome;
use crate::clients::admin::Admin;
use crate::clients::auditor::Auditor;
use crate::clients::member::{Member, SESSION_TIMEOUT};
use crate::clients::mover::{LOG_DIRS, Mover};
use crate::clients::producer::Producer;
use crate::clients::reader::Reader;
use crate::clients::resizer::Resizer;
use crate::clients::{Client, Shared};
use crate::ledger::{Kind, Ledger};
use crate::plan::{Plan, Trouble, shards};

/// Where the broker listens.
const PORT: u16 = 9092;
/// Virtual time that clients may take to come to an end when nothing is wrong any more.
const WIND_DOWN_TIME_MAX: Duration = Duration::from_mins(3);
/// Virtual time that a stop may take.
const STOP_TIME_MAX: Duration = Duration::from_mins(1);
/// Files in folders that are not the broker's, with names that are almost those of what it removes.
const STRANGERS: [&str; 3] = [
    "topic-0.0123456789ABCDEF0123456789ABCDEF-delete/00000000000000000000.log",
    "0123456789abcdef0123456789abcdef-delete/kept",
    "notes/00000000000000000000.log.deleted",
];
/// Names that one administrator creates and deletes.
const NAMES_PER_ADMIN: u64 = 3;

type Ends = Rc<RefCell<Vec<Result<BrokerEnd, StartError>>>>;

/// A run under way.
pub(crate) struct World {
    sim: Sim,
    random: Random,
    /// For what came later, so that the rest is as it was for the same seed.
    apart: Random,
    plan: Plan,
    shared: Rc<Shared>,
    node: Node,
    start: Start,
    /// How the shards of the present process have ended.
    ends: Ends,
    clients: Vec<SimClient<()>>,
    /// Faults of the disk since the last start may have closed parts of the broker, or end it.
    disk_failed: bool,
    /// The disk has been full since the last start: the broker may not have noticed yet that it is not any more.
    disk_was_full: bool,
    starts: u64,
}

impl World {
    /// Starts the broker and makes the topics that stay.
    pub(crate) fn new(seed: u64, traces: bool) -> Self {
        let mut random = Random::new(seed ^ 0x5157_5349_4d31);
        let mut apart = Random::new(seed ^ 0x5245_5349_5a45);
        let mut plan = Plan::new(&mut random);
        plan.add_moves(&mut Random::new(seed ^ 0x4d4f_5645));
        plan.add_resizes(&mut apart);
        if traces {
            eprintln!("{plan:#?}");
        }
        let mut sim = Sim::new(seed, plan.options.clone());
        let start = start(&plan);
        let ends = Ends::default();
        let node = sim.start_node("broker", plan.shards, main(&start, &ends));
        plant(&sim.disk(node), &plan);
        let clock = sim.block_on("clock", |reactor| async move { reactor.wall_clock_ms() });
        let shared = Rc::new(Shared {
            ledger: RefCell::new(Ledger::new(Millis::new(clock))),
            address: sim.address(node, PORT),
            winds_down: Cell::new(false),
            is_calm: plan.is_calm(),
            traces,
        });
        shared.ledger.borrow_mut().partitions_leave = plan.resizes > 0;
        let mut world = Self {
            sim,
            random,
            apart,
            plan,
            shared,
            node,
            start,
            ends,
            clients: Vec::new(),
            disk_failed: false,
            disk_was_full: false,
            starts: 1,
        };
        let kinds: Vec<_> = Kind::ALL.into_iter().filter(|_| world.random.chance(500)).collect();
        let names = if kinds.is_empty() { &[Kind::Durable][..] } else { &kinds }.iter().map(|kind| kind.lasting_name());
        let names = names.collect();
        world.spawn("setup", move |client| async move { Admin::new(client, names, 0).set_up().await });
        world.finish_clients();
        world
    }

    /// Lets everything happen that the seed wants.
    pub(crate) fn run(mut self) -> Outcome {
        self.spawn_clients();
        for trouble in self.plan.troubles.clone() {
            self.run_for_ms(200);
            self.trouble(trouble);
            self.restart_if_ended();
        }
        self.run_for_ms(200);
        self.heal();
        self.shared.winds_down.set(true);
        self.finish_clients();
        self.audit();
        // Whatever was seen is still there after one more of these.
        match self.random.below(3) {
            0 => self.crash(Trouble::PowerCut),
            1 => self.crash(Trouble::Kill),
            _ => self.stop(),
        }
        self.audit();
        self.outcome()
    }

    fn outcome(&self) -> Outcome {
        let disk = self.sim.disk(self.node);
        for path in strangers(&self.plan) {
            assert!(disk.read_file(&path).is_ok_and(|bytes| bytes == path.as_bytes()), "{path} is not the broker's");
        }
        let counts = self.shared.ledger.borrow().counts;
        let virtual_time = Duration::from_nanos(self.sim.now().as_nanos());
        Outcome { trace_hash: self.sim.trace_hash(), virtual_time, counts, starts: self.starts }
    }

    fn note(&self, what: &str) {
        if self.shared.traces {
            eprintln!("{} ---- {what}", self.sim.now());
        }
    }

    fn spawn<F>(&mut self, name: &str, main: impl FnOnce(Client) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let seed = self.random.next_u64();
        self.spawn_with(seed, name, main);
    }

    fn spawn_with<F>(&mut self, seed: u64, name: &str, main: impl FnOnce(Client) -> F)
    where
        F: Future<Output = ()> + 'static,
    {
        let (number, shared) = (self.clients.len(), Rc::clone(&self.shared));
        let client = self.sim.spawn_client(name, |reactor| main(Client::new(number, reactor, &shared, seed)));
        self.clients.push(client);
    }

    fn spawn_clients(&mut self) {
        for manner in self.plan.producers.clone() {
            self.spawn("producer", |client| Producer::new(client, manner).run());
        }
        for fetches in self.plan.readers.clone() {
            self.spawn("reader", |client| Reader::new(client, fetches).run());
        }
        for member in self.plan.members.clone() {
            self.spawn("member", |client| Member::new(client, member).run());
        }
        for (admin, changes) in (0..).zip(self.plan.admins.clone()) {
            let name = |index| Kind::ALL[self.random.index(Kind::ALL.len())].name(1 + admin * NAMES_PER_ADMIN + index);
            let names = (0..NAMES_PER_ADMIN).map(name).collect();
            self.spawn("admin", |client| Admin::new(client, names, changes).run());
        }
        if self.plan.resizes > 0 {
            let (seed, resizes) = (self.apart.next_u64(), self.plan.resizes);
            self.spawn_with(seed, "resizer", |client| Resizer::new(client, resizes).run());
        }
    }

    /// Runs until every client has ended.
    fn finish_clients(&mut self) {
        let limit = self.sim.now() + WIND_DOWN_TIME_MAX;
        let clients = &self.clients;
        self.sim.run_until(|sim| sim.now() > limit || clients.iter().all(SimClient::is_finished));
        assert!(self.sim.is_running(self.node), "the broker has ended by itself: {:?}", self.ends.borrow());
        for (number, client) in clients.iter().enumerate() {
            assert!(client.is_finished(), "client {number} does not come to its end");
        }
    }

    fn audit(&mut self) {
        self.note("audit");
        self.spawn("auditor", |client| Auditor::new(client).run());
        self.finish_clients();
    }

    fn run_for_ms(&mut self, ms_max: u64) {
        let micros = self.random.below(ms_max * 1000);
        self.sim.run_for(Duration::from_micros(micros));
    }

    fn trouble(&mut self, trouble: Trouble) {
        self.note(&format!("{trouble:?}"));
        match trouble {
            Trouble::PowerCut | Trouble::Kill => self.crash(trouble),
            Trouble::Stop => self.stop(),
            Trouble::DiskError => self.disk_error(),
            Trouble::NoSpace => self.no_space(),
            Trouble::SlowDisk => self.slow_disk(),
            Trouble::Network => self.network(),
            Trouble::Moves => self.spawn("mover", |client| Mover::new(client).run()),
        }
    }

    /// Ends the process without asking it, sometimes again while it starts.
    fn crash(&mut self, trouble: Trouble) {
        loop {
            self.shared.ledger.borrow_mut().crashed();
            if trouble == Trouble::PowerCut {
                self.sim.power_cut(self.node)
            } else {
                self.sim.kill(self.node)
            }
            self.run_for_ms(100);
            self.restart();
            if !self.random.chance(250) {
                return;
            }
            self.note("and once more, while it starts");
            self.run_for_ms(10);
        }
    }

    /// Asks the process to end, and waits until it has.
    fn stop(&mut self) {
        self.shared.ledger.borrow_mut().storage_may_fail = true;
        self.sim.signal(self.node, Signal::Terminate);
        let (limit, node) = (self.sim.now() + STOP_TIME_MAX, self.node);
        self.sim.run_until(|sim| sim.now() > limit || !sim.is_running(node));
        assert!(!self.sim.is_running(node), "the broker does not stop");
        self.note(&format!("ended: {:?}", self.ends.borrow()));
        let is_clean = self.ends.borrow().iter().all(|end| matches!(end, Ok(BrokerEnd::Clean)));
        assert!(is_clean || self.disk_failed || self.disk_was_full, "an unclean end: {:?}", self.ends.borrow());
        if !is_clean || self.disk_failed {
            self.shared.ledger.borrow_mut().crashed();
        }
        self.run_for_ms(50);
        self.restart();
    }

    fn restart(&mut self) {
        if self.random.chance(300) {
            self.plan.shards = shards(&mut self.random);
            self.shared.ledger.borrow_mut().partitions_leave = true;
        }
        self.note(&format!("start with {} shards", self.plan.shards));
        self.starts += 1;
        self.disk_was_full = false;
        self.ends = Ends::default();
        self.sim.restart(self.node, self.plan.shards, main(&self.start, &self.ends));
    }

    /// A broker that could not start, or go on, on a faulty disk is started again on a good one; so is one that could not
    /// start on a full disk.
    fn restart_if_ended(&mut self) {
        if self.sim.is_running(self.node) {
            return;
        }
        self.note(&format!("it has ended: {:?}", self.ends.borrow()));
        let found_no_space =
            self.disk_was_full && self.ends.borrow().iter().any(|end| end.as_ref().is_err_and(wants_space));
        assert!(self.disk_failed || found_no_space, "the broker has ended by itself: {:?}", self.ends.borrow());
        self.repair_disk();
        self.shared.ledger.borrow_mut().crashed();
        self.restart();
    }

    fn disk_error(&mut self) {
        self.shared.ledger.borrow_mut().storage_may_fail = true;
        self.disk_failed = true;
        let operation = [DiskOperation::Write, DiskOperation::Sync, DiskOperation::Any][self.random.index(3)];
        let path_contains = ["", "journal", ".log", "checkpoint"][self.random.index(4)].to_owned();
        let trigger = if self.random.chance(700) {
            Trigger::Nth(self.random.between(1, 20))
        } else {
            Trigger::PerMille(u32::try_from(self.random.between(1, 300)).expect("small"))
        };
        let is_short = operation == DiskOperation::Write && self.random.chance(300);
        let effect = if is_short { DiskEffect::Short } else { DiskEffect::Error(Errno::IO) };
        let fault = DiskFault { operation, path_contains, trigger, effect };
        self.note(&format!("{fault:?}"));
        self.sim.disk(self.node).fault(fault);
        self.run_for_ms(500);
    }

    fn no_space(&mut self) {
        self.shared.ledger.borrow_mut().storage_may_fail = true;
        let disk = self.sim.disk(self.node);
        let capacity = self.plan.options.disk.capacity_bytes;
        self.disk_was_full = true;
        disk.set_free_bytes(self.random.below(300_000));
        self.run_for_ms(3000);
        if self.random.chance(300) {
            // It must be able to end, and to start, without space.
            self.disk_failed = true;
            let how = [Trouble::PowerCut, Trouble::Kill, Trouble::Stop][self.random.index(3)];
            self.note(&format!("{how:?}, without space"));
            if how == Trouble::Stop {
                self.stop()
            } else {
                self.crash(how)
            }
            self.run_for_ms(300);
        }
        self.sim.disk(self.node).set_capacity_bytes(capacity);
        self.disk_was_full = true;
    }

    fn slow_disk(&mut self) {
        let delay = Duration::from_micros(self.random.between(100, 300_000));
        let trigger = [Trigger::Always, Trigger::PerMille(200)][self.random.index(2)];
        let operation = [DiskOperation::Any, DiskOperation::Write, DiskOperation::Read][self.random.index(3)];
        let fault = DiskFault { operation, path_contains: String::new(), trigger, effect: DiskEffect::Delay(delay) };
        self.note(&format!("{fault:?}"));
        self.sim.disk(self.node).fault(fault);
        self.run_for_ms(1000);
    }

    fn network(&mut self) {
        let (network, node) = (self.sim.network(), self.node);
        let victims: Vec<_> = self.clients.iter().map(SimClient::node).filter(|_| self.random.chance(600)).collect();
        match self.random.below(4) {
            0 => victims.iter().for_each(|victim| _ = network.cut(node, *victim)),
            1 => victims.iter().for_each(|victim| _ = network.vanish(node, *victim)),
            2 => {
                network.partition(&[node], &victims);
                self.run_for_ms(5000);
                network.heal_all();
            }
            _ => {
                let delay = Duration::from_micros(self.random.below(200_000));
                for victim in victims {
                    let (from, to) = if self.random.chance(500) { (node, victim) } else { (victim, node) };
                    network.set_delay(from, to, delay);
                }
            }
        }
    }

    fn repair_disk(&mut self) {
        let disk = self.sim.disk(self.node);
        disk.clear_faults();
        disk.set_capacity_bytes(self.plan.options.disk.capacity_bytes);
        self.disk_failed = false;
    }

    /// Nothing is wrong any more. What failed writes have closed, a restart opens.
    fn heal(&mut self) {
        self.note("heal");
        let (network, node) = (self.sim.network(), self.node);
        network.heal_all();
        for client in &self.clients {
            network.set_delay(node, client.node(), Duration::ZERO);
            network.set_delay(client.node(), node, Duration::ZERO);
        }
        self.restart_if_ended();
        let failed = self.disk_failed;
        self.repair_disk();
        if failed {
            self.disk_failed = true;
            let how = [Trouble::PowerCut, Trouble::Kill, Trouble::Stop][self.random.index(3)];
            if how == Trouble::Stop {
                self.stop()
            } else {
                self.crash(how)
            }
            self.disk_failed = false;
        }
    }
}

fn strangers(plan: &Plan) -> impl Iterator<Item = String> {
    LOG_DIRS[..plan.dirs].iter().flat_map(|dir| STRANGERS.map(|path| format!("{dir}/{path}")))
}

/// Puts them on the disk, as if somebody had before the first start.
fn plant(disk: &DiskControl, plan: &Plan) {
    for path in strangers(plan) {
        for (at, _) in path.match_indices('/').skip(1) {
            // Another one may lie in it too.
            let _ = disk.create_dir(&path[..at]);
        }
        disk.write_file(&path, path.as_bytes()).expect("its folder is there");
    }
}

fn start(plan: &Plan) -> Start {
    let set = [
        format!("listeners=PLAINTEXT://:{PORT}"),
        format!("advertised.listeners=PLAINTEXT://broker:{PORT}"),
        format!("log.dirs={}", LOG_DIRS[..plan.dirs].join(",")),
        format!("log.retention.check.interval.ms={}", plan.retention_check_ms),
        "auto.create.topics.enable=false".to_owned(),
        "offsets.topic.num.partitions=3".to_owned(),
        "group.initial.rebalance.delay.ms=50".to_owned(),
        "group.min.session.timeout.ms=100".to_owned(),
        format!("group.consumer.session.timeout.ms={}", SESSION_TIMEOUT.as_millis()),
        "group.consumer.min.session.timeout.ms=1".to_owned(),
        "group.consumer.heartbeat.interval.ms=100".to_owned(),
        "group.consumer.min.heartbeat.interval.ms=1".to_owned(),
    ];
    let sources = Sources { set: &set, ..Sources::default() };
    let (fixed, _) = StaticConfig::load(&sources).unwrap_or_else(|errors| panic!("{errors:?}"));
    let broker =
        BrokerConfig::new(&ConfigLayers::of_start(&fixed), "broker").unwrap_or_else(|errors| panic!("{errors:?}"));
    Start {
        broker: Arc::new(broker),
        fixed: Arc::new(fixed),
        cluster_id: None,
        addresses: vec![([0, 0, 0, 0], PORT).into()],
        admin_address: None,
        shard_memory_bytes: 0,
        journal_bytes_max: 256 << 20,
        open_files_max: 0,
        store_sizes: Some(plan.sizes.clone()),
        logging: Logging::default(),
        on_listening: Arc::new(|_| {}),
    }
}

/// Whether a start failed for want of space, which it says.
fn wants_space(error: &StartError) -> bool {
    matches!(error, StartError::Recovery { error: RecoveryError::Io { reason: IoErrorKind::NoSpace, .. }, .. })
}

/// What every shard of the broker runs.
fn main(
    start: &Start,
    ends: &Ends,
) -> impl Fn(Reactor, Mesh<ShardMessage>) -> std::pin::Pin<Box<dyn Future<Output = ()>>> {
    let (start, ends) = (start.clone(), Rc::clone(ends));
    move |reactor, mesh| {
        let (start, ends) = (start.clone(), Rc::clone(&ends));
        Box::pin(async move {
            let end = run_shard(reactor, mesh, start).await;
            ends.borrow_mut().push(end);
        })
    }
}
