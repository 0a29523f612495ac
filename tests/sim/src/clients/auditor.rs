//! The auditor: when nothing is wrong any more, it reads everything, and nothing may be missing.

use std::collections::BTreeMap;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_configs::{DescribeConfigsRequest, DescribeConfigsResource};
use ringlog_net::messages::fetch::{FetchPartition, FetchRequest, FetchTopic};
use ringlog_storage::types::Millis;

use super::{Client, admin, code, member};
use crate::connection::{Connection, Lost};
use crate::ledger::{Partition, Told};
use crate::records;

/// Timestamps that mean the ends of a log.
const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
/// The resource type of topics.
const TOPIC_RESOURCE: i8 = 2;
/// Fetches that may bring nothing although there is something, one after the other.
const EMPTY_FETCHES_MAX: u32 = 5;

pub(crate) struct Auditor {
    client: Client,
}

impl Auditor {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Looks at everything. The broker runs, and nothing disturbs it.
    pub(crate) async fn run(mut self) {
        loop {
            let Some(mut connection) = self.client.connect().await else { continue };
            if let Err(lost) = self.audit(&mut connection).await {
                panic!("the auditor's connection {lost}, and nothing is wrong");
            }
            return;
        }
    }

    async fn audit(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        admin::look_at_topics(&mut self.client, connection).await?;
        let shared = self.client.shared.clone();
        self.check_settings(connection).await?;
        self.check_offsets(connection).await?;
        let partitions = shared.ledger.borrow().partitions();
        for partition in partitions {
            let start = self.list_offset(connection, partition, EARLIEST).await?;
            let end = self.list_offset(connection, partition, LATEST).await?;
            self.read_all(connection, partition, start, end).await?;
            shared.ledger.borrow().audit(partition);
            if !shared.ledger.borrow().topic(partition.topic).kind.is_rewritten() {
                self.check_times(connection, partition).await?;
            }
        }
        Ok(())
    }

    /// Whatever was committed is still committed. A coordinator that has just come up reads its log first.
    async fn check_offsets(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let known = self.client.shared.ledger.borrow().groups.known();
        for (group, partition) in known {
            let name = self.client.shared.ledger.borrow().topic(partition.topic).name.clone();
            while let Err(code) = member::fetch_offset(&self.client, connection, &group, &name, partition).await? {
                let is_coming = code == ErrorCode::CoordinatorLoadInProgress;
                assert!(is_coming, "{group} {partition:?}: {code}, and nothing is wrong");
                self.client.pause(20).await;
            }
        }
        Ok(())
    }

    async fn list_offset(
        &mut self,
        connection: &mut Connection,
        partition: Partition,
        timestamp: i64,
    ) -> Result<i64, Lost> {
        let answer = self.client.list_offset(connection, partition, timestamp).await?;
        assert_eq!(code(answer.error_code), ErrorCode::None, "{partition:?}: ListOffsets of {timestamp}");
        Ok(answer.offset)
    }

    async fn read_all(
        &mut self,
        connection: &mut Connection,
        partition: Partition,
        start: i64,
        end: i64,
    ) -> Result<(), Lost> {
        let (mut offset, mut empty) = (start, 0);
        loop {
            let mark = self.client.shared.ledger.borrow().mark(partition);
            let request = fetch(partition, offset, i32::try_from(self.client.random.below(100_000)).expect("small"));
            let response = connection.call(&request, 17).await?;
            assert_eq!(code(response.error_code), ErrorCode::None, "Fetch");
            let data = &response.responses[0].partitions[0];
            if code(data.error_code) == ErrorCode::OffsetOutOfRange {
                // Retention may have passed by.
                let log_start = self.list_offset(connection, partition, EARLIEST).await?;
                assert!(log_start > offset, "{partition:?}: {offset} is out of range, the log starts at {log_start}");
                offset = log_start;
                continue;
            }
            assert_eq!(code(data.error_code), ErrorCode::None, "{partition:?} at {offset}");
            let told = Told { high_watermark: data.high_watermark, log_start: data.log_start_offset };
            assert!(told.high_watermark >= end, "{partition:?}: {end} was the end, now it is {told:?}");
            let next = {
                let mut ledger = self.client.shared.ledger.borrow_mut();
                ledger.told(partition, &mark, told, self.client.reactor.now());
                ledger.read(partition, &mark, offset, data.records.as_deref().unwrap_or(&[]), told)
            };
            if next >= told.high_watermark {
                return Ok(());
            }
            empty = if next == offset { empty + 1 } else { 0 };
            assert!(empty <= EMPTY_FETCHES_MAX, "{partition:?}: nothing comes at {offset}, up to {told:?}");
            if empty > 0 {
                self.client.reactor.sleep(Duration::from_millis(10)).await;
            }
            offset = next;
        }
    }

    /// Asks for the offsets of some times.
    async fn check_times(&mut self, connection: &mut Connection, partition: Partition) -> Result<(), Lost> {
        let (start, times) = {
            let ledger = self.client.shared.ledger.borrow();
            let start = ledger.start;
            let records = |(base, number)| {
                let record = move |index: u32| (base + i64::from(index), records::time_of(start, number, index));
                (0..ledger.sent(number).form.records).map(record)
            };
            let log_start = ledger.mark(partition).log_start;
            let times = ledger.log_of(partition).into_iter().flat_map(records).filter(|(at, _)| *at >= log_start);
            (ledger.start, times.collect::<Vec<(i64, Millis)>>())
        };
        if times.is_empty() {
            return Ok(());
        }
        for _ in 0..2 {
            let (_, time) = times[self.client.random.index(times.len())];
            let time = time.max(start);
            let expected = times.iter().find(|(_, other)| *other >= time).expect("at least itself").0;
            let found = self.list_offset(connection, partition, time.get()).await?;
            if found != expected {
                // Retention may have deleted it since the ledger was told.
                let log_start = self.list_offset(connection, partition, EARLIEST).await?;
                let is_gone = log_start > expected;
                assert!(is_gone, "{partition:?}: the first record from {time} on is at {expected}, not at {found}");
            }
        }
        Ok(())
    }

    /// Settings that were acknowledged are in force.
    async fn check_settings(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let settings: BTreeMap<String, (String, String)> = {
            let ledger = self.client.shared.ledger.borrow();
            let setting = |(_, topic): (_, &crate::ledger::Topic)| Some((topic.name.clone(), topic.setting.clone()?));
            ledger.alive().filter_map(setting).collect()
        };
        for (topic, (key, value)) in settings {
            let resource = DescribeConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: topic.clone(),
                configuration_keys: Some(vec![key.clone()]),
            };
            let request = DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() };
            let response = connection.call(&request, 4).await?;
            let result = &response.results[0];
            assert_eq!(code(result.error_code), ErrorCode::None, "DescribeConfigs of {topic}");
            let found = result.configs.iter().find(|config| config.name == key).and_then(|config| config.value.clone());
            assert_eq!(found, Some(value), "{topic}: {key} was set");
        }
        Ok(())
    }
}

fn fetch(partition: Partition, fetch_offset: i64, partition_max_bytes: i32) -> FetchRequest {
    let wanted =
        FetchPartition { partition: partition.index, fetch_offset, partition_max_bytes, ..FetchPartition::default() };
    let topic = FetchTopic { topic: String::new(), topic_id: partition.topic, partitions: vec![wanted] };
    FetchRequest { max_bytes: 1 << 20, session_epoch: -1, topics: vec![topic], ..FetchRequest::default() }
}
