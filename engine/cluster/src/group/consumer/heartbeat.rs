//! `ConsumerGroupHeartbeat`: how members join, live, reconcile and leave.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{
    Assignment, ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use ringlog_net::messages::group_log::{ClassicMemberMetadata, ConsumerGroupMemberMetadataValue, GroupRecord};
use ringlog_storage::types::{Offset, Uuid};

use super::assignor::{Reader, assign, preferred};
use super::reconciliation::reconcile;
use super::sessions::{Awaited, ConsumerSessions};
use super::subscription::{known, matches, metadata_hash, refresh};
use super::{
    ConsumerGroup, Current, JOIN_EPOCH, LEAVE_STATIC_EPOCH, Member, Owned, Partitions, current_record,
    expression_record, group_record, member_record, member_tombstones, target_epoch_record, target_record,
};
use crate::expression::EXPRESSION_BYTES_MAX;
use crate::group::limits::{DECIDED_BYTES_MAX, EXPRESSIONS_MAX, GROUP_BYTES_MAX, MEMBERS_MAX, SUBSCRIBED_TOPICS_MAX};
use crate::group::news::MemberChange;
use crate::group::request::Caller;
use crate::group::state::{GroupState, record_bytes};
use crate::group::{GroupId, Groups, MemberId, Session, Turn};

/// A heartbeat at work: what it changes of the member and of the group, before any of it is written.
struct Beat<'a> {
    id: &'a GroupId,
    group: &'a ConsumerGroup,
    /// The group's epoch, and that of its targets once the beat is written.
    epoch: i32,
    member: MemberId,
    metadata: ConsumerGroupMemberMetadataValue,
    current: Current,
    target: Partitions,
    /// Expressions whose matches are new.
    expressions: BTreeMap<String, Vec<String>>,
    /// The member that it takes the place of.
    replaces: Option<MemberId>,
    /// It says something of itself that it has not said before.
    has_changed: bool,
}

/// What somebody of the classic protocol says in its join beyond what a heartbeat says.
pub(super) struct ClassicJoin {
    /// It has been a member, or has been given an id to join with.
    pub(super) has_id: bool,
    pub(super) metadata: ClassicMemberMetadata,
}

/// A member after its beat.
pub(super) struct Beaten {
    pub(super) member: MemberId,
    pub(super) current: Current,
    /// It has got partitions, or lost some.
    has_news: bool,
}

