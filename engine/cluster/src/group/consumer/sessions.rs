//! How long the members of a consumer group may be silent, and how long they may take to give partitions back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::messages::group_log::ConsumerGroupMemberMetadataValue;
use ringlog_storage::types::{Nanos, Offset};

use super::{ConsumerGroup, Current, MemberState};
use crate::group::news::MemberChange;
use crate::group::timers::{Alarm, Owner};
use crate::group::{GroupId, MemberId, Turn};

/// The timers of a consumer group's members.
#[derive(Clone, Default, Debug)]
pub(in crate::group) struct ConsumerSessions {
    members: BTreeMap<MemberId, MemberSession>,
    /// The image that the group's topics were looked up in last.
    pub(super) seen: Option<Offset>,
}

#[derive(Clone, Default, Debug)]
struct MemberSession {
    /// It is out unless it has sent a heartbeat by then.
    ends: Nanos,
    /// It is out unless it has done by then what the group waits for: given partitions back; or, if it is of the classic
    /// protocol, joined again, or asked for its assignment.
    acts_by: Option<Nanos>,
    alarm: Alarm,
}

/// Whether the group waits for a member to act, after a sign of life of it. It has its rebalance timeout to do so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Awaited {
    No,
    AsBefore,
    /// Since now, if it was not awaited before.
    Yes,
    /// Since now: it has done one thing, and has to do another.
    FromNow,
}

impl Awaited {
    /// Whoever is told to give back something else has its time for that from now on, as in Kafka.
    pub(super) fn to_give_back(before: &Current, current: &Current) -> Self {
        match current.state {
            MemberState::UnrevokedPartitions if current == before => Self::Yes,
            MemberState::UnrevokedPartitions => Self::FromNow,
            MemberState::Stable | MemberState::UnreleasedPartitions => Self::No,
        }
    }
}

impl ConsumerSessions {
    /// Everybody's session begins anew.
    pub(in crate::group) fn open(id: &GroupId, group: &ConsumerGroup, turn: &mut Turn<'_>) -> Self {
        let mut sessions = Self::default();
        for (member, of) in &group.members {
            sessions.renew(turn, id, member, &of.metadata, Awaited::to_give_back(&of.current, &of.current));
        }
        sessions
    }

    /// A member has shown that it lives.
    pub(super) fn renew(
        &mut self,
        turn: &mut Turn<'_>,
        group: &GroupId,
        id: &MemberId,
        metadata: &ConsumerGroupMemberMetadataValue,
        awaited: Awaited,
    ) {
        let millis = |millis: i64| Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        let classic = metadata.classic_member_metadata.as_ref();
        let own = || turn.config.consumer_session_timeout_ms_of(turn.image.group_settings(group));
        let timeout_ms = classic.map_or_else(own, |classic| classic.session_timeout_ms.into());
        let now = turn.now.monotonic;
        let session = self.members.entry(Arc::clone(id)).or_default();
        session.ends = now.saturating_add(millis(timeout_ms));
        let acts_by = now.saturating_add(millis(metadata.rebalance_timeout_ms.into()));
        session.acts_by = match awaited {
            Awaited::No => None,
            Awaited::AsBefore => session.acts_by,
            Awaited::Yes => session.acts_by.or(Some(acts_by)),
            Awaited::FromNow => Some(acts_by),
        };
        let due = session.due();
        turn.timers.set(&mut session.alarm, due, || owner(group, id));
    }

    /// Ends them all.
    pub(in crate::group) fn close(self, turn: &mut Turn<'_>, group: &GroupId) {
        for (id, session) in &self.members {
            turn.timers.remove(&session.alarm, owner(group, id));
        }
    }

    pub(super) fn remove(&mut self, turn: &mut Turn<'_>, group: &GroupId, id: &MemberId) {
        if let Some(session) = self.members.remove(id) {
            turn.timers.remove(&session.alarm, owner(group, id));
        }
    }

    /// Whether a member's time is over.
    pub(in crate::group) fn is_over(&mut self, turn: &mut Turn<'_>, group: &GroupId, id: &MemberId) -> bool {
        let Some(session) = self.members.get_mut(id) else { return false };
        turn.timers.is_due(&mut session.alarm, turn.now.monotonic, || owner(group, id))
    }

    /// What a member did not do in time.
    pub(super) fn lapse(&self, now: Nanos, id: &MemberId) -> MemberChange {
        match self.members.get(id) {
            Some(session) if now < session.ends => MemberChange::NotActed,
            _ => MemberChange::Silent,
        }
    }

    /// All members whose time is over.
    pub(super) fn over(&self, now: Nanos) -> impl Iterator<Item = &MemberId> {
        self.members.iter().filter(move |(_, session)| session.due() <= now).map(|(id, _)| id)
    }
}

impl MemberSession {
    /// When it is out at the latest.
    fn due(&self) -> Nanos {
        self.acts_by.map_or(self.ends, |by| by.min(self.ends))
    }
}

fn owner(group: &GroupId, id: &MemberId) -> Owner {
    Owner { group: Arc::clone(group), member: Some(Arc::clone(id)) }
}
