//! `DescribeQuorum`, versions 0 to 2 (KIP-595, KIP-836, KIP-853): the quorum of one that keeps the metadata log.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_quorum::{
    DescribeQuorumRequest, DescribeQuorumResponse, Listener, Node, ReplicaState, RequestTopicData,
    ResponsePartitionData, ResponseTopicData,
};
use ringlog_storage::answer::PartitionOffsets;
use ringlog_storage::types::Uuid;

use crate::controller::{CONTROLLER_EPOCH, METADATA_LOG, METADATA_TOPIC, log_offsets};
use crate::dispatch::{Handled, Incoming, respond};
use crate::shard::Shard;

/// From this version on voters are told with their directories and endpoints.
const NODES_VERSION_MIN: i16 = 2;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeQuorumRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let found = if is_metadata_log(&request.topics) {
            log_offsets(&shard).await
        } else {
            Err(ErrorCode::UnknownTopicOrPartition)
        };
        let topic = |topic: &RequestTopicData| ResponseTopicData {
            topic_name: topic.topic_name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| partition(&shard, version, asked.partition_index, found))
                .collect(),
        };
        let nodes = if version >= NODES_VERSION_MIN && found.is_ok() { vec![node(&shard)] } else { Vec::new() };
        let response = DescribeQuorumResponse {
            topics: request.topics.iter().map(topic).collect(),
            nodes,
            ..DescribeQuorumResponse::default()
        };
        respond(&response, version)
    }))
}

/// Whether the request is for the metadata log and for nothing else, as Kafka wants it.
fn is_metadata_log(topics: &[RequestTopicData]) -> bool {
    let [topic] = topics else { return false };
    let [partition] = &topic.partitions[..] else { return false };
    topic.topic_name == METADATA_TOPIC && partition.partition_index == METADATA_LOG.partition.get()
}

fn partition(
    shard: &Shard,
    version: i16,
    partition_index: i32,
    found: Result<PartitionOffsets, ErrorCode>,
) -> ResponsePartitionData {
    let offsets = match found {
        Ok(offsets) => offsets,
        Err(code) => {
            return ResponsePartitionData {
                partition_index,
                error_code: code.code(),
                error_message: Some(code.message().to_owned()),
                ..ResponsePartitionData::default()
            };
        }
    };
    let settings = shard.settings();
    // A leader has always just caught up with itself.
    let now = shard.wall_clock().get();
    let voter = ReplicaState {
        replica_id: settings.broker.node_id.get(),
        replica_directory_id: if version >= NODES_VERSION_MIN { settings.home().id } else { Uuid::ZERO },
        log_end_offset: offsets.log_end.get(),
        last_fetch_timestamp: now,
        last_caught_up_timestamp: now,
    };
    ResponsePartitionData {
        partition_index,
        leader_id: settings.broker.node_id.get(),
        leader_epoch: CONTROLLER_EPOCH.get(),
        high_watermark: offsets.high_watermark.get(),
        current_voters: vec![voter],
        ..ResponsePartitionData::default()
    }
}

/// Where the voter is reached: through the listeners of the controller, or where there are none through all others.
pub(crate) fn node(shard: &Shard) -> Node {
    let settings = shard.settings();
    let node_id = settings.broker.node_id;
    let of_controller = settings.broker.listeners.iter().filter(|listener| listener.is_controller);
    let mut listeners: Vec<_> =
        of_controller.map(|it| (it.name.clone(), it.advertised.host.clone(), it.advertised.port)).collect();
    if listeners.is_empty() {
        let image = shard.with(|state| state.image.clone());
        let of_clients = image.broker(node_id).map(|broker| broker.listeners.clone()).unwrap_or_default();
        listeners.extend(of_clients.into_iter().map(|it| (it.name.to_string(), it.endpoint.host, it.endpoint.port)));
    }
    let listeners = listeners.into_iter().map(|(name, host, port)| Listener { name, host, port }).collect();
    Node { node_id: node_id.get(), listeners }
}
