//! What one configuration key is: its type, its default, its valid values, who may change it, and what it does here.

use std::fmt;

use super::client_metrics::{ClientField, ClientSelector};
use super::listener::Endpoint;
use super::value::{Value, parse_byte_size};
use crate::connections::parse_overrides;

/// One row of the table of configuration keys.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct ConfigKey {
    /// The key as it is written in `server.properties`.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Value when nobody gives one, as text; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Which values of its kind are accepted.
    pub valid: Valid,
    /// Where it can be set.
    pub scope: Scope,
    /// What setting it does.
    pub effect: Effect,
    /// Kept out of `DescribeConfigs` responses, as Kafka keeps its internal keys out.
    pub internal: bool,
    /// One line for people, with the leading space of a doc comment; see [`ConfigKey::documentation`].
    pub(super) doc: &'static str,
}

/// The type of a key's values.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 64 bits.
    Long,
    /// A decimal number.
    Double,
    /// Text.
    String,
    /// Texts, separated by commas.
    List,
    /// Text that is never shown.
    Password,
    /// The name of a Java class.
    Class,
    /// A number of bytes, or of `KiB`, `MiB`, `GiB`, `TiB`; described to Kafka's clients as text.
    Bytes,
}

impl Kind {
    /// The type's number in `DescribeConfigsResponse` (v3).
    pub fn wire_code(self) -> i8 {
        match self {
            Self::Boolean => 1,
            Self::String | Self::Bytes => 2,
            Self::Int => 3,
            Self::Short => 4,
            Self::Long => 5,
            Self::Double => 6,
            Self::List => 7,
            Self::Class => 8,
            Self::Password => 9,
        }
    }
}

/// Which values of a key's kind are accepted.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Valid {
    /// All of them.
    Any,
    /// Numbers from here on.
    AtLeast(i64),
    /// Numbers from the first to the second.
    Between(i64, i64),
    /// Numbers from the first to the second, and the third.
    BetweenOr(i64, i64, i64),
    /// Decimal numbers from the first to the second.
    Ratio(f64, f64),
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// One of these texts, in whatever case.
    OneOfIgnoringCase(&'static [&'static str]),
    /// A list of these texts.
    EachOf(&'static [&'static str]),
    /// A list without blank items.
    NotBlank,
    /// A list without blank items that names nothing twice.
    Distinct,
    /// Where share groups begin to read: `latest`, `earliest`, or `by_duration:` and a duration of ISO 8601.
    OffsetReset,
    /// Selectors of clients, `name=expression` each.
    ClientMatch,
    /// A list of `partition:broker` pairs, or `*`.
    ThrottledReplicas,
    /// A list of `address:count` pairs, with addresses of IP.
    AddressCounts,
    /// `all`, a count, or a list of core numbers and ranges of them.
    Cores,
    /// `auto`, or a number of bytes from here on.
    AutoOrBytes(i64),
    /// A host and a port, or nothing.
    HostPort,
}

/// Where a key can be set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Only at the start of a broker.
    ReadOnly,
    /// Also while it runs, for one broker.
    PerBroker,
    /// Also while it runs, for one broker or for all.
    ClusterWide,
    /// For a topic; broker keys that it falls back to, the strongest first.
    Topic(&'static [Synonym]),
    /// For a group; broker keys that it falls back to, the strongest first.
    Group(&'static [Synonym]),
    /// For a subscription to metrics of clients (KIP-714).
    ClientMetrics,
}

/// A broker key that a topic's or a group's key falls back to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Synonym {
    /// The broker key.
    pub name: &'static str,
    /// The unit of its value, where the key that falls back to it is in milliseconds.
    pub unit: Unit,
}

/// How a broker key's value becomes the value of a key that falls back to it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// As it is.
    Same,
    /// Milliseconds, of which negative ones mean "without end".
    Millis,
    /// Minutes to milliseconds.
    Minutes,
    /// Hours to milliseconds.
    Hours,
    /// The first item of a list.
    First,
}

impl Unit {
    /// The value in the unit of the key that falls back to it. Negative times mean "without end" in every unit.
    pub fn convert(self, value: Value) -> Value {
        let factor = match self {
            Self::Same => return value,
            Self::First => {
                return match value {
                    Value::List(items) => Value::Text(items.into_iter().next().unwrap_or_default()),
                    other => other,
                };
            }
            Self::Millis => 1,
            Self::Minutes => 60_000,
            Self::Hours => 3_600_000,
        };
        match value {
            Value::Integer(number) if number < 0 => Value::Integer(-1),
            Value::Integer(number) => Value::Integer(number.saturating_mul(factor)),
            other => other,
        }
    }
}

