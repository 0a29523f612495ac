//! A connection that speaks one request at a time.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use ringlog_kit::broker::Options;
use ringlog_kit::target::Target;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::{ApiKey, Message as _, Request};
use ringlog_net::wire::{Reader, Writer};

/// An answer that takes longer will not come.
const ANSWER_MAX: Duration = Duration::from_mins(1);

/// More than any answer here.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What the broker is started with, and what one that already runs wants too: cases of groups do not wait for members that
/// do not come, and may have sessions that end soon.
const SETTINGS: &[(&str, &str)] = &[("group.initial.rebalance.delay.ms", "0"), ("group.min.session.timeout.ms", "100")];

/// Connected to a broker that is shared by the tests that run at the same time, and ended after the last of them.
pub(crate) struct Session {
    stream: TcpStream,
    correlation_id: i32,
    client_id: String,
    target: Arc<Target>,
}

fn target() -> Arc<Target> {
    static SHARED: Mutex<Weak<Target>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let two = Options { more_directories: 1, ..Options::default() };
        let options = SETTINGS.iter().fold(two, |options, (key, value)| options.set(key, value));
        let started = Arc::new(Target::new(options));
        *shared = Arc::downgrade(&started);
        started
    })
}

impl Session {
    pub(crate) fn open() -> Self {
        Self::open_to(target())
    }

    /// Another connection to the same broker.
    pub(crate) fn open_another(&self) -> Self {
        Self::open_to(Arc::clone(&self.target))
    }

    /// Another connection to the same broker, of a client with this id.
    pub(crate) fn open_another_as(&self, client_id: &str) -> Self {
        Self { client_id: client_id.to_owned(), ..self.open_another() }
    }

    fn open_to(target: Arc<Target>) -> Self {
        let stream = TcpStream::connect(target.bootstrap()).expect("the broker accepts");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout that is not zero");
        stream.set_nodelay(true).expect("a socket takes the option");
        Self { stream, correlation_id: 0, client_id: "conformance".to_owned(), target }
    }

    /// Sends a request of a version and reads its answer, which must be whole and no more.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        self.tell(version, request);
        self.hear::<R>(version)
    }

    /// Sends a request whose answer is read later, or that has none.
    pub(crate) fn tell<R: Request>(&mut self, version: i16, request: &R) {
        self.send(R::KEY.code(), version, R::KEY.request_header_version(version), &body(request, version));
    }

    /// Reads the answer to the request that was sent last.
    pub(crate) fn hear<R: Request>(&mut self, version: i16) -> R::Response {
        let frame = self.answer().unwrap_or_else(|| panic!("{} {version}: the connection was closed", R::KEY));
        let mut reader = Reader::new(&frame);
        if R::KEY.response_header_version(version) == 1 {
            reader.tagged_fields(|_, _| Ok(false)).expect("tagged fields of the header");
        }
        let response =
            R::Response::decode(&mut reader, version).unwrap_or_else(|e| panic!("{} {version}: {e}", R::KEY));
        reader.finish().unwrap_or_else(|e| panic!("{} {version}: {e}", R::KEY));
        response
    }

    /// Sends any key and version with any body. Answers what follows the correlation id, or nothing where the broker has
    /// closed the connection.
    pub(crate) fn ask_raw(&mut self, key: i16, version: i16, header_version: i16, body: &[u8]) -> Option<Vec<u8>> {
        self.send(key, version, header_version, body);
        self.answer()
    }

    /// What follows the correlation id in the answer to the last request.
    fn answer(&mut self) -> Option<Vec<u8>> {
        let frame = self.receive()?;
        let (head, rest) = frame.split_at_checked(4).expect("a correlation id");
        assert_eq!(head, self.correlation_id.to_be_bytes(), "correlation id");
        Some(rest.to_vec())
    }

    fn send(&mut self, key: i16, version: i16, header_version: i16, body: &[u8]) {
        self.correlation_id += 1;
        let mut w = Writer::new();
        w.i32(0);
        w.i16(key);
        w.i16(version);
        w.i32(self.correlation_id);
        w.i16(i16::try_from(self.client_id.len()).expect("a short id"));
        w.raw(self.client_id.as_bytes());
        if header_version == 2 {
            w.raw(&[0]);
        }
        w.raw(body);
        let length = i32::try_from(w.len() - 4).expect("a request is smaller than 2 GiB");
        w.patch_i32(0, length);
        self.send_bytes(w.as_slice());
    }

    pub(crate) fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the broker reads");
    }

    /// The next frame; nothing where the broker has closed the connection.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        let mut length = [0; 4];
        match self.stream.read_exact(&mut length) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => return None,
            Err(error) => panic!("no answer: {error}"),
        }
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length is not negative");
        assert!(length <= FRAME_BYTES_MAX, "an answer of {length} bytes");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).expect("the whole frame");
        Some(frame)
    }
}

fn body<R: Request>(request: &R, version: i16) -> Vec<u8> {
    let mut w = Writer::new();
    request.encode(&mut w, version).unwrap_or_else(|e| panic!("{} {version}: {e}", R::KEY));
    w.into_bytes()
}

/// Runs a case for every version that a broker of Kafka 4.4 speaks, each on a connection of its own.
pub(crate) fn every_version(key: ApiKey, case: impl Fn(&mut Session, i16)) {
    let mut session = Session::open();
    for version in key.valid_versions() {
        println!("{key} {version}");
        case(&mut session.open_another(), version);
    }
    // The broker is still the same, and well.
    session.ask(0, &ringlog_net::messages::api_versions::ApiVersionsRequest::default());
}

/// Compares error codes by their names.
#[track_caller]
pub(crate) fn expect(code: i16, expected: ErrorCode) {
    assert_eq!(ErrorCode::from_wire(code), expected);
}

/// Asks until the answer is as wanted: Apache Kafka answers a change before its broker has heard of it. Ringlog must not, so
/// its first answer counts.
pub(crate) fn settled<T>(mut ask: impl FnMut() -> T, is_wanted: impl Fn(&T) -> bool) -> T {
    loop {
        let answer = ask();
        if is_wanted(&answer) || std::env::var_os(ringlog_kit::target::BOOTSTRAP).is_none() {
            return answer;
        }
    }
}
