//! Limits of connections in force. Shard 0 counts the connections of all shards; while there are no limits nobody counts
//! and nobody asks, and a connection is accepted by its shard alone. Once there are some, every shard tells what it has
//! open, asks before it starts another one, and tells when one has ended.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use futures_util::future::select;
use ringlog_cluster::connections::{ConnectionLimits, Connections, Origin, Verdict};
use ringlog_cluster::image::{ConfigResource, Image};
use ringlog_net::conn::CloseReason;
use ringlog_reactor::Socket;

use crate::entrant::Entrant;
use crate::event::Event;
use crate::message::{Call, Message, Reply};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::state::State;

/// Sockets of a shard that are closed a little later, because their addresses make too many; beyond, at once.
const CLOSED_LATER_MAX: usize = 1024;

/// Who waits for what becomes of a connection.
pub(crate) type Asking = oneshot::Sender<Verdict>;

/// What shard 0 is told about a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Note {
    /// It is open, and nobody was asked.
    Counts(Origin),
    /// It counted, and has ended.
    Ended(Origin),
    /// It counted, and this shard serves it now.
    Moved(Origin, usize),
}

/// Connections that a shard did not take, since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Refused {
    /// Their addresses had as many as they may have.
    pub(crate) too_many: u64,
    /// Their addresses made them too fast.
    pub(crate) too_fast: u64,
    /// Attempts to accept some that failed: too many open files, mostly.
    pub(crate) failed: u64,
}

/// What a shard knows of the limits.
#[derive(Debug)]
pub(crate) struct ConnectionGate {
    limits: RefCell<ConnectionLimits>,
    are_set: Cell<bool>,
    /// Connections that were accepted without asking are to be counted.
    uncounted: Cell<bool>,
    /// For shard 0, of which each of this shard's connections causes three at most.
    notes: RefCell<Vec<Note>>,
    notes_bell: Event,
    closed_later: Cell<usize>,
    refused: Cell<Refused>,
    /// On shard 0: somebody has asked or ended, or the limits have changed.
    counting_bell: Event,
}

impl ConnectionGate {
    pub(crate) fn new(limits: ConnectionLimits) -> Self {
        Self {
            are_set: Cell::new(limits.are_set()),
            limits: RefCell::new(limits),
            uncounted: Cell::new(false),
            notes: RefCell::default(),
            notes_bell: Event::default(),
            closed_later: Cell::new(0),
            refused: Cell::default(),
            counting_bell: Event::default(),
        }
    }

    /// The connection, which counted, has ended.
    pub(crate) fn ended(&self, origin: Origin) {
        self.note(Note::Ended(origin));
    }

    /// A connection has come from another shard. Answers how it counts from now on.
    pub(crate) fn arrived(&self, shard: &Shard, entrant: &Entrant) -> Option<Origin> {
        let here = origin(shard, entrant.listener, entrant.peer);
        match entrant.counts {
            Some(before) => self.note(Note::Moved(before, here.shard)),
            None if self.are_set.get() => self.note(Note::Counts(here)),
            None => return None,
        }
        Some(here)
    }

    /// How many were not taken.
    pub(crate) fn refused(&self) -> Refused {
        self.refused.get()
    }

    /// Counts an attempt to accept that failed.
    pub(crate) fn accept_failed(&self) {
        self.count(|refused| refused.failed += 1);
    }

    fn count(&self, count: impl FnOnce(&mut Refused)) {
        let mut refused = self.refused.get();
        count(&mut refused);
        self.refused.set(refused);
    }

    fn note(&self, note: Note) {
        self.notes.borrow_mut().push(note);
        self.notes_bell.ring();
    }
}

/// Where a connection of this shard counts.
fn origin(shard: &Shard, listener: usize, peer: SocketAddr) -> Origin {
    Origin { shard: shard.index(), listener, ip: peer.ip().to_canonical() }
}

/// The limits that a broker has with this image.
pub(crate) fn limits(settings: &Settings, image: &Image) -> ConnectionLimits {
    let layers = settings.layers(image);
    ConnectionLimits::new(&layers, &settings.broker.listeners, image)
}

/// Puts the limits of an image in force that follows another one.
pub(crate) fn install(shard: &Shard, state: &mut State, image: &Arc<Image>, before: &Image) {
    let settings = shard.settings();
    let resources = [ConfigResource::AllBrokers, ConfigResource::Broker(settings.broker.node_id)];
    let is_as_before = |resource: &ConfigResource| image.config(resource) == before.config(resource);
    if image.has_quotas_of(before) && resources.iter().all(is_as_before) {
        return;
    }
    let limits = limits(settings, image);
    let gate = shard.connection_gate();
    if limits.are_set() && !gate.are_set.replace(limits.are_set()) {
        gate.uncounted.set(true);
        gate.notes_bell.ring();
    }
    gate.are_set.set(limits.are_set());
    if let Some(connections) = &mut state.connections {
        connections.set_limits(limits.clone());
        gate.counting_bell.ring();
    }
    *gate.limits.borrow_mut() = limits;
}

/// What becomes of a connection that has come in.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It is served; it counts, if that is known of where it came from.
    Served(Socket, Option<Origin>),
    /// It is closed, or will be.
    Closed,
}

