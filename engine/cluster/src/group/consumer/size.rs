//! What a consumer group takes: no less than its records take in the log, and about what it takes in memory.

use ringlog_net::messages::group_log::{
    ConsumerGroupMemberMetadataValue, ConsumerGroupRegularExpressionValue, GroupRecord,
};

use super::{ConsumerGroup, Current, Partitions};

/// What a record takes besides its texts and its topics.
const RECORD_BYTES: usize = 96;
/// What a topic takes in an assignment besides its partitions.
const TOPIC_BYTES: usize = 40;
/// What a partition takes in a target, and a number anywhere.
const NUMBER_BYTES: usize = 4;

impl ConsumerGroup {
    /// What the group takes by now.
    pub(super) fn bytes(&self, id: &str) -> usize {
        let member = |(name, of): (&super::MemberId, &super::Member)| {
            member_bytes(id, name, &of.metadata) + current_bytes(&of.current)
        };
        let expressions = self.expressions.iter().map(|(text, matches)| expression_bytes(id, text, matches));
        self.members.iter().map(member).sum::<usize>()
            + self.targets.values().map(target_bytes).sum::<usize>()
            + expressions.sum::<usize>()
    }

    /// What it will take when these records are written.
    pub(super) fn bytes_after(&self, id: &str, records: &[GroupRecord]) -> usize {
        let (mut more, mut less) = (0, 0);
        for record in records {
            match record {
                GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                    let name = key.member_id.as_str();
                    less += self.members.get(name).map_or(0, |of| member_bytes(id, name, &of.metadata));
                    more += value.as_ref().map_or(0, |value| member_bytes(id, name, value));
                }
                GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                    less += self.targets.get(key.member_id.as_str()).map_or(0, target_bytes);
                    let topics = value.iter().flat_map(|value| &value.topic_partitions);
                    more += topics.map(|topic| topic_bytes(topic.partitions.len())).sum::<usize>();
                }
                GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => {
                    less += self.members.get(key.member_id.as_str()).map_or(0, |of| current_bytes(&of.current));
                    let topics = value
                        .iter()
                        .flat_map(|value| value.assigned_partitions.iter().chain(&value.partitions_pending_revocation));
                    more += topics.map(|topic| topic_bytes(2 * topic.partitions.len())).sum::<usize>();
                }
                GroupRecord::ConsumerGroupRegularExpression(key, value) => {
                    let text = key.regular_expression.as_str();
                    less += self.expressions.get(text).map_or(0, |matches| expression_bytes(id, text, matches));
                    more += value.as_ref().map_or(0, |matches| expression_bytes(id, text, matches));
                }
                _ => {}
            }
        }
        (self.bytes(id) + more).saturating_sub(less)
    }
}

fn text_bytes(text: &str) -> usize {
    NUMBER_BYTES + text.len()
}

fn topic_bytes(partitions: usize) -> usize {
    TOPIC_BYTES + NUMBER_BYTES * partitions
}

/// A member with its three records, but for what is in its assignments.
fn member_bytes(group: &str, id: &str, metadata: &ConsumerGroupMemberMetadataValue) -> usize {
    let optional =
        [&metadata.instance_id, &metadata.rack_id, &metadata.subscribed_topic_regex, &metadata.server_assignor];
    let optional = optional.into_iter().flatten().map(|text| text_bytes(text)).sum::<usize>();
    let protocols = metadata.classic_member_metadata.iter().flat_map(|classic| &classic.supported_protocols);
    let protocols = protocols.map(|offered| 2 * NUMBER_BYTES + offered.name.len() + offered.metadata.len());
    let names = metadata.subscribed_topic_names.iter().map(|name| text_bytes(name));
    3 * (RECORD_BYTES + group.len() + id.len())
        + text_bytes(&metadata.client_id)
        + text_bytes(&metadata.client_host)
        + optional
        + protocols.sum::<usize>()
        + names.sum::<usize>()
}

fn target_bytes(target: &Partitions) -> usize {
    target.values().map(|partitions| topic_bytes(partitions.len())).sum()
}

/// Partitions have epochs here.
fn current_bytes(current: &Current) -> usize {
    let topics = current.assigned.values().chain(current.revoking.values());
    topics.map(|partitions| topic_bytes(2 * partitions.len())).sum()
}

fn expression_bytes(group: &str, text: &str, matches: &ConsumerGroupRegularExpressionValue) -> usize {
    RECORD_BYTES + group.len() + text.len() + matches.topics.iter().map(|name| text_bytes(name)).sum::<usize>()
}
