//! `AddRaftVoter`, versions 0 and 1 (KIP-853). The quorum has one voter, and no other can be reached that would join it.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::add_raft_voter::{AddRaftVoterRequest, AddRaftVoterResponse};
use ringlog_storage::types::{BrokerId, Uuid};

use super::k55_describe_quorum::node;
use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AddRaftVoterRequest = incoming.decode()?;
    let shard = incoming.connection.shard();
    let settings = shard.settings();
    let listener = node(shard).listeners.into_iter().next().map(|listener| listener.name).unwrap_or_default();
    let quorum = Quorum { cluster_id: &settings.cluster_id, voter: settings.broker.node_id, listener: &listener };
    let (code, message) = quorum.refusal(&request);
    let response = AddRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..AddRaftVoterResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

/// The quorum as somebody finds it who wants to join.
struct Quorum<'a> {
    cluster_id: &'a str,
    voter: BrokerId,
    /// The listener that voters reach each other through.
    listener: &'a str,
}

impl Quorum<'_> {
    fn refusal(&self, request: &AddRaftVoterRequest) -> (ErrorCode, String) {
        if request.cluster_id.as_deref().is_some_and(|id| id != self.cluster_id) {
            let code = ErrorCode::InconsistentClusterId;
            (code, code.message().to_owned())
        } else if request.voter_id < 0 || request.voter_directory_id == Uuid::ZERO {
            (ErrorCode::InvalidRequest, "a voter has an id from 0 on and a directory id; name both".to_owned())
        } else if !request.listeners.iter().any(|listener| listener.name == self.listener) {
            (
                ErrorCode::InvalidRequest,
                format!("the voter's listener {} is missing; name its host and port", self.listener),
            )
        } else if request.voter_id == self.voter.get() {
            (ErrorCode::DuplicateVoter, format!("{} is a voter already", self.voter))
        } else {
            let text = format!("voter {} does not answer; this release runs as a quorum of one", request.voter_id);
            (ErrorCode::RequestTimedOut, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use ringlog_net::messages::add_raft_voter::Listener;

    use super::*;

    #[test]
    fn nobody_can_join() {
        let quorum = Quorum { cluster_id: "ours", voter: BrokerId::new(1), listener: "CONTROLLER" };
        let check = |cluster_id: Option<&str>, voter_id, directory, listener: &str, expected| {
            let listener = Listener { name: listener.to_owned(), host: "localhost".to_owned(), port: 1 };
            let request = AddRaftVoterRequest {
                cluster_id: cluster_id.map(str::to_owned),
                voter_id,
                voter_directory_id: Uuid::from_u128(directory),
                listeners: vec![listener],
                ..AddRaftVoterRequest::default()
            };
            assert_eq!(quorum.refusal(&request).0, expected, "{request:?}");
        };
        check(Some("theirs"), 2, 7, "CONTROLLER", ErrorCode::InconsistentClusterId);
        check(Some("ours"), -1, 7, "CONTROLLER", ErrorCode::InvalidRequest);
        check(Some("ours"), 2, 0, "CONTROLLER", ErrorCode::InvalidRequest);
        check(Some("ours"), 2, 7, "PLAINTEXT", ErrorCode::InvalidRequest);
        check(Some("ours"), 1, 7, "PLAINTEXT", ErrorCode::InvalidRequest);
        check(None, 1, 7, "CONTROLLER", ErrorCode::DuplicateVoter);
        check(None, 2, 7, "CONTROLLER", ErrorCode::RequestTimedOut);
    }
}
