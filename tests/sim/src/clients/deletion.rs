//! Deletes records of a log now and then: what a client was told to be deleted never comes back.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::delete_records::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};

use super::{Client, code};
use crate::connection::{Connection, Lost};
use crate::ledger::Told;

/// Stands for the high watermark.
const EVERYTHING: i64 = -1;

/// Moves the start of one of the logs whose old records may go.
pub(crate) async fn delete_records(client: &mut Client, connection: &mut Connection) -> Result<(), Lost> {
    let shared = client.shared.clone();
    let (partition, mark, name) = {
        let ledger = shared.ledger.borrow();
        let mut candidates = ledger.partitions();
        candidates.retain(|partition| {
            let topic = ledger.topic(partition.topic);
            topic.is_lasting && topic.kind.loses_old_segments()
        });
        if candidates.is_empty() {
            return Ok(());
        }
        let partition = candidates[client.random.index(candidates.len())];
        (partition, ledger.mark(partition), ledger.topic(partition.topic).name.clone())
    };
    let span = u64::try_from(mark.high_watermark - mark.log_start).expect("it ends behind its start");
    let offset = if client.random.chance(100) {
        EVERYTHING
    } else {
        mark.log_start + i64::try_from(client.random.below(span + 1)).expect("small")
    };
    let partitions = vec![DeleteRecordsPartition { partition_index: partition.index, offset }];
    let topics = vec![DeleteRecordsTopic { name, partitions }];
    let response = connection.call(&DeleteRecordsRequest { topics, timeout_ms: 10_000 }, 2).await?;
    let answer = &response.topics[0].partitions[0];
    let log_start = answer.low_watermark;
    client.note(|| format!("{partition:?}: delete before {offset}: {log_start}, {}", code(answer.error_code).name()));
    let mut ledger = shared.ledger.borrow_mut();
    match code(answer.error_code) {
        ErrorCode::None => {
            assert!(log_start >= offset, "{partition:?}: the log was to start at {offset}, and starts at {log_start}");
            let told = Told { high_watermark: mark.high_watermark.max(log_start), log_start };
            ledger.told(partition, &mark, told, client.reactor.now());
            ledger.deleted(partition, &mark, log_start);
        }
        // It may be durable later, or never.
        ErrorCode::RequestTimedOut => {}
        code => ledger.refused(partition, &mark, code),
    }
    Ok(())
}