impl Groups {
    pub(in crate::group) fn consumer_heartbeat(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        if request.member_epoch < JOIN_EPOCH {
            return self.consumer_leave(turn, request);
        }
        let beaten = self.beat(turn, caller, request, None)?;
        let is_full = request.member_epoch == JOIN_EPOCH || is_full(request);
        let own = turn.image.group_settings(&GroupId::from(request.group_id.as_str()));
        let interval_ms = turn.config.consumer_heartbeat_interval_ms_of(own);
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(beaten.member.to_string()),
            member_epoch: beaten.current.epoch,
            heartbeat_interval_ms: i32::try_from(interval_ms).unwrap_or(i32::MAX),
            assignment: (is_full || beaten.has_news).then(|| assignment(&beaten.current.assigned)),
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// Takes a heartbeat, or the join of somebody of the classic protocol in the form of one.
    pub(super) fn beat(
        &mut self,
        turn: &mut Turn<'_>,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        classic: Option<ClassicJoin>,
    ) -> Result<Beaten, ErrorCode> {
        check_subscription(request)?;
        let id = GroupId::from(request.group_id.as_str());
        let upgrade = self.consumer_group_for(turn, &id, request)?;
        let mut upgraded = GroupState::default();
        for record in &upgrade {
            upgraded.replay(record);
        }
        let empty = ConsumerGroup::default();
        let group = if upgrade.is_empty() { self.state.consumer(&id) } else { upgraded.consumer(&id) };
        let group = group.unwrap_or(&empty);
        let is_classic = classic.is_some();
        let mut beat = Beat::begin(turn, &id, group, caller, request, classic)?;
        let seen = match self.sessions.get(&id) {
            Some(Session::Consumer(sessions)) => sessions.seen,
            Some(Session::Classic(_)) | None => None,
        };
        beat.subscribe(turn, seen);
        beat.divide(turn);
        beat.keep_within_bounds(turn)?;
        // Nobody is refused any more.
        turn.decision.records.splice(..0, upgrade);
        if !group.members.contains_key(&beat.member) {
            let client = [&*beat.metadata.client_id, &beat.metadata.client_host];
            turn.tell(&id, &beat.member, client, MemberChange::Joined);
        }
        let sessions = match self.sessions.remove(&id) {
            Some(Session::Consumer(sessions)) => sessions,
            before => {
                // Before the others begin: the alarms of both have the members' names.
                if let Some(Session::Classic(before)) = before {
                    before.close(turn, ErrorCode::RebalanceInProgress);
                }
                ConsumerSessions::open(&id, group, turn)
            }
        };
        let session = self.sessions.entry(Arc::clone(&id)).or_insert(Session::Consumer(sessions));
        let Session::Consumer(sessions) = session else { unreachable!("it is one by now") };
        sessions.seen = Some(turn.image.topics_offset());
        let before = beat.current.clone();
        beat.reconcile(turn, request);
        if let Some(replaced) = beat.replaces.take() {
            sessions.remove(turn, &id, &replaced);
        }
        // Who has joined has to ask for its assignment.
        let awaited = if is_classic { Awaited::FromNow } else { Awaited::to_give_back(&before, &beat.current) };
        sessions.renew(turn, &id, &beat.member, &beat.metadata, awaited);
        let has_news = before.assigned != beat.current.assigned;
        Ok(Beaten { member: beat.member, current: beat.current, has_news })
    }

    /// Finds the consumer group that somebody joins or is in. Answers the records that make it one, if it was a classic
    /// group until now.
    fn consumer_group_for(
        &self,
        turn: &Turn<'_>,
        id: &GroupId,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<Vec<GroupRecord>, ErrorCode> {
        let joins = request.member_epoch == JOIN_EPOCH;
        match self.sessions.get(id) {
            Some(Session::Consumer(_)) => Ok(Vec::new()),
            Some(Session::Classic(classic)) if joins => self.upgrade(turn, id, classic),
            None if joins => self.check_room().map(|()| Vec::new()),
            Some(Session::Classic(_)) | None => Err(ErrorCode::GroupIdNotFound),
        }
    }

    fn consumer_leave(
        &mut self,
        turn: &mut Turn<'_>,
        request: &ConsumerGroupHeartbeatRequest,
    ) -> Result<ConsumerGroupHeartbeatResponse, ErrorCode> {
        let id = GroupId::from(request.group_id.as_str());
        let group = self.consumer_group(&id).ok_or(ErrorCode::GroupIdNotFound)?;
        let member = match request.instance_id.as_deref() {
            Some(instance) => {
                let current = group.instances.get(instance).ok_or(ErrorCode::UnknownMemberId)?;
                if **current != *request.member_id {
                    return Err(ErrorCode::FencedInstanceId);
                }
                Arc::clone(current)
            }
            None => MemberId::from(request.member_id.as_str()),
        };
        let of = group.members.get(&member).ok_or(ErrorCode::UnknownMemberId)?;
        if request.member_epoch == LEAVE_STATIC_EPOCH {
            // It keeps what it has until its session ends, or until it is back.
            let current = Current { epoch: LEAVE_STATIC_EPOCH, previous_epoch: of.current.epoch, ..of.current.clone() };
            turn.decision.records.push(current_record(&id, &member, Some(&current)));
        } else {
            tell(turn, &id, group, &member, MemberChange::Left(String::new()));
            self.remove_members(turn, &id, &BTreeSet::from([member]));
        }
        Ok(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id.clone()),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponse::default()
        })
    }

