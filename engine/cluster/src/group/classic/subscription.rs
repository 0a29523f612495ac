//! What consumers say to each other in the metadata of their protocol (ConsumerProtocolSubscription): the coordinator
//! only wants to know the topics.

use ringlog_net::wire::{DecodeError, Reader};

/// The topics of a subscription; `None` if it cannot be read, which is the members' own affair.
pub(in crate::group) fn subscribed_topics(metadata: &[u8]) -> Option<Vec<String>> {
    let mut reader = Reader::new(metadata);
    let mut read = || -> Result<Vec<String>, DecodeError> {
        let _version = reader.i16()?;
        reader.array(false, |reader| reader.string(false))
    };
    read().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_and_what_follows_is_left_alone() {
        let metadata = [&[0, 3, 0, 0, 0, 2][..], b"\0\x01a\0\x02bc", &[0xff; 9]].concat();
        assert_eq!(subscribed_topics(&metadata), Some(vec!["a".to_owned(), "bc".to_owned()]));
    }

    #[test]
    fn what_is_no_subscription_has_no_topics() {
        for metadata in [&[][..], &[0], &[0, 1, 0, 0, 0, 2, 0, 1, b'a'], &[0, 1, 0x7f, 0xff, 0xff, 0xff]] {
            assert_eq!(subscribed_topics(metadata), None, "{metadata:?}");
        }
    }
}
