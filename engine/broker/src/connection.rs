//! One client connection: a task that reads and begins requests, and a task that sends what is answered.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use ringlog_buffer::Slice;
use ringlog_cluster::connections::Origin;
use ringlog_net::conn::{CloseReason, Conn, Pace, Request, RequestSeq, Response, Want};
use ringlog_reactor::Socket;
use ringlog_storage::types::Nanos;

use crate::dispatch::{Handled, dispatch};
use crate::entrant::{Entrant, Way};
use crate::event::Event;
use crate::lines::repeated;
use crate::partition::table::PartitionKey;
use crate::partition::watch::WatchId;
use crate::quota::{KnownQuotas, Meter};
use crate::recorder::{CourseId, Unsent, Whose};
use crate::request_log;
use crate::shard::Shard;
use crate::telemetry::Software;

mod departure;

use departure::Presence;

/// How long a connection waits for memory for a frame before it is closed.
const MEMORY_WAIT: Duration = Duration::from_secs(30);
/// How long one send may take once the connection ends: a peer that does not read cannot keep it.
const CLOSING_SEND_TIME_MAX: Duration = Duration::from_secs(10);

/// The longest name and version of software that a connection remembers.
const SOFTWARE_BYTES_MAX: usize = 256;

/// The line of a connection that ended for a reason that somebody should know.
macro_rules! told {
    ($connection:expr, $kind:ident, $about:literal, $level:ident, $reason:expr) => {
        repeated!(
            $connection.shard.lines(), $kind, $about, $level,
            peer = %$connection.peer,
            client_id = $connection.client_id(),
            "connection ended: {}",
            $reason
        )
    };
}

/// One connection, shared by its tasks and by the requests that it has under way.
#[derive(Debug)]
pub(crate) struct Connection {
    shard: Shard,
    socket: Socket,
    conn: RefCell<Conn>,
    /// Bytes of answers to be sent, as the shard has counted them.
    answer_bytes: Cell<usize>,
    /// The client's address.
    pub(crate) peer: SocketAddr,
    /// What the client called itself in its first request.
    client_id: OnceCell<Arc<str>>,
    /// Index of the listener that it came in through.
    pub(crate) listener: usize,
    /// Where it came in, if it counts.
    counts: Cell<Option<Origin>>,
    /// What the client has told of its software, if somebody wants to know.
    software: RefCell<Option<Box<Software>>>,
    /// Something may be ready to be sent.
    writer_bell: Event,
    /// There may be room for another request.
    room_bell: Event,
    /// The connection ends; for its reader.
    closing_bell: Event,
    /// The connection ends; for its writer, while it sends.
    sending_bell: Event,
    /// The quotas of its client, as they were when it was last looked; `None` while it has none.
    quotas: RefCell<Option<KnownQuotas>>,
    /// Whether it counts as muted.
    mute: Cell<Mute>,
    /// Its requests that are answered, with answers that are not sent.
    unsent: Unsent,
    /// Nothing more is sent.
    has_sent_all: Cell<bool>,
    /// What its fetches wait for. They are answered with what there is when the connection ends.
    waits: RefCell<BTreeMap<WatchId, Rc<Event>>>,
    /// Whether this shard serves it.
    presence: Cell<Presence>,
}

/// Whether a client is listened to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mute {
    Heard,
    /// It is over a quota.
    Muted,
}

impl Connection {
    /// Starts to serve a connection. The answer is kept by the shard's registry, for idle deadlines and shutdown.
    pub(crate) fn start(shard: &Shard, socket: Socket, entrant: Entrant) -> Rc<Self> {
        let Entrant { way, conn, peer, listener, client_id, software, counts } = entrant;
        let (limits, apis) = (shard.settings().connection, Arc::clone(shard.apis()));
        let conn = RefCell::new(Conn::carried(conn, limits, apis, shard.spare_chunks(), shard.now()));
        let connection = Rc::new(Self {
            shard: shard.clone(),
            socket,
            conn,
            answer_bytes: Cell::new(0),
            peer,
            client_id: client_id.map_or_else(OnceCell::new, OnceCell::from),
            listener,
            counts: Cell::new(counts),
            software: RefCell::new(software),
            writer_bell: Event::default(),
            room_bell: Event::default(),
            closing_bell: Event::default(),
            sending_bell: Event::default(),
            quotas: RefCell::default(),
            mute: Cell::new(Mute::Heard),
            unsent: Unsent::default(),
            has_sent_all: Cell::default(),
            waits: RefCell::default(),
            presence: Cell::new(Presence::Here),
        });
        if connection.conn.borrow().muted_until().is_some() {
            connection.note_mute(Mute::Muted);
        }
        let (reader, writer) = (Rc::clone(&connection), Rc::clone(&connection));
        connection.shard.reactor().spawn_detached(async move { reader.read().await });
        connection.shard.reactor().spawn_detached(async move { writer.write().await });
        connection.shard.with_counters(|counters| match way {
            Way::Accepted => counters.connections.accepted += 1,
            Way::Moved => counters.connections.taken_over += 1,
        });
        connection
    }

