//! Which connections a broker accepts, and when: `max.connections`, `max.connections.per.ip`, `max.connection.creation.rate`
//! and their kin, and the quota `connection_creation_rate` of addresses (KIP-402, KIP-612).
//!
//! Connections of a listener are accepted one after the other, as Kafka's acceptor does: the first one waits until the
//! rates and the numbers of connections allow for it, and the others behind it. Then its address decides whether it may
//! stay.

mod limits;
mod spread;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use ringlog_storage::types::Nanos;

use crate::quota::{QuotaWindows, Rate};

pub use limits::ConnectionLimits;
pub(crate) use limits::parse_overrides;
pub use spread::{Gift, Held, spread};

/// How many addresses are remembered for their rates. Where there are more, those that came longest ago are forgotten.
pub const ADDRESSES_TRACKED_MAX: usize = 32_768;

/// Where a connection has come in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Origin {
    /// Index of the shard that serves it.
    pub shard: usize,
    /// Index of the listener.
    pub listener: usize,
    /// The client's address.
    pub ip: IpAddr,
}

/// What becomes of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is served, and counted until it ends.
    Accepted,
    /// It is closed: its address has as many as it may.
    TooMany {
        /// How many these are.
        max: u32,
    },
    /// It is closed when this time is over: its address makes too many.
    Throttled(Duration),
}

/// One that asked, who is to be told, and what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer<T> {
    /// Who asked.
    pub origin: Origin,
    /// What it brought along.
    pub token: T,
    /// What becomes of it.
    pub verdict: Verdict,
}

/// The connections of all shards of a broker. Those that ask bring a token of type `T` along.
///
/// A connection that has moved is told of by several shards, whose words come in any order: numbers may be too small for a
/// moment, and below zero.
#[derive(Debug)]
pub struct Connections<T> {
    limits: ConnectionLimits,
    windows: QuotaWindows,
    open: i64,
    by_ip: BTreeMap<IpAddr, i64>,
    shards: Vec<ShardConnections>,
    listeners: Vec<Line<T>>,
    rate: Rate,
    address_rates: AddressRates,
}

/// The connections of one shard that may have to make room.
#[derive(Clone, Copy, Default, Debug)]
struct ShardConnections {
    open: i64,
    /// It was told to close so many, and has not yet.
    leaving: i64,
}

/// Those that want to come in through one listener, which are one for each shard at most.
#[derive(Debug)]
struct Line<T> {
    open: i64,
    waiting: VecDeque<(Origin, T)>,
    /// The first of them counts already, and is throttled until then.
    first_until: Option<Nanos>,
    rate: Rate,
}

impl<T> Connections<T> {
    /// Nobody is connected yet.
    pub fn new(limits: ConnectionLimits, windows: QuotaWindows, shard_count: usize) -> Self {
        let line = |_: &_| Line { open: 0, waiting: VecDeque::new(), first_until: None, rate: Rate::default() };
        Self {
            listeners: limits.listeners.iter().map(line).collect(),
            limits,
            windows,
            open: 0,
            by_ip: BTreeMap::new(),
            shards: vec![ShardConnections::default(); shard_count],
            rate: Rate::default(),
            address_rates: AddressRates::default(),
        }
    }

    /// How many are counted.
    pub fn open(&self) -> u32 {
        u32::try_from(self.open.max(0)).unwrap_or(u32::MAX)
    }

    /// These limits hold from now on. Those that wait are looked at again at the next poll.
    pub fn set_limits(&mut self, limits: ConnectionLimits) {
        assert_eq!(limits.listeners.len(), self.listeners.len(), "listeners do not change while a broker runs");
        self.limits = limits;
    }

    /// A connection wants to be accepted. A poll answers it.
    pub fn ask(&mut self, origin: Origin, token: T) {
        let waiting = &mut self.listeners[origin.listener].waiting;
        assert!(waiting.len() < self.shards.len(), "a shard accepts one connection of a listener at a time");
        waiting.push_back((origin, token));
    }

    /// Counts a connection that was accepted when nobody had to ask.
    pub fn count(&mut self, origin: Origin) {
        self.add(origin, 1);
        if !self.limits.is_protected(origin.listener) {
            self.shards[origin.shard].open += 1;
        }
    }

    fn add(&mut self, origin: Origin, count: i64) {
        self.open += count;
        self.listeners[origin.listener].open += count;
        let of_ip = self.by_ip.entry(origin.ip).or_default();
        *of_ip += count;
        if *of_ip == 0 {
            self.by_ip.remove(&origin.ip);
        }
    }

    /// A connection that counts has ended.
    pub fn ended(&mut self, origin: Origin) {
        self.add(origin, -1);
        if !self.limits.is_protected(origin.listener) {
            let shard = &mut self.shards[origin.shard];
            shard.open -= 1;
            shard.leaving = (shard.leaving - 1).max(0);
        }
    }

    /// A connection that counts is served by another shard from now on.
    pub fn moved(&mut self, origin: Origin, to: usize) {
        if !self.limits.is_protected(origin.listener) {
            let from = &mut self.shards[origin.shard];
            from.open -= 1;
            // It cannot end any more there.
            from.leaving = from.leaving.min(from.open.max(0));
            self.shards[to].open += 1;
        }
    }

