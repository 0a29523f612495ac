//! An administrator: creates, deletes and changes the topics whose names are its own, and looks at all of them.

use std::collections::BTreeMap;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::create_partitions::{CreatePartitionsRequest, CreatePartitionsTopic};
use ringlog_net::messages::create_topics::{CreatableTopic, CreatableTopicConfig, CreateTopicsRequest};
use ringlog_net::messages::delete_topics::{DeleteTopicState, DeleteTopicsRequest};
use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};
use ringlog_net::messages::metadata::MetadataRequest;
use ringlog_storage::types::Uuid;

use super::{Client, code};
use crate::connection::{Connection, Lost};
use crate::ledger::{Kind, Stage};

/// The version of requests whose topics have ids.
const CREATE_TOPICS_VERSION: i16 = 7;
const DELETE_TOPICS_VERSION: i16 = 6;
/// From this version on the response names topics by id too.
const METADATA_VERSION_MIN: u64 = 10;
const METADATA_VERSION_MAX: u64 = 13;
/// The resource type of topics.
const TOPIC_RESOURCE: i8 = 2;
/// A topic's setting that changes nothing in a run.
const HARMLESS_KEY: &str = "max.compaction.lag.ms";

pub(crate) struct Admin {
    client: Client,
    names: Vec<String>,
    changes: u32,
}

impl Admin {
    /// The names are touched by no other administrator.
    pub(crate) fn new(client: Client, names: Vec<String>, changes: u32) -> Self {
        Self { client, names, changes }
    }

    /// Works until its changes are over, or everything winds down.
    pub(crate) async fn run(mut self) {
        while self.changes > 0 && !self.client.shared.winds_down.get() {
            let Some(mut connection) = self.client.connect().await else { continue };
            while self.changes > 0 && !self.client.shared.winds_down.get() {
                self.changes -= 1;
                if let Err(lost) = self.change(&mut connection).await {
                    self.client.note(|| format!("connection {lost}"));
                    self.client.shared.ledger.borrow_mut().counts.failures += 1;
                    break;
                }
                self.client.pause(60).await;
            }
        }
    }

    /// Creates the topics that stay. Nothing is wrong yet.
    pub(crate) async fn set_up(mut self) {
        loop {
            let Some(mut connection) = self.client.connect().await else { continue };
            for name in self.names.clone() {
                self.create(&mut connection, &name).await.expect("nothing is wrong yet");
            }
            return;
        }
    }

    async fn change(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if self.client.random.chance(300) {
            return look_at_topics(&mut self.client, connection).await;
        }
        let name = self.names[self.client.random.index(self.names.len())].clone();
        let known = self.client.shared.ledger.borrow().named(&name);
        match known {
            None => self.create(connection, &name).await,
            Some(id) => {
                let stage = self.client.shared.ledger.borrow().topic(id).stage;
                match self.client.random.below(4) {
                    0 | 1 => self.delete(connection, id).await,
                    2 if stage == Stage::Alive => self.grow(connection, id).await,
                    _ if stage == Stage::Alive => self.alter(connection, id).await,
                    _ => look_at_topics(&mut self.client, connection).await,
                }
            }
        }
    }

