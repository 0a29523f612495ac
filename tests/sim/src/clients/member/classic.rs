//! The classic protocol.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::leave_group::{LeaveGroupRequest, MemberIdentity};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};
use ringlog_storage::types::Uuid;

use super::{Member, REBALANCE_TIMEOUT, SESSION_TIMEOUT};
use crate::clients::code;
use crate::connection::{Connection, Lost};
use crate::ledger::Partition;

const JOIN_VERSIONS: [i16; 3] = [3, 5, 9];
const SYNC_VERSION: i16 = 3;
const HEARTBEAT_VERSION: i16 = 3;
const LEAVE_VERSION: i16 = 3;

impl Member {
    /// Joins, or says that it lives.
    pub(super) async fn classic(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if self.generation == 0 {
            return self.join(connection).await;
        }
        let request = HeartbeatRequest {
            group_id: self.group.clone(),
            generation_id: self.generation,
            member_id: self.id.clone(),
            group_instance_id: None,
        };
        let response = connection.call(&request, HEARTBEAT_VERSION).await?;
        match code(response.error_code) {
            ErrorCode::None => {}
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
            protocol_type: "simulation".to_owned(),
            protocols: vec![JoinGroupRequestProtocol { name: "deal".to_owned(), metadata: Vec::new() }],
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
            assignment: partitions.iter().skip(at).step_by(members.len()).flat_map(|(_, of)| to_bytes(*of)).collect(),
        };
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
        self.owned = response.assignment.chunks_exact(BYTES).map(from_bytes).collect();
        let mut ledger = self.client.shared.ledger.borrow_mut();
        for partition in &self.owned {
            ledger.groups.owns(&self.group, generation, *partition, &self.id);
        }
        Ok(())
    }

    pub(super) async fn leave_classic(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let member = MemberIdentity { member_id: self.id.clone(), group_instance_id: None, reason: None };
        let request =
            LeaveGroupRequest { group_id: self.group.clone(), members: vec![member], ..LeaveGroupRequest::default() };
        let response = connection.call(&request, LEAVE_VERSION).await?;
        self.client.note(|| format!("{} leaves {}: {}", self.id, self.group, code(response.error_code).name()));
        Ok(())
    }
}

/// A partition in an assignment: the topic's id, and the index.
const BYTES: usize = 20;

fn to_bytes(partition: Partition) -> Vec<u8> {
    [&partition.topic.get()[..], &partition.index.to_be_bytes()].concat()
}

fn from_bytes(bytes: &[u8]) -> Partition {
    let (topic, index) = bytes.split_at(16);
    Partition {
        topic: Uuid::new(topic.try_into().expect("16 bytes")),
        index: i32::from_be_bytes(index.try_into().expect("4 bytes")),
    }
}
