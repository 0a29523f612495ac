//! The group coordinator: consumer groups and their committed offsets. There is one machine per partition of
//! `__consumer_offsets`, for the groups whose ids fall on it.
//!
//! What its log says is [`GroupState`]: committed offsets, and the last generation of each group. Only replay changes it.
//! Who is connected at the moment, and what they wait for, are *sessions*. They are made anew from the state when a machine
//! begins to serve, and also when a decision could not be written: whoever was waiting then asks again.

mod admin;
mod classic;
mod offsets;
mod request;
mod state;
mod timers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::group_log::{GroupMetadataKey, GroupRecord};
use ringlog_net::messages::join_group::JoinGroupRequest;
use ringlog_net::messages::leave_group::{LeaveGroupRequest, LeaveGroupResponse, MemberResponse};
use ringlog_storage::types::{Millis, Nanos, Offset, PartitionIndex, Uuid};

use crate::config::GroupConfig;
use crate::coordinator::{self, Coordinator};

use classic::ClassicGroup;
use state::GroupState;
use timers::{Owner, Timers};

pub use request::{Answer, Caller, GroupReply, GroupRequest, GroupResponse, Ticket};
pub use state::{GroupReplayError, value_version};

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
    sessions: BTreeMap<GroupId, ClassicGroup>,
    timers: Timers,
    config: Arc<GroupConfig>,
    /// When offsets that nobody needs any more are looked for.
    next_cleanup: Nanos,
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
    config: &'a GroupConfig,
    timers: &'a mut Timers,
    decision: Decision,
}

