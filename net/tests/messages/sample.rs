//! Messages made from the notation alone, by an encoder of its own: bytes, and what `Debug` should print of them.

use std::fmt::Write as _;

use crate::notation::{DefaultValue, Field, Message, Struct, Type};
use crate::schema::structure;

/// Chooses what stands in the fields. `place` tells apart the elements of arrays.
pub(crate) trait Values {
    fn number(&mut self, field: &Field, place: usize) -> i64;
    fn text(&mut self, field: &Field, place: usize) -> String;
    /// The number of elements of an array.
    fn elements(&mut self) -> usize;
    /// Whether a field that may be null is null.
    fn null(&mut self) -> bool;
}

pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// As `Debug` prints it, without the names of structures.
    pub(crate) text: String,
}

/// A message of a version.
pub(crate) fn sample(message: &Message, version: i16, values: &mut dyn Values) -> Sample {
    let flexible = message.flexible.is_some_and(|flexible| flexible.min <= version);
    Sampler { message, version, flexible, values }.structure(message.body(), 0)
}

/// What `Debug` prints, without the names of structures: `Name { .. }` becomes `{ .. }`.
pub(crate) fn without_names(debug: &str) -> String {
    let mut text = String::new();
    for word in debug.split_inclusive(' ') {
        if word == "{ " || word == "{" {
            let name = text.trim_end().trim_end_matches(|c: char| c.is_ascii_alphanumeric()).len();
            text.truncate(name);
        }
        text += word;
    }
    text
}

struct Sampler<'a> {
    message: &'a Message,
    version: i16,
    flexible: bool,
    values: &'a mut dyn Values,
}

impl Sampler<'_> {
    fn structure(&mut self, structure: &Struct, place: usize) -> Sample {
        let mut bytes = Vec::new();
        let mut tagged = Vec::new();
        let mut text = "{ ".to_owned();
        let message = self.message;
        for field in structure.fields.iter().filter(|field| is_known(field, message)) {
            let mut shown = self.default_text(field);
            if (field.versions.min..=field.versions.max).contains(&self.version) {
                let value = self.field(field, place);
                match field.tag {
                    None => bytes.extend(value.bytes),
                    Some(tag) if value.text != shown => tagged.push((tag, value.bytes)),
                    Some(_) => {}
                }
                shown = value.text;
            }
            _ = write!(text, "{}: {shown}, ", snake(&field.name));
        }
        if self.flexible {
            tagged.sort();
            bytes.extend(varint(tagged.len()));
            for (tag, value) in tagged {
                bytes.extend(varint(usize::try_from(tag).expect("tags are small")));
                bytes.extend(varint(value.len()));
                bytes.extend(value);
            }
        }
        // A structure without fields is nothing but its name.
        let text = text.strip_suffix(", ").map_or_else(|| structure.name.clone(), |text| format!("{text} }}"));
        Sample { bytes, text }
    }

    fn field(&mut self, field: &Field, place: usize) -> Sample {
        let flexible = self.flexible && !field.inflexible;
        let nullable = field.nullable.is_some_and(|versions| (versions.min..=versions.max).contains(&self.version));
        if nullable && self.values.null() {
            let bytes = match &field.ty {
                Type::Struct(_) => vec![0xff],
                _ if flexible => vec![0],
                Type::String => vec![0xff; 2],
                _ => vec![0xff; 4],
            };
            return Sample { bytes, text: "None".to_owned() };
        }
        let mut value = self.value(field, &field.ty, flexible, place);
        if field.nullable.is_some() {
            if nullable && matches!(field.ty, Type::Struct(_)) {
                value.bytes.insert(0, 1);
            }
            value.text = format!("Some({})", value.text);
        }
        value
    }

    fn value(&mut self, field: &Field, ty: &Type, flexible: bool, place: usize) -> Sample {
        match ty {
            Type::Array(element) => {
                let count = self.values.elements();
                let elements: Vec<_> = (0..count).map(|i| self.value(field, element, flexible, place + i)).collect();
                let texts: Vec<_> = elements.iter().map(|element| element.text.as_str()).collect();
                let text = format!("[{}]", texts.join(", "));
                let mut bytes = length(count, flexible, 4);
                bytes.extend(elements.into_iter().flat_map(|element| element.bytes));
                Sample { bytes, text }
            }
            Type::Struct(name) => self.structure(structure(self.message, name), place),
            Type::String | Type::Bytes | Type::Records => {
                let content = self.values.text(field, place);
                let text =
                    if *ty == Type::String { format!("{content:?}") } else { format!("{:?}", content.as_bytes()) };
                let mut bytes = length(content.len(), flexible, if *ty == Type::String { 2 } else { 4 });
                bytes.extend(content.as_bytes());
                Sample { bytes, text }
            }
            plain => number(plain, self.values.number(field, place)),
        }
    }

    fn default_text(&self, field: &Field) -> String {
        match (&field.default, &field.ty) {
            (DefaultValue::Null, _) => "None".to_owned(),
            (DefaultValue::Zero, Type::Records) if field.nullable.is_some() => "None".to_owned(),
            (DefaultValue::True, _) => "true".to_owned(),
            (DefaultValue::Integer(number), _) => number.to_string(),
            (DefaultValue::Zero, ty) if field.nullable.is_some() => format!("Some({})", self.zero_text(ty)),
            (DefaultValue::Zero, ty) => self.zero_text(ty),
        }
    }

    fn zero_text(&self, ty: &Type) -> String {
        match ty {
            Type::Array(_) | Type::Bytes | Type::Records => "[]".to_owned(),
            Type::String => "\"\"".to_owned(),
            Type::Float64 => "0.0".to_owned(),
            Type::Struct(name) => {
                let fields = structure(self.message, name).fields.iter().filter(|field| is_known(field, self.message));
                let fields = fields.map(|field| format!("{}: {}", snake(&field.name), self.default_text(field)));
                format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
            }
            plain => number(plain, 0).text,
        }
    }
}

