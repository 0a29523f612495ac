//! The notation says what Apache Kafka's definitions say, field by field, where these were fetched.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::notation::{DefaultValue, Field, Kind, Message, Type, Versions};
use crate::schema::{all_messages, kafka_folder, schemas, structure};

/// Definitions that the notation leaves out: formats of files and principals that nothing here reads yet; of the group
/// log, what only releases before 0.9 wrote, what 4.0 has retired, and groups of kinds that are not served.
const LEFT_OUT: [&str; 3] = ["AbortedTxn", "ControlRecordTypeSchema", "DefaultPrincipalData"];
const GROUPS_LEFT_OUT: [&str; 4] =
    ["LegacyOffsetCommit", "ConsumerGroupPartitionMetadata", "ShareGroup", "StreamsGroup"];

#[test]
fn notation_agrees_with_the_definitions() {
    let definitions = definitions();
    if definitions.is_empty() {
        println!("skipped: no definitions of Apache Kafka in {}", kafka_folder().display());
        return;
    }
    let messages = all_messages();
    let mut fields = 0;
    let mut names = BTreeSet::new();
    for definition in &definitions {
        let name = text(definition, "name");
        let is_of_group_log = text(definition, "type").starts_with("coordinator-");
        let is_left_out = LEFT_OUT.contains(&name)
            || is_of_group_log && GROUPS_LEFT_OUT.iter().any(|prefix| name.starts_with(prefix));
        if text(definition, "validVersions") == "none" || is_left_out {
            continue;
        }
        let message = messages.iter().find(|message| message.body().name == name);
        fields += agree(message.unwrap_or_else(|| panic!("the notation lacks {name}")), definition);
        names.insert(name);
    }
    let has = |kind: &str| definitions.iter().any(|definition| text(definition, "type") == kind);
    let (with_metadata, with_groups) = (has("metadata"), has("coordinator-key"));
    let is_defined = |message: &&Message| match message.kind {
        Kind::Metadata(_) => with_metadata,
        Kind::GroupKey(_) | Kind::GroupValue(_) => with_groups,
        _ => true,
    };
    for message in messages.iter().filter(is_defined) {
        assert!(names.contains(message.body().name.as_str()), "{} has no definition", message.body().name);
    }
    println!("{} messages with {fields} fields agree with Apache Kafka's definitions", names.len());
}

#[test]
fn listeners_agree_with_the_definitions() {
    for definition in definitions().iter().filter(|definition| definition.get("listeners").is_some()) {
        let listeners: Vec<_> = array(definition, "listeners").iter().map(|listener| listener.as_str()).collect();
        let code = number(definition, "apiKey");
        let schema =
            schemas("schema").into_iter().filter_map(|schema| schema.api).find(|api| i64::from(api.code) == code);
        let Some(api) = schema else { continue };
        assert_eq!(api.listeners.iter().map(|name| Some(name.as_str())).collect::<Vec<_>>(), listeners, "{}", api.name);
        assert_eq!(format!("{}Request", api.name), text(definition, "name"));
    }
}

/// What `kafka/fetch` brought, and what `unzip` finds in the jars of the metadata log and the group log.
fn definitions() -> Vec<Value> {
    let folder = kafka_folder().join("messages");
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let read = |entry: Result<fs::DirEntry, _>| {
        fs::read_to_string(entry.expect("the folder can be listed").path()).expect("a definition is text")
    };
    let mut texts: Vec<_> = entries.map(read).collect();
    for (jar, files) in [
        ("broker/kafka-metadata-4.4.0.jar", "common/metadata/*.json"),
        ("broker/kafka-group-coordinator-4.4.0.jar", "common/message/*.json"),
    ] {
        match Command::new("unzip").arg("-p").arg(kafka_folder().join(jar)).arg(files).output() {
            Ok(output) if output.status.success() => {
                let text = String::from_utf8(output.stdout).expect("definitions are text");
                // One file after the other: each begins with its licence.
                texts.extend(
                    text.split("// Licensed to the Apache").filter(|text| !text.trim().is_empty()).map(str::to_owned),
                );
            }
            _ => println!("skipped: no definitions of {files} (they want unzip and {jar})"),
        }
    }
    let uncommented = |text: &String| {
        let lines: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let json = lines.join("\n");
        json[json.find('{').expect("a definition is an object")..].to_owned()
    };
    texts.iter().map(|text| serde_json::from_str(&uncommented(text)).expect("a definition is JSON")).collect()
}