    /// The shard that serves it.
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Whether limits count it.
    pub(crate) fn counts(&self) -> bool {
        self.counts.get().is_some()
    }

    /// Lets it count. Answers whether it did not before.
    pub(crate) fn begin_to_count(&self, origin: Origin) -> bool {
        let is_new = !self.counts();
        self.counts.set(Some(origin));
        is_new
    }

    /// When something was last received or sent.
    pub(crate) fn active_at(&self) -> Nanos {
        self.conn.borrow().active_at()
    }

    /// What the client has told of its software.
    pub(crate) fn software(&self) -> Option<Software> {
        self.software.borrow().as_deref().cloned()
    }

    /// Remembers what the client has told, unless that is longer than names of software are.
    pub(crate) fn set_software(&self, software: Software) {
        if software.name.len() + software.version.len() <= SOFTWARE_BYTES_MAX {
            *self.software.borrow_mut() = Some(Box::new(software));
        }
    }

    /// Ends it: requests under way are answered first.
    pub(crate) fn close(&self, reason: CloseReason) {
        self.conn.borrow_mut().close(reason);
        self.ring_closing();
    }

    /// Ends it if its time has come.
    pub(crate) fn handle_timeout(&self, now: Nanos) {
        self.conn.borrow_mut().handle_timeout(now);
        self.note_unmuted();
        self.give_up_going(now);
        if self.is_closing() {
            self.ring_closing();
        }
    }

    /// Whether it ends, and nothing should wait for its sake any more.
    pub(crate) fn is_closing(&self) -> bool {
        self.conn.borrow().closing().is_some()
    }

    /// Whether fetches are to be answered with what there is: it ends, or is to go to another shard.
    pub(crate) fn waits_no_more(&self) -> bool {
        self.is_closing() || self.is_going()
    }

    /// Has `event` ring when nothing should wait any more.
    pub(crate) fn begin_wait(&self, watch: WatchId, event: Rc<Event>) {
        self.waits.borrow_mut().insert(watch, event);
    }

    /// Forgets what [`begin_wait`](Self::begin_wait) brought.
    pub(crate) fn end_wait(&self, watch: WatchId) {
        self.waits.borrow_mut().remove(&watch);
    }

    fn ring_closing(&self) {
        for bell in [&self.writer_bell, &self.room_bell, &self.closing_bell, &self.sending_bell] {
            bell.ring();
        }
        self.ring_waits();
    }

    fn ring_waits(&self) {
        for event in self.waits.borrow().values() {
            event.ring();
        }
    }

    async fn read(self: Rc<Self>) {
        // What another shard has received comes first.
        self.serve().await;
        while !self.is_closing() {
            if self.try_to_go().await {
                return;
            }
            let want = self.conn.borrow_mut().want();
            match want {
                Want::Pool => self.receive().await,
                Want::Direct { chunk, bytes } => {
                    let receive = pin!(self.socket.recv_into(chunk, bytes));
                    if let Either::Left(((result, chunk), _)) = select(receive, pin!(self.closing())).await {
                        self.received(result.map(|bytes| bytes == 0), |conn, now| conn.received_direct(chunk, now));
                    }
                }
                Want::Memory { bytes, held_bytes } => self.grant(bytes, held_bytes).await,
                Want::Nothing => self.wait_for_room().await,
            }
            self.serve().await;
        }
        self.ring_closing();
        self.serve().await;
        while self.conn.borrow().has_untaken() {
            self.wait_for_room().await;
            self.serve().await;
        }
        // Only this task has memory granted and hands requests out, so this is all that none of them took along.
        let granted_bytes = self.conn.borrow().granted_bytes();
        self.shard.frames().give_back(granted_bytes);
    }

