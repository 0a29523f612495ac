//! `Fetch` requests, versions 4 to 18.

use super::{Array, Element, Layout, TopicRef};
use crate::messages::ApiKey;
use crate::wire::{DecodeError, Reader};
use ringlog_storage::types::{BrokerId, LeaderEpoch, Offset, PartitionIndex, Uuid};

/// Which records a reader wants to see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// All up to the high watermark.
    ReadUncommitted,
    /// Those up to the last stable offset.
    ReadCommitted,
}

impl Isolation {
    /// What a byte of a request says. Kafka takes all but 1 for the weaker one.
    pub fn of(isolation_level: i8) -> Self {
        if isolation_level == 1 { Self::ReadCommitted } else { Self::ReadUncommitted }
    }
}

/// A follower's word about itself; a consumer has the id [`BrokerId::NONE`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaState {
    /// Which broker fetches.
    pub replica_id: BrokerId,
    /// Its broker epoch, -1 if it has none.
    pub replica_epoch: i64,
}

/// A `Fetch` request, borrowed from its body.
#[derive(Clone, Debug)]
pub struct FetchView<'a> {
    /// The cluster that the sender takes this one for.
    pub cluster_id: Option<&'a str>,
    /// Who fetches.
    pub replica_state: ReplicaState,
    /// How long to wait for `min_bytes`.
    pub max_wait_ms: i32,
    /// Bytes of records that are worth an answer.
    pub min_bytes: i32,
    /// Most bytes of records in the whole answer, but for its first batch.
    pub max_bytes: i32,
    /// The byte as sent; see [`isolation`](Self::isolation).
    pub isolation_level: i8,
    /// The fetch session (KIP-227), 0 for none.
    pub session_id: i32,
    /// 0 opens a session, -1 ends it.
    pub session_epoch: i32,
    /// What to read.
    pub topics: Array<'a, FetchTopic<'a>>,
    /// What to take out of the session.
    pub forgotten_topics: Array<'a, ForgottenTopic<'a>>,
    /// Where the consumer is (KIP-392); empty if it does not say.
    pub rack_id: &'a str,
}

/// The partitions of one topic.
#[derive(Clone, Debug)]
pub struct FetchTopic<'a> {
    /// Which topic.
    pub topic: TopicRef<'a>,
    /// Its partitions.
    pub partitions: Array<'a, FetchPartition>,
}

/// What to read from one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FetchPartition {
    /// Which partition; unchecked.
    pub partition: PartitionIndex,
    /// The epoch of the leader that the client knows.
    pub current_leader_epoch: LeaderEpoch,
    /// Where to begin.
    pub fetch_offset: Offset,
    /// The epoch of the record before it, as the client has it.
    pub last_fetched_epoch: LeaderEpoch,
    /// Where a follower's log starts; unknown from consumers.
    pub log_start_offset: Offset,
    /// Most bytes of records from this partition.
    pub partition_max_bytes: i32,
    /// A follower's directory.
    pub replica_directory_id: Uuid,
    /// A follower's high watermark; [`Offset::MAX`] if it does not say.
    pub high_watermark: Offset,
}

/// Partitions to take out of a session.
#[derive(Clone, Debug)]
pub struct ForgottenTopic<'a> {
    /// Which topic.
    pub topic: TopicRef<'a>,
    /// Its partitions.
    pub partitions: Array<'a, PartitionIndex>,
}

impl<'a> FetchView<'a> {
    /// Checks a whole body. Bytes behind it are ignored, as Kafka does.
    pub fn decode(body: &'a [u8], version: i16) -> Result<Self, DecodeError> {
        if !ApiKey::Fetch.known_versions().contains(&version) {
            return Err(DecodeError::Version(version));
        }
        let layout = Layout { version, flexible: ApiKey::Fetch.is_flexible(version), body_bytes: body.len() };
        let r = &mut Reader::new(body);
        let replica_id = if version <= 14 { BrokerId::new(r.i32()?) } else { BrokerId::NONE };
        let (max_wait_ms, min_bytes, max_bytes) = (r.i32()?, r.i32()?, r.i32()?);
        let isolation_level = r.i8()?;
        let (session_id, session_epoch) = if version >= 7 { (r.i32()?, r.i32()?) } else { (0, -1) };
        let topics = Array::decode(r, layout)?;
        let forgotten_topics = if version >= 7 { Array::decode(r, layout)? } else { Array::empty(r, layout) };
        let rack_id = if version >= 11 { r.opt_str(layout.flexible, false)?.ok_or(DecodeError::Null)? } else { "" };
        let (mut cluster_id, mut replica_state) = (None, ReplicaState { replica_id, replica_epoch: -1 });
        if layout.flexible {
            r.tagged_fields(|tag, r| {
                match tag {
                    0 => cluster_id = r.opt_str(true, true)?,
                    1 if version >= 15 => {
                        let replica_id = BrokerId::new(r.i32()?);
                        replica_state = ReplicaState { replica_id, replica_epoch: r.i64()? };
                        r.tagged_fields(|_, _| Ok(false))?;
                    }
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(Self {
            cluster_id,
            replica_state,
            max_wait_ms,
            min_bytes,
            max_bytes,
            isolation_level,
            session_id,
            session_epoch,
            topics,
            forgotten_topics,
            rack_id,
        })
    }

    /// Which records the reader wants to see; like Kafka, every level but 1 counts as 0.
    pub fn isolation(&self) -> Isolation {
        Isolation::of(self.isolation_level)
    }
}

impl<'a> Element<'a> for FetchTopic<'a> {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError> {
        let topic = TopicRef::decode(r, layout)?;
        let partitions = Array::decode(r, layout)?;
        layout.skip_tagged_fields(r)?;
        Ok(Self { topic, partitions })
    }
}

impl<'a> Element<'a> for ForgottenTopic<'a> {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError> {
        let topic = TopicRef::decode(r, layout)?;
        let partitions = Array::decode(r, layout)?;
        layout.skip_tagged_fields(r)?;
        Ok(Self { topic, partitions })
    }
}

impl Element<'_> for FetchPartition {
    fn decode(r: &mut Reader<'_>, layout: Layout) -> Result<Self, DecodeError> {
        let version = layout.version;
        let mut it = Self {
            partition: PartitionIndex::new(r.i32()?),
            current_leader_epoch: LeaderEpoch::new(if version >= 9 { r.i32()? } else { -1 }),
            fetch_offset: Offset::new(r.i64()?),
            last_fetched_epoch: LeaderEpoch::new(if version >= 12 { r.i32()? } else { -1 }),
            log_start_offset: Offset::new(if version >= 5 { r.i64()? } else { -1 }),
            partition_max_bytes: r.i32()?,
            replica_directory_id: Uuid::ZERO,
            high_watermark: Offset::MAX,
        };
        if layout.flexible {
            r.tagged_fields(|tag, r| {
                match tag {
                    0 if version >= 17 => it.replica_directory_id = r.uuid()?,
                    1 if version >= 18 => it.high_watermark = Offset::new(r.i64()?),
                    _ => return Ok(false),
                }
                Ok(true)
            })?;
        }
        Ok(it)
    }
}
