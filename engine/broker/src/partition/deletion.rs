//! Deletion of records: moves the start of logs, and answers when that survives a crash.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_channel::oneshot;
use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::PartitionId;
use ringlog_storage::types::{LeaderEpoch, Nanos, Offset};

use super::lookup::locate;
use super::read_error::code;
use super::table::PartitionKey;
use crate::shard::Shard;
use crate::state::State;

/// What is to be deleted of one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeleteItem {
    /// Where.
    pub key: PartitionKey,
    /// Everything before this offset; [`Offset::UNKNOWN`] stands for the high watermark.
    pub before: Offset,
}

/// The first offset that is left.
pub(crate) type DeleteOutcome = Result<Offset, ErrorCode>;

/// Who waits until deletions are durable, with the log start of each. Bounded by the requests that connections may have in
/// flight.
#[derive(Debug, Default)]
pub(crate) struct Deletions(BTreeMap<PartitionId, Vec<(Offset, oneshot::Sender<()>)>>);

impl Deletions {
    /// That the log starts here is durable.
    pub(crate) fn durable(&mut self, partition: PartitionId, log_start: Offset) {
        let Some(waiting) = self.0.get_mut(&partition) else { return };
        for (_, sender) in waiting.extract_if(.., |(offset, _)| *offset <= log_start) {
            // Who waited may have given up.
            let _ = sender.send(());
        }
        if waiting.is_empty() {
            self.0.remove(&partition);
        }
    }

    /// Nothing of this partition will be durable any more.
    pub(crate) fn end(&mut self, partition: PartitionId) {
        self.0.remove(&partition);
    }
}

/// Deletions under way.
pub(crate) struct Begun {
    shard: Shard,
    deadline: Nanos,
    entries: Vec<Result<Entry, ErrorCode>>,
}

/// What is to become durable of one partition.
struct Entry {
    id: PartitionId,
    log_start: Offset,
    receiver: oneshot::Receiver<()>,
}

/// Moves the starts of logs: from here on nobody reads what lies before. `wait_max` is how long the client waits for an
/// answer.
pub(crate) fn begin(shard: &Shard, items: &[DeleteItem], wait_max: Duration) -> Begun {
    let deadline = shard.now().saturating_add(wait_max);
    let entries = shard.with(|state| items.iter().map(|item| delete(state, item)).collect());
    Begun { shard: shard.clone(), deadline, entries }
}

fn delete(state: &mut State, item: &DeleteItem) -> Result<Entry, ErrorCode> {
    let (id, _) = locate(state, item.key, LeaderEpoch::UNKNOWN)?;
    if !state.store.commits(id) {
        return Err(ErrorCode::KafkaStorageError);
    }
    let log_start = state.store.delete_records(id, item.before).map_err(|error| code(&error))?;
    let (sender, receiver) = oneshot::channel();
    state.deletions.0.entry(id).or_default().push((log_start, sender));
    Ok(Entry { id, log_start, receiver })
}

impl Begun {
    /// The outcomes, in the order of the items, once all are durable or the time is over.
    pub(crate) async fn outcomes(self) -> Vec<DeleteOutcome> {
        let Self { shard, deadline, entries } = self;
        let mut outcomes = Vec::with_capacity(entries.len());
        for entry in entries {
            outcomes.push(match entry {
                Ok(Entry { id, log_start, receiver }) => {
                    let left = Duration::from_nanos(deadline.get().saturating_sub(shard.now().get()));
                    match shard.reactor().timeout(receiver, left).await {
                        Ok(Ok(())) => Ok(log_start),
                        Ok(Err(oneshot::Canceled)) if shard.with(|state| state.store.partition(id).is_some()) => {
                            Err(ErrorCode::KafkaStorageError)
                        }
                        Ok(Err(oneshot::Canceled)) => Err(ErrorCode::UnknownTopicOrPartition),
                        Err(_) => Err(ErrorCode::RequestTimedOut),
                    }
                }
                Err(code) => Err(code),
            });
        }
        outcomes
    }
}
