//! Puts the modules of all messages together, with what is said about them all: the API keys, `decode_any`, the records
//! of the metadata log and of the group log.

use std::fmt::Write as _;

use crate::notation::{Kind, Message, Schema};
use crate::render::{condition, module, snake};

const IMPORTS: &str = "    use super::wire::*;\n";

/// Goes before a module. Its code is uniform, and so does some of what a person would leave out.
const ALLOW: &str = "\n#[allow(clippy::all, clippy::pedantic, unused_mut, unused_variables)]";

/// One module of messages per API key.
pub(crate) fn apis(schemas: &[Schema]) -> Result<String, String> {
    let mut code = String::new();
    for schema in schemas {
        let name = api(schema).0;
        let structs = module(&schema.messages, |message, inner| match message.kind {
            Kind::Request => Ok(format!("Request{inner}")),
            Kind::Response => Ok(format!("Response{inner}")),
            _ => Err(format!("{inner} has two definitions")),
        })?;
        _ = write!(code, "{ALLOW}\npub mod {} {{\n{IMPORTS}{structs}", snake(name));
        _ = write!(code, "\n    message!({name}Request);\n    message!({name}Response);\n");
        let impl_request = format!("impl Request for {name}Request");
        _ = writeln!(
            code,
            "    {impl_request} {{ const KEY: ApiKey = ApiKey::{name}; type Response = {name}Response; }}\n}}"
        );
    }
    Ok(code)
}

/// The enum of API keys, its table, and the decoder of whatever is asked for.
pub(crate) fn api_keys(schemas: &[Schema]) -> Result<String, String> {
    let mut variants = String::new();
    let mut all = String::new();
    let mut rows = String::new();
    let mut arms = String::new();
    let mut throttled = String::new();
    for schema in schemas {
        let (name, code, listeners) = api(schema);
        let [request, response] = &schema.messages[..] else {
            return Err(format!("{name} wants a request and a response"));
        };
        if (request.valid, request.flexible) != (response.valid, response.flexible) {
            return Err(format!("{name}: request and response differ in versions"));
        }
        _ = writeln!(variants, "    {name} = {code},");
        _ = writeln!(all, "    ApiKey::{name},");
        let unstable = i16::from(request.latest_unstable);
        let flexible = request.flexible.map_or("None".to_owned(), |versions| format!("Some({})", versions.min));
        let serves = |listener: &str| listeners.iter().any(|known| known == listener);
        _ = writeln!(
            rows,
            "    ApiKey::{name} => ApiFacts {{ name: \"{name}\", versions: ({}, {}), unstable_versions: {unstable}, \
             flexible_from: {flexible}, on_broker: {}, on_controller: {} }},",
            request.valid.min,
            request.valid.max,
            serves("broker"),
            serves("controller"),
        );
        let snake = snake(name);
        if let Some(field) = response.body().fields.iter().find(|field| field.name == "ThrottleTimeMs") {
            let guard = match condition(field.versions, response.valid).as_str() {
                "true" => String::new(),
                condition => format!(" if {condition}"),
            };
            _ = writeln!(
                throttled,
                "    ApiKey::{name}{guard} => {{\n        let mut message = {snake}::{name}Response::decode(r, version)?;\n        \
                 message.throttle_time_ms = throttle_time_ms;\n        message.encode(&mut w, version)\n    }}"
            );
        }
        for direction in ["Request", "Response"] {
            _ = writeln!(
                arms,
                "    (ApiKey::{name}, Direction::{direction}) => Box::new({snake}::{name}{direction}::decode(r, version)?),"
            );
        }
    }
    Ok(format!(
        "/// An API key that a broker or a controller of Apache Kafka 4.4 knows.\n\
         #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]\n#[repr(u16)]\n\
         pub enum ApiKey {{\n{variants}}}\n\n\
         impl ApiKey {{\n    /// All of them, in ascending order.\n    pub const ALL: [Self; {}] = [\n{all}];\n}}\n\n\
         const fn facts(key: ApiKey) -> ApiFacts {{\n    match key {{\n{rows}}}\n}}\n\n\
         fn decode_boxed(key: ApiKey, version: i16, direction: Direction, r: &mut Reader<'_>) \
         -> Result<Box<dyn Message>, DecodeError> {{\n    Ok(match (key, direction) {{\n{arms}}})\n}}\n\n\
         fn throttled(key: ApiKey, version: i16, r: &mut Reader<'_>, throttle_time_ms: i32) \
         -> Result<Option<Writer>, DecodeError> {{\n    let mut w = Writer::default();\n    let encoded = match key {{\n{throttled}    \
         _ => return Ok(None),\n    }};\n    encoded.expect(\"was decoded from this version\");\n    Ok(Some(w))\n}}\n",
        schemas.len()
    ))
}

