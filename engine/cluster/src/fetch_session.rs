//! Incremental fetch sessions (KIP-227): a shard remembers what its clients fetch, so that they name only what changes,
//! and are told only what changed.
//!
//! A fetch goes through [`FetchSessions::begin`], which says what to read, and [`FetchSessions::finish`], which says what
//! of the answers to send. A session is a convenience that may end at any time: a client that is told so begins anew
//! with all its partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_storage::types::{LeaderEpoch, Nanos, Offset, PartitionIndex, Uuid};
use thiserror::Error;

/// `FetchRequest.SessionId` of a request that belongs to no session.
pub const NO_SESSION: i32 = 0;
/// `FetchRequest.SessionEpoch` of a request that opens a session.
pub const EPOCH_OPENS: i32 = 0;
/// `FetchRequest.SessionEpoch` of a request that closes its session, or wants none.
pub const EPOCH_CLOSES: i32 = -1;

/// A session that is not used, or exists, for this long may have to make room for another one.
pub const SAFE_FROM_EVICTION: Duration = Duration::from_mins(2);

/// The most partitions of all sessions of a shard. At about 200 bytes each they take 100 MB.
pub const SESSION_PARTITIONS_MAX: usize = 500_000;

/// What a client calls a topic: by name up to version 12 of Fetch, by id after that.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TopicKey {
    /// By name.
    Name(Arc<str>),
    /// By id.
    Id(Uuid),
}

/// A partition as the client calls it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionKey {
    /// The topic.
    pub topic: TopicKey,
    /// The partition.
    pub partition: PartitionIndex,
}

/// What a client wants of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionFetch {
    /// The first record it wants.
    pub fetch_offset: Offset,
    /// The log start offset of a follower, [`Offset::UNKNOWN`] of a consumer.
    pub log_start_offset: Offset,
    /// The leader epoch that it knows.
    pub current_leader_epoch: LeaderEpoch,
    /// The epoch of the last record it has (KIP-595).
    pub last_fetched_epoch: LeaderEpoch,
    /// The most bytes it wants of this partition.
    pub bytes_max: i32,
}

/// Who fetches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fetcher {
    /// A client.
    Consumer,
    /// Another broker, whose sessions are kept before those of clients.
    Follower,
}

/// How topics are called in a request, which does not change within a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TopicNaming {
    /// Up to version 12.
    Names,
    /// From version 13 on.
    Ids,
}

/// The parts of a `FetchRequest` that a session is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRequest {
    /// `SessionId`.
    pub session_id: i32,
    /// `SessionEpoch`.
    pub session_epoch: i32,
    /// Who sent it.
    pub fetcher: Fetcher,
    /// How it calls topics.
    pub naming: TopicNaming,
    /// The partitions that it names: all of them, or in a session those that are new or fetched otherwise than before.
    pub partitions: Vec<(PartitionKey, PartitionFetch)>,
    /// Partitions that the session is to forget.
    pub forgotten: Vec<PartitionKey>,
}

/// What to read for one request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionFetch {
    /// The partitions to read, in the order in which the response's bytes are given out.
    pub partitions: Vec<(PartitionKey, PartitionFetch)>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// No session before or after.
    Sessionless,
    /// A session is to be opened.
    Opening { fetcher: Fetcher, naming: TopicNaming },
    /// A session goes on; the epoch is the one its next request will have.
    Going { session_id: i32, epoch: i32 },
}

/// What was read of one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartitionAnswer {
    /// The high watermark.
    pub high_watermark: Offset,
    /// The log start offset.
    pub log_start_offset: Offset,
    /// Whether there are records, a diverging epoch or a preferred replica in it.
    pub has_content: bool,
    /// Whether it is an error.
    pub is_error: bool,
}

/// What to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionAnswer {
    /// `FetchResponse.SessionId`.
    pub session_id: i32,
    /// For each partition that was read, whether it is in the response; `None` where all of them are.
    pub is_sent: Option<Vec<bool>>,
}

