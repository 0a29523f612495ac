//! What a group takes of memory.

use std::time::Duration;

use anyhow::{Context as _, bail};
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ringlog_net::messages::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::{ask, set_up};
use crate::Setup;
use crate::broker::{Broker, Cores};
use crate::client::{Connection, Receive};
use crate::load::{self, Load};
use crate::report::{Target, figure, number};

const GROUPS: u32 = 10_000;
const KIBIBYTES_MAX: f64 = 64.0;
const JOIN_VERSION: i16 = 3;
const SYNC_VERSION: i16 = 3;
/// Nobody sends a heartbeat meanwhile.
const SESSION_TIMEOUT_MS: i32 = 1_800_000;
/// What a consumer says of its subscription, and what it is given: about as much as one topic takes.
const METADATA_BYTES: usize = 64;
/// Memory settles before it is looked at.
const SETTLE: Duration = Duration::from_secs(2);

pub(crate) fn run(setup: &Setup) -> anyhow::Result<()> {
    let setup =
        Setup { set: [&setup.set[..], &["group.initial.rebalance.delay.ms=0".to_owned()]].concat(), ..setup.clone() };
    let mut resident = Vec::new();
    for _ in 0..setup.runs() {
        let mut broker = Broker::start(&setup, Cores::All)?;
        load::run(&mut broker, &setup, async |load| set_up(&load, 1).await.map(drop))?;
        let before = broker.resident_bytes()?;
        load::run(&mut broker, &setup, drive)?;
        let after = broker.resident_bytes()?;
        resident.push(number(after.saturating_sub(before)) / 1024.0 / f64::from(GROUPS));
        broker.stop()?;
    }
    figure("resident memory", "KiB/group", &resident, Target::AtMost(KIBIBYTES_MAX));
    Ok(())
}

async fn drive(load: Load) -> anyhow::Result<()> {
    let mut connection = load.connect(Receive::Pooled).await?;
    for group in 0..GROUPS {
        join(&mut connection, &format!("idle-{group}")).await.with_context(|| format!("group {group}"))?;
    }
    load.reactor.sleep(SETTLE).await;
    Ok(())
}

async fn join(connection: &mut Connection, group: &str) -> anyhow::Result<()> {
    let protocol = JoinGroupRequestProtocol { name: "range".to_owned(), metadata: vec![0; METADATA_BYTES] };
    let request = JoinGroupRequest {
        group_id: group.to_owned(),
        session_timeout_ms: SESSION_TIMEOUT_MS,
        rebalance_timeout_ms: SESSION_TIMEOUT_MS,
        protocol_type: "consumer".to_owned(),
        protocols: vec![protocol],
        ..JoinGroupRequest::default()
    };
    let joined = ask(connection, &request, JOIN_VERSION).await?;
    check(joined.error_code)?;
    let assignment =
        SyncGroupRequestAssignment { member_id: joined.member_id.clone(), assignment: vec![0; METADATA_BYTES] };
    let request = SyncGroupRequest {
        group_id: group.to_owned(),
        generation_id: joined.generation_id,
        member_id: joined.member_id,
        assignments: vec![assignment],
        ..SyncGroupRequest::default()
    };
    check(ask(connection, &request, SYNC_VERSION).await?.error_code)
}

fn check(code: i16) -> anyhow::Result<()> {
    match ErrorCode::from_wire(code) {
        ErrorCode::None => Ok(()),
        other => bail!("{other}"),
    }
}
