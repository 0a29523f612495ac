//! `ringlog consume --group`: a member of a consumer group (KIP-848). It reads what the coordinator assigns to it, commits
//! what was written, and leaves in the end so that others need not wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use ringlog_client::race;
use ringlog_cluster::group::{JOIN_EPOCH, LEAVE_EPOCH};
use ringlog_net::client::{ClientError, Event, Start};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic, OffsetCommitResponse,
};
use ringlog_reactor::Instant;
use ringlog_storage::types::{Offset, PartitionIndex, TopicPartition, Uuid};

use super::range::{Bounds, Point, Range};
use super::{Reading, bounds};
use crate::group::coordinator;
use crate::group::offsets::{Topics, committed};
use crate::session::{AutoCreate, LossReport, Session, refusal};

/// How often offsets are committed.
const COMMIT_PAUSE: Duration = Duration::from_secs(5);
/// Pause after a heartbeat that nobody answered.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// How long the member may take to let go of partitions, in milliseconds.
const REBALANCE_TIME_MS: i32 = 60_000;

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    group: String,
    topic: Arc<str>,
    topic_id: Uuid,
    /// Where partitions begin that nothing was committed of, and where all of them stop.
    range: Range,
    id: String,
    epoch: i32,
    /// What it has.
    owned: BTreeMap<TopicPartition, Owned>,
    /// Whether the coordinator is to be told what it has.
    has_news: bool,
    heartbeat_at: Instant,
    commit_at: Instant,
}

/// A partition that a member has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owned {
    /// What is written next.
    position: Offset,
    committed: Option<Offset>,
    stop: Option<Offset>,
}

impl Owned {
    fn is_done(&self) -> bool {
        self.stop.is_some_and(|stop| self.position >= stop)
    }
}

/// What happens next.
enum Next {
    Event(Event),
    /// Something is to be told to the coordinator.
    Due,
    /// Somebody wants the program to end.
    Interrupted,
}

impl Member {
    /// A member that has not joined yet.
    pub(super) async fn new(session: &Session, group: &str, topic: &Arc<str>, range: Range) -> anyhow::Result<Self> {
        let topic_id = session.ready_topic(topic, AutoCreate::No).await?.topic_id;
        let reactor = session.driver.reactor();
        let (high, low) = (reactor.random_u64(), reactor.random_u64());
        let id = Uuid::from_u128(u128::from(high) << 64 | u128::from(low)).to_string();
        let now = reactor.now();
        Ok(Self {
            group: group.to_owned(),
            topic: Arc::clone(topic),
            topic_id,
            range,
            id,
            epoch: JOIN_EPOCH,
            owned: BTreeMap::new(),
            has_news: false,
            heartbeat_at: now,
            commit_at: now + COMMIT_PAUSE,
        })
    }

    /// Reads until there is nothing more to be read, or somebody ends the program; then commits and leaves.
    pub(super) async fn run(mut self, session: &Session, reading: &mut Reading) -> anyhow::Result<()> {
        let read = self.read(session, reading).await;
        // After an error too: what was written is committed, and others get the partitions at once.
        let left = self.leave(session).await;
        read.and(left)
    }

    async fn read(&mut self, session: &Session, reading: &mut Reading) -> anyhow::Result<()> {
        let reactor = session.driver.reactor();
        let mut losses = LossReport::default();
        let mut interrupted = pin!(async {
            // Where signals cannot be had, they end the program by themselves.
            if reactor.signal().await.is_err() {
                std::future::pending::<()>().await;
            }
            Next::Interrupted
        });
        while reading.wanted > 0 && (self.owned.is_empty() || !self.owned.values().all(Owned::is_done)) {
            let event = async { Next::Event(session.driver.event().await) };
            let due = async {
                reactor.sleep_until(self.heartbeat_at.min(self.commit_at)).await;
                Next::Due
            };
            match race(interrupted.as_mut(), race(due, event)).await {
                Next::Interrupted => break,
                Next::Due => self.keep(session, reading).await?,
                Next::Event(Event::Fetched(fetched)) => {
                    // What was on its way when the partition was taken away is another's to read.
                    let Some(owned) = self.owned.get_mut(&fetched.partition) else { continue };
                    if fetched.next_position > owned.position {
                        owned.position = reading.take(&fetched)?;
                    }
                    if owned.is_done() {
                        session.driver.with(|client, _| client.unassign(&fetched.partition));
                    }
                }
                Next::Event(Event::PartitionFailed(partition, error)) => {
                    bail!(refusal(&format!("partition {partition}"), error, None));
                }
                Next::Event(Event::ConnectionLost(address, reason)) => losses.lost(address, reason),
                Next::Event(Event::Delivered(_) | Event::Answered(..)) => {}
            }
        }
        Ok(())
    }

