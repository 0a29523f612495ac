//! Runs a [`Client`] on a reactor: gives it sockets and a clock, and gives tasks a way to call it and to wait for what it
//! tells. The command line, the benchmarks and the simulation share it.
//!
//! Everything happens on one shard. [`ClientDriver::with`] is the synchronous door to the client; what the client wants
//! done after that is done by the driver's own task at the end of the caller's turn.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod wakers;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use ringlog_buffer::Slice;
use ringlog_net::client::{Address, Answer, CallId, Client, ClientError, ConnectionId, Event, Output, Target};
use ringlog_net::messages::Request;
use ringlog_reactor::{Instant, Reactor, Socket, Task};
use ringlog_storage::types::Nanos;

use wakers::{Flag, Wakers};

/// Events that are held for [`ClientDriver::event`] while only answers are waited for. More stay with the client, whose
/// own limits then hold: who has partitions assigned has to take events.
pub const EVENTS_HELD_MAX: usize = 1024;

/// How long a connection may take to open, over all addresses of its name.
pub const CONNECT_TIME_MAX: Duration = Duration::from_secs(10);

/// Finds the addresses of a name.
pub type Resolver = Rc<dyn Fn(&Address) -> io::Result<Vec<SocketAddr>>>;

/// The system's resolver. It blocks the shard, since the reactor has no operation for names: fit for programs that have
/// nothing else to do, such as the command line.
pub fn system_resolver() -> Resolver {
    Rc::new(|address| Ok((address.host.as_str(), address.port).to_socket_addrs()?.collect()))
}

/// A resolver for places without names: only IP addresses are known.
pub fn no_names() -> Resolver {
    Rc::new(|address| Err(io::Error::other(format!("{} is not an IP address", address.host))))
}

/// A running client. Clones share it; it ends, and its connections close, when the last one is dropped.
#[derive(Clone)]
pub struct ClientDriver {
    handle: Rc<Handle>,
}

/// What the last clone drops.
struct Handle {
    shared: Rc<Shared>,
}

struct Shared {
    reactor: Reactor,
    resolver: Resolver,
    client: RefCell<Client>,
    links: RefCell<BTreeMap<ConnectionId, Link>>,
    /// Raised when the client may have something to be done.
    stirred: Flag,
    /// Who waits for an event or an answer.
    waiting: Wakers,
    /// Calls whose answers a task waits for, and not [`ClientDriver::event`].
    called: RefCell<BTreeSet<CallId>>,
    answers: RefCell<BTreeMap<CallId, Result<Answer, ClientError>>>,
    held: RefCell<VecDeque<Event>>,
}

/// One connection.
struct Link {
    task: Task<()>,
    outbox: Rc<Outbox>,
}

/// What waits to be sent on one connection. The client bounds it by its requests in flight.
#[derive(Default)]
struct Outbox {
    pieces: RefCell<VecDeque<Slice>>,
    filled: Flag,
}

impl ClientDriver {
    /// Starts to run `client` on this shard.
    pub fn new(reactor: &Reactor, client: Client, resolver: Resolver) -> Self {
        let shared = Rc::new(Shared {
            reactor: reactor.clone(),
            resolver,
            client: RefCell::new(client),
            links: RefCell::default(),
            stirred: Flag::default(),
            waiting: Wakers::default(),
            called: RefCell::default(),
            answers: RefCell::default(),
            held: RefCell::default(),
        });
        let drive = Rc::downgrade(&shared);
        reactor.spawn(async move {
            while let Some(shared) = drive.upgrade() {
                let deadline = shared.pump();
                shared.waiting.wake();
                shared.pause(deadline).await;
            }
        });
        Self { handle: Rc::new(Handle { shared }) }
    }

    /// The door to the client, with the time that its calls want. What it wants done is done after the caller's turn.
    pub fn with<T>(&self, visit: impl FnOnce(&mut Client, Nanos) -> T) -> T {
        self.shared().with(visit)
    }

    /// The next thing that the client tells. Answers to [`call`](Self::call) are not among them.
    pub async fn event(&self) -> Event {
        poll_fn(|context| {
            if let Some(event) = self.try_event() {
                return Poll::Ready(event);
            }
            self.shared().waiting.add(context.waker());
            Poll::Pending
        })
        .await
    }

    /// The next thing that the client tells, if it has one to tell now.
    pub fn try_event(&self) -> Option<Event> {
        let shared = self.shared();
        let held = shared.held.borrow_mut().pop_front();
        held.or_else(|| shared.next_event())
    }

    /// Sends a request once, and waits for its answer. Errors inside of the answer are the caller's affair. Events that come
    /// meanwhile are held for [`event`](Self::event), [`EVENTS_HELD_MAX`] of them.
    pub async fn call<R: Request + 'static>(&self, target: Target, request: R) -> Result<R::Response, ClientError> {
        let shared = self.shared();
        let call = shared.with(|client, now| client.call(target, request, now));
        let expected = Expected::new(shared, call.id);
        let answer = poll_fn(|context| {
            shared.hold_events();
            if let Some(answer) = shared.answers.borrow_mut().remove(&call.id) {
                return Poll::Ready(answer);
            }
            shared.waiting.add(context.waker());
            Poll::Pending
        })
        .await;
        drop(expected);
        call.decode(&answer?)
    }

    /// The reactor that the client runs on.
    pub fn reactor(&self) -> &Reactor {
        &self.shared().reactor
    }

    fn shared(&self) -> &Rc<Shared> {
        &self.handle.shared
    }
}