    /// A member's time is over: it was silent, or did not give back what it had to. All whose time is over by now go with it:
    /// what the group is without them is decided once, by those who stay.
    pub(in crate::group) fn consumer_member_timeout(&mut self, turn: &mut Turn<'_>, id: &GroupId, member: &MemberId) {
        let Some(Session::Consumer(sessions)) = self.sessions.get_mut(id) else { return };
        if !sessions.is_over(turn, id, member) {
            return;
        }
        let Some(group) = self.state.consumer(id) else { return };
        let (mut gone, mut bytes) = (BTreeSet::new(), 0);
        let others = sessions.over(turn.now.monotonic).filter(|other| *other != member);
        for member in [member].into_iter().chain(others).filter(|member| group.members.contains_key(*member)) {
            if bytes > DECIDED_BYTES_MAX {
                turn.is_cut = true;
                break;
            }
            bytes += member_tombstones(id, member).iter().map(record_bytes).sum::<usize>();
            tell(turn, id, group, member, sessions.lapse(turn.now.monotonic, member));
            gone.insert(Arc::clone(member));
        }
        if !gone.is_empty() {
            self.remove_members(turn, id, &gone);
        }
    }

    /// Members are gone, and the others divide their work.
    pub(super) fn remove_members(&mut self, turn: &mut Turn<'_>, id: &GroupId, gone: &BTreeSet<MemberId>) {
        if self.downgrade(turn, id, gone) {
            return;
        }
        let Some(Session::Consumer(sessions)) = self.sessions.get_mut(id) else { return };
        let Some(group) = self.state.consumer(id) else { return };
        for member in gone {
            sessions.remove(turn, id, member);
            turn.decision.records.extend(member_tombstones(id, member));
        }
        forget_expressions(turn, id, group, gone);
        turn.decision.records.push(group_record(id, group.epoch + 1, group.metadata_hash));
    }
}

/// Notes what has changed about a member.
pub(super) fn tell(turn: &mut Turn<'_>, id: &GroupId, group: &ConsumerGroup, member: &MemberId, change: MemberChange) {
    if let Some(of) = group.members.get(member) {
        turn.tell(id, member, [&of.metadata.client_id, &of.metadata.client_host], change);
    }
}

/// Members no longer have their expressions: what those match that nobody else has is forgotten.
fn forget_expressions(turn: &mut Turn<'_>, id: &str, group: &ConsumerGroup, gone: &BTreeSet<MemberId>) {
    let mut given_up = BTreeSet::new();
    given_up.extend(gone.iter().filter_map(|member| group.members.get(member)?.expression()));
    if given_up.is_empty() {
        return;
    }
    for (_, of) in group.members.iter().filter(|(member, _)| !gone.contains(*member)) {
        if let Some(text) = of.expression() {
            given_up.remove(text);
        }
    }
    for text in given_up.into_iter().filter(|text| group.expressions.contains_key(*text)) {
        turn.decision.records.push(expression_record(id, text, None));
    }
}

/// Whether the member says everything again, and wants to hear everything again.
fn is_full(request: &ConsumerGroupHeartbeatRequest) -> bool {
    let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    request.rebalance_timeout_ms >= 0 && subscribes && request.topic_partitions.is_some()
}

fn assignment(assigned: &Owned) -> Assignment {
    let topic = |(topic_id, partitions): (&Uuid, &BTreeMap<i32, i32>)| TopicPartitions {
        topic_id: *topic_id,
        partitions: partitions.keys().copied().collect(),
    };
    Assignment { topic_partitions: assigned.iter().map(topic).collect() }
}

/// What a member says that it has.
fn owned(request: &ConsumerGroupHeartbeatRequest) -> Option<Partitions> {
    let topics = request.topic_partitions.as_ref()?;
    Some(topics.iter().map(|topic| (topic.topic_id, topic.partitions.iter().copied().collect())).collect())
}

