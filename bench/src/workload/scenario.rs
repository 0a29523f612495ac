//! One run of a workload: topics, connections, the time that is measured, and what is waited for behind it.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use ringlog_reactor::Instant;
use ringlog_storage::types::Millis;

use crate::client::{Connection, Receive};
use crate::load::Load;
use crate::page_cache;
use crate::payload::Payload;
use crate::requests::TopicIdPartition;
use crate::usage::{Reading, thread_cpu};
use crate::workload::consumer::{self, Consumption, End, Position, Told};
use crate::workload::file::{Kind, Pace, PageCache, Workload};
use crate::workload::frames::{Frames, Stamped};
use crate::workload::lane::{Bell, Lane, Production, Rhythm, keep_time};
use crate::workload::latency::Latencies;
use crate::workload::results::{Cpu, Idle, Measured, Volume};
use crate::workload::schedule::Schedule;
use crate::workload::topics::Topics;

/// From the last connection to the first request.
const LEAD: Duration = Duration::from_millis(5);
/// How often errors are looked for. They end a run.
const LOOK: Duration = Duration::from_millis(50);
/// How long answers are waited for that come behind the time that is measured.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Batches and requests under way of topics that are filled before others produce into them.
const FILL_BATCH_BYTES: usize = 1_000_000;
const FILL_IN_FLIGHT: usize = 2;
/// How long filling may take.
const FILL_MAX: Duration = Duration::from_hours(1);

/// Whether topics stay when a run ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Leave {
    /// The broker ends with the run.
    Topics,
    Nothing,
}

/// Runs the workload once. Without consumers, a kind that has some only produces.
pub(crate) async fn run(load: Load, workload: Workload, leave: Leave) -> anyhow::Result<Measured> {
    let before = load.reading()?;
    let topics = Topics::create(&load, &workload).await?;
    let measured = measure(&load, workload, &topics, before).await;
    if leave == Leave::Nothing {
        let deleted = topics.delete(&load).await;
        // Of two errors, the first is the cause.
        return measured.and_then(|measured| deleted.map(|()| measured));
    }
    measured
}

async fn measure(
    load: &Load,
    workload: Workload,
    topics: &Topics,
    before: Option<Reading>,
) -> anyhow::Result<Measured> {
    topics.wait(load).await?;
    if workload.kind == Kind::Idle {
        return idle(load, &workload, topics, before).await;
    }
    let run = Run::new(load.clone(), workload, topics.partitions.clone())?;
    match run.workload.kind {
        Kind::CatchUp => run.catch_up().await,
        _ => run.produce().await,
    }
}

/// Tells what memory comes with the partitions, and then with connections that have asked for something once. Each of them
/// has the time of the warm-up to come to rest.
async fn idle(load: &Load, workload: &Workload, topics: &Topics, before: Option<Reading>) -> anyhow::Result<Measured> {
    let unknown = "what is idle can be measured of a broker whose process is known alone: --broker-pid tells it";
    let before = before.context(unknown)?.resident_bytes;
    let rest = Duration::from_millis(workload.warm_up_ms);
    load.reactor.sleep(rest).await;
    let with_partitions = load.reading()?.context(unknown)?.resident_bytes;
    let mut connections = Vec::new();
    for _ in 0..workload.connections {
        let mut connection = load.connect(Receive::Pooled).await?;
        connection.ask("what there is of a topic", topics.ask_for_one()?).await?;
        connections.push(connection);
    }
    load.reactor.sleep(rest).await;
    let from = load.reading()?.context(unknown)?;
    let seconds = Duration::from_secs(workload.seconds);
    load.reactor.sleep(seconds).await;
    let usage = load.reading()?.context(unknown)?.since(&from);
    let idle = Idle {
        partitions: u64::try_from(topics.partitions.len())?,
        partitions_bytes: with_partitions.saturating_sub(before),
        connections: u64::try_from(connections.len())?,
        connections_bytes: usage.resident_bytes.saturating_sub(with_partitions),
    };
    Ok(Measured { seconds: seconds.as_secs_f64(), broker: Some(usage), idle: Some(idle), ..Measured::default() })
}

struct Run {
    load: Load,
    workload: Workload,
    partitions: Vec<TopicIdPartition>,
    frames: Rc<Frames>,
}