    async fn create(&mut self, connection: &mut Connection, name: &str) -> Result<(), Lost> {
        let kind = Kind::of(name);
        let config =
            |(name, value): (&str, &str)| CreatableTopicConfig { name: name.to_owned(), value: Some(value.to_owned()) };
        let num_partitions = i32::try_from(self.client.random.between(1, 4)).expect("small");
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions,
            replication_factor: 1,
            configs: kind.configs().into_iter().map(config).collect(),
            ..CreatableTopic::default()
        };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 10_000, ..CreateTopicsRequest::default() };
        self.client.note(|| format!("create {name}"));
        let shared = self.client.shared.clone();
        let response = connection.call(&request, CREATE_TOPICS_VERSION).await.inspect_err(|_| {
            shared.ledger.borrow_mut().creation_uncertain(name);
        })?;
        let [created] = &response.topics[..] else { panic!("one topic, one answer: {response:?}") };
        self.client.note(|| format!("created {name} {}: {}", created.topic_id, code(created.error_code).name()));
        let mut ledger = shared.ledger.borrow_mut();
        match code(created.error_code) {
            ErrorCode::None => {
                assert_eq!(created.num_partitions, num_partitions, "as many partitions as asked for");
                ledger.topic_exists(created.topic_id, name, num_partitions);
            }
            other => {
                // Records of a refused change may still become durable.
                ledger.creation_uncertain(name);
                ledger.creation_refused(name, other);
            }
        }
        Ok(())
    }

    async fn delete(&mut self, connection: &mut Connection, id: Uuid) -> Result<(), Lost> {
        let shared = self.client.shared.clone();
        shared.ledger.borrow_mut().topic_mut(id).stage = Stage::Doomed;
        let topics = vec![DeleteTopicState { name: None, topic_id: id }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 10_000, ..DeleteTopicsRequest::default() };
        self.client.note(|| format!("delete {id}"));
        let response = connection.call(&request, DELETE_TOPICS_VERSION).await?;
        let [deleted] = &response.responses[..] else { panic!("one topic, one answer: {response:?}") };
        self.client.note(|| format!("deleted {id}: {}", code(deleted.error_code).name()));
        let mut ledger = shared.ledger.borrow_mut();
        match code(deleted.error_code) {
            // Somebody has deleted it, and that can have been an earlier request of ours only.
            ErrorCode::None | ErrorCode::UnknownTopicId => ledger.topic_mut(id).stage = Stage::Gone,
            // Too much waits to be written.
            ErrorCode::RequestTimedOut => {}
            ErrorCode::KafkaStorageError if ledger.storage_may_fail => {}
            other => panic!("deleting {id}: unexpected {}", other.name()),
        }
        Ok(())
    }

    async fn grow(&mut self, connection: &mut Connection, id: Uuid) -> Result<(), Lost> {
        let shared = self.client.shared.clone();
        let (name, before) = {
            let ledger = shared.ledger.borrow();
            (ledger.topic(id).name.clone(), ledger.topic(id).partitions)
        };
        let count = before + i32::try_from(self.client.random.between(1, 3)).expect("small");
        let topics = vec![CreatePartitionsTopic { name, count, assignments: None }];
        let request = CreatePartitionsRequest { topics, timeout_ms: 10_000, validate_only: false };
        self.client.note(|| format!("grow {id} to {count}"));
        let response = connection.call(&request, 3).await?;
        let [grown] = &response.results[..] else { panic!("one topic, one answer: {response:?}") };
        self.client.note(|| format!("grown {id}: {}", code(grown.error_code).name()));
        let mut ledger = shared.ledger.borrow_mut();
        match code(grown.error_code) {
            ErrorCode::None => ledger.topic_mut(id).partitions = count,
            // An earlier request, whose answer was lost, has grown it; or too much waits to be written.
            ErrorCode::InvalidPartitions | ErrorCode::RequestTimedOut => {}
            ErrorCode::KafkaStorageError if ledger.storage_may_fail => {}
            other => panic!("growing {id}: unexpected {}", other.name()),
        }
        Ok(())
    }

    async fn alter(&mut self, connection: &mut Connection, id: Uuid) -> Result<(), Lost> {
        let shared = self.client.shared.clone();
        let value = self.client.random.between(1_000_000, 2_000_000).to_string();
        let resource_name = {
            let mut ledger = shared.ledger.borrow_mut();
            ledger.topic_mut(id).setting = None;
            ledger.topic(id).name.clone()
        };
        let setting =
            AlterableConfig { name: HARMLESS_KEY.to_owned(), config_operation: 0, value: Some(value.clone()) };
        let resource = AlterConfigsResource { resource_type: TOPIC_RESOURCE, resource_name, configs: vec![setting] };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        self.client.note(|| format!("alter {id}"));
        let is_settled = shared.ledger.borrow().topic(id).is_settled;
        shared.ledger.borrow_mut().topic_mut(id).is_settled = false;
        let response = connection.call(&request, 1).await?;
        let [altered] = &response.responses[..] else { panic!("one topic, one answer: {response:?}") };
        let mut ledger = shared.ledger.borrow_mut();
        match code(altered.error_code) {
            ErrorCode::None => {
                // A request whose end is not known may still come and change it again.
                let topic = ledger.topic_mut(id);
                topic.is_settled = is_settled;
                topic.setting = is_settled.then(|| (HARMLESS_KEY.to_owned(), value));
            }
            // Too much waits to be written.
            ErrorCode::RequestTimedOut => {}
            ErrorCode::KafkaStorageError if ledger.storage_may_fail => {}
            other => panic!("altering {id}: unexpected {}", other.name()),
        }
        Ok(())
    }
}

/// Asks for all topics, and compares with what is known.
pub(crate) async fn look_at_topics(client: &mut Client, connection: &mut Connection) -> Result<(), Lost> {
    let version = client.random.between(METADATA_VERSION_MIN, METADATA_VERSION_MAX);
    let mark: BTreeMap<_, _> = client.shared.ledger.borrow().mark_topics();
    let request = MetadataRequest { topics: None, ..MetadataRequest::default() };
    let response = connection.call(&request, i16::try_from(version).expect("small")).await?;
    assert_eq!(response.brokers.len(), 1, "one broker");
    client.shared.ledger.borrow_mut().all_topics(&mark, &response.topics);
    Ok(())
}
