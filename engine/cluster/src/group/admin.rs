//! What administrators ask: which groups there are, who is in them, and to delete one.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_describe::DescribedGroup as DescribedConsumerGroup;
use ringlog_net::messages::delete_groups::DeletableGroupResult;
use ringlog_net::messages::describe_groups::DescribedGroup;
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListedGroup};

use super::consumer::ConsumerGroup;
use super::embedded::CONSUMER_PROTOCOL_TYPE;
use super::offsets::tombstone;
use super::request::Caller;
use super::{Groups, Session, Turn};

/// From this version on a group that is not there is an error (KIP-1043); before, it is a dead one.
const MISSING_IS_AN_ERROR_VERSION_MIN: i16 = 6;
/// The state of a group that is not there.
const DEAD: &str = "Dead";
/// The type of groups whose members assign partitions themselves.
const CLASSIC: &str = "Classic";

/// The type of groups whose partitions the coordinator assigns.
const CONSUMER: &str = "Consumer";

impl Groups {
    pub(super) fn describe(&self, caller: &Caller, group: &str) -> DescribedGroup {
        let message = match self.sessions.get(group) {
            Some(Session::Classic(classic)) => return classic.describe(),
            Some(Session::Consumer(_)) => format!("Group {group} is not a classic group."),
            None => format!("Group {group} not found."),
        };
        let missing =
            DescribedGroup { group_id: group.to_owned(), group_state: DEAD.to_owned(), ..DescribedGroup::default() };
        if caller.api_version < MISSING_IS_AN_ERROR_VERSION_MIN {
            return missing;
        }
        DescribedGroup { error_code: ErrorCode::GroupIdNotFound.code(), error_message: Some(message), ..missing }
    }

    pub(super) fn describe_consumer_group(&self, turn: &Turn<'_>, group: &str) -> DescribedConsumerGroup {
        let message = match self.sessions.get(group) {
            Some(Session::Consumer(_)) => {
                let nothing = ConsumerGroup::default();
                let of = self.state.consumer(group).unwrap_or(&nothing);
                return of.describe(turn.image, group, turn.config.default_assignor());
            }
            Some(Session::Classic(_)) => format!("Group {group} is not a consumer group."),
            None => format!("Group {group} not found."),
        };
        DescribedConsumerGroup {
            error_code: ErrorCode::GroupIdNotFound.code(),
            error_message: Some(message),
            group_id: group.to_owned(),
            ..DescribedConsumerGroup::default()
        }
    }

    /// The groups in the states and of the types asked for; without any, all.
    pub(super) fn list(&self, request: &ListGroupsRequest) -> Vec<ListedGroup> {
        let is_asked_for = |filter: &[String], name: &str| {
            filter.is_empty() || filter.iter().any(|asked| asked.eq_ignore_ascii_case(name))
        };
        let listed = self.sessions.iter().map(|(id, session)| match session {
            Session::Classic(group) => (id, CLASSIC, group.state_name(), group.protocol_type()),
            Session::Consumer(_) => {
                let state = self.state.consumer(id).map_or("Empty", ConsumerGroup::state_name);
                (id, CONSUMER, state, CONSUMER_PROTOCOL_TYPE)
            }
        });
        let asked_for = listed.filter(|(_, group_type, state, _)| {
            is_asked_for(&request.types_filter, group_type) && is_asked_for(&request.states_filter, state)
        });
        let listed = asked_for.map(|(id, group_type, state, protocol_type)| ListedGroup {
            group_id: id.to_string(),
            protocol_type: protocol_type.to_owned(),
            group_state: state.to_owned(),
            group_type: group_type.to_lowercase(),
        });
        listed.collect()
    }

    /// Deletes a group without members, and its offsets. If there are more of those than one decision takes, it has to be
    /// asked for again.
    pub(super) fn delete(&mut self, turn: &mut Turn<'_>, group: String) -> DeletableGroupResult {
        let is_empty = match self.sessions.get(group.as_str()) {
            Some(Session::Classic(classic)) => Some(classic.is_empty()),
            Some(Session::Consumer(_)) => Some(self.state.consumer(&group).is_none_or(ConsumerGroup::is_empty)),
            None => None,
        };
        let code = match is_empty {
            None => ErrorCode::GroupIdNotFound,
            Some(false) => ErrorCode::NonEmptyGroup,
            Some(true) if self.delete_all_offsets(turn, &group) => {
                self.end_group(turn, &group.as_str().into());
                ErrorCode::None
            }
            Some(true) => ErrorCode::CoordinatorLoadInProgress,
        };
        DeletableGroupResult { group_id: group, error_code: code.code(), ..DeletableGroupResult::default() }
    }

    /// Deletes as many offsets of a group as one decision takes. Answers whether those are all.
    fn delete_all_offsets(&self, turn: &mut Turn<'_>, group: &str) -> bool {
        for (topic, partitions) in self.state.offsets(group).into_iter().flatten() {
            for index in partitions.keys() {
                if turn.is_full() {
                    return false;
                }
                turn.decision.records.push(tombstone(group, topic, *index));
            }
        }
        true
    }
}
