//! `UnregisterBroker`: of brokers that nobody knows. That Apache Kafka lets its only broker go, and then serves nobody, is
//! not asked for here.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::unregister_broker::UnregisterBrokerRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_knows_who_is_registered() {
    every_version(ApiKey::UnregisterBroker, |session, version| {
        for broker_id in [99, -1, i32::MAX] {
            let response = session.ask(version, &UnregisterBrokerRequest { broker_id });
            expect(response.error_code, ErrorCode::BrokerIdNotRegistered);
            assert!(response.error_message.is_some());
        }
    });
}
