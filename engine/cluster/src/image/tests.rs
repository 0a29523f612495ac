//! Records that cannot be applied, and lookups.

use ringlog_net::messages::metadata_log::{
    ClientQuotaRecord, DelegationTokenRecord, EntityData, FenceBrokerRecord, MetadataRecord, NoOpRecord,
    PartitionChangeRecord, PartitionRecord, RegisterBrokerRecord, RemoveTopicRecord, TopicRecord,
    UserScramCredentialRecord,
};

use super::*;

fn image(records: &[MetadataRecord]) -> Image {
    let mut image = Image::new("cluster", BrokerId::new(1));
    for (offset, record) in (0..).zip(records) {
        image.replay(Offset::new(offset), record).expect("the record can be applied");
    }
    image
}

fn topic(name: &str, id: u128) -> MetadataRecord {
    MetadataRecord::Topic(TopicRecord { name: name.to_owned(), topic_id: Uuid::from_u128(id) })
}

fn partition(topic: u128, index: i32) -> MetadataRecord {
    MetadataRecord::Partition(PartitionRecord {
        partition_id: index,
        topic_id: Uuid::from_u128(topic),
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        leader_epoch: 0,
        partition_epoch: 0,
        ..PartitionRecord::default()
    })
}

#[test]
fn records_that_do_not_fit_are_refused_and_change_nothing() {
    let removal = |id| MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: Uuid::from_u128(id) });
    let fence = MetadataRecord::FenceBroker(FenceBrokerRecord { id: 7, epoch: 0 });
    let change = PartitionChangeRecord { partition_id: 1, topic_id: Uuid::from_u128(500), ..Default::default() };
    let bad_protocol = RegisterBrokerRecord {
        broker_id: 3,
        end_points: vec![ringlog_net::messages::metadata_log::BrokerEndpoint {
            security_protocol: 9,
            ..Default::default()
        }],
        ..Default::default()
    };
    let base = [topic("a", 500), partition(500, 0)];
    for (record, expected) in [
        (topic("a", 501), "topic a is made twice"),
        (topic("b", 500), "topic b is made twice"),
        (partition(500, 2), "partition 2 of topic a does not follow the ones before it"),
        (partition(500, -1), "partition -1 of topic a does not follow the ones before it"),
        (partition(600, 0), "there is no topic with the id AAAAAAAAAAAAAAAAAAACWA"),
        (removal(600), "there is no topic with the id AAAAAAAAAAAAAAAAAAACWA"),
        (MetadataRecord::PartitionChange(change), "partition 1 of topic a does not follow the ones before it"),
        (fence, "broker 7 is not registered"),
        (MetadataRecord::RegisterBroker(bad_protocol), "the registration of broker 3 cannot be understood"),
        (
            MetadataRecord::DelegationToken(DelegationTokenRecord::default()),
            "metadata records of kind 10 are not supported by this release",
        ),
        (
            MetadataRecord::UserScramCredential(UserScramCredentialRecord { mechanism: 3, ..Default::default() }),
            "the SCRAM mechanism 3 is not supported by this release",
        ),
        (
            MetadataRecord::ClientQuota(ClientQuotaRecord {
                entity: vec![EntityData { entity_type: "planet".to_owned(), entity_name: None }],
                ..Default::default()
            }),
            "quotas of kind \"planet\" are not supported by this release",
        ),
        (
            MetadataRecord::ClientQuota(ClientQuotaRecord {
                key: "producer_byte_rate".to_owned(),
                value: f64::NAN,
                ..Default::default()
            }),
            "the quota producer_byte_rate is not a finite number",
        ),
    ] {
        let mut changed = image(&base);
        let error = changed.replay(Offset::new(2), &record).expect_err("the record does not fit");
        assert_eq!(error.to_string(), expected);
        assert_eq!(changed, image(&base));
    }
}

