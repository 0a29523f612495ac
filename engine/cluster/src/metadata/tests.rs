//! Every command, with the contract of `coordinator` checked after each step.

use std::sync::Arc;

use ringlog_net::wire::{Reader, Writer};
use ringlog_storage::types::{PartitionIndex, ProducerId, Uuid};

mod features;
mod named_resources;
mod quotas;
mod scram;

use super::*;
use crate::config::{AlterOperation, Alteration, Endpoint, Listener, PropertiesFile, SecurityProtocol, Sources};
use crate::coordinator::Rehearsal;
use crate::image::ConfigResource;
use crate::quota::MutationQuota;

const NODE: BrokerId = BrokerId::new(1);

struct Cluster {
    rehearsal: Rehearsal<Metadata>,
    seed: u128,
}

impl Cluster {
    fn started(file: &str) -> Self {
        let mut cluster = Self::blank(file);
        cluster.start(NODE, 9092);
        cluster
    }

    fn blank(file: &str) -> Self {
        let file = Some(PropertiesFile { name: "test", text: file });
        let (fixed, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("every value is valid");
        Self { rehearsal: Rehearsal::new(Metadata::new("cluster", NODE, Arc::new(fixed))), seed: 0 }
    }

    fn start(&mut self, id: BrokerId, port: u16) {
        let listener = Listener {
            name: "PLAINTEXT".to_owned(),
            protocol: SecurityProtocol::Plaintext,
            host: String::new(),
            port,
            is_controller: false,
            advertised: Endpoint { host: "localhost".to_owned(), port: 0 },
        };
        let registration = Registration {
            id,
            incarnation_id: Uuid::from_u128(1000 + u128::from(port)),
            listeners: vec![listener],
            rack: None,
            directories: vec![Uuid::from_u128(2000)],
        };
        self.rehearsal.step(|metadata| metadata.register_broker(&registration).expect("the levels are known"));
    }

    fn create(&mut self, topics: &[NewTopic]) -> Vec<Result<CreatedTopic, TopicError>> {
        let mut seed = self.seed;
        let mut random = || {
            seed += 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef;
            seed
        };
        let reply = self.rehearsal.step(|metadata| {
            metadata.create_topics(topics, Intent::Apply, &mut random, &mut MutationQuota::unlimited())
        });
        self.seed = seed;
        reply
    }

    /// Makes one topic and tells its partitions and replicas, or the error.
    fn check_create(&mut self, topic: &NewTopic, expected: &str) {
        let reply = self.create(std::slice::from_ref(topic)).remove(0);
        assert_eq!(told(reply.map(|made| format!("{}x{}", made.partition_count, made.replication_factor))), expected);
    }

    fn alter(&mut self, resource: &ConfigResource, key: &str, value: Option<&str>) -> String {
        let operation = if value.is_some() { AlterOperation::Set } else { AlterOperation::Delete };
        let alteration = Alteration { key: key.to_owned(), operation, value: value.map(str::to_owned) };
        self.alter_in(AlterMode::Incremental, resource, vec![alteration])
    }

    fn alter_in(&mut self, mode: AlterMode, resource: &ConfigResource, alterations: Vec<Alteration>) -> String {
        let request = AlterConfigs { resource: resource.clone(), alterations };
        let mut reply = self.rehearsal.step(|metadata| metadata.alter_configs(&[request], mode, Intent::Apply));
        match reply.remove(0) {
            Ok(()) => "ok".to_owned(),
            Err(error) => format!("{}: {error}", error.code().name()),
        }
    }

    fn image(&self) -> &Image {
        self.rehearsal.live.image()
    }
}

fn told(reply: Result<String, TopicError>) -> String {
    reply.unwrap_or_else(|error| format!("{}: {error}", error.code().name()))
}

fn named(name: &str) -> NewTopic {
    NewTopic::with_defaults(name)
}

fn sized(name: &str, partition_count: i32, replication_factor: i16) -> NewTopic {
    NewTopic { partition_count, replication_factor, ..named(name) }
}

fn assigned(name: &str, assignments: &[(i32, &[i32])]) -> NewTopic {
    let assignment = |(partition, replicas): &(i32, &[i32])| Assignment {
        partition: PartitionIndex::new(*partition),
        replicas: replicas.iter().copied().map(BrokerId::new).collect(),
    };
    NewTopic { assignments: assignments.iter().map(assignment).collect(), ..named(name) }
}

fn topic(name: &str) -> ConfigResource {
    ConfigResource::Topic(name.into())
}

/// KIP-1066
#[test]
fn a_broker_whose_directories_are_all_cordoned_gets_no_partitions() {
    let mut cluster = Cluster::started("log.dirs=a,b\ncordoned.log.dirs=a");
    cluster.check_create(&sized("one", 1, 1), "1x1");
    let broker = ConfigResource::Broker(NODE);
    assert_eq!(cluster.alter(&broker, "cordoned.log.dirs", Some("*")), "ok");
    let refused =
        "INVALID_REPLICATION_FACTOR: all directories of all brokers that are there are cordoned (cordoned.log.dirs)";
    cluster.check_create(&sized("two", 1, 1), refused);
    cluster.check_create(
        &assigned("two", &[(0, &[NODE.get()])]),
        &format!(
            "INVALID_REPLICA_ASSIGNMENT: partition 0: all directories of broker {NODE} are cordoned (cordoned.log.dirs)"
        ),
    );
    let more = NewPartitions { topic: "one".to_owned(), count: 2, assignments: None };
    let reply = cluster.rehearsal.step(|metadata| {
        metadata.create_partitions(std::slice::from_ref(&more), Intent::Apply, &mut MutationQuota::unlimited())
    });
    assert_eq!(reply, [Err(TopicError::AllCordoned)]);
    assert_eq!(cluster.alter(&broker, "cordoned.log.dirs", Some("a,b,c")).split(':').next(), Some("INVALID_REQUEST"));
    assert_eq!(cluster.alter(&broker, "cordoned.log.dirs", None), "ok");
    cluster.check_create(&sized("two", 1, 1), "1x1");
}

#[test]
fn the_first_start_writes_what_kafka_s_does() {
    let mut cluster = Cluster::started("");
    let image = cluster.image();
    let features: Vec<_> = image.features().collect();
    assert_eq!(
        features,
        [
            ("eligible.leader.replicas.version", 1),
            ("group.version", 1),
            ("metadata.version", 33),
            ("share.version", 2),
            ("streams.version", 1),
            ("transaction.version", 2)
        ]
    );
    assert_eq!(image.config(&ConfigResource::AllBrokers).get("min.insync.replicas").map(String::as_str), Some("1"));
    let broker = image.broker(NODE).expect("it has registered");
    assert_eq!(broker.epoch, image.offset().get(), "a registration is counted by its offset");
    let listener = broker.listener("PLAINTEXT").expect("it is advertised");
    assert_eq!(listener.endpoint, Endpoint { host: "localhost".to_owned(), port: 9092 });
    assert!(matches!(cluster.rehearsal.log[0], MetadataRecord::FeatureLevel(_)), "metadata.version comes first");

    let before = cluster.rehearsal.log.len();
    cluster.start(NODE, 9999);
    assert_eq!(cluster.rehearsal.log.len(), before + 1, "another start registers, and no more");
    assert_eq!(cluster.image().broker(NODE).map(|broker| broker.epoch), Some(8));
}

#[test]
fn a_broker_is_forgotten_unless_it_runs() {
    let mut cluster = Cluster::started("");
    let other = BrokerId::new(2);
    cluster.start(other, 9093);
    let mut unregister = |id, expected: &str| {
        let reply = cluster.rehearsal.step(|metadata| metadata.unregister_broker(id));
        assert_eq!(
            reply.map_or_else(|error| format!("{}: {error}", error.code().name()), |()| "ok".to_owned()),
            expected
        );
    };
    unregister(other, "ok");
    unregister(other, "BROKER_ID_NOT_REGISTERED: broker 2 is not registered");
    unregister(NODE, "INVALID_REQUEST: broker 1 is running, and the only one");
    assert!(cluster.image().brokers().map(|broker| broker.id).eq([NODE]));
}

#[test]
fn data_of_a_newer_release_is_refused() {
    let mut cluster = Cluster::started("");
    let newer = crate::image::feature_record(METADATA_VERSION, 34);
    cluster.rehearsal.step(|_| Decision { records: vec![newer], reply: () });
    let registration = Registration {
        id: NODE,
        incarnation_id: Uuid::ZERO,
        listeners: Vec::new(),
        rack: None,
        directories: vec![Uuid::ZERO],
    };
    let error = cluster.rehearsal.live.register_broker(&registration).expect_err("level 34 is unknown");
    let text = "feature metadata.version is at level 34, and this release goes up to 33; start the release that wrote \
                the data";
    assert_eq!(error.to_string(), text);
}

#[test]
fn topics_take_counts_or_defaults() {
    let mut cluster = Cluster::started("num.partitions=3");
    cluster.check_create(&named("a"), "3x1");
    cluster.check_create(&sized("b", 5, 1), "5x1");
    cluster.check_create(&sized("c", 0, 1), "INVALID_PARTITIONS: 0 is not a number of partitions");
    cluster.check_create(&sized("c", -2, 1), "INVALID_PARTITIONS: -2 is not a number of partitions");
    cluster.check_create(&sized("c", 1, 0), "INVALID_REPLICATION_FACTOR: 0 is not a number of replicas");
    cluster.check_create(
        &sized("c", 1, 3),
        "INVALID_REPLICATION_FACTOR: 3 replicas are more than the 1 brokers that could hold them",
    );
    cluster.check_create(
        &sized("c", 10_001, 1),
        "POLICY_VIOLATION: 10001 partitions are more than the 10000 of one request",
    );
    let partition = cluster.image().topic("b").and_then(|b| b.partition(PartitionIndex::new(4))).expect("it was made");
    assert_eq!((partition.leader, partition.leader_epoch.get(), partition.partition_epoch), (NODE, 0, 0));
    assert_eq!((&partition.replicas, &partition.isr), (&vec![NODE], &vec![NODE]));
    assert_eq!(partition.directories, [Uuid::from_u128(2000)]);
    assert_eq!((cluster.image().topic_count(), cluster.image().partition_count()), (2, 8));
}

#[test]
fn names_are_checked() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&named("a.b"), "1x1");
    cluster.check_create(&named("a.b"), "TOPIC_ALREADY_EXISTS: topic a.b already exists");
    cluster.check_create(
        &named("a_b"),
        "INVALID_TOPIC_EXCEPTION: topic a_b collides with a.b: a dot and an underscore are the same in metrics",
    );
    cluster.check_create(
        &named("a b"),
        "INVALID_TOPIC_EXCEPTION: the topic name has characters other than ASCII letters and digits, '.', '_' and '-'",
    );
    cluster.check_create(
        &named("__cluster_metadata"),
        "INVALID_REQUEST: the topic __cluster_metadata is made by the cluster alone",
    );
    cluster.check_create(&named("__consumer_offsets"), "1x1");
    let reply = cluster.create(&[named("x"), named("y.z"), named("x"), named("y_z")]);
    let codes: Vec<_> =
        reply.iter().map(|made| made.as_ref().map_or_else(|error| error.code().name(), |_| "ok")).collect();
    assert_eq!(codes, ["INVALID_REQUEST", "ok", "INVALID_REQUEST", "INVALID_TOPIC_EXCEPTION"]);
}

