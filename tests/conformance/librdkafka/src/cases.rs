//! The cases.

use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::admin::{AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::Producer;

use crate::clients::{DEADLINE, PARTITIONS, Session, assign, enqueue, read, wait};
use crate::records::{Random, Record, compare, records};

type Outcome = Result<(), String>;

/// A case, told apart from others by its name.
pub type Case = Box<dyn Fn(&Session) -> Outcome>;

/// Every case by name.
pub fn all() -> Vec<(String, Case)> {
    let mut all: Vec<(String, Case)> = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        for acks in ["0", "1", "all"] {
            let case = move |session: &Session| codec_and_acks(session, codec, acks);
            all.push((format!("codec {codec}, acks {acks}"), Box::new(case)));
        }
    }
    for protocol in ["classic", "consumer"] {
        let case = move |session: &Session| group(session, protocol);
        all.push((format!("a group of two members, {protocol} protocol"), Box::new(case)));
    }
    let named: [(&str, fn(&Session) -> Outcome); 8] = [
        ("idempotent producer, 12 partitions", idempotent),
        ("a topic created by producing", auto_create),
        ("large records", large),
        ("timestamps by the broker", append_time),
        ("topics and their settings", topics),
        ("offsets by position and time", offsets),
        ("a reader that waits at the end", tail),
        ("metadata", metadata),
    ];
    all.extend(named.map(|(name, case)| (name.to_owned(), Box::new(case) as Case)));
    all
}