impl fmt::Debug for ClientDriver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientDriver({} connections)", self.shared().links.borrow().len())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // The connections' tasks hold the client; its own task ends when nobody holds it any more.
        let links = self.shared.links.take();
        for link in links.into_values() {
            link.task.cancel();
        }
        self.shared.stirred.raise();
    }
}

/// A call that a task waits for; when that task gives up, so does this.
struct Expected<'a> {
    shared: &'a Shared,
    id: CallId,
}

impl<'a> Expected<'a> {
    fn new(shared: &'a Shared, id: CallId) -> Self {
        shared.called.borrow_mut().insert(id);
        Self { shared, id }
    }
}

impl Drop for Expected<'_> {
    fn drop(&mut self) {
        self.shared.called.borrow_mut().remove(&self.id);
        self.shared.answers.borrow_mut().remove(&self.id);
    }
}

impl Shared {
    fn now(&self) -> Nanos {
        Nanos::new(self.reactor.now().as_nanos())
    }

    fn with<T>(&self, visit: impl FnOnce(&mut Client, Nanos) -> T) -> T {
        let result = visit(&mut self.client.borrow_mut(), self.now());
        self.stirred.raise();
        result
    }

    /// Starts everything that the client wants done. Answers when it wants to be looked at again.
    fn pump(self: &Rc<Self>) -> Option<Instant> {
        let now = self.now();
        loop {
            let output = self.client.borrow_mut().poll_output(now);
            match output {
                Some(Output::Connect(id, address)) => self.connect(id, address),
                Some(Output::Send(id, pieces)) => {
                    if let Some(link) = self.links.borrow().get(&id) {
                        link.outbox.pieces.borrow_mut().extend(pieces);
                        link.outbox.filled.raise();
                    }
                }
                Some(Output::Close(id)) => {
                    let link = self.links.borrow_mut().remove(&id);
                    if let Some(link) = link {
                        link.task.cancel();
                    }
                }
                None => break,
            }
        }
        self.client.borrow().next_deadline().map(|at| Instant::from_nanos(at.get()))
    }

    async fn pause(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => race(self.stirred.taken(), self.reactor.sleep_until(deadline)).await,
            None => self.stirred.taken().await,
        }
    }

    fn connect(self: &Rc<Self>, id: ConnectionId, address: Address) {
        let outbox = Rc::new(Outbox::default());
        let (shared, pieces) = (Rc::downgrade(self), Rc::clone(&outbox));
        let task = self.reactor.spawn(async move {
            // The driver cancels this task before it goes.
            let Some(shared) = shared.upgrade() else { return };
            let reason = match shared.open(&address).await {
                Ok(socket) => shared.run(id, socket, &pieces).await.to_string(),
                Err(error) => error.to_string(),
            };
            shared.links.borrow_mut().remove(&id);
            shared.with(|client, now| client.disconnected(id, &reason, now));
        });
        self.links.borrow_mut().insert(id, Link { task, outbox });
    }

    async fn open(&self, address: &Address) -> io::Result<Socket> {
        let candidates = match address.host.parse() {
            Ok(ip) => vec![SocketAddr::new(ip, address.port)],
            Err(_) => (self.resolver)(address)?,
        };
        let attempts = async {
            let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{} has no address", address.host));
            for candidate in candidates {
                match self.reactor.connect(candidate).await {
                    Ok(socket) => return Ok(socket),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        let timed_out = |_| Err(io::Error::new(io::ErrorKind::TimedOut, "the connection did not open in time"));
        self.reactor.timeout(attempts, CONNECT_TIME_MAX).await.unwrap_or_else(timed_out)
    }

    /// Serves an open connection until it ends. Answers why it did.
    async fn run(&self, id: ConnectionId, socket: Socket, outbox: &Outbox) -> io::Error {
        self.with(|client, now| client.connected(id, now));
        let receive = async {
            loop {
                match socket.recv().await {
                    Ok(bytes) if bytes.is_empty() => break closed_by_broker(),
                    Ok(bytes) => self.with(|client, now| client.received(id, &bytes, now)),
                    Err(error) => break error,
                }
            }
        };
        let send = async {
            loop {
                outbox.filled.taken().await;
                let pieces: Vec<Slice> = outbox.pieces.take().into();
                if let Err(error) = socket.send(pieces).await {
                    break error;
                }
            }
        };
        race(receive, send).await
    }

    /// The client's next event that no call waits for.
    fn next_event(&self) -> Option<Event> {
        loop {
            let event = self.client.borrow_mut().poll_event()?;
            match event {
                Event::Answered(id, answer) if self.called.borrow().contains(&id) => {
                    self.answers.borrow_mut().insert(id, answer);
                    self.waiting.wake();
                }
                event => {
                    if matches!(event, Event::Fetched(_)) {
                        // Its partition can be fetched from again.
                        self.stirred.raise();
                    }
                    return Some(event);
                }
            }
        }
    }

    /// Takes events from the client, so that the answers among them are found.
    fn hold_events(&self) {
        while self.held.borrow().len() < EVENTS_HELD_MAX {
            let Some(event) = self.next_event() else { break };
            self.held.borrow_mut().push_back(event);
            self.waiting.wake();
        }
    }
}

fn closed_by_broker() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the broker closed the connection")
}

/// The result of the future that is first; the other one is dropped.
pub async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}