/// Whether the structures of the build have the field: some are of versions that are gone.
fn is_known(field: &Field, message: &Message) -> bool {
    field.versions.intersection(message.valid).is_some()
}

/// A value of fixed size: as much of `value` as fits.
fn number(ty: &Type, value: i64) -> Sample {
    let be = value.to_be_bytes();
    let signed = |count: usize| {
        let shift = 64 - 8 * u32::try_from(count).expect("at most 8");
        Sample { bytes: be[8 - count..].to_vec(), text: ((value << shift) >> shift).to_string() }
    };
    match ty {
        Type::Bool => {
            let is_true = value != 0;
            Sample { bytes: vec![u8::from(is_true)], text: is_true.to_string() }
        }
        Type::Int8 => signed(1),
        Type::Int16 => signed(2),
        Type::Int32 => signed(4),
        Type::Int64 => signed(8),
        Type::Uint16 => Sample { bytes: be[6..].to_vec(), text: (value & 0xffff).to_string() },
        Type::Uint32 => Sample { bytes: be[4..].to_vec(), text: (value & 0xffff_ffff).to_string() },
        Type::Float64 => {
            let value = f64::from(i16::from_be_bytes([be[6], be[7]])) + 0.5;
            Sample { bytes: value.to_be_bytes().to_vec(), text: format!("{value:?}") }
        }
        Type::Uuid => {
            let bytes = [be, be].concat();
            Sample { text: format!("Uuid({bytes:?})"), bytes }
        }
        other => panic!("{other:?} has no fixed size"),
    }
}

/// A length, in `bytes` bytes where versions are not flexible.
fn length(length: usize, flexible: bool, bytes: usize) -> Vec<u8> {
    if flexible { varint(length + 1) } else { length.to_be_bytes()[8 - bytes..].to_vec() }
}

fn varint(value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = value;
    while rest > 0x7f {
        bytes.push(rest.to_le_bytes()[0] | 0x80);
        rest >>= 7;
    }
    bytes.push(rest.to_le_bytes()[0]);
    bytes
}

/// `TopicId` to `topic_id`.
fn snake(name: &str) -> String {
    let mut snake = String::new();
    let mut after_small = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && after_small {
            snake.push('_');
        }
        after_small = !letter.is_ascii_uppercase();
        snake.push(letter.to_ascii_lowercase());
    }
    if snake == "match" { "match_".to_owned() } else { snake }
}

/// Values from a seed: all that a field can hold, arrays short.
#[derive(Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    /// The generator splitmix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let bits = usize::try_from(self.next() >> 32).expect("32 bits");
        bits % end
    }
}

impl Values for Random {
    fn number(&mut self, _: &Field, _: usize) -> i64 {
        // Zero is what a tagged field is not written for; it has to occur.
        if self.below(4) == 0 { 0 } else { self.next().cast_signed() }
    }

    fn text(&mut self, _: &Field, _: usize) -> String {
        let length = [0, 1, 5, 200][self.below(4)];
        (0..length).map(|_| char::from(b'a' + u8::try_from(self.below(26)).expect("below 26"))).collect()
    }

    fn elements(&mut self) -> usize {
        self.below(4)
    }

    fn null(&mut self) -> bool {
        self.below(3) == 0
    }
}
