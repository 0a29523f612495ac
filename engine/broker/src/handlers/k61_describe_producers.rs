//! `DescribeProducers`, version 0 (KIP-664): who has written to a partition with a producer id.

use std::future::ready;

use ringlog_net::conn::CloseReason;
use ringlog_net::messages::describe_producers::{
    DescribeProducersRequest, DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use ringlog_net::views::TopicRef;
use ringlog_storage::answer::ActiveProducer;
use ringlog_storage::types::PartitionIndex;

use crate::dispatch::{Handled, Incoming, respond};
use crate::message::{Call, Reply};
use crate::partition::producers::{ProducersOutcome, producers};
use crate::scatter::scatter;
use crate::topics::{find_partition, find_topic};

/// Stands for the epoch of a transaction coordinator, and for the start of a transaction, that there is none of.
const NONE: i32 = -1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeProducersRequest = incoming.decode()?;
    let (version, course) = (incoming.version(), incoming.course);
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    let mut keys = Vec::new();
    for topic in &request.topics {
        let found = find_topic(&image, TopicRef::Name(&topic.name));
        for &partition in &topic.partition_indexes {
            keys.push(found.and_then(|found| {
                let key = find_partition(found, PartitionIndex::new(partition))?;
                Ok((key, key))
            }));
        }
    }
    Ok(Handled::later(async move {
        let here = |keys: Vec<_>| ready(shard.with(|state| producers(state, &keys)));
        let outcomes = scatter(&shard, course, keys, here, Call::Producers, |reply| match reply {
            Reply::Producers(outcomes) => outcomes,
            other => unreachable!("a call for producers is answered by them, not {other:?}"),
        });
        let mut outcomes = outcomes.await.into_iter();
        let topics = request.topics.into_iter().map(|topic| {
            let partitions = topic.partition_indexes.iter().zip(&mut outcomes);
            let partitions = partitions.map(|(&partition, outcome)| answer(partition, outcome)).collect();
            TopicResponse { name: topic.name, partitions }
        });
        let response = DescribeProducersResponse { throttle_time_ms: 0, topics: topics.collect() };
        respond(&response, version)
    }))
}

fn answer(partition_index: i32, outcome: ProducersOutcome) -> PartitionResponse {
    let producer = |producer: ActiveProducer| ProducerState {
        producer_id: producer.id.get(),
        producer_epoch: producer.epoch.get().into(),
        last_sequence: producer.last_sequence.get(),
        last_timestamp: producer.last_timestamp.get(),
        coordinator_epoch: NONE,
        current_txn_start_offset: NONE.into(),
    };
    match outcome {
        Ok(producers) => PartitionResponse {
            partition_index,
            active_producers: producers.into_iter().map(producer).collect(),
            ..PartitionResponse::default()
        },
        Err(code) => PartitionResponse {
            partition_index,
            error_code: code.code(),
            error_message: Some(code.message().to_owned()),
            active_producers: Vec::new(),
        },
    }
}
