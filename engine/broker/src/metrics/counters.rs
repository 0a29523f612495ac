//! What one shard counts of its connections and their requests: plain integers that only its own thread touches. Nothing is
//! allocated for a request, but for the first of its kind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_cluster::fetch_session::TopicKey;
use ringlog_measure::Durations;
use ringlog_net::conn::Response;
use ringlog_net::messages::ApiKey;
use ringlog_storage::types::Uuid;

/// API keys that can be counted: their numbers are below.
const API_KEYS_MAX: usize = 128;
/// Pairs of API key and error that are counted each by itself.
const ERRORS_MAX: usize = 4096;
/// Topics whose fetched bytes are counted each by itself; the rest counts together.
const SENT_TOPICS_MAX: usize = 20_000;

/// Where the nanoseconds of a request went, from its arrival on. The parts add up to the whole. Plain numbers, because a
/// [`Duration`] is divided into seconds, and every request would pay for that several times.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) total: u64,
    /// Until it was taken up.
    pub(crate) queued: u64,
    /// With its handler.
    pub(crate) local: u64,
    /// For other shards, the disk, other members of a group, or data to come.
    pub(crate) remote: u64,
    /// Until the socket had its answer.
    pub(crate) sent: u64,
}

/// What was counted of the requests of one API key.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct ApiCounts {
    /// From its arrival until the socket has its answer.
    pub(crate) total_time: Durations,
    pub(crate) queued_nanos: u64,
    pub(crate) local_nanos: u64,
    pub(crate) remote_nanos: u64,
    pub(crate) sent_nanos: u64,
    /// Told to clients that are over a quota.
    pub(crate) throttled_nanos: u64,
    pub(crate) throttled: u64,
    pub(crate) request_bytes: u64,
    pub(crate) response_bytes: u64,
}

impl ApiCounts {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.total_time.merge(&other.total_time);
        self.queued_nanos += other.queued_nanos;
        self.local_nanos += other.local_nanos;
        self.remote_nanos += other.remote_nanos;
        self.sent_nanos += other.sent_nanos;
        self.throttled_nanos += other.throttled_nanos;
        self.throttled += other.throttled;
        self.request_bytes += other.request_bytes;
        self.response_bytes += other.response_bytes;
    }
}

/// What passed through partitions, counted by the shard that owns them. As in Kafka, a request counts once for each
/// partition that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) bytes_in: u64,
    pub(crate) messages_in: u64,
    pub(crate) produces: u64,
    pub(crate) produces_failed: u64,
    pub(crate) fetches: u64,
    pub(crate) fetches_failed: u64,
}

impl Traffic {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.messages_in += other.messages_in;
        self.produces += other.produces;
        self.produces_failed += other.produces_failed;
        self.fetches += other.fetches;
        self.fetches_failed += other.fetches_failed;
    }
}

/// Bytes of batches that were sent to consumers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) by_topic: BTreeMap<TopicKey, u64>,
}

impl Sent {
    fn add(&mut self, topic: &TopicKey, bytes: u64) {
        self.bytes += bytes;
        if let Some(of_topic) = self.by_topic.get_mut(topic) {
            *of_topic += bytes;
        } else if self.by_topic.len() < SENT_TOPICS_MAX {
            self.by_topic.insert(topic.clone(), bytes);
        }
    }

    /// The topic is gone; its bytes stay with those of all.
    pub(crate) fn forget(&mut self, name: &Arc<str>, id: Uuid) {
        for key in [TopicKey::Name(Arc::clone(name)), TopicKey::Id(id)] {
            self.by_topic.remove(&key);
        }
    }
}

/// What one shard counts of its connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct ConnectionCounts {
    pub(crate) accepted: u64,
    pub(crate) closed: u64,
    /// From other shards.
    pub(crate) taken_over: u64,
    /// To other shards.
    pub(crate) given: u64,
    /// Of those that are open: not read, because their client is over a quota.
    pub(crate) muted: u64,
}

impl ConnectionCounts {
    /// Those that the shard has.
    pub(crate) fn open(&self) -> u64 {
        self.accepted + self.taken_over - self.closed - self.given
    }
}

/// What one shard counts.
#[derive(Debug)]
pub(crate) struct Counters {
    /// By the number of the key.
    apis: Box<[ApiCounts]>,
    /// What responses told of errors, by API key and code.
    pub(crate) errors: BTreeMap<(ApiKey, i16), u64>,
    pub(crate) sent: Sent,
    pub(crate) connections: ConnectionCounts,
    /// From when a response, or several, are handed to the socket until it has them all.
    pub(crate) send_time: Durations,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            apis: vec![ApiCounts::default(); API_KEYS_MAX].into(),
            errors: BTreeMap::new(),
            sent: Sent::default(),
            connections: ConnectionCounts::default(),
            send_time: Durations::default(),
        }
    }
}

