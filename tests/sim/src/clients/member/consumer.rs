//! The consumer protocol (KIP-848).

use std::collections::BTreeMap;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, TopicPartitions};

use super::{Member, REBALANCE_TIMEOUT};
use crate::clients::code;
use crate::connection::{Connection, Lost};
use crate::ledger::Partition;

const VERSION: i16 = 1;
const LEAVE_EPOCH: i32 = -1;

impl Member {
    /// Sends a heartbeat, and does what the answer says.
    pub(super) async fn consumer(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if self.id.is_empty() {
            self.id = format!("member-{}-{}", self.client.number, self.client.random.next_u64());
        }
        let joins = self.generation == 0;
        if joins {
            self.owned.clear();
        }
        let request = self.request(self.generation);
        let sent_at = self.client.reactor.now();
        let shared = self.client.shared.clone();
        shared.ledger.borrow_mut().groups.releases(&self.group, &self.id, &self.owned);
        let response = connection.call(&request, VERSION).await?;
        match code(response.error_code) {
            ErrorCode::None => {}
            refused => {
                self.refused("heartbeat", refused);
                return Ok(());
            }
        }
        self.generation = response.member_epoch;
        if let Some(assignment) = response.assignment {
            let topics = assignment.topic_partitions.into_iter();
            let partitions = |topic: TopicPartitions| {
                topic.partitions.into_iter().map(move |index| Partition { topic: topic.topic_id, index })
            };
            self.owned = topics.flat_map(partitions).collect();
        }
        self.client.note(|| format!("{} has {:?} in epoch {}", self.id, self.owned, self.generation));
        self.claim(sent_at);
        Ok(())
    }

    fn request(&self, epoch: i32) -> ConsumerGroupHeartbeatRequest {
        let mut topics: BTreeMap<_, Vec<i32>> = BTreeMap::new();
        for partition in &self.owned {
            topics.entry(partition.topic).or_default().push(partition.index);
        }
        let mut names: Vec<_> = self.partitions().into_iter().map(|(name, _)| name).collect();
        names.dedup();
        let topics = topics.into_iter().map(|(topic_id, partitions)| TopicPartitions { topic_id, partitions });
        ConsumerGroupHeartbeatRequest {
            group_id: self.group.clone(),
            member_id: self.id.clone(),
            member_epoch: epoch,
            rebalance_timeout_ms: i32::try_from(REBALANCE_TIMEOUT.as_millis()).expect("short"),
            subscribed_topic_names: Some(names),
            topic_partitions: Some(topics.collect()),
            ..ConsumerGroupHeartbeatRequest::default()
        }
    }

    pub(super) async fn leave_consumer(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let shared = self.client.shared.clone();
        shared.ledger.borrow_mut().groups.releases(&self.group, &self.id, &[]);
        self.may_be_leaving = true;
        self.client.note(|| format!("{} is leaving", self.id));
        let response = connection.call(&self.request(LEAVE_EPOCH), VERSION).await?;
        self.client.note(|| format!("{} leaves: {}", self.id, code(response.error_code).name()));
        Ok(())
    }
}
