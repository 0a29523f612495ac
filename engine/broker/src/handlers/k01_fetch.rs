//! `Fetch`, versions 4 to 18: batches of any number of partitions, at once or when there is enough (long poll).

mod plan;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use ringlog_cluster::fetch_session::PartitionKey;
use ringlog_cluster::placement::Placement;
use ringlog_net::conn::{CloseReason, Response};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::fetch::{EpochEndOffset, PartitionData};
use ringlog_net::views::{FetchResponseHead, FetchResponseWriter, FetchView, Isolation, TOPIC_ID_VERSION_MIN};
use ringlog_storage::types::{BrokerId, Nanos};

use crate::connection::Connection;
use crate::dispatch::{Handled, Incoming};
use crate::event::Event;
use crate::message::{Call, Message, Reply};
use crate::partition::read::{self, Look, ReadCall, ReadItem, ReadOutcome, ReadTimes};
use crate::partition::watch::{WatchId, Watcher};
use crate::quota::Meter;
use crate::recorder::{CourseId, Phase, Span};
use crate::shard::Shard;
use plan::{FetchedPartition, Plan, topic_ref};

/// The longest that a fetch waits, whatever it asks for.
const WAIT_MAX: Duration = Duration::from_mins(5);

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let (body, version) = (incoming.request.body.clone(), incoming.version());
    let view = FetchView::decode(&body, version).map_err(|error| incoming.malformed(error))?;
    Ok(match Plan::new(incoming.connection.shard(), &view, version) {
        Ok(plan) => Handled::later(Fetch::new(incoming, &view).serve(plan)),
        Err(error) => Handled::Now(respond_error(version, error)),
    })
}

/// What a fetch request asks for as a whole.
struct Fetch {
    connection: Rc<Connection>,
    shard: Shard,
    course: CourseId,
    version: i16,
    isolation: Isolation,
    bytes_min: usize,
    bytes_max: usize,
    deadline: Nanos,
    meter: Option<Rc<Meter>>,
    /// A follower's fetch. None is a replica of anything here, and a client cannot make itself one (CVE-2018-1288).
    from_replica: bool,
}

impl Fetch {
    fn new(incoming: Incoming<'_>, view: &FetchView<'_>) -> Self {
        let (connection, version, meter) = (incoming.connection, incoming.version(), incoming.meter.cloned());
        let shard = connection.shard();
        let wait = Duration::from_millis(u64::try_from(view.max_wait_ms).unwrap_or(0)).min(WAIT_MAX);
        let of_broker = usize::try_from(shard.settings().broker.fetch_bytes_max).unwrap_or(usize::MAX);
        // More would be throttled in any case, and the client would get nowhere.
        let of_quota = meter.as_ref().and_then(|meter| meter.fetch_bytes_max()).unwrap_or(usize::MAX);
        let bytes_max = usize::try_from(view.max_bytes).unwrap_or(0).min(of_broker).min(of_quota);
        Self {
            connection: Rc::clone(connection),
            shard: shard.clone(),
            course: incoming.course,
            version,
            isolation: view.isolation(),
            bytes_min: usize::try_from(view.min_bytes).unwrap_or(0).min(bytes_max),
            bytes_max,
            deadline: shard.now().saturating_add(wait),
            meter,
            from_replica: view.replica_state.replica_id >= BrokerId::new(0),
        }
    }

    /// Reads, and waits until there is enough, an error, no time left, or nobody to wait for.
    async fn serve(self, plan: Plan) -> Response {
        let mut wait = Wait::default();
        let mut look = Look::First;
        // What was read is counted until the connection counts it.
        let (outcomes, _reserved) = loop {
            let is_over = self.shard.now() >= self.deadline || self.connection.waits_no_more();
            let last = plan.is_empty() || self.bytes_min == 0 || is_over;
            if !last {
                wait.open(&self.connection);
            }
            let mut reserved = self.shard.answers().reserve(self.bytes_max);
            let bytes_max = reserved.bytes();
            let outcomes = self.read(&plan, bytes_max, &mut wait, std::mem::replace(&mut look, Look::Again)).await;
            let bytes = outcomes.iter().map(|outcome| outcome.bytes).sum();
            reserved.resize(bytes);
            let counted = outcomes.iter().map(|outcome| outcome.counted_bytes).fold(0, usize::saturating_add);
            // With no room for any more, one batch is enough.
            let is_enough = counted >= self.bytes_min.min(bytes_max.max(1));
            if last || wait.event.is_none() || is_enough || outcomes.iter().any(ends_wait) {
                break (outcomes, reserved);
            }
            drop((outcomes, reserved));
            wait.until(&self.shard, self.course, self.deadline).await;
        };
        wait.close(&self.connection);
        if let Some(meter) = &self.meter {
            let throttle_time_ms = meter.charge_fetch(plan.bytes_to_send(&self.shard, &outcomes)).await;
            if throttle_time_ms > 0 {
                return self.respond_throttled(&plan, throttle_time_ms);
            }
        }
        self.respond(plan, outcomes)
    }