impl Counters {
    /// A request has ended.
    pub(crate) fn ended(&mut self, api: ApiKey, times: &Times) {
        let counts = self.api_mut(api);
        counts.total_time.record(times.total);
        counts.queued_nanos += times.queued;
        counts.local_nanos += times.local;
        counts.remote_nanos += times.remote;
        counts.sent_nanos += times.sent;
    }

    /// A request is answered.
    pub(crate) fn answered(&mut self, api: ApiKey, frame_bytes: usize, response: &Response) {
        let counts = self.api_mut(api);
        counts.request_bytes += length(frame_bytes);
        if let Response::Send(body) = response {
            counts.response_bytes += length(body.len());
        }
        for error in response.errors() {
            let key = (api, error.code);
            if self.errors.len() < ERRORS_MAX || self.errors.contains_key(&key) {
                *self.errors.entry(key).or_default() += u64::from(error.count);
            }
        }
    }

    /// A client was told that it is throttled for so long.
    pub(crate) fn throttled(&mut self, api: ApiKey, time: Duration) {
        let counts = self.api_mut(api);
        counts.throttled += 1;
        counts.throttled_nanos += nanos(time);
    }

    /// A response brings so many bytes of a topic's batches.
    pub(crate) fn sent(&mut self, topic: &TopicKey, bytes: usize) {
        self.sent.add(topic, length(bytes));
    }

    /// Responses were handed to a socket, which has them after this time.
    pub(crate) fn transmitted(&mut self, time: Duration) {
        self.send_time.record(nanos(time));
    }

    /// The keys of which requests came, with what was counted of them.
    pub(crate) fn apis(&self) -> impl Iterator<Item = (ApiKey, &ApiCounts)> {
        let counted = ApiKey::ALL.iter().map(|&api| (api, &self.apis[index(api)]));
        counted.filter(|(_, counts)| counts.total_time.count() > 0)
    }

    fn api_mut(&mut self, api: ApiKey) -> &mut ApiCounts {
        &mut self.apis[index(api)]
    }
}

fn index(api: ApiKey) -> usize {
    let index = usize::try_from(api.code()).expect("the numbers of keys begin at 0");
    assert!(index < API_KEYS_MAX, "{api:?} has a larger number than can be counted");
    index
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).expect("a length fits 64 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_net::conn::{Body, CloseReason};
    use ringlog_net::error::ErrorCode;
    use ringlog_net::wire::ErrorCount;

    #[test]
    fn every_key_has_its_place() {
        let mut counters = Counters::default();
        let times = Times { total: 12_000, queued: 1000, local: 4000, remote: 5000, sent: 2000 };
        for api in ApiKey::ALL {
            counters.answered(api, 7, &Response::Nothing);
            counters.ended(api, &times);
        }
        assert_eq!(counters.apis().count(), ApiKey::ALL.len());
        for (api, counts) in counters.apis() {
            assert_eq!((counts.total_time.count(), counts.request_bytes, counts.response_bytes), (1, 7, 0), "{api:?}");
            let parts = counts.queued_nanos + counts.local_nanos + counts.remote_nanos + counts.sent_nanos;
            assert_eq!(parts, counts.total_time.sum());
        }
    }

    #[test]
    fn errors_count_by_key_and_code() {
        let mut counters = Counters::default();
        let errors = vec![ErrorCount { code: 3, count: 2 }, ErrorCount { code: 56, count: 1 }];
        let response = Response::Send(Body::from(vec![0; 10]).with_errors(errors));
        counters.answered(ApiKey::Produce, 7, &response);
        counters.answered(ApiKey::Produce, 7, &response);
        counters.answered(ApiKey::Metadata, 7, &response);
        let without_acks = CloseReason::ProduceWithoutAcksFailed(ErrorCode::MessageTooLarge);
        counters.answered(ApiKey::Produce, 7, &Response::Close(without_acks));
        let expected = [
            ((ApiKey::Produce, 10), 1),
            ((ApiKey::Produce, 3), 4),
            ((ApiKey::Produce, 56), 2),
            ((ApiKey::Metadata, 3), 2),
            ((ApiKey::Metadata, 56), 1),
        ];
        assert_eq!(counters.errors, BTreeMap::from(expected));
    }

    #[test]
    fn topics_beyond_the_limit_count_together() {
        let mut sent = Sent::default();
        for number in 0..=SENT_TOPICS_MAX {
            sent.add(&TopicKey::Name(format!("topic-{number:06}").into()), 2);
        }
        assert_eq!(sent.by_topic.len(), SENT_TOPICS_MAX);
        assert_eq!(sent.bytes, 2 * (length(SENT_TOPICS_MAX) + 1));
    }
}
