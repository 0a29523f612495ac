//! What consumers of the classic protocol say to each other in the bytes of their protocol (`ConsumerProtocolSubscription`)
//! and of their assignment (`ConsumerProtocolAssignment`). A classic group is coordinated without a look at them; a
//! consumer group has to understand the classic members that it takes in, and tools show them. Nothing says that the
//! bytes can be read.

use ringlog_net::messages::consumer_protocol_assignment::{ConsumerProtocolAssignment, TopicPartition};
use ringlog_net::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ringlog_net::wire::{DecodeError, EncodeError, Reader, Writer};

/// The protocol type of consumers; others are Kafka Connect's and applications' own.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
/// The newest version that is understood. Newer ones only add at the end.
const VERSION_MAX: i16 = 3;

/// A subscription; `None` if it cannot be read.
pub fn subscription(metadata: &[u8]) -> Option<ConsumerProtocolSubscription> {
    let mut reader = Reader::new(metadata);
    let version = read_version(&mut reader)?;
    ConsumerProtocolSubscription::decode(&mut reader, version).ok()
}

/// The topics of a subscription, whatever follows them; `None` if they cannot be read, which is the members' own affair.
pub fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata);
    let mut read = || -> Result<Vec<String>, DecodeError> {
        let _version = reader.i16()?;
        reader.array(false, |reader| reader.string(false))
    };
    read().ok()
}

/// An assignment; `None` if it cannot be read. A member that has nothing yet has no bytes.
pub fn assignment(bytes: &[u8]) -> Option<ConsumerProtocolAssignment> {
    if bytes.is_empty() {
        return Some(ConsumerProtocolAssignment::default());
    }
    let mut reader = Reader::new(bytes);
    let version = read_version(&mut reader)?;
    ConsumerProtocolAssignment::decode(&mut reader, version).ok()
}

/// The partitions of an assignment, whatever follows them; `None` if they cannot be read. A member that has nothing yet has
/// no bytes.
pub fn assigned_partitions(bytes: &[u8]) -> Option<Vec<TopicPartition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut reader = Reader::new(bytes);
    let mut read = || -> Result<Vec<TopicPartition>, DecodeError> {
        let _version = reader.i16()?;
        reader.array(false, |reader| {
            let topic = reader.string(false)?;
            Ok(TopicPartition { topic, partitions: reader.array(false, Reader::i32)? })
        })
    };
    read().ok()
}

/// An assignment for a member whose subscription is `metadata`, in the version that it speaks.
pub fn encode_assignment(metadata: &[u8], assigned_partitions: Vec<TopicPartition>) -> Vec<u8> {
    let version = read_version(&mut Reader::new(metadata)).unwrap_or(0);
    let mut writer = Writer::default();
    writer.i16(version);
    let assignment = ConsumerProtocolAssignment { assigned_partitions, user_data: None };
    assignment.encode(&mut writer, version).expect("names of topics are short");
    writer.into_bytes()
}

/// A subscription, in a version.
pub fn encode_subscription(subscription: &ConsumerProtocolSubscription, version: i16) -> Result<Vec<u8>, EncodeError> {
    let mut writer = Writer::default();
    writer.i16(version);
    subscription.encode(&mut writer, version)?;
    Ok(writer.into_bytes())
}

fn read_version(reader: &mut Reader<'_>) -> Option<i16> {
    let version = reader.i16().ok()?;
    (version >= 0).then(|| version.min(VERSION_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_what_follows_is_left_alone() {
        let metadata = [&[0, 3, 0, 0, 0, 2][..], b"\0\x01a\0\x02bc", &[0xff; 9]].concat();
        assert_eq!(subscribed_topics(&metadata), Some(vec!["a".to_owned(), "bc".to_owned()]));
        assert_eq!(subscription(&metadata), None, "all of it has to make sense");
    }

    #[test]
    fn what_is_no_subscription_has_no_topics() {
        for metadata in [&[][..], &[0], &[0, 1, 0, 0, 0, 2, 0, 1, b'a'], &[0, 1, 0x7f, 0xff, 0xff, 0xff]] {
            assert_eq!((subscribed_topics(metadata), subscription(metadata)), (None, None), "{metadata:?}");
        }
        assert_eq!(subscription(&[0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]), None, "version -1");
    }

    #[test]
    fn a_subscription_is_read_in_the_versions_that_there_are_and_in_newer_ones() {
        let bytes = |version: u8, more: &[u8]| [&[0, version, 0, 0, 0, 1][..], b"\0\x01a", &[0xff; 4], more].concat();
        let owned = [&[0, 0, 0, 1][..], b"\0\x01a", &[0, 0, 0, 1, 0, 0, 0, 7]].concat();
        assert_eq!(subscription(&bytes(0, &[])).expect("it is one").topics, ["a"]);
        let second = subscription(&bytes(1, &owned)).expect("it is one");
        assert_eq!(
            (second.owned_partitions[0].topic.as_str(), &*second.owned_partitions[0].partitions),
            ("a", &[7][..])
        );
        let newest = [&owned[..], &[0, 0, 0, 9, 0, 1, b'r'], b"of tomorrow"].concat();
        assert_eq!(subscription(&bytes(4, &newest)).expect("it is one").rack_id.as_deref(), Some("r"));
    }

    #[test]
    fn partitions_are_read_and_what_follows_is_left_alone() {
        let bytes = [&[0, 3, 0, 0, 0, 1][..], b"\0\x01b\0\0\0\x02\0\0\0\x01\0\0\0\0", &[0x7f; 4]].concat();
        let given = vec![TopicPartition { topic: "b".to_owned(), partitions: vec![1, 0] }];
        assert_eq!(assigned_partitions(&bytes), Some(given));
        assert_eq!(assigned_partitions(&[]), Some(Vec::new()));
        assert_eq!(assignment(&bytes), None, "all of it has to make sense");
        for cut in 1..bytes.len() - 4 {
            assert_eq!(assigned_partitions(&bytes[..cut]), None, "{cut}");
        }
        assert_eq!(assigned_partitions(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
    }

    #[test]
    fn a_subscription_that_was_written_is_read() {
        let topics = vec!["a".to_owned(), "bc".to_owned()];
        let wanted = ConsumerProtocolSubscription { topics: topics.clone(), ..ConsumerProtocolSubscription::default() };
        let bytes = encode_subscription(&wanted, 1).expect("it is small");
        assert_eq!(subscription(&bytes).expect("it is one").topics, topics);
        assert_eq!(subscribed_topics(&bytes), Some(topics));
        assert!(encode_subscription(&wanted, 9).is_err(), "there is no such version");
    }

    #[test]
    fn an_assignment_is_written_in_the_version_of_the_subscription() {
        let given = || vec![TopicPartition { topic: "a".to_owned(), partitions: vec![1, 2] }];
        for version in 0..=5 {
            let bytes = encode_assignment(&[0, version, 9, 9], given());
            assert_eq!(bytes[..2], [0, version.min(3)]);
            assert_eq!(assignment(&bytes).expect("it is one").assigned_partitions, given());
            assert_eq!(assignment(&bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(assignment(&[]).expect("nothing").assigned_partitions, []);
    }
}
