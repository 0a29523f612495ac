//! The handle that tasks of a shard hold, and the one door to its state.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use ringlog_cluster::config::RecorderConfig;
use ringlog_cluster::group::Now;
use ringlog_cluster::placement::Placement;
use ringlog_net::conn::SpareChunks;
use ringlog_net::header::ServedApis;
use ringlog_reactor::{Mesh, MeshCounts, Reactor};
use ringlog_storage::types::{Millis, Nanos};

use crate::answers::Answers;
use crate::calls::{Calls, PendingCall};
use crate::connection_limits::{self, ConnectionGate};
use crate::connection_moves::ConnectionMoves;
use crate::dispatch::served_apis;
use crate::event::Event;
use crate::group::Waits;
use crate::limits::ShardLimits;
use crate::lines::Lines;
use crate::memory::FrameMemory;
use crate::message::{Call, CallId, Message, Reply, ShardMessage};
use crate::metrics::counters::Counters;
use crate::open_connections::OpenConnections;
use crate::partition::table::PartitionKey;
use crate::quota::Quotas;
use crate::recorder::{CourseId, Phase, Recorder};
use crate::requests::Requests;
use crate::resize;
use crate::routes::{Routes, Sending};
use crate::settings::Settings;
use crate::state::State;

/// One shard: its reactor, its end of the mesh, its state. Cloning is cheap; it never leaves its thread.
#[derive(Clone)]
pub(crate) struct Shard(Rc<Inner>);

struct Inner {
    reactor: Reactor,
    mesh: Mesh<ShardMessage>,
    settings: Rc<Settings>,
    state: RefCell<State>,
    frames: FrameMemory,
    spare_chunks: SpareChunks,
    answers: Answers,
    calls: Calls,
    group_waits: Waits,
    requests: Requests,
    quotas: Quotas,
    lines: Lines,
    routes: Routes,
    connections: OpenConnections,
    connection_gate: ConnectionGate,
    connection_moves: ConnectionMoves,
    apis: Arc<ServedApis>,
    counters: RefCell<Counters>,
    recorder: Recorder,
    /// What there was no room for in the mesh, by destination.
    unsent: Box<[RefCell<Unsent>]>,
    driver_bell: Event,
    group_bell: Event,
    resize_bell: Event,
    serving: Event,
    stopping: Event,
    drained: Event,
    closing: Event,
    closed: Event,
}

/// Messages to one shard that wait for room, in order. At most an answer to each of its calls and tickets, a wake for each of its
/// fetches that wait, and a word for each fetch of this shard that no longer does, and for each connection that has to make room.
#[derive(Debug, Default)]
struct Unsent {
    messages: VecDeque<ShardMessage>,
    /// A task sends them.
    is_being_sent: bool,
}

impl Shard {
    pub(crate) fn new(
        reactor: Reactor,
        mesh: Mesh<ShardMessage>,
        settings: Settings,
        limits: &ShardLimits,
        state: State,
    ) -> Self {
        let unsent = (0..mesh.shards()).map(|_| RefCell::default()).collect();
        let frames = FrameMemory::new(settings.frame_bytes_max);
        let answers = Answers::new(settings.answer_bytes_max);
        let quotas = Quotas::new(settings.broker.quota_windows);
        let lines = state.lines.clone();
        let shards = u16::try_from(mesh.shards()).expect("there are fewer shards than cores can be numbered");
        let recorder = Recorder::new(RecorderConfig::new(&settings.layers(&state.image)));
        let connection_gate = ConnectionGate::new(connection_limits::limits(&settings, &state.image));
        Self(Rc::new(Inner {
            reactor,
            mesh,
            settings: Rc::new(settings),
            state: RefCell::new(state),
            frames,
            spare_chunks: SpareChunks::default(),
            answers,
            calls: Calls::new(limits.calls),
            group_waits: Waits::default(),
            requests: Requests::new(limits.requests),
            quotas,
            lines,
            routes: Routes::new(shards),
            connections: OpenConnections::default(),
            connection_gate,
            connection_moves: ConnectionMoves::default(),
            apis: Arc::new(served_apis()),
            counters: RefCell::default(),
            recorder,
            unsent,
            driver_bell: Event::default(),
            group_bell: Event::default(),
            resize_bell: Event::default(),
            serving: Event::default(),
            stopping: Event::default(),
            drained: Event::default(),
            closing: Event::default(),
            closed: Event::default(),
        }))
    }

