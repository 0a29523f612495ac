//! The bytes of a journal record (`FORMAT.md`, "journal"). One record is one group commit of one shard.

use crate::directory::Placement;
use crate::limits::{BLOCK_BYTES, RECORD_PAYLOAD_BYTES_MAX};
use crate::log::mark::Mark;
use crate::types::{Offset, PartitionIndex, ShardId, Uuid};

/// First bytes of every record.
pub(crate) const MAGIC: [u8; 4] = *b"RLJ1";
/// Bytes before the entries.
pub(crate) const HEADER_BYTES: usize = 48;
/// Bytes of an entry before what varies.
pub(crate) const ENTRY_HEADER_BYTES: usize = 64;

/// Names a partition for ever: a topic that is deleted and created again has another id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PartitionKey {
    /// Id of the topic.
    pub topic_id: Uuid,
    /// Number of the partition.
    pub partition: PartitionIndex,
}

/// Where a record stands among the records of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHeader {
    pub(crate) shard: ShardId,
    /// Number of the start that wrote it.
    pub(crate) generation: u64,
    /// Counts the shard's records, over all generations.
    pub(crate) sequence: u64,
    /// CRC of the record before; 0 for the first of a generation.
    pub(crate) previous_crc: u32,
    /// Bytes of the entries.
    pub(crate) payload_bytes: usize,
    /// CRC32C of the header (with this field zero) and the entries.
    pub(crate) crc: u32,
}

/// What kind of fact an entry states.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum EntryKind {
    /// Batches, to be found behind the entry, belong into a segment.
    Data,
    /// Batches were written to a segment at the same time as this record.
    Direct,
    /// Name of the partition's topic, to be found behind the entry.
    Name,
    /// Records before `from.offset` are deleted.
    LogStart,
    /// Nothing at or behind `from` is proven: its write failed.
    Unproven,
    /// The partition is deleted.
    Removed,
    /// The partition lies in this directory from here on.
    Placed,
}

impl EntryKind {
    fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Direct => 2,
            Self::Name => 3,
            Self::LogStart => 4,
            Self::Unproven => 5,
            Self::Removed => 6,
            Self::Placed => 7,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Data,
            2 => Self::Direct,
            3 => Self::Name,
            4 => Self::LogStart,
            5 => Self::Unproven,
            6 => Self::Removed,
            7 => Self::Placed,
            _ => return None,
        })
    }
}

/// One entry of a record, without the bytes behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) key: PartitionKey,
    /// Where the batches begin.
    pub(crate) from: Mark,
    /// Offset behind their last record.
    pub(crate) to_offset: Offset,
    /// Length of the batches, or of the name.
    pub(crate) bytes: u32,
    /// Where the partition lies; untold in entries of other kinds.
    pub(crate) placement: Placement,
}

impl Entry {
    /// A fact about a partition that is not batches and has nothing attached.
    pub(crate) fn fact(kind: EntryKind, key: PartitionKey, from: Mark) -> Self {
        Self { kind, key, from, to_offset: from.offset, bytes: 0, placement: Placement::default() }
    }

    /// The fact that the partition lies there.
    pub(crate) fn placed(key: PartitionKey, placement: Placement) -> Self {
        Self { placement, ..Self::fact(EntryKind::Placed, key, Mark::at_segment(Offset::ZERO)) }
    }

    /// Bytes that stand behind the entry in the record.
    pub(crate) fn attached_bytes(&self) -> usize {
        match self.kind {
            EntryKind::Data | EntryKind::Name => usize::try_from(self.bytes).expect("32 bits fit an index"),
            EntryKind::Direct | EntryKind::LogStart | EntryKind::Unproven | EntryKind::Removed | EntryKind::Placed => 0,
        }
    }

    /// Where the batches end.
    pub(crate) fn to(&self) -> Mark {
        let bytes = match self.kind {
            EntryKind::Data | EntryKind::Direct => u64::from(self.bytes),
            _ => 0,
        };
        Mark { segment: self.from.segment, position: self.from.position + bytes, offset: self.to_offset }
    }

    /// The entry's bytes.
    pub(crate) fn encode(&self) -> [u8; ENTRY_HEADER_BYTES] {
        let mut out = [0; ENTRY_HEADER_BYTES];
        out[0] = self.kind.code();
        out[4..8].copy_from_slice(&self.bytes.to_le_bytes());
        out[8..24].copy_from_slice(&self.key.topic_id.get());
        out[24..28].copy_from_slice(&self.key.partition.get().to_le_bytes());
        if self.kind == EntryKind::Placed {
            out[32..48].copy_from_slice(&self.placement.directory.get());
            out[48..56].copy_from_slice(&self.placement.move_count.to_le_bytes());
            return out;
        }
        out[32..40].copy_from_slice(&self.from.segment.get().to_le_bytes());
        out[40..48].copy_from_slice(&self.from.position.to_le_bytes());
        out[48..56].copy_from_slice(&self.from.offset.get().to_le_bytes());
        out[56..64].copy_from_slice(&self.to_offset.get().to_le_bytes());
        out
    }

