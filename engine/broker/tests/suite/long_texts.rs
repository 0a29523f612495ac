//! Texts as long as a string can be. What is told of them has words around it, and they come back in other messages.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_client_quotas::{
    AlterClientQuotasRequest, EntityData, OpData, RequestEntryData as QuotaEntry,
};
use ringlog_net::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use ringlog_net::messages::consumer_group_describe::ConsumerGroupDescribeRequest;
use ringlog_net::messages::consumer_group_heartbeat::ConsumerGroupHeartbeatRequest;
use ringlog_net::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ringlog_net::messages::create_topics::{CreatableTopic, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::describe_client_quotas::{ComponentData, DescribeClientQuotasRequest};
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::describe_groups::DescribeGroupsRequest;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource as AlteredResource, AlterableConfig as Alteration, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::list_config_resources::ListConfigResourcesRequest;
use ringlog_net::messages::update_features::{FeatureUpdateKey, UpdateFeaturesRequest};
use ringlog_net::wire::STRING_BYTES_MAX;
use ringlog_reactor::Socket;

use crate::{Broker, TOPIC, ask, connect, create_topic, frame_of, receive};

const TOPIC_RESOURCE: i8 = 2;
const LOGGERS: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP_RESOURCE: i8 = 32;
const APPEND: i8 = 2;

fn longest() -> String {
    "x".repeat(STRING_BYTES_MAX)
}

/// The longest message there can be, and no longer one.
#[track_caller]
fn assert_cut(message: Option<&String>) {
    assert_eq!(message.map(String::len), Some(STRING_BYTES_MAX), "{message:.80?}");
}

async fn configs(socket: &Socket, resource_type: i8, name: &str) -> Option<String> {
    let resource = DescribeConfigsResource { resource_type, resource_name: name.to_owned(), configuration_keys: None };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    ask(socket, &request, 4).await.results.remove(0).error_message
}

async fn change(
    socket: &Socket,
    resource_type: i8,
    name: &str,
    (key, value): (&str, &str),
    operation: i8,
) -> (ErrorCode, Option<String>) {
    let config = Alteration { name: key.to_owned(), config_operation: operation, value: Some(value.to_owned()) };
    let resource = AlteredResource { resource_type, resource_name: name.to_owned(), configs: vec![config] };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let answered = ask(socket, &request, 1).await.responses.remove(0);
    (ErrorCode::from_wire(answered.error_code), answered.error_message)
}

#[test]
fn errors_about_them_are_cut() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let long = longest();
        assert_cut(configs(&socket, TOPIC_RESOURCE, &long).await.as_ref());
        assert!(configs(&socket, LOGGERS, &long).await.is_some());
        for (resource_type, name) in [(TOPIC_RESOURCE, TOPIC), (LOGGERS, "1"), (GROUP_RESOURCE, "g")] {
            assert_cut(change(&socket, resource_type, name, (&long, "1"), 0).await.1.as_ref());
        }
        assert_cut(change(&socket, TOPIC_RESOURCE, TOPIC, ("segment.ms", &long), 0).await.1.as_ref());
        let config = AlterableConfig { name: long.clone(), value: Some(long.clone()) };
        let resource = AlterConfigsResource {
            resource_type: TOPIC_RESOURCE,
            resource_name: TOPIC.to_owned(),
            configs: vec![config],
        };
        let request = AlterConfigsRequest { resources: vec![resource], validate_only: false };
        assert_cut(ask(&socket, &request, 2).await.responses[0].error_message.as_ref());

        let topic = CreatableTopic { name: long.clone(), num_partitions: 1, ..CreatableTopic::default() };
        let request = CreateTopicsRequest { topics: vec![topic], ..CreateTopicsRequest::default() };
        assert_eq!(ask(&socket, &request, 7).await.topics[0].error_code, ErrorCode::InvalidTopicException.code());
        let topic = DeleteTopicState { name: Some(long.clone()), ..DeleteTopicState::default() };
        let request = DeleteTopicsRequest { topics: vec![topic], ..DeleteTopicsRequest::default() };
        let answer = ask(&socket, &request, 6).await;
        assert_eq!(answer.responses[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
        let topic = CreatePartitionsTopic { name: long.clone(), count: 2, assignments: None };
        let request = CreatePartitionsRequest { topics: vec![topic], ..CreatePartitionsRequest::default() };
        let answer = ask(&socket, &request, 3).await;
        assert_eq!(answer.results[0].error_code, ErrorCode::UnknownTopicOrPartition.code());

        let op = OpData { key: long.clone(), value: 1.0, remove: false };
        let entity = EntityData { entity_type: "user".to_owned(), entity_name: Some("u".to_owned()) };
        let request = AlterClientQuotasRequest {
            entries: vec![QuotaEntry { entity: vec![entity], ops: vec![op] }],
            validate_only: false,
        };
        assert_cut(ask(&socket, &request, 1).await.entries[0].error_message.as_ref());
        let component = ComponentData { entity_type: long.clone(), ..ComponentData::default() };
        let request = DescribeClientQuotasRequest { components: vec![component], strict: false };
        assert_cut(ask(&socket, &request, 1).await.error_message.as_ref());
        let update = FeatureUpdateKey { feature: long.clone(), max_version_level: 1, ..FeatureUpdateKey::default() };
        let request = UpdateFeaturesRequest { feature_updates: vec![update], ..UpdateFeaturesRequest::default() };
        assert_ne!(ask(&socket, &request, 2).await.error_code, 0);
    });
}

