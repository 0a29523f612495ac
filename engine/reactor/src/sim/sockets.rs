//! Socket operations of the processes, and what arrives for them.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use ringlog_buffer::Slice;

use super::disk::{nanos, to_u64};
use super::errno::Errno;
use super::events::{Happening, ShardKey};
use super::files::spare;
use super::network::{
    Attempt, AttemptId, ConnectionId, End, KNOCK_PAUSE_NANOS, Listener, ListenerId, Sending, Side, is_own,
};
use super::world::{InFlight, Socket, World};
use crate::op::{ListenOptions, Op, OpId, Outcome, SocketId, failed};
use crate::received::Received;

impl World {
    pub(super) fn begin_socket(&mut self, key: ShardKey, id: OpId, op: Op) -> Option<Outcome> {
        let socket = |world: &mut Self, socket: &SocketId| world.shard(key)?.sockets.get(socket).copied();
        match &op {
            Op::Listen { address, options } => {
                Some(Outcome::Listening(self.listen(key, *address, *options).map_err(Into::into)))
            }
            Op::Connect { address } => {
                let address = *address;
                self.keep(key, id, op);
                self.connect(key, id, address);
                None
            }
            Op::Accept { listener, .. } => {
                let Some(Socket::Listener(listener)) = socket(self, listener) else {
                    return Some(failed(op, Errno::BAD_DESCRIPTOR.into()));
                };
                self.keep(key, id, op);
                let open = self.network.listeners.get_mut(&listener).expect("open while its socket is");
                open.waiting.push_back(id);
                self.mark_ready(key, Socket::Listener(listener));
                None
            }
            Op::Receive { socket: number } | Op::ReceiveInto { socket: number, .. } => {
                let Some(Socket::End(connection, side)) = socket(self, number) else {
                    return Some(failed(op, Errno::NOT_CONNECTED.into()));
                };
                self.keep(key, id, op);
                self.end_of(connection, side).reader = Some(id);
                self.wake_reader(connection, side);
                None
            }
            Op::Send { socket: number, slices } => {
                let Some(Socket::End(connection, side)) = socket(self, number) else {
                    return Some(failed(op, Errno::NOT_CONNECTED.into()));
                };
                let total = slices.iter().map(|slice| slice.len()).sum();
                let end = self.end_of(connection, side);
                if let Some(errno) = end.error.or(end.out.has_shut.then_some(Errno::BROKEN_PIPE)) {
                    return Some(failed(op, errno.into()));
                }
                end.out.sending = Some(Sending { op: id, done: 0, total });
                self.keep(key, id, op);
                self.pump(connection, side);
                None
            }
            Op::Shutdown { socket: number } => match socket(self, number) {
                Some(Socket::End(connection, side)) if self.end_of(connection, side).error.is_none() => {
                    self.shut(connection, side);
                    Some(Outcome::Done(Ok(())))
                }
                _ => Some(failed(op, Errno::NOT_CONNECTED.into())),
            },
            Op::HangUp { socket: number } => {
                let Some(Socket::End(connection, side)) = socket(self, number) else {
                    return Some(failed(op, Errno::NOT_CONNECTED.into()));
                };
                self.keep(key, id, op);
                self.end_of(connection, side).watcher = Some(id);
                self.tell_watcher(connection, side);
                None
            }
            Op::LetGo { socket: number } => {
                let number = *number;
                Some(match socket(self, &number) {
                    Some(Socket::End(connection, side)) => {
                        Outcome::Loose(Ok(self.let_go(key, number, connection, side)))
                    }
                    _ => failed(op, Errno::NOT_CONNECTED.into()),
                })
            }
            _ => unreachable!("disk operations go to the disk"),
        }
    }

