//! Turns schemas into Rust: a structure with `Default`, `decode` and `encode` for each one of the notation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::notation::{DefaultValue, Field, Message, Struct, Type, Versions};

/// A structure with what its code depends on besides its own fields.
#[derive(Clone, PartialEq, Eq)]
struct Shape {
    name: String,
    /// Those that occur in any of the versions.
    fields: Vec<Field>,
    /// The versions in which it occurs at all.
    versions: Versions,
    flexible: Option<Versions>,
}

/// The shapes of a message's structures, each with the versions of the fields that lead to it.
fn shapes(message: &Message) -> Result<Vec<Shape>, String> {
    let mut reached: BTreeMap<&str, Versions> = BTreeMap::from([(message.body().name.as_str(), message.valid)]);
    // Inner structures stand before those that hold them, except shared ones, which may hold each other: so until
    // nothing changes. Ranges only grow, towards the message's own.
    loop {
        let before = reached.clone();
        for outer in message.structs.iter().rev() {
            let Some(&versions) = reached.get(outer.name.as_str()) else { continue };
            for field in &outer.fields {
                let both = field.versions.intersection(versions);
                if let (Some(inner), Some(both)) = (field.ty.structure(), both) {
                    let known = reached.entry(inner).or_insert(both);
                    *known = known.hull(both);
                }
            }
        }
        if reached == before {
            break;
        }
    }
    let shape = |known: &Struct| {
        let versions = *reached.get(known.name.as_str()).ok_or(format!("{} is used nowhere", known.name))?;
        let flexible = message.flexible.and_then(|flexible| flexible.intersection(versions));
        let mut fields = known.fields.clone();
        fields.retain(|field| field.versions.intersection(versions).is_some());
        for field in &fields {
            check(field, versions, flexible).map_err(|what| format!("{}.{}: {what}", known.name, field.name))?;
        }
        Ok(Shape { name: known.name.clone(), fields, versions, flexible })
    };
    let shapes: Vec<Shape> = message.structs.iter().map(shape).collect::<Result<_, String>>()?;
    // `Reader` bounds the length of an array by the bytes that are left.
    for element in shapes.iter().flat_map(|shape| &shape.fields).filter(|field| matches!(field.ty, Type::Array(_))) {
        let empty = |shape: &&Shape| Some(shape.name.as_str()) == element.ty.structure() && may_be_empty(shape);
        if let Some(shape) = shapes.iter().find(empty) {
            return Err(format!("{}: {} has no bytes in some version", element.name, shape.name));
        }
    }
    // Decoding recurses as deep as structures hold each other, so none may hold itself.
    for shape in &shapes {
        let mut inner = shape.fields.iter().filter_map(|field| field.ty.structure());
        if inner.any(|inner| closure(&shapes, inner).contains(&shape)) {
            return Err(format!("{} holds itself", shape.name));
        }
    }
    Ok(shapes)
}

/// Whether there may be a version in which the structure takes no byte: the cautious answer.
fn may_be_empty(shape: &Shape) -> bool {
    let is_always = |versions: Versions| versions.covers(shape.versions);
    !shape.flexible.is_some_and(is_always)
        && !shape.fields.iter().any(|field| field.tag.is_none() && is_always(field.versions))
}

/// What the code below relies on.
fn check(field: &Field, versions: Versions, flexible: Option<Versions>) -> Result<(), &'static str> {
    let both = field.versions.intersection(versions).ok_or("is in no version")?;
    if field.tag.is_some() && !flexible.is_some_and(|flexible| flexible.covers(both)) {
        return Err("a tagged field wants flexible versions");
    }
    if field.tag.is_some() && field.nullable.is_some_and(|nullable| !nullable.covers(both)) {
        return Err("a tagged field can be null always or never");
    }
    Ok(())
}

