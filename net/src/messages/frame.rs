//! How the brokers' own logs hold what they say. In the value of a record of the metadata log: frame version, kind and
//! version as varints, then the body (KIP-631). In the key of a record of the group log the kind, in its value the version,
//! as 16 bits each, then the body.

use super::group_log::GroupRecord;
use super::metadata_log::MetadataRecord;
use crate::wire::{DecodeError, EncodeError, Reader, Writer};

/// The only form of the frame.
const FRAME_VERSION: u32 = 1;

impl MetadataRecord {
    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.varint(FRAME_VERSION);
        w.varint(u32::try_from(self.key()).expect("kinds are numbered from 0"));
        w.varint(u32::try_from(version).map_err(|_| EncodeError::Version(version))?);
        self.encode_body(w, version)
    }

    /// Reads one record, and the version in which it was written.
    pub fn decode(r: &mut Reader<'_>) -> Result<(Self, i16), DecodeError> {
        let frame_version = r.varint()?;
        if frame_version != FRAME_VERSION {
            return Err(DecodeError::Version(i16::try_from(frame_version).unwrap_or(i16::MAX)));
        }
        let key = r.varint()?;
        let key = i16::try_from(key).map_err(|_| DecodeError::Key(i64::from(key)))?;
        let version = i16::try_from(r.varint()?).unwrap_or(i16::MAX);
        Self::decode_body(r, key, version).map(|record| (record, version))
    }
}

impl GroupRecord {
    /// The key of the record.
    pub fn encode_key(&self, w: &mut Writer) -> Result<(), EncodeError> {
        w.i16(self.kind());
        self.encode_key_body(w)
    }

    /// The value of the record, if it has one.
    pub fn encode_value(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {
        w.i16(version);
        self.encode_value_body(w, version)
    }

    /// Reads one record. A kind that this release does not know is [`DecodeError::Key`].
    pub fn decode(key: &[u8], value: Option<&[u8]>) -> Result<Self, DecodeError> {
        let mut key = Reader::new(key);
        let kind = key.i16()?;
        let mut value = value.map(Reader::new);
        let version = value.as_mut().map(Reader::i16).transpose()?;
        let record = Self::decode_bodies(kind, &mut key, version.zip(value.as_mut()))?;
        key.finish()?;
        value.map_or(Ok(()), |value| value.finish())?;
        Ok(record)
    }
}
