//! Reads the notation of `net/schema`: one file per API key, one line per field.
//!
//! ```text
//! api 1 Fetch on broker controller          # code, name, listeners that serve it
//!
//! request 4-18 flexible 12+ {               # valid versions, versions with compact lengths and tagged fields
//!     ClusterId: string? 12+ tag 0 ignorable = null
//!     Topics: []FetchTopic {                # a structure is defined where it is used first
//!         Topic: string 0-12 ignorable
//!     }
//! }
//! ```
//!
//! A field is `Name: type`, then in this order and each only where it applies: its versions (all, unless said), `tag N`,
//! `inflexible` (old lengths even in flexible versions), `ignorable` (may be dropped in versions that do not know it),
//! `= default`. `?` behind a type allows null, `?7+` only in these versions. Other heads of a block: `header NAME`,
//! `metadata KEY NAME`, `key KEY NAME`, `value KEY NAME`, `data NAME`; `struct NAME` inside a block defines what several
//! fields share. `unstable` behind the flexible versions says that the newest version is not for use yet. `#` begins a
//! comment.
//!
//! The build and the tests share this file.

use std::fmt;

/// A range of versions, both ends included; the upper end of `3+` is `i16::MAX`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Versions {
    pub(crate) min: i16,
    pub(crate) max: i16,
}

impl Versions {
    pub(crate) const ALL: Self = Self { min: 0, max: i16::MAX };

    /// Reads `3`, `3+` or `3-7`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| digits.parse::<i16>().ok().filter(|version| *version >= 0);
        if let Some(min) = text.strip_suffix('+') {
            return Some(Self { min: number(min)?, max: i16::MAX });
        }
        let (min, max) = text.split_once('-').unwrap_or((text, text));
        let versions = Self { min: number(min)?, max: number(max)? };
        (versions.min <= versions.max).then_some(versions)
    }

    /// The versions in both ranges.
    pub(crate) fn intersection(self, other: Self) -> Option<Self> {
        let both = Self { min: self.min.max(other.min), max: self.max.min(other.max) };
        (both.min <= both.max).then_some(both)
    }

    /// The smallest range that has all of both.
    pub(crate) fn hull(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    pub(crate) fn covers(self, other: Self) -> bool {
        self.min <= other.min && other.max <= self.max
    }
}

impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { min, max: i16::MAX } => write!(f, "{min}+"),
            Self { min, max } if min == max => write!(f, "{min}"),
            Self { min, max } => write!(f, "{min}-{max}"),
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    Bool,
    Int8,
    Int16,
    Uint16,
    Int32,
    Uint32,
    Int64,
    Float64,
    Uuid,
    String,
    Bytes,
    /// Record batches; on the wire as `Bytes`, but null unless said otherwise.
    Records,
    Struct(String),
    Array(Box<Type>),
}

