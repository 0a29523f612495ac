//! How a group goes from one protocol to the other while it has members (KIP-848), as far as
//! `group.consumer.migration.policy` allows it. A classic group becomes a consumer group when the first member of the
//! consumer protocol joins it; the classic members stay in it as they are. It becomes a classic group again when the last
//! member of the consumer protocol goes.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::GroupRecord;
use ringlog_net::messages::join_group::JoinGroupRequest;

use super::classic::ClassicGroup;
use super::consumer;
use super::embedded::CONSUMER_PROTOCOL_TYPE;
use super::{GroupId, Groups, MemberId, Session, Turn};

/// A member of the classic protocol, whichever group it is in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Migrant {
    pub(super) id: MemberId,
    pub(super) instance_id: Option<String>,
    pub(super) client_id: String,
    pub(super) client_host: String,
    pub(super) rebalance_timeout_ms: i32,
    pub(super) session_timeout_ms: i32,
    /// The names of its protocols, each with its subscription; the one that it prefers first.
    pub(super) protocols: Vec<(String, Vec<u8>)>,
    /// What it has been given.
    pub(super) assignment: Vec<u8>,
}

impl Groups {
    /// What makes a consumer group of a classic one that somebody of the consumer protocol joins. A group without members
    /// only gives its name.
    pub(super) fn upgrade(
        &self,
        turn: &Turn<'_>,
        id: &GroupId,
        classic: &ClassicGroup,
    ) -> Result<Vec<GroupRecord>, ErrorCode> {
        let mut records = Vec::new();
        if self.state.classic(id).is_some() {
            records.push(Self::tombstone(id));
        }
        if classic.is_empty() {
            return Ok(records);
        }
        let members = classic.migrants();
        let most = usize::try_from(turn.config.consumer_members_max).unwrap_or(usize::MAX);
        let is_possible = turn.config.migration.upgrades
            && classic.protocol_type() == CONSUMER_PROTOCOL_TYPE
            && members.len() <= most;
        let converted = is_possible
            .then(|| consumer::upgraded(turn, id, classic.generation(), &members))
            .flatten()
            .ok_or(ErrorCode::GroupIdNotFound)?;
        records.extend(converted);
        Ok(records)
    }

    /// Makes a classic group of those who stay in a consumer group when `gone` have gone, if that is allowed, and if all of
    /// them are of the classic protocol. Answers whether it has.
    pub(super) fn downgrade(&mut self, turn: &mut Turn<'_>, id: &GroupId, gone: &BTreeSet<MemberId>) -> bool {
        let Some(group) = self.state.consumer(id).filter(|_| turn.config.migration.downgrades) else { return false };
        let Some(members) = group.migrants(turn.image, gone) else { return false };
        let is_small = i64::try_from(members.len()).is_ok_and(|count| count <= turn.config.classic_members_max);
        if members.is_empty() || !is_small {
            return false;
        }
        let now = turn.now.wall;
        let Some(classic) = ClassicGroup::of_migrants(Arc::clone(id), group.epoch(), members, now) else {
            return false;
        };
        turn.decision.records.extend(group.tombstones(id));
        turn.decision.records.push(classic.record());
        self.become_classic(turn, id, classic);
        true
    }

    /// Makes a classic group of a consumer group that somebody of the classic protocol joins: of one without members, and of
    /// one whose only member of the consumer protocol is the static member that it takes the place of. Answers whether it
    /// has; if not, it may join the consumer group.
    pub(super) fn give_to_classic_member(
        &mut self,
        turn: &mut Turn<'_>,
        id: &GroupId,
        request: &JoinGroupRequest,
    ) -> Result<bool, ErrorCode> {
        let Some(group) = self.state.consumer(id).filter(|group| !group.is_empty()) else {
            self.end_consumer_group(turn, id);
            return Ok(true);
        };
        self.check_classic_join(turn, request)?;
        let instance = request.group_instance_id.as_deref().filter(|_| request.member_id.is_empty());
        let Some(replaced) = instance.and_then(|instance| group.consumer_of_instance(instance)) else {
            return Ok(false);
        };
        let gone = BTreeSet::from([Arc::clone(replaced)]);
        if group.len() == gone.len() && turn.config.migration.downgrades {
            self.end_consumer_group(turn, id);
            return Ok(true);
        }
        Ok(self.downgrade(turn, id, &gone))
    }

    /// The group has no members any more, or none that stays. Its name is a classic group's from now on.
    fn end_consumer_group(&mut self, turn: &mut Turn<'_>, id: &GroupId) {
        turn.decision.records.extend(self.state.consumer(id).map(|group| group.tombstones(id)).into_iter().flatten());
        let classic = ClassicGroup::new(Arc::clone(id), turn.now.wall);
        self.become_classic(turn, id, classic);
    }

    fn become_classic(&mut self, turn: &mut Turn<'_>, id: &GroupId, mut classic: ClassicGroup) {
        // Before the others begin: the alarms of both have the members' names.
        if let Some(Session::Consumer(before)) = self.sessions.remove(id) {
            before.close(turn, id);
        }
        if !classic.is_empty() {
            classic.begin(turn);
        }
        self.sessions.insert(Arc::clone(id), Session::Classic(Box::new(classic)));
    }
}