/// The code of the structures of messages that live in one module. A structure that two messages define alike is made
/// once; where they differ, `rename` says what each becomes.
pub(crate) fn module(
    messages: &[Message],
    rename: impl Fn(&Message, &str) -> Result<String, String>,
) -> Result<String, String> {
    let mut all = Vec::new();
    for message in messages {
        all.push((message, shapes(message)?));
    }
    let differs = |shapes: &[Shape], name: &str| {
        all.iter().any(|(_, others)| {
            others.iter().any(|other| other.name == name) && closure(others, name) != closure(shapes, name)
        })
    };
    let mut made = Vec::new();
    let mut code = String::new();
    for (message, shapes) in &all {
        let mut names = BTreeMap::new();
        for shape in shapes {
            let name = shape.name.as_str();
            names.insert(name, if differs(shapes, name) { rename(message, name)? } else { name.to_owned() });
        }
        // The message comes first, as a reader would want it.
        for shape in shapes.iter().rev() {
            let name = &names[shape.name.as_str()];
            if !made.contains(name) {
                made.push(name.clone());
                code += &structure(shape, &names, shape.name == message.body().name);
            }
        }
    }
    Ok(code)
}

/// A structure and everything below it.
fn closure<'a>(shapes: &'a [Shape], name: &str) -> Vec<&'a Shape> {
    let mut found: Vec<&Shape> = shapes.iter().filter(|shape| shape.name == name).collect();
    let mut next = 0;
    while let Some(shape) = found.get(next) {
        next += 1;
        for inner in shape.fields.iter().filter_map(|field| field.ty.structure()) {
            if found.iter().all(|known| known.name != inner) {
                found.extend(shapes.iter().filter(|shape| shape.name == inner));
            }
        }
    }
    found
}

type Names<'a> = BTreeMap<&'a str, String>;

fn structure(shape: &Shape, names: &Names<'_>, is_message: bool) -> String {
    let name = &names[shape.name.as_str()];
    let derives_default = shape.fields.iter().all(|field| default_value(field).is_none());
    let mut code = format!("\n/// {name}, in versions {}.\n", shape.versions);
    let default = if derives_default { "Default, " } else { "" };
    _ = writeln!(code, "#[derive(Clone, PartialEq, {default}Debug)]\npub struct {name} {{");
    for field in &shape.fields {
        _ = writeln!(code, "    pub {}: {},", snake(&field.name), type_of(field, names));
    }
    code += "}\n";
    if !derives_default {
        _ = writeln!(code, "\nimpl Default for {name} {{\n    fn default() -> Self {{\n        Self {{");
        for field in &shape.fields {
            let value = default_value(field).unwrap_or_else(|| "Default::default()".to_owned());
            _ = writeln!(code, "            {}: {value},", snake(&field.name));
        }
        code += "        }\n    }\n}\n";
    }
    _ = writeln!(code, "\nimpl {name} {{");
    let Versions { min, max } = shape.versions;
    let check = |error: &str| {
        let check =
            format!("        if !({min}..={max}).contains(&version) {{ return Err({error}::Version(version)); }}\n");
        if is_message { check } else { String::new() }
    };
    code += &decode(shape, names, &check("DecodeError"));
    code += "\n";
    code += &encode(shape, &check("EncodeError"));
    code + "}\n"
}

/// The line of `decode` and `encode` that settles whether the version is flexible.
fn flexible(shape: &Shape) -> String {
    let flexible = shape.flexible.map_or_else(|| "false".to_owned(), |flexible| condition(flexible, shape.versions));
    format!("        let flexible = {flexible};\n")
}

fn decode(shape: &Shape, names: &Names<'_>, check: &str) -> String {
    let mut code = "    pub fn decode(r: &mut Reader<'_>, version: i16) -> Result<Self, DecodeError> {\n".to_owned();
    code += check;
    code += &flexible(shape);
    code += "        let mut it = Self::default();\n";
    for field in shape.fields.iter().filter(|field| field.tag.is_none()) {
        let read = format!("it.{} = {}?;", snake(&field.name), read(field, shape.versions, names));
        code += &when(field, shape.versions, &read);
    }
    if let Some(flexible) = shape.flexible {
        _ = writeln!(
            code,
            "        if flexible {{\n            r.tagged_fields({})?;\n        }}",
            known_tags(shape, flexible, names)
        );
    }
    code + "        Ok(it)\n    }\n"
}