/// Why a request is answered by an error alone. The client then begins a session anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum SessionError {
    /// The session was evicted, or never was.
    #[error("there is no fetch session {0}")]
    UnknownSession(i32),
    /// A request was lost, or sent twice.
    #[error("fetch session {session_id} is at epoch {has}, and the request at {given}")]
    WrongEpoch {
        /// The session.
        session_id: i32,
        /// Its epoch.
        has: i32,
        /// The request's.
        given: i32,
    },
    /// The client changed between names and ids of topics.
    #[error("fetch session {0} calls topics otherwise than the request")]
    OtherNaming(i32),
}

impl SessionError {
    /// The error as Kafka's clients know it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::UnknownSession(_) => ErrorCode::FetchSessionIdNotFound,
            Self::WrongEpoch { .. } => ErrorCode::InvalidFetchSessionEpoch,
            Self::OtherNaming(_) => ErrorCode::FetchSessionTopicIdError,
        }
    }
}

/// The sessions of one shard.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FetchSessions {
    sessions: BTreeMap<i32, Session>,
    sessions_max: usize,
    partition_count: usize,
    eviction_count: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Session {
    fetcher: Fetcher,
    naming: TopicNaming,
    /// The epoch that the next request must have.
    epoch: i32,
    opened_at: Nanos,
    used_at: Nanos,
    /// The partitions by ticket, the one that is read first in front.
    queue: BTreeMap<u64, Entry>,
    tickets: BTreeMap<PartitionKey, u64>,
    next_ticket: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    key: PartitionKey,
    fetch: PartitionFetch,
    /// What the client was last told; `None` if it has to be told in any case.
    told: Option<(Offset, Offset)>,
}

impl FetchSessions {
    /// No sessions yet, and never more than `sessions_max`.
    pub fn new(sessions_max: usize) -> Self {
        Self { sessions: BTreeMap::new(), sessions_max, partition_count: 0, eviction_count: 0 }
    }

    /// How many sessions there are.
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// How many partitions they have in all.
    pub fn partition_count(&self) -> usize {
        self.partition_count
    }

    /// How many sessions have had to make room.
    pub fn eviction_count(&self) -> u64 {
        self.eviction_count
    }

    /// Takes a request in, and says what to read.
    pub fn begin(&mut self, request: SessionRequest, now: Nanos) -> Result<SessionFetch, SessionError> {
        let SessionRequest { session_id, session_epoch, fetcher, naming, partitions, forgotten } = request;
        if session_epoch == EPOCH_OPENS || session_epoch == EPOCH_CLOSES {
            // All partitions are named, so that whatever session there was is of no more use.
            self.remove(session_id);
            let opens = session_epoch == EPOCH_OPENS;
            let state = if opens { State::Opening { fetcher, naming } } else { State::Sessionless };
            return Ok(SessionFetch { partitions, state });
        }
        let session = self.sessions.get_mut(&session_id).ok_or(SessionError::UnknownSession(session_id))?;
        if session.epoch != session_epoch {
            return Err(SessionError::WrongEpoch { session_id, has: session.epoch, given: session_epoch });
        }
        if session.naming != naming {
            return Err(SessionError::OtherNaming(session_id));
        }
        let before = session.queue.len();
        session.change(partitions, &forgotten);
        session.epoch = next_epoch(session.epoch);
        session.used_at = now;
        let (after, epoch, partitions) = (session.queue.len(), session.epoch, session.partitions());
        self.partition_count = self.partition_count - before + after;
        if after == 0 {
            self.remove(session_id);
            return Ok(SessionFetch { partitions, state: State::Sessionless });
        }
        if self.partition_count > SESSION_PARTITIONS_MAX {
            self.remove(session_id);
            return Err(SessionError::UnknownSession(session_id));
        }
        Ok(SessionFetch { partitions, state: State::Going { session_id, epoch } })
    }