/// Waits until the limits let a connection in, or tell that it may not come in.
pub(crate) async fn admit(shard: &Shard, socket: Socket, peer: SocketAddr, listener: usize) -> Admission {
    let gate = shard.connection_gate();
    if !gate.are_set.get() {
        return Admission::Served(socket, None);
    }
    let origin = origin(shard, listener, peer);
    match ask_first(shard, origin).await {
        Verdict::Accepted => Admission::Served(socket, Some(origin)),
        Verdict::TooMany { max } => {
            gate.count(|refused| refused.too_many += 1);
            tracing::debug!(%peer, "closed at once: its address has {max} connections, which is the most it may have");
            Admission::Closed
        }
        Verdict::Throttled(time) => {
            gate.count(|refused| refused.too_fast += 1);
            tracing::debug!(%peer, "closed in {} ms: its address makes connections too fast", time.as_millis());
            close_later(shard, socket, time);
            Admission::Closed
        }
    }
}

async fn ask_first(shard: &Shard, origin: Origin) -> Verdict {
    if shard.index() == 0 {
        return ask(shard, origin).await;
    }
    match shard.call(0, Call::Connect(origin)).await.reply().await {
        Reply::Verdict(verdict) => verdict,
        other => unreachable!("who asks for a connection is told a verdict, not {other:?}"),
    }
}

/// On shard 0: what becomes of a connection. The question is in its place when this returns.
pub(crate) fn ask(shard: &Shard, origin: Origin) -> impl Future<Output = Verdict> + use<> {
    let (sender, receiver) = oneshot::channel();
    shard.with(|state| counted(state).ask(origin, sender));
    shard.connection_gate().counting_bell.ring();
    async { receiver.await.expect("whoever asks is answered, as long as the shard lives") }
}

/// A client that is closed at once would be back at once.
fn close_later(shard: &Shard, socket: Socket, time: Duration) {
    let gate = shard.connection_gate();
    if gate.closed_later.get() >= CLOSED_LATER_MAX {
        return;
    }
    gate.closed_later.set(gate.closed_later.get() + 1);
    let later = shard.clone();
    shard.reactor().spawn_detached(async move {
        later.reactor().sleep(time).await;
        drop(socket);
        let gate = later.connection_gate();
        gate.closed_later.set(gate.closed_later.get() - 1);
    });
}

/// Tells shard 0 of connections that begin to count and that have ended, for ever.
pub(crate) async fn tell(shard: Shard) {
    let gate = shard.connection_gate();
    loop {
        gate.notes_bell.wait().await;
        if gate.uncounted.take() {
            for connection in shard.connections().live() {
                let origin = origin(&shard, connection.listener, connection.peer);
                if connection.begin_to_count(origin) {
                    gate.note(Note::Counts(origin));
                }
            }
        }
        let notes = gate.notes.take();
        match shard.index() {
            _ if notes.is_empty() => {}
            0 => take(&shard, notes),
            _ => shard.send(0, Message::Connections(notes)).await,
        }
    }
}

/// On shard 0: what other shards have told.
pub(crate) fn take(shard: &Shard, notes: Vec<Note>) {
    shard.with(|state| {
        let connections = counted(state);
        for note in notes {
            match note {
                Note::Counts(origin) => connections.count(origin),
                Note::Ended(origin) => connections.ended(origin),
                Note::Moved(origin, to) => connections.moved(origin, to),
            }
        }
    });
    shard.connection_gate().counting_bell.ring();
}

/// On shard 0: answers those that ask when the limits allow for it, for ever.
pub(crate) async fn answer(shard: Shard) {
    loop {
        let now = shard.now();
        let (answers, surplus, next) = shard.with(|state| {
            let connections = counted(state);
            let answers: Vec<_> = std::iter::from_fn(|| connections.poll(now)).collect();
            (answers, connections.surplus(), connections.next_deadline())
        });
        for answer in answers {
            let (origin, verdict) = (answer.origin, answer.verdict);
            if answer.token.send(verdict).is_err() && verdict == Verdict::Accepted {
                // Who asked is gone.
                shard.connection_gate().ended(origin);
            }
        }
        for (to, count) in surplus {
            if to == shard.index() {
                make_room(&shard, count);
            } else {
                shard.post(to, Message::MakeRoom(count));
            }
        }
        let bell = pin!(shard.connection_gate().counting_bell.wait());
        match next {
            // Either means the same: look again.
            Some(next) => _ = select(bell, pin!(shard.reactor().sleep(next.since(shard.now())))).await,
            None => bell.await,
        }
    }
}

/// Ends so many connections, those first that have not been used for longest.
pub(crate) fn make_room(shard: &Shard, count: u32) {
    let gate = shard.connection_gate();
    let limits = gate.limits.borrow();
    let mut connections = shard.connections().live();
    connections.retain(|connection| connection.counts() && !limits.is_protected(connection.listener));
    connections.sort_by_key(|connection| connection.active_at());
    for connection in connections.iter().take(usize::try_from(count).unwrap_or(usize::MAX)) {
        connection.close(CloseReason::MadeRoom);
    }
}

fn counted(state: &mut State) -> &mut Connections<Asking> {
    state.connections.as_mut().expect("shard 0 counts, and nobody else is asked")
}