impl Turn<'_> {
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
        }
    }

    /// Begins to serve, with the log replayed to its end; or begins anew, because a decision could not be written. Answers
    /// whoever was waiting.
    pub fn open(&mut self, now: Now, code: ErrorCode) -> Vec<Answer> {
        let answers = self.resign(code);
        self.timers = Timers::default();
        let mut turn =
            Turn { now, config: &self.config, timers: &mut self.timers, decision: Decision::reply(Vec::new()) };
        for id in self.state.groups() {
            let group = match self.state.classic(id) {
                Some(written) => ClassicGroup::open(Arc::clone(id), written, &mut turn),
                None => ClassicGroup::new(Arc::clone(id), now.wall),
            };
            self.sessions.insert(Arc::clone(id), group);
        }
        self.next_cleanup = self.cleanup_after(now);
        answers
    }

    /// Ends all sessions. Answers whoever was waiting.
    pub fn resign(&mut self, code: ErrorCode) -> Vec<Answer> {
        let waiting = self.sessions.values().flat_map(ClassicGroup::waiting);
        let answers = waiting.map(|ticket| Answer { ticket, reply: Err(code) }).collect();
        self.sessions.clear();
        answers
    }

    /// Takes a request.
    pub fn handle(&mut self, now: Now, ticket: Ticket, caller: &Caller, request: GroupRequest) -> Decision {
        self.decide(now, |groups, turn| {
            let reply = match request {
                GroupRequest::Join(request, id_bits) => {
                    return groups.join(turn, ticket, caller, request, id_bits);
                }
                GroupRequest::Sync(request) => return groups.member_of(&request.group_id)?.sync(turn, ticket, request),
                GroupRequest::Heartbeat(request) => {
                    groups.member_of(&request.group_id)?.heartbeat(turn, &request).map(|()| GroupResponse::Heartbeat)
                }
                GroupRequest::Leave(request) => Ok(GroupResponse::Leave(groups.leave(turn, &request))),
                GroupRequest::CommitOffsets(request) => {
                    groups.commit_offsets(turn, caller, request).map(GroupResponse::CommitOffsets)
                }
                GroupRequest::FetchOffsets(request) => Ok(GroupResponse::FetchOffsets(groups.fetch_offsets(request))),
                GroupRequest::DeleteOffsets(request) => {
                    groups.delete_offsets(turn, request).map(GroupResponse::DeleteOffsets)
                }
                GroupRequest::Describe(group) => Ok(GroupResponse::Describe(groups.describe(caller, &group))),
                GroupRequest::List(request) => Ok(GroupResponse::List(groups.list(&request))),
                GroupRequest::Delete(group) => Ok(GroupResponse::Delete(groups.delete(turn, group))),
            };
            turn.answer(ticket, reply?);
            Ok(())
        })
        .unwrap_or_else(|code| Decision::reply(vec![Answer { ticket, reply: Err(code) }]))
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called.
    pub fn next_deadline(&self) -> Nanos {
        self.timers.next().map_or(self.next_cleanup, |at| at.min(self.next_cleanup))
    }

    /// Ends what takes too long.
    pub fn handle_timeout(&mut self, now: Now) -> Decision {
        let decided = self.decide(now, |groups, turn| {
            while let Some(Owner { group, member }) = turn.timers.pop(now.monotonic) {
                let Some(session) = groups.sessions.get_mut(&group) else { continue };
                match member {
                    Some(member) => session.member_timeout(turn, &member),
                    None => session.phase_timeout(turn),
                }
            }
            if groups.next_cleanup <= now.monotonic {
                groups.next_cleanup = groups.cleanup_after(now);
                groups.clean_up(turn);
            }
            Ok(())
        });
        decided.unwrap_or_else(|_| unreachable!("time is not refused"))
    }

    /// Forgets offsets of topics that are gone. A topic without an id is one that was committed before topics had ids.
    pub fn forget_topics(&mut self, now: Now, is_gone: &dyn Fn(&str, Uuid) -> bool) -> Decision {
        let decided = self.decide(now, |groups, turn| {
            groups.forget_topics_in(turn, is_gone);
            Ok(())
        });
        decided.unwrap_or_else(|_| unreachable!("a topic's end is not refused"))
    }

    /// Runs one command. The timers are lent to it, since it works on sessions at the same time.
    fn decide(
        &mut self,
        now: Now,
        command: impl FnOnce(&mut Self, &mut Turn<'_>) -> Result<(), ErrorCode>,
    ) -> Result<Decision, ErrorCode> {
        let config = Arc::clone(&self.config);
        let mut timers = std::mem::take(&mut self.timers);
        let decision = Decision::reply(Vec::new());
        let mut turn = Turn { now, config: &config, timers: &mut timers, decision };
        let result = command(self, &mut turn);
        let decision = turn.decision;
        self.timers = timers;
        result.map(|()| decision)
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
        if !self.sessions.contains_key(request.group_id.as_str()) {
            if !request.member_id.is_empty() {
                return Err(ErrorCode::UnknownMemberId);
            }
            self.create(turn, &request.group_id)?;
        }
        self.member_of(&request.group_id)?.join(turn, ticket, caller, request, id_bits)
    }

    fn create(&mut self, turn: &Turn<'_>, group: &str) -> Result<(), ErrorCode> {
        if self.sessions.len() >= GROUPS_MAX {
            return Err(ErrorCode::CoordinatorNotAvailable);
        }
        let id = GroupId::from(group);
        self.sessions.insert(Arc::clone(&id), ClassicGroup::new(id, turn.now.wall));
        Ok(())
    }

    /// The group that somebody claims to be a member of.
    fn member_of(&mut self, group: &str) -> Result<&mut ClassicGroup, ErrorCode> {
        self.sessions.get_mut(group).ok_or(ErrorCode::UnknownMemberId)
    }

    fn leave(&mut self, turn: &mut Turn<'_>, request: &LeaveGroupRequest) -> LeaveGroupResponse {
        if let Some(group) = self.sessions.get_mut(request.group_id.as_str()) {
            return group.leave(turn, request);
        }
        let stranger = |member: &ringlog_net::messages::leave_group::MemberIdentity| MemberResponse {
            member_id: member.member_id.clone(),
            group_instance_id: member.group_instance_id.clone(),
            error_code: ErrorCode::UnknownMemberId.code(),
        };
        LeaveGroupResponse { members: request.members.iter().map(stranger).collect(), ..LeaveGroupResponse::default() }
    }

    /// The record that ends a group.
    fn tombstone(group: &str) -> GroupRecord {
        GroupRecord::GroupMetadata(GroupMetadataKey { group: group.to_owned() }, None)
    }
}

impl Coordinator for Groups {
    type Record = GroupRecord;
    type Error = GroupReplayError;

    fn replay(&mut self, _: Offset, record: &GroupRecord) -> Result<(), GroupReplayError> {
        self.state.replay(record)
    }

    fn compact(&self, log: &[GroupRecord]) -> Result<Vec<GroupRecord>, GroupReplayError> {
        Ok(state::compact(log))
    }
}

#[cfg(test)]
mod tests;
