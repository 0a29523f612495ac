//! The group coordinator: groups of both protocols, and their committed offsets. There is one machine per partition of
//! `__consumer_offsets`, for the groups whose ids fall on it.
//!
//! What its log says is [`GroupState`]: committed offsets, the last generation of each classic group, all of each consumer
//! group. Only replay changes it. Who is connected at the moment, and what they wait for, are *sessions*. They are made
//! anew from the state when a machine begins to serve; those of a group also when a decision about it could not be written:
//! whoever was waiting then asks again.

mod admin;
mod classic;
mod consumer;
pub mod embedded;
mod facts;
mod limits;
mod migration;
mod news;
mod offsets;
mod request;
mod state;
mod timers;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::{GroupMetadataKey, GroupRecord};
use ringlog_net::messages::join_group::JoinGroupRequest;
use ringlog_net::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberIdentity, MemberResponse};
use ringlog_storage::types::{Millis, Nanos, Offset, PartitionIndex};

use crate::config::GroupConfig;
use crate::coordinator::{self, Coordinator};
use crate::image::Image;

use classic::ClassicGroup;
use consumer::{ConsumerGroup, ConsumerSessions};
use limits::DECIDED_BYTES_MAX;
use news::NEWS_MAX;
use state::{GroupState, group_of, record_bytes};
use timers::{Owner, Timers};

pub use consumer::{JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH};
pub use facts::{CommittedOffset, GroupFacts};
pub use limits::{DECISION_BYTES_MAX, EXPRESSIONS_MAX, GROUP_BYTES_MAX, MEMBERS_MAX, SUBSCRIBED_TOPICS_MAX};
pub use news::{GroupNews, MemberChange};
pub use request::{Answer, Caller, GroupReply, GroupRequest, GroupResponse, Ticket};
pub use state::value_version;

/// A group's name.
type GroupId = Arc<str>;
/// A member's id.
type MemberId = Arc<str>;

/// Groups of one coordinator. Beyond, no new ones are made until others are deleted or expire.
pub const GROUPS_MAX: usize = 100_000;

/// A decision of a group coordinator. Its answers need not be those to the request that led to it.
pub type Decision = coordinator::Decision<GroupRecord, Vec<Answer>>;

/// What time it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Now {
    /// For sessions and timeouts.
    pub monotonic: Nanos,
    /// For what is written down.
    pub wall: Millis,
}

/// The partition of `__consumer_offsets` whose leader coordinates a group: clients and tools compute the same.
pub fn partition_of(group: &str, partitions: i32) -> PartitionIndex {
    let hash = group.encode_utf16().fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    // Java has no absolute value of the least number either, and takes 0.
    PartitionIndex::new(hash.checked_abs().unwrap_or(0) % partitions.max(1))
}

/// One coordinator's machine.
#[derive(Clone, Debug)]
pub struct Groups {
    state: GroupState,
    sessions: BTreeMap<GroupId, Session>,
    timers: Timers,
    config: Arc<GroupConfig>,
    /// When offsets that nobody needs any more are looked for.
    next_cleanup: Nanos,
    /// From which group on.
    cleanup_from: GroupId,
    /// From which group on there may be offsets of topics that are gone, if there may be some.
    forget_from: Option<GroupId>,
    /// Of the last decision.
    news: Vec<GroupNews>,
}

/// Who is in a group at the moment.
#[derive(Clone, Debug)]
enum Session {
    /// A group whose members divide the partitions themselves; or one without members.
    Classic(Box<ClassicGroup>),
    /// A group whose partitions the coordinator divides.
    Consumer(ConsumerSessions),
}

/// Machines are equal if their logs say the same.
impl PartialEq for Groups {
    fn eq(&self, other: &Self) -> bool {
        self.state == other.state
    }
}

/// One command at work.
struct Turn<'a> {
    now: Now,
    image: &'a Image,
    config: &'a GroupConfig,
    timers: &'a mut Timers,
    decision: Decision,
    /// How many of its records are counted in `bytes`.
    counted: usize,
    /// What those take in the log.
    bytes: usize,
    /// Some of what had to be decided is left for another decision.
    is_cut: bool,
    news: Vec<GroupNews>,
}