#[test]
fn replicas_can_be_chosen() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&assigned("a", &[(1, &[1]), (0, &[1])]), "2x1");
    let invalid = |text: &str| format!("INVALID_REPLICA_ASSIGNMENT: {text}");
    cluster.check_create(&assigned("b", &[(0, &[2])]), &invalid("partition 0: there is no broker 2"));
    cluster.check_create(&assigned("b", &[(0, &[])]), &invalid("partition 0: there must be a replica"));
    cluster.check_create(&assigned("b", &[(0, &[1, 1])]), &invalid("partition 0: broker 1 is named twice"));
    cluster.check_create(
        &assigned("b", &[(1, &[1])]),
        &invalid("partition 1: partitions must be numbered from 0, each once"),
    );
    cluster.check_create(
        &assigned("b", &[(0, &[1]), (0, &[1])]),
        &invalid("partition 0: partitions must be numbered from 0, each once"),
    );
    cluster.check_create(
        &NewTopic { partition_count: 1, ..assigned("b", &[(0, &[1])]) },
        "INVALID_REQUEST: where replicas are chosen, the counts of partitions and replicas must be -1",
    );
    cluster.start(BrokerId::new(2), 9093);
    cluster.check_create(
        &assigned("b", &[(0, &[1, 2]), (1, &[1])]),
        &invalid("partition 1: 1 replicas where the others have 2"),
    );
    cluster.check_create(&assigned("b", &[(0, &[2, 1])]), "1x2");
    cluster.check_create(&sized("c", 4, 2), "4x2");
    let leaders =
        cluster.image().topic("c").expect("it was made").partitions.iter().map(|partition| partition.leader.get());
    assert_eq!(leaders.collect::<Vec<_>>(), [1, 2, 1, 2]);
}

