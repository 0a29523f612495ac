//! The server's side of one connection, without I/O: received bytes in, requests out; responses in, bytes to send out.
//!
//! The shell does, in any order and as often as it likes:
//!
//! - asks [`Conn::want`] what the connection needs, and brings it: bytes from the shard's receive pool
//!   ([`received`](Conn::received)), bytes received straight into a frame's own chunk
//!   ([`received_direct`](Conn::received_direct)), or memory for a large frame ([`grant`](Conn::grant)). While it answers
//!   [`Want::Nothing`] the socket is not read: that is how a connection is told to wait.
//! - takes requests ([`next_request`](Conn::next_request)) and answers each exactly once ([`respond`](Conn::respond)), in
//!   whatever order they complete. Responses leave in the order of the requests.
//! - sends what [`transmit`](Conn::transmit) gives.
//! - calls [`handle_timeout`](Conn::handle_timeout) when [`next_deadline`](Conn::next_deadline) has come.
//! - mutes it ([`mute`](Conn::mute)) while its client is over a quota, asks [`muted_until`](Conn::muted_until) when that ends,
//!   and may end it before ([`unmute`](Conn::unmute)).
//! - may give it to another shard between two requests ([`hold`](Conn::hold), [`carry`](Conn::carry)).
//! - ends the connection once [`finished`](Conn::finished) tells a reason.
//!
//! Whatever goes wrong, requests that were taken before are still answered; the connection ends behind them.

mod carry;
mod close;
mod receive;
mod spare;
#[cfg(test)]
mod tests;
mod transmit;

pub use carry::Carried;
pub use close::CloseReason;
pub use receive::{
    DIRECT_BYTES_MAX, DIRECT_BYTES_MIN, FRAME_GROWTH_FACTOR, FRAME_PROOF_BYTES, INPUT_CHUNK_BYTES_MAX,
    SMALL_FRAME_BYTES_MAX,
};
pub use spare::SpareChunks;
pub use transmit::{Body, COPIED_SLICE_BYTES_MAX, TRANSMIT_BYTES_MAX, TRANSMIT_PIECES_MAX};

use crate::error::ErrorCode;
use crate::header::{Lookup, RequestHeader, RequestPrefix, ResponseHeader, ServedApi, ServedApis, decode_client_id};
use crate::messages::ApiKey;
use crate::wire::{ErrorCount, Reader, Writer};
use receive::{Frame, FrameWant, Receiver};
use ringlog_buffer::{Chunk, Slice};
use ringlog_storage::types::Nanos;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
pub(crate) use transmit::Outbox;

/// Limits of one connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnLimits {
    /// Largest frame: `socket.request.max.bytes`.
    pub frame_bytes_max: usize,
    /// Requests that were taken and whose answers have not left. With so many no further one is taken up; and with so many
    /// that have arrived the socket is not read.
    pub requests_in_flight_max: usize,
    /// Bytes of those requests. With so many the socket is not read; the request that reaches the limit is still taken.
    pub request_bytes_in_flight_max: usize,
    /// Bytes of answers that have not been sent. With so many no further request is taken up and the socket is not read; the
    /// answer that reaches the limit is still taken.
    pub response_bytes_in_flight_max: usize,
    /// `connections.max.idle.ms`; `None` is never.
    pub idle: Option<Duration>,
}

impl Default for ConnLimits {
    fn default() -> Self {
        Self {
            frame_bytes_max: 100 * 1024 * 1024,
            requests_in_flight_max: 64,
            request_bytes_in_flight_max: 4 * 1024 * 1024,
            response_bytes_in_flight_max: 4 * 1024 * 1024,
            idle: Some(Duration::from_mins(10)),
        }
    }
}

/// How many requests of a connection are served at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As many as its limits allow.
    Pipelined,
    /// One: nothing is read before it is answered. So a connection that is muted then holds next to nothing.
    OneByOne,
}

/// Names a request of its connection, counted from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestSeq(u64);