    fn listen(
        &mut self,
        key: ShardKey,
        address: SocketAddr,
        options: ListenOptions,
    ) -> Result<(SocketId, SocketAddr), Errno> {
        let host = &mut self.hosts[key.host];
        if !is_own(address.ip()) && address.ip() != host.address {
            return Err(Errno::ADDRESS_NOT_AVAILABLE);
        }
        if host.descriptors >= host.descriptors_max {
            return Err(Errno::TOO_MANY_FILES);
        }
        let mut address = address;
        if address.port() == 0 {
            loop {
                address.set_port(host.next_port());
                if self.network.listeners_at(key.host, address).is_empty() {
                    break;
                }
            }
        }
        let others = self.network.listeners_at(key.host, address);
        let shared = options.reuse_port && others.iter().all(|other| self.network.listeners[other].shares_port);
        if !others.is_empty() && !shared {
            return Err(Errno::ADDRESS_IN_USE);
        }
        let id = ListenerId(self.network.next_id());
        let backlog = usize::try_from(options.backlog).expect("32 bits fit");
        let listener = Listener {
            host: key.host,
            address,
            shard: key,
            shares_port: options.reuse_port,
            backlog,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
        };
        self.network.listeners.insert(id, listener);
        Ok((self.add_socket(key, Socket::Listener(id)), address))
    }

    fn connect(&mut self, key: ShardKey, op: OpId, to: SocketAddr) {
        let host = &mut self.hosts[key.host];
        let port = host.next_port();
        let (from, to_host) = if is_own(to.ip()) || to.ip() == host.address {
            (SocketAddr::new(to.ip(), port), Some(key.host))
        } else {
            let from = SocketAddr::new(host.address, port);
            (from, self.hosts.iter().position(|host| host.address == to.ip()))
        };
        let attempt = AttemptId(self.network.next_id());
        let began_at = self.now;
        let latency = to_host.map_or(KNOCK_PAUSE_NANOS, |to_host| self.network.latency(key.host, to_host));
        let pause = KNOCK_PAUSE_NANOS;
        let new = Attempt { shard: key, op: Some(op), from, to, to_host, began_at, pause, result: None };
        self.network.attempts.insert(attempt, new);
        self.events.push(began_at + latency, Happening::Knocks(attempt));
    }

    /// An attempt to connect reaches its destination, or nothing.
    pub(super) fn knocks(&mut self, id: AttemptId) {
        let Some(attempt) = self.network.attempts.get(&id) else { return };
        let (from_host, to, from, shard) = (attempt.shard.host, attempt.to, attempt.from, attempt.shard);
        let reachable = attempt.to_host.filter(|to_host| {
            let both_ways = self.network.passes(from_host, *to_host) && self.network.passes(*to_host, from_host);
            both_ways && self.hosts[*to_host].has_power && self.hosts[from_host].has_power
        });
        let Some(to_host) = reachable else { return self.knock_again(id) };
        let listeners = self.network.listeners_at(to_host, to);
        let result = if listeners.is_empty() {
            Err(Errno::CONNECTION_REFUSED)
        } else {
            let listener = listeners[self.network.random.index(listeners.len())];
            let open = &self.network.listeners[&listener];
            if open.queue.len() >= open.backlog.max(1) {
                return self.knock_again(id);
            }
            let owner = open.shard;
            let (from_boot, to_boot) = (self.hosts[from_host].boot, self.hosts[to_host].boot);
            let connection = self.network.connect_ends((shard.host, from_boot, from), (to_host, to_boot, to));
            let open = self.network.listeners.get_mut(&listener).expect("looked up above");
            open.queue.push_back(connection);
            self.mark_ready(owner, Socket::Listener(listener));
            Ok(connection)
        };
        let latency = self.network.latency(to_host, from_host);
        if let Some(attempt) = self.network.attempts.get_mut(&id) {
            attempt.result = Some(result);
        }
        self.events.push(self.now + latency, Happening::Answers(id));
    }