impl<'a> Beat<'a> {
    /// Finds the member, or makes it.
    fn begin(
        turn: &mut Turn<'_>,
        id: &'a GroupId,
        group: &'a ConsumerGroup,
        caller: &Caller,
        request: &ConsumerGroupHeartbeatRequest,
        classic: Option<ClassicJoin>,
    ) -> Result<Self, ErrorCode> {
        let member = MemberId::from(request.member_id.as_str());
        let joins = request.member_epoch == JOIN_EPOCH;
        let is_new = joins && !classic.as_ref().is_some_and(|classic| classic.has_id);
        let mut replaces = None;
        if let Some(instance) = request.instance_id.as_deref() {
            match group.instances.get(instance) {
                Some(current) if *current == member => {}
                Some(current) if is_new => {
                    let before = &group.members[current];
                    // Who changes its protocol cannot say so before: it is another process that takes its place.
                    let is_of_one_protocol = classic.is_none() && before.classic().is_none();
                    if is_of_one_protocol && before.current.epoch != LEAVE_STATIC_EPOCH {
                        return Err(ErrorCode::UnreleasedInstanceId);
                    }
                    replaces = Some(Arc::clone(current));
                }
                Some(_) => return Err(ErrorCode::FencedInstanceId),
                None if is_new => {}
                None => return Err(ErrorCode::UnknownMemberId),
            }
        }
        if let Some(text) = request.subscribed_topic_regex.as_deref()
            && group.expressions.len() >= EXPRESSIONS_MAX
            && !group.expressions.contains_key(text)
            && !text.is_empty()
        {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        let known = group.members.get(replaces.as_ref().unwrap_or(&member));
        if known.is_none() {
            if !joins {
                return Err(ErrorCode::UnknownMemberId);
            }
            let count = i64::try_from(group.members.len()).unwrap_or(i64::MAX);
            if count >= turn.config.consumer_members_max || group.members.len() >= MEMBERS_MAX {
                return Err(ErrorCode::GroupMaxSizeReached);
            }
        }
        let of = known.cloned().unwrap_or_default();
        if !joins {
            check_epoch(&of.current, request)?;
        }
        let metadata = metadata(of.metadata, caller, request, classic);
        let target = group.targets.get(replaces.as_ref().unwrap_or(&member)).cloned().unwrap_or_default();
        let mut current = of.current;
        if let Some(replaced) = &replaces {
            // It has what the one before it had.
            turn.decision.records.extend(member_tombstones(id, replaced));
            turn.decision.records.push(target_record(id, &member, Some(&target)));
        }
        if current.epoch == LEAVE_STATIC_EPOCH {
            current.epoch = current.previous_epoch;
        }
        Ok(Self {
            id,
            group,
            epoch: group.epoch,
            member,
            metadata,
            current,
            target,
            expressions: BTreeMap::new(),
            replaces,
            has_changed: false,
        })
    }

    fn known(&self) -> Option<&'a Member> {
        self.group.members.get(self.replaces.as_ref().unwrap_or(&self.member))
    }