    /// Waits until another request may be taken up, or bytes for one received.
    async fn wait_for_room(&self) {
        let muted_until = self.conn.borrow().muted_until();
        let Some(until) = muted_until else { return self.room_bell.wait().await };
        // What rings the bell meanwhile is looked at by who asks, and who is muted then comes back.
        let room = self.shard.reactor().timeout(self.room_bell.wait(), until.since(self.shard.now()));
        let ended = match select(pin!(room), pin!(self.socket.hang_up())).await {
            Either::Left(_) => None,
            Either::Right((ended, _)) => Some(ended),
        };
        let now = self.shard.now();
        {
            let mut conn = self.conn.borrow_mut();
            match ended {
                None => conn.handle_timeout(now),
                // It brings nothing more that could be held back. What it has brought counts, and is served as if it were not
                // muted: a producer that wants no acknowledgements may close as soon as it has sent.
                Some(Ok(())) => conn.unmute(now),
                Some(Err(error)) => conn.close(CloseReason::SocketFailed(error.to_string())),
            }
        }
        self.note_unmuted();
    }

    fn note_unmuted(&self) {
        if self.conn.borrow().muted_until().is_none() {
            self.note_mute(Mute::Heard);
        }
    }

    async fn receive(&self) {
        let receive = pin!(self.socket.recv());
        let Either::Left((result, _)) = select(receive, pin!(self.nothing_to_read())).await else { return };
        match result {
            Ok(received) => self.received(Ok(received.is_empty()), |conn, now| conn.received(&received, now)),
            Err(error) => self.received(Err(error), |_, _| {}),
        }
    }

    fn received(&self, ended: io::Result<bool>, take: impl FnOnce(&mut Conn, Nanos)) {
        let now = self.shard.now();
        let mut conn = self.conn.borrow_mut();
        match ended {
            Ok(is_end) => {
                // At the end too: the chunk that was lent has what came before.
                take(&mut conn, now);
                if is_end {
                    conn.received_end();
                }
            }
            Err(error) => conn.close(CloseReason::SocketFailed(error.to_string())),
        }
    }

    /// Waits until the connection ends, or is not to be read for another reason.
    async fn nothing_to_read(&self) {
        while !self.is_closing() && !self.conn.borrow().is_held() {
            self.closing_bell.wait().await;
        }
    }

    /// Waits until the connection ends.
    async fn closing(&self) {
        while !self.is_closing() {
            self.closing_bell.wait().await;
        }
    }

    async fn grant(&self, bytes: usize, held_bytes: usize) {
        let (take, closing) = (pin!(self.shard.frames().take(bytes, held_bytes)), pin!(self.nothing_to_read()));
        let taken = match self.shard.reactor().timeout(select(take, closing), MEMORY_WAIT).await {
            Ok(Either::Left((taken, _))) => taken,
            Ok(Either::Right(_)) => return,
            Err(_) => None,
        };
        let mut conn = self.conn.borrow_mut();
        if let Some(chunk) = taken {
            let replaced = conn.grant(chunk);
            assert_eq!(replaced, held_bytes, "the budget counts what the frame holds");
        } else {
            conn.close(CloseReason::MemoryExhausted { announced: bytes });
        }
    }

    /// Begins every request that has arrived and has room, each when the one before it has taken its place.
    async fn serve(self: &Rc<Self>) {
        while self.conn.borrow().has_untaken() {
            self.shard.requests().begin().await;
            let next = self.conn.borrow_mut().next_request();
            let Some(request) = next else {
                self.shard.requests().end();
                break;
            };
            self.client_id.get_or_init(|| Arc::clone(&request.header.client_id));
            let course = self.shard.recorder().begin(&request, self.shard.seen_at());
            if let Some(meter) = self.meter(&request) {
                self.serve_metered(request, course, meter).await;
                continue;
            }
            match dispatch(self, &request, course, None).await {
                Handled::Now(response) => self.respond(request, response, course, self.shard.now()),
                Handled::Later(response) => {
                    let connection = Rc::clone(self);
                    self.shard.recorder().handled(course, self.shard.now());
                    self.shard.reactor().spawn_detached(async move {
                        let response = response.await;
                        // What has brought the answer has read the clock.
                        connection.respond(request, response, course, connection.shard.seen_at());
                    });
                }
            }
        }
        self.writer_bell.ring();
    }

