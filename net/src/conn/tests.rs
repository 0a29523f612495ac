//! The connection as a whole: single rules first, then sessions of a seed against what must come out.

mod carry;
mod mute;
mod stamps;

use super::*;
use crate::seeded::Seeded;

const START: Nanos = Nanos::new(1_000);

fn apis() -> Arc<ServedApis> {
    Arc::new(ServedApis::new([
        ServedApi { api_key: ApiKey::Produce, min: 3, max: 13 },
        ServedApi { api_key: ApiKey::Metadata, min: 0, max: 13 },
        ServedApi { api_key: ApiKey::ApiVersions, min: 0, max: 4 },
    ]))
}

fn conn() -> Conn {
    Conn::new(ConnLimits::default(), apis(), SpareChunks::default(), START)
}

/// A request as a client sends it, size field included.
fn request(api_key: i16, api_version: i16, correlation_id: i32, flexible: bool, body: &[u8]) -> Vec<u8> {
    let mut w = Writer::new();
    w.i32(0);
    w.i16(api_key);
    w.i16(api_version);
    w.i32(correlation_id);
    w.raw(b"\x00\x03cli");
    if flexible {
        w.raw(&[0]);
    }
    w.raw(body);
    let size = i32::try_from(w.len() - 4).expect("a small request");
    w.patch_i32(0, size);
    w.into_bytes()
}

fn metadata(correlation_id: i32) -> Vec<u8> {
    request(3, 1, correlation_id, false, b"body")
}

fn sent(conn: &mut Conn) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(pieces) = conn.transmit(START) {
        all.extend(pieces.iter().flat_map(|piece| piece.iter().copied()));
    }
    all
}

fn body(bytes: &[u8]) -> Response {
    Response::Send(Body::from(bytes.to_vec()))
}

fn next(conn: &mut Conn) -> Request {
    conn.next_request().expect("a request has arrived")
}

#[test]
fn responses_leave_in_the_order_of_requests() {
    let mut conn = conn();
    conn.received(&[metadata(7), metadata(8)].concat(), START);
    let (first, second) = (next(&mut conn), next(&mut conn));
    assert!(conn.next_request().is_none());
    assert_eq!((&*first.body, &*first.header.client_id, first.header.correlation_id), (&b"body"[..], "cli", 7));
    assert!(Arc::ptr_eq(&first.header.client_id, &second.header.client_id), "a repeated client id is shared");
    conn.respond(second.seq, body(b"two"));
    assert!(conn.transmit(START).is_none());
    conn.respond(first.seq, body(b"one"));
    let pieces = conn.transmit(START).expect("both are ready");
    assert_eq!(pieces.len(), 1, "small responses leave as one piece");
    assert_eq!(&*pieces[0], b"\0\0\0\x07\0\0\0\x07one\0\0\0\x07\0\0\0\x08two");
    assert_eq!(conn.in_flight(), 0);
}

#[test]
fn shared_slices_are_sent_as_they_are() {
    let mut conn = conn();
    conn.received(&request(0, 9, 1, true, b""), START);
    let request = next(&mut conn);
    let records = Slice::from(&[7; COPIED_SLICE_BYTES_MAX + 1][..]);
    let mut response = Body::default();
    response.bytes_mut().extend_from_slice(b"head");
    response.insert(records.clone());
    response.insert(Slice::from(&b"small"[..]));
    response.bytes_mut().extend_from_slice(b"tail");
    assert_eq!(response.len(), 4 + records.len() + 5 + 4);
    let flat = response.to_vec();
    conn.respond(request.seq, Response::Send(response));
    let pieces = conn.transmit(START).expect("it is ready");
    assert_eq!(pieces.len(), 3);
    assert_eq!(pieces[1].as_ptr(), records.as_ptr(), "no copy");
    assert_eq!(&*pieces[2], b"smalltail");
    let all: Vec<u8> = pieces.iter().flat_map(|piece| piece.to_vec()).collect();
    assert_eq!(all[9..], flat);
    assert_eq!(all[..9], [0, 0, 2, 19, 0, 0, 0, 1, 0], "size, correlation id, no tagged fields");
}

