//! A classic group as it lives: its members, what they wait for, and the rebalance that they are in. Its leader, one of
//! the members, decides who reads what; the coordinator brings the members to one generation and hands the leader's
//! assignment out.
//!
//! Only what is written down when the members have been assigned, or when none is left, survives the coordinator: members
//! of a rebalance that was not finished join again.

mod join;
mod members;
mod migration;
mod pending;
mod rebalance;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_groups::{DescribedGroup, DescribedGroupMember};
use ringlog_net::messages::group_log::{GroupMetadataKey, GroupMetadataValue, GroupRecord, MemberMetadata};
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::JoinGroupRequestProtocol;
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupResponse};
use ringlog_storage::types::{Millis, Nanos};

use super::embedded::CONSUMER_PROTOCOL_TYPE;
use super::limits::GROUP_BYTES_MAX;
use super::request::{GroupResponse, Ticket};
use super::timers::{Alarm, Owner};
use super::{GroupId, MemberId, Turn, embedded};

use pending::Pending;

pub(super) use join::{has_to_ask_for_id, offers_too_much, rebalance_timeout_ms};

/// How long somebody that joins for the first time is waited for: it cannot send heartbeats before it has its id.
const NEW_MEMBER_JOIN_TIMEOUT: Duration = Duration::from_mins(5);
/// What a member takes besides its texts, its subscriptions and its assignment.
const MEMBER_BYTES: usize = 64;

/// Where a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It has no members.
    Empty,
    /// Members join. In the first rebalance of an empty group more are waited for.
    PreparingRebalance(Option<InitialDelay>),
    /// Members have joined, and the leader's assignment is waited for.
    CompletingRebalance,
    /// Members have their assignments.
    Stable,
}

/// The wait of an empty group's first rebalance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct InitialDelay {
    /// It is over at the latest.
    until: Nanos,
    /// Somebody has joined since it was prolonged last.
    has_newcomers: bool,
}

/// One classic group.
#[derive(Clone, Debug)]
pub(super) struct ClassicGroup {
    id: GroupId,
    phase: Phase,
    /// When it came to this phase.
    since: Millis,
    generation: i32,
    /// `None` for a group that has only ever committed offsets.
    protocol_type: Option<String>,
    /// The protocol that all members of the generation use.
    protocol: Option<String>,
    leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    /// Members by their instance ids.
    instances: BTreeMap<Arc<str>, MemberId>,
    pending: Pending,
    /// The end of the phase at the latest, where it has one.
    alarm: Alarm,
}

#[derive(Clone, Debug)]
struct Member {
    instance_id: Option<Arc<str>>,
    client_id: String,
    client_host: String,
    rebalance_timeout: Duration,
    session_timeout: Duration,
    protocols: Vec<JoinGroupRequestProtocol>,
    assignment: Vec<u8>,
    waits: Option<Wait>,
    /// It has not been in a generation yet.
    is_new: bool,
    /// It has asked for its assignment in this generation.
    has_synced: bool,
    /// The end of its session.
    alarm: Alarm,
}

/// What a member has asked for and is not answered yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Join(Ticket),
    Sync(Ticket),
}

impl Wait {
    fn ticket(self) -> Ticket {
        let (Self::Join(ticket) | Self::Sync(ticket)) = self;
        ticket
    }
}

impl Member {
    fn is_joining(&self) -> bool {
        matches!(self.waits, Some(Wait::Join(_)))
    }

    /// What it takes besides its id.
    fn bytes(&self) -> usize {
        let names = self.instance_id.as_ref().map_or(0, |instance| instance.len())
            + self.client_id.len()
            + self.client_host.len();
        MEMBER_BYTES + names + offered_bytes(&self.protocols) + self.assignment.len()
    }

    /// Its metadata for a protocol.
    fn metadata(&self, protocol: &str) -> Option<&[u8]> {
        self.protocols.iter().find(|offered| offered.name == protocol).map(|offered| offered.metadata.as_slice())
    }
}

impl ClassicGroup {
    /// A group without members.
    pub(super) fn new(id: GroupId, now: Millis) -> Self {
        Self {
            id,
            phase: Phase::Empty,
            since: now,
            generation: 0,
            protocol_type: None,
            protocol: None,
            leader: None,
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            pending: Pending::default(),
            alarm: Alarm::default(),
        }
    }

    /// The group as it was written down. Its members' sessions begin anew.
    pub(super) fn open(id: GroupId, written: &GroupMetadataValue, turn: &mut Turn<'_>) -> Self {
        let mut group = Self::new(id, Millis::new(written.current_state_timestamp));
        group.generation = written.generation;
        group.protocol_type = Some(written.protocol_type.clone()).filter(|name| !name.is_empty());
        group.protocol.clone_from(&written.protocol);
        if written.members.is_empty() {
            return group;
        }
        group.phase = Phase::Stable;
        group.leader = written.leader.as_deref().map(Arc::from);
        for member in &written.members {
            let id = MemberId::from(member.member_id.as_str());
            let opened = Member::open(member, written.protocol.as_deref().unwrap_or_default());
            group.members.insert(Arc::clone(&id), opened);
        }
        // Of those that are there: a record may name one twice.
        let instances =
            group.members.iter().filter_map(|(id, member)| Some((member.instance_id.clone()?, Arc::clone(id))));
        group.instances = instances.collect();
        for id in group.members.keys().cloned().collect::<Vec<_>>() {
            group.renew_session(turn, &id);
        }
        group
    }