    fn knock_again(&mut self, id: AttemptId) {
        let gives_up_after = nanos(self.network.options.connect_timeout);
        let Some(attempt) = self.network.attempts.get_mut(&id) else { return };
        let next = self.now + attempt.pause;
        attempt.pause *= 2;
        if next - attempt.began_at > gives_up_after {
            attempt.result = Some(Err(Errno::TIMED_OUT));
            self.events.push(attempt.began_at.saturating_add(gives_up_after).max(self.now), Happening::Answers(id));
        } else {
            self.events.push(next, Happening::Knocks(id));
        }
    }

    /// The answer to an attempt to connect comes back.
    pub(super) fn answers(&mut self, id: AttemptId) {
        let Some(attempt) = self.network.attempts.remove(&id) else { return };
        let key = attempt.shard;
        let result = attempt.result.expect("an answer has a result");
        let op = attempt.op.filter(|op| self.shard(key).is_some_and(|shard| shard.operations.contains_key(op)));
        let host = &self.hosts[key.host];
        let has_room = host.descriptors < host.descriptors_max;
        match (result, op) {
            (Ok(connection), Some(op)) if has_room => {
                let socket = self.add_socket(key, Socket::End(connection, Side::Caller));
                self.end_of(connection, Side::Caller).socket = Some((key, socket));
                if let Some(shard) = self.shard(key) {
                    shard.operations.remove(&op);
                }
                self.end(key, op, Outcome::Connection(Ok((socket, attempt.to))));
            }
            (Ok(connection), op) => {
                self.close_end(connection, Side::Caller, Farewell::Reset);
                if let Some(op) = op {
                    self.fail(key, op, Errno::TOO_MANY_FILES);
                }
            }
            (Err(errno), Some(op)) => self.fail(key, op, errno),
            (Err(_), None) => {}
        }
    }

    /// Gives a waiting accept the oldest connection of the queue.
    pub(super) fn finish_accept(&mut self, key: ShardKey, listener: ListenerId) {
        let host = &self.hosts[key.host];
        let has_room = host.descriptors < host.descriptors_max;
        let Some(open) = self.network.listeners.get_mut(&listener) else { return };
        if open.queue.is_empty() || open.waiting.is_empty() {
            return;
        }
        let (Some(op), address) = (open.waiting.pop_front(), open.address) else { return };
        if !has_room {
            return self.fail(key, op, Errno::TOO_MANY_FILES);
        }
        let Some(connection) = open.queue.pop_front() else { return };
        let more = !open.queue.is_empty() && !open.waiting.is_empty();
        if more {
            self.mark_ready(key, Socket::Listener(listener));
        }
        debug_assert!(address.port() != 0, "a listener has a port");
        let socket = self.add_socket(key, Socket::End(connection, Side::Callee));
        let peer = self.network.connections[&connection].end(Side::Caller).address;
        self.end_of(connection, Side::Callee).socket = Some((key, socket));
        if let Some(shard) = self.shard(key) {
            shard.operations.remove(&op);
        }
        self.end(key, op, Outcome::Connection(Ok((socket, peer))));
    }