#[test]
fn an_unknown_version_of_api_versions_is_answered_with_error_35_and_key_18() {
    let mut conn = conn();
    conn.received(&metadata(1), START);
    // Nothing behind the correlation id is read: here it is no header at all.
    conn.received(b"\0\0\0\x0a\0\x12\0\x63\0\0\0\x02\xff\xfe", START);
    let first = next(&mut conn);
    assert!(conn.next_request().is_none());
    conn.respond(first.seq, body(b""));
    let expected = b"\0\0\0\x04\0\0\0\x01\0\0\0\x10\0\0\0\x02\0\x23\0\0\0\x01\0\x12\0\0\0\x04";
    assert_eq!(sent(&mut conn), expected);
    assert_eq!(conn.closing(), None);
}

#[test]
fn bytes_that_are_no_requests_close() {
    let check = |bytes: &[u8], expected: CloseReason| {
        let mut conn = conn();
        conn.received(&metadata(1), START);
        conn.received(bytes, START);
        let good = next(&mut conn);
        assert!(conn.next_request().is_none());
        assert_eq!(conn.closing(), Some(&expected));
        assert!(matches!(conn.want(), Want::Nothing));
        conn.received(&metadata(2), START);
        assert!(conn.next_request().is_none(), "nothing behind it is served");
        assert_eq!(conn.finished(), None, "the request before it has no answer yet");
        conn.respond(good.seq, body(b"ok"));
        assert_eq!(sent(&mut conn), b"\0\0\0\x06\0\0\0\x01ok");
        assert_eq!(conn.finished(), Some(&expected));
        assert!(!expected.to_string().is_empty());
    };
    check(b"\xff\xff\xff\xff", CloseReason::FrameNegative { announced: -1 });
    check(b"\0\0\0\0", CloseReason::FrameTooShort { announced: 0 });
    check(b"\x16\x03\x01\x02", CloseReason::FrameTooLarge { announced: 0x1603_0102, limit: 104_857_600 });
    check(&request(99, 0, 0, false, b""), CloseReason::ApiKeyNotServed { api_key: 99 });
    let version =
        CloseReason::ApiVersionNotServed { api_name: ApiKey::Produce.name(), api_version: 2, min: 3, max: 13 };
    check(&request(0, 2, 0, false, b""), version);
    let error = crate::wire::DecodeError::Truncated { needed: 1 };
    let malformed = CloseReason::HeaderMalformed { api_key: 3, api_version: 1, error };
    check(b"\0\0\0\x09\0\x03\0\x01\0\0\0\x01\0", malformed);
}

#[test]
fn a_client_that_leaves_still_gets_its_answers() {
    let mut conn = conn();
    conn.received(&[metadata(1), metadata(2)].concat(), START);
    conn.received(b"\0\0\0\x10abc", START);
    conn.received_end();
    let reason = CloseReason::PeerClosedInFrame { arrived: 3, announced: 16 };
    assert_eq!(conn.closing(), Some(&reason));
    for _ in 0..2 {
        assert_eq!(conn.finished(), None);
        let request = next(&mut conn);
        conn.respond(request.seq, body(b""));
    }
    assert_eq!(sent(&mut conn).len(), 16);
    assert_eq!(conn.finished(), Some(&reason));
}

#[test]
fn closing_as_an_answer_drops_what_comes_behind() {
    let mut conn = conn();
    conn.received(&[metadata(1), metadata(2), metadata(3), metadata(4)].concat(), START);
    let (first, second, third) = (next(&mut conn), next(&mut conn), next(&mut conn));
    let reason = CloseReason::ProduceWithoutAcksFailed(ErrorCode::NotLeaderOrFollower);
    conn.respond(second.seq, Response::Close(reason.clone()));
    assert_eq!(conn.closing(), None);
    conn.respond(first.seq, body(b""));
    assert_eq!(conn.closing(), Some(&reason));
    assert!(conn.next_request().is_none());
    assert_eq!(sent(&mut conn).len(), 8);
    assert_eq!(conn.finished(), Some(&reason));
    conn.respond(third.seq, body(b"late"));
    assert!(sent(&mut conn).is_empty());
}