fn api(schema: &Schema) -> (&str, i16, &[String]) {
    let api = schema.api.as_ref().expect("a file of the schema's top folder begins with an `api` line");
    (&api.name, api.code, &api.listeners)
}

/// The two headers, in one module.
pub(crate) fn headers(schema: &Schema) -> Result<String, String> {
    let structs = module(&schema.messages, |_, inner| Err(format!("{inner} has two definitions")))?;
    let traits: Vec<_> =
        schema.messages.iter().map(|message| format!("message!({});\n", message.body().name)).collect();
    Ok(format!("{ALLOW}\npub mod header {{\n{IMPORTS}{structs}\n{}}}\n", traits.concat()))
}

/// Structures that records carry as key or value, one module each.
pub(crate) fn records(schemas: &[Schema]) -> Result<String, String> {
    let mut code = String::new();
    for schema in schemas {
        let structs = module(&schema.messages, |_, inner| Err(format!("{inner} has two definitions")))?;
        for message in &schema.messages {
            let name = &message.body().name;
            _ = write!(code, "{ALLOW}\npub mod {} {{\n{IMPORTS}{structs}    message!({name});\n}}\n", snake(name));
        }
    }
    Ok(code)
}

/// The records of the metadata log, in one module, with the enum of them all.
pub(crate) fn metadata_log(schemas: &[Schema]) -> Result<String, String> {
    let messages: Vec<Message> = schemas.iter().flat_map(|schema| schema.messages.iter().cloned()).collect();
    let structs =
        module(&messages, |message, inner| Err(format!("{}: {inner} has two definitions", message.body().name)))?;
    let (mut variants, mut keys, mut versions, mut encodes, mut decodes, mut traits) = Default::default();
    for message in &messages {
        let name = &message.body().name;
        let Kind::Metadata(key) = message.kind else {
            return Err(format!("{name} is no record of the metadata log"));
        };
        let short = name.strip_suffix("Record").unwrap_or(name);
        let line = |code: &mut String, text: &str| _ = writeln!(code, "            {text}");
        line(&mut variants, &format!("{short}({name}),"));
        line(&mut keys, &format!("Self::{short}(_) => {key},"));
        line(&mut versions, &format!("Self::{short}(_) => {},", message.valid.max));
        line(&mut encodes, &format!("Self::{short}(record) => record.encode(w, version),"));
        line(&mut decodes, &format!("{key} => Self::{short}({name}::decode(r, version)?),"));
        line(&mut traits, &format!("message!({name});"));
    }
    Ok(format!(
        "{ALLOW}\npub mod metadata_log {{\n{IMPORTS}{structs}\n{traits}\n\
         /// A record of `__cluster_metadata`.\n#[derive(Clone, PartialEq, Debug)]\npub enum MetadataRecord {{\n{variants}}}\n\n\
         impl MetadataRecord {{\n\
         /// The number of the record's kind.\npub fn key(&self) -> i16 {{\n    match self {{\n{keys}}}\n}}\n\n\
         /// The newest version of the record's kind.\npub fn newest_version(&self) -> i16 {{\n    match self {{\n{versions}}}\n}}\n\n\
         pub(super) fn encode_body(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\n\
         match self {{\n{encodes}}}\n}}\n\n\
         pub(super) fn decode_body(r: &mut Reader<'_>, key: i16, version: i16) -> Result<Self, DecodeError> {{\n\
         Ok(match key {{\n{decodes}_ => return Err(DecodeError::Key(key.into())),\n}})\n}}\n}}\n}}\n"
    ))
}