/// Producing lanes, and what they share.
struct Producers {
    lanes: Vec<Rc<Lane>>,
    shared: Rc<Production>,
}

impl Producers {
    fn are_idle(&self) -> bool {
        self.shared.all_told.get() && self.lanes.iter().all(|lane| lane.is_idle())
    }
}

impl Run {
    fn new(load: Load, workload: Workload, partitions: Vec<TopicIdPartition>) -> anyhow::Result<Self> {
        let now = Millis::new(load.reactor.wall_clock_ms());
        let stamped = if workload.kind == Kind::EndToEnd { Stamped::Yes } else { Stamped::No };
        let frames = Rc::new(Frames::new(&workload.payload, workload.acks, &partitions, stamped, now)?);
        Ok(Self { load, workload, partitions, frames })
    }

    async fn produce(&self) -> anyhow::Result<Measured> {
        let filled = match self.workload.kind {
            Kind::Replay => Some(self.fill(&self.filling()?).await?),
            _ => None,
        };
        let connections = self.connect(self.workload.connections, Receive::Pooled).await?;
        let consumers = self.connect(self.workload.consumers, Receive::Direct).await?;
        let begin = self.load.reactor.now() + LEAD;
        let from = begin + Duration::from_millis(self.workload.warm_up_ms);
        let window = from..from + Duration::from_secs(self.workload.seconds);
        let production = self.production(Latencies::new(window.clone()));
        let told = match self.workload.kind {
            Kind::EndToEnd => Told::Batches(Latencies::new(window.clone()), Rc::clone(&self.frames)),
            _ => Told::Nothing,
        };
        let consumption = Consumption::new(told);
        let end = |partition: usize| filled.as_ref().map_or(End::Never, |ends| End::AgainFrom(ends[partition]));
        self.spawn_consumers(consumers, &consumption, end);
        let producers = self.spawn_producers(connections, production, begin, window.end);
        let (before, after) = self.measure(&window, &producers.shared, &consumption).await?;
        for lane in &producers.lanes {
            lane.stop();
        }
        self.pass(DRAIN_MAX, || producers.are_idle()).await?;
        let now = self.load.reactor.now();
        let unanswered = producers.lanes.iter().map(|lane| lane.give_up(now, &producers.shared)).sum();
        if self.workload.kind == Kind::EndToEnd && self.workload.consumers > 0 && unanswered == 0 {
            let produced = producers.shared.requests.get();
            self.pass(DRAIN_MAX, || consumption.batches.get() >= produced).await?;
            let fetched = consumption.batches.get();
            ensure!(fetched == produced, "{produced} batches were acknowledged, and {fetched} came to the consumers");
        }
        let intended = match self.workload.pace {
            Pace::Rate(rate, _) => Some(rate),
            Pace::InFlight(_) => None,
        };
        Ok(Measured {
            produce: producers.shared.latencies.quantiles(),
            end_to_end: consumption.told.latencies().and_then(Latencies::quantiles),
            intended_records_per_second: intended,
            unanswered_requests: unanswered,
            ..after.since(&before)
        })
    }

    /// What topics are filled with before others produce into them: the same records in large batches, which takes no
    /// longer than it must.
    fn filling(&self) -> anyhow::Result<Self> {
        let batch_bytes = self.workload.payload.batch_bytes.max(FILL_BATCH_BYTES);
        // Keys are as many as fit into the workload's own batches, and more would be missed in fewer of these.
        let payload = Payload { batch_bytes, keys: None, ..self.workload.payload };
        let workload =
            Workload { payload, pace: Pace::InFlight(FILL_IN_FLIGHT), connections: 1, ..self.workload.clone() };
        Self::new(self.load.clone(), workload, self.partitions.clone())
    }

    /// Produces as much as the topics are to be filled with, as `filling` says, and tells where each partition ends then.
    async fn fill(&self, filling: &Self) -> anyhow::Result<Vec<i64>> {
        let connections = filling.connect(filling.workload.connections, Receive::Pooled).await?;
        let now = self.load.reactor.now();
        let production = filling.production(Latencies::new(now..now));
        let producers = filling.spawn_producers(connections, production, now, now);
        self.pass(FILL_MAX, || producers.shared.bytes.get() >= self.workload.fill_bytes).await?;
        for lane in &producers.lanes {
            lane.stop();
        }
        self.pass(DRAIN_MAX, || producers.are_idle()).await?;
        ensure!(producers.are_idle(), "the broker leaves requests unanswered");
        if let (PageCache::Freed, Some(data)) = (self.workload.page_cache, &self.load.data) {
            page_cache::free(data).context("the page cache")?;
        }
        let records = |requests: &Cell<u64>| i64::try_from(requests.get() * filling.frames.request_records);
        Ok(producers.shared.by_partition.iter().map(records).collect::<Result<_, _>>()?)
    }

