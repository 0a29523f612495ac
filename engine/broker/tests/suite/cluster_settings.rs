//! What administrators set for the cluster survives a crash once it is answered, and what they are told of partitions comes
//! from all shards.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_client_quotas::{AlterClientQuotasRequest, EntityData, OpData, RequestEntryData};
use ringlog_net::messages::alter_user_scram_credentials::{AlterUserScramCredentialsRequest, ScramCredentialUpsertion};
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::describe_client_quotas::DescribeClientQuotasRequest;
use ringlog_net::messages::describe_log_dirs::{DescribeLogDirsRequest, DescribeLogDirsResult};
use ringlog_net::messages::describe_quorum::{DescribeQuorumRequest, RequestPartitionData, RequestTopicData};
use ringlog_net::messages::describe_user_scram_credentials::DescribeUserScramCredentialsRequest;
use ringlog_net::messages::metadata::{MetadataRequest, MetadataRequestTopic};
use ringlog_net::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use ringlog_reactor::Socket;

use crate::{Broker, PARTITIONS, ask, connect, create_topic, produce};

const SAFE_DOWNGRADE: i8 = 2;
const SHA_256: i8 = 1;

async fn set_everything(socket: &Socket) {
    let entity = vec![EntityData { entity_type: "user".to_owned(), entity_name: Some("alice".to_owned()) }];
    let ops = vec![OpData { key: "producer_byte_rate".to_owned(), value: 7.0, remove: false }];
    let quotas = AlterClientQuotasRequest { entries: vec![RequestEntryData { entity, ops }], validate_only: false };
    assert_eq!(ask(socket, &quotas, 1).await.entries[0].error_code, 0);
    let user = ScramCredentialUpsertion {
        name: "alice".to_owned(),
        mechanism: SHA_256,
        iterations: 4096,
        salt: b"salt".to_vec(),
        salted_password: vec![1; 32],
    };
    let users = AlterUserScramCredentialsRequest { upsertions: vec![user], deletions: Vec::new() };
    assert_eq!(ask(socket, &users, 0).await.results[0].error_code, 0);
    let update = FeatureUpdateKey {
        feature: "streams.version".to_owned(),
        max_version_level: 0,
        upgrade_type: SAFE_DOWNGRADE,
        ..FeatureUpdateKey::default()
    };
    let features = UpdateFeaturesRequest { feature_updates: vec![update], ..UpdateFeaturesRequest::default() };
    assert_eq!(ask(socket, &features, 2).await.error_code, 0);
}

async fn expect_everything(socket: &Socket) {
    let quotas = ask(socket, &DescribeClientQuotasRequest::default(), 1).await.entries.expect("no error");
    assert_eq!((quotas.len(), &*quotas[0].values[0].key, quotas[0].values[0].value), (1, "producer_byte_rate", 7.0));
    let users = ask(socket, &DescribeUserScramCredentialsRequest { users: None }, 0).await.results;
    assert_eq!((users.len(), &*users[0].user, users[0].credential_infos[0].iterations), (1, "alice", 4096));
    let request = ApiVersionsRequest {
        client_software_name: "suite".to_owned(),
        client_software_version: "1".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let features = ask(socket, &request, 4).await.finalized_features;
    let has = |name: &str| features.iter().any(|feature| feature.name == name);
    assert!(has("group.version") && has("kraft.version") && !has("streams.version"), "{features:?}");
}

#[test]
fn what_is_answered_survives_a_crash() {
    for seed in 0..20 {
        let mut broker = Broker::start(seed, &[]);
        let address = broker.address();
        broker.sim.block_on("administrator", move |reactor| async move {
            let (one, other) = (connect(&reactor, address).await, connect(&reactor, address).await);
            set_everything(&one).await;
            expect_everything(&other).await;
        });
        broker.kill_and_restart();
        broker.sim.block_on("reader", move |reactor| async move {
            expect_everything(&connect(&reactor, address).await).await;
        });
    }
}

/// A client that only looks at the coordinators' log must not have it made another way than its coordinators do.
#[test]
fn topics_of_the_brokers_are_not_made_like_those_of_clients() {
    const NAMES: [&str; 3] = ["__consumer_offsets", "__share_group_state", "__transaction_state"];
    let mut broker = Broker::start(1, &["num.partitions=3", "offsets.topic.num.partitions=5"]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        let named = |name: &&str| MetadataRequestTopic { name: Some((*name).to_owned()), ..Default::default() };
        let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let asked = MetadataRequest {
            topics: Some(NAMES.iter().chain(["plain"].iter()).map(named).collect()),
            allow_auto_topic_creation: true,
            ..MetadataRequest::default()
        };
        ask(&socket, &asked, 9).await;
        let found = loop {
            let topics = ask(&socket, &all, 9).await.topics;
            // All are made in one decision.
            if topics.iter().any(|topic| topic.name.as_deref() == Some("plain")) {
                break topics;
            }
            reactor.sleep(Duration::from_millis(10)).await;
        };
        let mut found: Vec<_> =
            found.iter().map(|topic| (topic.name.clone().unwrap_or_default(), topic.partitions.len())).collect();
        found.sort();
        assert_eq!(found, [("__consumer_offsets".to_owned(), 5), ("plain".to_owned(), 3)]);
    });
}

async fn log_dir(socket: &Socket) -> DescribeLogDirsResult {
    let mut response = ask(socket, &DescribeLogDirsRequest { topics: None }, 5).await;
    assert_eq!((response.error_code, response.results.len()), (0, 1));
    response.results.remove(0)
}

#[test]
fn sizes_are_those_of_all_shards() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        assert_eq!(log_dir(&socket).await.topics, []);
        create_topic(&socket).await;
        ask(&socket, &produce(1000), 7).await;
        let told = log_dir(&socket).await;
        let partitions = &told.topics[0].partitions;
        assert_eq!(partitions.len(), usize::try_from(PARTITIONS).expect("a few"));
        let size = partitions[0].partition_size;
        assert!(size > 1000 && partitions.iter().all(|partition| partition.partition_size == size), "{partitions:?}");
        assert!(told.usable_bytes > 0 && told.usable_bytes < told.total_bytes, "{told:?}");
        ask(&socket, &produce(1000), 7).await;
        assert_eq!(log_dir(&socket).await.topics[0].partitions[0].partition_size, 2 * size);
    });
}

#[test]
fn the_quorum_is_known_on_every_shard() {
    for seed in 0..4 {
        let mut broker = Broker::start(seed, &["node.id=7"]);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            create_topic(&socket).await;
            for (partition_index, code) in [(0, ErrorCode::None), (1, ErrorCode::UnknownTopicOrPartition)] {
                let partitions = vec![RequestPartitionData { partition_index }];
                let topics = vec![RequestTopicData { topic_name: "__cluster_metadata".to_owned(), partitions }];
                let response = ask(&socket, &DescribeQuorumRequest { topics }, 2).await;
                let partition = &response.topics[0].partitions[0];
                assert_eq!(ErrorCode::from_wire(partition.error_code), code);
                let voters = partition.current_voters.iter().map(|voter| (voter.replica_id, voter.log_end_offset));
                let end = partition.high_watermark;
                let expected: &[_] = if code == ErrorCode::None { &[(7, end)] } else { &[] };
                assert_eq!(voters.collect::<Vec<_>>(), expected);
                assert_eq!(response.nodes.len(), expected.len());
            }
        });
    }
}