#[test]
fn groups_bear_them() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let long = longest();
        while ask(&socket, &FindCoordinatorRequest { key: long.clone(), ..FindCoordinatorRequest::default() }, 3)
            .await
            .error_code
            != 0
        {}
        let request = DescribeGroupsRequest { groups: vec![long.clone(); 3], ..DescribeGroupsRequest::default() };
        let described = loop {
            let described = ask(&socket, &request, 6).await.groups;
            if described[0].error_code != ErrorCode::CoordinatorLoadInProgress.code() {
                break described;
            }
        };
        // However often it is named.
        assert_eq!(described.len(), 1);
        assert_cut(described[0].error_message.as_ref());
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![long.clone(); 3],
            ..ConsumerGroupDescribeRequest::default()
        };
        let described = ask(&socket, &request, 1).await.groups;
        assert_eq!(described.len(), 1);
        assert_cut(described[0].error_message.as_ref());
        let beat = ConsumerGroupHeartbeatRequest {
            group_id: "g".to_owned(),
            member_id: "m".to_owned(),
            rebalance_timeout_ms: 1000,
            subscribed_topic_names: Some(Vec::new()),
            topic_partitions: Some(Vec::new()),
            ..ConsumerGroupHeartbeatRequest::default()
        };
        let of_assignor = ConsumerGroupHeartbeatRequest { server_assignor: Some(long.clone()), ..beat.clone() };
        let of_expression = ConsumerGroupHeartbeatRequest {
            subscribed_topic_regex: Some("(".repeat(STRING_BYTES_MAX)),
            ..beat.clone()
        };
        for request in [of_assignor, of_expression] {
            let answer = loop {
                let answer = ask(&socket, &request, 1).await;
                if answer.error_code != ErrorCode::CoordinatorLoadInProgress.code() {
                    break answer;
                }
            };
            assert_ne!(answer.error_code, 0);
            assert!(answer.error_message.is_some());
        }
    });
}

/// The ids of members are made of them, and the group's log has them.
#[test]
fn members_have_clients_with_such_names() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        while ask(&socket, &FindCoordinatorRequest { key: "g".to_owned(), ..FindCoordinatorRequest::default() }, 3)
            .await
            .error_code
            != 0
        {}
        let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: Vec::new() };
        let join = |instance: Option<String>, group: &str| JoinGroupRequest {
            group_id: group.to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 10_000,
            group_instance_id: instance,
            protocol_type: "consumer".to_owned(),
            protocols: vec![protocol.clone()],
            ..JoinGroupRequest::default()
        };
        let long = longest();
        for (version, request) in [(9, join(None, "g")), (3, join(None, "a")), (5, join(Some(long.clone()), "b"))] {
            let answer = loop {
                socket
                    .send(vec![frame_of(Some(&long), &request, version)[..].into()])
                    .await
                    .expect("the broker is there");
                let answer = receive::<JoinGroupRequest>(&socket, version).await.expect("an answer");
                if answer.error_code != ErrorCode::CoordinatorLoadInProgress.code() {
                    break answer;
                }
            };
            let expected = if version == 9 { ErrorCode::MemberIdRequired } else { ErrorCode::None };
            assert_eq!(ErrorCode::from_wire(answer.error_code), expected);
            assert_eq!(answer.member_id.len(), STRING_BYTES_MAX);
        }
    });
}

#[test]
fn lists_grow_no_longer_than_that() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let (first, second) = ("a".repeat(20_000), "b".repeat(20_000));
        let key = "metrics";
        assert_eq!(change(&socket, CLIENT_METRICS, "s", (key, &first), APPEND).await.0, ErrorCode::None);
        let (code, message) = change(&socket, CLIENT_METRICS, "s", (key, &second), APPEND).await;
        assert_eq!(code, ErrorCode::InvalidRequest);
        assert_eq!(message.as_deref(), Some("the value of metrics would be 40001 bytes long; expected 32767 at most"));
        // What is asked for many times is told once.
        let request = ListConfigResourcesRequest { resource_types: vec![CLIENT_METRICS; 100] };
        assert_eq!(ask(&socket, &request, 1).await.config_resources.len(), 1);
    });
}
