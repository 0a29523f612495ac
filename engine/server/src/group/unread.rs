//! How old the next unread record of a partition is: the record is fetched, since only it tells its time.

use std::collections::{BTreeMap, VecDeque};

use ringlog_net::client::Target;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic, PartitionData};
use ringlog_storage::batch::{Decompressor, Records, split};
use ringlog_storage::types::{BrokerId, Millis, Offset, PartitionIndex, TopicPartition};

use super::offsets::Topics;
use crate::session::Session;

/// Partitions in one request.
const PARTITIONS_MAX: usize = 256;
/// Bytes of one partition at first; a batch that is larger is asked for again with more.
const PARTITION_BYTES: i32 = 16 * 1024;
/// By how much more.
const GROWTH: i32 = 16;
/// Bytes of one answer, but for its first batch.
const ANSWER_BYTES_MAX: i32 = 16 * 1024 * 1024;
/// A batch may not decompress to more.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;
/// How long a broker may wait for records that it has said to have.
const WAIT_MAX_MS: i32 = 100;
/// Requests to one broker that may bring nothing; each that brings something is for fewer partitions.
const VAIN_REQUESTS_MAX: usize = 20;

/// A record that is looked for.
#[derive(Clone, Debug)]
struct Wanted {
    partition: TopicPartition,
    /// The next record is here or behind.
    position: Offset,
    bytes_max: i32,
}

/// The times of the first records at `positions` or behind. What is gone, cannot be read or has no time is not in the
/// answer.
pub(super) async fn times(
    session: &Session,
    topics: &Topics,
    positions: BTreeMap<TopicPartition, Offset>,
) -> anyhow::Result<BTreeMap<TopicPartition, Millis>> {
    let mut by_leader: BTreeMap<BrokerId, VecDeque<Wanted>> = BTreeMap::new();
    for (partition, position) in positions {
        let Some(leader) = topics.leader(&partition) else { continue };
        let wanted = Wanted { partition, position, bytes_max: PARTITION_BYTES };
        by_leader.entry(leader).or_default().push_back(wanted);
    }
    let mut times = BTreeMap::new();
    let mut decompressor = Decompressor::default();
    for (leader, mut open) in by_leader {
        let mut vain = 0;
        while !open.is_empty() && vain < VAIN_REQUESTS_MAX {
            let asked: Vec<Wanted> = open.drain(..open.len().min(PARTITIONS_MAX)).collect();
            let mut said = fetch(session, topics, leader, &asked).await?;
            let asked_count = asked.len();
            let mut again = Vec::new();
            for mut wanted in asked {
                let data = said.remove(&wanted.partition);
                match data.map_or(Found::Nothing, |data| examine(&data, wanted.position, &mut decompressor)) {
                    Found::Time(time) => {
                        times.insert(wanted.partition, time);
                    }
                    Found::Unknown => {}
                    Found::Nothing => again.push(wanted),
                    Found::CutOff => {
                        wanted.bytes_max = wanted.bytes_max.saturating_mul(GROWTH);
                        again.push(wanted);
                    }
                    Found::Behind(position) => {
                        wanted.position = position;
                        again.push(wanted);
                    }
                }
            }
            vain = if again.len() < asked_count { 0 } else { vain + 1 };
            // In front: the first partition of a request has its batch whatever its size.
            again.into_iter().rev().for_each(|wanted| open.push_front(wanted));
        }
    }
    Ok(times)
}

async fn fetch(
    session: &Session,
    topics: &Topics,
    leader: BrokerId,
    asked: &[Wanted],
) -> anyhow::Result<BTreeMap<TopicPartition, PartitionData>> {
    let mut by_topic: Vec<FetchTopic> = Vec::new();
    for wanted in asked {
        let partition = FetchPartition {
            partition: wanted.partition.partition.get(),
            fetch_offset: wanted.position.get(),
            partition_max_bytes: wanted.bytes_max,
            ..FetchPartition::default()
        };
        match by_topic.iter_mut().find(|topic| *topic.topic == *wanted.partition.topic) {
            Some(topic) => topic.partitions.push(partition),
            None => by_topic.push(FetchTopic {
                topic: wanted.partition.topic.to_string(),
                topic_id: topics.id_of(&wanted.partition.topic),
                partitions: vec![partition],
            }),
        }
    }
    let request = FetchRequest {
        max_wait_ms: WAIT_MAX_MS,
        min_bytes: 1,
        max_bytes: ANSWER_BYTES_MAX,
        topics: by_topic,
        ..FetchRequest::default()
    };
    let response = session.call(Target::Broker(leader), request).await?;
    let mut said = BTreeMap::new();
    for topic in response.responses {
        let Some(name) = topics.name_of(topic.topic, topic.topic_id) else { continue };
        for data in topic.partitions {
            said.insert(TopicPartition::new(name.clone(), PartitionIndex::new(data.partition_index)), data);
        }
    }
    Ok(said)
}

