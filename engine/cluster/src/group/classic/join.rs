//! `JoinGroup`.

use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupResponse, JoinGroupResponseMember};
use ringlog_net::wire::STRING_BYTES_MAX;

use super::{ClassicGroup, MEMBER_BYTES, Member, Phase, Wait, duration, offered_bytes};
use crate::group::limits::{GROUP_BYTES_MAX, MEMBERS_MAX};
use crate::group::news::{MemberChange, reason};
use crate::group::request::{Caller, GroupResponse, Ticket};
use crate::group::timers::Alarm;
use crate::group::{MemberId, Turn};

/// From this version on a dynamic member asks for an id first, and joins with it (KIP-394): who gives up meanwhile leaves
/// nothing behind that others would wait for.
const ID_FIRST_VERSION_MIN: i16 = 4;
/// From this version on a static leader that comes back is told that it has nothing to assign (KIP-814).
const SKIP_ASSIGNMENT_VERSION_MIN: i16 = 9;

/// What is added to a name to make an id of it.
const UUID_BYTES: usize = 37;

/// Somebody who wants to join.
struct Joiner<'a> {
    ticket: Ticket,
    caller: &'a Caller,
    request: JoinGroupRequest,
    /// For its id, if it is new.
    id_bits: u128,
}

impl Joiner<'_> {
    fn member(self) -> Member {
        let request = self.request;
        Member {
            instance_id: request.group_instance_id.as_deref().map(Arc::from),
            client_id: self.caller.client_id.clone(),
            client_host: self.caller.client_host.clone(),
            rebalance_timeout: duration(rebalance_timeout_ms(&request)),
            session_timeout: duration(request.session_timeout_ms),
            protocols: request.protocols,
            assignment: Vec::new(),
            waits: Some(Wait::Join(self.ticket)),
            is_new: true,
            has_synced: false,
            alarm: Alarm::default(),
        }
    }
}

