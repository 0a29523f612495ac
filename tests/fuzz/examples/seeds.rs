//! Writes small valid inputs into `seeds/`: for targets whose inputs nobody else makes. Run it in this folder.

use ringlog_cluster::image::Image;
use ringlog_net::messages::metadata_log::{
    ConfigRecord, FeatureLevelRecord, MetadataRecord, PartitionRecord, ProducerIdsRecord, RegisterBrokerRecord,
    RemoveTopicRecord, TopicRecord,
};
use ringlog_net::messages::{ApiKey, api_versions, fetch, metadata, produce};
use ringlog_net::wire::Writer;
use ringlog_storage::types::{BrokerId, Uuid};
use std::fs;
use std::path::Path;

fn write(target: &str, name: &str, bytes: &[u8]) {
    let folder = Path::new("seeds").join(target);
    fs::create_dir_all(&folder).expect("seeds can be written");
    fs::write(folder.join(name), bytes).expect("seeds can be written");
}

/// A message in its newest version.
macro_rules! body {
    ($message:expr, $version:expr) => {{
        let mut writer = Writer::default();
        $message.encode(&mut writer, $version).expect("fields of this version");
        writer.into_bytes()
    }};
}

fn produce_request(version: i16) -> Vec<u8> {
    let records = ringlog_fuzz::directory::batch(1, 20);
    let partition = produce::PartitionProduceData { index: 1, records: Some(records) };
    let mut topic = produce::TopicProduceData { partition_data: vec![partition], ..Default::default() };
    if version >= 13 {
        topic.topic_id = Uuid::new([7; 16])
    } else {
        topic.name = "topic".to_owned()
    }
    body!(
        produce::ProduceRequest { acks: -1, timeout_ms: 1000, topic_data: vec![topic], ..Default::default() },
        version
    )
}

fn fetch_request(version: i16) -> Vec<u8> {
    let partition =
        fetch::FetchPartition { partition: 1, fetch_offset: 5, partition_max_bytes: 1000, ..Default::default() };
    let mut topic = fetch::FetchTopic { partitions: vec![partition], ..Default::default() };
    if version >= 13 {
        topic.topic_id = Uuid::new([7; 16])
    } else {
        topic.topic = "topic".to_owned()
    }
    body!(fetch::FetchRequest { max_wait_ms: 5, min_bytes: 1, topics: vec![topic], ..Default::default() }, version)
}

fn frame(key: ApiKey, version: i16, correlation_id: i32, body: &[u8]) -> Vec<u8> {
    let mut header = [key.code().to_be_bytes(), version.to_be_bytes()].concat();
    header.extend_from_slice(&correlation_id.to_be_bytes());
    header.extend_from_slice(b"\0\x03fuz");
    if key.request_header_version(version) == 2 {
        header.push(0);
    }
    let size = i32::try_from(header.len() + body.len()).expect("small").to_be_bytes();
    [&size[..], &header, body].concat()
}

fn frames() {
    let versions = body!(api_versions::ApiVersionsRequest::default(), 0);
    let first = frame(ApiKey::ApiVersions, 0, 1, &versions);
    let unknown = frame(ApiKey::ApiVersions, 99, 2, &versions);
    let ask =
        frame(ApiKey::Metadata, 1, 3, &body!(metadata::MetadataRequest { topics: None, ..Default::default() }, 1));
    let produce = frame(ApiKey::Produce, 9, 4, &produce_request(9));
    let mut large = frame(ApiKey::Produce, 9, 5, &[produce_request(9), vec![0; 1 << 14]].concat());
    let all = [first.clone(), unknown, ask.clone(), produce.clone(), frame(ApiKey::Fetch, 12, 6, &fetch_request(12))];
    let plans: [(&str, [u8; 8]); 3] =
        [("slow", [0; 8]), ("mixed", [1, 7, 2, 5, 3, 4, 6, 8]), ("whole", [4, 9, 14, 19, 24, 29, 34, 39])];
    for (name, plan) in plans {
        write("frame", name, &[&plan[..], &all.concat()].concat());
        write("frame", &format!("{name}-large"), &[&plan[..], &ask, &large, &first].concat());
    }
    let size = 1_i32 << 20;
    large[..4].copy_from_slice(&size.to_be_bytes());
    write("frame", "cut-off", &[&[4; 8][..], &large].concat());
    write("frame", "authenticating", &[&[0xff; 8][..], &first, &ask].concat());
}

