//! What is told of groups to whoever watches them: who is in them, and how far they have read.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use ringlog_storage::types::{Offset, PartitionIndex};

use super::consumer::ConsumerGroup;
use super::embedded::CONSUMER_PROTOCOL_TYPE;
use super::{GroupId, Groups, Session};

/// One group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupFacts {
    /// Its name.
    pub group: Arc<str>,
    /// `classic` or `consumer`.
    pub group_type: &'static str,
    /// What its members say that they are for.
    pub protocol_type: Arc<str>,
    /// As Kafka calls it.
    pub state: &'static str,
    /// Its members.
    pub members: usize,
    /// Its generation, or its epoch where it speaks the consumer protocol: one more with each rebalance.
    pub epoch: i32,
    /// What it has committed.
    pub offsets: Vec<CommittedOffset>,
}

/// How far a group has read a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommittedOffset {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: PartitionIndex,
    /// The next offset that it wants.
    pub offset: Offset,
}

impl Groups {
    /// The groups behind the one of this name, in the order of their names; no more once they have `rows_max` groups and
    /// offsets together, but always one if there is any.
    pub fn facts_after(&self, group: Option<&str>, rows_max: usize) -> Vec<GroupFacts> {
        let from = group.map_or(Unbounded, Excluded);
        let mut facts = Vec::new();
        let mut rows = 0;
        for (id, session) in self.sessions.range::<str, _>((from, Unbounded)) {
            let of_group = self.facts(id, session);
            rows += 1 + of_group.offsets.len();
            facts.push(of_group);
            if rows >= rows_max {
                break;
            }
        }
        facts
    }

    fn facts(&self, id: &GroupId, session: &Session) -> GroupFacts {
        let (group_type, protocol_type, state, members, epoch) = match session {
            Session::Classic(group) => {
                ("classic", group.protocol_type().into(), group.state_name(), group.len(), group.generation())
            }
            Session::Consumer(_) => {
                let group = self.state.consumer(id);
                let state = group.map_or("Empty", ConsumerGroup::state_name);
                let (members, epoch) = group.map_or((0, 0), |group| (group.len(), group.epoch()));
                ("consumer", CONSUMER_PROTOCOL_TYPE.into(), state, members, epoch)
            }
        };
        let topics = self.state.offsets(id).into_iter().flatten();
        let offsets = topics.flat_map(|(topic, partitions)| {
            partitions.iter().map(|(partition, value)| CommittedOffset {
                topic: Arc::clone(topic),
                partition: PartitionIndex::new(*partition),
                offset: Offset::new(value.offset),
            })
        });
        let (group, offsets) = (Arc::clone(id), offsets.collect());
        GroupFacts { group, group_type, protocol_type, state, members, epoch, offsets }
    }
}