#[test]
fn only_a_connection_with_nothing_to_do_is_idle() {
    let idle = Duration::from_mins(10);
    let mut conn = conn();
    assert_eq!(conn.next_deadline(), Some(START.saturating_add(idle)));
    conn.received(&metadata(1), START);
    assert_eq!(conn.next_deadline(), None);
    let request = next(&mut conn);
    let answered = START.saturating_add(Duration::from_hours(1));
    conn.respond(request.seq, body(b""));
    conn.transmit(answered).expect("the answer");
    let deadline = answered.saturating_add(idle);
    assert_eq!(conn.next_deadline(), Some(deadline));
    conn.handle_timeout(answered);
    assert_eq!(conn.closing(), None);
    conn.handle_timeout(deadline);
    assert_eq!(conn.finished(), Some(&CloseReason::Idle(idle)));
    assert_eq!(conn.next_deadline(), None);
}

#[test]
fn with_enough_in_flight_the_socket_is_not_read() {
    let limits = ConnLimits { requests_in_flight_max: 2, ..ConnLimits::default() };
    let mut conn = Conn::new(limits, apis(), SpareChunks::default(), START);
    conn.received(&metadata(1), START);
    assert!(matches!(conn.want(), Want::Pool));
    conn.received(&metadata(2), START);
    assert!(matches!(conn.want(), Want::Nothing));
    let first = next(&mut conn);
    assert!(matches!(conn.want(), Want::Nothing), "taken is not answered");
    conn.respond(first.seq, Response::Nothing);
    assert!(matches!(conn.want(), Want::Pool));

    let limits = ConnLimits { request_bytes_in_flight_max: 34, ..ConnLimits::default() };
    let mut conn = Conn::new(limits, apis(), SpareChunks::default(), START);
    conn.received(&metadata(1), START);
    assert!(matches!(conn.want(), Want::Pool), "one request has 17 bytes");
    conn.received(&metadata(2), START);
    assert!(matches!(conn.want(), Want::Nothing));
}

#[test]
fn requests_that_came_at_once_are_taken_up_to_the_limit() {
    let limits = ConnLimits { requests_in_flight_max: 2, ..ConnLimits::default() };
    let mut conn = Conn::new(limits, apis(), SpareChunks::default(), START);
    let all: Vec<u8> = (0..5).flat_map(metadata).collect();
    conn.received(&all, START);
    let (first, second) = (next(&mut conn), next(&mut conn));
    assert!(conn.next_request().is_none() && conn.has_untaken());
    conn.respond(first.seq, body(b""));
    assert!(conn.next_request().is_none(), "its answer has not left");
    assert_eq!(sent(&mut conn).len(), 8);
    let third = next(&mut conn);
    assert!(conn.next_request().is_none());
    conn.received_end();
    conn.respond(third.seq, Response::Nothing);
    conn.respond(second.seq, Response::Nothing);
    for correlation_id in 3..5 {
        let request = next(&mut conn);
        assert_eq!(request.header.correlation_id, correlation_id);
        conn.respond(request.seq, Response::Nothing);
    }
    assert!(!conn.has_untaken());
    assert_eq!(conn.finished(), Some(&CloseReason::PeerClosed));
}

#[test]
fn a_large_frame_is_received_into_a_chunk_of_its_own() {
    let mut conn = conn();
    let bytes = request(0, 9, 1, true, &vec![5; 1 << 20]);
    conn.received(&bytes[..100], START);
    assert!(matches!(conn.want(), Want::Pool), "100 bytes prove nothing");
    conn.received(&bytes[100..20_000], START);
    let Want::Memory { bytes: needed, held_bytes: 0 } = conn.want() else { panic!("it has proven itself") };
    assert_eq!(needed, bytes.len() - 4);
    conn.received(&bytes[20_000..30_000], START);
    assert_eq!(conn.grant(Chunk::with_capacity(needed)), 0);
    let granted = conn.granted_bytes();
    assert!(granted >= needed);
    let Want::Direct { mut chunk, bytes: most } = conn.want() else { panic!("most of it is still to come") };
    assert!(matches!(conn.want(), Want::Nothing), "its chunk is lent");
    assert_eq!(most, bytes.len() - 30_000);
    let memory = chunk.as_ptr();
    chunk.append(&bytes[30_000..bytes.len() - 10]);
    conn.received_direct(chunk, START);
    assert!(matches!(conn.want(), Want::Pool), "ten bytes are not worth a receive of their own");
    conn.received(&[&bytes[bytes.len() - 10..], &metadata(2)].concat(), START);
    let request = next(&mut conn);
    assert_eq!(request.granted_bytes, granted);
    assert_eq!(conn.granted_bytes(), 0);
    assert_eq!(request.body, Slice::from(&vec![5; 1 << 20][..]));
    assert_eq!(request.body.as_ptr(), memory.wrapping_add(14), "it was not moved any more");
    assert_eq!(next(&mut conn).header.correlation_id, 2);
}