impl RequestSeq {
    /// The bare number.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A request to be served.
#[derive(Clone, Debug)]
pub struct Request {
    /// For [`Conn::respond`].
    pub seq: RequestSeq,
    /// Key, version, correlation id and client id.
    pub header: RequestHeader,
    /// What follows the header. Shares the frame's memory.
    pub body: Slice,
    /// Bytes of the frame, header included.
    pub frame_bytes: usize,
    /// When the first byte of it was received.
    pub first_byte_at: Nanos,
    /// When the last one was.
    pub arrived_at: Nanos,
    /// How long it has waited since then because its client was muted.
    pub muted: Duration,
    /// Memory that [`Conn::grant`] brought for this request. The shell gets it back when the request is done.
    pub granted_bytes: usize,
}

/// The answer to a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Response {
    /// This body, behind a header that the connection makes.
    Send(Body),
    /// No bytes at all: a Produce request with acks=0 that went well.
    Nothing,
    /// Nothing, and nothing after it: the connection ends.
    Close(CloseReason),
}

impl Response {
    /// The error codes that it tells, each once, and how often; or by its end.
    pub fn errors(&self) -> impl Iterator<Item = ErrorCount> + '_ {
        let (told, by_end) = match self {
            Self::Send(body) => (body.errors(), None),
            Self::Close(CloseReason::ProduceWithoutAcksFailed(code)) => (&[][..], Some(code.code())),
            Self::Nothing | Self::Close(_) => (&[][..], None),
        };
        told.iter().copied().chain(by_end.map(|code| ErrorCount { code, count: 1 }))
    }

    /// Bytes of the body.
    fn len(&self) -> usize {
        match self {
            Self::Send(body) => body.len(),
            Self::Nothing | Self::Close(_) => 0,
        }
    }
}

/// What a connection needs next.
#[derive(Debug)]
pub enum Want {
    /// Bytes from the shared receive pool, for [`Conn::received`].
    Pool,
    /// Up to `bytes` bytes received behind what `chunk` holds; then [`Conn::received_direct`].
    Direct {
        /// The chunk of the frame in progress.
        chunk: Chunk,
        /// The most that may be received into it.
        bytes: usize,
    },
    /// An empty chunk of at least `bytes` bytes of capacity, out of the shell's budget, for [`Conn::grant`]. Pool bytes
    /// are still taken meanwhile.
    Memory {
        /// What the frame needs to go on, with what has arrived of it.
        bytes: usize,
        /// Memory that was granted for the same frame before: the new chunk takes its place.
        held_bytes: usize,
    },
    /// Nothing: do not read the socket. Ask again after any other call.
    Nothing,
}

/// A whole frame that nobody has taken.
#[derive(Debug)]
struct Arrived {
    frame: Frame,
    at: Nanos,
    /// How long it has waited because the client was muted.
    muted: Duration,
}

impl Arrived {
    fn new(frame: Frame, at: Nanos) -> Self {
        Self { frame, at, muted: Duration::ZERO }
    }
}

/// The time in which nothing is taken up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Muted {
    from: Nanos,
    until: Nanos,
}

/// A request that was taken, or answered by the connection itself, and whose response has not left.
#[derive(Debug)]
struct Slot {
    api_key: ApiKey,
    header: ResponseHeader,
    frame_bytes: usize,
    response: Option<Response>,
}

/// One connection.
#[derive(Debug)]
pub struct Conn {
    limits: ConnLimits,
    apis: Arc<ServedApis>,
    receiver: Receiver,
    /// Whole frames that nobody has taken yet: those of one receive, beyond the requests that may be in flight.
    frames: VecDeque<Arrived>,
    /// Bytes of `frames` and of the requests in `slots`.
    bytes_in_flight: usize,
    /// Requests in order; the first one has the number `first_seq`.
    slots: VecDeque<Slot>,
    first_seq: u64,
    outbox: Outbox,
    /// Bytes of responses in `slots`, which wait for an earlier one.
    answered_bytes: usize,
    /// Bytes that the last call of `transmit` gave out: they are being sent until the next one.
    sending_bytes: usize,
    /// The last call of `transmit` gave something out.
    is_sending: bool,
    /// Nothing more is to be read.
    is_held: bool,
    /// The client id of the last request: nearly always that of the next one.
    client_id: Arc<str>,
    /// Memory granted and neither given back nor passed on with a request.
    granted_bytes: usize,
    pace: Pace,
    muted: Option<Muted>,
    active_at: Nanos,
    closing: Option<CloseReason>,
}

