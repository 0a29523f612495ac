//! `AlterUserScramCredentials`, version 0 (KIP-554).

use std::collections::BTreeSet;

use ringlog_cluster::metadata::{AlterScram, ScramError, ScramUpsertion};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_user_scram_credentials::{
    AlterUserScramCredentialsRequest, AlterUserScramCredentialsResponse, AlterUserScramCredentialsResult,
};

use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: AlterUserScramCredentialsRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let asked = asked(request);
        // Who is told so if nothing can be decided.
        let users: BTreeSet<_> = asked.iter().map(|change| change.user.clone()).collect();
        let results = match decide(&shard, move |metadata, _| metadata.alter_scram(&asked)).await {
            Ok(reply) => reply.into_iter().map(|(user, result)| answer(user, result)).collect(),
            Err(code) => users.into_iter().map(|user| told(user, code, Some(code.message().to_owned()))).collect(),
        };
        respond(&AlterUserScramCredentialsResponse { throttle_time_ms: 0, results }, version)
    }))
}

fn asked(request: AlterUserScramCredentialsRequest) -> Vec<AlterScram> {
    let deletions = request.deletions.into_iter();
    let deletions = deletions.map(|it| AlterScram { user: it.name, mechanism: it.mechanism, upsertion: None });
    let upsertions = request.upsertions.into_iter().map(|it| {
        let upsertion =
            ScramUpsertion { iterations: it.iterations, salt: it.salt, salted_password: it.salted_password };
        AlterScram { user: it.name, mechanism: it.mechanism, upsertion: Some(upsertion) }
    });
    deletions.chain(upsertions).collect()
}

fn answer(user: String, result: Result<(), ScramError>) -> AlterUserScramCredentialsResult {
    match result {
        Ok(()) => told(user, ErrorCode::None, None),
        Err(error) => told(user, error.code(), Some(error.to_string())),
    }
}

fn told(user: String, code: ErrorCode, error_message: Option<String>) -> AlterUserScramCredentialsResult {
    AlterUserScramCredentialsResult { user, error_code: code.code(), error_message }
}
