//! Reading the whole of one of the brokers' own logs.

use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_storage::batch::record::RecordView;
use ringlog_storage::batch::split;
use ringlog_storage::types::{LeaderEpoch, Offset};

use super::read::{self, ReadCall, ReadItem};
use super::table::PartitionKey;
use crate::shard::Shard;

/// Bytes that are read at a time.
const READ_BYTES: usize = 1024 * 1024;
/// How long to wait where the shard has too many reads under way, and how often.
const CROWDED_OUT_PAUSE: Duration = Duration::from_millis(5);
const CROWDED_OUT_MAX: u32 = 6000;

/// Why a log cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It cannot be read.
    #[error("the log cannot be read at offset {offset}: {code}; restore the data directory from a backup")]
    Read { offset: Offset, code: ErrorCode },
    /// It holds something else than it should.
    #[error("the record at offset {offset} cannot be understood: {what}; start the release that wrote it")]
    Record { offset: Offset, what: String },
}

/// Gives every record of a log of this shard to `replay`, in order.
pub(crate) async fn replay_log(
    shard: &Shard,
    key: PartitionKey,
    mut replay: impl FnMut(Offset, &RecordView<'_>) -> Result<(), String>,
) -> Result<(), ReplayError> {
    let (mut offset, mut bytes, mut crowded_out) = (Offset::ZERO, Vec::new(), 0);
    loop {
        let item = ReadItem {
            key,
            offset,
            bytes_max: READ_BYTES,
            current_leader_epoch: LeaderEpoch::UNKNOWN,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
        };
        let call = ReadCall { items: vec![item], bytes_max: READ_BYTES, watch: None };
        let outcome = read::begin(shard, &call, shard.index()).outcomes().await.pop().expect("one item, one outcome");
        if outcome.code != ErrorCode::None {
            return Err(ReplayError::Read { offset, code: outcome.code });
        }
        if outcome.bytes == 0 {
            // It must never be taken for shorter than it is.
            if offset >= outcome.high_watermark {
                return Ok(());
            }
            // Clients read as well, and the disk takes so many reads at a time.
            if crowded_out == CROWDED_OUT_MAX {
                return Err(ReplayError::Read { offset, code: ErrorCode::KafkaStorageError });
            }
            crowded_out += 1;
            shard.reactor().sleep(CROWDED_OUT_PAUSE).await;
            continue;
        }
        crowded_out = 0;
        bytes.clear();
        outcome.records.iter().for_each(|slice| bytes.extend_from_slice(slice));
        offset = replay_batches(&bytes, offset, &mut replay)?;
    }
}

/// Answers the offset behind the last record.
fn replay_batches(
    bytes: &[u8],
    mut offset: Offset,
    replay: &mut impl FnMut(Offset, &RecordView<'_>) -> Result<(), String>,
) -> Result<Offset, ReplayError> {
    for batch in split(bytes) {
        let broken = |offset, what: String| ReplayError::Record { offset, what };
        let batch = batch.map_err(|error| broken(offset, error.to_string()))?;
        let records = batch.records().ok_or_else(|| broken(offset, "the batch is compressed".to_owned()))?;
        for record in records {
            let record = record.map_err(|error| broken(offset, error.to_string()))?;
            let at = batch.base_offset().checked_add(i64::from(record.offset_delta)).unwrap_or(offset);
            replay(at, &record).map_err(|what| broken(at, what))?;
        }
        offset = batch.next_offset();
    }
    Ok(offset)
}