fn check(holds: bool, otherwise: impl FnOnce() -> String) -> Outcome {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn record(value: &[u8]) -> Record {
    Record {
        partition: 0,
        key: None,
        value: Some(value.to_vec()),
        headers: Vec::new(),
        timestamp_ms: 1_700_000_000_000,
    }
}

fn codec_and_acks(session: &Session, codec: &str, acks: &str) -> Outcome {
    let topic = session.create(&format!("codec-{codec}-{acks}"), &[])?;
    let sent = records(2400, 1);
    session.send(&topic, &sent, &[("compression.type", codec), ("acks", acks)])?;
    compare(&sent, &session.read_all(&topic, sent.len(), &[("check.crcs", "true")])?)
}

fn idempotent(session: &Session) -> Outcome {
    let topic = session.create("idempotent", &[])?;
    let sent = records(6000, 2);
    let settings = [("enable.idempotence", "true"), ("linger.ms", "0"), ("batch.num.messages", "7")];
    session.send(&topic, &sent, &settings)?;
    compare(&sent, &session.read_all(&topic, sent.len(), &[("isolation.level", "read_committed")])?)
}

fn auto_create(session: &Session) -> Outcome {
    let topic = session.topic("auto");
    let sent = [record(b"v")];
    session.send(&topic, &sent, &[])?;
    compare(&sent, &session.read_all(&topic, 1, &[])?)
}

fn large(session: &Session) -> Outcome {
    let topic = session.create("large", &[])?;
    let fits = [record(&Random(3).bytes(1_048_000))];
    session.send(&topic, &fits, &[("message.max.bytes", "4000000")])?;
    let producer = session.producer(&[("message.max.bytes", "4000000")])?;
    enqueue(&producer, &topic, &record(&Random(4).bytes(1_100_000)))?;
    producer.flush(DEADLINE).map_err(|error| error.to_string())?;
    let refused = producer.context().0.lock().expect("no holder panics").clone();
    let wanted = KafkaError::MessageProduction(RDKafkaErrorCode::MessageSizeTooLarge);
    check(refused == [Err(wanted)], || format!("1,100,000 bytes: {refused:?}"))?;
    // Also where the limit of the fetch is below this one batch.
    let small = [("fetch.message.max.bytes", "1000"), ("fetch.max.bytes", "1000"), ("message.max.bytes", "1000")];
    compare(&fits, &session.read_all(&topic, 1, &small)?)
}

fn append_time(session: &Session) -> Outcome {
    let topic = session.create("append-time", &[("message.timestamp.type", "LogAppendTime")])?;
    let mut sent = records(120, 5);
    session.send(&topic, &sent, &[("compression.type", "gzip")])?;
    let read = session.read_all(&topic, sent.len(), &[("check.crcs", "true")])?;
    let times: Vec<i64> = read.iter().map(|(_, record)| record.timestamp_ms).collect();
    check(times.iter().all(|time| *time > 1_750_000_000_000), || format!("timestamps {:?}", &times[..5]))?;
    for record in &mut sent {
        record.timestamp_ms = 0;
    }
    let read: Vec<_> = read.into_iter().map(|(offset, found)| (offset, Record { timestamp_ms: 0, ..found })).collect();
    compare(&sent, &read)
}

fn topics(session: &Session) -> Outcome {
    let topic = session.create("admin", &[("retention.ms", "123456")])?;
    let twice = session.create("admin", &[]).err().unwrap_or_default();
    check(twice.contains("already exists"), || format!("created twice: {twice}"))?;
    let options = AdminOptions::new();
    let described = wait(session.admin.describe_configs(&[ResourceSpecifier::Topic(&topic)], &options));
    let described = described.map_err(|error| error.to_string())?.remove(0).map_err(|code| code.to_string())?;
    let retention = described.get("retention.ms").and_then(|entry| entry.value.clone());
    check(retention.as_deref() == Some("123456"), || format!("retention.ms is {retention:?}"))?;
    let more = usize::try_from(PARTITIONS + 1).expect("thirteen");
    let grown = wait(session.admin.create_partitions(&[NewPartitions::new(&topic, more)], &options));
    grown.map_err(|error| error.to_string())?.remove(0).map_err(|(_, code)| format!("growing: {code}"))?;
    let deleted = wait(session.admin.delete_topics(&[&topic], &options));
    deleted.map_err(|error| error.to_string())?.remove(0).map_err(|(_, code)| format!("deleting: {code}"))?;
    session.create("admin", &[])?;
    let sent = records(120, 6);
    session.send(&topic, &sent, &[])?;
    compare(&sent, &session.read_all(&topic, sent.len(), &[])?)
}

fn offsets(session: &Session) -> Outcome {
    let topic = session.create("offsets", &[])?;
    let start = 1_700_000_000_000;
    let sent: Vec<Record> = (0..100).map(|i| Record { timestamp_ms: start + i * 1000, ..record(b"") }).collect();
    session.send(&topic, &sent, &[("batch.num.messages", "3")])?;
    let consumer = session.consumer(&[])?;
    let marks = consumer.fetch_watermarks(&topic, 0, DEADLINE).map_err(|error| error.to_string())?;
    check(marks == (0, 100), || format!("watermarks {marks:?}"))?;
    let mut asked = rdkafka::TopicPartitionList::new();
    asked.add_partition_offset(&topic, 0, Offset::Offset(start + 50_500)).map_err(|error| error.to_string())?;
    let found = consumer.offsets_for_times(asked, DEADLINE).map_err(|error| error.to_string())?;
    let offset = found.find_partition(&topic, 0).map(|element| element.offset());
    check(offset == Some(Offset::Offset(51)), || format!("by time: {offset:?}"))?;
    assign(&consumer, &topic, 0..1, Offset::OffsetTail(5))?;
    let last = read(&consumer, 5)?;
    check(last[0].0 == 95, || format!("the last five begin at {}", last[0].0))
}

fn tail(session: &Session) -> Outcome {
    let topic = session.create("tail", &[])?;
    let producer = session.producer(&[("linger.ms", "0")])?;
    let consumer = session.consumer(&[("fetch.wait.max.ms", "20000"), ("socket.timeout.ms", "60000")])?;
    assign(&consumer, &topic, 0..PARTITIONS, Offset::Beginning)?;
    for turn in 0..50 {
        let sent = Record { partition: turn % PARTITIONS, ..record(format!("turn {turn}").as_bytes()) };
        let from = Instant::now();
        enqueue(&producer, &topic, &sent)?;
        producer.flush(DEADLINE).map_err(|error| error.to_string())?;
        let found = read(&consumer, 1)?;
        check(found[0].1 == sent, || format!("turn {turn}: {:?}", found[0].1))?;
        check(from.elapsed() < Duration::from_secs(10), || format!("turn {turn} took {:?}", from.elapsed()))?;
    }
    Ok(())
}

/// Two members share a topic; one leaves, and the other one goes on where the commits are.
fn group(session: &Session, protocol: &str) -> Outcome {
    let name = format!("group-{protocol}");
    let topic = session.create(&name, &[])?;
    let sent: Vec<_> =
        (0..600).map(|i| Record { partition: i % PARTITIONS, ..record(format!("value {i}").as_bytes()) }).collect();
    session.send(&topic, &sent, &[])?;
    let group = session.topic(&name);
    let members = [session.member(&group, protocol, &topic)?, session.member(&group, protocol, &topic)?];
    let begun = Instant::now();
    let mut read = std::collections::BTreeSet::new();
    let assigned = |of: &rdkafka::consumer::BaseConsumer| of.assignment().map_or(0, |list| list.count());
    let half = usize::try_from(PARTITIONS).expect("a few") / 2;
    // Whoever gets a partition that the other one has read, and committed nothing of, reads it again.
    let position = |of: &rdkafka::consumer::BaseConsumer| {
        let offset = |offset: Offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
        of.position().map_or(0, |list| list.elements().iter().map(|of| offset(of.offset())).sum::<i64>())
    };
    let is_done = |members: &[rdkafka::consumer::BaseConsumer; 2]| {
        let positions: i64 = members.iter().map(position).sum();
        positions == 600 && members.iter().all(|member| assigned(member) == half)
    };
    while read.len() < sent.len() || !is_done(&members) {
        for member in &members {
            if let Some(Ok(message)) = member.poll(Duration::from_millis(20)) {
                read.insert(message.payload().unwrap_or_default().to_vec());
            }
        }
        check(begun.elapsed() < DEADLINE, || {
            format!("{} records, {:?} partitions", read.len(), members.each_ref().map(assigned))
        })?;
    }
    for member in &members {
        member.commit_consumer_state(CommitMode::Sync).map_err(|error| format!("committing: {error}"))?;
    }
    let [leaves, stays] = members;
    drop(leaves);
    let more: Vec<_> = (0..PARTITIONS)
        .map(|partition| Record { partition, ..record(format!("more {partition}").as_bytes()) })
        .collect();
    session.send(&topic, &more, &[])?;
    let begun = Instant::now();
    let mut rest = Vec::new();
    while rest.len() < more.len() {
        if let Some(Ok(message)) = stays.poll(Duration::from_millis(20)) {
            rest.push(message.payload().unwrap_or_default().to_vec());
        }
        check(begun.elapsed() < DEADLINE, || format!("{} records after one has left", rest.len()))?;
    }
    check(rest.iter().all(|value| value.starts_with(b"more")), || "what was committed is read again".to_owned())
}

fn metadata(session: &Session) -> Outcome {
    let topic = session.create("metadata", &[])?;
    let found = session.admin.inner().fetch_metadata(Some(&topic), DEADLINE).map_err(|error| error.to_string())?;
    check(found.brokers().len() == 1, || format!("{} brokers", found.brokers().len()))?;
    let partitions = found.topics()[0].partitions();
    let complete = partitions.iter().all(|p| p.leader() >= 0 && p.isr().len() == 1 && p.replicas().len() == 1);
    check(partitions.len() == 12 && complete, || format!("{} partitions", partitions.len()))?;
    let id = session.admin.inner().fetch_cluster_id(DEADLINE);
    check(id.as_ref().is_some_and(|id| id.len() == 22), || format!("cluster id {id:?}"))
}
