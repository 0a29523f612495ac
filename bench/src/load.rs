//! The load of a run: one thread on a core of its own, tasks that each keep requests in flight, and what is counted.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use ringlog_buffer::Slice;
use ringlog_reactor::{BackendChoice, Limits, Mesh, Reactor, ShardSpec, launch};

use crate::Setup;
use crate::broker::{Broker, cpu_seconds};
use crate::client::{Connection, Receive};
use crate::compare::Cost;
use crate::requests;
use crate::usage::Reading;

/// What the tasks of a load count, and the first error of any of them.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) requests: Cell<u64>,
    pub(crate) produced_bytes: Cell<u64>,
    pub(crate) fetched_bytes: Cell<u64>,
    error: RefCell<Option<anyhow::Error>>,
}

impl Counts {
    pub(crate) fn add(cell: &Cell<u64>, count: usize) {
        cell.set(cell.get() + u64::try_from(count).expect("a length fits 64 bits"));
    }

    /// The first error of any task, once.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.error.take().map_or(Ok(()), Err)
    }
}

/// What was measured between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) seconds: f64,
    pub(crate) broker_cpu_seconds: f64,
    pub(crate) load_cpu_seconds: f64,
    pub(crate) requests: u64,
    pub(crate) produced_bytes: u64,
    pub(crate) fetched_bytes: u64,
}

impl Measured {
    pub(crate) fn cost(&self) -> Cost {
        let Self { broker_cpu_seconds: cpu_seconds, produced_bytes, fetched_bytes, .. } = *self;
        Cost { cpu_seconds, produced_bytes, fetched_bytes }
    }
}

/// The load's thread.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) reactor: Reactor,
    pub(crate) address: SocketAddr,
    pub(crate) counts: Rc<Counts>,
    broker: Option<u32>,
    /// The folder of the broker's data, where it is known.
    pub(crate) data: Option<PathBuf>,
    warm_up: Duration,
}

/// Whom a load is put on.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// Its process, if it is one on this machine whose CPU time can be read.
    pub(crate) process: Option<u32>,
    /// The folder of its data, if it is on this machine and known.
    pub(crate) data: Option<PathBuf>,
}

/// Runs `scenario` on the load's core, against `broker`.
pub(crate) fn run<F, Fut, T>(broker: &mut Broker, setup: &Setup, scenario: F) -> anyhow::Result<T>
where
    F: Fn(Load) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<T>> + 'static,
    T: Send + 'static,
{
    let result = run_against(broker.server(), setup, scenario);
    broker.explain(result)
}

/// Runs `scenario` on the load's core, against any broker.
pub(crate) fn run_against<F, Fut, T>(server: Server, setup: &Setup, scenario: F) -> anyhow::Result<T>
where
    F: Fn(Load) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<T>> + 'static,
    T: Send + 'static,
{
    let warm_up = setup.warm_up();
    let main = move |reactor: Reactor, _mesh: Mesh<()>| scenario(Load::new(reactor, server.clone(), warm_up));
    let specs = [ShardSpec { core: Some(setup.load_core) }];
    let shards = launch(&specs, BackendChoice::Auto, Limits::default(), main)?;
    for warning in shards.warnings() {
        eprintln!("ringlog-bench: {warning}");
    }
    let ended = shards.join().map_err(|_| anyhow!("the load has panicked"))?;
    ended.into_iter().next().context("one shard")?
}

impl Load {
    pub(crate) fn new(reactor: Reactor, server: Server, warm_up: Duration) -> Self {
        let Server { address, process, data } = server;
        Self { reactor, address, counts: Rc::default(), broker: process, data, warm_up }
    }

    pub(crate) async fn connect(&self, receive: Receive) -> anyhow::Result<Connection> {
        Connection::open(&self.reactor, self.address, receive).await
    }

    /// Runs a task until the load ends. Its error ends the run.
    pub(crate) fn spawn(&self, task: impl Future<Output = anyhow::Result<()>> + 'static) {
        let counts = Rc::clone(&self.counts);
        drop(self.reactor.spawn(async move {
            if let Err(error) = task.await {
                counts.error.borrow_mut().get_or_insert(error);
            }
        }));
    }

    /// Keeps `in_flight` produce requests under way on one connection, each the next of `frames`, for ever.
    pub(crate) async fn spawn_producer(&self, frames: Vec<Slice>, in_flight: usize) -> anyhow::Result<()> {
        let mut connection = self.connect(Receive::Pooled).await?;
        let counts = Rc::clone(&self.counts);
        self.spawn(async move {
            let mut frames = frames.iter().cycle();
            let mut sent = std::collections::VecDeque::with_capacity(in_flight);
            loop {
                while sent.len() < in_flight {
                    let frame = frames.next().context("a request to send")?;
                    connection.send(frame.clone()).await?;
                    sent.push_back(frame.len());
                }
                requests::check_produced(&connection.response().await?)?;
                let bytes = sent.pop_front().expect("a response has its request");
                Counts::add(&counts.requests, 1);
                Counts::add(&counts.produced_bytes, bytes);
            }
        });
        Ok(())
    }

    /// What the broker has used so far; `None` of a broker whose process is not known.
    pub(crate) fn reading(&self) -> anyhow::Result<Option<Reading>> {
        self.broker.map(|process| Reading::of(process, self.data.as_deref())).transpose()
    }

    /// Measures for this long, once the load is warm.
    pub(crate) async fn measure(&self, duration: Duration) -> anyhow::Result<Measured> {
        self.reactor.sleep(self.warm_up).await;
        self.measure_for(duration).await
    }

    /// Measures for this long, from now on.
    pub(crate) async fn measure_for(&self, duration: Duration) -> anyhow::Result<Measured> {
        let end = async {
            self.reactor.sleep(duration).await;
            Ok(())
        };
        self.measure_until(end).await
    }

    /// Measures from now on until `end`, which may fail.
    pub(crate) async fn measure_until(
        &self,
        end: impl Future<Output = anyhow::Result<()>>,
    ) -> anyhow::Result<Measured> {
        let read = || -> anyhow::Result<_> {
            let broker = self.broker.context("the broker's process")?;
            let cpu = (cpu_seconds(broker)?, cpu_seconds(std::process::id())?);
            let counts = [&self.counts.requests, &self.counts.produced_bytes, &self.counts.fetched_bytes];
            Ok((Instant::now(), cpu, counts.map(Cell::get)))
        };
        let (begin, (broker_before, load_before), before) = read()?;
        end.await?;
        let (end, (broker_after, load_after), after) = read()?;
        self.counts.check()?;
        Ok(Measured {
            seconds: (end - begin).as_secs_f64(),
            broker_cpu_seconds: broker_after - broker_before,
            load_cpu_seconds: load_after - load_before,
            requests: after[0] - before[0],
            produced_bytes: after[1] - before[1],
            fetched_bytes: after[2] - before[2],
        })
    }
}