#[test]
fn memory_is_asked_for_in_proportion_to_what_has_arrived() {
    let mut conn = conn();
    let announced = 100 * 1024 * 1024;
    conn.received(&u32::try_from(announced).expect("100 MiB").to_be_bytes(), START);
    let mut arrived = 0;
    let mut grants = Vec::new();
    while conn.in_flight() == 0 {
        match conn.want() {
            Want::Pool => {
                let count = (announced - arrived).min(16 * 1024);
                conn.received(&vec![0; count], START);
                arrived += count;
            }
            Want::Direct { mut chunk, bytes } => {
                assert!(bytes <= DIRECT_BYTES_MAX);
                chunk.advance(bytes);
                arrived += bytes;
                conn.received_direct(chunk, START);
            }
            Want::Memory { bytes, held_bytes } => {
                assert!(bytes <= FRAME_GROWTH_FACTOR * arrived, "{bytes} for {arrived} bytes");
                assert_eq!(held_bytes, conn.granted_bytes());
                assert_eq!(conn.grant(Chunk::with_capacity(bytes)), held_bytes);
                grants.push(bytes);
            }
            Want::Nothing => panic!("nothing holds it up"),
        }
    }
    assert_eq!(grants.len(), 2, "{grants:?}");
    assert_eq!(arrived, announced);
}

#[test]
fn a_connection_with_nothing_under_way_keeps_no_memory() {
    let spares = SpareChunks::default();
    let connection = || Conn::new(ConnLimits::default(), apis(), spares.clone(), START);
    let mut quiet: Vec<Conn> = (0..3).map(|_| connection()).collect();
    for conn in &mut quiet {
        conn.received(&metadata(1), START);
        let request = next(conn);
        conn.respond(request.seq, body(b"answer"));
        let pieces = conn.transmit(START).expect("an answer");
        assert!(conn.transmit(START).is_none());
        assert_eq!(conn.receiver.own_bytes(), 4096, "the request is still in use");
        drop((request, pieces));
        assert!(conn.transmit(START).is_none());
        assert_eq!(conn.receiver.own_bytes(), 0);
    }
    assert_eq!(spares.bytes(), 2 * 4096, "each of them used the two chunks of the one before");
    // In the middle of a frame it keeps what has arrived.
    quiet[0].received(&metadata(2)[..9], START);
    assert!(quiet[0].transmit(START).is_none());
    assert_eq!((quiet[0].receiver.own_bytes(), spares.bytes()), (4096, 4096));
    quiet[0].received(&metadata(2)[9..], START);
    assert_eq!(next(&mut quiet[0]).header.correlation_id, 2);
}

#[test]
fn long_queues_leave_in_several_transmissions() {
    let limits = ConnLimits {
        requests_in_flight_max: usize::MAX,
        response_bytes_in_flight_max: usize::MAX,
        ..ConnLimits::default()
    };
    let mut conn = Conn::new(limits, apis(), SpareChunks::default(), START);
    let shared = Slice::from(&[1; 1024][..]);
    for correlation_id in 0..3000 {
        conn.received(&metadata(correlation_id), START);
        let request = next(&mut conn);
        let mut body = Body::default();
        body.insert(shared.clone());
        conn.respond(request.seq, Response::Send(body));
    }
    let mut total = 0;
    while let Some(pieces) = conn.transmit(START) {
        assert!(pieces.len() <= TRANSMIT_PIECES_MAX + 2);
        let bytes = pieces.iter().map(|piece| piece.len()).sum::<usize>();
        assert!(bytes <= TRANSMIT_BYTES_MAX + 2048);
        total += bytes;
    }
    assert_eq!(total, 3000 * (1024 + 8));
}

/// One session: the client's bytes arrive in arbitrary parts, requests complete in arbitrary order.
struct Session {
    dice: Seeded,
    conn: Conn,
    /// What the client has still to send.
    unsent: Vec<u8>,
    position: usize,
    /// Bodies that the requests must have, in order.
    bodies: VecDeque<(i32, Vec<u8>)>,
    taken: Vec<Request>,
    /// Answers by sequence number, as bytes on the wire.
    expected: Vec<Vec<u8>>,
    output: Vec<u8>,
    granted_bytes: usize,
}

