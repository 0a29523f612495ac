//! A member of a group: joins, commits, looks at what is committed, goes and comes back, in either protocol.

mod classic;
mod consumer;

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;
use ringlog_net::messages::offset_commit::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use ringlog_net::messages::offset_fetch::{OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics};

use ringlog_reactor::Instant;

use super::{Client, code};
use crate::connection::{Connection, Lost};
use crate::ledger::Partition;

/// Versions that are spoken. Topics have names in them: only those are committed that nobody deletes.
const FIND_COORDINATOR_VERSION: i16 = 4;
const OFFSET_COMMIT_VERSION: i16 = 9;
const OFFSET_FETCH_VERSION: i16 = 9;
/// How long a member may be silent; shorter than any client would choose.
pub(crate) const SESSION_TIMEOUT: Duration = Duration::from_millis(800);
/// How long a rebalance may take. Shorter than a client waits for an answer.
const REBALANCE_TIMEOUT: Duration = Duration::from_millis(1500);

/// The group whose members are of both protocols.
pub(crate) const BOTH: &str = "both";

/// Which protocol a member speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Classic,
    Consumer,
}

/// A member as the plan of a run has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemberPlan {
    pub(crate) protocol: Protocol,
    pub(crate) group: &'static str,
    pub(crate) rounds: u32,
}

pub(crate) struct Member {
    client: Client,
    protocol: Protocol,
    group: String,
    rounds: u32,
    id: String,
    /// The generation, or the member's epoch; 0 if it is in none.
    generation: i32,
    owned: Vec<Partition>,
    /// It has asked to leave under its present id, and does not know what became of that.
    may_be_leaving: bool,
}

impl Member {
    pub(crate) fn new(client: Client, plan: MemberPlan) -> Self {
        let MemberPlan { protocol, group, rounds } = plan;
        let (group, id, owned) = (group.to_owned(), String::new(), Vec::new());
        Self { client, protocol, group, rounds, id, generation: 0, owned, may_be_leaving: false }
    }

    /// Takes part until its rounds are over, or the run winds down.
    pub(crate) async fn run(mut self) {
        while self.rounds > 0 && !self.client.shared.winds_down.get() {
            let Some(mut connection) = self.client.connect().await else { continue };
            if let Err(lost) = self.work(&mut connection).await {
                self.client.shared.ledger.borrow_mut().counts.failures += 1;
                self.client.note(|| format!("connection {lost}"));
                if self.protocol == Protocol::Classic {
                    // Its answer may have been the one to a join.
                    self.forget();
                }
            }
        }
    }

    async fn work(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if !self.find_coordinator(connection).await? {
            self.client.pause(50).await;
            return Ok(());
        }
        while self.rounds > 0 && !self.client.shared.winds_down.get() {
            self.rounds -= 1;
            match self.client.random.below(20) {
                0 => return Ok(()),
                1 => self.leave(connection).await?,
                2..6 => self.commit(connection).await?,
                6..8 => self.fetch(connection).await?,
                _ => match self.protocol {
                    Protocol::Classic => self.classic(connection).await?,
                    Protocol::Consumer => self.consumer(connection).await?,
                },
            }
            self.client.pause(60).await;
        }
        Ok(())
    }

    /// Nothing that it was told counts any more.
    fn forget(&mut self) {
        self.id.clear();
        self.generation = 0;
        self.owned.clear();
        self.may_be_leaving = false;
    }

    /// It is in no generation any more, and reads nothing until it is.
    fn give_up_all(&mut self) {
        self.generation = 0;
        self.owned.clear();
        self.client.shared.ledger.borrow_mut().groups.releases(&self.group, &self.id, &[]);
    }

    /// It has been told what it may read, or that it lives.
    fn claim(&self, sent_at: Instant) {
        // Before that nobody else may have them, whatever becomes of this member.
        let until = sent_at + SESSION_TIMEOUT;
        let now = self.client.reactor.now();
        let groups = &mut self.client.shared.ledger.borrow_mut().groups;
        groups.claims(&self.group, &self.id, &self.owned, now, until);
        if self.may_be_leaving {
            // Except that its request to leave may still be on its way, on a connection that it has given up: whenever that
            // arrives, it ends the session of whoever has the id by then.
            groups.releases(&self.group, &self.id, &[]);
        }
    }

    async fn find_coordinator(&mut self, connection: &mut Connection) -> Result<bool, Lost> {
        let request =
            FindCoordinatorRequest { coordinator_keys: vec![self.group.clone()], ..FindCoordinatorRequest::default() };
        let response = connection.call(&request, FIND_COORDINATOR_VERSION).await?;
        match code(response.coordinators[0].error_code) {
            ErrorCode::None => Ok(true),
            ErrorCode::CoordinatorNotAvailable => Ok(false),
            other => {
                let ledger = self.client.shared.ledger.borrow();
                assert!(ledger.storage_may_fail, "FindCoordinator: {other}, and nothing is wrong");
                Ok(false)
            }
        }
    }

