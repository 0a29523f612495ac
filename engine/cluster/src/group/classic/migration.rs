//! The members of a classic group on their way into a consumer group, and back.

use std::sync::Arc;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::join_group::JoinGroupRequestProtocol;
use ringlog_storage::types::Millis;

use super::{ClassicGroup, Member, Phase, duration, millis};
use crate::group::embedded::CONSUMER_PROTOCOL_TYPE;
use crate::group::limits::GROUP_BYTES_MAX;
use crate::group::migration::Migrant;
use crate::group::timers::Alarm;
use crate::group::{GroupId, MemberId, Turn};

impl ClassicGroup {
    /// The generation that its members are in, or were in last.
    pub(in crate::group) fn generation(&self) -> i32 {
        self.generation
    }

    /// Its members. The protocol that they all use is the first of each.
    pub(in crate::group) fn migrants(&self) -> Vec<Migrant> {
        let migrant = |(id, member): (&MemberId, &Member)| {
            let mut protocols: Vec<_> =
                member.protocols.iter().map(|offered| (offered.name.clone(), offered.metadata.clone())).collect();
            // The others keep their order.
            protocols.sort_by_key(|(name, _)| Some(name) != self.protocol.as_ref());
            Migrant {
                id: Arc::clone(id),
                instance_id: member.instance_id.as_deref().map(str::to_owned),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: millis(member.rebalance_timeout),
                session_timeout_ms: millis(member.session_timeout),
                protocols,
                assignment: member.assignment.clone(),
            }
        };
        self.members.iter().map(migrant).collect()
    }

    /// A stable group of these members; `None` if they would take too much in the log, or have no protocol in common.
    pub(in crate::group) fn of_migrants(
        id: GroupId,
        generation: i32,
        migrants: Vec<Migrant>,
        now: Millis,
    ) -> Option<Self> {
        let mut group = Self::new(id, now);
        (group.phase, group.generation) = (Phase::Stable, generation);
        group.protocol_type = Some(CONSUMER_PROTOCOL_TYPE.to_owned());
        group.leader = migrants.first().map(|first| Arc::clone(&first.id));
        for migrant in migrants {
            let id = Arc::clone(&migrant.id);
            let member = Member::of_migrant(migrant);
            if let Some(instance) = &member.instance_id {
                group.instances.insert(Arc::clone(instance), Arc::clone(&id));
            }
            group.members.insert(id, member);
        }
        group.protocol = Some(group.select_protocol()?);
        (group.bytes() <= GROUP_BYTES_MAX).then_some(group)
    }

    /// Its members' sessions begin, and all of them have to join: what they have was divided among others too.
    pub(in crate::group) fn begin(&mut self, turn: &mut Turn<'_>) {
        let ids: Vec<_> = self.members.keys().cloned().collect();
        for id in ids {
            self.renew_session(turn, &id);
        }
        self.begin_rebalance(turn);
    }

    /// Ends it. Whoever waits is told why.
    pub(in crate::group) fn close(&self, turn: &mut Turn<'_>, code: ErrorCode) {
        for ticket in self.waiting() {
            turn.refuse(ticket, code);
        }
        turn.timers.remove(&self.alarm, self.owner(None));
        for (id, alarm) in self.members.iter().map(|(id, member)| (id, &member.alarm)).chain(self.pending.iter()) {
            turn.timers.remove(alarm, self.owner(Some(id)));
        }
    }
}

impl Member {
    fn of_migrant(migrant: Migrant) -> Self {
        let protocol = |(name, metadata)| JoinGroupRequestProtocol { name, metadata };
        Self {
            instance_id: migrant.instance_id.as_deref().map(Arc::from),
            client_id: migrant.client_id,
            client_host: migrant.client_host,
            rebalance_timeout: duration(migrant.rebalance_timeout_ms),
            session_timeout: duration(migrant.session_timeout_ms),
            protocols: migrant.protocols.into_iter().map(protocol).collect(),
            assignment: migrant.assignment,
            waits: None,
            is_new: false,
            has_synced: true,
            alarm: Alarm::default(),
        }
    }
}