fn requests() {
    for (number, key) in (0..).zip(ApiKey::ALL) {
        for (index, version) in (0..).zip(key.known_versions()) {
            let body = match key {
                ApiKey::Produce => produce_request(version),
                ApiKey::Fetch => fetch_request(version),
                _ if version != *key.known_versions().end() => continue,
                // Enough zeros are a message in most formats.
                _ => vec![0; 64],
            };
            for direction in 0..2_u8 {
                let name = format!("{}-{version}-{direction}", key.name());
                if direction == 1 && matches!(key, ApiKey::Produce | ApiKey::Fetch) {
                    continue;
                }
                write("request_decoder", &name, &[&[number, index, direction][..], &body].concat());
            }
        }
    }
}

fn metadata_records() {
    let (topic_id, other) = (Uuid::new([3; 16]), Uuid::new([4; 16]));
    let topic = |name: &str, topic_id| MetadataRecord::Topic(TopicRecord { name: name.to_owned(), topic_id });
    let partition = |topic_id, partition_id| {
        let replicas = vec![1];
        MetadataRecord::Partition(PartitionRecord {
            partition_id,
            topic_id,
            isr: replicas.clone(),
            replicas,
            leader: 1,
            ..Default::default()
        })
    };
    let config = |resource_type, resource_name: &str, name: &str, value: &str| {
        let (resource_name, name) = (resource_name.to_owned(), name.to_owned());
        MetadataRecord::Config(ConfigRecord { resource_type, resource_name, name, value: Some(value.to_owned()) })
    };
    let records = [
        MetadataRecord::FeatureLevel(FeatureLevelRecord { name: "metadata.version".to_owned(), feature_level: 29 }),
        MetadataRecord::RegisterBroker(RegisterBrokerRecord { broker_id: 1, fenced: false, ..Default::default() }),
        topic("events", topic_id),
        partition(topic_id, 0),
        partition(topic_id, 1),
        topic("other", other),
        partition(other, 0),
        config(2, "events", "retention.ms", "1000"),
        config(4, "", "min.insync.replicas", "1"),
        MetadataRecord::ProducerIds(ProducerIdsRecord { broker_id: 1, broker_epoch: 1, next_producer_id: 1000 }),
        MetadataRecord::RemoveTopic(RemoveTopicRecord { topic_id: other }),
    ];
    let mut image = Image::new("cluster", BrokerId::new(1));
    let mut all = Vec::new();
    for (number, record) in (0..).zip(records) {
        image.replay(ringlog_storage::types::Offset::new(number), &record).expect("records that follow each other");
        let bytes = body!(record, record.newest_version());
        all.extend_from_slice(&u16::try_from(bytes.len()).expect("small").to_be_bytes());
        all.extend_from_slice(&bytes);
        write("metadata_record", &format!("{number}"), &all);
    }
}

fn directories() {
    // Which directory; then damages: what is done, to which file, where, with what.
    for directory in 0..4 {
        for scope in 0..4 {
            write("journal_recovery", &format!("sound-{directory}-{scope}"), &[scope, directory]);
        }
        for (name, damage) in [
            ("bit", &[0x23, 1, 0, 90][..]),
            ("sealed-bit", &[0xa3, 1, 0, 90]),
            ("sealed-sequence", &[0x80, 1, 0, 16, 200]),
            ("sealed-position", &[0x80, 1, 0, 92, 200]),
            ("sealed-length", &[0x80, 1, 0, 52, 200]),
            ("sealed-checkpoint", &[0x80, 0, 0, 30, 255]),
            ("cut", &[0x30, 1, 3, 0]),
            ("zeros", &[0x40, 1, 16, 0, 0, 200]),
            ("swapped", &[0xd0, 1, 16, 0, 32, 0]),
            ("gone", &[0x60, 0]),
            ("added", &[0x70, 3, 0, 16, b'R', b'L', b'C', b'1', 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0]),
        ] {
            write("journal_recovery", &format!("{name}-{directory}"), &[&[1, directory], damage].concat());
            if directory < 3 {
                write("segment_recovery", &format!("{name}-{directory}"), &[&[directory], damage].concat());
            }
        }
    }
    for directory in 0..3 {
        write("segment_recovery", &format!("sound-{directory}"), &[directory]);
    }
}

fn properties() {
    write("properties", "plain", b"node.id=1\nlisteners=PLAINTEXT://127.0.0.1:9092\nlog.dirs=/var/lib/ringlog\n");
    write(
        "properties",
        "escapes",
        b"# comment\n! too\n  a\\=b\\:c\\u0064 : x\\ty\\\n   z\nkey\nlog.retention.ms = -1\r\n",
    );
    write("properties", "surrogates", b"a=\\ud83d\\ude00\nb=\\ud83d\nc=\\uzzzz\n");
    write("properties", "wrong", b"node.id=x\nunknown.key=1\nzookeeper.connect=a:1\nnum.partitions=0\nnode.id=2\n");
}

fn main() {
    frames();
    requests();
    metadata_records();
    directories();
    properties();
}