    /// Says what to send of the answers, one for each partition of `fetch` in its order, and remembers it. `random` gives
    /// the bits of a new session's id. Panics if the number of answers is another one.
    pub fn finish(
        &mut self,
        fetch: &SessionFetch,
        answers: impl ExactSizeIterator<Item = PartitionAnswer>,
        now: Nanos,
        random: &mut dyn FnMut() -> u32,
    ) -> Result<SessionAnswer, SessionError> {
        assert_eq!(fetch.partitions.len(), answers.len(), "one answer for each partition");
        let whole = |session_id| SessionAnswer { session_id, is_sent: None };
        match fetch.state {
            State::Sessionless => Ok(whole(NO_SESSION)),
            State::Opening { fetcher, naming } => {
                let is_room = answers.len() > 0 && self.make_room(fetcher, answers.len(), now);
                let session_id =
                    if is_room { self.open(fetcher, naming, fetch, answers, now, random) } else { NO_SESSION };
                Ok(whole(session_id))
            }
            State::Going { session_id, epoch } => match self.sessions.get_mut(&session_id) {
                // Evicted while the request waited: what was read is good all the same.
                None => Ok(whole(session_id)),
                Some(session) if session.epoch != epoch => {
                    Err(SessionError::WrongEpoch { session_id, has: session.epoch, given: epoch })
                }
                Some(session) => {
                    let told = |((key, _), answer): (&(PartitionKey, _), _)| session.tell(key, &answer);
                    let is_sent = fetch.partitions.iter().zip(answers).map(told).collect();
                    Ok(SessionAnswer { session_id, is_sent: Some(is_sent) })
                }
            },
        }
    }

    /// Which of the answers [`finish`](Self::finish) would send, in their order.
    pub fn would_send(
        &self,
        fetch: &SessionFetch,
        answers: impl ExactSizeIterator<Item = PartitionAnswer>,
    ) -> impl Iterator<Item = bool> {
        assert_eq!(fetch.partitions.len(), answers.len(), "one answer for each partition");
        let session = match fetch.state {
            State::Going { session_id, .. } => self.sessions.get(&session_id),
            State::Opening { .. } | State::Sessionless => None,
        };
        let is_sent = move |((key, _), answer): (&(PartitionKey, _), PartitionAnswer)| {
            let entry = session.and_then(|session| session.queue.get(session.tickets.get(key)?));
            entry.is_none_or(|entry| entry.is_news(&answer))
        };
        fetch.partitions.iter().zip(answers).map(is_sent)
    }

    /// The session's id for a client that is told nothing because it is throttled. A session that goes on stays as it is;
    /// none is opened.
    pub fn throttle(&self, fetch: &SessionFetch) -> Result<i32, SessionError> {
        match fetch.state {
            State::Opening { .. } | State::Sessionless => Ok(NO_SESSION),
            State::Going { session_id, epoch } => match self.sessions.get(&session_id) {
                Some(session) if session.epoch != epoch => {
                    Err(SessionError::WrongEpoch { session_id, has: session.epoch, given: epoch })
                }
                Some(_) | None => Ok(session_id),
            },
        }
    }

    fn remove(&mut self, session_id: i32) {
        if let Some(session) = self.sessions.remove(&session_id) {
            self.partition_count -= session.queue.len();
        }
    }

    /// Whether a session of so many partitions can be opened; another one may have to go for it. Simpler than Kafka's
    /// rules, to the same end: what is used stays, followers stay before clients, large sessions before small ones.
    fn make_room(&mut self, fetcher: Fetcher, partition_count: usize, now: Nanos) -> bool {
        if self.partition_count + partition_count > SESSION_PARTITIONS_MAX || self.sessions_max == 0 {
            return false;
        }
        if self.sessions.len() < self.sessions_max {
            return true;
        }
        let is_long_ago = |then: Nanos| now.since(then) >= SAFE_FROM_EVICTION;
        let yields = |session: &Session| match (session.fetcher, fetcher) {
            _ if is_long_ago(session.used_at) => true,
            (Fetcher::Follower, _) => false,
            (Fetcher::Consumer, Fetcher::Follower) => true,
            (Fetcher::Consumer, Fetcher::Consumer) => {
                is_long_ago(session.opened_at) && session.queue.len() < partition_count
            }
        };
        let yielding = self.sessions.iter().filter(|(_, session)| yields(session));
        let Some(session_id) = yielding.min_by_key(|(_, session)| session.used_at).map(|(id, _)| *id) else {
            return false;
        };
        self.remove(session_id);
        self.eviction_count += 1;
        true
    }

