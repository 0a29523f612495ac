//! The notation's files, read.

use std::path::{Path, PathBuf};
use std::{env, fs};

use ringlog_net::messages::group_log::GroupRecord;
use ringlog_net::messages::metadata_log::MetadataRecord;
use ringlog_net::messages::{self, ApiKey, Direction, decode_any};
use ringlog_net::wire::{DecodeError, Reader, Writer};

use crate::notation::{self, Kind, Message, Schema, Struct};

pub(crate) fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where Apache Kafka lies, if it was fetched.
pub(crate) fn kafka_folder() -> PathBuf {
    env::var_os("RINGLOG_KAFKA_DIR").map_or_else(|| crate_folder().join("../.kafka"), PathBuf::from)
}

/// Every file of a folder of `schema/`, and what it says.
pub(crate) fn schemas(folder: &str) -> Vec<Schema> {
    let entries = fs::read_dir(crate_folder().join(folder)).expect("the schema lies beside the sources");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("the folder can be listed").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "kafka"));
    paths.sort();
    let read = |path: &PathBuf| notation::parse(&fs::read_to_string(path).expect("a schema is text"));
    paths.iter().map(|path| read(path).expect("the build parsed it too")).collect()
}

/// The messages that belong to an API key, with the key.
pub(crate) fn api_messages() -> Vec<(ApiKey, Message)> {
    let keyed = |schema: Schema| {
        let api = schema.api?;
        let key = ApiKey::from_i16(api.code).expect("the build made a key of it");
        Some(schema.messages.into_iter().map(move |message| (key, message)))
    };
    schemas("schema").into_iter().filter_map(keyed).flatten().collect()
}

/// Every message of the notation.
pub(crate) fn all_messages() -> Vec<Message> {
    let folders = ["schema", "schema/records", "schema/metadata_log", "schema/group_log"];
    folders.into_iter().flat_map(schemas).flat_map(|schema| schema.messages).collect()
}

pub(crate) fn structure<'a>(message: &'a Message, name: &str) -> &'a Struct {
    message.structs.iter().find(|known| known.name == name).expect("the parser checked every name")
}

/// What becomes of bytes that are decoded and encoded again: the bytes, and the message as `Debug` prints it.
pub(crate) fn recoded(message: &Message, version: i16, bytes: &[u8]) -> Result<(Vec<u8>, String), DecodeError> {
    let name = message.body().name.as_str();
    let decoded = match (&message.kind, name) {
        (Kind::Request, _) => decode_any(key_of(name, "Request"), version, Direction::Request, bytes)?,
        (Kind::Response, _) => decode_any(key_of(name, "Response"), version, Direction::Response, bytes)?,
        (Kind::Metadata(key), _) => return recoded_metadata(*key, version, bytes),
        (Kind::GroupKey(kind), _) => return recoded_group(*kind, Part::Key, bytes),
        (Kind::GroupValue(kind), _) => return recoded_group(*kind, Part::Value(version), bytes),
        (_, "RequestHeader") => decoded::<messages::header::RequestHeader>(version, bytes)?,
        (_, "ResponseHeader") => decoded::<messages::header::ResponseHeader>(version, bytes)?,
        (_, "ConsumerProtocolAssignment") => {
            decoded::<messages::consumer_protocol_assignment::ConsumerProtocolAssignment>(version, bytes)?
        }
        (_, "ConsumerProtocolSubscription") => {
            decoded::<messages::consumer_protocol_subscription::ConsumerProtocolSubscription>(version, bytes)?
        }
        (_, "EndTxnMarker") => decoded::<messages::end_txn_marker::EndTxnMarker>(version, bytes)?,
        (_, "KRaftVersionRecord") => decoded::<messages::kraft_version_record::KRaftVersionRecord>(version, bytes)?,
        (_, "LeaderChangeMessage") => decoded::<messages::leader_change_message::LeaderChangeMessage>(version, bytes)?,
        (_, "SnapshotFooterRecord") => {
            decoded::<messages::snapshot_footer_record::SnapshotFooterRecord>(version, bytes)?
        }
        (_, "SnapshotHeaderRecord") => {
            decoded::<messages::snapshot_header_record::SnapshotHeaderRecord>(version, bytes)?
        }
        (_, "VotersRecord") => decoded::<messages::voters_record::VotersRecord>(version, bytes)?,
        _ => panic!("{name} is decoded by nothing"),
    };
    let mut writer = Writer::new();
    decoded.encode(&mut writer, version).expect("what was decoded in a version can be said in it");
    Ok((writer.into_bytes(), format!("{decoded:?}")))
}

