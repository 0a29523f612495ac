//! `Fetch` responses, versions 4 to 18.

use super::{Announced, Layout, TopicRef};
use crate::conn::Body;
use crate::error::ErrorCode;
use crate::messages::ApiKey;
use crate::messages::fetch::{EpochEndOffset, LeaderIdAndEpoch, NodeEndpoint, PartitionData, SnapshotId};
use crate::wire::{EncodeError, Writer};
use ringlog_buffer::Slice;

/// The first version that lists endpoints of leaders (KIP-951).
const NODE_ENDPOINTS_VERSION_MIN: i16 = 16;

/// What a response says before its partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchResponseHead {
    /// How long the client is throttled.
    pub throttle_time_ms: i32,
    /// An error of the request as a whole; said from version 7 on.
    pub error: ErrorCode,
    /// The fetch session, 0 for none; said from version 7 on.
    pub session_id: i32,
}

/// Writes a `Fetch` response, partition by partition, with the records as slices of shared memory.
#[derive(Debug)]
pub struct FetchResponseWriter {
    w: Writer,
    body: Body,
    layout: Layout,
    announced: Announced,
    in_topic: bool,
}

impl FetchResponseWriter {
    /// Begins the response to a request of `version`; `topic_count` topics follow.
    pub fn new(version: i16, head: FetchResponseHead, topic_count: usize) -> Result<Self, EncodeError> {
        if !ApiKey::Fetch.known_versions().contains(&version) {
            return Err(EncodeError::Version(version));
        }
        let layout = Layout { version, flexible: ApiKey::Fetch.is_flexible(version), body_bytes: 0 };
        let mut w = Writer::with_capacity(128);
        w.i32(head.throttle_time_ms);
        if version >= 7 {
            w.i16(head.error.code());
            w.i32(head.session_id);
        }
        w.array_length(Some(topic_count), layout.flexible)?;
        let announced = Announced { topics_left: topic_count, partitions_left: 0 };
        Ok(Self { w, body: Body::default(), layout, announced, in_topic: false })
    }

    /// Begins a topic with `partition_count` partitions. Panics if the topic before lacks some.
    pub fn topic(&mut self, topic: TopicRef<'_>, partition_count: usize) -> Result<(), EncodeError> {
        self.announced.topic(partition_count);
        self.end_topic();
        self.in_topic = true;
        topic.encode(&mut self.w, self.layout)?;
        self.w.array_length(Some(partition_count), self.layout.flexible)
    }

    /// Appends a partition with its records, which are not copied; none is an empty batch list, never null. The
    /// `records` of `data` itself stay `None`. What the version cannot say is left out.
    pub fn partition(&mut self, data: &PartitionData, records: Vec<Slice>) -> Result<(), EncodeError> {
        assert!(data.records.is_none(), "the records come as slices");
        self.announced.partition();
        let (w, Layout { version, flexible, .. }) = (&mut self.w, self.layout);
        w.i32(data.partition_index);
        w.error_code(data.error_code);
        w.i64(data.high_watermark);
        w.i64(data.last_stable_offset);
        if version >= 5 {
            w.i64(data.log_start_offset);
        }
        let aborted_transactions = data.aborted_transactions.as_deref();
        w.opt_array(aborted_transactions, flexible, true, |w, each| each.encode(w, version))?;
        if version >= 11 {
            w.i32(data.preferred_read_replica);
        }
        w.array_length(Some(records.iter().map(|slice| slice.len()).sum()), flexible)?;
        for slice in records {
            self.body.insert_at(w.len(), slice);
        }
        if flexible { write_tagged_fields(w, data, version) } else { Ok(()) }
    }

    /// Ends the response. `node_endpoints` are those of the leaders that partitions name.
    pub fn finish(mut self, node_endpoints: &[NodeEndpoint]) -> Result<Body, EncodeError> {
        self.announced.finish();
        self.end_topic();
        let (mut w, Layout { version, flexible, .. }) = (self.w, self.layout);
        if flexible {
            let fields = w.tagged_fields();
            if version >= NODE_ENDPOINTS_VERSION_MIN && !node_endpoints.is_empty() {
                w.tagged(&fields, 0, |w| w.array(node_endpoints, flexible, |w, each| each.encode(w, version)))?;
            }
        }
        let mut body = self.body;
        let (bytes, errors) = w.into_parts();
        *body.bytes_mut() = bytes;
        Ok(body.with_errors(errors))
    }

    fn end_topic(&mut self) {
        if self.in_topic && self.layout.flexible {
            self.w.tagged_fields();
        }
    }
}

fn write_tagged_fields(w: &mut Writer, data: &PartitionData, version: i16) -> Result<(), EncodeError> {
    let fields = w.tagged_fields();
    if data.diverging_epoch != EpochEndOffset::default() {
        w.tagged(&fields, 0, |w| data.diverging_epoch.encode(w, version))?;
    }
    if data.current_leader != LeaderIdAndEpoch::default() {
        w.tagged(&fields, 1, |w| data.current_leader.encode(w, version))?;
    }
    if data.snapshot_id != SnapshotId::default() {
        w.tagged(&fields, 2, |w| data.snapshot_id.encode(w, version))?;
    }
    Ok(())
}