    async fn leave(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        if self.id.is_empty() {
            return Ok(());
        }
        match self.protocol {
            Protocol::Classic => self.leave_classic(connection).await?,
            Protocol::Consumer => self.leave_consumer(connection).await?,
        }
        self.forget();
        Ok(())
    }

    /// Partitions that members divide: of topics that nobody deletes.
    fn partitions(&self) -> Vec<(String, Partition)> {
        let ledger = self.client.shared.ledger.borrow();
        let lasting = ledger.partitions().into_iter().filter(|partition| ledger.topic(partition.topic).is_lasting);
        lasting.map(|partition| (ledger.topic(partition.topic).name.clone(), partition)).collect()
    }

    /// What an answer with an error means for the member.
    fn refused(&mut self, what: &str, code: ErrorCode) {
        self.client.note(|| format!("{} {what}: {}", self.group, code.name()));
        self.client.shared.ledger.borrow_mut().counts.failures += 1;
        match code {
            ErrorCode::UnknownMemberId | ErrorCode::FencedMemberEpoch | ErrorCode::GroupIdNotFound => self.forget(),
            ErrorCode::IllegalGeneration | ErrorCode::RebalanceInProgress | ErrorCode::StaleMemberEpoch
                if self.protocol == Protocol::Classic =>
            {
                self.give_up_all();
            }
            ErrorCode::StaleMemberEpoch
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable => {}
            other => panic!("{} {what}: {other}", self.group),
        }
    }

    async fn commit(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let names = self.partitions();
        if self.generation == 0 || self.owned.is_empty() {
            return Ok(());
        }
        let partition = self.owned[self.client.random.index(self.owned.len())];
        let Some((name, _)) = names.into_iter().find(|(_, of)| *of == partition) else { return Ok(()) };
        let shared = self.client.shared.clone();
        let offset = shared.ledger.borrow_mut().groups.commit(&self.group, partition);
        let committed = OffsetCommitRequestPartition {
            partition_index: partition.index,
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic { name, partitions: vec![committed], ..Default::default() };
        let request = OffsetCommitRequest {
            group_id: self.group.clone(),
            generation_id_or_member_epoch: self.generation,
            member_id: self.id.clone(),
            topics: vec![topic],
            ..OffsetCommitRequest::default()
        };
        let response = connection.call(&request, OFFSET_COMMIT_VERSION).await?;
        let answer = code(response.topics[0].partitions[0].error_code);
        self.client.note(|| format!("{} commits {partition:?} {offset}: {}", self.group, answer.name()));
        match answer {
            ErrorCode::None => shared.ledger.borrow_mut().groups.committed(&self.group, partition, offset),
            // It may have been written before the coordinator went.
            ErrorCode::NotCoordinator => {}
            _ => shared.ledger.borrow_mut().groups.refused(&self.group, partition, offset),
        }
        if answer != ErrorCode::None {
            self.refused("commit", answer);
        }
        Ok(())
    }

    async fn fetch(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let partitions = self.partitions();
        if partitions.is_empty() {
            return Ok(());
        }
        let (name, partition) = partitions[self.client.random.index(partitions.len())].clone();
        if let Err(code) = fetch_offset(&self.client, connection, &self.group, &name, partition).await? {
            self.refused("fetch", code);
        }
        Ok(())
    }
}

/// Looks at a committed offset.
pub(crate) async fn fetch_offset(
    client: &Client,
    connection: &mut Connection,
    group: &str,
    topic: &str,
    partition: Partition,
) -> Result<Result<(), ErrorCode>, Lost> {
    let asked = client.shared.ledger.borrow_mut().groups.now();
    let topics = vec![OffsetFetchRequestTopics {
        name: topic.to_owned(),
        partition_indexes: vec![partition.index],
        ..OffsetFetchRequestTopics::default()
    }];
    let of =
        OffsetFetchRequestGroup { group_id: group.to_owned(), member_id: None, member_epoch: -1, topics: Some(topics) };
    let request = OffsetFetchRequest { groups: vec![of], ..OffsetFetchRequest::default() };
    let mut response = connection.call(&request, OFFSET_FETCH_VERSION).await?;
    let answer = response.groups.remove(0);
    match code(answer.error_code) {
        ErrorCode::None => {}
        refused => return Ok(Err(refused)),
    }
    let offset = answer.topics[0].partitions[0].committed_offset;
    client.note(|| format!("{group}: {partition:?} is committed at {offset}"));
    client.shared.ledger.borrow().groups.fetched(group, partition, offset, asked);
    Ok(Ok(()))
}
