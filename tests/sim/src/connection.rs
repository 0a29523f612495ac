//! A client's connection: requests in frames, responses in the order of the requests, nothing hidden.

use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::time::Duration;

use ringlog_net::messages::{ApiKey, Message, Request};
use ringlog_net::wire::{Reader, Writer};
use ringlog_reactor::{Reactor, Socket};

/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(400);
/// How long a client waits for a response, long polls included.
pub(crate) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// A response frame that is longer than this is a mistake of the broker.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// The connection is of no use any more; what became of requests without response is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lost {
    /// The peer, or the network between, ended it.
    Ended,
    /// No response came in time.
    TimedOut,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ended => "ended",
            Self::TimedOut => "timed out",
        })
    }
}

/// A request that was sent. Responses are received in the order of their tickets.
#[must_use]
pub(crate) struct Ticket<R> {
    correlation_id: i32,
    version: i16,
    request: PhantomData<R>,
}

/// An open connection.
pub(crate) struct Connection {
    reactor: Reactor,
    socket: Socket,
    next_correlation_id: i32,
    inbox: Vec<u8>,
}

impl Connection {
    /// Connects, once.
    pub(crate) async fn open(reactor: &Reactor, address: SocketAddr) -> Result<Self, Lost> {
        match reactor.timeout(reactor.connect(address), CONNECT_TIMEOUT).await {
            Ok(Ok(socket)) => Ok(Self { reactor: reactor.clone(), socket, next_correlation_id: 1, inbox: Vec::new() }),
            Ok(Err(_)) => Err(Lost::Ended),
            Err(_) => Err(Lost::TimedOut),
        }
    }

    /// Sends a request.
    pub(crate) async fn send<R: Request>(&mut self, request: &R, version: i16) -> Result<Ticket<R>, Lost> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id += 1;
        let frame = frame(request, version, correlation_id);
        match self.reactor.timeout(self.socket.send(vec![frame[..].into()]), RESPONSE_TIMEOUT).await {
            Ok(Ok(())) => Ok(Ticket { correlation_id, version, request: PhantomData }),
            Ok(Err(_)) => Err(Lost::Ended),
            Err(_) => Err(Lost::TimedOut),
        }
    }

    /// Receives the response to the oldest request that has none yet.
    pub(crate) async fn receive<R: Request>(&mut self, ticket: Ticket<R>) -> Result<R::Response, Lost> {
        let frame = match self.reactor.clone().timeout(self.frame(), RESPONSE_TIMEOUT).await {
            Ok(frame) => frame?,
            Err(_) => return Err(Lost::TimedOut),
        };
        let name = R::KEY.name();
        let mut reader = Reader::new(&frame);
        let correlation_id = reader.i32().expect("a response begins with a correlation id");
        assert_eq!(correlation_id, ticket.correlation_id, "{name}: responses keep the order of requests");
        if R::KEY.response_header_version(ticket.version) >= 1 {
            assert_eq!(reader.varint(), Ok(0), "{name}: the response header has no tagged fields");
        }
        let response = R::Response::decode(&mut reader, ticket.version)
            .unwrap_or_else(|error| panic!("{name} version {}: {error}", ticket.version));
        assert_eq!(reader.remaining(), 0, "{name} version {}: bytes behind the response", ticket.version);
        Ok(response)
    }

    /// Sends a request and waits for its response.
    pub(crate) async fn call<R: Request>(&mut self, request: &R, version: i16) -> Result<R::Response, Lost> {
        let ticket = self.send(request, version).await?;
        self.receive(ticket).await
    }

    /// The next whole frame, without its length.
    async fn frame(&mut self) -> Result<Vec<u8>, Lost> {
        loop {
            if let Some((length, rest)) = self.inbox.split_first_chunk::<4>() {
                let length = usize::try_from(i32::from_be_bytes(*length)).expect("a frame has a length");
                assert!(length <= FRAME_BYTES_MAX, "a frame of {length} bytes");
                if rest.len() >= length {
                    let frame = rest[..length].to_vec();
                    self.inbox.drain(..4 + length);
                    return Ok(frame);
                }
            }
            let received = self.socket.recv().await.map_err(|_| Lost::Ended)?;
            if received.is_empty() {
                return Err(Lost::Ended);
            }
            self.inbox.extend_from_slice(&received);
        }
    }
}

/// The bytes of a request on the wire.
fn frame<R: Request>(request: &R, version: i16, correlation_id: i32) -> Vec<u8> {
    let key: ApiKey = R::KEY;
    let mut writer = Writer::new();
    writer.i32(0);
    writer.i16(key.code());
    writer.i16(version);
    writer.i32(correlation_id);
    writer.string("sim", false).expect("a short name");
    if key.request_header_version(version) >= 2 {
        writer.varint(0);
    }
    request.encode(&mut writer, version).unwrap_or_else(|error| panic!("{} version {version}: {error}", key.name()));
    let length = i32::try_from(writer.len() - 4).expect("requests of a simulation are small");
    writer.patch_i32(0, length);
    writer.into_bytes()
}
