//! `RemoveRaftVoter`, version 0 (KIP-853). The last voter of a quorum cannot go, and there is no other.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::remove_raft_voter::{RemoveRaftVoterRequest, RemoveRaftVoterResponse};
use ringlog_storage::types::Uuid;

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: RemoveRaftVoterRequest = incoming.decode()?;
    let code = refusal(&request, &incoming.connection.shard().settings().cluster_id);
    let response = RemoveRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..RemoveRaftVoterResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn refusal(request: &RemoveRaftVoterRequest, cluster_id: &str) -> ErrorCode {
    if request.cluster_id.as_deref().is_some_and(|id| id != cluster_id) {
        ErrorCode::InconsistentClusterId
    } else if request.voter_id < 0 || request.voter_directory_id == Uuid::ZERO {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::VoterNotFound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_go() {
        let check = |cluster_id: Option<&str>, voter_id, directory, expected| {
            let cluster_id = cluster_id.map(str::to_owned);
            let voter_directory_id = Uuid::from_u128(directory);
            let request = RemoveRaftVoterRequest { cluster_id, voter_id, voter_directory_id };
            assert_eq!(refusal(&request, "ours"), expected, "{request:?}");
        };
        check(Some("theirs"), 1, 7, ErrorCode::InconsistentClusterId);
        check(Some("ours"), -1, 7, ErrorCode::InvalidRequest);
        check(Some("ours"), 1, 0, ErrorCode::InvalidRequest);
        check(Some("ours"), 1, 7, ErrorCode::VoterNotFound);
        check(None, 1, 7, ErrorCode::VoterNotFound);
    }
}