    /// Reads an entry and the bytes behind it from the front of `payload`. `None` if they are not there, or not one.
    pub(crate) fn decode(payload: &[u8]) -> Option<(Self, &[u8], &[u8])> {
        let (head, rest) = payload.split_first_chunk::<ENTRY_HEADER_BYTES>()?;
        let kind = EntryKind::from_code(head[0])?;
        let key = PartitionKey {
            topic_id: Uuid::new(array(head, 8)),
            partition: PartitionIndex::new(i32::from_le_bytes(array(head, 24))),
        };
        if kind == EntryKind::Placed {
            let directory = Uuid::new(array(head, 32));
            let placement = Placement { directory, move_count: u64::from_le_bytes(array(head, 48)) };
            return Some((Self::placed(key, placement), &[], rest));
        }
        let entry = Self {
            kind,
            key,
            from: Mark {
                segment: offset(head, 32)?,
                position: Some(u64::from_le_bytes(array(head, 40))).filter(|at| *at <= POSITION_MAX)?,
                offset: offset(head, 48)?,
            },
            to_offset: offset(head, 56)?,
            bytes: u32::from_le_bytes(array(head, 4)),
            placement: Placement::default(),
        };
        let (attached, rest) = rest.split_at_checked(entry.attached_bytes())?;
        Some((entry, attached, rest))
    }
}

/// Positions in a segment stay below this.
const POSITION_MAX: u64 = 1 << 40;

fn array<const N: usize>(bytes: &[u8; ENTRY_HEADER_BYTES], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the field lies within the entry")
}

fn offset(bytes: &[u8; ENTRY_HEADER_BYTES], at: usize) -> Option<Offset> {
    Some(Offset::new(i64::from_le_bytes(array(bytes, at)))).filter(|offset| *offset >= Offset::ZERO)
}

impl RecordHeader {
    /// The header's bytes, with the CRC of itself and `payload`.
    pub(crate) fn encode(&self, crc: u32) -> [u8; HEADER_BYTES] {
        let mut out = [0; HEADER_BYTES];
        out[0..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&crc.to_le_bytes());
        out[8..16].copy_from_slice(&self.generation.to_le_bytes());
        out[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        out[24..28].copy_from_slice(&self.previous_crc.to_le_bytes());
        let bytes = u32::try_from(self.payload_bytes).expect("a payload is at most RECORD_PAYLOAD_BYTES_MAX");
        out[28..32].copy_from_slice(&bytes.to_le_bytes());
        out[32..34].copy_from_slice(&self.shard.get().to_le_bytes());
        out
    }

    /// Reads a header, without its CRC being right. `None` if there is none, or one of impossible length.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<HEADER_BYTES>()?;
        if head[0..4] != MAGIC {
            return None;
        }
        let u32_at = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("within the header"));
        let u64_at = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("within the header"));
        let payload_bytes = usize::try_from(u32_at(28)).ok().filter(|bytes| *bytes <= RECORD_PAYLOAD_BYTES_MAX)?;
        Some(Self {
            shard: ShardId::new(u16::from_le_bytes([head[32], head[33]])),
            generation: u64_at(8),
            sequence: u64_at(16),
            previous_crc: u32_at(24),
            payload_bytes,
            crc: u32_at(4),
        })
    }

    /// The CRC of this header and `payload`.
    pub(crate) fn crc_with(&self, payload: &[u8]) -> u32 {
        crate::batch::crc32c(&[&self.encode(0), payload])
    }

    /// Puts the header in front of its payload, which is in `record` already; answers the CRC.
    pub(crate) fn seal(&self, record: &mut [u8]) -> u32 {
        assert_eq!(record.len(), HEADER_BYTES + self.payload_bytes, "the record is the header and its payload");
        record[..HEADER_BYTES].copy_from_slice(&self.encode(0));
        let crc = crate::batch::crc32c(&[record]);
        record[..HEADER_BYTES].copy_from_slice(&self.encode(crc));
        crc
    }

    /// Bytes of the whole record in its file: whole blocks.
    pub(crate) fn file_bytes(&self) -> u64 {
        record_bytes(self.payload_bytes)
    }
}

/// Bytes that a record with this payload takes in its file.
pub(crate) fn record_bytes(payload_bytes: usize) -> u64 {
    u64::try_from(HEADER_BYTES + payload_bytes).expect("a length fits 64 bits").next_multiple_of(BLOCK_BYTES)
}
