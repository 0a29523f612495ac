//! `AlterReplicaLogDirs`, versions 1 and 2 (KIP-113): moves partitions to other data directories, while they are used. The
//! answer comes when that is begun. Who wants a partition where it is gives a move of it up.

use std::collections::BTreeMap;
use std::future::ready;

use ringlog_cluster::config::cordoned_log_dirs;
use ringlog_cluster::metadata::check_topic_name;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult, AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::LogDir;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming, respond};
use crate::errand::on_first_shard;
use crate::message::{Call, Reply};
use crate::partition::moves::{self, MoveItem};
use crate::partition::table::PartitionKey;
use crate::recorder::CourseId;
use crate::scatter::scatter;
use crate::shard::Shard;
use crate::topics::{find_partition, find_topic};

/// The directory that each partition of each topic is to be in; of two the last counts.
type Wanted = BTreeMap<String, BTreeMap<i32, String>>;
/// A partition and where it is to be, or what is told instead.
type Item = Result<(PartitionKey, MoveItem), ErrorCode>;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterReplicaLogDirsRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let mut wanted = Wanted::new();
    for dir in request.dirs {
        for topic in dir.topics {
            let partitions = wanted.entry(topic.name).or_default();
            partitions.extend(topic.partitions.into_iter().map(|partition| (partition, dir.path.clone())));
        }
    }
    Ok(Handled::later(async move {
        let codes = begin_moves(&shard, course, &wanted).await;
        let mut codes = codes.into_iter();
        let result = |(topic_name, partitions): (String, BTreeMap<i32, String>)| AlterReplicaLogDirTopicResult {
            topic_name,
            partitions: partitions
                .into_keys()
                .zip(&mut codes)
                .map(|(partition_index, code)| AlterReplicaLogDirPartitionResult {
                    partition_index,
                    error_code: code.code(),
                })
                .collect(),
        };
        let results = wanted.into_iter().map(result).collect();
        respond(&AlterReplicaLogDirsResponse { throttle_time_ms: 0, results }, version)
    }))
}

/// What is told of each partition, in order.
async fn begin_moves(shard: &Shard, course: CourseId, wanted: &Wanted) -> Vec<ErrorCode> {
    let image = shard.with(|state| state.image.clone());
    let cordoned = cordoned_log_dirs(&shard.settings().layers(&image));
    let mut wishes = Vec::new();
    let mut items = Vec::new();
    for (topic, partitions) in wanted {
        for (partition, path) in partitions {
            let partition = PartitionIndex::new(*partition);
            let Some(to) = shard.settings().log_dir(path) else {
                items.push(Err(ErrorCode::LogDirNotFound));
                continue;
            };
            if cordoned.contains(&to) {
                // As in Kafka, also for a partition that is there.
                items.push(Err(ErrorCode::InvalidReplicaAssignment));
                continue;
            }
            let found = find_topic(&image, TopicRef::Name(topic)).and_then(|topic| find_partition(topic, partition));
            // What can never be made is not waited for; and with one directory there is nothing to wish for.
            let may_come = check_topic_name(topic).is_ok() && partition >= PartitionIndex::new(0);
            if found.is_err() && may_come && shard.settings().log_dirs.len() > 1 {
                wishes.push((topic.clone(), partition, to));
            }
            items.push(found.map(|key| (key, MoveItem { key, to })));
        }
    }
    remember(shard, wishes).await;
    move_all(shard, course, items).await
}

/// Like Kafka, places partitions there when they are made that do not exist yet.
async fn remember(shard: &Shard, wishes: Vec<(String, PartitionIndex, LogDir)>) {
    if wishes.is_empty() {
        return;
    }
    on_first_shard(shard, move |shard| {
        shard.with(|state| {
            for (topic, partition, dir) in &wishes {
                state.wanted_places.want(topic, *partition, *dir);
            }
        });
    })
    .await;
}

async fn move_all(shard: &Shard, course: CourseId, items: Vec<Item>) -> Vec<ErrorCode> {
    let here = |items: Vec<MoveItem>| ready(shard.with(|state| moves::begin(state, &items)));
    let outcomes = scatter(shard, course, items, here, Call::Move, |reply| match reply {
        Reply::Moving(outcomes) => outcomes,
        other => unreachable!("a call for moves is answered by their outcomes, not {other:?}"),
    });
    outcomes.await.into_iter().map(|outcome| outcome.err().unwrap_or(ErrorCode::None)).collect()
}