/// The closure that reads the tagged fields of a shape.
fn known_tags(shape: &Shape, flexible: Versions, names: &Names<'_>) -> String {
    let mut arms = String::new();
    for field in tagged(shape) {
        let (tag, name) = (field.tag.unwrap_or_default(), snake(&field.name));
        let guard = match condition(field.versions, flexible).as_str() {
            "true" => String::new(),
            condition => format!(" if {condition}"),
        };
        _ = writeln!(arms, "                    {tag}{guard} => it.{name} = {}?,", read(field, shape.versions, names));
    }
    if arms.is_empty() {
        return "|_, _| Ok(false)".to_owned();
    }
    arms += "                    _ => return Ok(false),\n";
    format!(
        "|tag, r| {{\n                match tag {{\n{arms}                }}\n                Ok(true)\n            }}"
    )
}

fn encode(shape: &Shape, check: &str) -> String {
    let mut code = "    pub fn encode(&self, w: &mut Writer, version: i16) -> Result<(), EncodeError> {\n".to_owned();
    code += check;
    code += &flexible(shape);
    for field in &shape.fields {
        let present = condition(field.versions, shape.versions);
        let differs = differs_from_default(field, &format!("self.{}", snake(&field.name)));
        let refuse = format!(
            "{{\n            return Err(EncodeError::Field {{ field: \"{}\", version }});\n        }}",
            field.name
        );
        let refuses = present != "true" && !field.ignorable;
        if field.tag.is_none() {
            code += when(field, shape.versions, &write(field, shape.versions)).trim_end();
            code += &if refuses { [" else if ", &differs, " ", &refuse, "\n"].concat() } else { "\n".to_owned() };
        } else if refuses {
            _ = writeln!(code, "        if !({present}) && {differs} {refuse}");
        }
    }
    if let Some(flexible) = shape.flexible {
        code += "        if flexible {\n";
        let tagged = tagged(shape);
        let binding = if tagged.is_empty() { "_" } else { "let fields" };
        _ = writeln!(code, "            {binding} = w.tagged_fields();");
        for field in tagged {
            let (tag, name) = (field.tag.unwrap_or_default(), snake(&field.name));
            let wanted = match condition(field.versions, flexible).as_str() {
                "true" => differs_from_default(field, &format!("self.{name}")),
                present => format!("{present} && {}", differs_from_default(field, &format!("self.{name}"))),
            };
            let write = write(field, shape.versions);
            let body = format!("w.tagged(&fields, {tag}, |w| {{ {write} Ok(()) }})?;");
            _ = writeln!(code, "            if {wanted} {{\n                {body}\n            }}");
        }
        code += "        }\n";
    }
    code + "        Ok(())\n    }\n"
}

fn tagged(shape: &Shape) -> Vec<&Field> {
    let mut fields: Vec<_> = shape.fields.iter().filter(|field| field.tag.is_some()).collect();
    fields.sort_by_key(|field| field.tag);
    fields
}

/// A statement, under the condition that the version has the field.
fn when(field: &Field, versions: Versions, statement: &str) -> String {
    match condition(field.versions, versions).as_str() {
        "true" => format!("        {statement}\n"),
        condition => format!("        if {condition} {{\n            {statement}\n        }}\n"),
    }
}

/// Whether `version`, which is known to be within `known`, is within `wanted`.
pub(crate) fn condition(wanted: Versions, known: Versions) -> String {
    match (wanted.min <= known.min, wanted.max >= known.max) {
        (true, true) => "true".to_owned(),
        (false, true) => format!("version >= {}", wanted.min),
        (true, false) => format!("version <= {}", wanted.max),
        (false, false) if wanted.min == wanted.max => format!("version == {}", wanted.min),
        (false, false) => format!("({}..={}).contains(&version)", wanted.min, wanted.max),
    }
}

