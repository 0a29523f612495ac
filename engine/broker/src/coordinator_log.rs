//! The log of a coordinator, whatever it coordinates: how its decisions are written, and how it is read back.

use ringlog_cluster::coordinator::Coordinator;
use ringlog_net::wire::EncodeError;
use ringlog_storage::Store;
use ringlog_storage::answer::{AppendError, AppendOrigin, Appended, PartitionId};
use ringlog_storage::batch::BatchView;
use ringlog_storage::batch::build::{BatchBuilder, Record};
use ringlog_storage::types::{LeaderEpoch, Millis};

use crate::partition::replay::{ReplayError, replay_log};
use crate::partition::table::PartitionKey;
use crate::shard::Shard;

/// What the log of a coordinator consists of.
pub(crate) trait LogRecord: Sized {
    /// Who appends it.
    const ORIGIN: AppendOrigin;
    /// Of one decision, which is one batch.
    const DECISION_BYTES_MAX: usize;

    /// In the version that is written.
    fn to_log(&self) -> Result<Encoded, EncodeError>;

    /// What a key and a value say; nothing where they are of a kind that may be passed over.
    fn from_log(key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Option<Self>, String>;
}

/// A record as the log has it.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
}

/// A decision takes more than one batch may, or a field of it is longer than can be said.
#[derive(Debug)]
pub(crate) struct TooLarge;

/// The records of one decision as a batch.
pub(crate) fn batch<R: LogRecord>(records: &[R], now: Millis) -> Result<Vec<u8>, TooLarge> {
    let mut builder = BatchBuilder::new();
    for record in records {
        let encoded = record.to_log();
        if matches!(encoded, Err(EncodeError::TooLong(_))) {
            return Err(TooLarge);
        }
        let Encoded { key, value } = encoded.expect("the version that is written has all fields");
        builder.push(&Record { timestamp: now, key: key.as_deref(), value: value.as_deref(), headers: &[] });
        if builder.plain_bytes() > R::DECISION_BYTES_MAX {
            return Err(TooLarge);
        }
    }
    Ok(builder.build())
}

/// Where a coordinator writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPlace {
    pub(crate) id: PartitionId,
    pub(crate) leader_epoch: LeaderEpoch,
}

/// Appends the batch of a decision, and replays its records. The machine's state is what the log says from here on; nobody
/// outside sees it before the records are committed.
pub(crate) fn append<C: Coordinator>(
    store: &mut Store,
    place: LogPlace,
    machine: &mut C,
    records: &[C::Record],
    batch: &[u8],
    now: Millis,
) -> Result<Appended, AppendError>
where
    C::Record: LogRecord,
{
    let (view, _) = BatchView::parse(batch).expect("was built just now");
    let appended = store.append(place.id, (&view).into(), C::Record::ORIGIN, place.leader_epoch, now)?;
    let mut offset = appended.base_offset;
    for record in records {
        machine.replay(offset, record).expect("a machine understands what it decides");
        offset = offset.next();
    }
    Ok(appended)
}

/// Replays the whole log, which is on this shard.
pub(crate) async fn replay<C: Coordinator>(shard: &Shard, log: PartitionKey, machine: &mut C) -> Result<(), ReplayError>
where
    C::Record: LogRecord,
{
    replay_log(shard, log, |offset, record| match C::Record::from_log(record.key, record.value)? {
        Some(record) => machine.replay(offset, &record).map_err(|error| error.to_string()),
        None => Ok(()),
    })
    .await
}