    async fn catch_up(&self) -> anyhow::Result<Measured> {
        let ends = self.fill(self).await?;
        let consumers = self.connect(self.workload.consumers, Receive::Direct).await?;
        let count = consumers.len();
        let from = self.load.reactor.now();
        let window = from..from + Duration::from_secs(self.workload.seconds);
        let consumption = Consumption::new(Told::Fetches(Latencies::new(window.clone())));
        let nothing = self.production(Latencies::new(window.clone()));
        let before = self.moment(&nothing, &consumption)?;
        self.spawn_consumers(consumers, &consumption, |partition| End::At(ends[partition]));
        // The run is over when the last of them is: what comes behind it would be counted as time and brings nothing.
        self.pass_until(window.end.since(from), &consumption.end, || consumption.ended.get() == count).await?;
        let after = self.moment(&nothing, &consumption)?;
        Ok(Measured { fetch: consumption.told.latencies().and_then(Latencies::quantiles), ..after.since(&before) })
    }

    async fn connect(&self, count: usize, receive: Receive) -> anyhow::Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for _ in 0..count {
            connections.push(self.load.connect(receive).await?);
        }
        Ok(connections)
    }

    fn production(&self, latencies: Latencies) -> Production {
        Production {
            frames: Rc::clone(&self.frames),
            latencies,
            connections: u64::try_from(self.workload.connections).expect("a count fits 64 bits"),
            requests: Cell::new(0),
            bytes: Cell::new(0),
            by_partition: self.partitions.iter().map(|_| Cell::new(0)).collect(),
            all_told: Cell::new(matches!(self.workload.pace, Pace::InFlight(_))),
        }
    }

    fn spawn_producers(
        &self,
        connections: Vec<Connection>,
        shared: Production,
        begin: Instant,
        end: Instant,
    ) -> Producers {
        let shared = Rc::new(shared);
        let rhythm = match self.workload.pace {
            Pace::Rate(rate, tick) => {
                let request_records = self.frames.request_records;
                Rhythm::Open(Schedule { begin, rate, request_records, tick })
            }
            Pace::InFlight(in_flight) => Rhythm::Closed { in_flight },
        };
        let start = |(index, connection)| Lane::start(&self.load, connection, &shared, index, rhythm);
        let lanes: Vec<Rc<Lane>> = (0..).zip(connections).map(start).collect();
        if let Rhythm::Open(schedule) = rhythm {
            let reactor = self.load.reactor.clone();
            self.load.spawn(keep_time(reactor, schedule, lanes.clone(), Rc::clone(&shared), end));
        }
        Producers { lanes, shared }
    }

    /// Deals the partitions to the consumers. `end` tells where to stop in the partition of an index.
    fn spawn_consumers(&self, connections: Vec<Connection>, of: &Rc<Consumption>, end: impl Fn(usize) -> End) {
        let count = connections.len();
        for (index, connection) in connections.into_iter().enumerate() {
            let own = self.partitions.iter().enumerate().skip(index).step_by(count);
            let positions = own.map(|(partition, of)| Position { partition: *of, end: end(partition) }).collect();
            let consuming = consumer::consume(self.load.reactor.clone(), connection, Rc::clone(of), positions);
            self.load.spawn(async move { consuming.await.with_context(|| format!("consumer {index}")) });
        }
    }

    /// What there is at both ends of the window.
    async fn measure(
        &self,
        window: &Range<Instant>,
        production: &Production,
        consumption: &Consumption,
    ) -> anyhow::Result<(Moment, Moment)> {
        self.pass(window.start.since(self.load.reactor.now()), || false).await?;
        let before = self.moment(production, consumption)?;
        self.pass(window.end.since(self.load.reactor.now()), || false).await?;
        Ok((before, self.moment(production, consumption)?))
    }

    /// Lets the load run for `duration`, or until `done`, give or take `LOOK`; an error of any task ends the run.
    async fn pass(&self, duration: Duration, done: impl Fn() -> bool) -> anyhow::Result<()> {
        self.pass_until(duration, &Bell::default(), done).await
    }

    /// The same, but what is done when `bell` rings is seen at once.
    async fn pass_until(&self, duration: Duration, bell: &Bell, done: impl Fn() -> bool) -> anyhow::Result<()> {
        let end = self.load.reactor.now() + duration;
        loop {
            self.load.counts.check()?;
            let now = self.load.reactor.now();
            if now >= end || done() {
                return Ok(());
            }
            // Whether the bell has rung or the time is over, what there is then is looked at.
            let _ = self.load.reactor.timeout(bell.heard(), end.min(now + LOOK).since(now)).await;
        }
    }

    fn moment(&self, production: &Production, consumption: &Consumption) -> anyhow::Result<Moment> {
        Ok(Moment {
            now: self.load.reactor.now(),
            load_cpu: thread_cpu(),
            broker: self.load.reading()?,
            request_records: self.frames.request_records,
            produced: Counts {
                requests: production.requests.get(),
                batches: production.requests.get(),
                bytes: production.bytes.get(),
            },
            fetched: Counts {
                requests: consumption.requests.get(),
                batches: consumption.batches.get(),
                bytes: consumption.bytes.get(),
            },
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Counts {
    requests: u64,
    batches: u64,
    bytes: u64,
}

/// What has been done and used so far.
#[derive(Clone, Debug)]
struct Moment {
    now: Instant,
    /// Of this thread, which is all of the load: its ring has no threads of its own for sockets.
    load_cpu: Duration,
    broker: Option<Reading>,
    request_records: u64,
    produced: Counts,
    fetched: Counts,
}

impl Moment {
    /// What was done and used between two moments, without latencies.
    fn since(&self, before: &Self) -> Measured {
        let volume = |now: Counts, before: Counts| Volume {
            requests: now.requests - before.requests,
            records: (now.batches - before.batches) * self.request_records,
            bytes: now.bytes - before.bytes,
        };
        let broker = self.broker.as_ref().zip(before.broker.as_ref()).map(|(now, before)| now.since(before));
        Measured {
            seconds: self.now.since(before.now).as_secs_f64(),
            cpu: Cpu {
                load_seconds: self.load_cpu.saturating_sub(before.load_cpu).as_secs_f64(),
                broker_seconds: broker.map(|broker| broker.cpu_seconds),
            },
            broker,
            produced: volume(self.produced, before.produced),
            fetched: volume(self.fetched, before.fetched),
            ..Measured::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::Server;
    use crate::null_broker;
    use crate::requests::Acks;
    use crate::scene;
    use crate::workload::schedule::Tick;
    use ringlog_reactor::sim::{NetworkOptions, Sim, SimOptions};
    use ringlog_reactor::{ListenOptions, Mesh, Reactor};
    use std::net::SocketAddr;

    const PORT: u16 = 9092;

    async fn broker(reactor: Reactor, _mesh: Mesh<()>) {
        let any = SocketAddr::from(([0, 0, 0, 0], PORT));
        let listener = reactor.listen(any, ListenOptions::default()).await.expect("a free port");
        null_broker::accept(reactor, listener, Receive::Pooled).await;
    }

    fn workload(rate: u64, connections: usize) -> Workload {
        Workload {
            name: "a".to_owned(),
            kind: Kind::Produce,
            topics: 2,
            partitions: 3,
            payload: Payload::random(100, 0),
            acks: Acks::All,
            connections,
            pace: Pace::Rate(rate, Tick::from_micros(0)),
            consumers: 0,
            fill_bytes: 0,
            page_cache: PageCache::Full,
            warm_up_ms: 0,
            seconds: 1,
            topic: Vec::new(),
        }
    }

    /// Runs against a null broker that is so far away, one way, in virtual time.
    fn put(workload: Workload, distance: Duration) -> Measured {
        let network = NetworkOptions { latency: distance..=distance, losses_per_mille: 0, ..NetworkOptions::default() };
        let mut sim = Sim::new(7, SimOptions { network, ..SimOptions::default() });
        let node = sim.start_node("null broker", 1, broker);
        let address = sim.address(node, PORT);
        put_on(sim, address, workload)
    }

    fn put_on(sim: Sim, address: SocketAddr, workload: Workload) -> Measured {
        try_on(sim, Server { address, process: None, data: None }, workload).expect("it runs")
    }

    fn try_on(mut sim: Sim, server: Server, workload: Workload) -> anyhow::Result<Measured> {
        sim.block_on("load", move |reactor| async move {
            while reactor.connect(server.address).await.is_err() {
                reactor.sleep(LOOK).await;
            }
            run(Load::new(reactor, server, Duration::ZERO), workload, Leave::Topics).await
        })
    }

    #[test]
    fn an_open_loop_keeps_its_rate_and_every_request_counts() {
        let measured = put(workload(1_000, 7), Duration::from_millis(1));
        let produce = measured.produce.expect("latencies");
        assert_eq!((produce.count, measured.unanswered_requests), (1_000, 0));
        assert!(produce.p50_us >= 1_990.0 && produce.max_us < 4_000.0, "{produce:?}");
        assert!((996..=1_000).contains(&measured.produced.records), "{measured:?}");
    }

    #[test]
    fn requests_behind_the_limit_wait_and_their_latency_counts_from_the_intended_time() {
        // 64 requests in 200 ms and no more: of 1,000, the last is sent after 3 seconds and was meant for the first.
        let measured = put(workload(1_000, 1), Duration::from_millis(100));
        let produce = measured.produce.expect("latencies");
        assert_eq!((produce.count, measured.unanswered_requests), (1_000, 0));
        assert!(produce.max_us > 2_000_000.0 && produce.p50_us > 1_000_000.0, "{produce:?}");
        assert!((256..=320).contains(&measured.produced.records), "{measured:?}");
    }

    #[test]
    fn what_is_never_answered_counts_with_the_time_that_it_has_waited() {
        let measured = put(workload(1_000, 10), Duration::from_secs(4));
        let produce = measured.produce.expect("latencies");
        assert_eq!((produce.count, measured.unanswered_requests), (1_000, 1_000));
        assert!(produce.max_us > 5_900_000.0, "{produce:?}");
    }

    #[test]
    fn a_closed_loop_has_so_many_requests_under_way() {
        let closed = Workload { pace: Pace::InFlight(5), ..workload(1, 2) };
        let measured = put(closed, Duration::from_millis(50));
        let produce = measured.produce.expect("latencies");
        // Ten a round trip of 100 ms.
        assert!((80..=100).contains(&measured.produced.requests), "{measured:?}");
        assert!(produce.p50_us >= 99_000.0 && produce.max_us < 110_000.0, "{produce:?}");
    }

    #[test]
    fn a_server_that_says_nothing_ends_a_load() {
        let mut sim = Sim::new(7, SimOptions::default());
        let node = sim.start_node("silent", 1, async |reactor: Reactor, _: Mesh<()>| {
            let any = SocketAddr::from(([0, 0, 0, 0], PORT));
            let listener = reactor.listen(any, ListenOptions::default()).await.expect("a free port");
            let mut sockets = Vec::new();
            while let Ok((socket, _)) = listener.accept().await {
                sockets.push(socket);
            }
        });
        let server = Server { address: sim.address(node, PORT), process: None, data: None };
        let error = try_on(sim, server.clone(), workload(1, 1)).expect_err("nothing is answered");
        assert_eq!(error.to_string(), format!("{} does not answer within 30s: a new topic", server.address));
    }

    #[test]
    fn a_catch_up_takes_until_its_last_consumer_has_everything() {
        for consumers in [1, 3] {
            let mut sim = Sim::new(7, scene::options());
            let (_, address) = scene::start_broker(&mut sim).expect("its settings are right");
            let pace = Pace::InFlight(2);
            let workload = Workload { kind: Kind::CatchUp, pace, consumers, fill_bytes: 100_000, ..workload(1, 1) };
            let measured = put_on(sim, address, workload);
            assert!(measured.fetched.bytes >= 100_000, "{measured:?}");
            let fetches = measured.fetch.expect("latencies");
            // One fetch of each consumer, side by side, is all that it consists of.
            assert_eq!(usize::try_from(fetches.count), Ok(consumers));
            assert!((1e6 * measured.seconds - fetches.max_us).abs() < 1.0, "{measured:?}");
        }
    }
}