/// What setting a key does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// What Kafka's documentation says.
    Acts,
    /// Nothing; the text, which follows "has no effect: ", says why.
    Accepted(&'static str),
    /// Anything but the default is refused, because to run without it would be another program than the one that was
    /// asked for; the text says why.
    Refused(&'static str),
}

impl ConfigKey {
    /// One line for people.
    pub fn documentation(&self) -> &'static str {
        self.doc.trim_ascii()
    }

    /// Whether its values are kept out of logs and responses.
    pub fn is_sensitive(&self) -> bool {
        self.kind == Kind::Password
    }

    /// Whether it can be changed while the broker runs.
    pub fn is_dynamic(&self) -> bool {
        self.scope != Scope::ReadOnly
    }

    /// The parsed default, `None` if that is null.
    pub fn default_value(&self) -> Option<Value> {
        self.default.map(|text| self.parse(text).expect("a unit test parses the default of every row"))
    }

    /// Parses a value given for this key. The error tells what would have been accepted.
    pub fn parse(&self, text: &str) -> Result<Value, Expected> {
        let text = text.trim();
        let value = match self.kind {
            Kind::Boolean => match text.to_ascii_lowercase().as_str() {
                "true" => Some(Value::Boolean(true)),
                "false" => Some(Value::Boolean(false)),
                _ => None,
            },
            Kind::Short => text.parse::<i16>().ok().map(|number| Value::Integer(number.into())),
            Kind::Int => text.parse::<i32>().ok().map(|number| Value::Integer(number.into())),
            Kind::Long => text.parse().ok().map(Value::Integer),
            Kind::Double => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Double),
            Kind::String | Kind::Password | Kind::Class => Some(Value::Text(text.to_owned())),
            Kind::List if !self.accepts_items(text) => None,
            Kind::List => Some(Value::List(split_list(text))),
            Kind::Bytes if text == "auto" => Some(Value::Text(text.to_owned())),
            Kind::Bytes => parse_byte_size(text).map(Value::Integer),
        };
        value.filter(|value| self.accepts(value)).ok_or_else(|| Expected(self.expected()))
    }

    /// Whether the items of a list may stand as they do, before blanks and repetitions are taken out of it.
    fn accepts_items(&self, text: &str) -> bool {
        let items = || text.split(',').map(str::trim);
        let is_whole = text.is_empty() || items().all(|item| !item.is_empty());
        match self.valid {
            Valid::NotBlank | Valid::ClientMatch => is_whole,
            Valid::Distinct => text.is_empty() || is_whole && items().count() == split_list(text).len(),
            _ => true,
        }
    }

    fn accepts(&self, value: &Value) -> bool {
        match (self.valid, value) {
            (Valid::Any, Value::Text(text)) => self.kind != Kind::Bytes || text != "auto",
            (Valid::Any, _) | (Valid::NotBlank | Valid::Distinct, Value::List(_)) => true,
            (Valid::AtLeast(least) | Valid::AutoOrBytes(least), Value::Integer(number)) => *number >= least,
            (Valid::AutoOrBytes(_), Value::Text(text)) => text == "auto",
            (Valid::Between(least, most), Value::Integer(number)) => (least..=most).contains(number),
            (Valid::BetweenOr(least, most, other), Value::Integer(number)) => {
                (least..=most).contains(number) || *number == other
            }
            (Valid::Ratio(least, most), Value::Double(number)) => (least..=most).contains(number),
            (Valid::OneOf(names), Value::Text(text)) => names.contains(&text.as_str()),
            (Valid::OneOfIgnoringCase(names), Value::Text(text)) => {
                names.iter().any(|name| name.eq_ignore_ascii_case(text))
            }
            (Valid::EachOf(names), Value::List(items)) => items.iter().all(|item| names.contains(&item.as_str())),
            (Valid::OffsetReset, Value::Text(text)) => is_offset_reset(text),
            (Valid::ClientMatch, Value::List(items)) => items.iter().all(|item| ClientSelector::parse(item).is_some()),
            (Valid::ThrottledReplicas, Value::List(items)) => are_throttled_replicas(items),
            (Valid::AddressCounts, Value::Text(text)) => parse_overrides(text).is_some(),
            (Valid::Cores, Value::Text(text)) => Cores::parse(text).is_some(),
            (Valid::HostPort, Value::Text(text)) => text.is_empty() || Endpoint::parse(text).is_some(),
            _ => false,
        }
    }

    /// What a value has to look like, to follow "expected ".
    fn expected(&self) -> String {
        let number = match self.kind {
            Kind::Double => "a decimal number",
            Kind::Bytes => "a number of bytes (such as 268435456 or 256MiB)",
            _ => "a whole number",
        };
        let bits = match self.kind {
            Kind::Short => i64::from(i16::MAX),
            Kind::Int => i64::from(i32::MAX),
            _ => i64::MAX,
        };
        match self.valid {
            Valid::Any => match self.kind {
                Kind::Boolean => "true or false".to_owned(),
                Kind::Short => "a whole number of 16 bits".to_owned(),
                Kind::Int => "a whole number of 32 bits".to_owned(),
                Kind::Long => "a whole number of 64 bits".to_owned(),
                Kind::Double | Kind::Bytes => number.to_owned(),
                Kind::String | Kind::List | Kind::Password | Kind::Class => "text".to_owned(),
            },
            Valid::AtLeast(least) => format!("{number} from {least} to {bits}"),
            Valid::Between(least, most) => format!("{number} from {least} to {most}"),
            Valid::BetweenOr(least, most, other) => format!("{number} from {least} to {most}, or {other}"),
            Valid::Ratio(least, most) => format!("{number} from {least} to {most}"),
            Valid::OneOf(names) => format!("one of {}", names.join(", ")),
            Valid::OneOfIgnoringCase(names) => format!("one of {} (in any case)", names.join(", ")),
            Valid::EachOf(names) => format!("a comma-separated list of {}", names.join(", ")),
            Valid::NotBlank => "a comma-separated list without blank items".to_owned(),
            Valid::Distinct => "a comma-separated list that names nothing twice".to_owned(),
            Valid::OffsetReset => "latest, earliest, or by_duration: and a duration such as P1DT2H".to_owned(),
            Valid::ClientMatch => format!("a comma-separated list of name=expression, of {}", ClientField::names()),
            Valid::ThrottledReplicas => "partition:broker pairs separated by commas, or *".to_owned(),
            Valid::AddressCounts => {
                "address:count pairs separated by commas, of IP addresses and not of names".to_owned()
            }
            Valid::HostPort => "host:port, or nothing".to_owned(),
            Valid::Cores => "all, a number of cores, or core numbers such as 0-3,6".to_owned(),
            Valid::AutoOrBytes(least) => format!("auto, or {number} from {least} on"),
        }
    }
}