    /// The next one that asked and need not wait any more.
    pub fn poll(&mut self, now: Nanos) -> Option<Answer<T>> {
        (0..self.listeners.len()).find_map(|listener| self.poll_listener(listener, now))
    }

    /// When to poll again if nothing happens before.
    pub fn next_deadline(&self) -> Option<Nanos> {
        let has_room = |listener: &usize| self.has_room(*listener);
        (0..self.listeners.len()).filter(has_room).filter_map(|listener| self.listeners[listener].first_until).min()
    }

    /// How many connections each shard has to close, the longest unused first: connections that could not be kept out, or
    /// a limit that was lowered, have made them too many.
    pub fn surplus(&mut self) -> Vec<(usize, u32)> {
        let leaving: i64 = self.shards.iter().map(|shard| shard.leaving).sum();
        let surplus = self.open - i64::from(self.limits.connections_max) - leaving;
        let mut closing = vec![0; self.shards.len()];
        for _ in 0..surplus {
            let staying = |shard: &ShardConnections| shard.open - shard.leaving;
            let Some((at, shard)) = self
                .shards
                .iter_mut()
                .enumerate()
                .max_by_key(|(_, shard)| staying(shard))
                .filter(|(_, shard)| staying(shard) > 0)
            else {
                break;
            };
            shard.leaving += 1;
            closing[at] += 1;
        }
        closing.into_iter().enumerate().filter(|(_, count)| *count > 0).collect()
    }

    fn poll_listener(&mut self, listener: usize, now: Nanos) -> Option<Answer<T>> {
        if self.listeners[listener].waiting.is_empty() {
            return None;
        }
        let until = match self.listeners[listener].first_until {
            Some(until) => until,
            None => now.saturating_add(self.throttle_time(listener, now)),
        };
        self.listeners[listener].first_until = Some(until);
        if now < until || !self.has_room(listener) {
            return None;
        }
        let line = &mut self.listeners[listener];
        line.first_until = None;
        let (origin, token) = line.waiting.pop_front()?;
        let verdict = self.judge(origin, now);
        Some(Answer { origin, token, verdict })
    }

    /// Counts one more in the rates of the broker and of the listener, and answers how long it has to wait for them.
    fn throttle_time(&mut self, listener: usize, now: Nanos) -> Duration {
        let of_broker = self.limits.broker_rate().filter(|_| !self.limits.is_protected(listener));
        let of_listener = self.limits.listener_rate(listener);
        let rates = [(of_broker, &mut self.rate), (of_listener, &mut self.listeners[listener].rate)];
        let windows = self.windows;
        let times = rates.into_iter().filter_map(|(limit, rate)| Some(take_one(rate, limit?, windows, now)));
        times.max().unwrap_or_default()
    }

    fn has_room(&self, listener: usize) -> bool {
        let limits = &self.limits.listeners[listener];
        self.listeners[listener].open < i64::from(limits.connections_max)
            && (limits.is_protected || self.open < i64::from(self.limits.connections_max))
    }

    fn judge(&mut self, origin: Origin, now: Nanos) -> Verdict {
        if let Some(limit) = self.limits.rate_of(origin.ip) {
            let rate = self.address_rates.of(origin.ip, self.windows, now);
            let throttled = take_one(rate, limit, self.windows, now);
            if !throttled.is_zero() {
                // It does not come in, so it does not count.
                rate.record(-1.0, self.windows, now);
                return Verdict::Throttled(throttled);
            }
        }
        let max = self.limits.per_ip_max(origin.ip);
        if self.by_ip.get(&origin.ip).copied().unwrap_or(0) >= i64::from(max) {
            return Verdict::TooMany { max };
        }
        self.count(origin);
        Verdict::Accepted
    }
}

/// Counts one connection. As in Kafka nobody waits longer for it than a window lasts.
fn take_one(rate: &mut Rate, limit: f64, windows: QuotaWindows, now: Nanos) -> Duration {
    rate.record(1.0, windows, now);
    rate.throttle_time(limit, windows, now).min(windows.size())
}

/// How often addresses have connected. What is used goes to the recent half; when that is full, or older than what counts,
/// it becomes the other half, which is forgotten.
#[derive(Debug)]
struct AddressRates {
    recent: BTreeMap<IpAddr, Rate>,
    other: BTreeMap<IpAddr, Rate>,
    turned_at: Nanos,
}

impl Default for AddressRates {
    fn default() -> Self {
        Self { recent: BTreeMap::new(), other: BTreeMap::new(), turned_at: Nanos::new(0) }
    }
}

impl AddressRates {
    fn of(&mut self, ip: IpAddr, windows: QuotaWindows, now: Nanos) -> &mut Rate {
        let is_full = self.recent.len() >= ADDRESSES_TRACKED_MAX / 2 && !self.recent.contains_key(&ip);
        if is_full || now.since(self.turned_at) >= windows.span() {
            self.other = std::mem::take(&mut self.recent);
            self.turned_at = now;
        }
        let known = self.other.remove(&ip);
        self.recent.entry(ip).or_insert_with(|| known.unwrap_or_default())
    }
}
