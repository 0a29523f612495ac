//! Where partitions begin and end, and which offsets belong to a time.

use std::collections::BTreeMap;

use anyhow::bail;
use ringlog_net::client::Target;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::list_offsets::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use ringlog_net::messages::metadata::MetadataResponsePartition;
use ringlog_storage::types::{BrokerId, Millis, Offset, PartitionIndex};

use crate::session::{Session, refusal};

/// Which offset of a partition is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Its first record's.
    Start,
    /// The one behind its last visible record.
    End,
    /// The first record's of this time or later.
    Time(Millis),
}

impl Place {
    /// How `ListOffsetsRequest` says it.
    fn timestamp(self) -> i64 {
        match self {
            Self::Start => -2,
            Self::End => -1,
            Self::Time(time) => time.get(),
        }
    }
}

/// Asks the leaders. A partition without a record of the time, or without a leader, is not in the answer.
pub(crate) async fn list(
    session: &Session,
    topic: &str,
    partitions: &[MetadataResponsePartition],
    place: Place,
) -> anyhow::Result<BTreeMap<PartitionIndex, Offset>> {
    let mut by_leader: BTreeMap<i32, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for partition in partitions.iter().filter(|partition| partition.leader_id >= 0) {
        let question = ListOffsetsPartition {
            partition_index: partition.partition_index,
            timestamp: place.timestamp(),
            ..ListOffsetsPartition::default()
        };
        by_leader.entry(partition.leader_id).or_default().push(question);
    }
    let mut offsets = BTreeMap::new();
    for (leader, partitions) in by_leader {
        let topics = vec![ListOffsetsTopic { name: topic.to_owned(), partitions }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let response = session.call(Target::Broker(BrokerId::new(leader)), request).await?;
        for partition in response.topics.into_iter().flat_map(|topic| topic.partitions) {
            let index = partition.partition_index;
            match ErrorCode::from_wire(partition.error_code) {
                ErrorCode::None if partition.offset >= 0 => {
                    offsets.insert(PartitionIndex::new(index), Offset::new(partition.offset));
                }
                ErrorCode::None => {}
                error => bail!(refusal(&format!("partition {topic}-{index}"), error, None)),
            }
        }
    }
    Ok(offsets)
}