/// What would have been accepted in place of a refused value; follows "expected ".
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Expected(pub String);

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {}", self.0)
    }
}

/// The items of a comma-separated list, without blanks around them and without repetitions.
pub(super) fn split_list(text: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for item in text.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if !items.iter().any(|known| known == item) {
            items.push(item.to_owned());
        }
    }
    items
}

fn is_offset_reset(text: &str) -> bool {
    matches!(text, "latest" | "earliest") || text.strip_prefix("by_duration:").is_some_and(is_duration)
}

/// Whether a text is a duration of ISO 8601 in days, hours, minutes and seconds, at least one of them, none negative.
fn is_duration(text: &str) -> bool {
    let text = text.to_ascii_uppercase();
    let text = text.strip_prefix('+').unwrap_or(&text);
    let Some(rest) = text.strip_prefix('P') else { return false };
    let (days, times) = rest.split_once('T').map_or((rest, None), |(days, times)| (days, Some(times)));
    let is_in_order = |mut rest: &str, units: &str| {
        let mut units = units.chars();
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let Ok(_) = rest[..digits].parse::<u32>() else { return false };
            rest = &rest[digits..];
            let fraction =
                rest.strip_prefix(['.', ',']).map(|rest| rest.trim_start_matches(|c: char| c.is_ascii_digit()));
            let has_fraction = fraction.is_some();
            rest = fraction.unwrap_or(rest);
            let Some(unit) = rest.chars().next().filter(|unit| units.any(|known| known == *unit)) else { return false };
            if has_fraction && unit != 'S' {
                return false;
            }
            rest = &rest[unit.len_utf8()..];
        }
        true
    };
    let is_given = !days.is_empty() || times.is_some();
    is_given && is_in_order(days, "D") && times.is_none_or(|times| !times.is_empty() && is_in_order(times, "HMS"))
}

fn are_throttled_replicas(items: &[String]) -> bool {
    let is_pair = |item: &String| {
        item.split_once(':').is_some_and(|(partition, broker)| {
            partition.parse::<i32>().is_ok_and(|id| id >= 0) && broker.parse::<i32>().is_ok_and(|id| id >= 0)
        })
    };
    matches!(items, [item] if item == "*") || items.iter().all(is_pair)
}

/// Which cores the shards run on: `ringlog.cores`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cores {
    /// Every core the process may use.
    All,
    /// This many of them.
    Count(usize),
    /// Exactly these, by number, ascending.
    These(Vec<usize>),
}

/// The largest core number that can be named.
pub(super) const CORE_NUMBER_MAX: usize = 4095;

impl Cores {
    /// Reads `all`, `4`, or a list such as `0-3,6`. A single number is a count; `4-4` names core 4 alone.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "all" {
            return Some(Self::All);
        }
        if let Ok(count) = text.parse::<usize>() {
            return (1..=CORE_NUMBER_MAX).contains(&count).then_some(Self::Count(count));
        }
        let mut cores = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            let (first, last) = (first.trim().parse::<usize>().ok()?, last.trim().parse::<usize>().ok()?);
            if first > last || last > CORE_NUMBER_MAX {
                return None;
            }
            cores.extend(first..=last);
        }
        cores.sort_unstable();
        cores.dedup();
        Some(Self::These(cores))
    }
}

#[cfg(test)]
mod tests;