    /// Writes down what the member subscribes to, and raises the group's epoch if the partitions have to be divided anew.
    /// The topics have been looked up before in the image at `seen`.
    fn subscribe(&mut self, turn: &mut Turn<'_>, seen: Option<Offset>) {
        let is_unseen = seen != Some(turn.image.topics_offset());
        let before = self.known().map(|member| &member.metadata);
        let expression = self.metadata.subscribed_topic_regex.clone().filter(|text| !text.is_empty());
        let mut is_changed = before.is_none();
        // First: what is matched again here may be forgotten below.
        if is_unseen {
            self.expressions = refresh(turn, self.id, self.group);
        }
        self.has_changed = before != Some(&self.metadata) || self.replaces.is_some();
        if self.has_changed {
            turn.decision.records.push(member_record(self.id, &self.member, Some(self.metadata.clone())));
        }
        if let Some(before) = before {
            is_changed |= before.subscribed_topic_names != self.metadata.subscribed_topic_names;
            if before.subscribed_topic_regex != self.metadata.subscribed_topic_regex {
                is_changed = true;
                let member = self.replaces.as_ref().unwrap_or(&self.member);
                forget_expressions(turn, self.id, self.group, &BTreeSet::from([Arc::clone(member)]));
            }
        }
        if let Some(text) = expression
            && !self.group.expressions.contains_key(&text)
        {
            let found = matches(turn, &text);
            self.expressions.insert(text.clone(), found.topics.clone());
            turn.decision.records.push(expression_record(self.id, &text, Some(found)));
        }
        if !is_changed && !is_unseen {
            return;
        }
        let hash = metadata_hash(&self.topics(turn));
        if is_changed || hash != self.group.metadata_hash {
            self.epoch += 1;
            turn.decision.records.push(group_record(self.id, self.epoch, hash));
        }
    }

    /// The members as they will be.
    fn members(&self) -> impl Iterator<Item = (&MemberId, &ConsumerGroupMemberMetadataValue)> {
        let gone = self.replaces.as_ref();
        let others = self.group.members.iter().map(|(id, member)| (id, &member.metadata));
        let others = others.filter(move |(id, _)| **id != self.member && Some(*id) != gone);
        others.chain([(&self.member, &self.metadata)])
    }

    fn names<'n>(&'n self, metadata: &'n ConsumerGroupMemberMetadataValue) -> impl Iterator<Item = &'n str> {
        let matched = metadata.subscribed_topic_regex.as_ref().and_then(|text| {
            self.expressions.get(text).or_else(|| self.group.expressions.get(text).map(|matches| &matches.topics))
        });
        metadata.subscribed_topic_names.iter().chain(matched.into_iter().flatten()).map(String::as_str)
    }

    fn topics(&self, turn: &Turn<'_>) -> BTreeMap<Uuid, i32> {
        let names: BTreeSet<_> = self.members().flat_map(|(_, metadata)| self.names(metadata)).collect();
        known(turn.image, names)
    }

    /// Divides the partitions, if the group's epoch has moved on since that was done last.
    fn divide(&mut self, turn: &mut Turn<'_>) {
        if self.epoch == self.group.assignment_epoch {
            return;
        }
        let topics = self.topics(turn);
        let asked = self.members().filter_map(|(_, metadata)| metadata.server_assignor.as_deref());
        let assignor = preferred(asked, turn.config.default_assignor());
        let targets = assign(assignor, &self.readers(turn), &topics);
        for (id, target) in &targets {
            let before = if *id == self.member { Some(&self.target) } else { self.group.targets.get(id) };
            if before != Some(target) && !(before.is_none() && target.is_empty()) {
                turn.decision.records.push(target_record(self.id, id, Some(target)));
            }
        }
        turn.decision.records.push(target_epoch_record(self.id, self.epoch, turn.now.wall.get()));
        self.target = targets.get(&self.member).cloned().unwrap_or_default();
    }

