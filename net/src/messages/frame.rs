//! How a record of the metadata log stands in the value of a record: frame version, kind and version as varints, then
//! the body (KIP-631).

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