impl Conn {
    /// A connection that was accepted at `now`. It takes memory of `spares` while something is under way.
    pub fn new(limits: ConnLimits, apis: Arc<ServedApis>, spares: SpareChunks, now: Nanos) -> Self {
        Self {
            limits,
            apis,
            receiver: Receiver::new(spares.clone()),
            frames: VecDeque::new(),
            bytes_in_flight: 0,
            slots: VecDeque::new(),
            first_seq: 0,
            outbox: Outbox::new(spares),
            answered_bytes: 0,
            sending_bytes: 0,
            is_sending: false,
            is_held: false,
            client_id: Arc::from(""),
            granted_bytes: 0,
            pace: Pace::Pipelined,
            muted: None,
            active_at: now,
            closing: None,
        }
    }

    /// What the connection needs next. A chunk in the answer is lent: it comes back through
    /// [`received_direct`](Self::received_direct), or the connection can only be closed.
    pub fn want(&mut self) -> Want {
        // Answers count until they are given out: who does not read them brings no more requests.
        let full = self.in_flight() + self.outbox.len() >= self.limits.requests_in_flight_max
            || self.bytes_in_flight >= self.limits.request_bytes_in_flight_max
            || self.response_bytes() >= self.limits.response_bytes_in_flight_max
            || (self.pace == Pace::OneByOne && self.in_flight() > 0);
        if full || self.muted.is_some() || self.closing.is_some() || self.is_held() {
            return Want::Nothing;
        }
        match self.receiver.want() {
            FrameWant::Pool => Want::Pool,
            FrameWant::Direct { chunk, bytes } => Want::Direct { chunk, bytes },
            FrameWant::Memory { bytes, held_bytes } => Want::Memory { bytes, held_bytes },
            FrameWant::Lent => Want::Nothing,
        }
    }

    /// Takes bytes that were received. Copies them; none are left over.
    pub fn received(&mut self, bytes: &[u8], now: Nanos) {
        self.active_at = now;
        if self.closing.is_some() {
            return;
        }
        let (frames, bytes_in_flight) = (&mut self.frames, &mut self.bytes_in_flight);
        let followed = self.receiver.received(bytes, now, self.limits.frame_bytes_max, |frame| {
            *bytes_in_flight += frame.bytes.len();
            frames.push_back(Arrived::new(frame, now));
        });
        if let Err(reason) = followed {
            self.close_behind_frames(reason);
        }
    }

    /// Takes back the chunk that [`Want::Direct`] lent, with what was received into it.
    pub fn received_direct(&mut self, chunk: Chunk, now: Nanos) {
        self.active_at = now;
        if let Some(frame) = self.receiver.received_direct(chunk) {
            self.bytes_in_flight += frame.bytes.len();
            self.frames.push_back(Arrived::new(frame, now));
        }
    }

    /// Brings the memory that [`Want::Memory`] asked for, right after it. Answers the bytes that were held for the same
    /// frame before, which the shell gets back. Panics if nothing was asked for.
    pub fn grant(&mut self, chunk: Chunk) -> usize {
        let (granted_bytes, before) = (chunk.capacity(), self.receiver.grant(chunk));
        self.granted_bytes = self.granted_bytes + granted_bytes - before;
        before
    }

    /// Memory granted for what is no request yet. The shell gets it back when it drops the connection.
    pub fn granted_bytes(&self) -> usize {
        self.granted_bytes
    }

    /// The client sends no more. Requests that have arrived are still served.
    pub fn received_end(&mut self) {
        let reason = match self.receiver.progress() {
            Some((arrived, announced)) => CloseReason::PeerClosedInFrame { arrived, announced },
            None => CloseReason::PeerClosed,
        };
        self.close_behind_frames(reason);
    }

    /// Ends the connection: what has arrived and was not taken is dropped, requests that were taken are still answered.
    /// The first reason counts.
    pub fn close(&mut self, reason: CloseReason) {
        self.bytes_in_flight -= self.frames.iter().map(|arrived| arrived.frame.bytes.len()).sum::<usize>();
        self.frames.clear();
        self.close_behind_frames(reason);
    }

    fn close_behind_frames(&mut self, reason: CloseReason) {
        self.closing.get_or_insert(reason);
    }

    /// The reason to end the connection, once everything that was to be sent has been given out.
    pub fn finished(&self) -> Option<&CloseReason> {
        let done = self.frames.is_empty() && self.slots.is_empty() && self.outbox.is_empty();
        self.closing.as_ref().filter(|_| done)
    }