impl Turn<'_> {
    /// Whether there may be no room for what would be written about one more group: that is left for another decision.
    fn is_full(&mut self) -> bool {
        self.bytes += self.decision.records[self.counted..].iter().map(record_bytes).sum::<usize>();
        self.counted = self.decision.records.len();
        self.is_cut || self.bytes > DECIDED_BYTES_MAX
    }

    /// Notes what has changed about a member of this client.
    fn tell(&mut self, group: &GroupId, member: &MemberId, client: [&str; 2], change: MemberChange) {
        if self.news.len() < NEWS_MAX {
            let (group, member) = (Arc::clone(group), Arc::clone(member));
            let [client_id, client_host] = client.map(str::to_owned);
            self.news.push(GroupNews { group, member, client_id, client_host, change });
        }
    }

    fn answer(&mut self, ticket: Ticket, response: GroupResponse) {
        self.decision.reply.push(Answer { ticket, reply: Ok(response) });
    }

    fn refuse(&mut self, ticket: Ticket, code: ErrorCode) {
        self.decision.reply.push(Answer { ticket, reply: Err(code) });
    }
}

impl Groups {
    /// The machine before the first record of its log.
    pub fn new(config: Arc<GroupConfig>) -> Self {
        Self {
            state: GroupState::default(),
            sessions: BTreeMap::new(),
            timers: Timers::default(),
            config,
            next_cleanup: Nanos::default(),
            cleanup_from: GroupId::default(),
            forget_from: None,
            news: Vec::new(),
        }
    }

    /// Begins to serve, with the log replayed to its end. Answers whoever was waiting.
    pub fn open(&mut self, now: Now, image: &Image, code: ErrorCode) -> Vec<Answer> {
        let answers = self.resign(code);
        self.timers = Timers::default();
        let groups: Vec<_> = self.state.groups().cloned().collect();
        let opened = self.decide(now, image, |machine, turn| {
            for id in &groups {
                machine.open_group(turn, id);
            }
        });
        assert!(opened.records.is_empty(), "what the log says already is not written again");
        self.next_cleanup = self.cleanup_after(now);
        // Topics may have been deleted while nobody served here.
        self.topics_deleted();
        answers
    }

    /// A decision could not be written, so what the machine remembers of its groups is not so: their sessions begin anew,
    /// with what the log says. The other groups go on. Answers whoever was waiting in them; the answers of the decision
    /// itself are the caller's.
    pub fn reopen(&mut self, now: Now, image: &Image, undone: &Decision, code: ErrorCode) -> Vec<Answer> {
        let groups: BTreeSet<_> = undone.records.iter().map(group_of).collect();
        let opened = self.decide(now, image, |machine, turn| {
            for id in groups {
                let id = GroupId::from(id);
                match machine.sessions.remove(&id) {
                    Some(Session::Classic(group)) => group.close(turn, code),
                    Some(Session::Consumer(sessions)) => sessions.close(turn, &id),
                    None => {}
                }
                machine.open_group(turn, &id);
            }
        });
        assert!(opened.records.is_empty(), "what the log says already is not written again");
        if self.next_cleanup <= now.monotonic {
            // It may have been what could not be written.
            self.next_cleanup = self.cleanup_after(now);
        }
        opened.reply
    }

    /// Makes the sessions of a group from what the log says of it, if anything.
    fn open_group(&mut self, turn: &mut Turn<'_>, id: &GroupId) {
        let session = match (self.state.consumer(id), self.state.classic(id)) {
            (Some(group), _) => Session::Consumer(ConsumerSessions::open(id, group, turn)),
            (None, Some(written)) => Session::Classic(Box::new(ClassicGroup::open(Arc::clone(id), written, turn))),
            (None, None) if self.state.offsets(id).is_some() => {
                Session::Classic(Box::new(ClassicGroup::new(Arc::clone(id), turn.now.wall)))
            }
            (None, None) => return,
        };
        self.sessions.insert(Arc::clone(id), session);
    }

    /// Ends all sessions. Answers whoever was waiting.
    pub fn resign(&mut self, code: ErrorCode) -> Vec<Answer> {
        let classic = self.sessions.values().filter_map(|session| match session {
            Session::Classic(group) => Some(group),
            Session::Consumer(_) => None,
        });
        let waiting = classic.flat_map(|group| group.waiting());
        let answers = waiting.map(|ticket| Answer { ticket, reply: Err(code) }).collect();
        self.sessions.clear();
        answers
    }