    /// Whoever asks for more than its group may take is refused. Where it is the topics that have grown, the group stays
    /// divided as it is: its members have not asked for that, and go on.
    fn keep_within_bounds(&mut self, turn: &mut Turn<'_>) -> Result<(), ErrorCode> {
        if turn.decision.records.is_empty() {
            return Ok(());
        }
        let after = self.group.bytes_after(self.id, &turn.decision.records);
        if after <= GROUP_BYTES_MAX || after <= self.group.bytes(self.id) {
            return Ok(());
        }
        turn.decision.records.clear();
        if self.has_changed {
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        self.expressions.clear();
        self.epoch = self.group.assignment_epoch;
        self.target = self.group.targets.get(&self.member).cloned().unwrap_or_default();
        Ok(())
    }

    fn readers(&self, turn: &Turn<'_>) -> Vec<Reader<'_>> {
        let reader = |(id, metadata)| {
            let of: &ConsumerGroupMemberMetadataValue = metadata;
            Reader {
                id,
                instance: of.instance_id.as_deref(),
                topics: known(turn.image, self.names(of)).into_keys().collect(),
                target: if *id == self.member { Some(&self.target) } else { self.group.targets.get(id) },
            }
        };
        self.members().map(reader).collect()
    }

    /// Takes the member's next step to its target.
    fn reconcile(&mut self, turn: &mut Turn<'_>, request: &ConsumerGroupHeartbeatRequest) {
        let replaced = self.replaces.as_ref();
        let is_free = |topic: Uuid, partition: i32| {
            let holder = self.group.holders.get(&(topic, partition));
            holder.is_none_or(|holder| Some(holder) == replaced)
        };
        let owned = owned(request);
        let next = reconcile(&self.current, &self.target, self.epoch, owned.as_ref(), &is_free);
        let before = self.known().map(|member| &member.current);
        if before != Some(&next) || self.replaces.is_some() {
            turn.decision.records.push(current_record(self.id, &self.member, Some(&next)));
        }
        self.current = next;
    }
}

/// Whether a subscription is one that the group can bear.
fn check_subscription(request: &ConsumerGroupHeartbeatRequest) -> Result<(), ErrorCode> {
    if request.subscribed_topic_names.as_ref().is_some_and(|names| names.len() > SUBSCRIBED_TOPICS_MAX) {
        return Err(ErrorCode::InvalidRequest);
    }
    if request.subscribed_topic_regex.as_ref().is_some_and(|text| text.len() > EXPRESSION_BYTES_MAX) {
        return Err(ErrorCode::InvalidRegularExpression);
    }
    Ok(())
}

/// A member may have missed the answer that raised its epoch.
fn check_epoch(current: &Current, request: &ConsumerGroupHeartbeatRequest) -> Result<(), ErrorCode> {
    let epoch = request.member_epoch;
    if epoch == current.epoch {
        return Ok(());
    }
    let has_missed_an_answer = epoch == current.previous_epoch && epoch < current.epoch;
    let is_subset = owned(request).is_some_and(|owned| {
        owned.iter().all(|(topic, of)| {
            let assigned = current.assigned.get(topic);
            of.iter().all(|partition| assigned.is_some_and(|assigned| assigned.contains_key(partition)))
        })
    });
    if has_missed_an_answer && is_subset { Ok(()) } else { Err(ErrorCode::FencedMemberEpoch) }
}

/// What is known of the member, with what it says now. Nothing said is nothing changed.
fn metadata(
    before: ConsumerGroupMemberMetadataValue,
    caller: &Caller,
    request: &ConsumerGroupHeartbeatRequest,
    classic: Option<ClassicJoin>,
) -> ConsumerGroupMemberMetadataValue {
    let names = request.subscribed_topic_names.clone().map(|mut names| {
        names.sort_unstable();
        names.dedup();
        names
    });
    let expression = request.subscribed_topic_regex.clone();
    let timeout = request.rebalance_timeout_ms;
    ConsumerGroupMemberMetadataValue {
        instance_id: request.instance_id.clone().or(before.instance_id),
        rack_id: request.rack_id.clone().or(before.rack_id),
        client_id: caller.client_id.clone(),
        client_host: caller.client_host.clone(),
        subscribed_topic_names: names.unwrap_or(before.subscribed_topic_names),
        subscribed_topic_regex: expression.or(before.subscribed_topic_regex).filter(|text| !text.is_empty()),
        rebalance_timeout_ms: if timeout < 0 { before.rebalance_timeout_ms } else { timeout },
        server_assignor: request.server_assignor.clone().or(before.server_assignor),
        classic_member_metadata: classic.map(|classic| classic.metadata),
    }
}
