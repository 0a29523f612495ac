//! `DescribeLogDirs`, versions 1 to 5 (KIP-113, KIP-827, KIP-1066): what lies in each data directory, and how
//! large it is; copies of partitions that are being moved too.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::io;

use ringlog_cluster::config::cordoned_log_dirs;
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
use crate::recorder::CourseId;
use crate::scatter::scatter;
use crate::settings::LogDirectory;
use crate::shard::Shard;

/// Partitions by topic. Every one exists, so there are no more than the cluster has.
type Partitions<'a> = BTreeMap<&'a str, BTreeSet<PartitionIndex>>;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeLogDirsRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    Ok(Handled::later(async move {
        let partitions = match &request.topics {
            Some(topics) => named(&image, topics),
            None => all(&image),
        };
        let mut topics = describe(&shard, course, &image, partitions).await;
        let settings = shard.settings();
        let cordoned = cordoned_log_dirs(&settings.layers(&image));
        let mut results = Vec::with_capacity(topics.len());
        for (dir, directory) in settings.places() {
            let total = shard.reactor().total_space(directory.path.clone()).await;
            let usable = shard.reactor().free_space(directory.path.clone()).await;
            let topics = std::mem::take(&mut topics[dir.index()]);
            let told = result(&shard, directory, topics, total.and_then(|total| Ok((total, usable?))));
            results.push(DescribeLogDirsResult { is_cordoned: cordoned.contains(&dir), ..told });
        }
        respond(&DescribeLogDirsResponse { results, ..DescribeLogDirsResponse::default() }, version)
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

/// What lies in each directory.
async fn describe(
    shard: &Shard,
    course: CourseId,
    image: &Image,
    partitions: Partitions<'_>,
) -> Vec<Vec<DescribeLogDirsTopic>> {
    let mut keys = Vec::new();
    for (name, indexes) in &partitions {
        let topic_id = image.topic(name).expect("it was found there").id;
        let key = |&partition: &PartitionIndex| PartitionKey { topic_id, partition };
        keys.extend(indexes.iter().map(key).map(|key| Ok((key, key))));
    }
    let here = |keys: Vec<_>| ready(shard.with(|state| sizes(state, &keys)));
    let outcomes = scatter(shard, course, keys, here, Call::Sizes, |reply| match reply {
        Reply::Sizes(outcomes) => outcomes,
        other => unreachable!("a call for sizes is answered by them, not {other:?}"),
    });
    let mut outcomes = outcomes.await.into_iter();
    let mut dirs = vec![Vec::new(); shard.settings().log_dirs.len()];
    for (name, indexes) in partitions {
        let mut by_dir: Vec<Vec<DescribeLogDirsPartition>> = vec![Vec::new(); dirs.len()];
        // One that was deleted meanwhile is left out.
        for (index, place) in indexes.iter().zip(&mut outcomes).filter_map(|(&index, place)| Some((index, place.ok()?)))
        {
            by_dir[place.log_dir.index()].push(partition(index, place.bytes, None));
            if let Some(copy) = place.future {
                by_dir[copy.log_dir.index()].push(partition(index, copy.bytes, Some(copy.offset_lag)));
            }
        }
        for (dir, partitions) in dirs.iter_mut().zip(by_dir).filter(|(_, partitions)| !partitions.is_empty()) {
            dir.push(DescribeLogDirsTopic { name: name.to_owned(), partitions });
        }
    }
    dirs
}

/// A partition, or the copy of one that lacks so many offsets.
fn partition(index: PartitionIndex, bytes: u64, lag_of_copy: Option<i64>) -> DescribeLogDirsPartition {
    DescribeLogDirsPartition {
        partition_index: index.get(),
        partition_size: i64::try_from(bytes).unwrap_or(i64::MAX),
        offset_lag: lag_of_copy.unwrap_or(0),
        is_future_key: lag_of_copy.is_some(),
    }
}

/// What is told of a directory. `space` is its volume's size, and how much of it is free.
fn result(
    shard: &Shard,
    directory: &LogDirectory,
    topics: Vec<DescribeLogDirsTopic>,
    space: io::Result<(u64, u64)>,
) -> DescribeLogDirsResult {
    let log_dir = directory.name.clone();
    match space {
        Ok((total, usable)) => DescribeLogDirsResult {
            log_dir,
            topics,
            total_bytes: i64::try_from(total).unwrap_or(i64::MAX),
            usable_bytes: i64::try_from(usable).unwrap_or(i64::MAX),
            is_cordoned: false,
            error_code: ErrorCode::None.code(),
        },
        Err(error) => {
            repeated!(
                shard.lines(),
                SpaceUnknown,
                "space of the data directories",
                ERROR,
                "the space of {log_dir} cannot be told: {error}"
            );
            let error_code = ErrorCode::KafkaStorageError.code();
            DescribeLogDirsResult { error_code, log_dir, ..DescribeLogDirsResult::default() }
        }
    }
}