/// The records of the group log, each with its key and its value, in one module, with the enum of them all.
pub(crate) fn group_log(schemas: &[Schema]) -> Result<String, String> {
    let messages: Vec<Message> = schemas.iter().flat_map(|schema| schema.messages.iter().cloned()).collect();
    let structs =
        module(&messages, |message, inner| Err(format!("{}: {inner} has two definitions", message.body().name)))?;
    let (mut variants, mut kinds, mut versions, mut has_values, mut keys, mut values, mut decodes, mut traits) =
        Default::default();
    for schema in schemas {
        let [key, value] = &schema.messages[..] else {
            return Err("a record of the group log has a key and a value".to_owned());
        };
        let (Kind::GroupKey(number), Kind::GroupValue(value_number)) = (&key.kind, &value.kind) else {
            return Err(format!("{}: a key comes first, its value second", key.body().name));
        };
        let (key_name, value_name) = (&key.body().name, &value.body().name);
        let short = key_name.strip_suffix("Key").ok_or(format!("{key_name} ends with no `Key`"))?;
        if number != value_number || value_name.strip_suffix("Value") != Some(short) {
            return Err(format!("{value_name} is no value of {key_name}"));
        }
        let newest = value.valid.max;
        let line = |code: &mut String, text: &str| _ = writeln!(code, "            {text}");
        line(&mut variants, &format!("{short}({key_name}, Option<{value_name}>),"));
        line(&mut kinds, &format!("Self::{short}(..) => {number},"));
        line(&mut versions, &format!("Self::{short}(..) => {newest},"));
        line(&mut has_values, &format!("Self::{short}(_, value) => value.is_some(),"));
        line(&mut keys, &format!("Self::{short}(key, _) => key.encode(w, {}),", key.valid.max));
        line(&mut values, &format!("Self::{short}(_, Some(value)) => value.encode(w, version),"));
        line(
            &mut decodes,
            &format!(
                "{number} => Self::{short}({key_name}::decode(key, {})?, \
                 value.map(|(version, r)| {value_name}::decode(r, version)).transpose()?),",
                key.valid.max
            ),
        );
        line(&mut traits, &format!("message!({key_name});\n            message!({value_name});"));
    }
    Ok(format!(
        "{ALLOW}\npub mod group_log {{\n{IMPORTS}{structs}\n{traits}\n\
         /// A record of `__consumer_offsets`: what its key names, and what is known of it. Without a value, it is gone.\n\
         #[derive(Clone, PartialEq, Debug)]\npub enum GroupRecord {{\n{variants}}}\n\n\
         impl GroupRecord {{\n\
         /// The number of the record's kind.\n\
         pub fn kind(&self) -> i16 {{\n    match self {{\n{kinds}}}\n}}\n\n\
         /// The newest version of its value.\n\
         pub fn newest_version(&self) -> i16 {{\n    match self {{\n{versions}}}\n}}\n\n\
         /// Whether it says more than that something is gone.\n\
         pub fn has_value(&self) -> bool {{\n    match self {{\n{has_values}}}\n}}\n\n\
         pub(super) fn encode_key_body(&self, w: &mut Writer) -> Result<(), EncodeError> {{\n\
         match self {{\n{keys}}}\n}}\n\n\
         pub(super) fn encode_value_body(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {{\n\
         match self {{\n{values}_ => Ok(()),\n}}\n}}\n\n\
         pub(super) fn decode_bodies(number: i16, key: &mut Reader<'_>, value: Option<(i16, &mut Reader<'_>)>) \
         -> Result<Self, DecodeError> {{\n\
         Ok(match number {{\n{decodes}_ => return Err(DecodeError::Key(number.into())),\n}})\n}}\n}}\n}}\n"
    ))
}
