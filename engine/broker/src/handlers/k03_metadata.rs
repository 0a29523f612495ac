//! `Metadata`, versions 0 to 13: brokers, topics, and who leads what.

use std::collections::BTreeSet;

use ringlog_cluster::image::{Image, PartitionImage, TopicImage};
use ringlog_cluster::metadata::check_topic_name;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata::{
    MetadataRequest, MetadataRequestTopic, MetadataResponse, MetadataResponseBroker, MetadataResponsePartition,
    MetadataResponseTopic,
};
use ringlog_storage::types::{BrokerId, Uuid};

use crate::dispatch::{Handled, Incoming, respond};
use crate::operations;
use crate::shard::Shard;
use crate::topic_creation::auto_create;
use crate::topics::endpoint_of;

/// In this version an empty list of topics asks for all of them; later, null does.
const EMPTY_IS_ALL_VERSION: i16 = 0;
/// From this version on clients may say that nothing is to be created.
const AUTO_CREATE_FLAG_VERSION_MIN: i16 = 4;
/// From this version on a topic may be asked for by its id, with no name.
const TOPIC_ID_VERSION_MIN: i16 = 12;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: MetadataRequest = incoming.decode()?;
    let (version, listener) = (incoming.version(), incoming.connection.listener);
    let shard = incoming.connection.shard().clone();
    let image = shard.with(|state| state.image.clone());
    let (mut topics, unknown) = match &request.topics {
        None => (all_topics(&image), BTreeSet::new()),
        Some(topics) if topics.is_empty() && version == EMPTY_IS_ALL_VERSION => (all_topics(&image), BTreeSet::new()),
        Some(topics) => some_topics(&image, topics, version),
    };
    if request.include_topic_authorized_operations {
        for topic in &mut topics {
            topic.topic_authorized_operations = operations::OF_TOPICS;
        }
    }
    let of_the_cluster = request.include_cluster_authorized_operations;
    let may_create = version < AUTO_CREATE_FLAG_VERSION_MIN || request.allow_auto_topic_creation;
    if may_create && shard.settings().broker.auto_create_topics && !unknown.is_empty() {
        auto_create(&shard, unknown);
    }
    let response = MetadataResponse {
        brokers: brokers(&shard, &image, listener),
        cluster_id: Some(image.cluster_id().to_owned()),
        controller_id: image.controller().get(),
        topics,
        cluster_authorized_operations: if of_the_cluster { operations::OF_THE_CLUSTER } else { operations::UNASKED },
        ..MetadataResponse::default()
    };
    Ok(Handled::Now(respond(&response, version)))
}

fn brokers(shard: &Shard, image: &Image, listener: usize) -> Vec<MetadataResponseBroker> {
    let described = image.brokers().filter_map(|broker| {
        let endpoint = endpoint_of(shard, broker, listener)?;
        Some(MetadataResponseBroker {
            node_id: broker.id.get(),
            host: endpoint.host.clone(),
            port: i32::from(endpoint.port),
            rack: broker.rack.as_deref().map(str::to_owned),
        })
    });
    described.collect()
}

fn all_topics(image: &Image) -> Vec<MetadataResponseTopic> {
    image.topics().map(|topic| describe(topic)).collect()
}

