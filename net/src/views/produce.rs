//! `Produce` requests, versions 3 to 13.

use super::{Array, Element, Layout, TopicRef};
use crate::messages::ApiKey;
use crate::wire::{DecodeError, Reader};
use ringlog_storage::types::PartitionIndex;
use std::ops::Range;

/// A `Produce` request, borrowed from its body.
#[derive(Clone, Debug)]
pub struct ProduceView<'a> {
    /// The transaction that the records belong to.
    pub transactional_id: Option<&'a str>,
    /// -1 (all in-sync replicas), 0 or 1; unchecked.
    pub acks: i16,
    /// How long to wait for the acknowledgement of other replicas.
    pub timeout_ms: i32,
    /// What to append. A topic or a partition may stand here twice.
    pub topics: Array<'a, ProduceTopic<'a>>,
}

/// The partitions of one topic.
#[derive(Clone, Debug)]
pub struct ProduceTopic<'a> {
    /// Which topic.
    pub topic: TopicRef<'a>,
    /// Its partitions.
    pub partitions: Array<'a, ProducePartition>,
}

/// What to append to one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ProducePartition {
    /// Which partition; unchecked.
    pub index: PartitionIndex,
    /// Where in the body the records are; `None` where the client sent null.
    pub records: Option<Range<usize>>,
}

impl<'a> ProduceView<'a> {
    /// Checks a whole body. Bytes behind it are ignored, as Kafka does.
    pub fn decode(body: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        if !ApiKey::Produce.known_versions().contains(&version) {
            return Err(DecodeError::Version(version));
        }
        let layout = Layout { version, flexible: ApiKey::Produce.is_flexible(version), body_bytes: body.len() };
        let r = &mut Reader::new(body);
        let transactional_id = r.opt_str(layout.flexible, true)?;
        let (acks, timeout_ms) = (r.i16()?, r.i32()?);
        let topics = Array::decode(r, layout)?;
        layout.skip_tagged_fields(r)?;
        Ok(Self { transactional_id, acks, timeout_ms, topics })
    }
}

impl<'a> Element<'a> for ProduceTopic<'a> {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError> {
        let topic = TopicRef::decode(r, layout)?;
        let partitions = Array::decode(r, layout)?;
        layout.skip_tagged_fields(r)?;
        Ok(Self { topic, partitions })
    }
}

impl Element<'_> for ProducePartition {
    fn decode(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let index = PartitionIndex::new(r.i32()?);
        let records = r.opt_slice(layout.flexible, true)?.map(|records| {
            let end = layout.position(r);
            end - records.len()..end
        });
        layout.skip_tagged_fields(r)?;
        Ok(Self { index, records })
    }
}
