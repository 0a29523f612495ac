//! The clients of a run, each on a host of its own.

pub(crate) mod admin;
pub(crate) mod auditor;
pub(crate) mod deletion;
pub(crate) mod member;
pub(crate) mod mover;
pub(crate) mod producer;
pub(crate) mod reader;
pub(crate) mod resizer;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::list_offsets::{
    ListOffsetsPartition, ListOffsetsPartitionResponse, ListOffsetsRequest, ListOffsetsTopic,
};
use ringlog_reactor::Reactor;
use ringlog_reactor::sim::Random;

use crate::connection::{Connection, Lost};
use crate::ledger::{Ledger, Partition};

/// What all clients of a run share. They are on one thread.
pub(crate) struct Shared {
    pub(crate) ledger: RefCell<Ledger>,
    pub(crate) address: SocketAddr,
    /// Nothing new is begun any more; what is under way is brought to its end.
    pub(crate) winds_down: Cell<bool>,
    /// Nothing delays or cuts anything in this run: waits can be measured.
    pub(crate) is_calm: bool,
    /// Tell on stderr what happens.
    pub(crate) traces: bool,
}

/// One client.
pub(crate) struct Client {
    pub(crate) number: usize,
    pub(crate) reactor: Reactor,
    pub(crate) shared: Rc<Shared>,
    pub(crate) random: Random,
    connections: u64,
}

impl Client {
    pub(crate) fn new(number: usize, reactor: Reactor, shared: &Rc<Shared>, seed: u64) -> Self {
        Self { number, reactor, shared: Rc::clone(shared), random: Random::new(seed), connections: 0 }
    }

    /// How many connections there have been: names the present one.
    pub(crate) fn connection_number(&self) -> u64 {
        self.connections
    }

    /// Tries to connect; when that fails, waits a little.
    pub(crate) async fn connect(&mut self) -> Option<Connection> {
        match Connection::open(&self.reactor, self.shared.address).await {
            Ok(connection) => {
                self.connections += 1;
                Some(connection)
            }
            Err(lost) => {
                self.note(|| format!("connecting: {lost}"));
                self.pause(50).await;
                None
            }
        }
    }

    /// Lets up to so many milliseconds pass.
    pub(crate) async fn pause(&mut self, ms_max: u64) {
        let micros = self.random.below(ms_max * 1000);
        self.reactor.sleep(Duration::from_micros(micros)).await;
    }

    /// Asks for the offset of a time, or of an end of the log.
    pub(crate) async fn list_offset(
        &self,
        connection: &mut Connection,
        partition: Partition,
        timestamp: i64,
    ) -> Result<ListOffsetsPartitionResponse, Lost> {
        let name = self.shared.ledger.borrow().topic(partition.topic).name.clone();
        let asked =
            ListOffsetsPartition { partition_index: partition.index, timestamp, ..ListOffsetsPartition::default() };
        let topics = vec![ListOffsetsTopic { name, partitions: vec![asked] }];
        let request = ListOffsetsRequest { replica_id: -1, topics, ..ListOffsetsRequest::default() };
        let mut response = connection.call(&request, 7).await?;
        Ok(response.topics.remove(0).partitions.remove(0))
    }

    /// For the trace of a run.
    pub(crate) fn note(&self, what: impl FnOnce() -> String) {
        if self.shared.traces {
            eprintln!("{} client {}: {}", self.reactor.now(), self.number, what());
        }
    }
}

/// The error of a response.
pub(crate) fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or_else(|| panic!("error code {code} does not exist"))
}