    /// What was read is not sent, and its session is as if nothing had been asked for.
    fn respond_throttled(&self, plan: &Plan, throttle_time_ms: i32) -> Response {
        let (session_id, error) = match plan.throttle(&self.shard) {
            Ok(session_id) => (session_id, ErrorCode::None),
            Err(code) => (0, code),
        };
        respond_nothing(self.version, FetchResponseHead { throttle_time_ms, error, session_id })
    }

    /// One look at every partition, in the order of the request.
    async fn read(&self, plan: &Plan, bytes_max: usize, wait: &mut Wait, look: Look) -> Vec<ReadOutcome> {
        let is_held = |placement: &Placement| plan.items().flatten().any(|item| placement.is_held(item.key));
        let sending = self.shard.begin_sending_any(is_held).await;
        let mut here = Vec::new();
        let mut there: BTreeMap<usize, Vec<ReadItem>> = BTreeMap::new();
        let mut first = None;
        let mut place = |item: Result<ReadItem, ErrorCode>| {
            let item = item?;
            first.get_or_insert(item.key);
            let owner = self.shard.owner(item.key);
            if owner == self.shard.index() { &mut here } else { there.entry(owner).or_default() }.push(item);
            Ok(owner)
        };
        let refused = |item| if self.from_replica { Err(ErrorCode::NotLeaderOrFollower) } else { item };
        let places: Vec<Result<usize, ErrorCode>> = plan.items().map(refused).map(&mut place).collect();
        if let Some(first) = first {
            self.shard.recorder().about(self.course, first, places.len());
        }
        let watch = wait.watch();
        let here = ReadCall { items: here, bytes_max, watch, look };
        let called_at = (!there.is_empty()).then(|| self.shard.now());
        let here = (!here.items.is_empty()).then(|| read::begin(&self.shard, &here, self.shard.index()));
        let mut calls = Vec::with_capacity(there.len());
        for (owner, items) in there {
            wait.watched_at(owner);
            calls.push((owner, self.shard.call(owner, Call::Read(ReadCall { items, bytes_max, watch, look })).await));
        }
        drop(sending);
        let (here, disk) = match here {
            Some(begun) => begun.outcomes().await,
            None => (Vec::new(), None),
        };
        let (mut here, mut there, mut last) = (here.into_iter(), BTreeMap::new(), None);
        for (owner, call) in calls {
            let Reply::Read(outcomes, times) = call.reply().await else {
                unreachable!("a call to read is answered by outcomes")
            };
            there.insert(owner, outcomes.into_iter());
            last = last.filter(|last: &ReadTimes| last.ended_at() >= times.ended_at()).or(Some(times));
        }
        self.note_read(disk, called_at.zip(last));
        let mut next = |owner| {
            let of_owner = if owner == self.shard.index() { Some(&mut here) } else { there.get_mut(&owner) };
            self.with_gone_topic(of_owner.and_then(Iterator::next).expect("a shard answers every item"))
        };
        let outcomes = places.into_iter().map(|place| place.map_or_else(ReadOutcome::failed, &mut next));
        keep_within(outcomes, bytes_max)
    }