/// What an answer says about a record that is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// Its time.
    Time(Millis),
    /// It is gone, or its time cannot be told.
    Unknown,
    /// Nothing was sent of this partition.
    Nothing,
    /// Its batch did not fit.
    CutOff,
    /// It is not here, but at this offset or behind.
    Behind(Offset),
}

fn examine(data: &PartitionData, position: Offset, decompressor: &mut Decompressor) -> Found {
    if ErrorCode::from_wire(data.error_code) != ErrorCode::None {
        return Found::Unknown;
    }
    let bytes = data.records.as_deref().unwrap_or_default();
    if bytes.is_empty() {
        return Found::Nothing;
    }
    let mut next = position;
    for batch in split(bytes).map_while(Result::ok) {
        next = next.max(batch.next_offset());
        if batch.next_offset() <= position || batch.is_control() {
            continue;
        }
        let Ok(codec) = batch.codec() else { return Found::Unknown };
        let Ok(plain) = decompressor.decompress(codec, batch.payload(), DECOMPRESSED_BYTES_MAX) else {
            return Found::Unknown;
        };
        for record in Records::new(plain, batch.record_count()) {
            let Ok(record) = record else { return Found::Unknown };
            if batch.offset_of(record.offset_delta) >= position {
                let time = batch.timestamp_of(record.timestamp_delta);
                return if time.get() < 0 { Found::Unknown } else { Found::Time(time) };
            }
        }
    }
    if next > position { Found::Behind(next) } else { Found::CutOff }
}

#[cfg(test)]
mod tests {
    use ringlog_storage::batch::{BatchBuilder, Codec, Record};

    use super::*;

    /// A batch at offset 0 with a record every second from 1,000 ms on.
    fn batch(records: i32, codec: Codec) -> Vec<u8> {
        let mut builder = BatchBuilder::new().compression(codec);
        for number in 0..records {
            let timestamp = Millis::new(1000 * (i64::from(number) + 1));
            builder.push(&Record { timestamp, value: Some(b"value"), ..Record::default() });
        }
        builder.build()
    }

    fn found(records: Vec<u8>, position: i64) -> Found {
        let data = PartitionData { records: Some(records), ..PartitionData::default() };
        examine(&data, Offset::new(position), &mut Decompressor::default())
    }

    #[test]
    fn the_record_at_the_position_tells_its_time() {
        for codec in [Codec::None, Codec::Lz4, Codec::Gzip] {
            for position in 0..3 {
                let expected = Found::Time(Millis::new(1000 * (position + 1)));
                assert_eq!(found(batch(3, codec), position), expected, "{codec:?} {position}");
            }
            assert_eq!(found(batch(3, codec), 3), Found::CutOff, "all of it was before");
        }
    }

    #[test]
    fn what_is_cut_off_missing_or_damaged_is_told_apart() {
        let whole = batch(3, Codec::None);
        for cut in 1..whole.len() {
            assert_eq!(found(whole[..cut].to_vec(), 0), Found::CutOff, "{cut}");
        }
        assert_eq!(found(Vec::new(), 0), Found::Nothing);
        let gone = PartitionData {
            error_code: ErrorCode::OffsetOutOfRange.code(),
            records: Some(whole.clone()),
            ..Default::default()
        };
        assert_eq!(examine(&gone, Offset::ZERO, &mut Decompressor::default()), Found::Unknown);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0xff;
            // Whatever it says, it says it without a panic.
            let _ = found(damaged, 1);
        }
    }
}
