//! What the client makes of answers, and of their absence.

use super::consumer::{Asked, Outcome};
use super::producer::Sent;
use super::{Answer, Client, ClientError, Completed, Event, Metadata, Purpose};
use crate::error::ErrorCode;
use crate::messages::fetch::{FetchResponse, PartitionData};
use crate::messages::init_producer_id::InitProducerIdResponse;
use crate::messages::list_offsets::ListOffsetsResponse;
use crate::messages::metadata::MetadataResponse;
use crate::messages::produce::ProduceResponse;
use crate::wire::{DecodeError, Reader};
use ringlog_storage::types::{Nanos, Offset, PartitionIndex, ProducerEpoch, ProducerId, TopicPartition, Uuid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What an answer says about partitions, found by the partition's name.
struct ByPartition<T>(BTreeMap<TopicPartition, T>);

impl<T> ByPartition<T> {
    /// From (topic name, topic id, partition, what is said): an id stands for the name where that is empty.
    fn new(metadata: &Metadata, said: impl Iterator<Item = (String, Uuid, i32, T)>) -> Self {
        let named = said.filter_map(|(name, id, index, said)| {
            let topic: Arc<str> = if name.is_empty() { metadata.name_of(id)? } else { Arc::from(name) };
            Some((TopicPartition { topic, partition: PartitionIndex::new(index) }, said))
        });
        Self(named.collect())
    }
}

impl Client {
    pub(super) fn complete(&mut self, completed: Completed<Purpose>, now: Nanos) {
        let Completed { purpose, version, body } = completed;
        let r = &mut Reader::new(&body);
        let understood = match &purpose {
            Purpose::Call(id) => {
                let answer = Answer { version, body };
                self.events.push_back(Event::Answered(*id, Ok(answer)));
                Ok(())
            }
            Purpose::Metadata => self.complete_metadata(r, version, now),
            Purpose::Identity => self.complete_identity(r, version, now),
            Purpose::Produce(sent) => self.complete_produce(sent, r, version, now),
            Purpose::Resolve(asked) => self.complete_resolve(asked, r, version, now),
            Purpose::Fetch(asked) => self.complete_fetch(asked, r, version, now),
        };
        if understood.is_err() {
            // The next attempt goes the same way; delivery timeout and caller decide how long.
            self.lost(purpose, now);
        }
    }

    /// No answer will come.
    pub(super) fn lost(&mut self, purpose: Purpose, now: Nanos) {
        let retry_at = self.retry_time(now);
        match purpose {
            Purpose::Metadata => self.metadata.asked = false,
            Purpose::Call(id) => self.events.push_back(Event::Answered(id, Err(ClientError::Disconnected))),
            Purpose::Identity => self.producer.identity(None, retry_at),
            Purpose::Produce(sent) => self.settle(&sent, |_| Err(ErrorCode::NetworkException), now),
            Purpose::Resolve(asked) | Purpose::Fetch(asked) => {
                for each in &asked {
                    self.consumer.retry(each, retry_at);
                }
            }
        }
    }

    fn complete_metadata(&mut self, r: &mut Reader<'_>, version: i16, now: Nanos) -> Result<(), DecodeError> {
        let response = MetadataResponse::decode(r, version)?;
        self.metadata.asked = false;
        self.metadata.update(response, now);
        Ok(())
    }

    fn complete_identity(&mut self, r: &mut Reader<'_>, version: i16, now: Nanos) -> Result<(), DecodeError> {
        let response = InitProducerIdResponse::decode(r, version)?;
        let known = ErrorCode::from_wire(response.error_code) == ErrorCode::None;
        let identity = (ProducerId::new(response.producer_id), ProducerEpoch::new(response.producer_epoch));
        self.producer.identity(known.then_some(identity), self.retry_time(now));
        Ok(())
    }

    fn complete_produce(
        &mut self,
        sent: &[Sent],
        r: &mut Reader<'_>,
        version: i16,
        now: Nanos,
    ) -> Result<(), DecodeError> {
        let response = ProduceResponse::decode(r, version)?;
        let said = response.responses.into_iter().flat_map(|topic| {
            let partitions = topic.partition_responses.into_iter();
            partitions.map(move |each| (topic.name.clone(), topic.topic_id, each.index, each))
        });
        let said = ByPartition::new(&self.metadata, said);
        let result = |partition: &TopicPartition| {
            let each = said.0.get(partition).ok_or(ErrorCode::UnknownServerError)?;
            match ErrorCode::from_wire(each.error_code) {
                ErrorCode::None => Ok(Offset::new(each.base_offset)),
                error => Err(error),
            }
        };
        self.settle(sent, result, now);
        Ok(())
    }

    fn complete_resolve(
        &mut self,
        asked: &[Asked],
        r: &mut Reader<'_>,
        version: i16,
        now: Nanos,
    ) -> Result<(), DecodeError> {
        let response = ListOffsetsResponse::decode(r, version)?;
        let said = response.topics.into_iter().flat_map(|topic| {
            let partitions = topic.partitions.into_iter();
            partitions.map(move |each| (topic.name.clone(), Uuid::ZERO, each.partition_index, each))
        });
        let said = ByPartition::new(&self.metadata, said);
        for each in asked {
            let answer = match said.0.get(&each.partition) {
                None => Err(ErrorCode::UnknownServerError),
                Some(said) => match ErrorCode::from_wire(said.error_code) {
                    ErrorCode::None => Ok(Offset::new(said.offset)),
                    error => Err(error),
                },
            };
            let outcome = self.consumer.resolved(each, answer, self.retry_time(now));
            self.tell(outcome);
        }
        Ok(())
    }

    fn complete_fetch(
        &mut self,
        asked: &[Asked],
        r: &mut Reader<'_>,
        version: i16,
        now: Nanos,
    ) -> Result<(), DecodeError> {
        let response = FetchResponse::decode(r, version)?;
        let said = response.responses.into_iter().flat_map(|topic| {
            let partitions = topic.partitions.into_iter();
            partitions.map(move |each| (topic.topic.clone(), topic.topic_id, each.partition_index, each))
        });
        let mut said = ByPartition::new(&self.metadata, said);
        let retry_at = self.retry_time(now);
        for each in asked {
            let outcome = match (said.0.remove(&each.partition), response.error_code) {
                (Some(data), 0) => self.consumer.fetched(each, data, retry_at),
                (_, error_code) => {
                    // The request as a whole failed, or says nothing about the partition: once more, later.
                    self.consumer.fetched(each, PartitionData { error_code, ..PartitionData::default() }, retry_at)
                }
            };
            self.tell(outcome);
        }
        Ok(())
    }

    fn tell(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Records(fetched) => self.events.push_back(Event::Fetched(fetched)),
            Outcome::Failed(partition, error) => self.events.push_back(Event::PartitionFailed(partition, error)),
            Outcome::Stale => self.metadata.invalidate(),
            Outcome::Nothing => {}
        }
    }
}
