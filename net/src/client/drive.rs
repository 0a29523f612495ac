//! What the client asks of brokers, whenever something can be asked.

use super::connection::Connection;
use super::consumer::{Consumer, Questions};
use super::producer::Sent;
use super::{
    Acks, Address, Client, ClientError, ConnectionId, Event, Output, PRODUCE_REQUESTS_IN_FLIGHT_MAX, Peer,
    ProducerConfig, Purpose, Target,
};
use crate::error::ErrorCode;
use crate::messages::ApiKey;
use crate::messages::init_producer_id::InitProducerIdRequest;
use crate::views::TOPIC_ID_VERSION_MIN;
use ringlog_storage::types::{Nanos, Offset, TopicPartition, Uuid};
use std::collections::BTreeMap;

impl Client {
    /// Does whatever can be done now.
    pub(super) fn drive(&mut self, now: Nanos) {
        self.driven_at = now;
        let late = |peer: &Peer| peer.connection.deadline().is_some_and(|deadline| now >= deadline);
        let late: Vec<ConnectionId> = self.peers.iter().filter(|(_, peer)| late(peer)).map(|(id, _)| *id).collect();
        for id in late {
            self.abandon(id, "a request was not answered in time", now);
        }
        self.retry_at.retain(|_, retry_at| now < *retry_at);
        self.drive_metadata(now);
        self.drive_calls(now);
        self.drive_producer(now);
        self.drive_consumer(now);
    }

    /// A ready connection to `address`. Opens one if there is none; then it is ready later.
    fn ready(&mut self, address: &Address) -> Option<ConnectionId> {
        let known = self.peers.iter().find(|(_, peer)| peer.address == *address);
        match known {
            Some((id, peer)) => peer.connection.is_ready().then_some(*id),
            None if self.retry_at.contains_key(address) => None,
            None => {
                let id = ConnectionId(self.fresh_id());
                let connection = Connection::new(self.config.client_id.clone(), self.config.request_timeout);
                self.peers.insert(id, Peer { address: address.clone(), connection });
                self.outputs.push_back(Output::Connect(id, address.clone()));
                None
            }
        }
    }

    /// A ready connection to any broker.
    fn ready_any(&mut self) -> Option<ConnectionId> {
        if let Some((id, _)) = self.peers.iter().find(|(_, peer)| peer.connection.is_ready()) {
            return Some(*id);
        }
        if !self.peers.is_empty() {
            return None;
        }
        let known: Vec<Address> = self.metadata.brokers().values().chain(&self.bootstrap).cloned().collect();
        self.rotation += 1;
        let rotated = (0..known.len()).map(|index| &known[(self.rotation + index) % known.len()]);
        let address = rotated.into_iter().find(|address| !self.retry_at.contains_key(*address))?.clone();
        self.ready(&address)
    }

    fn connection(&mut self, id: ConnectionId) -> &mut Connection<Purpose> {
        &mut self.peers.get_mut(&id).expect("it was ready just now").connection
    }

    fn drive_metadata(&mut self, now: Nanos) {
        if self.metadata.due(self.config.metadata_age_max).is_none_or(|due| now < due) {
            return;
        }
        let Some(id) = self.ready_any() else { return };
        let request = self.metadata.request(self.config.allow_auto_topic_creation);
        self.metadata.retry_at = self.retry_time(now);
        match self.connection(id).send(&request, i16::MAX, Purpose::Metadata, now) {
            Ok(()) => self.metadata.asked = true,
            Err(error) => self.abandon(id, &error.to_string(), now),
        }
    }

    fn drive_calls(&mut self, now: Nanos) {
        for call in std::mem::take(&mut self.calls) {
            let address = match call.target {
                Target::Any => None,
                Target::Controller => self.metadata.controller().cloned(),
                Target::Broker(broker) => self.metadata.brokers().get(&broker).cloned(),
            };
            let ready = match (call.target, address) {
                (Target::Any, _) => self.ready_any(),
                (_, Some(address)) => self.ready(&address),
                (_, None) => None,
            };
            match ready {
                Some(id) => {
                    if let Err(error) = (call.send)(self.connection(id), now) {
                        self.events.push_back(Event::Answered(call.id, Err(error)));
                    }
                }
                None if now >= call.deadline => {
                    self.events.push_back(Event::Answered(call.id, Err(ClientError::TimedOut)));
                }
                None => self.calls.push_back(call),
            }
        }
    }

