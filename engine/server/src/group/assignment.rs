//! What the leader of a classic group of consumers hands to its members (`ConsumerProtocolAssignment`), and what they ask
//! for (`ConsumerProtocolSubscription`). To brokers they are bytes, so nothing says that they can be read.

use ringlog_net::wire::{DecodeError, Reader};
use serde::Serialize;

/// Partitions of a topic that a member has.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub(super) struct AssignedTopic {
    pub(super) topic: String,
    pub(super) partitions: Vec<i32>,
}

/// The partitions of an assignment; `None` if it cannot be read. A member that has nothing yet has no bytes.
pub(super) fn assigned_topics(assignment: &[u8]) -> Option<Vec<AssignedTopic>> {
    if assignment.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader::new(assignment);
    let mut read = || -> Result<Vec<AssignedTopic>, DecodeError> {
        let _version = reader.i16()?;
        reader.array(false, |reader| {
            let topic = reader.string(false)?;
            Ok(AssignedTopic { topic, partitions: reader.array(false, Reader::i32)? })
        })
    };
    let mut topics = read().ok()?;
    for topic in &mut topics {
        topic.partitions.sort_unstable();
    }
    topics.sort();
    Some(topics)
}

/// The topics of a subscription; `None` if it cannot be read.
pub(super) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    if metadata.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader::new(metadata);
    let mut read = || -> Result<Vec<String>, DecodeError> {
        let _version = reader.i16()?;
        reader.array(false, |reader| reader.string(false))
    };
    let mut topics = read().ok()?;
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
