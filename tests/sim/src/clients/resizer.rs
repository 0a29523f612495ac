//! Somebody who changes how many shards own partitions.

use ringlog_net::messages::incremental_alter_configs::{
    AlterConfigsResource, AlterableConfig, IncrementalAlterConfigsRequest,
};

use super::{Client, code};
use crate::connection::{Connection, Lost};
use crate::plan::SHARDS_MAX;

/// The resource type of brokers, and the name of the one that there is.
const BROKER_RESOURCE: i8 = 4;
const BROKER: &str = "1";

pub(crate) struct Resizer {
    client: Client,
    changes: u32,
}

impl Resizer {
    pub(crate) fn new(client: Client, changes: u32) -> Self {
        Self { client, changes }
    }

    /// Works until its changes are over, or everything winds down.
    pub(crate) async fn run(mut self) {
        while self.changes > 0 && !self.client.shared.winds_down.get() {
            let Some(mut connection) = self.client.connect().await else { continue };
            while self.changes > 0 && !self.client.shared.winds_down.get() {
                self.changes -= 1;
                if let Err(lost) = self.change(&mut connection).await {
                    self.client.note(|| format!("connection {lost}"));
                    break;
                }
                self.client.pause(80).await;
            }
        }
    }

    async fn change(&mut self, connection: &mut Connection) -> Result<(), Lost> {
        // Of more than there are the broker says so, and nothing changes.
        let shards = self.client.random.below(SHARDS_MAX + 1);
        let config = AlterableConfig {
            name: "ringlog.shards".to_owned(),
            value: Some(shards.to_string()),
            ..AlterableConfig::default()
        };
        let resource = AlterConfigsResource {
            resource_type: BROKER_RESOURCE,
            resource_name: BROKER.to_owned(),
            configs: vec![config],
        };
        let request = IncrementalAlterConfigsRequest { resources: vec![resource], validate_only: false };
        let response = connection.call(&request, 1).await?;
        let [told] = &response.responses[..] else { panic!("one resource, one answer: {response:?}") };
        self.client.note(|| format!("{shards} shards: {}", code(told.error_code).name()));
        Ok(())
    }
}
