//! `ListOffsets`, versions 1 to 11: offsets by time, and the ends of logs.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsResponse,
    ListOffsetsTopicResponse,
};
use ringlog_net::views::{Isolation, TopicRef};
use ringlog_storage::answer::TimestampOffset;
use ringlog_storage::types::{LeaderEpoch, Millis, PartitionIndex};

use crate::dispatch::{Handled, Incoming, respond};
use crate::message::{Call, Reply};
use crate::partition::lookup::{self, OffsetItem, OffsetOutcome, Target};
use crate::scatter::scatter;
use crate::topics::{find_partition, find_topic};

/// The times that are none (`ListOffsetsRequest`), and the version that brought each.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
const EARLIEST_PENDING_UPLOAD: i64 = -6;

/// From this version on the response tells the leader epoch.
const LEADER_EPOCH_VERSION_MIN: i16 = 4;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ListOffsetsRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let isolation = Isolation::of(request.isolation_level);
    let image = shard.with(|state| state.image.clone());
    let mut items = Vec::new();
    for topic in &request.topics {
        let found = find_topic(&image, TopicRef::Name(&topic.name));
        for partition in &topic.partitions {
            items.push(found.and_then(|found| {
                let key = find_partition(found, PartitionIndex::new(partition.partition_index))?;
                let target = target(partition.timestamp, isolation, version)?;
                let current_leader_epoch = LeaderEpoch::new(partition.current_leader_epoch);
                Ok((key, OffsetItem { key, current_leader_epoch, target }))
            }));
        }
    }
    Ok(Handled::later(async move {
        let here = |items: Vec<OffsetItem>| lookup::begin(&shard, &items).outcomes();
        let outcomes = scatter(&shard, course, items, here, Call::Offsets, |reply| match reply {
            Reply::Offsets(outcomes) => outcomes,
            other => unreachable!("a call for offsets is answered by offsets, not {other:?}"),
        });
        let mut outcomes = outcomes.await.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions =
                topic.partitions.iter().zip(&mut outcomes).map(|(asked, outcome)| answer(asked, outcome, version));
            ListOffsetsTopicResponse { partitions: partitions.collect(), name: topic.name }
        });
        let response = ListOffsetsResponse { throttle_time_ms: 0, topics: topics.collect() };
        respond(&response, version)
    }))
}

/// What a timestamp asks for in a version. Negative ones that the version does not know are refused, as Kafka does.
fn target(timestamp: i64, isolation: Isolation, version: i16) -> Result<Target, ErrorCode> {
    let (target, version_min) = match timestamp {
        LATEST => (Target::Latest(isolation), 0),
        EARLIEST => (Target::Earliest, 0),
        MAX_TIMESTAMP => (Target::MaxTimestamp, 7),
        EARLIEST_LOCAL => (Target::Earliest, 8),
        LATEST_TIERED => (Target::Tiered, 9),
        EARLIEST_PENDING_UPLOAD => (Target::Tiered, 11),
        time if time >= 0 => (Target::Time(Millis::new(time)), 0),
        _ => return Err(ErrorCode::UnsupportedVersion),
    };
    if version < version_min { Err(ErrorCode::UnsupportedVersion) } else { Ok(target) }
}

fn answer(asked: &ListOffsetsPartition, outcome: OffsetOutcome, version: i16) -> ListOffsetsPartitionResponse {
    let partition_index = asked.partition_index;
    match outcome {
        Ok(TimestampOffset { timestamp, offset, leader_epoch }) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: ErrorCode::None.code(),
            timestamp: timestamp.get(),
            offset: offset.get(),
            leader_epoch: if version >= LEADER_EPOCH_VERSION_MIN { leader_epoch.get() } else { -1 },
        },
        Err(code) => ListOffsetsPartitionResponse {
            partition_index,
            error_code: code.code(),
            ..ListOffsetsPartitionResponse::default()
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_special_time_has_its_version() {
        let check = |timestamp, version, expected: Result<Target, ErrorCode>| {
            assert_eq!(
                target(timestamp, Isolation::ReadCommitted, version),
                expected,
                "{timestamp} in version {version}"
            );
        };
        let refused = Err(ErrorCode::UnsupportedVersion);
        check(0, 1, Ok(Target::Time(Millis::new(0))));
        check(LATEST, 1, Ok(Target::Latest(Isolation::ReadCommitted)));
        check(EARLIEST, 1, Ok(Target::Earliest));
        check(MAX_TIMESTAMP, 6, refused);
        check(MAX_TIMESTAMP, 7, Ok(Target::MaxTimestamp));
        check(EARLIEST_LOCAL, 7, refused);
        check(EARLIEST_LOCAL, 8, Ok(Target::Earliest));
        check(LATEST_TIERED, 9, Ok(Target::Tiered));
        check(EARLIEST_PENDING_UPLOAD, 10, refused);
        check(EARLIEST_PENDING_UPLOAD, 11, Ok(Target::Tiered));
        check(-7, 11, refused);
    }
}
