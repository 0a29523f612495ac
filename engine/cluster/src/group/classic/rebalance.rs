//! How the members of a classic group come to a new generation.

use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::join_group::{JoinGroupResponse, JoinGroupResponseMember};

use super::{ClassicGroup, InitialDelay, Member, Phase, Wait};
use crate::group::news::MemberChange;
use crate::group::request::GroupResponse;
use crate::group::{MemberId, Turn};

impl ClassicGroup {
    /// Everybody has to join again.
    pub(super) fn begin_rebalance(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::CompletingRebalance {
            self.refuse_syncs(turn, ErrorCode::RebalanceInProgress);
        }
        let delay = Duration::from_millis(u64::try_from(turn.config.initial_rebalance_delay_ms).unwrap_or(0));
        let is_first = self.phase == Phase::Empty;
        if is_first && !delay.is_zero() {
            let until = turn.now.monotonic.saturating_add(delay.max(self.rebalance_timeout()));
            self.enter(Phase::PreparingRebalance(Some(InitialDelay { until, has_newcomers: false })), turn);
            self.end_phase_in(turn, delay);
            return;
        }
        self.enter(Phase::PreparingRebalance(None), turn);
        // The first one ends with its delay, whoever else was given an id meanwhile.
        if is_first || self.have_all_joined() {
            self.complete_join(turn);
        } else {
            self.end_phase_in(turn, self.rebalance_timeout());
        }
    }

    /// A member has come to join: the group begins to rebalance, or this one was the last to come.
    pub(super) fn member_joined(&mut self, turn: &mut Turn<'_>) {
        match &mut self.phase {
            Phase::Empty | Phase::CompletingRebalance | Phase::Stable => self.begin_rebalance(turn),
            Phase::PreparingRebalance(Some(delay)) => delay.has_newcomers = true,
            Phase::PreparingRebalance(None) => self.complete_join_if_all_have_joined(turn),
        }
    }

    pub(super) fn complete_join_if_all_have_joined(&mut self, turn: &mut Turn<'_>) {
        if self.phase == Phase::PreparingRebalance(None) && self.have_all_joined() {
            self.complete_join(turn);
        }
    }

    /// The time of the phase is over.
    pub(in crate::group) fn phase_timeout(&mut self, turn: &mut Turn<'_>) {
        let (now, owner) = (turn.now.monotonic, self.owner(None));
        if !turn.timers.is_due(&mut self.alarm, now, || owner) {
            return;
        }
        match self.phase {
            Phase::Empty => {}
            Phase::PreparingRebalance(Some(delay)) if delay.has_newcomers && now < delay.until => {
                let step = Duration::from_millis(u64::try_from(turn.config.initial_rebalance_delay_ms).unwrap_or(0));
                self.phase = Phase::PreparingRebalance(Some(InitialDelay { has_newcomers: false, ..delay }));
                self.end_phase_in(turn, step.min(delay.until.since(now)));
            }
            Phase::PreparingRebalance(_) => self.complete_join(turn),
            Phase::CompletingRebalance | Phase::Stable => {
                let silent = |(id, member): (&MemberId, &Member)| (!member.has_synced).then(|| Arc::clone(id));
                let silent: Vec<_> = self.members.iter().filter_map(silent).collect();
                for id in &silent {
                    self.remove_member(turn, id, MemberChange::NotSynced);
                }
                if !silent.is_empty() {
                    self.begin_rebalance(turn);
                }
            }
        }
    }

    /// Whoever has joined makes the next generation. Dynamic members that have not are gone; static ones keep their place
    /// until their sessions end.
    fn complete_join(&mut self, turn: &mut Turn<'_>) {
        let missing = |(id, member): (&MemberId, &Member)| {
            (!member.is_joining() && member.instance_id.is_none()).then(|| Arc::clone(id))
        };
        let missing: Vec<_> = self.members.iter().filter_map(missing).collect();
        for id in &missing {
            self.remove_member(turn, id, MemberChange::NotRejoined);
        }
        if !self.elect_leader() {
            // Only static members are left, and none of them has come.
            self.end_phase_in(turn, self.rebalance_timeout());
            return;
        }
        self.generation = self.generation.checked_add(1).unwrap_or(1);
        if self.members.is_empty() {
            (self.protocol, self.leader) = (None, None);
            self.alarm.clear();
            self.enter(Phase::Empty, turn);
            turn.decision.records.push(self.record());
            return;
        }
        self.protocol = self.select_protocol();
        self.enter(Phase::CompletingRebalance, turn);
        self.end_phase_in(turn, self.rebalance_timeout());
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its id was listed just now");
            member.is_new = false;
            member.has_synced = false;
            self.answer_join(turn, &id);
            self.renew_session(turn, &id);
        }
    }

    /// The leader stays if it has joined; or else the first who has takes its place. Answers whether there is somebody to
    /// lead, where there is somebody to be led.
    fn elect_leader(&mut self) -> bool {
        let has_joined = |id: &MemberId| self.members.get(id).is_some_and(Member::is_joining);
        if !self.leader.as_ref().is_some_and(has_joined) {
            let next = self.members.iter().find(|(_, member)| member.is_joining()).map(|(id, _)| Arc::clone(id));
            if next.is_none() {
                return self.members.is_empty();
            }
            self.leader = next;
        }
        true
    }

    /// Tells a member that waits to join about the generation.
    pub(super) fn answer_join(&mut self, turn: &mut Turn<'_>, id: &str) {
        let Some(member) = self.members.get_mut(id) else { return };
        let Some(Wait::Join(ticket)) = member.waits else { return };
        member.waits = None;
        let response = self.join_response(id);
        turn.answer(ticket, GroupResponse::Join(response));
    }

    /// Only the leader learns who the members are.
    pub(super) fn join_response(&self, id: &str) -> JoinGroupResponse {
        let is_leader = self.leader.as_deref() == Some(id);
        JoinGroupResponse {
            generation_id: self.generation,
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            leader: self.leader.as_deref().unwrap_or_default().to_owned(),
            member_id: id.to_owned(),
            members: if is_leader { self.members_for_leader() } else { Vec::new() },
            ..JoinGroupResponse::default()
        }
    }

    fn members_for_leader(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, member): (&MemberId, &Member)| JoinGroupResponseMember {
            member_id: id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            metadata: member.metadata(protocol).unwrap_or_default().to_vec(),
        };
        self.members.iter().map(member).collect()
    }

    /// The longest time that one of the members may take to join.
    fn rebalance_timeout(&self) -> Duration {
        self.members.values().map(|member| member.rebalance_timeout).max().unwrap_or_default()
    }

    fn end_phase_in(&mut self, turn: &mut Turn<'_>, time: Duration) {
        let owner = self.owner(None);
        turn.timers.set(&mut self.alarm, turn.now.monotonic.saturating_add(time), || owner);
    }
}