    fn open(
        &mut self,
        fetcher: Fetcher,
        naming: TopicNaming,
        fetch: &SessionFetch,
        answers: impl Iterator<Item = PartitionAnswer>,
        now: Nanos,
        random: &mut dyn FnMut() -> u32,
    ) -> i32 {
        let Some(session_id) = self.unused_id(random) else { return NO_SESSION };
        let mut session = Session {
            fetcher,
            naming,
            epoch: next_epoch(EPOCH_OPENS),
            opened_at: now,
            used_at: now,
            queue: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
        };
        session.change(fetch.partitions.clone(), &[]);
        for ((key, _), answer) in fetch.partitions.iter().zip(answers) {
            session.tell(key, &answer);
        }
        self.partition_count += session.queue.len();
        self.sessions.insert(session_id, session);
        session_id
    }

    /// An id that no session has. Ids are random, so that a client cannot meet a session of another shard by its id.
    fn unused_id(&self, random: &mut dyn FnMut() -> u32) -> Option<i32> {
        /// With 31 random bits and few sessions the first throw does nearly always.
        const THROWS_MAX: usize = 16;
        (0..THROWS_MAX)
            .map(|_| (random() >> 1).cast_signed())
            .find(|id| *id != NO_SESSION && !self.sessions.contains_key(id))
    }
}

impl Session {
    fn change(&mut self, partitions: Vec<(PartitionKey, PartitionFetch)>, forgotten: &[PartitionKey]) {
        for (key, fetch) in partitions {
            match self.tickets.get(&key) {
                Some(ticket) => {
                    self.queue.get_mut(ticket).expect("every ticket is in the queue").fetch = fetch;
                }
                None => self.enqueue(Entry { key, fetch, told: None }),
            }
        }
        for key in forgotten {
            if let Some(ticket) = self.tickets.remove(key) {
                self.queue.remove(&ticket);
            }
        }
    }

    fn enqueue(&mut self, entry: Entry) {
        self.tickets.insert(entry.key.clone(), self.next_ticket);
        self.queue.insert(self.next_ticket, entry);
        self.next_ticket += 1;
    }

    fn partitions(&self) -> Vec<(PartitionKey, PartitionFetch)> {
        self.queue.values().map(|entry| (entry.key.clone(), entry.fetch)).collect()
    }

    /// Whether the client has to be told this answer; remembers that it was. A partition that had something to say goes
    /// to the end of the queue, so that it does not keep the others from the response's bytes for ever.
    fn tell(&mut self, key: &PartitionKey, answer: &PartitionAnswer) -> bool {
        let Some(ticket) = self.tickets.get(key).copied() else { return true };
        let entry = self.queue.get_mut(&ticket).expect("every ticket is in the queue");
        let is_sent = entry.is_news(answer);
        // After an error the client is told again when the partition is well.
        entry.told = (!answer.is_error).then_some((answer.high_watermark, answer.log_start_offset));
        if answer.has_content {
            let entry = self.queue.remove(&ticket).expect("just looked at");
            self.enqueue(entry);
        }
        is_sent
    }
}

impl Entry {
    /// Whether the client has to be told this answer.
    fn is_news(&self, answer: &PartitionAnswer) -> bool {
        let now = (answer.high_watermark, answer.log_start_offset);
        answer.has_content || answer.is_error || self.told != Some(now)
    }
}

/// Epochs go up from 1, and begin again at 1.
fn next_epoch(epoch: i32) -> i32 {
    epoch.checked_add(1).unwrap_or(1)
}

#[cfg(test)]
mod tests;
