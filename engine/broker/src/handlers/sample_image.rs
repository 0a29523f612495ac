//! An image for tests of handlers.

use ringlog_cluster::image::Image;
use ringlog_net::messages::metadata_log::{MetadataRecord, PartitionRecord, TopicRecord};
use ringlog_storage::types::{BrokerId, Offset, Uuid};

/// An image of topics with so many partitions. The id of the first topic is 101, that of the second 102. Broker 1 leads
/// all partitions but the last one of each topic, which has no leader.
pub(super) fn sample_image(topics: &[(&str, i32)]) -> Image {
    let mut image = Image::new("cluster", BrokerId::new(1));
    let mut records = Vec::new();
    for (id, (name, partition_count)) in (101..).zip(topics) {
        let topic_id = Uuid::from_u128(id);
        records.push(MetadataRecord::Topic(TopicRecord { name: (*name).to_owned(), topic_id }));
        records.extend((0..*partition_count).map(|partition_id| {
            MetadataRecord::Partition(PartitionRecord {
                partition_id,
                topic_id,
                replicas: vec![1],
                isr: vec![1],
                leader: if partition_id + 1 == *partition_count { -1 } else { 1 },
                ..PartitionRecord::default()
            })
        }));
    }
    for (offset, record) in (0..).zip(records) {
        image.replay(Offset::new(offset), &record).expect("records that follow each other");
    }
    image
}
