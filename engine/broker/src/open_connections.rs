//! Which connections a shard has.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use crate::connection::Connection;
use crate::shard::Shard;

/// How long a stop waits for requests in flight.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(10);
/// How often a stop looks whether they are answered.
const DRAIN_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The connections of one shard.
#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    open: RefCell<BTreeMap<u64, Weak<Connection>>>,
    next: Cell<u64>,
}

impl OpenConnections {
    pub(crate) fn insert(&self, connection: &Rc<Connection>) {
        let number = self.next.replace(self.next.get() + 1);
        self.open.borrow_mut().insert(number, Rc::downgrade(connection));
    }

    /// Waits until every connection has ended, but no longer than [`DRAIN_TIME_MAX`].
    pub(crate) async fn drained(&self, shard: &Shard) {
        let deadline = shard.reactor().now() + DRAIN_TIME_MAX;
        while !self.live().is_empty() && shard.reactor().now() < deadline {
            shard.reactor().sleep(DRAIN_CHECK_INTERVAL).await;
        }
    }

    /// Connections that are still there. Forgets those that are not.
    pub(crate) fn live(&self) -> Vec<Rc<Connection>> {
        let mut live = Vec::new();
        self.open.borrow_mut().retain(|_, connection| {
            let connection = connection.upgrade();
            live.extend(connection.clone());
            connection.is_some()
        });
        live
    }
}
