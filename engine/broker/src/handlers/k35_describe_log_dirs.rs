//! `DescribeLogDirs`, versions 1 to 5 (KIP-113, KIP-827, KIP-1066): what lies in the data directory, and how large it is.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use ringlog_cluster::image::Image;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_log_dirs::{
    DescribableLogDirTopic, DescribeLogDirsPartition, DescribeLogDirsRequest, DescribeLogDirsResponse,
    DescribeLogDirsResult, DescribeLogDirsTopic,
};
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming, respond};
use crate::lines::repeated;
use crate::message::{Call, Reply};
use crate::partition::sizes::sizes;
use crate::partition::table::PartitionKey;
use crate::scatter::scatter;
use crate::shard::Shard;

/// Partitions by topic. Every one exists, so there are no more than the cluster has.
type Partitions<'a> = BTreeMap<&'a str, BTreeSet<PartitionIndex>>;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeLogDirsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    Ok(Handled::later(async move {
        let partitions = match &request.topics {
            Some(topics) => named(&image, topics),
            None => all(&image),
        };
        let topics = describe(&shard, &image, partitions).await;
        let directory = shard.settings().data_directory.clone();
        let total = shard.reactor().total_space(directory.clone()).await;
        let usable = shard.reactor().free_space(directory).await;
        let response = DescribeLogDirsResponse {
            results: vec![result(&shard, &image, topics, total, usable)],
            ..DescribeLogDirsResponse::default()
        };
        respond(&response, version)
    }))
}

fn all(image: &Image) -> Partitions<'_> {
    let of_topic = |count: usize| (0..).take(count).map(PartitionIndex::new).collect();
    image.topics().map(|topic| (&*topic.name, of_topic(topic.partitions.len()))).collect()
}

/// Those of the topics that exist; nothing is said of others.
fn named<'a>(image: &Image, topics: &'a [DescribableLogDirTopic]) -> Partitions<'a> {
    let mut partitions = Partitions::new();
    for asked in topics {
        let Some(topic) = image.topic(&asked.topic) else { continue };
        let existing = asked.partitions.iter().map(|&partition| PartitionIndex::new(partition));
        let mut existing = existing.filter(|&partition| topic.partition(partition).is_some()).peekable();
        if existing.peek().is_some() {
            partitions.entry(&asked.topic).or_default().extend(existing);
        }
    }
    partitions
}

async fn describe(shard: &Shard, image: &Image, partitions: Partitions<'_>) -> Vec<DescribeLogDirsTopic> {
    let mut keys = Vec::new();
    for (name, indexes) in &partitions {
        let topic_id = image.topic(name).expect("it was found there").id;
        let key = |&partition: &PartitionIndex| PartitionKey { topic_id, partition };
        keys.extend(indexes.iter().map(key).map(|key| Ok((key, key))));
    }
    let here = async |keys: Vec<_>| shard.with(|state| sizes(state, &keys));
    let outcomes = scatter(shard, keys, here, Call::Sizes, |reply| match reply {
        Reply::Sizes(outcomes) => outcomes,
        other => unreachable!("a call for sizes is answered by them, not {other:?}"),
    });
    let mut outcomes = outcomes.await.into_iter();
    let mut topics = Vec::with_capacity(partitions.len());
    for (name, indexes) in partitions {
        // One that was deleted meanwhile is left out.
        let sized = indexes.iter().zip(&mut outcomes).filter_map(|(&index, bytes)| Some((index, bytes.ok()?)));
        let partition = |(index, bytes): (PartitionIndex, u64)| DescribeLogDirsPartition {
            partition_index: index.get(),
            partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
            ..DescribeLogDirsPartition::default()
        };
        topics.push(DescribeLogDirsTopic { name: name.to_owned(), partitions: sized.map(partition).collect() });
    }
    topics
}

fn result(
    shard: &Shard,
    image: &Image,
    topics: Vec<DescribeLogDirsTopic>,
    total: io::Result<u64>,
    usable: io::Result<u64>,
) -> DescribeLogDirsResult {
    let settings = shard.settings();
    let log_dir = settings.log_directory.to_string();
    match (total, usable) {
        (Ok(total), Ok(usable)) => {
            let cordoned =
                image.broker(settings.broker.node_id).and_then(|broker| broker.cordoned_directories.as_ref());
            DescribeLogDirsResult {
                log_dir,
                topics,
                total_bytes: i64::try_from(total).unwrap_or(i64::MAX),
                usable_bytes: i64::try_from(usable).unwrap_or(i64::MAX),
                is_cordoned: cordoned.is_some_and(|cordoned| cordoned.contains(&settings.directory_id)),
                error_code: ErrorCode::None.code(),
            }
        }
        (Err(error), _) | (_, Err(error)) => {
            repeated!(
                shard.lines(),
                SpaceUnknown,
                "space of the data directory",
                ERROR,
                "the space of the data directory cannot be told: {error}"
            );
            let error_code = ErrorCode::KafkaStorageError.code();
            DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() }
        }
    }
}