impl Type {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(element) = text.strip_prefix("[]") {
            return Some(Self::Array(Box::new(Self::parse(element)?)));
        }
        Some(match text {
            "bool" => Self::Bool,
            "int8" => Self::Int8,
            "int16" => Self::Int16,
            "uint16" => Self::Uint16,
            "int32" => Self::Int32,
            "uint32" => Self::Uint32,
            "int64" => Self::Int64,
            "float64" => Self::Float64,
            "uuid" => Self::Uuid,
            "string" => Self::String,
            "bytes" => Self::Bytes,
            "records" => Self::Records,
            name if is_name(name) => Self::Struct(name.to_owned()),
            _ => return None,
        })
    }

    /// The structure that this is, or that this is an array of.
    pub(crate) fn structure(&self) -> Option<&str> {
        match self {
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.structure(),
            _ => None,
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum DefaultValue {
    /// Zero, false, empty, or the structure of defaults.
    Zero,
    Null,
    True,
    Integer(i64),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) ty: Type,
    pub(crate) versions: Versions,
    /// The versions in which null is allowed.
    pub(crate) nullable: Option<Versions>,
    pub(crate) tag: Option<u32>,
    pub(crate) inflexible: bool,
    pub(crate) ignorable: bool,
    pub(crate) default: DefaultValue,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Struct {
    pub(crate) name: String,
    pub(crate) fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Request,
    Response,
    Header,
    /// A record of the metadata log, and its number there.
    Metadata(i16),
    /// The key of a record of the group log, and its number there.
    GroupKey(i16),
    /// The value of the record whose key has the same number.
    GroupValue(i16),
    Data,
}

/// One message. `structs` holds every structure below it; the message itself is the last one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Message {
    pub(crate) kind: Kind,
    pub(crate) valid: Versions,
    pub(crate) flexible: Option<Versions>,
    pub(crate) latest_unstable: bool,
    pub(crate) structs: Vec<Struct>,
}

impl Message {
    /// The message's own fields.
    pub(crate) fn body(&self) -> &Struct {
        self.structs.last().expect("the parser ends the list with the message itself")
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Api {
    pub(crate) code: i16,
    pub(crate) name: String,
    pub(crate) listeners: Vec<String>,
}

/// What one file says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Schema {
    pub(crate) api: Option<Api>,
    pub(crate) messages: Vec<Message>,
}

/// Reads one file. An error names the line.
pub(crate) fn parse(text: &str) -> Result<Schema, String> {
    let mut parser = Parser { lines: text.lines().enumerate(), number: 0 };
    parser.schema().map_err(|what| format!("line {}: {what}", parser.number))
}

struct Parser<'a> {
    lines: std::iter::Enumerate<std::str::Lines<'a>>,
    number: usize,
}

impl<'a> Parser<'a> {
    /// The words of the next line that has any.
    fn line(&mut self) -> Option<Vec<&'a str>> {
        for (index, line) in self.lines.by_ref() {
            self.number = index + 1;
            let words: Vec<_> = line.split('#').next().unwrap_or_default().split_whitespace().collect();
            if !words.is_empty() {
                return Some(words);
            }
        }
        None
    }

    fn schema(&mut self) -> Result<Schema, String> {
        let mut schema = Schema { api: None, messages: Vec::new() };
        while let Some(words) = self.line() {
            match &words[..] {
                ["api", code, name, "on", listeners @ ..] if !listeners.is_empty() => {
                    let code = code.parse().map_err(|_| format!("{code} is no API key"))?;
                    let listeners = listeners.iter().map(|&listener| listener.to_owned()).collect();
                    schema.api = Some(Api { code, name: name_of(name)?, listeners });
                }
                ["request", rest @ ..] => {
                    let name = format!("{}Request", api_name(&schema)?);
                    schema.messages.push(self.message(Kind::Request, &name, rest)?);
                }
                ["response", rest @ ..] => {
                    let name = format!("{}Response", api_name(&schema)?);
                    schema.messages.push(self.message(Kind::Response, &name, rest)?);
                }
                ["header", name, rest @ ..] => schema.messages.push(self.message(Kind::Header, name, rest)?),
                ["data", name, rest @ ..] => schema.messages.push(self.message(Kind::Data, name, rest)?),
                [head @ ("metadata" | "key" | "value"), key, name, rest @ ..] => {
                    let key = key.parse().map_err(|_| format!("{key} is no number of a record"))?;
                    let kind = match *head {
                        "metadata" => Kind::Metadata(key),
                        "key" => Kind::GroupKey(key),
                        _ => Kind::GroupValue(key),
                    };
                    schema.messages.push(self.message(kind, name, rest)?);
                }
                _ => return Err(format!("no head of a block: {}", words.join(" "))),
            }
        }
        Ok(schema)
    }

    fn message(&mut self, kind: Kind, name: &str, head: &[&str]) -> Result<Message, String> {
        let (valid, flexible, latest_unstable) = match head {
            [valid, "flexible", flexible, "{"] => (valid, flexible, false),
            [valid, "flexible", flexible, "unstable", "{"] => (valid, flexible, true),
            _ => return Err("wants `VERSIONS flexible VERSIONS {`".to_owned()),
        };
        let flexible = if *flexible == "none" { None } else { Some(versions_of(flexible)?) };
        let mut structs = Vec::new();
        self.structure(name, &mut structs)?;
        for field in structs.iter().flat_map(|known| &known.fields) {
            if let Some(wanted) = field.ty.structure().filter(|wanted| structs.iter().all(|s| s.name != **wanted)) {
                return Err(format!("{name} has no structure {wanted}"));
            }
        }
        Ok(Message { kind, valid: versions_of(valid)?, flexible, latest_unstable, structs })
    }

    /// Reads fields up to the closing brace, and appends the structures found, the outermost last.
    fn structure(&mut self, name: &str, structs: &mut Vec<Struct>) -> Result<(), String> {
        let mut fields = Vec::new();
        loop {
            let mut words = self.line().ok_or("the file ends inside a block")?;
            match words[..] {
                ["}"] => break,
                ["struct", shared, "{"] => self.structure(&name_of(shared)?, structs)?,
                _ => {
                    let opens = words.pop_if(|last| *last == "{").is_some();
                    let field = field(&words)?;
                    if opens {
                        let inner = field.ty.structure().ok_or("only a structure has fields")?.to_owned();
                        self.structure(&inner, structs)?;
                    }
                    fields.push(field);
                }
            }
        }
        if structs.iter().any(|known| known.name == name) {
            return Err(format!("{name} is defined twice"));
        }
        structs.push(Struct { name: name.to_owned(), fields });
        Ok(())
    }
}

