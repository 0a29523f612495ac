//! The members of a classic group: how they come, stay and go.

use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::MemberMetadata;
use ringlog_net::messages::join_group::JoinGroupRequestProtocol;
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};

use super::{ClassicGroup, Member, NEW_MEMBER_JOIN_TIMEOUT, Phase, Wait, duration};
use crate::group::news::{MemberChange, reason};
use crate::group::timers::{Alarm, Owner};
use crate::group::{MemberId, Turn};

impl Member {
    /// A member as it was written down.
    pub(super) fn open(written: &MemberMetadata, protocol: &str) -> Self {
        let offered = JoinGroupRequestProtocol { name: protocol.to_owned(), metadata: written.subscription.clone() };
        let timeout = if written.rebalance_timeout < 0 { written.session_timeout } else { written.rebalance_timeout };
        Self {
            instance_id: written.group_instance_id.as_deref().map(Arc::from),
            client_id: written.client_id.clone(),
            client_host: written.client_host.clone(),
            rebalance_timeout: duration(timeout),
            session_timeout: duration(written.session_timeout),
            protocols: vec![offered],
            assignment: written.assignment.clone(),
            waits: None,
            is_new: false,
            has_synced: true,
            alarm: Alarm::default(),
        }
    }
}

impl ClassicGroup {
    /// The member has shown that it lives.
    pub(super) fn renew_session(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        let timeout = if member.is_new { NEW_MEMBER_JOIN_TIMEOUT } else { member.session_timeout };
        let owner = || Owner { group: Arc::clone(&self.id), member: Some(id.into()) };
        turn.timers.set(&mut member.alarm, turn.now.monotonic.saturating_add(timeout), owner);
    }

    /// A member's time is over, or that of somebody who was given an id and has not joined with it.
    pub(in crate::group) fn member_timeout(&mut self, turn: &mut Turn<'_>, id: &MemberId) {
        let owner = self.owner(Some(id));
        if let Some(alarm) = self.pending.alarm(id) {
            if turn.timers.is_due(alarm, turn.now.monotonic, || owner) {
                self.pending.remove(id);
                self.complete_join_if_all_have_joined(turn);
            }
            return;
        }
        let Some(member) = self.members.get_mut(id) else { return };
        if !turn.timers.is_due(&mut member.alarm, turn.now.monotonic, || owner) {
            return;
        }
        // Whoever waits for an answer cannot send heartbeats.
        if member.waits.is_some() && !member.is_new {
            self.renew_session(turn, id);
            return;
        }
        self.remove_member(turn, id, MemberChange::Silent);
        self.member_left(turn);
    }

    /// Members leave. Answers what became of each.
    pub(in crate::group) fn leave(
        &mut self,
        turn: &mut Turn<'_>,
        request: &LeaveGroupRequest,
    ) -> Vec<Result<(), ErrorCode>> {
        let members_before = self.members.len();
        let left = request.members.iter().map(|leaving| self.leave_one(turn, leaving)).collect();
        if self.members.len() < members_before {
            self.member_left(turn);
        } else {
            self.complete_join_if_all_have_joined(turn);
        }
        left
    }

    fn leave_one(&mut self, turn: &mut Turn<'_>, leaving: &MemberIdentity) -> Result<(), ErrorCode> {
        let instance = leaving.group_instance_id.as_deref();
        let left = MemberChange::Left(reason(leaving.reason.as_deref()));
        if leaving.member_id.is_empty() {
            // An administrator knows a static member by its instance alone.
            let id = instance.and_then(|instance| self.instances.get(instance)).ok_or(ErrorCode::UnknownMemberId)?;
            let id = Arc::clone(id);
            self.remove_member(turn, &id, left);
            return Ok(());
        }
        let id = MemberId::from(leaving.member_id.as_str());
        if instance.is_none()
            && let Some(alarm) = self.pending.remove(&id)
        {
            turn.timers.remove(&alarm, self.owner(Some(&id)));
            return Ok(());
        }
        self.check_member(&id, instance)?;
        self.remove_member(turn, &id, left);
        Ok(())
    }

