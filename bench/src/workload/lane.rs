//! Connections that produce. Each has two tasks, one that sends and one that takes answers; in an open loop, one more task
//! for all connections tells them what is due.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use anyhow::Context as _;
use ringlog_reactor::{Instant, Reactor};

use crate::client::{Connection, Sender};
use crate::load::Load;
use crate::requests;
use crate::workload::frames::Frames;
use crate::workload::latency::Latencies;
use crate::workload::schedule::Schedule;

/// Requests of an open loop that one connection has under way. Behind it they wait, and their latency counts on.
pub(crate) const PIPELINED_MAX: usize = 64;
/// The task that keeps the time looks for what is due no more often than this.
const WAKE_UP_MIN: Duration = Duration::from_micros(50);

/// What all lanes of a run share.
#[derive(Debug)]
pub(crate) struct Production {
    pub(crate) frames: Rc<Frames>,
    pub(crate) latencies: Latencies,
    pub(crate) connections: u64,
    pub(crate) requests: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    /// Requests that were answered, by the index of their partition.
    pub(crate) by_partition: Vec<Cell<u64>>,
    /// Whether the lanes know of everything that is to be sent: at the end of an open loop, and always in a closed one.
    pub(crate) all_told: Cell<bool>,
}

/// Why a lane sends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Rhythm {
    /// Because a request's time has come.
    Open(Schedule),
    /// Because fewer requests than these are under way.
    Closed { in_flight: usize },
}

/// A request that waits for its answer.
#[derive(Clone, Copy, Debug)]
struct UnderWay {
    intended: Instant,
    bytes: usize,
    partition: usize,
}

/// One connection's state.
#[derive(Debug)]
pub(crate) struct Lane {
    index: u64,
    rhythm: Rhythm,
    under_way: RefCell<VecDeque<UnderWay>>,
    /// Requests of this lane whose time has come, in an open loop.
    due: Cell<u64>,
    sent: Cell<u64>,
    stopped: Cell<bool>,
    bell: Bell,
}

impl Lane {
    /// Starts the two tasks of a connection.
    pub(crate) fn start(
        load: &Load,
        connection: Connection,
        production: &Rc<Production>,
        index: u64,
        rhythm: Rhythm,
    ) -> Rc<Self> {
        let lane = Rc::new(Self {
            index,
            rhythm,
            under_way: RefCell::default(),
            due: Cell::new(0),
            sent: Cell::new(0),
            stopped: Cell::new(false),
            bell: Bell::default(),
        });
        let named = move || format!("connection {index}");
        let sending = Rc::clone(&lane).send(load.reactor.clone(), connection.sender(), Rc::clone(production));
        load.spawn(async move { sending.await.with_context(named) });
        let receiving = Rc::clone(&lane).receive(load.reactor.clone(), connection, Rc::clone(production));
        load.spawn(async move { receiving.await.with_context(named) });
        lane
    }

    /// Sends nothing more that is not due.
    pub(crate) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Whether everything that was due is answered.
    pub(crate) fn is_idle(&self) -> bool {
        let waiting = matches!(self.rhythm, Rhythm::Open(_)) && self.sent.get() < self.due.get();
        !waiting && self.under_way.borrow().is_empty()
    }

    /// Counts what is not answered at `now` as if it were, and tells how much there was: no latency is left out because
    /// it is long.
    pub(crate) fn give_up(&self, now: Instant, production: &Production) -> u64 {
        let mut count = 0;
        for request in self.under_way.borrow().iter() {
            production.latencies.add(request.intended, now);
            count += 1;
        }
        if let Rhythm::Open(schedule) = self.rhythm {
            for turn in self.sent.get()..self.due.get() {
                let intended = schedule.intended(self.index + turn * production.connections);
                production.latencies.add(intended, now);
                count += 1;
            }
        }
        count
    }

    /// The time for which the next request is meant, if it may be sent.
    fn next_intended(&self, now: Instant, production: &Production) -> Option<Instant> {
        let under_way = self.under_way.borrow().len();
        match self.rhythm {
            Rhythm::Open(schedule) => {
                let may = self.sent.get() < self.due.get() && under_way < PIPELINED_MAX;
                may.then(|| schedule.intended(self.index + self.sent.get() * production.connections))
            }
            Rhythm::Closed { in_flight } => (!self.stopped.get() && under_way < in_flight).then_some(now),
        }
    }

    async fn send(self: Rc<Self>, reactor: Reactor, sender: Sender, production: Rc<Production>) -> anyhow::Result<()> {
        loop {
            let now = reactor.now();
            let mut slices = Vec::new();
            while let Some(intended) = self.next_intended(now, &production) {
                let turn = self.index + self.sent.get() * production.connections;
                let mut outgoing = production.frames.outgoing(turn, intended);
                slices.append(&mut outgoing.slices);
                self.sent.set(self.sent.get() + 1);
                let sent = UnderWay { intended, bytes: outgoing.bytes, partition: outgoing.partition };
                self.under_way.borrow_mut().push_back(sent);
            }
            if slices.is_empty() {
                self.bell.heard().await;
            } else {
                sender.send(slices).await?;
            }
        }
    }

    async fn receive(
        self: Rc<Self>,
        reactor: Reactor,
        mut connection: Connection,
        production: Rc<Production>,
    ) -> anyhow::Result<()> {
        loop {
            let frame = connection.response().await?;
            requests::check_produced(&frame)?;
            let answered = self.under_way.borrow_mut().pop_front().context("an answer that nobody waits for")?;
            production.latencies.add(answered.intended, reactor.now());
            add(&production.requests, 1);
            add(&production.bytes, u64::try_from(answered.bytes)?);
            add(&production.by_partition[answered.partition], 1);
            let waits = match self.rhythm {
                Rhythm::Open(_) => self.sent.get() < self.due.get(),
                Rhythm::Closed { .. } => true,
            };
            if waits {
                self.bell.ring();
            }
        }
    }
}

pub(crate) fn add(cell: &Cell<u64>, count: u64) {
    cell.set(cell.get() + count);
}

/// Tells the lanes what is due, until everything is that is meant for a time before `end`. One timer for all of them, and
/// what has become due together is sent together.
pub(crate) async fn keep_time(
    reactor: Reactor,
    schedule: Schedule,
    lanes: Vec<Rc<Lane>>,
    production: Rc<Production>,
    end: Instant,
) -> anyhow::Result<()> {
    let total = schedule.before(end);
    let mut turns = lanes.iter().cycle();
    let mut told = 0;
    while told < total {
        let now = reactor.now();
        let due = schedule.due(now).min(total);
        while told < due {
            let lane = turns.next().context("a lane")?;
            add(&lane.due, 1);
            lane.bell.ring();
            told += 1;
        }
        reactor.sleep_until(schedule.intended(told).max(now + WAKE_UP_MIN)).await;
    }
    production.all_told.set(true);
    Ok(())
}

/// Wakes the one task that waits for it. Rung while nobody waits, it is heard at once.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Cell<bool>,
    waiting: RefCell<Option<Waker>>,
}

impl Bell {
    pub(crate) fn ring(&self) {
        self.rung.set(true);
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }

    pub(crate) async fn heard(&self) {
        poll_fn(|context| {
            if self.rung.replace(false) {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
