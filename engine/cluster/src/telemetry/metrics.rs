//! Reads the metrics that clients push: `MetricsData` of OpenTelemetry's protocol, as far as numbers go.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// The most measurements of one push that are read; a client of Kafka has some hundred.
pub const MEASUREMENTS_MAX: usize = 2000;
/// Of a longer text the end is left out.
const TEXT_BYTES_MAX: usize = 1024;

/// One number that a client has measured.
#[derive(Clone, PartialEq, Debug)]
pub struct Measurement {
    /// The metric's name.
    pub name: Arc<str>,
    /// What it is of, such as a topic.
    pub attributes: Vec<(String, String)>,
    /// The number.
    pub value: Number,
}

/// A number as the client writes it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Number {
    /// A decimal number.
    Double(f64),
    /// A whole number.
    Integer(i64),
}

/// Writes `name{attribute=value,...} number`.
impl fmt::Display for Measurement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.attributes.is_empty() {
            let attributes = self.attributes.iter().map(|(key, value)| format!("{key}={value}"));
            write!(f, "{{{}}}", attributes.collect::<Vec<_>>().join(","))?;
        }
        match self.value {
            Number::Double(value) => write!(f, " {value}"),
            Number::Integer(value) => write!(f, " {value}"),
        }
    }
}

/// Why metrics cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MetricsError {
    /// Not what the protocol writes.
    #[error("the metrics are malformed")]
    Malformed,
    /// More than [`MEASUREMENTS_MAX`].
    #[error("there are more than {MEASUREMENTS_MAX} measurements")]
    TooMany,
}

/// Numbers of the fields that lead to a measurement, from the outermost message inwards.
mod field {
    pub(super) const RESOURCE_METRICS: u64 = 1;
    pub(super) const SCOPE_METRICS: u64 = 2;
    pub(super) const METRICS: u64 = 2;
    pub(super) const METRIC_NAME: u64 = 1;
    pub(super) const METRIC_GAUGE: u64 = 5;
    pub(super) const METRIC_SUM: u64 = 7;
    pub(super) const DATA_POINTS: u64 = 1;
    pub(super) const POINT_DOUBLE: u64 = 4;
    pub(super) const POINT_INTEGER: u64 = 6;
    pub(super) const POINT_ATTRIBUTES: u64 = 7;
    pub(super) const ATTRIBUTE_KEY: u64 = 1;
    pub(super) const ATTRIBUTE_VALUE: u64 = 2;
    pub(super) const VALUE_STRING: u64 = 1;
}

/// The value of a field.
#[derive(Clone, Copy)]
enum Value<'a> {
    /// A number of either length.
    Fixed(u64),
    /// A message, or a text.
    Bytes(&'a [u8]),
    /// Of no interest here.
    Other,
}

