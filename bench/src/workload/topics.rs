//! The topics of a run: made, waited for until their leader serves them, and deleted on a broker that goes on without us.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use ringlog_buffer::Slice;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::delete_topics::DeleteTopicsResponse;
use ringlog_net::messages::metadata::MetadataResponse;
use ringlog_storage::types::Uuid;

use crate::client::{Connection, Receive};
use crate::load::Load;
use crate::requests::{self, FetchLimits, Intent, TopicIdPartition};
use crate::workload::file::Workload;

/// Between two looks at topics that are not ready yet.
const RETRY: Duration = Duration::from_millis(20);
/// Looks before it is given up.
const LOOKS_MAX: usize = 3_000;
/// Partitions that one look asks for.
const PARTITIONS_PER_LOOK: usize = 1_000;

/// The topics, and all of their partitions.
#[derive(Clone, Debug)]
pub(crate) struct Topics {
    ids: Vec<Uuid>,
    pub(crate) partitions: Vec<TopicIdPartition>,
}

impl Topics {
    /// Makes them, under names that no earlier run has used.
    pub(crate) async fn create(load: &Load, workload: &Workload) -> anyhow::Result<Self> {
        let mut connection = load.connect(Receive::Direct).await?;
        let run = load.reactor.random_u64();
        let mut ids = Vec::new();
        for index in 0..workload.topics {
            let name = format!("bench-{}-{run:016x}-{index}", workload.name);
            let partitions = i32::from(workload.partitions);
            match connection.create_topic_with(&name, partitions, &workload.topic, Intent::Apply).await {
                Ok(id) => ids.push(id),
                Err(error) => {
                    // Those that were made must not stay; that one was not is the error to tell.
                    let made = Self { ids, partitions: Vec::new() };
                    drop(made.delete(load).await);
                    return Err(error);
                }
            }
        }
        let partitions = 0..i32::from(workload.partitions);
        let of_topic = |topic_id: &Uuid| {
            let topic_id = *topic_id;
            partitions.clone().map(move |partition| TopicIdPartition { topic_id, partition })
        };
        Ok(Self { partitions: ids.iter().flat_map(of_topic).collect(), ids })
    }

    /// Waits until they are served.
    pub(crate) async fn wait(&self, load: &Load) -> anyhow::Result<()> {
        let mut connection = load.connect(Receive::Direct).await?;
        self.wait_for_leaders(load, &mut connection).await?;
        self.wait_for_service(load, &mut connection).await
    }

    /// Waits until every partition has a leader, and makes sure that it is the same for all: a run has one address.
    async fn wait_for_leaders(&self, load: &Load, connection: &mut Connection) -> anyhow::Result<()> {
        for _ in 0..LOOKS_MAX {
            let frame = connection.ask("the leaders of new topics", requests::metadata(&self.ids)?).await?;
            let mut r = requests::body(&frame, ApiKey::Metadata, requests::METADATA_VERSION)?;
            let response = MetadataResponse::decode(&mut r, requests::METADATA_VERSION)?;
            let partitions: Vec<_> = response.topics.iter().flat_map(|topic| &topic.partitions).collect();
            let are_led = partitions.iter().all(|partition| partition.error_code == 0 && partition.leader_id >= 0);
            if are_led && partitions.len() == self.partitions.len() {
                let leader = partitions.first().context("a partition")?.leader_id;
                let is_one = partitions.iter().all(|partition| partition.leader_id == leader);
                ensure!(is_one, "the partitions have different leaders: only clusters of one node are supported");
                return Ok(());
            }
            load.reactor.sleep(RETRY).await;
        }
        anyhow::bail!("the new topics have no leaders after {LOOKS_MAX} looks")
    }

    /// Waits until every partition answers a fetch: a leader that is known may still be on its way to be one.
    async fn wait_for_service(&self, load: &Load, connection: &mut Connection) -> anyhow::Result<()> {
        let limits = FetchLimits { bytes_max: 1, wait_ms: 0 };
        for some in self.partitions.chunks(PARTITIONS_PER_LOOK) {
            let request = requests::fetch_all(some.iter().map(|partition| (*partition, 0)), limits)?;
            let mut looks = 0;
            loop {
                let frame = connection.ask("a fetch of nothing", request.clone()).await?;
                match requests::read_fetched(&frame, |_, _| Ok(())) {
                    Ok(()) => break,
                    Err(error) if looks == LOOKS_MAX || !is_of_new_topics(&error) => return Err(error),
                    Err(_) => load.reactor.sleep(RETRY).await,
                }
                looks += 1;
            }
        }
        Ok(())
    }

    /// A request for what there is to know about one of them.
    pub(crate) fn ask_for_one(&self) -> anyhow::Result<Slice> {
        requests::metadata(&self.ids[..1])
    }

    /// Deletes them.
    pub(crate) async fn delete(&self, load: &Load) -> anyhow::Result<()> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let mut connection = load.connect(Receive::Pooled).await?;
        let frame = connection.ask("the deletion of topics", requests::delete_topics(&self.ids)?).await?;
        let mut r = requests::body(&frame, ApiKey::DeleteTopics, requests::DELETE_TOPICS_VERSION)?;
        let response = DeleteTopicsResponse::decode(&mut r, requests::DELETE_TOPICS_VERSION)?;
        response.responses.iter().try_for_each(|topic| {
            requests::check_error(topic.error_code, || format!("deletion of {:?}", topic.name.as_deref()))
        })
    }
}

/// Whether a broker answers so while it sets new partitions up.
fn is_of_new_topics(error: &anyhow::Error) -> bool {
    error.downcast_ref::<requests::Refused>().and_then(|refused| refused.error).is_some_and(ErrorCode::is_retriable)
}