/// The topics asked for, each once, and the names among them that may be created.
fn some_topics(
    image: &Image,
    asked: &[MetadataRequestTopic],
    version: i16,
) -> (Vec<MetadataResponseTopic>, BTreeSet<String>) {
    let mut asked: Vec<&MetadataRequestTopic> = asked.iter().collect();
    let has_ids = asked.iter().any(|asked| asked.topic_id != Uuid::ZERO);
    if version < TOPIC_ID_VERSION_MIN && (has_ids || asked.iter().any(|asked| asked.name.is_none())) {
        let refused = |asked: &MetadataRequestTopic| {
            failed(ErrorCode::InvalidRequest, Some(asked.name.clone().unwrap_or_default()), asked.topic_id)
        };
        return (asked.into_iter().map(refused).collect(), BTreeSet::new());
    }
    if has_ids {
        // Clients say in two ways that a topic has no name, and none counts beside an id.
        asked.retain(|asked| asked.topic_id != Uuid::ZERO);
    }
    let (mut seen, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    asked.retain(|asked| seen.insert((asked.topic_id, asked.name.as_deref().filter(|_| !has_ids))));
    let topics = asked.into_iter().map(|asked| match &asked.name {
        Some(name) if !has_ids => image.topic(name).map_or_else(
            || {
                let valid = check_topic_name(name).is_ok();
                if valid {
                    unknown.insert(name.clone());
                }
                let code = if valid { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::InvalidTopicException };
                failed(code, Some(name.clone()), Uuid::ZERO)
            },
            |topic| describe(topic),
        ),
        _ => image
            .topic_by_id(asked.topic_id)
            .map_or_else(|| failed(ErrorCode::UnknownTopicId, None, asked.topic_id), |topic| describe(topic)),
    });
    (topics.collect(), unknown)
}

fn failed(code: ErrorCode, name: Option<String>, topic_id: Uuid) -> MetadataResponseTopic {
    MetadataResponseTopic { error_code: code.code(), name, topic_id, ..MetadataResponseTopic::default() }
}

fn describe(topic: &TopicImage) -> MetadataResponseTopic {
    MetadataResponseTopic {
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: topic.is_internal(),
        partitions: (0..)
            .zip(&topic.partitions)
            .map(|(index, partition)| describe_partition(index, partition))
            .collect(),
        ..MetadataResponseTopic::default()
    }
}

fn describe_partition(partition_index: i32, partition: &PartitionImage) -> MetadataResponsePartition {
    let ids = |brokers: &[BrokerId]| brokers.iter().map(|broker| broker.get()).collect();
    let code = if partition.leader == BrokerId::NONE { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    MetadataResponsePartition {
        error_code: code.code(),
        partition_index,
        leader_id: partition.leader.get(),
        leader_epoch: partition.leader_epoch.get(),
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        offline_replicas: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handlers::sample_image::sample_image;

    fn named(name: Option<&str>, id: u128) -> MetadataRequestTopic {
        let topic_id = if id == 0 { Uuid::ZERO } else { Uuid::from_u128(id) };
        MetadataRequestTopic { topic_id, name: name.map(str::to_owned) }
    }

    #[test]
    fn topics_are_found_by_name_and_by_id() {
        let image = sample_image(&[("a", 2), ("b", 1)]);
        let check = |asked: MetadataRequestTopic, version, code: ErrorCode, name: Option<&str>, partitions: usize| {
            let (topics, _) = some_topics(&image, std::slice::from_ref(&asked), version);
            let [topic] = &topics[..] else { panic!("one answer for {asked:?}") };
            assert_eq!(topic.error_code, code.code(), "{asked:?}");
            assert_eq!((topic.name.as_deref(), topic.partitions.len()), (name, partitions), "{asked:?}");
        };
        check(named(Some("a"), 0), 1, ErrorCode::None, Some("a"), 2);
        check(named(Some("x"), 0), 1, ErrorCode::UnknownTopicOrPartition, Some("x"), 0);
        check(named(Some("x y"), 0), 1, ErrorCode::InvalidTopicException, Some("x y"), 0);
        check(named(Some(""), 0), 1, ErrorCode::InvalidTopicException, Some(""), 0);
        check(named(None, 102), 12, ErrorCode::None, Some("b"), 1);
        check(named(None, 103), 12, ErrorCode::UnknownTopicId, None, 0);
        check(named(None, 0), 12, ErrorCode::UnknownTopicId, None, 0);
        check(named(None, 102), 11, ErrorCode::InvalidRequest, Some(""), 0);
    }

    #[test]
    fn only_valid_names_that_are_unknown_may_be_created() {
        let image = sample_image(&[("a", 1)]);
        let asked: Vec<_> = ["a", "x", "not valid", "x", ".."].map(|name| named(Some(name), 0)).into();
        let (topics, unknown) = some_topics(&image, &asked, 9);
        assert_eq!((topics.len(), Vec::from_iter(unknown)), (4, vec!["x".to_owned()]), "each is told once");
    }

    #[test]
    fn partitions_tell_their_leaders() {
        let topics = all_topics(&sample_image(&[("a", 2)]));
        let told: Vec<_> =
            topics[0].partitions.iter().map(|it| (it.partition_index, it.leader_id, it.error_code)).collect();
        assert_eq!(told, [(0, 1, 0), (1, -1, ErrorCode::LeaderNotAvailable.code())]);
    }
}
