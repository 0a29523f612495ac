//! `ringlog group delete`.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_groups::DeleteGroupsRequest;
use serde::Serialize;

use super::coordinator;
use super::membership::missing;
use crate::diagnostics::several;
use crate::output::{self, Form};
use crate::printable::printable;
use crate::session::{Session, refusal};

/// A group that is gone.
#[derive(Debug, Serialize)]
struct Deleted {
    group: String,
    result: &'static str,
}

/// Deletes what can be deleted; what cannot is the command's error.
pub(super) async fn delete(session: &Session, form: Form, groups: &[String]) -> anyhow::Result<()> {
    let (mut deleted, mut refused) = (Vec::new(), Vec::new());
    for group in groups {
        match delete_one(session, group).await {
            Ok(()) => deleted.push(Deleted { group: group.clone(), result: "deleted" }),
            Err(error) => refused.push(error),
        }
    }
    let line = |each: &Deleted| format!("deleted {}\n", printable(&each.group));
    output::print(form, &deleted, |deleted| deleted.iter().map(line).collect())?;
    if refused.is_empty() { Ok(()) } else { Err(several(refused)) }
}

async fn delete_one(session: &Session, group: &str) -> anyhow::Result<()> {
    let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
    let code_of = |response: &<DeleteGroupsRequest as ringlog_net::messages::Request>::Response| {
        response.results.first().map_or(0, |result| result.error_code)
    };
    let (_, response) = coordinator::ask(session, group, &request, code_of).await?;
    let Some(result) = response.results.into_iter().next() else {
        anyhow::bail!("the broker does not tell what became of group {group}");
    };
    match ErrorCode::from_wire(result.error_code) {
        ErrorCode::None => Ok(()),
        ErrorCode::GroupIdNotFound => Err(missing(group)),
        ErrorCode::NonEmptyGroup => Err(anyhow::anyhow!(
            "group {group} has members; only a group without members can be deleted: stop its consumers first \
             (NON_EMPTY_GROUP)"
        )),
        error => Err(refusal(&format!("group {group}"), error, result.error_message.as_deref())),
    }
}