fn field(words: &[&str]) -> Result<Field, String> {
    let [name, ty, rest @ ..] = words else {
        return Err("wants `Name: type`".to_owned());
    };
    let name = name_of(name.strip_suffix(':').ok_or("a field's name ends with a colon")?)?;
    let (ty, null) = ty.split_once('?').map_or((*ty, None), |(ty, null)| (ty, Some(null)));
    let ty = Type::parse(ty).ok_or_else(|| format!("{ty} is no type"))?;
    let mut rest = rest;
    let mut versions = Versions::ALL;
    if let [first, after @ ..] = rest
        && let Some(known) = Versions::parse(first)
    {
        (versions, rest) = (known, after);
    }
    let nullable = match null {
        None => None,
        Some("") => Some(versions),
        Some(null) => Some(versions_of(null)?),
    };
    let mut field = Field {
        name,
        ty,
        versions,
        nullable,
        tag: None,
        inflexible: false,
        ignorable: false,
        default: DefaultValue::Zero,
    };
    if let ["tag", tag, after @ ..] = rest {
        field.tag = Some(tag.parse().map_err(|_| format!("{tag} is no tag"))?);
        rest = after;
    }
    if let ["inflexible", after @ ..] = rest {
        (field.inflexible, rest) = (true, after);
    }
    if let ["ignorable", after @ ..] = rest {
        (field.ignorable, rest) = (true, after);
    }
    if let ["=", value, after @ ..] = rest {
        field.default = default_value(&field, value)?;
        rest = after;
    }
    if rest.is_empty() { Ok(field) } else { Err(format!("what is `{}`?", rest.join(" "))) }
}

fn default_value(field: &Field, text: &str) -> Result<DefaultValue, String> {
    match (text, &field.ty) {
        ("null", _) if field.nullable.is_some() => Ok(DefaultValue::Null),
        ("true", Type::Bool) => Ok(DefaultValue::True),
        (_, Type::Int8 | Type::Int16 | Type::Uint16 | Type::Int32 | Type::Uint32 | Type::Int64) => {
            text.parse().map(DefaultValue::Integer).map_err(|_| format!("{text} is no default"))
        }
        _ => Err(format!("{text} is no default of {}", field.name)),
    }
}

fn api_name(schema: &Schema) -> Result<&str, String> {
    schema.api.as_ref().map(|api| api.name.as_str()).ok_or_else(|| "the `api` line comes first".to_owned())
}

fn versions_of(text: &str) -> Result<Versions, String> {
    Versions::parse(text).ok_or_else(|| format!("{text} is no range of versions"))
}

fn name_of(text: &str) -> Result<String, String> {
    if is_name(text) { Ok(text.to_owned()) } else { Err(format!("{text} is no name")) }
}

fn is_name(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}