impl Session {
    fn new(seed: u64) -> Self {
        let mut dice = Seeded::new(seed);
        let limits = ConnLimits {
            requests_in_flight_max: dice.within(1..=20),
            request_bytes_in_flight_max: dice.within(1..=2_000_000),
            response_bytes_in_flight_max: dice.within(1..=20_000),
            ..ConnLimits::default()
        };
        let (mut unsent, mut bodies) = (Vec::new(), VecDeque::new());
        for correlation_id in 0..i32::try_from(dice.within(1..=30)).expect("small") {
            let size = match dice.within(0..=9) {
                0 => dice.within(0..=3_000_000),
                1 | 2 => dice.within(10_000..=100_000),
                _ => dice.within(0..=500),
            };
            let body = dice.bytes(size);
            unsent.extend(request(0, 9, correlation_id, true, &body));
            bodies.push_back((correlation_id, body));
        }
        let expected = vec![Vec::new(); bodies.len()];
        let conn = Conn::new(limits, apis(), SpareChunks::default(), START);
        let (taken, output) = (Vec::new(), Vec::new());
        Self { dice, conn, unsent, position: 0, bodies, taken, expected, output, granted_bytes: 0 }
    }

    fn receive(&mut self) {
        let left = self.unsent.len() - self.position;
        match self.conn.want() {
            Want::Pool if left == 0 => {}
            Want::Pool => {
                let most = if self.dice.once_in(3) { 7 } else { 65_536 };
                self.receive_from_pool(most);
            }
            Want::Direct { mut chunk, bytes } => {
                let count = self.dice.within(1..=bytes);
                chunk.append(&self.unsent[self.position..self.position + count]);
                self.position += count;
                self.conn.received_direct(chunk, START);
            }
            // Pool bytes that were under way arrive although memory is waited for.
            Want::Memory { .. } if self.dice.once_in(3) => self.receive_from_pool(65_536),
            Want::Memory { bytes, .. } => {
                let chunk = Chunk::with_capacity(bytes);
                self.granted_bytes += chunk.capacity();
                self.granted_bytes -= self.conn.grant(chunk);
            }
            Want::Nothing if self.conn.in_flight() > 0 => {}
            Want::Nothing => {
                let waiting = sent(&mut self.conn);
                assert!(!waiting.is_empty(), "something holds it up");
                self.output.extend(waiting);
            }
        }
    }

    fn receive_from_pool(&mut self, most: usize) {
        let count = self.dice.within(1..=most).min(self.unsent.len() - self.position);
        self.conn.received(&self.unsent[self.position..self.position + count], START);
        self.position += count;
    }

    fn take(&mut self) {
        let Some(request) = self.conn.next_request() else { return };
        let (correlation_id, body) = self.bodies.pop_front().expect("no more than were sent");
        assert_eq!(request.header.correlation_id, correlation_id);
        assert_eq!(*request.body, *body);
        self.granted_bytes -= request.granted_bytes;
        self.taken.push(request);
    }

    fn answer(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        let request = self.taken.swap_remove(self.dice.within(0..=self.taken.len() - 1));
        if self.dice.once_in(5) {
            return self.conn.respond(request.seq, Response::Nothing);
        }
        let mut body = Body::default();
        for _ in 0..self.dice.within(0..=4) {
            let count = self.dice.within(0..=2000);
            let part = self.dice.bytes(count);
            if self.dice.once_in(2) {
                body.insert(Slice::from(&part[..]));
            } else {
                body.bytes_mut().extend_from_slice(&part);
            }
        }
        let wire = &mut self.expected[usize::try_from(request.seq.get()).expect("few requests")];
        wire.extend_from_slice(&u32::try_from(5 + body.len()).expect("small").to_be_bytes());
        wire.extend_from_slice(&request.header.correlation_id.to_be_bytes());
        wire.push(0);
        wire.extend_from_slice(&body.to_vec());
        self.conn.respond(request.seq, Response::Send(body));
    }

