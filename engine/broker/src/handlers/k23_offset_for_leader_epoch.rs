//! `OffsetForLeaderEpoch`, versions 2 to 4: where leader epochs end (KIP-101, KIP-320).

use std::future::ready;

use ringlog_net::conn::CloseReason;
use ringlog_net::messages::offset_for_leader_epoch::{
    EpochEndOffset, OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse, OffsetForLeaderPartition,
    OffsetForLeaderTopicResult,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::types::{LeaderEpoch, PartitionIndex};

use crate::dispatch::{Handled, Incoming, respond};
use crate::message::{Call, Reply};
use crate::partition::lookup::{EpochItem, EpochOutcome, epoch_ends};
use crate::scatter::scatter;
use crate::topics::{find_partition, find_topic};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: OffsetForLeaderEpochRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    let mut items = Vec::new();
    for topic in &request.topics {
        let found = find_topic(&image, TopicRef::Name(&topic.topic));
        for partition in &topic.partitions {
            items.push(found.and_then(|found| {
                let key = find_partition(found, PartitionIndex::new(partition.partition))?;
                let current_leader_epoch = LeaderEpoch::new(partition.current_leader_epoch);
                let leader_epoch = LeaderEpoch::new(partition.leader_epoch);
                Ok((key, EpochItem { key, current_leader_epoch, leader_epoch }))
            }));
        }
    }
    Ok(Handled::later(async move {
        let here = |items: Vec<EpochItem>| ready(shard.with(|state| epoch_ends(state, &items)));
        let outcomes = scatter(&shard, course, items, here, Call::EpochEnds, |reply| match reply {
            Reply::EpochEnds(outcomes) => outcomes,
            other => unreachable!("a call for epochs is answered by epochs, not {other:?}"),
        });
        let mut outcomes = outcomes.await.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partitions.iter().zip(&mut outcomes).map(|(asked, outcome)| answer(asked, outcome));
            OffsetForLeaderTopicResult { partitions: partitions.collect(), topic: topic.topic }
        });
        let response = OffsetForLeaderEpochResponse { throttle_time_ms: 0, topics: topics.collect() };
        respond(&response, version)
    }))
}

fn answer(asked: &OffsetForLeaderPartition, outcome: EpochOutcome) -> EpochEndOffset {
    let partition = asked.partition;
    match outcome {
        Ok(end) => EpochEndOffset {
            error_code: 0,
            partition,
            leader_epoch: end.leader_epoch.get(),
            end_offset: end.end_offset.get(),
        },
        Err(code) => EpochEndOffset { error_code: code.code(), partition, ..EpochEndOffset::default() },
    }
}
