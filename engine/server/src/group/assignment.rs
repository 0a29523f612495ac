//! What the leader of a classic group of consumers hands to its members (`ConsumerProtocolAssignment`), and what they ask
//! for (`ConsumerProtocolSubscription`). To brokers they are bytes, so nothing says that they can be read.

use ringlog_cluster::group::embedded;
use ringlog_net::messages::consumer_protocol_assignment::TopicPartition;
use serde::Serialize;

/// Partitions of a topic that a member has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub(super) struct AssignedTopic {
    pub(super) topic: String,
    pub(super) partitions: Vec<i32>,
}

/// The partitions of an assignment, in order; `None` if it cannot be read. A member that has nothing yet has no bytes.
pub(super) fn assigned_topics(assignment: &[u8]) -> Option<Vec<AssignedTopic>> {
    let topic = |given: TopicPartition| {
        let mut partitions = given.partitions;
        partitions.sort_unstable();
        AssignedTopic { topic: given.topic, partitions }
    };
    let mut topics: Vec<_> = embedded::assigned_partitions(assignment)?.into_iter().map(topic).collect();
    topics.sort();
    Some(topics)
}

/// The topics of a subscription, in order; `None` if it cannot be read.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    if metadata.is_empty() {
        return Some(Vec::new());
    }
    let mut topics = embedded::subscribed_topics(metadata)?;
    topics.sort();
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assignment_is_read_in_order_and_what_follows_is_left_alone() {
        let bytes = [
            &[0, 3, 0, 0, 0, 2][..],
            b"\0\x01b\0\0\0\x02\0\0\0\x01\0\0\0\0",
            b"\0\x01a\0\0\0\x01\0\0\0\x07",
            &[0xff; 4],
        ]
        .concat();
        let topic = |topic: &str, partitions: &[i32]| AssignedTopic {
            topic: topic.to_owned(),
            partitions: partitions.to_vec(),
        };
        assert_eq!(assigned_topics(&bytes), Some(vec![topic("a", &[7]), topic("b", &[0, 1])]));
        assert_eq!(assigned_topics(&[]), Some(Vec::new()));
        for cut in 1..bytes.len() - 4 {
            assert_eq!(assigned_topics(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(assigned_topics(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_subscription_is_read_in_order() {
        let bytes = [&[0, 1, 0, 0, 0, 2][..], b"\0\x02bc\0\x01a", &[0xff; 9]].concat();
        assert_eq!(subscribed_topics(&bytes), Some(vec!["a".to_owned(), "bc".to_owned()]));
        assert_eq!(subscribed_topics(&[]), Some(Vec::new()));
        assert_eq!(subscribed_topics(&[0, 1, 0, 0, 0, 2, 0, 1, b'a']), None);
    }
}
