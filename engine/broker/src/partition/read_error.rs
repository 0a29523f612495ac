//! What a client is told when nothing can be read.

use ringlog_net::error::ErrorCode;
use ringlog_storage::answer::ReadError;

/// The answer to a read or lookup that failed.
pub(crate) fn code(error: &ReadError) -> ErrorCode {
    match error {
        // Its topic was deleted, perhaps while the disk was read: clients ask for new metadata.
        ReadError::UnknownPartition => ErrorCode::UnknownTopicOrPartition,
        ReadError::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
        // Consumers do not skip what is damaged by themselves, and must not: the operator decides. Where too many reads are
        // under way clients try again; a fetch is not told, but waits for its turn.
        ReadError::Rot { .. } | ReadError::Storage(_) | ReadError::Backpressure => ErrorCode::KafkaStorageError,
    }
}