#[test]
fn settings_come_with_the_topic_and_go_with_it() {
    let mut cluster = Cluster::started("");
    let setting = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
    let compacted = NewTopic { configs: vec![setting("cleanup.policy", "compact")], ..named("a") };
    let made = cluster.create(std::slice::from_ref(&compacted)).remove(0).expect("the settings are valid");
    let told = made.configs.iter().find(|config| config.name == "cleanup.policy").expect("all keys are told");
    assert_eq!((told.value.as_deref(), told.source.wire_code()), (Some("compact"), 1));
    let pinned = made.configs.iter().find(|config| config.name == "min.insync.replicas").expect("all keys are told");
    assert_eq!((pinned.value.as_deref(), pinned.source.wire_code()), (Some("1"), 3));
    cluster.check_create(
        &NewTopic { configs: vec![setting("segment.bytes", "200")], ..named("b") },
        "INVALID_CONFIG: segment.bytes=200: expected a whole number from 1048576 to 2147483647",
    );
    assert_eq!(cluster.image().topic_settings("a").len(), 1);
    let deleted = cluster
        .rehearsal
        .step(|metadata| metadata.delete_topics(&[TopicRef::Name("a".to_owned())], &mut MutationQuota::unlimited()));
    assert_eq!(deleted, [Ok(("a".to_owned(), made.id))]);
    assert_eq!((cluster.image().topic_settings("a").len(), cluster.image().topic_count()), (0, 0));
    let again = cluster.create(&[named("a")]).remove(0).expect("the name is free");
    assert_ne!(again.id, made.id);
}

