//! What administrators ask: which groups there are, who is in them, and to delete one.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_groups::DeletableGroupResult;
use ringlog_net::messages::describe_groups::DescribedGroup;
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListedGroup};

use super::offsets::tombstone;
use super::request::Caller;
use super::{Groups, Turn};

/// From this version on a group that is not there is an error (KIP-1043); before, it is a dead one.
const MISSING_IS_AN_ERROR_VERSION_MIN: i16 = 6;
/// The state of a group that is not there.
const DEAD: &str = "Dead";
/// The type of groups whose members assign partitions themselves.
const CLASSIC: &str = "Classic";

impl Groups {
    pub(super) fn describe(&self, caller: &Caller, group: &str) -> DescribedGroup {
        if let Some(session) = self.sessions.get(group) {
            return session.describe();
        }
        let missing =
            DescribedGroup { group_id: group.to_owned(), group_state: DEAD.to_owned(), ..DescribedGroup::default() };
        if caller.api_version < MISSING_IS_AN_ERROR_VERSION_MIN {
            return missing;
        }
        DescribedGroup {
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(format!("Group {group} not found.")),
            ..missing
        }
    }

    /// The groups in the states and of the types asked for; without any, all.
    pub(super) fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let is_asked_for = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|asked| asked.eq_ignore_ascii_case(name))
        };
        if !is_asked_for(&request.types_filter, CLASSIC) {
            return Vec::new();
        }
        let asked_for =
            self.sessions.iter().filter(|(_, group)| is_asked_for(&request.states_filter, group.state_name()));
        let listed = asked_for.map(|(id, group)| ListedGroup {
            group_id: id.to_string(),
            protocol_type: group.protocol_type().to_owned(),
            group_state: group.state_name().to_owned(),
            group_type: CLASSIC.to_lowercase(),
        });
        listed.collect()
    }

    /// Deletes a group without members, and its offsets.
    pub(super) fn delete(&mut self, turn: &mut Turn<'_>, group: String) -> DeletableGroupResult {
        let code = match self.sessions.get(group.as_str()) {
            None => ErrorCode::GroupIdNotFound,
            Some(session) if !session.is_empty() => ErrorCode::NonEmptyGroup,
            Some(_) => ErrorCode::None,
        };
        if code == ErrorCode::None {
            for (topic, partitions) in self.state.offsets(&group).into_iter().flatten() {
                turn.decision.records.extend(partitions.keys().map(|index| tombstone(&group, topic, *index)));
            }
            if self.state.classic(&group).is_some() {
                turn.decision.records.push(Self::tombstone(&group));
            }
            self.sessions.remove(group.as_str());
        }
        DeletableGroupResult { group_id: group, error_code: code.code(), ..DeletableGroupResult::default() }
    }
}
