//! `Produce`, versions 3 to 13: batches of any number of partitions, each appended by the shard that owns it.

use std::time::Duration;

use ringlog_buffer::Slice;
use ringlog_cluster::placement::Placement;
use ringlog_net::conn::{CloseReason, Response};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::produce::{BatchIndexAndErrorMessage, PartitionProduceResponse};
use ringlog_net::views::{ProduceResponseWriter, ProduceView};
use ringlog_storage::types::{Nanos, PartitionIndex};

use crate::calls::PendingCall;
use crate::dispatch::{Handled, Incoming};
use crate::message::{Call, Reply};
use crate::partition::append::{self, AppendFailure, AppendItem, AppendOutcome, AppendTimes, WAIT_MIN};
use crate::partition::table::PartitionKey;
use crate::recorder::{CourseId, Phase};
use crate::shard::Shard;
use crate::topics::{find_partition, find_topic};

/// The values that `acks` may have.
const ACKS_NONE: i16 = 0;
const ACKS_LEADER: i16 = 1;
const ACKS_ALL: i16 = -1;

/// Begins the appends; they have their places in the logs when this returns. `acks` of 1 and all wait for the same: with
/// one replica, what is committed is what the topic's durability says. What is not committed in the client's time is
/// answered with `REQUEST_TIMED_OUT`, partition by partition.
pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let (body, version) = (incoming.request.body.clone(), incoming.version());
    let view = ProduceView::decode(&body, version).map_err(|error| incoming.malformed(error))?;
    let shard = incoming.connection.shard().clone();
    let acks = view.acks;
    let sending = shard.begin_sending_any(|placement| is_held(&shard, placement, &view)).await;
    let plan = match refusal(&view) {
        Some(code) => Plan::refuse(&view, code),
        None => Plan::new(&shard, &view, &body, version),
    };
    let wait_max = Duration::from_millis(u64::try_from(view.timeout_ms).unwrap_or(0)).max(WAIT_MIN);
    if let Some(first) = plan.first() {
        shard.recorder().about(incoming.course, first, plan.places.len());
    }
    let begun = plan.begin(&shard, wait_max).await;
    drop(sending);
    let (course, meter) = (incoming.course, incoming.meter.cloned());
    Ok(Handled::later(async move {
        let outcomes = begun.outcomes(&shard, course).await;
        let throttle_time_ms = match meter {
            Some(meter) if acks == ACKS_NONE => meter.charge_produce_without_acks().await,
            Some(meter) => meter.charge_produce().await,
            None => 0,
        };
        if acks == ACKS_NONE {
            return answer_nothing(outcomes);
        }
        let view = ProduceView::decode(&body, version).expect("was decoded before");
        respond(&view, version, outcomes, throttle_time_ms)
    }))
}

/// What is wrong with the request as a whole.
fn refusal(view: &ProduceView<'_>) -> Option<ErrorCode> {
    if ![ACKS_NONE, ACKS_LEADER, ACKS_ALL].contains(&view.acks) {
        return Some(ErrorCode::InvalidRequiredAcks);
    }
    // No transactional id has been given out by this broker, so none can be known.
    view.transactional_id.is_some().then_some(ErrorCode::InvalidProducerIdMapping)
}

/// Whether a partition of the request is on its way to another shard.
fn is_held(shard: &Shard, placement: &Placement, view: &ProduceView<'_>) -> bool {
    let image = shard.with(|state| state.image.clone());
    view.topics.iter().any(|topic| {
        let found = find_topic(&image, topic.topic);
        topic.partitions.iter().any(|partition| {
            let key = found.and_then(|found| find_partition(found, partition.index));
            key.is_ok_and(|key| placement.is_held(key))
        })
    })
}

/// The request, split by the shards that own its partitions.
struct Plan {
    /// In the order of the request.
    places: Vec<Place>,
    /// What this shard owns.
    here: Vec<AppendItem>,
    /// What others own.
    there: Vec<(usize, Vec<AppendItem>)>,
}

#[derive(Clone, Copy)]
enum Place {
    Failed(ErrorCode),
    /// The next item of this shard.
    Here,
    /// The next item of the other shard at this index.
    There(usize),
}

impl Plan {
    fn refuse(view: &ProduceView<'_>, code: ErrorCode) -> Self {
        let partitions = view.topics.iter().flat_map(|topic| topic.partitions.iter());
        let places = partitions.map(|_| Place::Failed(code)).collect();
        Self { places, here: Vec::new(), there: Vec::new() }
    }

    fn new(shard: &Shard, view: &ProduceView<'_>, body: &Slice, version: i16) -> Self {
        let image = shard.with(|state| state.image.clone());
        let mut plan = Self { places: Vec::new(), here: Vec::new(), there: Vec::new() };
        for topic in view.topics.iter() {
            let found = find_topic(&image, topic.topic);
            // Who could write to them could take every group's coordinator away.
            let found = found
                .and_then(|found| if found.is_internal() { Err(ErrorCode::InvalidTopicException) } else { Ok(found) });
            for partition in topic.partitions.iter() {
                let key = found.and_then(|found| find_partition(found, partition.index));
                let place = match (key, partition.records) {
                    (Err(code), _) => Place::Failed(code),
                    (Ok(_), None) => Place::Failed(ErrorCode::InvalidRecord),
                    (Ok(key), Some(range)) => plan.add(shard, AppendItem { key, records: body.slice(range), version }),
                };
                plan.places.push(place);
            }
        }
        plan
    }