/// The fields of one message of protobuf.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<(u64, Value<'a>)>, MetricsError> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let key = self.varint()?;
        let value = match key & 7 {
            0 => {
                self.varint()?;
                Value::Other
            }
            1 => Value::Fixed(u64::from_le_bytes(self.take(8)?.try_into().expect("as many as were taken"))),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| MetricsError::Malformed)?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                self.take(4)?;
                Value::Other
            }
            _ => return Err(MetricsError::Malformed),
        };
        Ok(Some((key >> 3, value)))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], MetricsError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(MetricsError::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, MetricsError> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(MetricsError::Malformed)
    }

    /// The messages of one field.
    fn messages(self, number: u64) -> Result<Vec<&'a [u8]>, MetricsError> {
        let mut fields = self;
        let mut found = Vec::new();
        while let Some((field, value)) = fields.next()? {
            match value {
                Value::Bytes(message) if field == number => found.push(message),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Every number in the metrics.
pub fn read_metrics(bytes: &[u8]) -> Result<Vec<Measurement>, MetricsError> {
    let mut measurements = Vec::new();
    for resource in Fields(bytes).messages(field::RESOURCE_METRICS)? {
        for scope in Fields(resource).messages(field::SCOPE_METRICS)? {
            for metric in Fields(scope).messages(field::METRICS)? {
                read_metric(metric, &mut measurements)?;
            }
        }
    }
    Ok(measurements)
}

fn read_metric(metric: &[u8], measurements: &mut Vec<Measurement>) -> Result<(), MetricsError> {
    let name = Fields(metric).messages(field::METRIC_NAME)?.last().map(|name| text(name)).unwrap_or_default().into();
    for number in [field::METRIC_GAUGE, field::METRIC_SUM] {
        for data in Fields(metric).messages(number)? {
            for point in Fields(data).messages(field::DATA_POINTS)? {
                if measurements.len() >= MEASUREMENTS_MAX {
                    return Err(MetricsError::TooMany);
                }
                measurements.extend(read_point(&name, point)?);
            }
        }
    }
    Ok(())
}

/// A point without a value is no measurement.
fn read_point(name: &Arc<str>, point: &[u8]) -> Result<Option<Measurement>, MetricsError> {
    let (mut fields, mut value, mut attributes) = (Fields(point), None, Vec::new());
    while let Some((number, found)) = fields.next()? {
        match (number, found) {
            (field::POINT_DOUBLE, Value::Fixed(bits)) => value = Some(Number::Double(f64::from_bits(bits))),
            (field::POINT_INTEGER, Value::Fixed(bits)) => value = Some(Number::Integer(bits.cast_signed())),
            (field::POINT_ATTRIBUTES, Value::Bytes(attribute)) => attributes.push(read_attribute(attribute)?),
            _ => {}
        }
    }
    Ok(value.map(|value| Measurement { name: Arc::clone(name), attributes, value }))
}

fn read_attribute(attribute: &[u8]) -> Result<(String, String), MetricsError> {
    let key = Fields(attribute).messages(field::ATTRIBUTE_KEY)?.last().map(|key| text(key)).unwrap_or_default();
    let value = match Fields(attribute).messages(field::ATTRIBUTE_VALUE)?.last() {
        Some(value) => Fields(value).messages(field::VALUE_STRING)?.last().map(|value| text(value)),
        None => None,
    };
    Ok((key, value.unwrap_or_default()))
}

/// A text of a client, fit for one line.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_BYTES_MAX)])
        .chars()
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
            value >>= 7;
        }
        bytes.push(u8::try_from(value).expect("seven bits"));
        bytes
    }

    /// A field that is a message or a text.
    fn part(number: u8, content: &[u8]) -> Vec<u8> {
        [&[number << 3 | 2], &*varint(content.len()), content].concat()
    }

    fn fixed(number: u8, bits: u64) -> Vec<u8> {
        [&[number << 3 | 1], &bits.to_le_bytes()[..]].concat()
    }

    fn metrics(metric: &[u8]) -> Vec<u8> {
        // Around it: a resource with something of no interest, and a scope.
        let scope = part(2, &part(2, metric));
        part(1, &[part(1, b"resource"), scope].concat())
    }

    #[test]
    fn gauges_and_sums_are_read() {
        let attribute = part(7, &[part(1, b"topic"), part(2, &part(1, b"a\nb"))].concat());
        let point = part(1, &[fixed(2, 5), attribute, fixed(4, 1.5_f64.to_bits())].concat());
        let gauge = metrics(&[part(1, b"rate"), part(5, &point)].concat());
        let sum = metrics(&[part(1, b"count"), part(7, &part(1, &fixed(6, (-7_i64).cast_unsigned())))].concat());
        let read = read_metrics(&[gauge, sum].concat()).expect("they are metrics");
        let told: Vec<_> = read.iter().map(ToString::to_string).collect();
        assert_eq!(told, ["rate{topic=a\u{fffd}b} 1.5", "count -7"]);
    }

    #[test]
    fn what_is_cut_or_too_much_is_refused() {
        let whole = metrics(&[part(1, b"rate"), part(5, &part(1, &fixed(6, 1)))].concat());
        for end in 1..whole.len() {
            assert_eq!(read_metrics(&whole[..end]), Err(MetricsError::Malformed), "{end}");
        }
        for bytes in [&[0x0b][..], &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], &[0xff; 12]] {
            assert_eq!(read_metrics(bytes), Err(MetricsError::Malformed), "{bytes:?}");
        }
        let points = part(1, &fixed(6, 1)).repeat(MEASUREMENTS_MAX);
        let most = |points: &[u8]| read_metrics(&metrics(&part(5, points))).map(|read| read.len());
        assert_eq!(most(&points), Ok(MEASUREMENTS_MAX));
        assert_eq!(most(&[points, part(1, &fixed(6, 1))].concat()), Err(MetricsError::TooMany));
        assert_eq!(read_metrics(&[]), Ok(Vec::new()));
        let named = [part(1, &[b'n'; 5000]), part(5, &part(1, &fixed(6, 1)))].concat();
        let read = read_metrics(&metrics(&named)).expect("they are metrics");
        assert_eq!(read[0].name.len(), TEXT_BYTES_MAX);
    }
}