    fn drive_producer(&mut self, now: Nanos) {
        let mut deliveries = Vec::new();
        self.producer.advance(&self.metadata, now, &mut deliveries);
        self.events.extend(deliveries.into_iter().map(Event::Delivered));
        if self.producer.wants_identity(now)
            && let Some(id) = self.ready_any()
        {
            let request = InitProducerIdRequest { transactional_id: None, ..InitProducerIdRequest::default() };
            match self.connection(id).send(&request, i16::MAX, Purpose::Identity, now) {
                Ok(()) => self.producer.asked_identity(),
                Err(error) => self.abandon(id, &error.to_string(), now),
            }
        }
        let mut by_leader: BTreeMap<Address, Vec<TopicPartition>> = BTreeMap::new();
        for partition in self.producer.sendable(now) {
            match self.metadata.leader(&partition) {
                Some(leader) => by_leader.entry(leader.clone()).or_default().push(partition),
                None => self.metadata.invalidate(),
            }
        }
        for (leader, partitions) in by_leader {
            let Some(id) = self.ready(&leader) else { continue };
            let produce = |purpose: &&Purpose| matches!(purpose, Purpose::Produce(_));
            if self.connection(id).purposes().filter(produce).count() < PRODUCE_REQUESTS_IN_FLIGHT_MAX {
                self.ship(id, &partitions, now);
            }
        }
    }

    fn ship(&mut self, id: ConnectionId, partitions: &[TopicPartition], now: Nanos) {
        let shipment = self.producer.ship(partitions);
        let ProducerConfig { acks, .. } = self.config.producer;
        let ids = |topic: &str| self.metadata.topic(topic).map(|topic| topic.id).unwrap_or_default();
        let cap = version_cap(partitions.iter().map(|partition| ids(&partition.topic)));
        let connection = &mut self.peers.get_mut(&id).expect("it was ready just now").connection;
        let purpose = (acks != Acks::None).then(|| Purpose::Produce(shipment.sent.clone()));
        let sent = connection.version(ApiKey::Produce, cap).and_then(|version| {
            let body = shipment.body(version, acks, self.config.request_timeout, ids)?;
            connection.send_body(ApiKey::Produce, version, &body, purpose, now)
        });
        match sent {
            Ok(()) if acks == Acks::None => self.settle(&shipment.sent, |_| Ok(Offset::UNKNOWN), now),
            Ok(()) => {}
            Err(_) => self.settle(&shipment.sent, |_| Err(ErrorCode::UnsupportedVersion), now),
        }
    }

    pub(super) fn settle(
        &mut self,
        sent: &[Sent],
        result: impl Fn(&TopicPartition) -> Result<Offset, ErrorCode>,
        now: Nanos,
    ) {
        let retry_at = self.retry_time(now);
        for each in sent {
            let result = result(&each.partition);
            if result.is_err_and(ErrorCode::is_retriable) {
                self.metadata.invalidate();
            }
            let delivery = self.producer.settle(each, result, retry_at);
            self.events.extend(delivery.map(Event::Delivered));
        }
    }

    fn drive_consumer(&mut self, now: Nanos) {
        let mut by_leader: BTreeMap<Address, Vec<(TopicPartition, bool)>> = BTreeMap::new();
        for (partition, unresolved) in self.consumer.idle(now) {
            match self.metadata.leader(partition) {
                Some(leader) => by_leader.entry(leader.clone()).or_default().push((partition.clone(), unresolved)),
                None => self.metadata.invalidate(),
            }
        }
        for (leader, partitions) in by_leader {
            let Some(id) = self.ready(&leader) else { continue };
            let fetching = self.connection(id).purposes().any(|purpose| matches!(purpose, Purpose::Fetch(_)));
            let mut questions = Questions::default();
            for (partition, unresolved) in partitions {
                if unresolved {
                    questions.unresolved.push(self.consumer.ask(&partition));
                } else if !fetching {
                    questions.readable.push(self.consumer.ask(&partition));
                }
            }
            let asked = [&questions.unresolved[..], &questions.readable[..]].concat();
            if let Err(error) = self.ask(id, questions, now) {
                let retry_at = self.retry_time(now);
                for each in &asked {
                    self.consumer.retry(each, retry_at);
                }
                self.abandon(id, &error.to_string(), now);
            }
        }
    }

    fn ask(&mut self, id: ConnectionId, questions: Questions, now: Nanos) -> Result<(), ClientError> {
        let connection = &mut self.peers.get_mut(&id).expect("it was ready just now").connection;
        if !questions.unresolved.is_empty() {
            let request = Consumer::list_offsets(&questions.unresolved);
            connection.send(&request, i16::MAX, Purpose::Resolve(questions.unresolved), now)?;
        }
        if !questions.readable.is_empty() {
            let topics = questions.readable.iter().map(|asked| self.metadata.topic(&asked.partition.topic));
            let cap = version_cap(topics.map(|topic| topic.map(|topic| topic.id).unwrap_or_default()));
            let names = connection.version(ApiKey::Fetch, cap)? < TOPIC_ID_VERSION_MIN;
            let request = self.consumer.fetch(&questions.readable, &self.metadata, names);
            connection.send(&request, cap, Purpose::Fetch(questions.readable), now)?;
        }
        Ok(())
    }
}

/// The newest version that can name these topics: without all ids, one that has names.
fn version_cap(mut ids: impl Iterator<Item = Uuid>) -> i16 {
    if ids.any(|id| id == Uuid::ZERO) { TOPIC_ID_VERSION_MIN - 1 } else { i16::MAX }
}
