//! A thin connection: whole frames out, whole frames in, nothing else.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_buffer::{Chunk, Slice};
use ringlog_net::messages::create_topics::CreateTopicsResponse;
use ringlog_net::wire::Reader;
use ringlog_reactor::{Reactor, Socket};
use ringlog_storage::types::Uuid;

use crate::requests::{self, Intent, TopicSetting};

const SIZE_FIELD_BYTES: usize = 4;
/// How long a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// How long an answer may take that a load has to wait for: `request.timeout.ms` of Kafka's clients.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// Largest response that a benchmark asks for, with its header.
const RESPONSE_BYTES_MAX: usize = 64 << 20;
/// The first buffer of a connection; it grows to the largest response.
const BUFFER_BYTES_MIN: usize = 4096;
/// Responses up to this size come through the shared receive pool.
pub(crate) const POOLED_BYTES_MAX: usize = 16 * 1024;

/// One connection to a broker.
#[derive(Debug)]
pub(crate) struct Connection {
    socket: Socket,
    /// What has arrived and was not taken.
    buffer: Chunk,
    taken: usize,
    receive: Receive,
    /// Whom it was opened to.
    opened: Option<(Reactor, SocketAddr)>,
}

/// The sending side of a connection. One task sends at a time.
#[derive(Debug)]
pub(crate) struct Sender(Socket);

impl Sender {
    /// Sends slices one behind the other: frames, or parts of them.
    pub(crate) async fn send(&self, slices: Vec<Slice>) -> anyhow::Result<()> {
        self.0.send(slices).await.context("a request")
    }
}

/// How responses are received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Receive {
    /// Small ones, through the shared pool.
    Pooled,
    /// Large ones, straight into the connection's buffer.
    Direct,
}

impl Connection {
    pub(crate) async fn open(reactor: &Reactor, address: SocketAddr, receive: Receive) -> anyhow::Result<Self> {
        let connected = reactor.timeout(reactor.connect(address), CONNECT_MAX).await;
        let Ok(connected) = connected else { bail!("{address} takes no connection within {CONNECT_MAX:?}") };
        let socket = connected.with_context(|| format!("{address} refuses a connection"))?;
        Ok(Self { opened: Some((reactor.clone(), address)), ..Self::over(socket, receive) })
    }

    /// A connection over a socket that is connected already.
    pub(crate) fn over(socket: Socket, receive: Receive) -> Self {
        Self { socket, buffer: Chunk::with_capacity(BUFFER_BYTES_MIN), taken: 0, receive, opened: None }
    }

    /// The sending side, for a task of its own.
    pub(crate) fn sender(&self) -> Sender {
        Sender(self.socket.clone())
    }

    /// Sends a request, and waits for its response.
    pub(crate) async fn call(&mut self, frame: Slice) -> anyhow::Result<Slice> {
        self.send(frame).await?;
        self.response().await
    }

    /// The same, for an answer without which there is no load: where none comes in time, the error tells `what` was asked.
    pub(crate) async fn ask(&mut self, what: &str, frame: Slice) -> anyhow::Result<Slice> {
        let Some((reactor, address)) = self.opened.clone() else { return self.call(frame).await };
        match reactor.timeout(self.call(frame), ANSWER_MAX).await {
            Ok(answer) => answer.with_context(|| format!("{what}, asked of {address}")),
            Err(_) => bail!("{address} does not answer within {ANSWER_MAX:?}: {what}"),
        }
    }

    /// Sends a whole frame.
    pub(crate) async fn send(&self, frame: Slice) -> anyhow::Result<()> {
        self.socket.send(vec![frame]).await.context("a request")
    }

    /// The next response, without its size field.
    pub(crate) async fn response(&mut self) -> anyhow::Result<Slice> {
        loop {
            if let Some(response) = self.arrived()? {
                return Ok(response);
            }
            let wanted = self.wanted()?;
            self.make_room(wanted);
            self.receive(wanted).await?;
        }
    }

    /// The next response, if all of it has arrived already.
    pub(crate) fn arrived(&mut self) -> anyhow::Result<Option<Slice>> {
        let wanted = self.wanted()?;
        if wanted <= SIZE_FIELD_BYTES || self.buffer_rest().len() < wanted {
            return Ok(None);
        }
        let start = self.taken;
        self.taken += wanted;
        Ok(Some(self.buffer.slice(start + SIZE_FIELD_BYTES..start + wanted)))
    }

    /// Bytes of the next response, or of its size field while that is not there.
    fn wanted(&self) -> anyhow::Result<usize> {
        let wanted = match self.buffer_rest().first_chunk::<SIZE_FIELD_BYTES>() {
            Some(size) => SIZE_FIELD_BYTES + usize::try_from(i32::from_be_bytes(*size))?,
            None => SIZE_FIELD_BYTES,
        };
        if wanted > RESPONSE_BYTES_MAX {
            bail!("a response of {wanted} bytes");
        }
        Ok(wanted)
    }

    fn buffer_rest(&self) -> Slice {
        self.buffer.slice(self.taken..self.buffer.len())
    }

    /// Makes sure that `wanted` bytes fit behind what was taken, and a receive of the pool behind that.
    fn make_room(&mut self, wanted: usize) {
        if self.taken == self.buffer.len() && self.buffer.try_clear() {
            self.taken = 0;
        }
        let capacity = wanted + POOLED_BYTES_MAX;
        if self.buffer.capacity() - self.taken >= capacity && self.buffer.spare_len() >= POOLED_BYTES_MAX {
            return;
        }
        let rest = self.buffer_rest();
        let mut buffer = Chunk::with_capacity(capacity.max(self.buffer.capacity()));
        buffer.append(&rest);
        self.buffer = buffer;
        self.taken = 0;
    }

    async fn receive(&mut self, wanted: usize) -> anyhow::Result<()> {
        let count = match self.receive {
            Receive::Pooled => {
                let received = self.socket.recv().await.context("a response")?;
                self.buffer.append(&received);
                received.len()
            }
            Receive::Direct => {
                let missing = (wanted - self.buffer_rest().len()).max(POOLED_BYTES_MAX).min(self.buffer.spare_len());
                let buffer = std::mem::replace(&mut self.buffer, Chunk::with_capacity(0));
                let (count, buffer) = self.socket.recv_into(buffer, missing).await;
                self.buffer = buffer;
                count.context("a response")?
            }
        };
        if count == 0 {
            bail!("the broker has closed a connection");
        }
        Ok(())
    }

    /// Makes a topic, and answers its id.
    pub(crate) async fn create_topic(&mut self, name: &str, partitions: i32) -> anyhow::Result<Uuid> {
        self.create_topic_with(name, partitions, &[], Intent::Apply).await
    }

    /// Makes a topic with settings, or asks whether it could be made, and answers its id.
    pub(crate) async fn create_topic_with(
        &mut self,
        name: &str,
        partitions: i32,
        settings: &[TopicSetting],
        intent: Intent,
    ) -> anyhow::Result<Uuid> {
        let frame = self.ask("a new topic", requests::create_topic(name, partitions, settings, intent)?).await?;
        let mut r = Reader::new(&frame);
        r.i32()?;
        r.tagged_fields(|_, _| Ok(false))?;
        let response = CreateTopicsResponse::decode(&mut r, requests::CREATE_TOPICS_VERSION)?;
        let topic = response.topics.first().context("the topic's answer")?;
        requests::check_error(topic.error_code, || match &topic.error_message {
            Some(message) => format!("making topic {name} ({message})"),
            None => format!("making topic {name}"),
        })?;
        Ok(topic.topic_id)
    }
}