#[test]
fn topics_are_found_by_name_by_id_and_in_pages() {
    let image = image(&[topic("b", 500), topic("a.x", 501), topic("c", 502), MetadataRecord::NoOp(NoOpRecord {})]);
    assert_eq!(image.offset(), Offset::new(3));
    assert_eq!(image.topic_by_id(Uuid::from_u128(501)).map(|topic| &*topic.name), Some("a.x"));
    assert_eq!(image.topic("b").map(|topic| topic.id), Some(Uuid::from_u128(500)));
    let names = |from: &str| image.topics_from(from).map(|topic| topic.name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(""), ["a.x", "b", "c"]);
    assert_eq!(names("b"), ["b", "c"]);
    assert_eq!(names("bb"), ["c"]);
    assert_eq!(image.topic_colliding_with("a_x").map(|name| &**name), Some("a.x"));
    assert_eq!(image.topic_colliding_with("a.x"), None);
}

#[test]
fn a_new_leader_raises_the_epoch_and_every_change_the_partition_s() {
    let change = |leader: i32, isr: Option<Vec<i32>>| {
        MetadataRecord::PartitionChange(PartitionChangeRecord {
            partition_id: 0,
            topic_id: Uuid::from_u128(500),
            leader,
            isr,
            ..PartitionChangeRecord::default()
        })
    };
    let image = image(&[topic("a", 500), partition(500, 0), change(-2, Some(vec![1, 2])), change(2, None)]);
    let changed = image.topic("a").and_then(|topic| topic.partition(PartitionIndex::new(0))).expect("it was made");
    assert_eq!((changed.leader, changed.leader_epoch.get(), changed.partition_epoch), (BrokerId::new(2), 1, 2));
    assert_eq!(changed.isr, [BrokerId::new(1), BrokerId::new(2)]);
}

#[test]
fn a_published_image_does_not_change_with_the_next_one() {
    let mut next = image(&[topic("a", 500), partition(500, 0)]);
    let published = Arc::new(next.clone());
    next.replay(Offset::new(2), &partition(500, 1)).expect("it follows");
    assert_eq!(published.topic("a").map(|topic| topic.partitions.len()), Some(1));
    assert_eq!(next.topic("a").map(|topic| topic.partitions.len()), Some(2));
    assert_eq!((published.partition_count(), next.partition_count()), (1, 2));
}

#[test]
fn changes_name_what_differs_and_nothing_else() {
    let before = image(&[topic("a", 1001), topic("b", 1002), topic("c", 1003)]);
    let set = |resource: ConfigResource| config_record(&resource, "retention.ms", Some("1"));
    let check = |records: &[MetadataRecord], expected: &[(&str, bool, bool)]| {
        let mut now = before.clone();
        for (offset, record) in (3..).zip(records) {
            now.replay(Offset::new(offset), record).expect("the record can be applied");
        }
        let changes = now.topic_changes(&before, BrokerId::new(1));
        let name = |change: &TopicChange<'_>| change.now.or(change.before).expect("it was or it is").name.to_string();
        let told: Vec<_> = changes.iter().map(|it| (name(it), it.before.is_some(), it.now.is_some())).collect();
        let told: Vec<_> = told.iter().map(|(name, before, now)| (name.as_str(), *before, *now)).collect();
        assert_eq!(told, expected, "{records:?}");
    };
    let removed = MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: Uuid::from_u128(1002) });
    check(&[], &[]);
    check(&[topic("d", 1004), removed.clone()], &[("b", true, false), ("d", false, true)]);
    check(&[removed, topic("b", 1005)], &[("b", true, true)]);
    check(&[set(ConfigResource::Topic("c".into()))], &[("c", true, true)]);
    check(&[set(ConfigResource::Broker(BrokerId::new(2)))], &[]);
    let all = [("a", true, true), ("b", true, true), ("c", true, true)];
    check(&[set(ConfigResource::Broker(BrokerId::new(1)))], &all);
    check(&[set(ConfigResource::AllBrokers)], &all);
}
