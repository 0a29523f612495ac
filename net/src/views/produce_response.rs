//! `Produce` responses, versions 3 to 13.

use super::{Announced, Layout, TopicRef};
use crate::conn::Body;
use crate::messages::ApiKey;
use crate::messages::produce::{LeaderIdAndEpoch, NodeEndpoint, PartitionProduceResponse};
use crate::wire::{EncodeError, Writer};

/// The first version that names the current leader and its endpoint (KIP-951).
const CURRENT_LEADER_VERSION_MIN: i16 = 10;

/// Writes a `Produce` response, partition by partition.
#[derive(Debug)]
pub struct ProduceResponseWriter {
    w: Writer,
    layout: Layout,
    announced: Announced,
    in_topic: bool,
}

impl ProduceResponseWriter {
    /// Begins the response to a request of `version`, which names `topic_count` topics.
    pub fn new(version: i16, topic_count: usize) -> Result<Self, EncodeError> {
        if !ApiKey::Produce.known_versions().contains(&version) {
            return Err(EncodeError::Version(version));
        }
        let layout = Layout { version, flexible: ApiKey::Produce.is_flexible(version), body_bytes: 0 };
        let mut w = Writer::with_capacity(128);
        w.array_length(Some(topic_count), layout.flexible)?;
        let announced = Announced { topics_left: topic_count, partitions_left: 0 };
        Ok(Self { w, layout, announced, in_topic: false })
    }

    /// Begins a topic with `partition_count` partitions. Panics if the topic before lacks some.
    pub fn topic(&mut self, topic: TopicRef<'_>, partition_count: usize) -> Result<(), EncodeError> {
        self.announced.topic(partition_count);
        self.end_topic();
        self.in_topic = true;
        topic.encode(&mut self.w, self.layout)?;
        self.w.array_length(Some(partition_count), self.layout.flexible)
    }

    /// Appends a partition. What the version cannot say is left out.
    pub fn partition(&mut self, response: &PartitionProduceResponse) -> Result<(), EncodeError> {
        self.announced.partition();
        let (w, Layout { version, flexible, .. }) = (&mut self.w, self.layout);
        w.i32(response.index);
        w.error_code(response.error_code);
        w.i64(response.base_offset);
        w.i64(response.log_append_time_ms);
        if version >= 5 {
            w.i64(response.log_start_offset);
        }
        if version >= 8 {
            w.array(&response.record_errors, flexible, |w, each| each.encode(w, version))?;
            w.opt_string(response.error_message.as_deref(), flexible, true)?;
        }
        if flexible {
            let fields = w.tagged_fields();
            if version >= CURRENT_LEADER_VERSION_MIN && response.current_leader != LeaderIdAndEpoch::default() {
                w.tagged(&fields, 0, |w| response.current_leader.encode(w, version))?;
            }
        }
        Ok(())
    }

    /// Ends the response. `node_endpoints` are those of the leaders that partitions name.
    pub fn finish(mut self, throttle_time_ms: i32, node_endpoints: &[NodeEndpoint]) -> Result<Body, EncodeError> {
        self.announced.finish();
        self.end_topic();
        let (mut w, Layout { version, flexible, .. }) = (self.w, self.layout);
        w.i32(throttle_time_ms);
        if flexible {
            let fields = w.tagged_fields();
            if version >= CURRENT_LEADER_VERSION_MIN && !node_endpoints.is_empty() {
                w.tagged(&fields, 0, |w| w.array(node_endpoints, flexible, |w, each| each.encode(w, version)))?;
            }
        }
        Ok(Body::from(w))
    }

    fn end_topic(&mut self) {
        if self.in_topic && self.layout.flexible {
            self.w.tagged_fields();
        }
    }
}
