//! Which partitions a fetch is to bring: those that it names, or those that its session remembers (KIP-227).

use std::sync::Arc;

use ringlog_cluster::fetch_session::{
    Fetcher, PartitionAnswer, PartitionFetch, PartitionKey, SessionFetch, SessionRequest, TopicKey, TopicNaming,
};
use ringlog_cluster::image::Image;
use ringlog_net::error::ErrorCode;
use ringlog_net::views::{FetchView, TOPIC_ID_VERSION_MIN, TopicRef};
use ringlog_storage::types::BrokerId;

use crate::partition::read::{ReadItem, ReadOutcome};
use crate::random::random_bits;
use crate::shard::Shard;
use crate::topics::{find_partition, find_topic};

/// A partition, and what was asked of it.
pub(super) type FetchedPartition = (PartitionKey, PartitionFetch);

/// What a response takes besides its partitions, and a partition besides its records, as quotas count it.
const RESPONSE_BYTES: usize = 16;
const PARTITION_BYTES: usize = 40;

/// What a fetch is to bring.
pub(super) struct Plan {
    fetch: SessionFetch,
    image: Arc<Image>,
}

impl Plan {
    /// Follows the session that the request belongs to, or will open.
    pub(super) fn new(shard: &Shard, view: &FetchView<'_>, version: i16) -> Result<Self, ErrorCode> {
        let request = session_request(view, version);
        let now = shard.now();
        shard.with(|state| {
            let fetch =
                state.sessions.begin(request, now).map_err(ringlog_cluster::fetch_session::SessionError::code)?;
            Ok(Self { fetch, image: Arc::clone(&state.image) })
        })
    }

    /// What to read, in the order of the answer; an error where there is nothing to be read.
    pub(super) fn items(&self) -> impl Iterator<Item = Result<ReadItem, ErrorCode>> {
        self.fetch.partitions.iter().map(|(key, fetch)| {
            let topic = find_topic(&self.image, topic_ref(&key.topic))?;
            Ok(read_item(find_partition(topic, key.partition)?, fetch))
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fetch.partitions.is_empty()
    }

    /// About how many bytes a response with these outcomes takes.
    pub(super) fn bytes_to_send(&self, shard: &Shard, outcomes: &[ReadOutcome]) -> usize {
        shard.with(|state| {
            let is_sent = state.sessions.would_send(&self.fetch, outcomes.iter().map(answer));
            let sent = outcomes.iter().zip(is_sent).filter(|(_, is_sent)| *is_sent);
            RESPONSE_BYTES + sent.map(|(outcome, _)| PARTITION_BYTES + outcome.bytes).sum::<usize>()
        })
    }

    /// The session's id for a response that tells nothing because the client is throttled.
    pub(super) fn throttle(&self, shard: &Shard) -> Result<i32, ErrorCode> {
        let session_id = shard.with(|state| state.sessions.throttle(&self.fetch));
        session_id.map_err(ringlog_cluster::fetch_session::SessionError::code)
    }

    /// Notes in the session what is about to be told, and answers its id and the partitions of which something is told,
    /// with the outcome of each.
    pub(super) fn finish(
        self,
        shard: &Shard,
        mut outcomes: Vec<ReadOutcome>,
    ) -> Result<(i32, Vec<FetchedPartition>, Vec<ReadOutcome>), ErrorCode> {
        let now = shard.now();
        let mut random = || u32::try_from(random_bits(shard.reactor()) >> 96).expect("32 bits are left");
        let told =
            shard.with(|state| state.sessions.finish(&self.fetch, outcomes.iter().map(answer), now, &mut random));
        let told = told.map_err(ringlog_cluster::fetch_session::SessionError::code)?;
        let mut partitions = self.fetch.partitions;
        if let Some(is_sent) = told.is_sent {
            let (mut of_partitions, mut of_outcomes) = (is_sent.iter(), is_sent.iter());
            partitions.retain(|_| of_partitions.next() == Some(&true));
            outcomes.retain(|_| of_outcomes.next() == Some(&true));
        }
        Ok((told.session_id, partitions, outcomes))
    }
}

/// The topic as the client calls it.
pub(super) fn topic_ref(topic: &TopicKey) -> TopicRef<'_> {
    match topic {
        TopicKey::Name(name) => TopicRef::Name(name),
        TopicKey::Id(id) => TopicRef::Id(*id),
    }
}

fn topic_key(topic: TopicRef<'_>) -> TopicKey {
    match topic {
        TopicRef::Name(name) => TopicKey::Name(name.into()),
        TopicRef::Id(id) => TopicKey::Id(id),
    }
}

fn session_request(view: &FetchView<'_>, version: i16) -> SessionRequest {
    let mut partitions = Vec::new();
    for topic in view.topics.iter() {
        let name = topic_key(topic.topic);
        for wanted in topic.partitions.iter() {
            let fetch = PartitionFetch {
                fetch_offset: wanted.fetch_offset,
                log_start_offset: wanted.log_start_offset,
                current_leader_epoch: wanted.current_leader_epoch,
                last_fetched_epoch: wanted.last_fetched_epoch,
                bytes_max: wanted.partition_max_bytes,
            };
            partitions.push((PartitionKey { topic: name.clone(), partition: wanted.partition }, fetch));
        }
    }
    let mut forgotten = Vec::new();
    for topic in view.forgotten_topics.iter() {
        let name = topic_key(topic.topic);
        forgotten.extend(topic.partitions.iter().map(|partition| PartitionKey { topic: name.clone(), partition }));
    }
    let is_follower = view.replica_state.replica_id >= BrokerId::new(0);
    SessionRequest {
        session_id: view.session_id,
        session_epoch: view.session_epoch,
        fetcher: if is_follower { Fetcher::Follower } else { Fetcher::Consumer },
        naming: if version >= TOPIC_ID_VERSION_MIN { TopicNaming::Ids } else { TopicNaming::Names },
        partitions,
        forgotten,
    }
}

fn read_item(key: crate::partition::table::PartitionKey, fetch: &PartitionFetch) -> ReadItem {
    ReadItem {
        key,
        offset: fetch.fetch_offset,
        bytes_max: usize::try_from(fetch.bytes_max).unwrap_or(0),
        current_leader_epoch: fetch.current_leader_epoch,
        last_fetched_epoch: fetch.last_fetched_epoch,
    }
}

fn answer(outcome: &ReadOutcome) -> PartitionAnswer {
    PartitionAnswer {
        high_watermark: outcome.high_watermark,
        log_start_offset: outcome.log_start,
        has_content: outcome.bytes > 0 || outcome.diverging.is_some(),
        is_error: outcome.code != ErrorCode::None,
    }
}