    fn run(mut self) {
        while self.position < self.unsent.len() || self.conn.in_flight() > 0 {
            match self.dice.within(0..=3) {
                0 => self.receive(),
                1 => self.take(),
                2 => self.answer(),
                _ => self.output.extend(sent(&mut self.conn)),
            }
        }
        self.output.extend(sent(&mut self.conn));
        assert!(self.output == self.expected.concat(), "the responses are not those that were made, in order");
        assert_eq!((self.granted_bytes, self.conn.granted_bytes()), (0, 0));
        assert_eq!(self.conn.closing(), None);
        self.conn.received_end();
        assert_eq!(self.conn.finished(), Some(&CloseReason::PeerClosed));
    }
}

#[test]
fn sessions_come_out_right_however_they_are_cut() {
    for seed in 0..150 {
        println!("seed {seed}");
        Session::new(seed).run();
    }
}

/// Random bytes, some of which look like frames: nothing panics, and memory stays in proportion to what was sent.
#[test]
fn hostile_bytes_do_no_harm() {
    for seed in 0..3000 {
        println!("seed {seed}");
        let mut dice = Seeded::new(seed);
        let mut conn = conn();
        let mut arrived = 0;
        for _ in 0..dice.within(1..=20) {
            let count = dice.within(0..=300);
            let mut bytes = dice.bytes(count);
            if dice.once_in(2) {
                let size = dice.within(0..=200_000_000) >> dice.within(0..=27);
                let prefix = [u32::try_from(size).expect("in range").to_be_bytes(), [0, 3, 0, 9]].concat();
                bytes.splice(0..0, prefix);
            }
            arrived += bytes.len();
            conn.received(&bytes, START);
            let own = conn.receiver.own_bytes();
            assert!(own <= INPUT_CHUNK_BYTES_MAX + FRAME_PROOF_BYTES + arrived, "{own} bytes for {arrived}");
            if let Want::Memory { bytes, .. } = conn.want() {
                assert!(bytes <= FRAME_GROWTH_FACTOR * arrived);
            }
            while let Some(request) = conn.next_request() {
                conn.respond(request.seq, Response::Nothing);
            }
        }
        conn.received_end();
        assert!(conn.finished().is_some());
    }
}

#[test]
fn a_client_that_reads_no_answers_is_not_read_either() {
    let mut conn = conn();
    let in_flight_max = ConnLimits::default().requests_in_flight_max;
    for at in 0..in_flight_max {
        conn.received(&metadata(i32::try_from(at).expect("few")), START);
        let request = next(&mut conn);
        assert!(matches!(conn.want(), Want::Pool) == (at + 1 < in_flight_max), "request {at}");
        conn.respond(request.seq, body(b"answer"));
    }
    assert!(matches!(conn.want(), Want::Nothing), "as many answers wait as may be in flight");
    assert!(!sent(&mut conn).is_empty());
    assert!(matches!(conn.want(), Want::Pool));
}

#[test]
fn bytes_of_answers_that_are_not_sent_hold_requests_up() {
    let limits = ConnLimits { response_bytes_in_flight_max: 100, ..ConnLimits::default() };
    let mut conn = Conn::new(limits, apis(), SpareChunks::default(), START);
    let all: Vec<u8> = (0..4).flat_map(metadata).collect();
    conn.received(&all, START);
    let (first, second, third) = (next(&mut conn), next(&mut conn), next(&mut conn));
    conn.respond(second.seq, body(&[1; 99]));
    assert_eq!(conn.response_bytes(), 99);
    assert!(matches!(conn.want(), Want::Pool));
    conn.respond(third.seq, body(&[1; 1]));
    // They wait for the first one, and count.
    assert!(matches!(conn.want(), Want::Nothing));
    assert!(conn.next_request().is_none());
    conn.respond(first.seq, body(&[1; 5]));
    assert_eq!(conn.response_bytes(), 105);
    assert!(conn.transmit(START).is_some());
    assert_eq!(conn.response_bytes(), 105, "they are being sent");
    assert!(conn.next_request().is_none());
    assert!(conn.transmit(START).is_none());
    assert_eq!(conn.response_bytes(), 0);
    let last = next(&mut conn);
    assert!(matches!(conn.want(), Want::Pool));
    // An end takes what waits behind it along.
    conn.received(&metadata(5), START);
    let behind = next(&mut conn);
    conn.respond(behind.seq, body(&[1; 7]));
    conn.respond(last.seq, Response::Close(CloseReason::ShuttingDown));
    assert_eq!((conn.response_bytes(), conn.finished().is_some()), (0, true));
}