    /// Does what is due: heartbeat, commit.
    async fn keep(&mut self, session: &Session, reading: &mut Reading) -> anyhow::Result<()> {
        let result = self.keep_once(session, reading).await;
        match result {
            Err(error) if error.downcast_ref::<ClientError>().is_some() => {
                tracing::warn!("group {}: {error:#}; trying again", self.group);
                let later = session.driver.reactor().now() + RETRY_PAUSE;
                self.heartbeat_at = self.heartbeat_at.max(later);
                self.commit_at = self.commit_at.max(later);
                Ok(())
            }
            result => result,
        }
    }

    async fn keep_once(&mut self, session: &Session, reading: &mut Reading) -> anyhow::Result<()> {
        let now = session.driver.reactor().now();
        if now >= self.heartbeat_at {
            self.heartbeat(session, reading).await?;
        }
        if now >= self.commit_at {
            self.commit_at = now + COMMIT_PAUSE;
            self.commit(session).await?;
        }
        Ok(())
    }

    async fn heartbeat(&mut self, session: &Session, reading: &mut Reading) -> anyhow::Result<()> {
        let response = self.beat(session, self.epoch).await?;
        let now = session.driver.reactor().now();
        match ErrorCode::from_wire(response.error_code) {
            ErrorCode::None => {}
            error @ (ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch) => {
                tracing::warn!("group {}: {}; joining again", self.group, error.message());
                self.let_go(session, reading, |_| true);
                (self.epoch, self.has_news, self.heartbeat_at) = (JOIN_EPOCH, false, now);
                return Ok(());
            }
            error => bail!(refusal(&format!("group {}", self.group), error, response.error_message.as_deref())),
        }
        let pause = Duration::from_millis(u64::try_from(response.heartbeat_interval_ms).unwrap_or(0)).max(RETRY_PAUSE);
        (self.epoch, self.has_news, self.heartbeat_at) = (response.member_epoch, false, now + pause);
        if let Some(assignment) = response.assignment {
            self.reconcile(session, reading, &assignment).await?;
        }
        Ok(())
    }

    /// Says that the member lives, joins or leaves.
    async fn beat(&self, session: &Session, member_epoch: i32) -> anyhow::Result<ConsumerGroupHeartbeatResponse> {
        let joins = member_epoch == JOIN_EPOCH;
        let owned = TopicPartitions {
            topic_id: self.topic_id,
            partitions: self.owned.keys().map(|partition| partition.partition.get()).collect(),
        };
        let owned = if self.owned.is_empty() { Vec::new() } else { vec![owned] };
        let request = ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch,
            rebalance_timeout_ms: if joins { REBALANCE_TIME_MS } else { -1 },
            subscribed_topic_names: joins.then(|| vec![self.topic.to_string()]),
            topic_partitions: (joins || self.has_news).then_some(owned),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let code_of = |response: &ConsumerGroupHeartbeatResponse| response.error_code;
        Ok(coordinator::ask(session, &self.group, &request, code_of).await?.1)
    }

    /// Lets go of what is another's, and takes what is new.
    async fn reconcile(
        &mut self,
        session: &Session,
        reading: &mut Reading,
        assignment: &Assignment,
    ) -> anyhow::Result<()> {
        let of_topic = assignment.topic_partitions.iter().filter(|topic| topic.topic_id == self.topic_id);
        let indexes = of_topic.flat_map(|topic| topic.partitions.iter().copied());
        let partition = |index| TopicPartition::new(Arc::clone(&self.topic), PartitionIndex::new(index));
        let assigned: BTreeSet<TopicPartition> = indexes.map(partition).collect();
        let is_lost = |partition: &TopicPartition| !assigned.contains(partition);
        if self.owned.keys().any(is_lost) {
            // Before the next one reads on from there.
            self.commit(session).await?;
            self.let_go(session, reading, is_lost);
            self.has_news = true;
        }
        let new: BTreeSet<_> =
            assigned.iter().filter(|partition| !self.owned.contains_key(partition)).cloned().collect();
        if !new.is_empty() {
            self.take_over(session, reading, &new).await?;
            self.has_news = true;
        }
        if self.has_news {
            self.heartbeat_at = session.driver.reactor().now();
        }
        Ok(())
    }