    /// Reads or changes the state. Synchronous, so nobody ever sees it half changed; calls do not nest. What the change
    /// caused for the disk and for other shards is set off behind it.
    pub(crate) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.state.borrow_mut();
        let result = act(&mut state);
        let store_has_work = state.settle(|| self.both_clocks());
        let wakes = state.take_wakes();
        let notes = state.handovers.take_notes();
        let (answers, group_timers_moved) = state.groups.take_output();
        drop(state);
        if store_has_work {
            self.0.driver_bell.ring();
        }
        if group_timers_moved {
            self.group_bell().ring();
        }
        for watcher in wakes {
            self.post(watcher.shard, Message::Wake(watcher.watch));
        }
        for (to, note) in notes {
            self.post(to, note);
        }
        for told in answers {
            self.post(told.answer.ticket.shard, Message::GroupAnswer(Box::new(told)));
        }
        result
    }

    /// Counts something, or looks at what was counted. Calls do not nest.
    #[inline]
    pub(crate) fn with_counters<T>(&self, act: impl FnOnce(&mut Counters) -> T) -> T {
        act(&mut self.0.counters.borrow_mut())
    }

    /// Where the time of its clients' requests goes.
    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// What a request did until now was this phase.
    pub(crate) fn until_now(&self, course: CourseId, phase: Phase) -> Nanos {
        let now = self.now();
        self.0.recorder.until(course, phase, now);
        now
    }

    /// What its end of the mesh has done.
    pub(crate) fn mesh_counts(&self) -> MeshCounts {
        self.0.mesh.counts()
    }

    /// Calls to other shards that are not answered.
    pub(crate) fn calls_in_flight(&self) -> usize {
        self.0.calls.in_flight()
    }

    pub(crate) fn reactor(&self) -> &Reactor {
        &self.0.reactor
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(crate) fn frames(&self) -> &FrameMemory {
        &self.0.frames
    }

    /// What its connections share of small memory.
    pub(crate) fn spare_chunks(&self) -> SpareChunks {
        self.0.spare_chunks.clone()
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    pub(crate) fn requests(&self) -> &Requests {
        &self.0.requests
    }

    /// The client quotas that are set.
    pub(crate) fn quotas(&self) -> &Quotas {
        &self.0.quotas
    }

    /// What may be in the log again and again.
    pub(crate) fn lines(&self) -> &Lines {
        &self.0.lines
    }

    /// Its connections.
    pub(crate) fn connections(&self) -> &OpenConnections {
        &self.0.connections
    }

    /// The limits of connections.
    pub(crate) fn connection_gate(&self) -> &ConnectionGate {
        &self.0.connection_gate
    }

    /// The connections that it is to give to other shards.
    pub(crate) fn connection_moves(&self) -> &ConnectionMoves {
        &self.0.connection_moves
    }

    /// The requests that it serves.
    pub(crate) fn apis(&self) -> &Arc<ServedApis> {
        &self.0.apis
    }

    /// Requests of its clients that group coordinators have.
    pub(crate) fn group_waits(&self) -> &Waits {
        &self.0.group_waits
    }

    /// Rings when a group has to be looked at earlier than its timers say.
    pub(crate) fn group_bell(&self) -> &Event {
        &self.0.group_bell
    }

    pub(crate) fn driver_bell(&self) -> &Event {
        &self.0.driver_bell
    }

    /// Rings when the store is closed.
    pub(crate) fn closed(&self) -> &Event {
        &self.0.closed
    }

    /// Rings when the shard is to take connections.
    pub(crate) fn serving(&self) -> &Event {
        &self.0.serving
    }

    /// Rings when the shard is told to stop serving clients.
    pub(crate) fn stopping(&self) -> &Event {
        &self.0.stopping
    }

    /// Rings when its connections have ended.
    pub(crate) fn drained(&self) -> &Event {
        &self.0.drained
    }

    /// Rings when those of all shards have ended: nobody asks for anything any more.
    pub(crate) fn closing(&self) -> &Event {
        &self.0.closing
    }

    /// This shard's index.
    pub(crate) fn index(&self) -> usize {
        self.0.mesh.index()
    }

    /// How many shards the broker has.
    pub(crate) fn count(&self) -> usize {
        self.0.mesh.shards()
    }

    /// The same, as placements count them.
    pub(crate) fn shards(&self) -> u16 {
        u16::try_from(self.count()).expect("there are fewer shards than cores can be numbered")
    }

    /// Monotonic time.
    pub(crate) fn now(&self) -> Nanos {
        Nanos::new(self.0.reactor.now().as_nanos())
    }

    /// Monotonic time as somebody on this shard has read it last, which costs nothing.
    pub(crate) fn seen_at(&self) -> Nanos {
        Nanos::new(self.0.reactor.seen_at().as_nanos())
    }

    /// Wall-clock time.
    pub(crate) fn wall_clock(&self) -> Millis {
        Millis::new(self.0.reactor.wall_clock_ms())
    }

    /// The time, as group coordinators want it.
    pub(crate) fn both_clocks(&self) -> Now {
        Now { monotonic: self.now(), wall: self.wall_clock() }
    }

    /// The shard that owns a partition.
    pub(crate) fn owner(&self, key: PartitionKey) -> usize {
        self.0.routes.owner(key)
    }

    /// Begins to send a request for these partitions to the shards that own them, once none of them is on its way from one
    /// shard to another. What is answered is to be kept until the request has its place with all of them.
    pub(crate) async fn begin_sending(&self, keys: &[PartitionKey]) -> Sending {
        self.0.routes.begin(|placement| keys.iter().any(|key| placement.is_held(*key))).await
    }

    /// The same for partitions that are told only if somebody wants to know.
    pub(crate) async fn begin_sending_any(&self, waits: impl Fn(&Placement) -> bool) -> Sending {
        self.0.routes.begin(waits).await
    }

    /// Whether the shard is one of those in use.
    pub(crate) fn is_used(&self) -> bool {
        self.index() < usize::from(self.0.routes.placement().in_use())
    }

    /// Rings when the number of shards in use may have to change. On shard 0.
    pub(crate) fn resize_bell(&self) -> &Event {
        &self.0.resize_bell
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.0.routes
    }

    /// Sends a call. When this returns the call is in its place in the line to that shard; the reply comes later.
    pub(crate) async fn call(&self, to: usize, call: Call) -> PendingCall {
        let (id, pending) = self.0.calls.begin(call.pace()).await;
        self.0.mesh.send(to, ShardMessage(Message::Call { id, call })).await;
        pending
    }

    /// Sends a message that is answered by another one, in time.
    pub(crate) async fn send(&self, to: usize, message: Message) {
        self.0.mesh.send(to, ShardMessage(message)).await;
    }

    /// Hands a reply to the task that waits for it.
    pub(crate) fn replied(&self, id: CallId, reply: Reply) {
        self.0.calls.replied(id, reply);
    }

    /// Sends a message without waiting for room: where there is none a task does that, for all messages to that shard.
    pub(crate) fn post(&self, to: usize, message: Message) {
        if to == self.index() {
            match message {
                Message::Wake(watch) => self.0.state.borrow().watches.wake(watch),
                Message::GroupAnswer(told) => self.0.group_waits.answered(*told),
                Message::Settled(key) => resize::note_settled(self, key),
                other => unreachable!("a shard posts nothing else to itself: {other:?}"),
            }
            return;
        }
        let mut unsent = self.0.unsent[to].borrow_mut();
        if unsent.is_being_sent {
            unsent.messages.push_back(ShardMessage(message));
        } else if let Err(message) = self.0.mesh.try_send(to, ShardMessage(message)) {
            unsent.messages.push_back(message);
            unsent.is_being_sent = true;
            let shard = self.clone();
            self.0.reactor.spawn(async move { shard.send_unsent(to).await });
        }
    }

    async fn send_unsent(&self, to: usize) {
        loop {
            let next = {
                let mut unsent = self.0.unsent[to].borrow_mut();
                let next = unsent.messages.pop_front();
                unsent.is_being_sent = next.is_some();
                next
            };
            let Some(message) = next else { return };
            self.0.mesh.send(to, message).await;
        }
    }

    /// The next message of another shard.
    pub(crate) async fn next_message(&self) -> (usize, Message) {
        let (from, ShardMessage(message)) = self.0.mesh.recv().await;
        (from, message)
    }
}

impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shard({} of {})", self.index(), self.count())
    }
}