#[test]
fn deletion_is_by_name_or_id_once_and_can_be_switched_off() {
    let mut cluster = Cluster::started("");
    let id = cluster.create(&[named("a")]).remove(0).expect("it is made").id;
    let name = || TopicRef::Name("a".to_owned());
    let mut delete = |refs: &[TopicRef]| -> Vec<_> {
        let reply = cluster.rehearsal.step(|metadata| metadata.delete_topics(refs, &mut MutationQuota::unlimited()));
        reply.iter().map(|gone| gone.as_ref().map_or_else(|error| error.code().name(), |_| "ok")).collect()
    };
    // Whoever contradicts themselves loses nothing.
    assert_eq!(delete(&[TopicRef::Id(id), name()]), ["INVALID_REQUEST"; 2]);
    assert_eq!(delete(&[name(), name()]), ["INVALID_REQUEST"; 2]);
    assert_eq!(delete(&[TopicRef::Both("a".to_owned(), Uuid::from_u128(7777))]), ["INVALID_REQUEST"]);
    let unknown = [TopicRef::Name("b".to_owned()), TopicRef::Id(Uuid::from_u128(7777))];
    assert_eq!(delete(&unknown), ["UNKNOWN_TOPIC_OR_PARTITION", "UNKNOWN_TOPIC_ID"]);
    assert_eq!(delete(&[TopicRef::Id(id)]), ["ok"]);

    let mut cluster = Cluster::started("delete.topic.enable=false");
    cluster.check_create(&named("a"), "1x1");
    let reply = cluster
        .rehearsal
        .step(|metadata| metadata.delete_topics(&[TopicRef::Name("a".to_owned())], &mut MutationQuota::unlimited()));
    assert_eq!(reply, [Err(TopicError::DeletionDisabled)]);
}

#[test]
fn validation_writes_nothing() {
    let mut cluster = Cluster::started("");
    let before = cluster.rehearsal.log.len();
    let reply = cluster.rehearsal.step(|metadata| {
        metadata.create_topics(&[named("a")], Intent::ValidateOnly, &mut || u128::MAX, &mut MutationQuota::unlimited())
    });
    assert!(reply[0].is_ok());
    assert_eq!((cluster.rehearsal.log.len(), cluster.image().topic_count()), (before, 0));
}