fn type_of(field: &Field, names: &Names<'_>) -> String {
    let ty = plain_type(&field.ty, names);
    if field.nullable.is_some() { format!("Option<{ty}>") } else { ty }
}

fn plain_type(ty: &Type, names: &Names<'_>) -> String {
    match ty {
        Type::Bool => "bool".to_owned(),
        Type::Int8 => "i8".to_owned(),
        Type::Int16 => "i16".to_owned(),
        Type::Uint16 => "u16".to_owned(),
        Type::Int32 => "i32".to_owned(),
        Type::Uint32 => "u32".to_owned(),
        Type::Int64 => "i64".to_owned(),
        Type::Float64 => "f64".to_owned(),
        Type::Uuid => "Uuid".to_owned(),
        Type::String => "String".to_owned(),
        Type::Bytes | Type::Records => "Vec<u8>".to_owned(),
        Type::Struct(name) => names[name.as_str()].clone(),
        Type::Array(element) => format!("Vec<{}>", plain_type(element, names)),
    }
}

/// The default, where it is not Rust's own. Null is the default only where the schema says so; records and structures
/// that may be null are null by default in any case.
fn default_value(field: &Field) -> Option<String> {
    match (&field.default, field.nullable, &field.ty) {
        (DefaultValue::True, ..) => Some("true".to_owned()),
        (DefaultValue::Integer(number), ..) => Some(number.to_string()),
        (DefaultValue::Zero, Some(_), Type::Records) => None,
        (DefaultValue::Zero, Some(_), _) => Some("Some(Default::default())".to_owned()),
        (DefaultValue::Null | DefaultValue::Zero, ..) => None,
    }
}

/// Whether the value at `place` is another one than the default.
fn differs_from_default(field: &Field, place: &str) -> String {
    match (&field.default, &field.ty) {
        (DefaultValue::True, _) => format!("!{place}"),
        (DefaultValue::Integer(number), _) => format!("{place} != {number}"),
        (DefaultValue::Null, _) | (_, Type::Records) if field.nullable.is_some() => format!("{place}.is_some()"),
        (_, Type::Struct(_)) if field.nullable.is_none() => format!("{place} != Default::default()"),
        (_, Type::String | Type::Bytes | Type::Array(_)) if field.nullable.is_some() => {
            format!("{place}.as_ref().is_none_or(|value| !value.is_empty())")
        }
        (_, _) if field.nullable.is_some() => format!("{place} != Some(Default::default())"),
        (_, Type::Bool) => place.to_owned(),
        (_, Type::Float64) => format!("{place} != 0.0"),
        (_, Type::Uuid) => format!("{place} != Uuid::ZERO"),
        (_, Type::String | Type::Bytes | Type::Records | Type::Array(_)) => format!("!{place}.is_empty()"),
        _ => format!("{place} != 0"),
    }
}

fn flexible_argument(field: &Field) -> &'static str {
    if field.inflexible { "false" } else { "flexible" }
}

/// Reads the field, without the question mark.
fn read(field: &Field, versions: Versions, names: &Names<'_>) -> String {
    let flexible = flexible_argument(field);
    let both = field.versions.intersection(versions).unwrap_or(versions);
    let Some(nullable) = field.nullable.map(|nullable| condition(nullable, both)) else {
        return read_plain(&field.ty, flexible, names);
    };
    match &field.ty {
        Type::String => format!("r.opt_string({flexible}, {nullable})"),
        Type::Bytes | Type::Records => format!("r.opt_bytes({flexible}, {nullable})"),
        Type::Array(element) => {
            format!("r.opt_array({flexible}, {nullable}, |r| {})", read_plain(element, flexible, names))
        }
        Type::Struct(name) => {
            let presence = if field.tag.is_some() { "varint" } else { "byte" };
            format!("r.opt_struct_by_{presence}({nullable}, |r| {}::decode(r, version))", names[name.as_str()])
        }
        other => panic!("{other:?} cannot be null on the wire"),
    }
}