impl ClassicGroup {
    /// Takes a member in, or lets one that is there say that it lives through the rebalance. It is answered when the
    /// generation is there that it is in.
    pub(in crate::group) fn join(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: JoinGroupRequest,
        id_bits: u128,
    ) -> Result<(), ErrorCode> {
        if !self.has_room_for(&request.member_id, turn) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if offers_too_much(&request) {
            return Err(ErrorCode::InvalidRequest);
        }
        if !self.has_bytes_for(&request, caller) {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        if !self.supports(&request.protocol_type, &request.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let joiner = Joiner { ticket, caller, request, id_bits };
        if !joiner.request.member_id.is_empty() {
            return self.join_again(turn, joiner);
        }
        self.join_first(turn, joiner);
        Ok(())
    }

    fn has_room_for(&self, id: &str, turn: &Turn<'_>) -> bool {
        let is_new = id.is_empty() || !(self.members.contains_key(id) || self.pending.contains(id));
        if is_new && self.members.len() + self.pending.len() >= MEMBERS_MAX {
            return false;
        }
        let count = match self.phase {
            Phase::Empty => return true,
            Phase::PreparingRebalance(_) => self.joining(),
            Phase::CompletingRebalance | Phase::Stable => self.members.len(),
        };
        let is_in = self
            .members
            .get(id)
            .is_some_and(|member| member.is_joining() || !matches!(self.phase, Phase::PreparingRebalance(_)));
        is_in || i64::try_from(count).is_ok_and(|count| count < turn.config.classic_members_max)
    }

    /// Whether what somebody says of itself can be kept beside all that is kept already.
    fn has_bytes_for(&self, request: &JoinGroupRequest, caller: &Caller) -> bool {
        let instance = request.group_instance_id.as_deref();
        let known = match request.member_id.as_str() {
            "" => instance.and_then(|instance| self.instances.get(instance)).and_then(|id| self.members.get(id)),
            id => self.members.get(id),
        };
        let name = instance.unwrap_or(&caller.client_id);
        let id_bytes = request.member_id.len().max(name.len() + UUID_BYTES);
        let after = MEMBER_BYTES
            + id_bytes
            + instance.map_or(0, str::len)
            + caller.client_id.len()
            + caller.client_host.len()
            + offered_bytes(&request.protocols)
            + known.map_or(0, |member| member.assignment.len());
        let before = known.map_or(0, |member| id_bytes + member.bytes());
        after <= before || self.bytes() + (after - before) <= GROUP_BYTES_MAX
    }

    fn join_first(&mut self, turn: &mut Turn<'_>, joiner: Joiner<'_>) {
        let instance = joiner.request.group_instance_id.as_deref();
        let name = instance.unwrap_or(&joiner.caller.client_id);
        let id = member_id(name, joiner.id_bits);
        if let Some(instance) = instance {
            match self.instances.get(instance) {
                Some(old) => self.take_place_of(turn, &Arc::clone(old), &id, joiner),
                None => self.add_member(turn, &id, joiner),
            }
        } else if has_to_ask_for_id(&joiner.request, joiner.caller) {
            self.add_pending(turn, Arc::clone(&id), joiner.request.session_timeout_ms);
            let response = JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired.code(),
                member_id: id.to_string(),
                protocol_name: None,
                ..JoinGroupResponse::default()
            };
            turn.answer(joiner.ticket, GroupResponse::Join(response));
        } else {
            self.add_member(turn, &id, joiner);
        }
    }

    fn join_again(&mut self, turn: &mut Turn<'_>, joiner: Joiner<'_>) -> Result<(), ErrorCode> {
        let id = MemberId::from(joiner.request.member_id.as_str());
        let instance = joiner.request.group_instance_id.as_deref();
        if instance.is_none()
            && let Some(alarm) = self.pending.remove(&id)
        {
            turn.timers.remove(&alarm, self.owner(Some(&id)));
            self.add_member(turn, &id, joiner);
            return Ok(());
        }
        self.check_member(&id, instance)?;
        let is_unchanged = self.is_unchanged(&id, &joiner.request.protocols);
        let is_leader = self.leader.as_ref() == Some(&id);
        let has_news = match self.phase {
            Phase::Empty => return Err(ErrorCode::UnknownMemberId),
            Phase::PreparingRebalance(_) => true,
            // It has not seen the answer to its last join.
            Phase::CompletingRebalance => !is_unchanged,
            // A leader joins again to divide the work anew.
            Phase::Stable => is_leader || !is_unchanged,
        };
        if has_news {
            if self.phase == Phase::Stable {
                let why = MemberChange::Rejoined(reason(joiner.request.reason.as_deref()));
                turn.tell(&self.id, &id, [&joiner.caller.client_id, &joiner.caller.client_host], why);
            }
            self.update_member(turn, &id, joiner);
            self.member_joined(turn);
        } else {
            self.wait_for_join(turn, &id, Wait::Join(joiner.ticket));
            self.answer_join(turn, &id);
            self.renew_session(turn, &id);
        }
        Ok(())
    }

    fn add_member(&mut self, turn: &mut Turn<'_>, id: &MemberId, joiner: Joiner<'_>) {
        if self.members.is_empty() {
            self.protocol_type = Some(joiner.request.protocol_type.clone());
        }
        let member = joiner.member();
        turn.tell(&self.id, id, [&member.client_id, &member.client_host], MemberChange::Joined);
        if let Some(instance) = &member.instance_id {
            self.instances.insert(Arc::clone(instance), Arc::clone(id));
        }
        self.members.insert(Arc::clone(id), member);
        self.leader.get_or_insert_with(|| Arc::clone(id));
        self.renew_session(turn, id);
        self.member_joined(turn);
    }

    fn update_member(&mut self, turn: &mut Turn<'_>, id: &MemberId, joiner: Joiner<'_>) {
        self.wait_for_join(turn, id, Wait::Join(joiner.ticket));
        let updated = joiner.member();
        let member = self.members.get_mut(id).expect("the caller has checked that it is one");
        member.protocols = updated.protocols;
        member.rebalance_timeout = updated.rebalance_timeout;
        member.session_timeout = updated.session_timeout;
    }

    /// A static member has come back under a new id, and the old one is fenced. If nothing else has changed the group goes
    /// on as it was.
    fn take_place_of(&mut self, turn: &mut Turn<'_>, old: &MemberId, id: &MemberId, joiner: Joiner<'_>) {
        let mut member = self.members.remove(old).expect("instances name members");
        turn.timers.remove(&member.alarm, self.owner(Some(old)));
        if let Some(waits) = member.waits.take() {
            turn.refuse(waits.ticket(), ErrorCode::FencedInstanceId);
        }
        let was_leader = self.leader.as_ref() == Some(old);
        if was_leader {
            self.leader = Some(Arc::clone(id));
        }
        let (ticket, version) = (joiner.ticket, joiner.caller.api_version);
        let assignment = std::mem::take(&mut member.assignment);
        let has_synced = member.has_synced;
        let returned = Member { assignment, has_synced, is_new: false, ..joiner.member() };
        let instance = returned.instance_id.clone().expect("it has one");
        self.instances.insert(instance, Arc::clone(id));
        self.members.insert(Arc::clone(id), returned);
        self.renew_session(turn, id);
        if self.phase != Phase::Stable || self.select_protocol() != self.protocol {
            self.member_joined(turn);
            return;
        }
        let member = self.members.get_mut(id).expect("was put there just now");
        member.waits = None;
        turn.decision.records.push(self.record());
        let mut response = self.join_response(id);
        if version >= SKIP_ASSIGNMENT_VERSION_MIN {
            response.skip_assignment = was_leader;
        } else {
            // Older ones would take themselves for the leader, and assign.
            response.members = Vec::<JoinGroupResponseMember>::new();
            if was_leader {
                response.leader = old.to_string();
            }
        }
        turn.answer(ticket, GroupResponse::Join(response));
    }
}

/// Whether somebody has to ask for an id before it joins.
pub(in crate::group) fn has_to_ask_for_id(request: &JoinGroupRequest, caller: &Caller) -> bool {
    let is_known = !request.member_id.is_empty() || request.group_instance_id.is_some();
    !is_known && caller.api_version >= ID_FIRST_VERSION_MIN
}

/// Requests of version 0 have none: then the session timeout stands for it, as in Kafka.
pub(in crate::group) fn rebalance_timeout_ms(request: &JoinGroupRequest) -> i32 {
    if request.rebalance_timeout_ms < 0 { request.session_timeout_ms } else { request.rebalance_timeout_ms }
}

/// What a member says of its protocols: more than a whole group may take is of no use to anybody.
pub(in crate::group) fn offers_too_much(request: &JoinGroupRequest) -> bool {
    offered_bytes(&request.protocols) > GROUP_BYTES_MAX
}

/// As Kafka makes them. Of a name that is as long as a string can be, the end is left out.
fn member_id(name: &str, bits: u128) -> MemberId {
    let unique = hyphenated(bits);
    let name = &name[..name.floor_char_boundary(STRING_BYTES_MAX - unique.len() - 1)];
    format!("{name}-{unique}").into()
}

/// Random bits in the form of a UUID (RFC 9562, version 4).
fn hyphenated(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0b11 << 62) | 4 << 76 | 0b10 << 62;
    let digits = format!("{bits:032x}");
    [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]].join("-")
}