    /// The reason that the connection has to end, from the moment on when it is known.
    pub fn closing(&self) -> Option<&CloseReason> {
        self.closing.as_ref()
    }

    /// Requests that have arrived and are not answered, or wait for an earlier one to be.
    pub fn in_flight(&self) -> usize {
        self.frames.len() + self.slots.len()
    }

    /// Whether requests have arrived that nobody has taken.
    pub fn has_untaken(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Bytes of answers that have not been sent, as far as is known here: those of the last [`transmit`](Self::transmit)
    /// count until it is called again.
    pub fn response_bytes(&self) -> usize {
        self.answered_bytes + self.outbox.bytes() + self.sending_bytes
    }

    /// Sets how many requests are served at a time, from the next one on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Takes no requests up and does not read the socket for so long, or longer if that was said before. Answers are sent.
    pub fn mute(&mut self, now: Nanos, time: Duration) {
        let until = now.saturating_add(time);
        let muted = self.muted.get_or_insert(Muted { from: now, until });
        muted.until = muted.until.max(until);
    }

    /// Takes requests up again before the time is over.
    pub fn unmute(&mut self, now: Nanos) {
        if let Some(muted) = self.muted.take() {
            for arrived in &mut self.frames {
                arrived.muted += now.since(muted.from.max(arrived.at));
            }
        }
        self.active_at = now;
    }

    /// When a connection that is muted is to be woken by [`handle_timeout`](Self::handle_timeout).
    pub fn muted_until(&self) -> Option<Nanos> {
        self.muted.map(|muted| muted.until)
    }

    fn may_take(&self) -> bool {
        self.muted.is_none()
            && (self.pace == Pace::Pipelined || self.slots.is_empty())
            && self.slots.len() + self.outbox.len() < self.limits.requests_in_flight_max
            && self.response_bytes() < self.limits.response_bytes_in_flight_max
    }

    /// The next request, in the order of arrival; `None` until more has arrived, or while the connection has as many
    /// requests, or bytes of answers, in flight as it may.
    pub fn next_request(&mut self) -> Option<Request> {
        while self.may_take() {
            let arrived = self.frames.pop_front()?;
            match self.open(&arrived) {
                Ok(Some(request)) => {
                    self.granted_bytes -= request.granted_bytes;
                    return Some(request);
                }
                Ok(None) => {}
                Err(reason) => self.close(reason),
            }
        }
        None
    }

    /// Reads a frame's header. `None` where the connection answers by itself.
    fn open(&mut self, arrived: &Arrived) -> Result<Option<Request>, CloseReason> {
        let Arrived { frame, at: arrived_at, muted } = arrived;
        let frame_bytes = frame.bytes.len();
        let mut r = Reader::new(&frame.bytes);
        let prefix = RequestPrefix::decode(&mut r).expect("a frame is never shorter than a prefix");
        let RequestPrefix { api_key, api_version, correlation_id } = prefix;
        let api_key = match self.apis.look_up(api_key, api_version) {
            Lookup::Served(api_key) => api_key,
            // A larger frame than any version of it needs is not let off so lightly.
            Lookup::OtherApiVersions(row) if frame.granted_bytes == 0 => {
                let header = ResponseHeader { correlation_id, flexible: false };
                let response = Response::Send(other_api_versions(row));
                self.answered_bytes += response.len();
                self.slots.push_back(Slot { api_key: row.api_key, header, frame_bytes, response: Some(response) });
                self.release();
                return Ok(None);
            }
            Lookup::OtherVersion(row) | Lookup::OtherApiVersions(row) => {
                let ServedApi { api_key, min, max } = row;
                return Err(CloseReason::ApiVersionNotServed { api_name: api_key.name(), api_version, min, max });
            }
            Lookup::NotServed => return Err(CloseReason::ApiKeyNotServed { api_key }),
        };
        let client_id = decode_client_id(&mut r, api_key.request_header_version(api_version))
            .map_err(|error| CloseReason::HeaderMalformed { api_key: prefix.api_key, api_version, error })?;
        if *client_id != *self.client_id {
            self.client_id = Arc::from(client_id);
        }
        let body = frame.bytes.slice(frame_bytes - r.remaining()..frame_bytes);
        let header = RequestHeader { api_key, api_version, correlation_id, client_id: Arc::clone(&self.client_id) };
        let seq = RequestSeq(self.first_seq + u64::try_from(self.slots.len()).expect("a length fits 64 bits"));
        let response_header = ResponseHeader::new(api_key, api_version, correlation_id);
        self.slots.push_back(Slot { api_key, header: response_header, frame_bytes, response: None });
        Ok(Some(Request {
            seq,
            header,
            body,
            frame_bytes,
            first_byte_at: frame.first_byte_at,
            arrived_at: *arrived_at,
            muted: *muted,
            granted_bytes: frame.granted_bytes,
        }))
    }

    /// Answers a request. Panics if it has an answer already. Ignored once an earlier request has ended the connection.
    pub fn respond(&mut self, seq: RequestSeq, response: Response) {
        let index = seq.0.checked_sub(self.first_seq).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(slot) => {
                self.answered_bytes += response.len();
                assert!(slot.response.replace(response).is_none(), "request {seq:?} is answered twice");
            }
            None => assert!(self.closing.is_some(), "request {seq:?} is not in flight"),
        }
        self.release();
    }

