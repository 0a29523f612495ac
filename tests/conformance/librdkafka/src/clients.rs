//! Producers, consumers and the admin client of one run.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{DeliveryResult, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::records::Record;

pub const PARTITIONS: i32 = 12;

/// No case takes as long as this unless something is wrong.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// What all cases of a run share.
pub struct Session {
    bootstrap: String,
    prefix: String,
    pub admin: AdminClient<DefaultClientContext>,
}

/// Keeps what became of every record, in the order of the answers.
#[derive(Default, Clone)]
pub struct Deliveries(pub Arc<Mutex<Vec<Result<(i32, i64), KafkaError>>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let kept = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        self.0.lock().expect("no holder panics").push(kept);
    }
}

impl Session {
    pub fn new(bootstrap: String, prefix: String) -> Self {
        let admin = ClientConfig::new().set("bootstrap.servers", &bootstrap).create().expect("a valid configuration");
        Self { bootstrap, prefix, admin }
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    fn config(&self, settings: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.bootstrap);
        for (key, value) in settings {
            config.set(*key, *value);
        }
        config
    }

    /// Creates a topic of twelve partitions.
    pub fn create(&self, name: &str, settings: &[(&str, &str)]) -> Result<String, String> {
        let topic = self.topic(name);
        let mut new = NewTopic::new(&topic, PARTITIONS, TopicReplication::Fixed(1));
        for (key, value) in settings {
            new = new.set(key, value);
        }
        let created = wait(self.admin.create_topics(&[new], &AdminOptions::new()));
        for result in created.map_err(|error| error.to_string())? {
            result.map_err(|(topic, code)| format!("creating {topic}: {code}"))?;
        }
        self.settle(&topic);
        Ok(topic)
    }

    /// Waits until an Apache Kafka broker leads what its controller has created: it answers a creation before that.
    fn settle(&self, topic: &str) {
        if std::env::var_os("RINGLOG_CONFORMANCE_BOOTSTRAP").is_some() {
            let consumer = self.consumer(&[]).expect("a consumer");
            let ready = |p| consumer.fetch_watermarks(topic, p, Duration::from_secs(1)).is_ok();
            while !(0..PARTITIONS).all(ready) {}
        }
    }

    pub fn producer(&self, settings: &[(&str, &str)]) -> Result<BaseProducer<Deliveries>, String> {
        self.config(settings).create_with_context(Deliveries::default()).map_err(|error| error.to_string())
    }

    pub fn consumer(&self, settings: &[(&str, &str)]) -> Result<BaseConsumer, String> {
        let mut config = self.config(settings);
        // The crate wants a name for a group, which nobody joins and nothing is committed to.
        config.set("group.id", "none").set("enable.auto.commit", "false").set("fetch.wait.max.ms", "200");
        config.create().map_err(|error| error.to_string())
    }

    /// A member of a group of either protocol.
    pub fn member(&self, group: &str, protocol: &str, topic: &str) -> Result<BaseConsumer, String> {
        let mut config = self.config(&[("group.id", group), ("group.protocol", protocol)]);
        config.set("enable.auto.commit", "false").set("auto.offset.reset", "earliest").set("fetch.wait.max.ms", "100");
        let consumer: BaseConsumer = config.create().map_err(|error| error.to_string())?;
        consumer.subscribe(&[topic]).map_err(|error| error.to_string())?;
        Ok(consumer)
    }

    /// Sends records and waits for all answers, in the order of sending within a partition.
    pub fn send(&self, topic: &str, records: &[Record], settings: &[(&str, &str)]) -> Result<(), String> {
        let producer = self.producer(settings)?;
        for record in records {
            enqueue(&producer, topic, record)?;
        }
        producer.flush(DEADLINE).map_err(|error| error.to_string())?;
        let results = producer.context().0.lock().expect("no holder panics");
        if let Some(error) = results.iter().find_map(|result| result.as_ref().err()) {
            return Err(format!("producing: {error}"));
        }
        if results.len() == records.len() { Ok(()) } else { Err(format!("{} answers", results.len())) }
    }

    /// Reads every partition from its beginning until `count` records are there.
    pub fn read_all(&self, topic: &str, count: usize, settings: &[(&str, &str)]) -> Result<Vec<(i64, Record)>, String> {
        let consumer = self.consumer(settings)?;
        assign(&consumer, topic, 0..PARTITIONS, Offset::Beginning)?;
        read(&consumer, count)
    }
}

/// Hands one record to a producer, again while its queue is full.
pub fn enqueue(producer: &BaseProducer<Deliveries>, topic: &str, record: &Record) -> Result<(), String> {
    let mut headers = OwnedHeaders::new();
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let mut meant: BaseRecord<'_, [u8], [u8]> =
        BaseRecord::to(topic).partition(record.partition).timestamp(record.timestamp_ms).headers(headers);
    meant.key = record.key.as_deref();
    meant.payload = record.value.as_deref();
    while let Err((error, back)) = producer.send(meant) {
        if error.rdkafka_error_code() != Some(rdkafka::types::RDKafkaErrorCode::QueueFull) {
            return Err(error.to_string());
        }
        producer.poll(Duration::from_millis(100));
        meant = back;
    }
    Ok(())
}

pub fn assign(
    consumer: &BaseConsumer,
    topic: &str,
    partitions: std::ops::Range<i32>,
    at: Offset,
) -> Result<(), String> {
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, partition, at).map_err(|error| error.to_string())?;
    }
    consumer.assign(&list).map_err(|error| error.to_string())
}

pub fn read(consumer: &BaseConsumer, count: usize) -> Result<Vec<(i64, Record)>, String> {
    let end = Instant::now() + DEADLINE;
    let mut found = Vec::new();
    while found.len() < count {
        if Instant::now() > end {
            return Err(format!("{} of {count} records in time", found.len()));
        }
        let Some(message) = consumer.poll(Duration::from_secs(1)) else { continue };
        let message = message.map_err(|error| error.to_string())?;
        let headers =
            message.headers().map(|all| all.iter().map(|h| (h.key.to_owned(), h.value.map(Vec::from))).collect());
        let record = Record {
            partition: message.partition(),
            key: message.key().map(Vec::from),
            value: message.payload().map(Vec::from),
            headers: headers.unwrap_or_default(),
            timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        };
        found.push((message.offset(), record));
    }
    Ok(found)
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs one of the admin client's futures on this thread.
pub fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => std::thread::park(),
        }
    }
}