#[test]
fn a_request_for_too_many_partitions_is_refused_whole() {
    let mut cluster = Cluster::started("");
    let reply = cluster.create(&[sized("a", 9_999, 1), sized("b", 2, 1)]);
    assert_eq!(reply, vec![Err(TopicError::TooManyInRequest(10_001)); 2]);
    assert_eq!(cluster.image().topic_count(), 0);
}

/// Offsets of every group would be looked for elsewhere.
#[test]
fn the_coordinators_topic_keeps_its_partitions() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&sized("__consumer_offsets", 2, 1), "2x1");
    let new = NewPartitions { topic: "__consumer_offsets".to_owned(), count: 3, assignments: None };
    let reply = cluster
        .rehearsal
        .step(|metadata| metadata.create_partitions(&[new], Intent::Apply, &mut MutationQuota::unlimited()));
    assert_eq!(reply, [Err(TopicError::FixedPartitions("__consumer_offsets".to_owned()))]);
}

#[test]
fn partitions_are_added() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&sized("a", 2, 1), "2x1");
    let mut check = |count: i32, chosen: Option<&[&[i32]]>, expected: &str| {
        let brokers = |ids: &&[i32]| ids.iter().copied().map(BrokerId::new).collect();
        let assignments = chosen.map(|chosen| chosen.iter().map(brokers).collect());
        let new = NewPartitions { topic: "a".to_owned(), count, assignments };
        let mut reply = cluster
            .rehearsal
            .step(|metadata| metadata.create_partitions(&[new], Intent::Apply, &mut MutationQuota::unlimited()));
        assert_eq!(told(reply.remove(0).map(|()| "ok".to_owned())), expected);
    };
    check(2, None, "INVALID_PARTITIONS: the topic has 2 partitions, and 2 would not be more");
    check(-1, None, "INVALID_PARTITIONS: the topic has 2 partitions, and -1 would not be more");
    check(3, None, "ok");
    let text = "partition 3: 2 partitions would be new, and replicas are chosen for 1";
    check(5, Some(&[&[1]]), &format!("INVALID_REPLICA_ASSIGNMENT: {text}"));
    check(5, Some(&[&[1], &[4]]), "INVALID_REPLICA_ASSIGNMENT: partition 4: there is no broker 4");
    check(5, Some(&[&[1], &[1]]), "ok");
    check(20_000, None, "POLICY_VIOLATION: 19995 partitions are more than the 10000 of one request");
    assert_eq!(cluster.image().topic("a").map(|topic| topic.partitions.len()), Some(5));
    let new = NewPartitions { topic: "b".to_owned(), count: 3, assignments: None };
    let reply = cluster
        .rehearsal
        .step(|metadata| metadata.create_partitions(&[new], Intent::Apply, &mut MutationQuota::unlimited()));
    assert_eq!(reply, [Err(TopicError::UnknownName("b".to_owned()))]);
}

#[test]
fn configuration_of_topics_and_brokers() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&named("a"), "1x1");
    assert_eq!(cluster.alter(&topic("a"), "retention.ms", Some("5")), "ok");
    assert_eq!(cluster.image().topic_config("a", NODE, &StaticConfig::default()).retention_ms, 5);
    assert_eq!(
        cluster.alter(&topic("b"), "retention.ms", Some("5")),
        "UNKNOWN_TOPIC_OR_PARTITION: there is no topic b"
    );
    assert_eq!(
        cluster.alter(&topic("a"), "segment.bytes", Some("200")),
        "INVALID_CONFIG: segment.bytes=200: expected a whole number from 1048576 to 2147483647"
    );
    let broker = ConfigResource::Broker(NODE);
    assert_eq!(cluster.alter(&broker, "log.retention.ms", Some("7")), "ok");
    assert_eq!(cluster.alter(&ConfigResource::AllBrokers, "message.max.bytes", Some("9")), "ok");
    assert_eq!(
        cluster.alter(&broker, "message.max.bytes", Some("-5")),
        "INVALID_REQUEST: message.max.bytes=-5: expected a whole number from 0 to 2147483647"
    );
    let unknown = ConfigResource::Broker(BrokerId::new(9));
    assert_eq!(cluster.alter(&unknown, "log.retention.ms", Some("7")), "INVALID_REQUEST: broker 9 is not registered");
    let fixed = StaticConfig::default();
    assert_eq!(cluster.image().topic_config("a", NODE, &fixed).message_bytes_max, 9);
    assert_eq!(cluster.alter(&topic("a"), "retention.ms", None), "ok");
    assert_eq!(cluster.image().topic_config("a", NODE, &fixed).retention_ms, 7);

    let alterations =
        vec![Alteration { key: "segment.ms".to_owned(), operation: AlterOperation::Set, value: Some("8".to_owned()) }];
    assert_eq!(cluster.alter(&topic("a"), "flush.ms", Some("1")), "ok");
    assert_eq!(cluster.alter_in(AlterMode::Whole, &topic("a"), alterations), "ok");
    assert_eq!(cluster.image().topic_settings("a").keys().collect::<Vec<_>>(), ["segment.ms"]);
}