/// Checks a message, and returns the number of its fields.
fn agree(message: &Message, definition: &Value) -> usize {
    let name = &message.body().name;
    assert_eq!(Some(message.valid), Versions::parse(text(definition, "validVersions")), "{name}: valid versions");
    assert_eq!(message.flexible, Versions::parse(text(definition, "flexibleVersions")), "{name}: flexible versions");
    let unstable = definition.get("latestVersionUnstable").is_some_and(|unstable| unstable == &Value::Bool(true));
    assert_eq!(message.latest_unstable, unstable, "{name}: latestVersionUnstable");
    if let Kind::Metadata(key) | Kind::GroupKey(key) | Kind::GroupValue(key) = message.kind {
        assert_eq!(i64::from(key), number(definition, "apiKey"), "{name}: key");
    }
    let mut count = agree_fields(message, name, array(definition, "fields"));
    for shared in array(definition, "commonStructs") {
        count += agree_fields(message, text(shared, "name"), array(shared, "fields"));
    }
    count
}

fn agree_fields(message: &Message, name: &str, definitions: &[Value]) -> usize {
    let fields = &structure(message, name).fields;
    assert_eq!(fields.len(), definitions.len(), "{}: {name} has another number of fields", message.body().name);
    let mut count = fields.len();
    for (field, definition) in fields.iter().zip(definitions) {
        let expected = expected(definition);
        assert_eq!(field, &expected, "{}: {name}", message.body().name);
        if let Some(inner) = definition.get("fields") {
            let structure = field.ty.structure().expect("only structures have fields");
            count += agree_fields(message, structure, inner.as_array().expect("fields are a list"));
        }
    }
    count
}

/// The field that the definition means.
fn expected(definition: &Value) -> Field {
    let versions = |key: &str| definition.get(key).and_then(Value::as_str).and_then(Versions::parse);
    let ty = Type::parse(text(definition, "type")).expect("a type that the notation knows");
    let all = versions("versions").expect("every field has versions");
    let tag = definition.get("tag").map(|_| u32::try_from(number(definition, "tag")).expect("tags are small"));
    assert_eq!(versions("taggedVersions"), tag.map(|_| all), "{definition}: a field is tagged always or never");
    let mut name = text(definition, "name").to_owned();
    name[..1].make_ascii_uppercase();
    Field {
        name,
        default: default_value(definition, &ty),
        ty,
        versions: all,
        nullable: versions("nullableVersions"),
        tag,
        inflexible: definition.get("flexibleVersions").is_some_and(|versions| versions == "none"),
        ignorable: definition.get("ignorable").is_some_and(|ignorable| ignorable == &Value::Bool(true)),
    }
}

fn default_value(definition: &Value, ty: &Type) -> DefaultValue {
    let text = match definition.get("default") {
        // A null that is no text is taken for none at all, there as here.
        None | Some(Value::Null) => return DefaultValue::Zero,
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let number = |text: &str| match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    match (text.as_str(), ty) {
        ("null", _) => DefaultValue::Null,
        ("true", Type::Bool) => DefaultValue::True,
        ("false", Type::Bool) | ("", _) => DefaultValue::Zero,
        (text, _) => match number(text).expect("all other defaults are numbers") {
            0 => DefaultValue::Zero,
            number => DefaultValue::Integer(number),
        },
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_else(|| panic!("{value} has no text {key}"))
}

fn number(value: &Value, key: &str) -> i64 {
    value.get(key).and_then(Value::as_i64).unwrap_or_else(|| panic!("{value} has no number {key}"))
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