    /// Gives a waiting receive what has arrived, or the end, or the error.
    pub(super) fn finish_receive(&mut self, key: ShardKey, connection: ConnectionId, side: Side) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        let end = open.end(side);
        let (Some(op), available) = (end.reader, end.inbox.len()) else { return };
        if !end.is_readable() {
            return;
        }
        let error = end.error;
        let pool = Rc::clone(&self.shard(key).expect("it asked").pool);
        let Some(InFlight { op: receive, .. }) = self.shard(key).and_then(|shard| shard.operations.remove(&op)) else {
            return;
        };
        if available == 0 {
            self.end_of(connection, side).reader = None;
            let outcome = match (error, receive) {
                (Some(errno), receive) => failed(receive, errno.into()),
                (None, Op::ReceiveInto { chunk, .. }) => Outcome::Filled(Ok(0), chunk),
                (None, _) => Outcome::Received(Ok(Received::end())),
            };
            return self.end(key, op, outcome);
        }
        let limit = match &receive {
            Op::ReceiveInto { chunk, bytes, .. } => (*bytes).min(chunk.spare_len()),
            _ => pool.buffer_bytes(),
        };
        let len = self.network.cut(available.min(limit));
        let inbox = &mut self.end_of(connection, side).inbox;
        let outcome = if let Op::ReceiveInto { mut chunk, .. } = receive {
            for (to, byte) in spare(&mut chunk, len).iter_mut().zip(inbox.drain(..len)) {
                *to = byte;
            }
            chunk.advance(len);
            Outcome::Filled(Ok(len), chunk)
        } else if let Some(received) = pool.copy_in(&inbox.make_contiguous()[..len]) {
            inbox.drain(..len);
            Outcome::Received(Ok(received))
        } else {
            self.keep(key, op, receive);
            if let Some(shard) = self.shard(key) {
                shard.starving.push_back(Socket::End(connection, side));
            }
            return;
        };
        self.end_of(connection, side).reader = None;
        self.end(key, op, outcome);
        self.pump(connection, side.other());
    }

    /// Puts as much on its way as the window takes.
    fn pump(&mut self, connection: ConnectionId, from: Side) {
        loop {
            let Some(open) = self.network.connections.get(&connection) else { return };
            let end = open.end(from);
            let (Some(mut sending), Some((key, _))) = (end.out.sending, end.socket) else { return };
            let left = sending.total - sending.done;
            if left == 0 {
                self.end_of(connection, from).out.sending = None;
                if let Some(shard) = self.shard(key) {
                    shard.operations.remove(&sending.op);
                }
                return self.end(key, sending.op, Outcome::Done(Ok(())));
            }
            let len = left.min(self.network.room(connection, from)).min(self.network.options.segment_bytes_max);
            if len == 0 {
                return;
            }
            let len = self.network.cut(len);
            let Some(InFlight { op: Op::Send { slices, .. }, .. }) =
                self.shard(key).and_then(|shard| shard.operations.get(&sending.op))
            else {
                return;
            };
            let bytes = copy_part(slices, sending.done, len);
            sending.done += len;
            self.end_of(connection, from).out.sending = Some(sending);
            self.depart(connection, from, bytes, false);
        }
    }

    fn depart(&mut self, connection: ConnectionId, from: Side, bytes: Vec<u8>, is_end: bool) {
        let at = self.network.depart(connection, from, bytes, is_end, self.now);
        if !self.end_of(connection, from).out.is_stalled {
            self.events.push(at, Happening::Arrives { connection, from });
        }
    }

    fn shut(&mut self, connection: ConnectionId, side: Side) {
        let end = self.end_of(connection, side);
        if !end.out.has_shut {
            end.out.has_shut = true;
            self.depart(connection, side, Vec::new(), true);
        }
    }

    /// The oldest segment from `from` arrives at the other host.
    pub(super) fn arrives(&mut self, connection: ConnectionId, from: Side) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        let (here, there) = (open.end(from), open.end(from.other()));
        if here.out.is_stalled || here.out.in_flight.front().is_none_or(|segment| segment.at > self.now) {
            return;
        }
        let (host, boot, is_closed) = (there.host, there.boot, there.is_closed);
        let passes = !open.is_vanished && self.network.passes(here.host, host) && self.hosts[host].has_power;
        let progress = here.out.acknowledged;
        if !passes {
            self.end_of(connection, from).out.is_stalled = true;
            let at = self.network.give_up_at(self.now);
            return self.events.push(at, Happening::GivesUp { connection, from, progress });
        }
        if boot != self.hosts[host].boot {
            self.end_of(connection, from).out.in_flight.clear();
            return self.send_reset(connection, from.other());
        }
        let here = self.end_of(connection, from);
        let segment = here.out.in_flight.pop_front().expect("looked at above");
        here.out.in_flight_bytes -= segment.bytes.len();
        here.out.acknowledged += 1;
        let there = self.end_of(connection, from.other());
        if is_closed {
            if !segment.is_end {
                self.send_reset(connection, from.other());
            }
            return self.forget_if_over(connection);
        }
        there.has_ended |= segment.is_end;
        there.inbox.extend(segment.bytes);
        self.wake_reader(connection, from.other());
        self.tell_watcher(connection, from.other());
    }

    /// Sends what waited for a free way again, wherever the way is free now.
    pub(super) fn resume_connections(&mut self) {
        for connection in self.network.connections.keys().copied().collect::<Vec<_>>() {
            for from in [Side::Caller, Side::Callee] {
                let open = &self.network.connections[&connection];
                let (here, there) = (open.end(from), open.end(from.other()));
                let passes = self.network.passes(here.host, there.host) && self.hosts[there.host].has_power;
                if here.out.is_stalled && passes && !open.is_vanished {
                    for at in self.network.resume(connection, from, self.now) {
                        self.events.push(at, Happening::Arrives { connection, from });
                    }
                }
            }
        }
    }

    /// Sends a reset to the peer of `from`.
    pub(super) fn send_reset(&mut self, connection: ConnectionId, from: Side) {
        let at = self.network.after_all(connection, from, self.now);
        self.events.push(at, Happening::Reset { connection, to: from.other() });
    }

    pub(super) fn reset_arrives(&mut self, connection: ConnectionId, to: Side) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        let (from_host, to_host) = (open.end(to.other()).host, open.end(to).host);
        if !open.is_vanished && self.network.passes(from_host, to_host) && self.hosts[to_host].has_power {
            self.break_end(connection, to, Errno::CONNECTION_RESET);
        }
    }

    pub(super) fn gives_up(&mut self, connection: ConnectionId, from: Side, progress: u64) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        let end = open.end(from);
        if end.out.is_stalled && end.out.acknowledged == progress {
            self.break_end(connection, from, Errno::TIMED_OUT);
        }
    }

    /// An end learns that its connection is over.
    fn break_end(&mut self, connection: ConnectionId, side: Side, errno: Errno) {
        let end = self.end_of(connection, side);
        if end.is_closed || end.error.is_some() {
            return self.forget_if_over(connection);
        }
        end.error = Some(errno);
        end.out.in_flight.clear();
        end.out.in_flight_bytes = 0;
        let (sending, socket) = (end.out.sending.take(), end.socket);
        if let (Some(sending), Some((key, _))) = (sending, socket) {
            self.fail(key, sending.op, errno);
        }
        self.wake_reader(connection, side);
        self.tell_watcher(connection, side);
    }

    pub(super) fn close_socket(&mut self, key: ShardKey, socket: SocketId) {
        let Some(open) = self.shard(key).and_then(|shard| shard.sockets.remove(&socket)) else { return };
        self.hosts[key.host].descriptors -= 1;
        match open {
            Socket::End(connection, side) => {
                let end = self.end_of(connection, side);
                let sending = end.out.sending.take().map(|sending| sending.op);
                let operations = [end.reader.take(), end.watcher.take(), sending];
                for op in operations.into_iter().flatten() {
                    self.fail(key, op, Errno::CANCELED);
                }
                self.close_end(connection, side, Farewell::Polite);
            }
            Socket::Listener(listener) => {
                let Some(open) = self.network.listeners.remove(&listener) else { return };
                for op in open.waiting {
                    self.fail(key, op, Errno::CANCELED);
                }
                for connection in open.queue {
                    self.close_end(connection, Side::Callee, Farewell::Reset);
                }
            }
        }
    }

    /// The process's side of a connection is gone. Unread bytes turn the farewell into a reset, as TCP has it.
    pub(super) fn close_end(&mut self, connection: ConnectionId, side: Side, farewell: Farewell) {
        let Some(open) = self.network.connections.get_mut(&connection) else { return };
        let end = open.end_mut(side);
        if end.is_closed {
            return;
        }
        end.is_closed = true;
        end.socket = None;
        (end.reader, end.watcher, end.out.sending) = (None, None, None);
        let unread = !end.inbox.is_empty();
        end.inbox.clear();
        let is_broken = end.error.is_some();
        match farewell {
            Farewell::Polite if !unread && !is_broken => self.shut(connection, side),
            Farewell::Polite | Farewell::Reset if !is_broken => self.send_reset(connection, side),
            Farewell::Polite | Farewell::Reset | Farewell::None => {}
        }
        self.forget_if_over(connection);
    }

    /// Drops the waiter of an abandoned operation. What had arrived for it stays for the next one.
    pub(super) fn forget_waiter(&mut self, key: ShardKey, op: OpId, socket: Option<Socket>) {
        match socket {
            Some(Socket::Listener(listener)) => {
                if let Some(open) = self.network.listeners.get_mut(&listener) {
                    open.waiting.retain(|waiting| *waiting != op);
                }
            }
            Some(Socket::End(connection, side)) => {
                let end = self.end_of(connection, side);
                end.reader.take_if(|reader| *reader == op);
                end.watcher.take_if(|watcher| *watcher == op);
                end.out.sending.take_if(|sending| sending.op == op);
            }
            // The attempt goes on in the kernel, and finds at its answer that nobody waits.
            None => {
                for attempt in self.network.attempts.values_mut() {
                    if attempt.shard == key {
                        attempt.op.take_if(|waiting| *waiting == op);
                    }
                }
            }
        }
    }

    /// Tells who waits for the end of what the peer sends that it is there.
    fn tell_watcher(&mut self, connection: ConnectionId, side: Side) {
        let end = self.end_of(connection, side);
        let (Some((key, _)), true) = (end.socket, end.has_ended || end.error.is_some()) else { return };
        let (Some(op), error) = (end.watcher.take(), end.error) else { return };
        if let Some(shard) = self.shard(key) {
            shard.operations.remove(&op);
        }
        self.end(key, op, Outcome::Done(error.map_or(Ok(()), |errno| Err(errno.into()))));
    }

    fn wake_reader(&mut self, connection: ConnectionId, side: Side) {
        let end = self.end_of(connection, side);
        if let (Some(_), true, Some((key, _))) = (end.reader, end.is_readable(), end.socket) {
            self.mark_ready(key, Socket::End(connection, side));
        }
    }

    fn mark_ready(&mut self, key: ShardKey, socket: Socket) {
        if let Some(shard) = self.shard(key)
            && shard.ready.back() != Some(&socket)
        {
            shard.ready.push_back(socket);
        }
    }

    fn forget_if_over(&mut self, connection: ConnectionId) {
        let Some(open) = self.network.connections.get(&connection) else { return };
        if open.end(Side::Caller).is_closed && open.end(Side::Callee).is_closed {
            self.network.connections.remove(&connection);
        }
    }

    pub(super) fn add_socket(&mut self, key: ShardKey, socket: Socket) -> SocketId {
        self.hosts[key.host].descriptors += 1;
        let shard = self.shard(key).expect("only a running process opens sockets");
        let id = SocketId(shard.next_descriptor());
        shard.sockets.insert(id, socket);
        id
    }

    pub(super) fn end_of(&mut self, connection: ConnectionId, side: Side) -> &mut End {
        self.network.connections.get_mut(&connection).expect("a connection lives while one end is open").end_mut(side)
    }
}

/// What the peer learns of a closed end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Farewell {
    /// The end of the stream, behind all that was sent.
    Polite,
    /// A reset.
    Reset,
    /// Nothing: the host lost its power.
    None,
}

/// Copies `len` bytes from `skip` on out of slices that follow each other.
fn copy_part(slices: &[Slice], skip: usize, len: usize) -> Vec<u8> {
    let (mut skip, mut left) = (skip, len);
    let mut bytes = Vec::with_capacity(len);
    for slice in slices {
        let from = skip.min(slice.len());
        let here = (slice.len() - from).min(left);
        bytes.extend_from_slice(&slice[from..from + here]);
        skip -= from;
        left -= here;
        if left == 0 {
            break;
        }
    }
    debug_assert_eq!(to_u64(bytes.len()), to_u64(len), "the operation holds what it sends");
    bytes
}