fn decoded<T: messages::Message + 'static>(
    version: i16,
    bytes: &[u8],
) -> Result<Box<dyn messages::Message>, DecodeError> {
    let mut reader = Reader::new(bytes);
    let message = T::decode(&mut reader, version)?;
    reader.finish()?;
    Ok(Box::new(message))
}

fn recoded_metadata(key: i16, version: i16, bytes: &[u8]) -> Result<(Vec<u8>, String), DecodeError> {
    let mut framed = Writer::new();
    for number in [1, key, version] {
        framed.varint(u32::try_from(number).expect("kinds and versions are numbered from 0"));
    }
    let frame_bytes = framed.len();
    framed.raw(bytes);
    let mut reader = Reader::new(framed.as_slice());
    let (record, version_read) = MetadataRecord::decode(&mut reader)?;
    reader.finish()?;
    assert_eq!((record.key(), version_read), (key, version));
    let mut writer = Writer::new();
    record.encode(&mut writer, version).expect("what was decoded in a version can be said in it");
    // The variant's name and its parentheses are around the record.
    let text = format!("{record:?}");
    let text = text.split_once('(').and_then(|(_, text)| text.strip_suffix(')')).expect("a variant with a record");
    Ok((writer.into_bytes()[frame_bytes..].to_vec(), text.to_owned()))
}

/// Which part of a record of the group log.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Key,
    Value(i16),
}

fn recoded_group(kind: i16, part: Part, bytes: &[u8]) -> Result<(Vec<u8>, String), DecodeError> {
    let with_number = |number: i16, bytes: &[u8]| [&number.to_be_bytes()[..], bytes].concat();
    // Keys consist of strings and numbers: zeros are the shortest of each.
    let shortest_key =
        || (0..64).map(|len| with_number(kind, &vec![0; len])).find(|key| GroupRecord::decode(key, None).is_ok());
    let (key, value) = match part {
        Part::Key => (with_number(kind, bytes), None),
        Part::Value(version) => (shortest_key().expect("a key of zeros"), Some(with_number(version, bytes))),
    };
    let record = GroupRecord::decode(&key, value.as_deref())?;
    assert_eq!((record.kind(), record.has_value()), (kind, value.is_some()));
    let mut writer = Writer::new();
    let encoded = match part {
        Part::Key => record.encode_key(&mut writer),
        Part::Value(version) => record.encode_value(&mut writer, version),
    };
    encoded.expect("what was decoded in a version can be said in it");
    // A variant holds its key, and its value or nothing.
    let text = format!("{record:?}");
    let text = text.split_once('(').and_then(|(_, text)| text.strip_suffix(')')).expect("a variant with a record");
    let text = match part {
        Part::Key => text.strip_suffix(", None"),
        Part::Value(_) => text.split_once(", Some(").and_then(|(_, text)| text.strip_suffix(')')),
    };
    Ok((writer.into_bytes()[2..].to_vec(), text.expect("a key, and a value or none").to_owned()))
}

fn key_of(name: &str, direction: &str) -> ApiKey {
    let name = name.strip_suffix(direction).expect("a request or a response is named as one");
    ApiKey::ALL.into_iter().find(|key| key.name() == name).expect("the build made a key of it")
}
