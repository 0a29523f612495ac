//! `UnregisterController`: of the one controller, which stays.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use ringlog_net::messages::unregister_controller::UnregisterControllerRequest;

use crate::session::{every_version, expect};

#[test]
fn every_version_keeps_the_one_controller() {
    every_version(ApiKey::UnregisterController, |session, version| {
        let node = session.ask(0, &DescribeClusterRequest::default()).controller_id;
        for (controller_id, code) in [
            (node, ErrorCode::InvalidRequest),
            (99, ErrorCode::ControllerIdNotRegistered),
            (-1, ErrorCode::ControllerIdNotRegistered),
        ] {
            let response = session.ask(version, &UnregisterControllerRequest { controller_id });
            expect(response.error_code, code);
            assert!(response.error_message.is_some());
        }
    });
}