    /// Takes a request. One that is refused may have changed something on the way: that is written all the same.
    pub fn handle(
        &mut self,
        now: Now,
        image: &Image,
        ticket: Ticket,
        caller: &Caller,
        request: GroupRequest,
    ) -> Decision {
        self.decide(now, image, |groups, turn| match groups.serve(turn, ticket, caller, request) {
            Ok(Some(response)) => turn.answer(ticket, response),
            Ok(None) => {}
            Err(code) => turn.refuse(ticket, code),
        })
    }

    /// Answers nothing where the answer comes later, or is among those of the turn already.
    fn serve(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: GroupRequest,
    ) -> Result<Option<GroupResponse>, ErrorCode> {
        let response = match request {
            GroupRequest::Join(request, id_bits) => {
                self.join(turn, ticket, caller, request, id_bits)?;
                return Ok(None);
            }
            GroupRequest::Sync(request) if self.consumer_group(&request.group_id).is_some() => {
                GroupResponse::Sync(self.sync_consumer_group(turn, &request)?)
            }
            GroupRequest::Sync(request) => {
                self.member_of(&request.group_id)?.sync(turn, ticket, request)?;
                return Ok(None);
            }
            GroupRequest::Heartbeat(request) => {
                if self.consumer_group(&request.group_id).is_some() {
                    self.heartbeat_consumer_group(turn, &request)?;
                } else {
                    self.member_of(&request.group_id)?.heartbeat(turn, &request)?;
                }
                GroupResponse::Heartbeat
            }
            GroupRequest::Leave(request) => GroupResponse::Leave(self.leave(turn, &request)),
            GroupRequest::CommitOffsets(request) => {
                GroupResponse::CommitOffsets(self.commit_offsets(turn, caller, request)?)
            }
            GroupRequest::FetchOffsets(request) => GroupResponse::FetchOffsets(self.fetch_offsets(request)?),
            GroupRequest::DeleteOffsets(request) => GroupResponse::DeleteOffsets(self.delete_offsets(turn, request)?),
            GroupRequest::Describe(group) => GroupResponse::Describe(self.describe(caller, &group)),
            GroupRequest::List(request) => GroupResponse::List(self.list(&request)),
            GroupRequest::ConsumerHeartbeat(request) => {
                GroupResponse::ConsumerHeartbeat(self.consumer_heartbeat(turn, caller, &request)?)
            }
            GroupRequest::ConsumerDescribe(group) => {
                GroupResponse::ConsumerDescribe(self.describe_consumer_group(turn, &group))
            }
            GroupRequest::Delete(group) => GroupResponse::Delete(self.delete(turn, group)),
        };
        Ok(Some(response))
    }

