//! An administrator who moves partitions between the broker's data directories, some to where they are already.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::alter_replica_log_dirs::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use ringlog_net::messages::metadata::MetadataRequest;

use super::{Client, code};
use crate::connection::{Connection, Lost};

/// The data directories, of which a run has the first or both. From the root, so that clients know them by these names
/// wherever the simulation is run.
pub(crate) const LOG_DIRS: [&str; 2] = ["/data", "/disks/b"];
/// Requests of one mover.
const ROUNDS_MAX: u64 = 6;
/// Connections that it tries.
const CONNECTIONS_MAX: u32 = 20;

pub(crate) struct Mover {
    client: Client,
}

impl Mover {
    pub(crate) fn new(client: Client) -> Self {
        Self { client }
    }

    /// Works until it has asked for enough, or everything winds down.
    pub(crate) async fn run(mut self) {
        let mut rounds = self.client.random.between(1, ROUNDS_MAX);
        for _ in 0..CONNECTIONS_MAX {
            let Some(mut connection) = self.client.connect().await else { continue };
            while rounds > 0 && !self.client.shared.winds_down.get() {
                rounds -= 1;
                if let Err(lost) = self.ask(&mut connection).await {
                    self.client.note(|| format!("connection {lost}"));
                    break;
                }
                self.client.pause(80).await;
            }
            if rounds == 0 || self.client.shared.winds_down.get() {
                return;
            }
        }
    }

    async fn ask(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        let all = MetadataRequest { topics: None, ..MetadataRequest::default() };
        let topics = connection.call(&all, 9).await?.topics;
        let mut dirs = LOG_DIRS.map(|path| AlterReplicaLogDir { path: path.to_owned(), topics: Vec::new() });
        for topic in topics {
            let Some(name) = topic.name else { continue };
            let mut by_dir = [Vec::new(), Vec::new()];
            for partition in topic.partitions {
                if self.client.random.chance(500) {
                    by_dir[self.client.random.index(by_dir.len())].push(partition.partition_index);
                }
            }
            for (dir, partitions) in dirs.iter_mut().zip(by_dir).filter(|(_, partitions)| !partitions.is_empty()) {
                dir.topics.push(AlterReplicaLogDirTopic { name: name.clone(), partitions });
            }
        }
        let request =
            AlterReplicaLogDirsRequest { dirs: dirs.into_iter().filter(|dir| !dir.topics.is_empty()).collect() };
        self.client.note(|| format!("moves {request:?}"));
        let response = connection.call(&request, 2).await?;
        for partition in response.results.iter().flat_map(|topic| &topic.partitions) {
            let code = code(partition.error_code);
            // It may have been deleted meanwhile, or be in a directory that has failed.
            let may_be = match code {
                ErrorCode::None | ErrorCode::UnknownTopicOrPartition => true,
                ErrorCode::KafkaStorageError => self.client.shared.ledger.borrow().storage_may_fail,
                _ => false,
            };
            assert!(may_be, "a move is answered with {code}");
        }
        Ok(())
    }
}