    /// Moves answered requests from the front of the line to the outbox.
    fn release(&mut self) {
        while let Some(slot) = self.slots.pop_front_if(|slot| slot.response.is_some()) {
            let seq = RequestSeq(self.first_seq);
            self.first_seq += 1;
            self.bytes_in_flight -= slot.frame_bytes;
            let response = slot.response.expect("was looked at");
            let bytes = response.len();
            self.answered_bytes -= bytes;
            let end = match response {
                Response::Send(body) if fits_a_frame(slot.header, bytes) => {
                    self.outbox.push(seq, slot.header, body);
                    continue;
                }
                Response::Send(_) => CloseReason::ResponseTooLarge { api_name: slot.api_key.name(), bytes },
                Response::Nothing => continue,
                Response::Close(reason) => reason,
            };
            self.slots.clear();
            self.answered_bytes = 0;
            self.close(end);
        }
    }

    /// The next bytes to send, all of them, in order; `None` if there are none now. Each piece is sent as it is. To be called
    /// when what it gave before has been sent.
    pub fn transmit(&mut self, now: Nanos) -> Option<Vec<Slice>> {
        let before = self.outbox.bytes();
        self.sending_bytes = 0;
        self.is_sending = !self.outbox.is_empty();
        let Some(pieces) = self.outbox.transmit() else {
            if self.in_flight() == 0 {
                self.receiver.rest();
            }
            return None;
        };
        self.sending_bytes = before - self.outbox.bytes();
        self.active_at = now;
        Some(pieces)
    }

    /// Answers to requests before this one were given out by [`transmit`](Self::transmit), or have no bytes.
    pub fn first_unsent(&self) -> RequestSeq {
        self.outbox.next_seq().unwrap_or(RequestSeq(self.first_seq))
    }

    /// When something was last received or sent.
    pub fn active_at(&self) -> Nanos {
        self.active_at
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called. Earlier calls do no harm.
    pub fn next_deadline(&self) -> Option<Nanos> {
        if self.closing.is_some() {
            return None;
        }
        // A client that is kept waiting is not idle.
        self.muted_until().or_else(|| self.idle_deadline())
    }

    fn idle_deadline(&self) -> Option<Nanos> {
        let idle = self.limits.idle.map(|idle| self.active_at.saturating_add(idle));
        idle.filter(|_| self.in_flight() == 0)
    }

    /// Ends the mute of a connection, or an idle connection, whose time has come.
    pub fn handle_timeout(&mut self, now: Nanos) {
        if let Some(until) = self.muted_until() {
            if now >= until {
                self.unmute(now);
            }
            return;
        }
        if self.next_deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        self.close(CloseReason::Idle(self.limits.idle.expect("its deadline has come")));
    }
}

fn fits_a_frame(header: ResponseHeader, body_bytes: usize) -> bool {
    i32::try_from(header.len() + body_bytes).is_ok()
}

/// The answer that a client of any age understands (version 0): an error, and which versions of `ApiVersions` it may use.
fn other_api_versions(row: ServedApi) -> Body {
    let mut w = Writer::with_capacity(12);
    w.i16(ErrorCode::UnsupportedVersion.code());
    w.i32(1);
    w.i16(row.api_key.code());
    w.i16(row.min);
    w.i16(row.max);
    Body::from(w.into_bytes())
}
