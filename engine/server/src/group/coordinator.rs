//! The coordinators of groups: where they are, and requests to them that bear with their moving and starting.

use std::time::Duration;

use anyhow::bail;
use ringlog_net::client::Target;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::Request;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_reactor::Instant;
use ringlog_storage::types::BrokerId;

use crate::session::{Session, refusal};

/// How long a coordinator may take to be there: the first one that is ever looked for makes its topic.
const COORDINATOR_TIME_MAX: Duration = Duration::from_secs(15);
/// Pause between two looks for it.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The kind of coordinator that groups have.
const GROUP: i8 = 0;

/// Sends a request to the coordinator of a group, and again while that one moves or starts. `code_of` finds the error in a
/// response that tells so. Answers who coordinates, and the response.
pub(crate) async fn ask<R: Request + Clone + 'static>(
    session: &Session,
    group: &str,
    request: &R,
    code_of: impl Fn(&R::Response) -> i16,
) -> anyhow::Result<(BrokerId, R::Response)> {
    let give_up_at = session.driver.reactor().now() + COORDINATOR_TIME_MAX;
    loop {
        let coordinator = find(session, group, give_up_at).await?;
        let response = session.call(Target::Broker(coordinator), request.clone()).await?;
        if !is_passing(code_of(&response)) || session.driver.reactor().now() > give_up_at {
            return Ok((coordinator, response));
        }
        session.driver.reactor().sleep(RETRY_PAUSE).await;
    }
}

/// Sends a request about all of its groups to one broker, and again while that one starts.
pub(crate) async fn ask_broker<R: Request + Clone + 'static>(
    session: &Session,
    broker: BrokerId,
    request: &R,
    code_of: impl Fn(&R::Response) -> i16,
) -> anyhow::Result<R::Response> {
    let give_up_at = session.driver.reactor().now() + COORDINATOR_TIME_MAX;
    loop {
        let response = session.call(Target::Broker(broker), request.clone()).await?;
        if !is_passing(code_of(&response)) || session.driver.reactor().now() > give_up_at {
            return Ok(response);
        }
        session.driver.reactor().sleep(RETRY_PAUSE).await;
    }
}

fn is_passing(code: i16) -> bool {
    matches!(
        ErrorCode::from_wire(code),
        ErrorCode::CoordinatorLoadInProgress | ErrorCode::CoordinatorNotAvailable | ErrorCode::NotCoordinator
    )
}

async fn find(session: &Session, group: &str, give_up_at: Instant) -> anyhow::Result<BrokerId> {
    loop {
        let keys = vec![group.to_owned()];
        let request =
            FindCoordinatorRequest { key_type: GROUP, coordinator_keys: keys, ..FindCoordinatorRequest::default() };
        let response = session.call(Target::Any, request).await?;
        let Some(found) = response.coordinators.into_iter().next() else {
            bail!("the broker does not tell who coordinates group {group}");
        };
        match ErrorCode::from_wire(found.error_code) {
            ErrorCode::None => return Ok(BrokerId::new(found.node_id)),
            _ if is_passing(found.error_code) && session.driver.reactor().now() <= give_up_at => {}
            error => {
                let said = found.error_message.filter(|said| !said.is_empty());
                bail!(refusal(&format!("coordinator of group {group}"), error, said.as_deref()));
            }
        }
        session.driver.reactor().sleep(RETRY_PAUSE).await;
    }
}