    /// Measures what the request uses, if its client has quotas.
    fn meter(&self, request: &Request) -> Option<Rc<Meter>> {
        if !self.shard.quotas().are_set() && self.quotas.borrow().is_none() {
            return None;
        }
        let mut known = self.quotas.borrow_mut();
        let quotas = self.shard.quotas().of(&self.shard, &request.header.client_id, &mut known);
        let pace = if quotas.is_some() { Pace::OneByOne } else { Pace::Pipelined };
        self.conn.borrow_mut().set_pace(pace);
        quotas.map(|quotas| Rc::new(Meter::new(&self.shard, quotas, request)))
    }

    async fn serve_metered(self: &Rc<Self>, request: Request, course: CourseId, meter: Rc<Meter>) {
        match meter.time(dispatch(self, &request, course, Some(&meter))).await {
            Handled::Now(response) => self.respond_metered(request, response, course, &meter).await,
            Handled::Later(response) => {
                let connection = Rc::clone(self);
                self.shard.recorder().handled(course, self.shard.now());
                self.shard.reactor().spawn_detached(async move {
                    let response = meter.time(response).await;
                    connection.respond_metered(request, response, course, &meter).await;
                });
            }
        }
    }

    /// Answers at once, and takes nothing up from a client that is over a quota meanwhile.
    async fn respond_metered(&self, request: Request, response: Response, course: CourseId, meter: &Meter) {
        let response = meter.settle(&request.header, response).await;
        if let Some(mute) = meter.mute() {
            self.conn.borrow_mut().mute(self.shard.now(), mute);
            meter.tell_muted(self.peer, &request.header.client_id, mute);
            self.note_mute(Mute::Muted);
            self.shard.with_counters(|counters| counters.throttled(request.header.api_key, mute));
        }
        self.respond(request, response, course, self.shard.now());
    }

    fn respond(&self, request: Request, response: Response, course: CourseId, now: Nanos) {
        let is_sent = matches!(response, Response::Send(_)) && !self.has_sent_all.get();
        let unsent = is_sent.then_some(&self.unsent);
        let begun_at = self.shard.recorder().answered(course, now, &response, unsent);
        request_log::completed(self, begun_at, now, &request.header, request.frame_bytes, &response);
        let Request { seq, header, body, frame_bytes, granted_bytes, .. } = request;
        self.shard.with_counters(|counters| counters.answered(header.api_key, frame_bytes, &response));
        if !is_sent {
            self.request_ended(course, now);
        }
        self.conn.borrow_mut().respond(seq, response);
        self.count_answers();
        self.shard.requests().end();
        if granted_bytes > 0 {
            self.shard.frames().recycle(body);
            self.shard.frames().give_back(granted_bytes);
        }
        self.writer_bell.ring();
        self.room_bell.ring();
    }

    /// The socket has the answers to all requests before this one; or nothing more is sent.
    fn sent(&self, first_unsent: Option<RequestSeq>, now: Nanos) {
        self.shard.recorder().sent(&self.unsent, first_unsent, |course| self.request_ended(course, now));
    }

    fn request_ended(&self, course: CourseId, now: Nanos) {
        let shard = &self.shard;
        let whose = |first: Option<PartitionKey>| {
            let topic_of = |first: PartitionKey| {
                shard.with(|state| state.image.topic_by_id(first.topic_id).map(|topic| Arc::clone(&topic.name)))
            };
            let whose = Whose::new(self.client_id.get(), self.peer, first.and_then(topic_of));
            (shard.wall_clock(), whose)
        };
        let dice = || shard.reactor().random_u64();
        shard.with_counters(|counters| shard.recorder().ended(course, now, counters, dice, whose));
    }

    /// Counts the connection among those that are muted, or no longer.
    fn note_mute(&self, mute: Mute) {
        if self.mute.replace(mute) != mute {
            self.shard.with_counters(|counters| match mute {
                Mute::Muted => counters.connections.muted += 1,
                Mute::Heard => counters.connections.muted -= 1,
            });
        }
    }

