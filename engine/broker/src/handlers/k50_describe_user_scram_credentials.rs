//! `DescribeUserScramCredentials`, version 0 (KIP-554): mechanisms and iterations, and nothing that is secret.

use std::collections::BTreeMap;

use ringlog_cluster::image::{Image, ScramCredential, ScramMechanism};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_user_scram_credentials::{
    CredentialInfo, DescribeUserScramCredentialsRequest, DescribeUserScramCredentialsResponse,
    DescribeUserScramCredentialsResult, UserName,
};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeUserScramCredentialsRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let results = match request.users.as_deref() {
        None | Some([]) => all(&image),
        Some(users) => named(&image, users),
    };
    let response = DescribeUserScramCredentialsResponse { results, ..DescribeUserScramCredentialsResponse::default() };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn all(image: &Image) -> Vec<DescribeUserScramCredentialsResult> {
    let mut results: Vec<DescribeUserScramCredentialsResult> = Vec::new();
    for (user, mechanism, credential) in image.scram_credentials() {
        let info = CredentialInfo { mechanism: mechanism.wire_code(), iterations: credential.iterations };
        // They come user by user.
        match results.last_mut().filter(|last| *last.user == **user) {
            Some(last) => last.credential_infos.push(info),
            None => results.push(DescribeUserScramCredentialsResult {
                user: user.to_string(),
                credential_infos: vec![info],
                ..DescribeUserScramCredentialsResult::default()
            }),
        }
    }
    results
}

fn named(image: &Image, users: &[UserName]) -> Vec<DescribeUserScramCredentialsResult> {
    let mut times: BTreeMap<&str, usize> = BTreeMap::new();
    for user in users {
        *times.entry(&user.name).or_default() += 1;
    }
    times.into_iter().map(|(user, times)| of_user(image, user, times)).collect()
}

fn of_user(image: &Image, user: &str, times: usize) -> DescribeUserScramCredentialsResult {
    let info = |(mechanism, credential): (ScramMechanism, &ScramCredential)| CredentialInfo {
        mechanism: mechanism.wire_code(),
        iterations: credential.iterations,
    };
    let credential_infos: Vec<_> = image.scram_credentials_of(user).map(info).collect();
    let refused = |code: ErrorCode, why: &str| DescribeUserScramCredentialsResult {
        user: user.to_owned(),
        error_code: code.code(),
        error_message: Some(why.to_owned()),
        credential_infos: Vec::new(),
    };
    if times > 1 {
        refused(ErrorCode::DuplicateResource, "the request names the user twice")
    } else if credential_infos.is_empty() {
        refused(ErrorCode::ResourceNotFound, "the user has no credentials")
    } else {
        DescribeUserScramCredentialsResult {
            user: user.to_owned(),
            credential_infos,
            ..DescribeUserScramCredentialsResult::default()
        }
    }
}
