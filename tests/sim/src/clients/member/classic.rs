//! The classic protocol. These consumers give up all that they have before they join.

use std::collections::BTreeMap;

use ringlog_cluster::group::embedded;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_protocol_assignment::TopicPartition;
use ringlog_net::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::{BOTH, Member, REBALANCE_TIMEOUT, SESSION_TIMEOUT};
use crate::clients::code;
use crate::connection::{Connection, Lost};
use crate::ledger::Partition;

const JOIN_VERSIONS: [i16; 3] = [3, 5, 9];
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 3;
/// Of what consumers say to each other.
const EMBEDDED_VERSION: i16 = 1;

impl Member {
    /// Joins, or says that it lives.
    pub(super) async fn classic(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if self.generation == 0 {
            return self.join(connection).await;
        }
        let sent_at = self.client.reactor.now();
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: None,
        };
        let response = connection.call(&request, HEARTBEAT_VERSION).await?;
        match code(response.error_code) {
            ErrorCode::None => self.claim(sent_at),
            refused => self.refused("heartbeat", refused),
        }
        Ok(())
    }

    async fn join(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let millis = |time: std::time::Duration| i32::try_from(time.as_millis()).expect("short");
        let request = JoinGroupRequest {
            group_id: self.group.clone(),
            session_timeout_ms: millis(SESSION_TIMEOUT),
            rebalance_timeout_ms: millis(REBALANCE_TIMEOUT),
            member_id: self.id.clone(),
            group_instance_id: None,
            protocol_type: embedded::CONSUMER_PROTOCOL_TYPE.to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "deal".to_owned(), metadata: self.subscription() }],
            reason: None,
        };
        let version = JOIN_VERSIONS[self.client.random.index(JOIN_VERSIONS.len())];
        let response = connection.call(&request, version).await?;
        match code(response.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired => {
                self.id = response.member_id;
                return Ok(());
            }
            refused => {
                self.refused("join", refused);
                return Ok(());
            }
        }
        self.id = response.member_id;
        let generation = response.generation_id;
        self.client.note(|| format!("{} is in generation {generation} of {}", self.id, self.group));
        let members: Vec<_> = response.members.into_iter().map(|member| member.member_id).collect();
        self.sync(connection, generation, &members).await
    }

    /// Brings the assignment, if it leads the `members`; gets its own.
    async fn sync(&mut self, connection: &mut Connection, generation: i32, members: &[String]) -> Result<(), Lost> {
        let partitions = self.partitions();
        let deal = |(at, member): (usize, &String)| SyncGroupRequestAssignment {
            member_id: member.clone(),
            assignment: write_assignment(partitions.iter().skip(at).step_by(members.len())),
        };
        let sent_at = self.client.reactor.now();
        let request = SyncGroupRequest {
            group_id: self.group.clone(),
            generation_id: generation,
            member_id: self.id.clone(),
            assignments: members.iter().enumerate().map(deal).collect(),
            ..SyncGroupRequest::default()
        };
        let response = connection.call(&request, SYNC_VERSION).await?;
        match code(response.error_code) {
            ErrorCode::None => {}
            refused => {
                self.refused("sync", refused);
                return Ok(());
            }
        }
        self.generation = generation;
        self.owned = self.read_assignment(&response.assignment);
        self.client.note(|| format!("{} has {:?} in generation {generation}", self.id, self.owned));
        self.claim(sent_at);
        if self.group == BOTH {
            // An empty group that changes its protocol begins with its first generation again.
            return Ok(());
        }
        let mut ledger = self.client.shared.ledger.borrow_mut();
        for partition in &self.owned {
            ledger.groups.owns(&self.group, generation, *partition, &self.id);
        }
        Ok(())
    }

    /// What it wants: all that there is. It has nothing when it says so.
    fn subscription(&self) -> Vec<u8> {
        let mut topics: Vec<_> = self.partitions().into_iter().map(|(name, _)| name).collect();
        topics.dedup();
        let subscription = ConsumerProtocolSubscription { topics, ..ConsumerProtocolSubscription::default() };
        embedded::encode_subscription(&subscription, EMBEDDED_VERSION).expect("names are short")
    }

    fn read_assignment(&self, bytes: &[u8]) -> Vec<Partition> {
        let assignment = embedded::assignment(bytes).expect("it can be read");
        let known: BTreeMap<_, _> = self.partitions().into_iter().map(|(name, of)| (name, of.topic)).collect();
        let of_topic = |of: TopicPartition| {
            let topic = known[&of.topic];
            of.partitions.into_iter().map(move |index| Partition { topic, index })
        };
        assignment.assigned_partitions.into_iter().flat_map(of_topic).collect()
    }

    pub(super) async fn leave_classic(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        self.give_up_all();
        let member = MemberIdentity { member_id: self.id.clone(), group_instance_id: None, reason: None };
        let request =
            LeaveGroupRequest { group_id: self.group.clone(), members: vec![member], ..LeaveGroupRequest::default() };
        let response = connection.call(&request, LEAVE_VERSION).await?;
        self.client.note(|| format!("{} leaves {}: {}", self.id, self.group, code(response.error_code).name()));
        Ok(())
    }
}

/// An assignment as consumers write it.
fn write_assignment<'p>(partitions: impl Iterator<Item = &'p (String, Partition)>) -> Vec<u8> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (name, partition) in partitions {
        topics.entry(name).or_default().push(partition.index);
    }
    let topic = |(topic, partitions): (&str, Vec<i32>)| TopicPartition { topic: topic.to_owned(), partitions };
    // In the version of the subscription.
    embedded::encode_assignment(&EMBEDDED_VERSION.to_be_bytes(), topics.into_iter().map(topic).collect())
}