    fn count_answers(&self) {
        let bytes = self.conn.borrow().response_bytes();
        self.shard.answers().recount(self.answer_bytes.replace(bytes), bytes);
    }

    async fn write(self: Rc<Self>) {
        let mut sending = None;
        while !self.is_gone() {
            let (now, has_sent) = (self.shard.now(), sending.is_some());
            if let Some((from, first_unsent)) = sending.take() {
                self.shard.with_counters(|counters| counters.transmitted(now.since(from)));
                self.sent(Some(first_unsent), now);
            }
            let (next, first_unsent) = {
                let mut conn = self.conn.borrow_mut();
                (conn.transmit(now), conn.first_unsent())
            };
            self.count_answers();
            if let Some(slices) = next {
                sending = Some((now, first_unsent));
                if let Err(error) = self.send(slices).await {
                    self.close(CloseReason::SocketFailed(error.to_string()));
                    break;
                }
                // Answers that have left make room for requests.
                self.room_bell.ring();
                continue;
            }
            if self.conn.borrow().finished().is_some() {
                break;
            }
            if has_sent && self.is_going() {
                // It may go now.
                self.room_bell.ring();
            }
            self.writer_bell.wait().await;
        }
        if !self.is_gone() {
            self.has_sent_all.set(true);
            self.sent(None, self.shard.now());
            self.ended().await;
        }
    }

    async fn send(&self, slices: Vec<Slice>) -> io::Result<()> {
        let send = pin!(self.socket.send(slices));
        match select(send, pin!(self.sending_is_over())).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    /// Waits until the connection ends, and for as long as a send may take then.
    async fn sending_is_over(&self) {
        while !self.is_closing() {
            self.sending_bell.wait().await;
        }
        self.shard.reactor().sleep(CLOSING_SEND_TIME_MAX).await;
    }

    async fn ended(&self) {
        let reason = self.conn.borrow().closing().cloned();
        // The peer may be gone already; then there is nobody to tell.
        let _ = self.socket.shutdown().await;
        self.tell_end(reason.as_ref());
    }

    /// What the client called itself; empty if it did not.
    fn client_id(&self) -> &str {
        self.client_id.get().map_or("", |client_id| &**client_id)
    }

    /// The line of the connection's end. Who closes a connection, or does not need it, is no news.
    fn tell_end(&self, reason: Option<&CloseReason>) {
        use CloseReason as Why;
        match reason {
            None | Some(Why::PeerClosed | Why::SocketFailed(_) | Why::ShuttingDown | Why::Idle(_)) => {
                let reason = reason.map(tracing::field::display);
                tracing::debug!(peer = %self.peer, client_id = self.client_id(), reason, "connection ended");
            }
            Some(why @ Why::FrameTooLarge { .. }) => told!(self, TooLarge, "requests that are too large", WARN, why),
            Some(why @ Why::MadeRoom) => told!(self, MadeRoom, "connections that made room for others", INFO, why),
            Some(why @ Why::MemoryExhausted { .. }) => {
                told!(self, MemoryExhausted, "requests without memory", WARN, why);
            }
            Some(why @ (Why::ApiKeyNotServed { .. } | Why::ApiVersionNotServed { .. })) => {
                told!(self, ClientUnsupported, "clients of other versions", INFO, why);
            }
            Some(
                why @ (Why::PeerClosedInFrame { .. }
                | Why::FrameNegative { .. }
                | Why::FrameTooShort { .. }
                | Why::HeaderMalformed { .. }
                | Why::BodyMalformed { .. }),
            ) => told!(self, Malformed, "connections with malformed bytes", INFO, why),
            Some(
                why @ (Why::ProduceWithoutAcksFailed(_) | Why::ResponseTooLarge { .. } | Why::ResponseUnwritable(_)),
            ) => told!(self, AnswerNotSent, "requests without an answer", INFO, why),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.note_mute(Mute::Heard);
        self.shard.with_counters(|counters| match self.presence.get() {
            Presence::Gone => counters.connections.given += 1,
            Presence::Here | Presence::Going { .. } => counters.connections.closed += 1,
        });
        self.shard.answers().recount(self.answer_bytes.get(), 0);
        if let Some(origin) = self.counts.get() {
            self.shard.connection_gate().ended(origin);
        }
    }
}
