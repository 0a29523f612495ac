//! A connection that is fed any bytes in any pieces, and answered in any order: memory is asked for only as bytes arrive,
//! every byte of it comes back, and responses keep the order of the requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_buffer::Chunk;
use ringlog_fuzz::choices::Choices;
use ringlog_net::conn::{
    Body, CloseReason, Conn, ConnLimits, FRAME_GROWTH_FACTOR, INPUT_CHUNK_BYTES_MAX, Request, Response,
    SpareChunks, Want,
};
use ringlog_net::header::{ServedApi, ServedApis};
use ringlog_net::messages::ApiKey;
use ringlog_storage::types::Nanos;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const FRAME_BYTES_MAX: usize = 1 << 20;
const REQUESTS_MAX: usize = 4;

thread_local! {
    static APIS: Arc<ServedApis> = Arc::new(ServedApis::new(ApiKey::ALL.into_iter().map(|api_key| {
        let versions = api_key.valid_versions();
        ServedApi { api_key, min: *versions.start(), max: *versions.end() }
    }).filter(|row| row.min <= row.max)));
}

/// A connection, and what is known of it from outside.
struct Session {
    conn: Conn,
    now: Nanos,
    received_bytes: usize,
    /// Memory that was granted and has not come back.
    granted_bytes: usize,
    /// Requests to be answered.
    open: Vec<Request>,
    /// Correlation ids of what is to be sent, in order; `None` where nothing is.
    expected: VecDeque<(u64, i32, Option<bool>)>,
    sent: Vec<u8>,
}

impl Session {
    fn take_requests(&mut self) {
        while let Some(request) = self.conn.next_request() {
            assert!(request.body.len() <= request.frame_bytes && request.frame_bytes <= FRAME_BYTES_MAX);
            self.expected.push_back((request.seq.get(), request.header.correlation_id, None));
            self.open.push(request);
        }
    }

    fn answer(&mut self, choice: u8) {
        if self.open.is_empty() {
            return;
        }
        let request = self.open.swap_remove(usize::from(choice >> 3) % self.open.len());
        let (response, sends) = match choice & 7 {
            0 => (Response::Nothing, false),
            1 => (Response::Close(CloseReason::ShuttingDown), false),
            bytes => (Response::Send(Body::from(vec![bytes; usize::from(choice) * 16])), true),
        };
        self.granted_bytes -= request.granted_bytes;
        if let Some(entry) = self.expected.iter_mut().find(|(seq, ..)| *seq == request.seq.get()) {
            entry.2 = Some(sends);
        }
        self.conn.respond(request.seq, response);
    }

    fn send(&mut self) {
        while let Some(pieces) = self.conn.transmit(self.now) {
            for piece in pieces {
                self.sent.extend_from_slice(&piece);
            }
        }
    }

    /// Brings what the connection wants, out of `stream`. Answers whether that went on.
    fn feed(&mut self, stream: &mut Choices<'_>, piece: usize) -> bool {
        match self.conn.want() {
            Want::Pool => {
                let bytes = stream.bytes(piece);
                self.received_bytes += bytes.len();
                self.conn.received(bytes, self.now);
                !bytes.is_empty()
            }
            Want::Direct { mut chunk, bytes } => {
                let bytes = stream.bytes(piece.min(bytes));
                self.received_bytes += bytes.len();
                chunk.append(bytes);
                self.conn.received_direct(chunk, self.now);
                !bytes.is_empty()
            }
            Want::Memory { bytes, held_bytes } => {
                assert!(bytes <= FRAME_BYTES_MAX && bytes <= self.received_bytes * FRAME_GROWTH_FACTOR);
                let chunk = Chunk::with_capacity(bytes);
                self.granted_bytes += chunk.capacity();
                let before = self.conn.grant(chunk);
                assert_eq!(before, held_bytes);
                self.granted_bytes -= before;
                true
            }
            Want::Nothing => false,
        }
    }

    fn check_memory(&self) {
        let of_requests: usize = self.open.iter().map(|request| request.granted_bytes).sum();
        assert_eq!(self.granted_bytes, self.conn.granted_bytes() + of_requests);
        assert!(self.open.len() <= REQUESTS_MAX);
        // What was taken before the limit was reached counts, and what came in one piece with it.
        assert!(self.conn.in_flight() <= REQUESTS_MAX + INPUT_CHUNK_BYTES_MAX / 12);
    }

    /// What was sent is one frame for each request that was answered with one, in the order of the requests.
    fn check_sent(&self) {
        let mut sent = &self.sent[..];
        let answered = self.expected.iter().take_while(|(_, _, sends)| sends.is_some());
        let mut ids = answered.filter(|(_, _, sends)| *sends == Some(true)).map(|(_, id, _)| *id);
        while let Some((size, rest)) = sent.split_first_chunk::<4>() {
            let size = usize::try_from(i32::from_be_bytes(*size)).expect("a size");
            let id = i32::from_be_bytes(rest[..4].try_into().expect("whole frames are sent"));
            // The connection itself answers ApiVersions of unknown versions: error 35, one key, its versions.
            let is_own = size == 16 && rest[4..6] == 35_i16.to_be_bytes();
            assert!(is_own || ids.next() == Some(id), "a response that is not next in line");
            sent = &rest[size..];
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let plan = choices.bytes(8).to_vec();
    let limits = ConnLimits {
        frame_bytes_max: FRAME_BYTES_MAX,
        requests_in_flight_max: REQUESTS_MAX,
        request_bytes_in_flight_max: FRAME_BYTES_MAX,
        response_bytes_in_flight_max: 8192,
        idle: Some(Duration::from_secs(1)),
    };
    let mut session = Session {
        conn: Conn::new(limits, APIS.with(Arc::clone), SpareChunks::default(), Nanos::default()),
        now: Nanos::default(),
        received_bytes: 0,
        granted_bytes: 0,
        open: Vec::new(),
        expected: VecDeque::new(),
        sent: Vec::new(),
    };
    let mut turn = 0_usize;
    loop {
        let choice = plan.get(turn % 8).copied().unwrap_or(0).wrapping_add(u8::try_from(turn % 251).expect("small"));
        turn += 1;
        let piece = [1, 3, 64, 1000, 16_384][usize::from(choice) % 5];
        let fed = session.feed(&mut choices, piece);
        session.take_requests();
        if choice & 3 != 0 {
            session.answer(choice);
        }
        if choice & 4 == 0 {
            session.send();
        }
        session.check_memory();
        if !fed && session.open.is_empty() && !session.conn.has_untaken() {
            break;
        }
        assert!(turn < 200_000, "the connection neither reads nor ends");
    }
    session.conn.received_end();
    session.take_requests();
    while !session.open.is_empty() || session.conn.has_untaken() {
        session.answer(u8::try_from(turn % 7 + 2).expect("small"));
        session.send();
        session.take_requests();
        turn += 1;
    }
    session.send();
    session.check_memory();
    session.check_sent();
    assert!(session.conn.finished().is_some(), "a connection that is over ends");
});