    fn add(&mut self, shard: &Shard, item: AppendItem) -> Place {
        let owner = shard.owner(item.key);
        if owner == shard.index() {
            self.here.push(item);
            return Place::Here;
        }
        let index = self.there.iter().position(|(of, _)| *of == owner).unwrap_or_else(|| {
            self.there.push((owner, Vec::new()));
            self.there.len() - 1
        });
        self.there[index].1.push(item);
        Place::There(index)
    }

    /// The first partition that there is.
    fn first(&self) -> Option<PartitionKey> {
        let first = self.places.iter().find_map(|place| match *place {
            Place::Failed(_) => None,
            Place::Here => self.here.first(),
            Place::There(index) => self.there[index].1.first(),
        });
        first.map(|item| item.key)
    }

    async fn begin(self, shard: &Shard, wait_max: Duration) -> Begun {
        let called_at = (!self.there.is_empty()).then(|| shard.now());
        let here = (!self.here.is_empty()).then(|| append::begin(shard, self.here, wait_max));
        let mut there = Vec::with_capacity(self.there.len());
        for (owner, items) in self.there {
            there.push(shard.call(owner, Call::Append(items, wait_max)).await);
        }
        Begun { places: self.places, here, called_at, there }
    }
}

/// Appends under way.
struct Begun {
    places: Vec<Place>,
    here: Option<append::Begun>,
    /// When others were called, if any were.
    called_at: Option<Nanos>,
    there: Vec<PendingCall>,
}

impl Begun {
    /// In the order of the request. The shard that was the last to be done is where the time went.
    async fn outcomes(self, shard: &Shard, course: CourseId) -> impl Iterator<Item = AppendOutcome> {
        let (here, mut last) = match self.here {
            Some(begun) => {
                let (outcomes, times) = begun.outcomes().await;
                (outcomes, Some((times, None)))
            }
            None => (Vec::new(), None),
        };
        let mut there = Vec::with_capacity(self.there.len());
        for call in self.there {
            there.push(match call.reply().await {
                Reply::Append(outcomes, times) => {
                    if last.is_none_or(|(last, _): (AppendTimes, _)| last.ended_at() < times.ended_at()) {
                        last = Some((times, self.called_at));
                    }
                    outcomes.into_iter()
                }
                other => unreachable!("a call to append is answered by outcomes, not {other:?}"),
            });
        }
        if let Some((times, called_at)) = last {
            note(shard, course, &times, called_at);
        }
        let mut here = here.into_iter();
        self.places.into_iter().map(move |place| {
            let outcome = match place {
                Place::Failed(code) => return Err(AppendFailure::from(code)),
                Place::Here => here.next(),
                Place::There(index) => there[index].next(),
            };
            outcome.expect("a shard answers every item")
        })
    }
}

/// Notes where the time of the appends went that were done last; those of another shard were called for at `called_at`.
fn note(shard: &Shard, course: CourseId, times: &AppendTimes, called_at: Option<Nanos>) {
    let back_at = called_at.map(|_| shard.now());
    shard.recorder().note(course, |trail| {
        trail.until(Phase::Handle, called_at.unwrap_or(times.taken_at));
        trail.until(Phase::Mesh, times.taken_at);
        trail.appended(times.appended_at, times.commit);
        trail.until(Phase::Mesh, back_at.unwrap_or(times.taken_at));
    });
}

/// With `acks=0` the client waits for nothing; an error can be told only by closing the connection.
fn answer_nothing(mut outcomes: impl Iterator<Item = AppendOutcome>) -> Response {
    let failure = outcomes.find_map(Result::err);
    failure.map_or(Response::Nothing, |failure| Response::Close(CloseReason::ProduceWithoutAcksFailed(failure.code)))
}

fn respond(
    view: &ProduceView<'_>,
    version: i16,
    mut outcomes: impl Iterator<Item = AppendOutcome>,
    throttle_time_ms: i32,
) -> Response {
    let encodes = "the version is served, and arrays are as long as those of the request";
    let mut writer = ProduceResponseWriter::new(version, view.topics.len()).expect(encodes);
    for topic in view.topics.iter() {
        writer.topic(topic.topic, topic.partitions.len()).expect(encodes);
        for (partition, outcome) in topic.partitions.iter().zip(&mut outcomes) {
            writer.partition(&partition_response(partition.index, outcome)).expect(encodes);
        }
    }
    Response::Send(writer.finish(throttle_time_ms, &[]).expect(encodes))
}

fn partition_response(index: PartitionIndex, outcome: AppendOutcome) -> PartitionProduceResponse {
    match outcome {
        Ok(committed) => PartitionProduceResponse {
            index: index.get(),
            base_offset: committed.base_offset.get(),
            log_append_time_ms: committed.log_append_time.get(),
            log_start_offset: committed.log_start.get(),
            ..PartitionProduceResponse::default()
        },
        Err(AppendFailure { code, message, record_errors }) => PartitionProduceResponse {
            index: index.get(),
            error_code: code.code(),
            base_offset: -1,
            log_append_time_ms: -1,
            log_start_offset: -1,
            record_errors: record_errors
                .into_iter()
                .map(|error| BatchIndexAndErrorMessage {
                    batch_index: error.index,
                    batch_index_error_message: Some(error.kind.to_string()),
                })
                .collect(),
            error_message: message,
            ..PartitionProduceResponse::default()
        },
    }
}
