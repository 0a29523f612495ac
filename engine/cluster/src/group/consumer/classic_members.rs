//! Members of the classic protocol in a consumer group (KIP-848). Each join is for them what a full heartbeat is for others,
//! and their generation is their epoch. The coordinator divides for them too: none of them leads.

use std::collections::BTreeSet;
use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};
use ringlog_net::messages::group_log::ClassicMemberMetadata;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponse};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_storage::types::Uuid;

use super::heartbeat::{ClassicJoin, tell};
use super::migration::{assignment, partitions, protocols};
use super::sessions::Awaited;
use super::{ConsumerGroup, JOIN_EPOCH, Member, MemberState};
use crate::group::classic::{has_to_ask_for_id, offers_too_much, rebalance_timeout_ms};
use crate::group::embedded::{self, CONSUMER_PROTOCOL_TYPE};
use crate::group::news::{MemberChange, reason};
use crate::group::request::Caller;
use crate::group::{GroupId, Groups, MemberId, Session, Turn};

/// A classic member in its group.
struct Found<'a> {
    group: &'a ConsumerGroup,
    id: MemberId,
    member: &'a Member,
    classic: &'a ClassicMemberMetadata,
}

impl Groups {
    /// Takes a classic member into a consumer group that has members.
    pub(in crate::group) fn join_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &JoinGroupRequest,
        id_bits: u128,
    ) -> Result<JoinGroupResponse, ErrorCode> {
        let id =
            if request.member_id.is_empty() { Uuid::from_u128(id_bits).to_string() } else { request.member_id.clone() };
        if has_to_ask_for_id(request, caller) {
            return Ok(JoinGroupResponse {
                error_code: ErrorCode::MemberIdRequired.code(),
                member_id: id,
                protocol_name: None,
                ..JoinGroupResponse::default()
            });
        }
        let preferred = request.protocols.first().ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let subscription = embedded::subscription(&preferred.metadata).ok_or(ErrorCode::InconsistentGroupProtocol)?;
        let owned = subscription.owned_partitions.iter().map(|topic| (&*topic.topic, &*topic.partitions));
        let owned = partitions(turn.image, owned).into_iter();
        let owned = owned.map(|(topic_id, of)| TopicPartitions { topic_id, partitions: of.into_iter().collect() });
        let beat = ConsumerGroupHeartbeatRequest {
            group_id: request.group_id.clone(),
            member_id: id,
            member_epoch: JOIN_EPOCH,
            instance_id: request.group_instance_id.clone(),
            rack_id: subscription.rack_id,
            rebalance_timeout_ms: rebalance_timeout_ms(request),
            subscribed_topic_names: Some(subscription.topics),
            // Their expressions are matched by themselves.
            subscribed_topic_regex: Some(String::new()),
            server_assignor: None,
            topic_partitions: Some(owned.collect()),
        };
        let offered = request.protocols.iter().map(|offered| (offered.name.clone(), offered.metadata.clone()));
        let classic = ClassicJoin {
            has_id: !request.member_id.is_empty(),
            metadata: ClassicMemberMetadata {
                session_timeout_ms: request.session_timeout_ms,
                supported_protocols: protocols(offered),
            },
        };
        let beaten = self.beat(turn, caller, &beat, Some(classic))?;
        Ok(JoinGroupResponse {
            generation_id: beaten.current.epoch,
            protocol_type: Some(CONSUMER_PROTOCOL_TYPE.to_owned()),
            protocol_name: Some(preferred.name.clone()),
            member_id: beaten.member.to_string(),
            ..JoinGroupResponse::default()
        })
    }

    /// Whether somebody of the classic protocol may be in a consumer group together with the members that it has.
    pub(in crate::group) fn check_classic_join(
        &self,
        turn: &Turn<'_>,
        request: &JoinGroupRequest,
    ) -> Result<(), ErrorCode> {
        let Some(group) = self.state.consumer(&request.group_id) else { return Ok(()) };
        let migration = turn.config.migration;
        let is_allowed = migration.upgrades || migration.downgrades;
        if !is_allowed || request.protocol_type != CONSUMER_PROTOCOL_TYPE || !group.supports(&request.protocols) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        if offers_too_much(request) { Err(ErrorCode::InvalidRequest) } else { Ok(()) }
    }

    /// Tells a classic member what it has. It was decided when it joined.
    pub(in crate::group) fn sync_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        request: &SyncGroupRequest,
    ) -> Result<SyncGroupResponse, ErrorCode> {
        let instance = request.group_instance_id.as_deref();
        let found = self.classic_member(&request.group_id, &request.member_id, instance)?;
        let Found { group, id, member, classic } = found;
        check_generation(member, request.generation_id)?;
        let preferred = classic.supported_protocols.first().map(|offered| offered.name.as_str());
        let is_other = |named: &Option<String>, own: Option<&str>| named.is_some() && named.as_deref() != own;
        if is_other(&request.protocol_type, Some(CONSUMER_PROTOCOL_TYPE)) || is_other(&request.protocol_name, preferred)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        // One that is giving partitions back has joined for this epoch already.
        let is_behind = group.epoch > member.current.epoch && member.current.state != MemberState::UnrevokedPartitions;
        let response = SyncGroupResponse {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment: assignment(turn.image, classic, &member.current.assigned),
            ..SyncGroupResponse::default()
        };
        let awaited = if is_behind { Awaited::Yes } else { Awaited::No };
        self.renew_classic_member(turn, &request.group_id, &id, awaited);
        if is_behind { Err(ErrorCode::RebalanceInProgress) } else { Ok(response) }
    }

    /// Takes a classic member's heartbeat: it learns from the answer that it has to join again.
    pub(in crate::group) fn heartbeat_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        request: &HeartbeatRequest,
    ) -> Result<(), ErrorCode> {
        let instance = request.group_instance_id.as_deref();
        let Found { group, id, member, .. } = self.classic_member(&request.group_id, &request.member_id, instance)?;
        check_generation(member, request.generation_id)?;
        let is_behind = group.epoch > member.current.epoch || group.has_news_for(&id, member);
        let awaited = if is_behind { Awaited::Yes } else { Awaited::AsBefore };
        self.renew_classic_member(turn, &request.group_id, &id, awaited);
        if is_behind { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// Members leave, or are sent away, whatever their protocol. Answers what became of each.
    pub(in crate::group) fn leave_consumer_group(
        &mut self,
        turn: &mut Turn<'_>,
        request: &LeaveGroupRequest,
    ) -> Vec<Result<(), ErrorCode>> {
        let mut gone = BTreeSet::new();
        let mut leave = |identity: &MemberIdentity| {
            let group = self.consumer_group(&request.group_id).ok_or(ErrorCode::UnknownMemberId)?;
            let (id, instance) = (identity.member_id.as_str(), identity.group_instance_id.as_deref());
            let found = match instance {
                Some(instance) => group.instances.get(instance),
                None => group.members.get_key_value(id).map(|(id, _)| id),
            };
            let leaving = Arc::clone(found.ok_or(ErrorCode::UnknownMemberId)?);
            // An administrator knows a static member by its instance alone.
            if !id.is_empty() && *leaving != *id {
                return Err(ErrorCode::FencedInstanceId);
            }
            if !gone.insert(Arc::clone(&leaving)) {
                return Err(ErrorCode::UnknownMemberId);
            }
            let left = MemberChange::Left(reason(identity.reason.as_deref()));
            tell(turn, &request.group_id.as_str().into(), group, &leaving, left);
            Ok(())
        };
        let left = request.members.iter().map(&mut leave).collect();
        if !gone.is_empty() {
            self.remove_members(turn, &request.group_id.as_str().into(), &gone);
        }
        left
    }

    fn classic_member(&self, group: &str, id: &str, instance: Option<&str>) -> Result<Found<'_>, ErrorCode> {
        let group = self.consumer_group(group).ok_or(ErrorCode::UnknownMemberId)?;
        if let Some(instance) = instance {
            let current = group.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if **current != *id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        let (id, member) = group.members.get_key_value(id).ok_or(ErrorCode::UnknownMemberId)?;
        let classic = member.classic().ok_or(ErrorCode::UnknownMemberId)?;
        Ok(Found { group, id: Arc::clone(id), member, classic })
    }

    /// A classic member has shown that it lives.
    fn renew_classic_member(&mut self, turn: &mut Turn<'_>, group: &str, id: &MemberId, awaited: Awaited) {
        let id_of_group = GroupId::from(group);
        let Some(Session::Consumer(sessions)) = self.sessions.get_mut(&id_of_group) else { return };
        let Some(member) = self.state.consumer(group).and_then(|group| group.members.get(id)) else { return };
        sessions.renew(turn, &id_of_group, id, &member.metadata, awaited);
    }
}

fn check_generation(member: &Member, generation: i32) -> Result<(), ErrorCode> {
    if generation == member.current.epoch { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
}

impl ConsumerGroup {
    /// Whether one of these protocols is known to all classic members.
    fn supports(&self, protocols: &[JoinGroupRequestProtocol]) -> bool {
        let knows = |classic: &ClassicMemberMetadata, name: &str| {
            classic.supported_protocols.iter().any(|known| known.name == name)
        };
        let is_known_to_all =
            |name: &str| self.members.values().filter_map(Member::classic).all(|classic| knows(classic, name));
        protocols.iter().any(|offered| is_known_to_all(&offered.name))
    }

    /// Whether a join would bring a member further, that has seen the epoch of the group.
    fn has_news_for(&self, id: &MemberId, member: &Member) -> bool {
        match member.current.state {
            MemberState::Stable => false,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => {
                let target = self.targets.get(id).into_iter().flatten();
                let mut target = target.flat_map(|(topic, of)| of.iter().map(|partition| (*topic, *partition)));
                target.all(|key| self.holders.get(&key).is_none_or(|holder| holder == id))
            }
        }
    }
}