/// Nobody could connect any more.
#[test]
fn what_is_wrong_together_is_refused_in_one_request_as_in_two() {
    let mut cluster = Cluster::started("");
    let broker = ConfigResource::Broker(NODE);
    assert_eq!(cluster.alter(&broker, "max.connections.per.ip.overrides", Some("127.0.0.1:5")), "ok");
    let alter = |resource: &ConfigResource, key: &str, value: Option<&str>| {
        let operation = if value.is_some() { AlterOperation::Set } else { AlterOperation::Delete };
        let alteration = Alteration { key: key.to_owned(), operation, value: value.map(str::to_owned) };
        AlterConfigs { resource: resource.clone(), alterations: vec![alteration] }
    };
    let both = [
        alter(&ConfigResource::AllBrokers, "max.connections.per.ip", Some("0")),
        alter(&broker, "max.connections.per.ip.overrides", None),
    ];
    let reply = cluster.rehearsal.step(|metadata| metadata.alter_configs(&both, AlterMode::Incremental, Intent::Apply));
    assert!(reply[0].is_ok());
    let refusal = reply[1].as_ref().expect_err("it would let nobody connect").to_string();
    assert!(refusal.contains("max.connections.per.ip=0"), "{refusal}");
}

#[test]
fn the_pinned_min_insync_replicas_stays_but_can_change() {
    let mut cluster = Cluster::started("min.insync.replicas=2");
    let pinned = |cluster: &Cluster| cluster.image().config(&ConfigResource::AllBrokers)["min.insync.replicas"].clone();
    assert_eq!(pinned(&cluster), "2");
    let removal = cluster.alter(&ConfigResource::AllBrokers, "min.insync.replicas", None);
    assert!(removal.starts_with("INVALID_CONFIG: "), "{removal}");
    let one = cluster.alter(&ConfigResource::Broker(NODE), "min.insync.replicas", Some("3"));
    assert!(one.starts_with("INVALID_CONFIG: "), "{one}");
    assert_eq!(cluster.alter(&ConfigResource::AllBrokers, "min.insync.replicas", Some("3")), "ok");
    assert_eq!(cluster.alter_in(AlterMode::Whole, &ConfigResource::AllBrokers, Vec::new()), "ok");
    assert_eq!(pinned(&cluster), "3");
}

#[test]
fn producer_ids_are_given_out_once() {
    let mut cluster = Cluster::started("");
    for expected in [0, 1000, 2000] {
        let block = cluster.rehearsal.step(|metadata| metadata.allocate_producer_ids(NODE).expect("there are many"));
        assert_eq!((block.first, block.len), (ProducerId::new(expected), 1000));
    }
    assert_eq!(cluster.image().next_producer_id(), ProducerId::new(3000));
    let last = crate::image::producer_ids_record(NODE, 0, ProducerId::new(i64::MAX));
    cluster.rehearsal.step(|_| Decision { records: vec![last], reply: () });
    assert_eq!(cluster.rehearsal.live.allocate_producer_ids(NODE), Err(ProducerIdsExhausted));
}

#[test]
fn records_survive_their_encoding() {
    let mut cluster = Cluster::started("");
    cluster.check_create(&sized("a", 3, 1), "3x1");
    assert_eq!(cluster.alter(&topic("a"), "retention.ms", Some("5")), "ok");
    for record in &cluster.rehearsal.log {
        let mut writer = Writer::new();
        record.encode(&mut writer, record.newest_version()).expect("every field fits the newest version");
        let bytes = writer.into_bytes();
        let (decoded, version) = MetadataRecord::decode(&mut Reader::new(&bytes)).expect("just written");
        assert_eq!((&decoded, version), (record, record.newest_version()));
    }
}
