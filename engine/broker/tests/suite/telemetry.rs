//! Metrics of clients, where somebody wants to know them.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::ApiVersionsRequest;
use ringlog_net::messages::get_telemetry_subscriptions::GetTelemetrySubscriptionsRequest;
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::push_telemetry::PushTelemetryRequest;
use ringlog_reactor::Socket;

use crate::{Broker, ask, connect};

const CLIENT_METRICS: i8 = 16;

async fn advertised(socket: &Socket) -> bool {
    let request = ApiVersionsRequest {
        client_software_name: "suite".to_owned(),
        client_software_version: "1.2".to_owned(),
        ..ApiVersionsRequest::default()
    };
    let keys = ask(socket, &request, 4).await.api_keys;
    let has = |key: ApiKey| keys.iter().any(|row| row.api_key == key.code());
    assert_eq!(has(ApiKey::GetTelemetrySubscriptions), has(ApiKey::PushTelemetry));
    has(ApiKey::PushTelemetry)
}

async fn subscribe(socket: &Socket) {
    let settings = [("metrics", "org.a"), ("match", "client_software_name=suite,client_software_version=1\\.2")];
    let config = |(name, value): (&str, &str)| AlterableConfig {
        name: name.to_owned(),
        config_operation: 0,
        value: Some(value.to_owned()),
    };
    let resource = AlterConfigsResource {
        resource_type: CLIENT_METRICS,
        resource_name: "of-the-suite".to_owned(),
        configs: settings.map(config).to_vec(),
    };
    let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
    let response = ask(socket, &request, 1).await;
    assert_eq!(ErrorCode::from_wire(response.responses[0].error_code), ErrorCode::None);
}

#[test]
fn clients_are_told_of_telemetry_only_where_it_goes_somewhere() {
    for (settings, expected) in [(&[][..], false), (&["ringlog.telemetry=log"], true)] {
        let mut broker = Broker::start(1, settings);
        let address = broker.address();
        broker.sim.block_on("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            assert_eq!(advertised(&socket).await, expected);
            subscribe(&socket).await;
            // Its software counts only where it was asked for.
            let told = ask(&socket, &GetTelemetrySubscriptionsRequest::default(), 0).await;
            assert_eq!(told.requested_metrics, if expected { vec!["org.a".to_owned()] } else { Vec::new() });
        });
    }
}

#[test]
fn metrics_are_read_before_a_push_is_answered() {
    let mut broker = Broker::start(1, &["ringlog.telemetry=log", "telemetry.max.bytes=100"]);
    let address = broker.address();
    broker.sim.block_on("client", move |reactor| async move {
        // Connections spread over the shards, and all of them know what one was told.
        let sockets =
            [connect(&reactor, address).await, connect(&reactor, address).await, connect(&reactor, address).await];
        for (metrics, code) in [
            (Vec::new(), ErrorCode::None),
            // A resource without metrics.
            (vec![0x0a, 0], ErrorCode::None),
            (vec![0x0a, 1], ErrorCode::InvalidRecord),
            (vec![0; 101], ErrorCode::TelemetryTooLarge),
        ] {
            let told = ask(&sockets[0], &GetTelemetrySubscriptionsRequest::default(), 0).await;
            assert_eq!(told.telemetry_max_bytes, 100);
            let push = PushTelemetryRequest {
                client_instance_id: told.client_instance_id,
                subscription_id: told.subscription_id,
                metrics,
                ..PushTelemetryRequest::default()
            };
            let pushed = ask(&sockets[1], &push, 0).await;
            assert_eq!(ErrorCode::from_wire(pushed.error_code), code, "{push:?}");
            let again = ask(&sockets[2], &push, 0).await;
            assert_eq!(ErrorCode::from_wire(again.error_code), ErrorCode::ThrottlingQuotaExceeded);
        }
    });
}