    /// Notes where the time of a look went: with the shard that was done last, which is this one with its disk, or another that
    /// was called at that time.
    fn note_read(&self, disk: Option<Span>, other: Option<(Nanos, ReadTimes)>) {
        let other = other.filter(|(_, times)| disk.is_none_or(|disk| disk.to < times.ended_at()));
        if disk.is_none() && other.is_none() {
            return;
        }
        let now = self.shard.now();
        self.shard.recorder().note(self.course, |trail| {
            let Some((called_at, times)) = other else { return trail.read(disk) };
            trail.until(Phase::Handle, called_at);
            trail.until(Phase::Mesh, times.taken_at);
            trail.read(times.disk);
            trail.until(Phase::Mesh, now);
        });
    }

    /// The image knew the partition and its shard does not: the topic is being deleted. By its id that has its own code.
    fn with_gone_topic(&self, outcome: ReadOutcome) -> ReadOutcome {
        let by_id = self.version >= TOPIC_ID_VERSION_MIN;
        if by_id && outcome.code == ErrorCode::UnknownTopicOrPartition {
            return ReadOutcome { code: ErrorCode::UnknownTopicId, ..outcome };
        }
        outcome
    }

    fn respond(&self, plan: Plan, outcomes: Vec<ReadOutcome>) -> Response {
        let (session_id, partitions, outcomes) = match plan.finish(&self.shard, outcomes) {
            Ok(told) => told,
            Err(code) => return respond_error(self.version, code),
        };
        let encodes = "the version is served, and what is announced is written";
        let topics = partitions.chunk_by(of_one_topic).count();
        let head = FetchResponseHead { throttle_time_ms: 0, error: ErrorCode::None, session_id };
        let mut writer = FetchResponseWriter::new(self.version, head, topics).expect(encodes);
        let mut outcomes = outcomes.into_iter();
        for partitions in partitions.chunk_by(of_one_topic) {
            let mut bytes = 0;
            writer.topic(topic_ref(&partitions[0].0.topic), partitions.len()).expect(encodes);
            for ((key, _), mut outcome) in partitions.iter().zip(&mut outcomes) {
                let records = std::mem::take(&mut outcome.records);
                bytes += outcome.bytes;
                writer.partition(&self.partition_data(key, &outcome), records).expect(encodes);
            }
            if bytes > 0 {
                self.shard.with_counters(|counters| counters.sent(&partitions[0].0.topic, bytes));
            }
        }
        Response::Send(writer.finish(&[]).expect(encodes))
    }

    fn partition_data(&self, key: &PartitionKey, outcome: &ReadOutcome) -> PartitionData {
        // A reader of committed data always gets a list, even an empty one; others never do.
        let aborted_transactions = (self.isolation == Isolation::ReadCommitted).then(Vec::new);
        let diverging_epoch = outcome.diverging.map_or_else(EpochEndOffset::default, |end| EpochEndOffset {
            epoch: end.leader_epoch.get(),
            end_offset: end.end_offset.get(),
        });
        PartitionData {
            partition_index: key.partition.get(),
            error_code: outcome.code.code(),
            high_watermark: outcome.high_watermark.get(),
            last_stable_offset: outcome.last_stable.get(),
            log_start_offset: outcome.log_start.get(),
            diverging_epoch,
            aborted_transactions,
            ..PartitionData::default()
        }
    }
}

/// Whether the client is to learn of this at once.
fn ends_wait(outcome: &ReadOutcome) -> bool {
    outcome.code != ErrorCode::None || outcome.diverging.is_some() || outcome.has_more
}

/// Drops data over the limit: shards read side by side, each with the whole limit. The first data stays in any case.
fn keep_within(outcomes: impl Iterator<Item = ReadOutcome>, bytes_max: usize) -> Vec<ReadOutcome> {
    let mut bytes = 0;
    let keep = |mut outcome: ReadOutcome| {
        if bytes > 0 && bytes + outcome.bytes > bytes_max {
            outcome.records.clear();
            outcome.bytes = 0;
        }
        bytes += outcome.bytes;
        outcome
    };
    outcomes.map(keep).collect()
}

fn of_one_topic((one, _): &FetchedPartition, (other, _): &FetchedPartition) -> bool {
    one.topic == other.topic
}

fn respond_error(version: i16, error: ErrorCode) -> Response {
    respond_nothing(version, FetchResponseHead { throttle_time_ms: 0, error, session_id: 0 })
}