    /// What has changed about members with the last decision.
    pub fn take_news(&mut self) -> Vec<GroupNews> {
        std::mem::take(&mut self.news)
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn next_deadline(&self) -> Nanos {
        if self.forget_from.is_some() {
            return Nanos::default();
        }
        self.timers.next().map_or(self.next_cleanup, |at| at.min(self.next_cleanup))
    }

    /// Ends what takes too long: as much of it as one decision takes. With more, it wants to be called again at once.
    pub fn handle_timeout(&mut self, now: Now, image: &Image) -> Decision {
        self.decide(now, image, |groups, turn| {
            if let Some(from) = groups.forget_from.take() {
                groups.forget_from = groups.forget_missing_topics(turn, &from);
            }
            while !turn.is_full()
                && let Some(Owner { group, member }) = turn.timers.pop(now.monotonic)
            {
                match (groups.sessions.get_mut(&group), member) {
                    (Some(Session::Classic(classic)), Some(member)) => classic.member_timeout(turn, &member),
                    (Some(Session::Classic(classic)), None) => classic.phase_timeout(turn),
                    (Some(Session::Consumer(_)), Some(member)) => {
                        groups.consumer_member_timeout(turn, &group, &member);
                    }
                    (Some(Session::Consumer(_)) | None, _) => {}
                }
            }
            if !turn.is_full() && groups.next_cleanup <= now.monotonic {
                let from = std::mem::take(&mut groups.cleanup_from);
                match groups.clean_up(turn, &from) {
                    Some(next) => groups.cleanup_from = next,
                    None => groups.next_cleanup = groups.cleanup_after(now),
                }
            }
        })
    }

    /// Topics were deleted: their offsets are forgotten at the next call of [`handle_timeout`](Self::handle_timeout), which
    /// is due at once.
    pub fn topics_deleted(&mut self) {
        self.forget_from = Some(GroupId::default());
    }

    /// Runs one command. The timers are lent to it, since it works on sessions at the same time.
    fn decide(&mut self, now: Now, image: &Image, command: impl FnOnce(&mut Self, &mut Turn<'_>)) -> Decision {
        let config = Arc::clone(&self.config);
        let mut timers = std::mem::take(&mut self.timers);
        let decision = Decision::reply(Vec::new());
        let timers = &mut timers;
        let news = Vec::new();
        let mut turn =
            Turn { now, image, config: &config, timers, decision, counted: 0, bytes: 0, is_cut: false, news };
        command(self, &mut turn);
        let Turn { decision, news, .. } = turn;
        self.news = news;
        self.timers = std::mem::take(timers);
        decision
    }

    fn cleanup_after(&self, now: Now) -> Nanos {
        let interval = u64::try_from(self.config.offsets_retention_check_interval_ms).unwrap_or(1);
        now.monotonic.saturating_add(Duration::from_millis(interval))
    }

    fn join(
        &mut self,
        turn: &mut Turn<'_>,
        ticket: Ticket,
        caller: &Caller,
        request: JoinGroupRequest,
        id_bits: u128,
    ) -> Result<(), ErrorCode> {
        let timeout = i64::from(request.session_timeout_ms);
        if !(turn.config.session_timeout_ms_min..=turn.config.session_timeout_ms_max).contains(&timeout) {
            return Err(ErrorCode::InvalidSessionTimeout);
        }
        match self.sessions.get(request.group_id.as_str()) {
            Some(Session::Classic(_)) => {}
            Some(Session::Consumer(_)) => {
                let id = GroupId::from(request.group_id.as_str());
                if !self.give_to_classic_member(turn, &id, &request)? {
                    let response = self.join_consumer_group(turn, caller, &request, id_bits)?;
                    turn.answer(ticket, GroupResponse::Join(response));
                    return Ok(());
                }
            }
            None if request.member_id.is_empty() => self.create(turn, &request.group_id)?,
            None => return Err(ErrorCode::UnknownMemberId),
        }
        self.member_of(&request.group_id)?.join(turn, ticket, caller, request, id_bits)
    }

    fn create(&mut self, turn: &Turn<'_>, group: &str) -> Result<(), ErrorCode> {
        self.check_room()?;
        let id = GroupId::from(group);
        let created = ClassicGroup::new(Arc::clone(&id), turn.now.wall);
        self.sessions.insert(id, Session::Classic(Box::new(created)));
        Ok(())
    }

    /// Whether there may be another group.
    fn check_room(&self) -> Result<(), ErrorCode> {
        if self.sessions.len() < GROUPS_MAX { Ok(()) } else { Err(ErrorCode::GroupMaxSizeReached) }
    }

    /// The consumer group of this name.
    fn consumer_group(&self, group: &str) -> Option<&ConsumerGroup> {
        match self.sessions.get(group) {
            Some(Session::Consumer(_)) => self.state.consumer(group),
            Some(Session::Classic(_)) | None => None,
        }
    }

    /// The classic group that somebody claims to be a member of.
    fn member_of(&mut self, group: &str) -> Result<&mut ClassicGroup, ErrorCode> {
        match self.sessions.get_mut(group) {
            Some(Session::Classic(group)) => Ok(group),
            Some(Session::Consumer(_)) | None => Err(ErrorCode::UnknownMemberId),
        }
    }

    fn leave(&mut self, turn: &mut Turn<'_>, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        let left = match self.member_of(&request.group_id) {
            Ok(group) => group.leave(turn, request),
            Err(_) => self.leave_consumer_group(turn, request),
        };
        let member = |(member, left): (&MemberIdentity, Result<(), ErrorCode>)| MemberResponse {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            error_code: left.err().unwrap_or(ErrorCode::None).code(),
        };
        let members = request.members.iter().zip(left).map(member).collect();
        LeaveGroupResponse { members, ..LeaveGroupResponse::default() }
    }

    /// The record that ends a classic group.
    fn tombstone(group: &str) -> GroupRecord {
        GroupRecord::GroupMetadata(GroupMetadataKey { group: group.to_owned() }, None)
    }
}

impl Coordinator for Groups {
    type Record = GroupRecord;
    type Error = Infallible;

    fn replay(&mut self, _: Offset, record: &GroupRecord) -> Result<(), Infallible> {
        self.state.replay(record);
        Ok(())
    }

    fn compact(&self, log: &[GroupRecord]) -> Result<Vec<GroupRecord>, Infallible> {
        Ok(state::compact(log))
    }
}

#[cfg(test)]
mod tests;
