//! `AlterReplicaLogDirs`, versions 1 and 2 (KIP-113). There is one directory: who wants a replica there has it already, and
//! there is no other.

use std::collections::BTreeMap;

use ringlog_cluster::image::Image;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming};
use crate::topics::{find_partition, find_topic};

/// The directory that each partition of each topic is to be in; of two the last counts.
type Wanted<'a> = BTreeMap<&'a str, BTreeMap<i32, &'a str>>;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterReplicaLogDirsRequest = incoming.decode()?;
    let shard = incoming.connection.shard();
    let image = shard.with(|state| state.image.clone());
    let mut wanted = Wanted::new();
    for dir in &request.dirs {
        for topic in &dir.topics {
            let partitions = wanted.entry(&topic.name).or_default();
            partitions.extend(topic.partitions.iter().map(|&partition| (partition, dir.path.as_str())));
        }
    }
    let here = &*shard.settings().log_directory;
    let result = |(topic, partitions): (&str, BTreeMap<i32, &str>)| AlterReplicaLogDirTopicResult {
        topic_name: topic.to_owned(),
        partitions: partitions
            .into_iter()
            .map(|(partition, path)| answer(&image, here, topic, partition, path))
            .collect(),
    };
    let results = wanted.into_iter().map(result).collect();
    Ok(Handled::Now(incoming.respond(&AlterReplicaLogDirsResponse { throttle_time_ms: 0, results })))
}

fn answer(image: &Image, here: &str, topic: &str, partition: i32, path: &str) -> AlterReplicaLogDirPartitionResult {
    let is_there = |topic| find_partition(topic, PartitionIndex::new(partition));
    let code = if path == here {
        find_topic(image, TopicRef::Name(topic)).and_then(|topic| is_there(topic)).err().unwrap_or(ErrorCode::None)
    } else {
        ErrorCode::LogDirNotFound
    };
    AlterReplicaLogDirPartitionResult { partition_index: partition, error_code: code.code() }
}