fn read_plain(ty: &Type, flexible: &str, names: &Names<'_>) -> String {
    match ty {
        Type::String => format!("r.string({flexible})"),
        Type::Bytes | Type::Records => format!("r.bytes({flexible})"),
        Type::Struct(name) => format!("{}::decode(r, version)", names[name.as_str()]),
        Type::Array(element) => format!("r.array({flexible}, |r| {})", read_plain(element, flexible, names)),
        plain => format!("r.{}()", method(plain)),
    }
}

/// Writes the field, as a statement.
fn write(field: &Field, versions: Versions) -> String {
    let flexible = flexible_argument(field);
    let name = snake(&field.name);
    if field.name == "ErrorCode" && field.ty == Type::Int16 {
        return format!("w.error_code(self.{name});");
    }
    let both = field.versions.intersection(versions).unwrap_or(versions);
    let Some(nullable) = field.nullable.map(|nullable| condition(nullable, both)) else {
        return match &field.ty {
            Type::String | Type::Bytes | Type::Records | Type::Array(_) => {
                format!("{}?;", write_plain(&field.ty, &format!("&self.{name}"), flexible))
            }
            Type::Struct(_) => format!("{}?;", write_plain(&field.ty, &format!("self.{name}"), flexible)),
            _ => format!("{};", write_plain(&field.ty, &format!("self.{name}"), flexible)),
        };
    };
    match &field.ty {
        Type::String if name == "error_message" => {
            format!("w.opt_message(self.{name}.as_deref(), {flexible}, {nullable})?;")
        }
        Type::String => format!("w.opt_string(self.{name}.as_deref(), {flexible}, {nullable})?;"),
        Type::Bytes | Type::Records => format!("w.opt_bytes(self.{name}.as_deref(), {flexible}, {nullable})?;"),
        Type::Array(element) => {
            let element = write_element(element, flexible);
            format!("w.opt_array(self.{name}.as_deref(), {flexible}, {nullable}, |w, x| {element})?;")
        }
        Type::Struct(_) => {
            let presence = if field.tag.is_some() { "varint" } else { "byte" };
            format!("w.opt_struct_by_{presence}(self.{name}.as_ref(), {nullable}, |w, x| x.encode(w, version))?;")
        }
        other => panic!("{other:?} cannot be null on the wire"),
    }
}

fn write_plain(ty: &Type, place: &str, flexible: &str) -> String {
    match ty {
        Type::String => format!("w.string({place}, {flexible})"),
        Type::Bytes | Type::Records => format!("w.bytes({place}, {flexible})"),
        Type::Struct(_) => format!("{place}.encode(w, version)"),
        Type::Array(element) => {
            format!("w.array({place}, {flexible}, |w, x| {})", write_element(element, flexible))
        }
        plain => format!("w.{}({place})", method(plain)),
    }
}

/// Writes `x`, an element of an array, as an expression that is a `Result`.
fn write_element(ty: &Type, flexible: &str) -> String {
    match ty {
        Type::String | Type::Bytes | Type::Records | Type::Struct(_) | Type::Array(_) => write_plain(ty, "x", flexible),
        plain => format!("{{ w.{}(*x); Ok(()) }}", method(plain)),
    }
}

/// The method of `Reader` and `Writer` for a value of fixed size.
fn method(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::Int8 => "i8",
        Type::Int16 => "i16",
        Type::Uint16 => "u16",
        Type::Int32 => "i32",
        Type::Uint32 => "u32",
        Type::Int64 => "i64",
        Type::Float64 => "f64",
        Type::Uuid => "uuid",
        other => panic!("{other:?} has no fixed size"),
    }
}

/// `TopicId` to `topic_id`, `KRaftVersion` to `kraft_version`; a word of Rust's own gets an underscore behind it.
pub(crate) fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = !letter.is_ascii_uppercase();
        snake.push(letter.to_ascii_lowercase());
    }
    if snake == "match" { snake + "_" } else { snake }
}
