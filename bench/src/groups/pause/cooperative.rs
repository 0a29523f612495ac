//! A classic member that rebalances cooperatively (KIP-429): it keeps reading while the group rebalances, gives back what is
//! not its own any more, and joins again so that somebody else may take it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::heartbeat::HeartbeatRequest;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol, JoinGroupResponseMember};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::super::{HEARTBEAT_VERSION, JOIN_VERSION, REBALANCE_TIMEOUT_MS, SYNC_VERSION, ask};
use super::{GROUP, HEARTBEAT_INTERVAL, Member, PARTITIONS};

const SESSION_TIMEOUT_MS: i32 = 45_000;
const PROTOCOL: &str = "cooperative-sticky";

pub(super) async fn live(mut member: Member) -> anyhow::Result<()> {
    let (mut id, mut owned) = (String::new(), BTreeSet::<i32>::new());
    loop {
        let joined = ask(&mut member.connection, &join(&id, &owned), JOIN_VERSION).await?;
        id = joined.member_id;
        match ErrorCode::from_wire(joined.error_code) {
            ErrorCode::None => {}
            ErrorCode::MemberIdRequired | ErrorCode::RebalanceInProgress => continue,
            other => bail!("member {}: JoinGroup: {other}", member.number),
        }
        let request = SyncGroupRequest {
            group_id: GROUP.to_owned(),
            generation_id: joined.generation_id,
            member_id: id.clone(),
            protocol_type: Some("consumer".to_owned()),
            protocol_name: Some(PROTOCOL.to_owned()),
            // Members other than the leader are told of nobody.
            assignments: divide(&joined.members),
            ..SyncGroupRequest::default()
        };
        let synced = ask(&mut member.connection, &request, SYNC_VERSION).await?;
        match ErrorCode::from_wire(synced.error_code) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => continue,
            other => bail!("member {}: SyncGroup: {other}", member.number),
        }
        let assigned = partitions(&synced.assignment);
        let gives_back = !owned.is_subset(&assigned);
        if assigned != owned {
            let partitions: Vec<_> = assigned.iter().copied().collect();
            member.shared.assign(member.number, &partitions);
        }
        owned = assigned;
        if !gives_back {
            heartbeats(&mut member, &id, joined.generation_id).await?;
        }
    }
}

fn join(id: &str, owned: &BTreeSet<i32>) -> JoinGroupRequest {
    let metadata = owned.iter().copied().flat_map(i32::to_be_bytes).collect();
    JoinGroupRequest {
        group_id: GROUP.to_owned(),
        session_timeout_ms: SESSION_TIMEOUT_MS,
        rebalance_timeout_ms: REBALANCE_TIMEOUT_MS,
        member_id: id.to_owned(),
        protocol_type: "consumer".to_owned(),
        protocols: vec![JoinGroupRequestProtocol { name: PROTOCOL.to_owned(), metadata }],
        ..JoinGroupRequest::default()
    }
}

/// Lives until the group rebalances.
async fn heartbeats(member: &mut Member, id: &str, generation_id: i32) -> anyhow::Result<()> {
    loop {
        member.reactor.sleep(HEARTBEAT_INTERVAL).await;
        let request = HeartbeatRequest {
            group_id: GROUP.to_owned(),
            generation_id,
            member_id: id.to_owned(),
            group_instance_id: None,
        };
        let answer = ask(&mut member.connection, &request, HEARTBEAT_VERSION).await?;
        match ErrorCode::from_wire(answer.error_code) {
            ErrorCode::None => {}
            ErrorCode::RebalanceInProgress => return Ok(()),
            other => bail!("member {}: Heartbeat: {other}", member.number),
        }
    }
}

/// What members have and what they are given, four bytes a partition: the coordinator does not look inside.
fn partitions(bytes: &[u8]) -> BTreeSet<i32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| i32::from_be_bytes(*bytes)).collect()
}

/// The leader's part: everybody keeps what it has up to its share, and takes what nobody has. What somebody has to give back
/// first is nobody's in this generation.
fn divide(members: &[JoinGroupResponseMember]) -> Vec<SyncGroupRequestAssignment> {
    let Some(share) = usize::try_from(PARTITIONS).unwrap_or(0).checked_div(members.len()) else { return Vec::new() };
    let owned: BTreeMap<_, _> =
        members.iter().map(|member| (&member.member_id, partitions(&member.metadata))).collect();
    let taken: BTreeSet<i32> = owned.values().flatten().copied().collect();
    let mut free = (0..PARTITIONS).filter(|partition| !taken.contains(partition));
    let assignments = owned.iter().map(|(member_id, owned)| {
        let kept = owned.iter().copied().take(share);
        let missing = share.saturating_sub(owned.len());
        let assignment = kept.chain(free.by_ref().take(missing)).flat_map(i32::to_be_bytes).collect();
        SyncGroupRequestAssignment { member_id: (*member_id).clone(), assignment }
    });
    assignments.collect()
}