    /// Takes a member out; if it waits, it is told that it is none any more.
    pub(super) fn remove_member(&mut self, turn: &mut Turn<'_>, id: &MemberId, why: MemberChange) {
        let Some(member) = self.members.remove(id) else { return };
        turn.tell(&self.id, id, [&member.client_id, &member.client_host], why);
        turn.timers.remove(&member.alarm, self.owner(Some(id)));
        if let Some(instance) = &member.instance_id {
            self.instances.remove(instance);
        }
        if let Some(waits) = member.waits {
            turn.refuse(waits.ticket(), ErrorCode::UnknownMemberId);
        }
        if self.leader.as_ref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
    }

    /// The others divide the work anew.
    fn member_left(&mut self, turn: &mut Turn<'_>) {
        match self.phase {
            Phase::Stable | Phase::CompletingRebalance => self.begin_rebalance(turn),
            Phase::Empty | Phase::PreparingRebalance(_) => self.complete_join_if_all_have_joined(turn),
        }
    }

    /// Gives an id to somebody who is to join with it.
    pub(super) fn add_pending(&mut self, turn: &mut Turn<'_>, id: MemberId, session_timeout_ms: i32) {
        let mut alarm = Alarm::default();
        let due = turn.now.monotonic.saturating_add(duration(session_timeout_ms));
        turn.timers.set(&mut alarm, due, || self.owner(Some(&id)));
        self.pending.insert(id, alarm);
    }

    /// Whether a member of these protocols can be in the group together with the others.
    pub(super) fn supports(&self, protocol_type: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        if self.members.is_empty() {
            return !protocol_type.is_empty() && !protocols.is_empty();
        }
        let is_offered_by_all = |name: &str| self.members.values().all(|member| member.metadata(name).is_some());
        self.protocol_type() == protocol_type && protocols.iter().any(|offered| is_offered_by_all(&offered.name))
    }

    /// The protocol that most members prefer among those that all of them have.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let is_common = |name: &str| self.members.values().all(|member| member.metadata(name).is_some());
        let mut votes: Vec<(&str, usize)> = Vec::new();
        let mut common: Vec<&str> = Vec::new();
        if let Some(first) = self.members.values().next() {
            common.extend(first.protocols.iter().map(|offered| offered.name.as_str()).filter(|name| is_common(name)));
        }
        for member in self.members.values() {
            let names = member.protocols.iter().map(|offered| offered.name.as_str());
            let Some(preferred) = names.into_iter().find(|name| common.contains(name)) else { continue };
            match votes.iter_mut().find(|(name, _)| *name == preferred) {
                Some((_, count)) => *count += 1,
                None => votes.push((preferred, 1)),
            }
        }
        // Of equals the one that was voted for first.
        votes.iter().rev().max_by_key(|(_, count)| *count).map(|(name, _)| (*name).to_owned())
    }

    /// Whether all members, and those who were given ids, have come to join.
    pub(super) fn have_all_joined(&self) -> bool {
        self.pending.is_empty() && self.members.values().all(Member::is_joining)
    }

    pub(super) fn joining(&self) -> usize {
        self.members.values().filter(|member| member.is_joining()).count()
    }

    /// Whether a member's join says what it said before.
    pub(super) fn is_unchanged(&self, id: &str, protocols: &[JoinGroupRequestProtocol]) -> bool {
        self.members.get(id).is_some_and(|member| member.protocols == protocols)
    }

    pub(super) fn wait_for_join(&mut self, turn: &mut Turn<'_>, id: &str, waits: Wait) {
        let Some(member) = self.members.get_mut(id) else { return };
        if let Some(displaced) = member.waits.replace(waits) {
            turn.refuse(displaced.ticket(), ErrorCode::RebalanceInProgress);
        }
    }
}
