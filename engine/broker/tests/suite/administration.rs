//! Requests of administrators that the tests of other requests do not need.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_configs::{AlterConfigsRequest, AlterConfigsResource, AlterableConfig};
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::elect_leaders::{ElectLeadersRequest, TopicPartitions};
use ringlog_net::messages::list_config_resources::ListConfigResourcesRequest;
use ringlog_reactor::Socket;

use crate::{Broker, PARTITIONS, TOPIC, ask, connect, create_topic};

const TOPIC_RESOURCE: i8 = 2;
/// Where a value of a topic comes from: its own setting.
const OF_TOPIC: i8 = 1;

/// Sets what the topic is to have of its own.
async fn alter(socket: &Socket, topic: &str, settings: &[(&str, Option<&str>)], validate_only: bool) -> ErrorCode {
    let config = |(name, value): &(&str, Option<&str>)| AlterableConfig {
        name: (*name).to_owned(),
        value: value.map(str::to_owned),
    };
    let resource = AlterConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: topic.to_owned(),
        configs: settings.iter().map(config).collect(),
    };
    let response = ask(socket, &AlterConfigsRequest { resources: vec![resource], validate_only }, 2).await;
    ErrorCode::from_wire(response.responses[0].error_code)
}

/// What the topic has of its own.
async fn own_settings(socket: &Socket) -> Vec<(String, Option<String>)> {
    let resource = DescribeConfigsResource {
        resource_type: TOPIC_RESOURCE,
        resource_name: TOPIC.to_owned(),
        configuration_keys: None,
    };
    let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
    let mut response = ask(socket, &request, 4).await;
    let configs = response.results.remove(0).configs.into_iter();
    configs.filter(|config| config.config_source == OF_TOPIC).map(|config| (config.name, config.value)).collect()
}

#[test]
fn alter_configs_takes_away_what_it_does_not_name() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let own = |key: &str, value: &str| vec![(key.to_owned(), Some(value.to_owned()))];
        let first = [("retention.ms", Some("1000"))];
        assert_eq!(alter(&socket, TOPIC, &first, true).await, ErrorCode::None);
        assert_eq!(own_settings(&socket).await, []);
        assert_eq!(alter(&socket, TOPIC, &first, false).await, ErrorCode::None);
        assert_eq!(own_settings(&socket).await, own("retention.ms", "1000"));
        assert_eq!(alter(&socket, TOPIC, &[("segment.ms", Some("5000"))], false).await, ErrorCode::None);
        assert_eq!(own_settings(&socket).await, own("segment.ms", "5000"));
        for (topic, settings, code) in [
            (TOPIC, [("segment.bytes", Some("200"))], ErrorCode::InvalidConfig),
            (TOPIC, [("segment.ms", None)], ErrorCode::InvalidRequest),
            ("nowhere", [("segment.ms", Some("1"))], ErrorCode::UnknownTopicOrPartition),
        ] {
            assert_eq!(alter(&socket, topic, &settings, false).await, code, "{settings:?}");
        }
        assert_eq!(own_settings(&socket).await, own("segment.ms", "5000"));
        assert_eq!(alter(&socket, TOPIC, &[], false).await, ErrorCode::None);
        assert_eq!(own_settings(&socket).await, []);
    });
}

#[test]
fn no_election_is_needed() {
    let mut broker = Broker::start(1, &[]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let asked = vec![TopicPartitions { topic: TOPIC.to_owned(), partitions: vec![0, PARTITIONS] }];
        for election_type in [0, 1] {
            let request =
                ElectLeadersRequest { election_type, topic_partitions: Some(asked.clone()), ..Default::default() };
            let response = ask(&socket, &request, 2).await;
            let results = &response.replica_election_results[0].partition_result;
            let codes: Vec<_> = results.iter().map(|result| ErrorCode::from_wire(result.error_code)).collect();
            assert_eq!(codes, [ErrorCode::ElectionNotNeeded, ErrorCode::UnknownTopicOrPartition]);
        }
        let all = ElectLeadersRequest { topic_partitions: None, ..ElectLeadersRequest::default() };
        let response = ask(&socket, &all, 2).await;
        let results = response.replica_election_results;
        assert_eq!((response.error_code, results.len(), &*results[0].topic), (0, 1, TOPIC));
        assert_eq!(results[0].partition_result, []);
        let unknown = ElectLeadersRequest { election_type: 2, ..ElectLeadersRequest::default() };
        assert_eq!(ErrorCode::from_wire(ask(&socket, &unknown, 2).await.error_code), ErrorCode::InvalidRequest);
    });
}

#[test]
fn what_can_be_configured_is_listed() {
    let mut broker = Broker::start(1, &["node.id=7"]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        let socket = connect(&reactor, address).await;
        create_topic(&socket).await;
        let list = async |resource_types: &[i8], version| {
            let request = ListConfigResourcesRequest { resource_types: resource_types.to_vec() };
            let response = ask(&socket, &request, version).await;
            let resources = response.config_resources.into_iter();
            let resources: Vec<_> =
                resources.map(|resource| (resource.resource_type, resource.resource_name)).collect();
            (ErrorCode::from_wire(response.error_code), resources)
        };
        let (topic, broker, logger) = ((2, TOPIC.to_owned()), (4, "7".to_owned()), (8, "7".to_owned()));
        assert_eq!(list(&[], 1).await, (ErrorCode::None, vec![topic.clone(), broker.clone(), logger]));
        assert_eq!(list(&[4, 32, 2], 1).await, (ErrorCode::None, vec![broker, topic]));
        assert_eq!(list(&[3], 1).await, (ErrorCode::UnsupportedVersion, vec![]));
        assert_eq!(list(&[], 0).await, (ErrorCode::None, vec![]));
    });
}
