//! Parsed configuration values, and how they are written as text again.

use std::fmt;

/// A value that its key has accepted.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// Of a boolean key.
    Boolean(bool),
    /// Of a short, int or long key, or a number of bytes.
    Integer(i64),
    /// Of a double key.
    Double(f64),
    /// Of a string, password or class key.
    Text(String),
    /// Of a list key.
    List(Vec<String>),
}

/// Writes the value as Kafka's `DescribeConfigs` does.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Double(value) => write_double(*value, f),
            Self::Text(value) => f.write_str(value),
            Self::List(items) => f.write_str(&items.join(",")),
        }
    }
}

/// Kafka's tools compare the text that Java makes of a double: a decimal point always, an exponent outside 1e-3 to 1e7.
fn write_double(value: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e7).contains(&size) {
        return write!(f, "{value:?}");
    }
    let text = format!("{value:E}");
    match text.split_once('E') {
        Some((digits, exponent)) if !digits.contains('.') => write!(f, "{digits}.0E{exponent}"),
        _ => f.write_str(&text),
    }
}

/// Reads a number of bytes, bare or with one of the suffixes `k`, `KiB`, `KB` and so on up to `T`; all are powers of
/// 1024. `None` if it is none, is negative, or does not fit.
pub(super) fn parse_byte_size(text: &str) -> Option<i64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, suffix) = text.split_at(digits);
    let shift = match suffix.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_look_as_java_writes_them() {
        for (value, text) in [
            (0.5, "0.5"),
            (1.0, "1.0"),
            (0.0, "0.0"),
            (f64::MAX, "1.7976931348623157E308"),
            (1e7, "1.0E7"),
            (9_999_999.0, "9999999.0"),
            (0.0001, "1.0E-4"),
        ] {
            assert_eq!(Value::Double(value).to_string(), text);
        }
    }

    #[test]
    fn byte_sizes() {
        for (text, bytes) in [
            ("0", Some(0)),
            ("4096", Some(4096)),
            ("4k", Some(4096)),
            ("256MiB", Some(256 << 20)),
            ("1 GB", Some(1 << 30)),
            ("2t", Some(2 << 40)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("1x", None),
            ("9223372036854775807k", None),
        ] {
            assert_eq!(parse_byte_size(text), bytes, "{text:?}");
        }
    }
}