    /// Everybody who waits.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Ticket> {
        self.members.values().filter_map(|member| member.waits).map(Wait::ticket)
    }

    /// How many members it has.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether it has no members, and nobody is about to join.
    pub(super) fn is_empty(&self) -> bool {
        self.phase == Phase::Empty
    }

    /// Since when it has no members, if it ever had some.
    pub(super) fn empty_since(&self) -> Option<Millis> {
        self.protocol_type.as_ref().filter(|_| self.is_empty()).map(|_| self.since)
    }

    /// Whether nothing at all holds it.
    pub(super) fn is_forgettable(&self) -> bool {
        self.is_empty() && self.pending.is_empty()
    }

    /// Its name for the phase, as Kafka gives it.
    pub(super) fn state_name(&self) -> &'static str {
        match self.phase {
            Phase::Empty => "Empty",
            Phase::PreparingRebalance(_) => "PreparingRebalance",
            Phase::CompletingRebalance => "CompletingRebalance",
            Phase::Stable => "Stable",
        }
    }

    /// Its protocol type; empty if it has none.
    pub(super) fn protocol_type(&self) -> &str {
        self.protocol_type.as_deref().unwrap_or_default()
    }

    /// The topics that its members have subscribed to, if they are consumers in a generation and say so.
    pub(super) fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        let protocol = self.protocol.as_deref()?;
        if self.protocol_type() != CONSUMER_PROTOCOL_TYPE {
            return None;
        }
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            topics.extend(embedded::subscribed_topics(member.metadata(protocol)?)?);
        }
        Some(topics)
    }

    /// Whether its members are consumers that have their assignments.
    pub(super) fn is_stable(&self) -> bool {
        self.phase == Phase::Stable
    }

    /// The group for the log, as it stands.
    pub(super) fn record(&self) -> GroupRecord {
        let protocol = self.protocol.as_deref().unwrap_or_default();
        let member = |(id, member): (&MemberId, &Member)| MemberMetadata {
            member_id: id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout: millis(member.rebalance_timeout),
            session_timeout: millis(member.session_timeout),
            subscription: member.metadata(protocol).unwrap_or_default().to_vec(),
            assignment: member.assignment.clone(),
        };
        let value = GroupMetadataValue {
            protocol_type: self.protocol_type().to_owned(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.as_deref().map(str::to_owned),
            current_state_timestamp: self.since.get(),
            members: self.members.iter().map(member).collect(),
        };
        GroupRecord::GroupMetadata(GroupMetadataKey { group: self.id.to_string() }, Some(value))
    }

    /// What it takes: no less than its record in the log.
    fn bytes(&self) -> usize {
        let members = self.members.iter().map(|(id, member)| id.len() + member.bytes());
        self.pending.bytes() + members.sum::<usize>()
    }

    fn owner(&self, member: Option<&MemberId>) -> Owner {
        Owner { group: Arc::clone(&self.id), member: member.cloned() }
    }

    /// Describes it.
    pub(super) fn describe(&self) -> DescribedGroup {
        let protocol = self.protocol.as_deref().filter(|_| self.is_stable());
        let member = |(id, member): (&MemberId, &Member)| DescribedGroupMember {
            member_id: id.to_string(),
            group_instance_id: member.instance_id.as_deref().map(str::to_owned),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: protocol.and_then(|name| member.metadata(name)).unwrap_or_default().to_vec(),
            member_assignment: member.assignment.clone(),
        };
        DescribedGroup {
            group_id: self.id.to_string(),
            group_state: self.state_name().to_owned(),
            protocol_type: self.protocol_type().to_owned(),
            protocol_data: protocol.unwrap_or_default().to_owned(),
            members: self.members.iter().map(member).collect(),
            ..DescribedGroup::default()
        }
    }

    /// Whether the member is who it says it is.
    fn check_member(&self, id: &str, instance: Option<&str>) -> Result<(), ErrorCode> {
        if let Some(instance) = instance {
            let current = self.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
            if **current != *id {
                return Err(ErrorCode::FencedInstanceId);
            }
        }
        if self.members.contains_key(id) { Ok(()) } else { Err(ErrorCode::UnknownMemberId) }
    }

    fn check_generation(&self, generation: i32) -> Result<(), ErrorCode> {
        if generation == self.generation { Ok(()) } else { Err(ErrorCode::IllegalGeneration) }
    }

    /// Takes a heartbeat.
    pub(super) fn heartbeat(&mut self, turn: &mut Turn<'_>, request: &HeartbeatRequest) -> Result<(), ErrorCode> {
        let id = request.member_id.as_str();
        self.check_member(id, request.group_instance_id.as_deref())?;
        self.check_generation(request.generation_id)?;
        self.renew_session(turn, id);
        if matches!(self.phase, Phase::PreparingRebalance(_)) { Err(ErrorCode::RebalanceInProgress) } else { Ok(()) }
    }

    /// Whether offsets may be committed in the name of a member, or of nobody. If so, the member has shown that it lives.
    pub(super) fn check_commit(
        &mut self,
        turn: &mut Turn<'_>,
        generation: i32,
        member: &str,
        instance: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if generation < 0 && self.is_empty() {
            return Ok(());
        }
        if generation < 0 && member.is_empty() && instance.is_none() {
            return Err(ErrorCode::UnknownMemberId);
        }
        self.check_member(member, instance)?;
        self.check_generation(generation)?;
        if self.phase == Phase::CompletingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        self.renew_session(turn, member);
        Ok(())
    }

    /// Hands assignments out: each member asks for its own, and the leader brings them all.
    pub(super) fn sync(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        request: SyncGroupRequest,
    ) -> Result<(), ErrorCode> {
        let id = request.member_id.as_str();
        self.check_member(id, request.group_instance_id.as_deref())?;
        self.check_generation(request.generation_id)?;
        let differs = |named: &Option<String>, own: &Option<String>| named.is_some() && named != own;
        if differs(&request.protocol_type, &self.protocol_type) || differs(&request.protocol_name, &self.protocol) {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        match self.phase {
            Phase::Empty => return Err(ErrorCode::UnknownMemberId),
            Phase::PreparingRebalance(_) => return Err(ErrorCode::RebalanceInProgress),
            Phase::CompletingRebalance | Phase::Stable => {}
        }
        let member = self.members.get_mut(id).expect("was found just now");
        member.has_synced = true;
        if let Some(displaced) = member.waits.replace(Wait::Sync(ticket)) {
            turn.refuse(displaced.ticket(), ErrorCode::RebalanceInProgress);
        }
        if self.phase == Phase::Stable {
            self.answer_sync(turn, id);
        } else if self.leader.as_deref() == Some(id) {
            self.assign(turn, request);
        }
        if self.phase == Phase::Stable && self.members.values().all(|member| member.has_synced) {
            self.alarm.clear();
        }
        Ok(())
    }

    /// Takes the leader's assignment. Members that it says nothing of have nothing to do.
    fn assign(&mut self, turn: &mut Turn<'_>, request: SyncGroupRequest) {
        for member in self.members.values_mut() {
            member.assignment.clear();
        }
        for given in request.assignments {
            if let Some(member) = self.members.get_mut(given.member_id.as_str()) {
                member.assignment = given.assignment;
            }
        }
        if self.bytes() > GROUP_BYTES_MAX {
            self.refuse_syncs(turn, ErrorCode::UnknownServerError);
            self.begin_rebalance(turn);
            return;
        }
        self.enter(Phase::Stable, turn);
        turn.decision.records.push(self.record());
        let waiting = |(id, member): (&MemberId, &Member)| member.waits.is_some().then(|| Arc::clone(id));
        let waiting: Vec<_> = self.members.iter().filter_map(waiting).collect();
        for id in waiting {
            self.answer_sync(turn, &id);
        }
    }

    fn answer_sync(&mut self, turn: &mut Turn<'_>, id: &str) {
        let member = self.members.get_mut(id).expect("the caller has found it");
        let Some(waits) = member.waits.take() else { return };
        let response = SyncGroupResponse {
            protocol_type: self.protocol_type.clone(),
            protocol_name: self.protocol.clone(),
            assignment: member.assignment.clone(),
            ..SyncGroupResponse::default()
        };
        turn.answer(waits.ticket(), GroupResponse::Sync(response));
        self.renew_session(turn, id);
    }

    /// Answers everybody who waits for an assignment that does not come. They could not send heartbeats meanwhile.
    fn refuse_syncs(&mut self, turn: &mut Turn<'_>, code: ErrorCode) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            let member = self.members.get_mut(&id).expect("its id was listed just now");
            member.assignment.clear();
            if let Some(Wait::Sync(ticket)) = member.waits {
                member.waits = None;
                turn.refuse(ticket, code);
                self.renew_session(turn, &id);
            }
        }
    }

    fn enter(&mut self, phase: Phase, turn: &Turn<'_>) {
        self.phase = phase;
        self.since = turn.now.wall;
    }
}

/// What somebody says of its protocols.
fn offered_bytes(protocols: &[JoinGroupRequestProtocol]) -> usize {
    protocols.iter().map(|offered| offered.name.len() + offered.metadata.len()).sum()
}

fn millis(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}

fn duration(millis: i32) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}