fn respond_nothing(version: i16, head: FetchResponseHead) -> Response {
    let encodes = "there are no topics";
    let writer = FetchResponseWriter::new(version, head, 0).expect(encodes);
    Response::Send(writer.finish(&[]).expect(encodes))
}

/// The wait of a fetch, and the shards that know of it.
#[derive(Default)]
struct Wait {
    event: Option<(WatchId, Rc<Event>)>,
    at: Vec<usize>,
}

impl Wait {
    /// Begins to wait, unless too many do.
    fn open(&mut self, connection: &Connection) {
        if self.event.is_none() {
            self.event = connection.shard().with(|state| state.watches.open());
            if let Some((watch, event)) = &self.event {
                connection.begin_wait(*watch, Rc::clone(event));
            }
        }
    }

    fn watch(&self) -> Option<WatchId> {
        self.event.as_ref().map(|(watch, _)| *watch)
    }

    fn watched_at(&mut self, owner: usize) {
        if self.event.is_some() && !self.at.contains(&owner) {
            self.at.push(owner);
        }
    }

    async fn until(&self, shard: &Shard, course: CourseId, deadline: Nanos) {
        let Some((_, event)) = &self.event else { return };
        let left = deadline.since(shard.until_now(course, Phase::Handle));
        // What ended the wait, data, the deadline or the connection, shows in the next look.
        let _ = shard.reactor().timeout(event.wait(), left).await;
        shard.until_now(course, Phase::Purgatory);
    }

    fn close(self, connection: &Connection) {
        let Some((watch, _)) = self.event else { return };
        connection.end_wait(watch);
        let shard = connection.shard();
        shard.with(|state| {
            state.watches.close(watch);
            state.watched.remove(Watcher { shard: shard.index(), watch });
        });
        for owner in self.at {
            shard.post(owner, Message::Unwatch(watch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_buffer::Slice;
    use ringlog_cluster::fetch_session::{PartitionFetch, TopicKey};
    use ringlog_storage::types::{LeaderEpoch, Offset, PartitionIndex};

    fn outcome(bytes: usize) -> ReadOutcome {
        let records = if bytes == 0 { Vec::new() } else { vec![Slice::from(&vec![0; bytes][..])] };
        ReadOutcome { records, bytes, ..ReadOutcome::failed(ErrorCode::None) }
    }

    #[test]
    fn data_over_the_limit_is_dropped_but_for_the_first() {
        let check = |bytes: &[usize], limit, kept: &[usize]| {
            let outcomes = keep_within(bytes.iter().copied().map(outcome), limit);
            assert_eq!(outcomes.iter().map(|outcome| outcome.bytes).collect::<Vec<_>>(), kept, "{bytes:?} in {limit}");
            assert!(outcomes.iter().all(|outcome| outcome.records.is_empty() == (outcome.bytes == 0)));
        };
        check(&[], 10, &[]);
        check(&[4, 6], 10, &[4, 6]);
        check(&[4, 7], 10, &[4, 0]);
        check(&[40, 1], 10, &[40, 0]);
        check(&[0, 40, 0, 1], 10, &[0, 40, 0, 0]);
        check(&[4, 7, 6], 10, &[4, 0, 6]);
        check(&[5, 0], 0, &[5, 0]);
    }

    #[test]
    fn partitions_in_a_row_are_grouped_by_topic() {
        let check = |topics: &[&str], counts: &[usize]| {
            let fetch = PartitionFetch {
                fetch_offset: Offset::ZERO,
                log_start_offset: Offset::UNKNOWN,
                current_leader_epoch: LeaderEpoch::UNKNOWN,
                last_fetched_epoch: LeaderEpoch::UNKNOWN,
                bytes_max: 0,
            };
            let partitions: Vec<FetchedPartition> = (0..)
                .zip(topics)
                .map(|(index, topic)| {
                    let topic = TopicKey::Name((*topic).into());
                    (PartitionKey { topic, partition: PartitionIndex::new(index) }, fetch)
                })
                .collect();
            let lengths: Vec<_> = partitions.chunk_by(of_one_topic).map(<[_]>::len).collect();
            assert_eq!(lengths, counts, "{topics:?}");
        };
        check(&[], &[]);
        check(&["a"], &[1]);
        check(&["a", "a", "b", "a"], &[2, 1, 1]);
    }
}