    fn let_go(&mut self, session: &Session, reading: &mut Reading, is_lost: impl Fn(&TopicPartition) -> bool) {
        self.owned.retain(|partition, _| {
            let lost = is_lost(partition);
            if lost {
                reading.stops.remove(partition);
                session.driver.with(|client, _| client.unassign(partition));
            }
            !lost
        });
    }

    async fn take_over(
        &mut self,
        session: &Session,
        reading: &mut Reading,
        new: &BTreeSet<TopicPartition>,
    ) -> anyhow::Result<()> {
        let mut partitions = session.ready_topic(&self.topic, AutoCreate::No).await?.partitions;
        let is_new = |index| new.contains(&TopicPartition::new(Arc::clone(&self.topic), PartitionIndex::new(index)));
        partitions.retain(|partition| is_new(partition.partition_index));
        let whole = Range { from: Point::Start, to: Some(Point::End) };
        let whole = bounds(session, &self.topic, &partitions, whole).await?;
        let wanted = bounds(session, &self.topic, &partitions, self.range).await?;
        let committed = committed(session, &Topics::all(session).await?, &self.group).await?;
        for (index, Bounds { from, to: stop }) in wanted {
            let partition = TopicPartition::new(Arc::clone(&self.topic), index);
            let committed = committed.get(&partition).copied();
            // What is committed may be gone by now.
            let (start, end) = whole.get(&index).map_or((from, None), |whole| (whole.from, whole.to));
            let position = committed.map_or(from, |committed| committed.max(start).min(end.unwrap_or(committed)));
            let owned = Owned { position, committed, stop };
            if !owned.is_done() {
                reading.stops.insert(partition.clone(), stop);
                session.driver.with(|client, _| client.assign(partition.clone(), Start::At(position)));
            }
            self.owned.insert(partition, owned);
        }
        Ok(())
    }

    /// Commits what was written since the last time.
    async fn commit(&mut self, session: &Session) -> anyhow::Result<()> {
        let written = self.owned.iter().filter(|(_, owned)| owned.committed != Some(owned.position));
        let written: BTreeMap<i32, Offset> =
            written.map(|(partition, owned)| (partition.partition.get(), owned.position)).collect();
        if written.is_empty() || self.epoch <= JOIN_EPOCH {
            return Ok(());
        }
        let partition = |(index, offset): (&i32, &Offset)| OffsetCommitRequestPartition {
            partition_index: *index,
            committed_offset: offset.get(),
            committed_metadata: Some(String::new()),
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: self.topic.to_string(),
            topic_id: self.topic_id,
            partitions: written.iter().map(partition).collect(),
        };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.epoch,
            member_id: self.id.clone(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let code_of = |response: &OffsetCommitResponse| {
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.map(|partition| partition.error_code).find(|code| *code != 0).unwrap_or(0)
        };
        let (_, response) = coordinator::ask(session, &self.group, &request, code_of).await?;
        for said in response.topics.into_iter().flat_map(|topic| topic.partitions) {
            let partition = TopicPartition::new(Arc::clone(&self.topic), PartitionIndex::new(said.partition_index));
            match ErrorCode::from_wire(said.error_code) {
                ErrorCode::None => {
                    let position = written.get(&said.partition_index).copied();
                    self.owned.get_mut(&partition).into_iter().for_each(|owned| owned.committed = position);
                }
                // The next heartbeat tells what has become of the member.
                ErrorCode::StaleMemberEpoch | ErrorCode::UnknownMemberId => {
                    self.heartbeat_at = session.driver.reactor().now();
                }
                error => bail!(refusal(&format!("offset of group {} in {partition}", self.group), error, None)),
            }
        }
        Ok(())
    }

    async fn leave(&mut self, session: &Session) -> anyhow::Result<()> {
        if self.epoch <= JOIN_EPOCH {
            return Ok(());
        }
        self.commit(session).await?;
        self.has_news = false;
        let response = self.beat(session, LEAVE_EPOCH).await?;
        match ErrorCode::from_wire(response.error_code) {
            ErrorCode::None | ErrorCode::UnknownMemberId | ErrorCode::GroupIdNotFound => Ok(()),
            error => bail!(refusal(&format!("group {}", self.group), error, response.error_message.as_deref())),
        }
    }
}
