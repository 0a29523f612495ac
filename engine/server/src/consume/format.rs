//! How a consumed record is printed: text with `%` fields, as kcat has them.

use std::io::{self, Write};

use ringlog_net::client::ConsumedRecord;
use ringlog_storage::types::TopicPartition;

/// A format, ready to be used on many records.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Format {
    pieces: Vec<Piece>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Piece {
    Text(Vec<u8>),
    Field(Field),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Field {
    Topic,
    Partition,
    Offset,
    Key,
    KeyLength,
    Value,
    ValueLength,
    Time,
    Headers,
}

/// What a record is printed from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown<'a> {
    pub(super) partition: &'a TopicPartition,
    pub(super) record: &'a ConsumedRecord<'a>,
}

impl Format {
    /// Reads a format.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = Vec::new();
        let mut rest = text.chars();
        while let Some(c) = rest.next() {
            match c {
                '%' => match parse_field(rest.next())? {
                    Some(field) => {
                        if !plain.is_empty() {
                            pieces.push(Piece::Text(std::mem::take(&mut plain)));
                        }
                        pieces.push(Piece::Field(field));
                    }
                    None => plain.push(b'%'),
                },
                '\\' => plain.push(parse_escape(&mut rest)?),
                c => plain.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self { pieces })
    }

    /// Prints one record. Nulls are printed as nothing.
    pub(super) fn write(&self, out: &mut impl Write, shown: &Shown<'_>) -> io::Result<()> {
        let Shown { partition, record } = shown;
        let length = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX));
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => out.write_all(text)?,
                Piece::Field(Field::Topic) => out.write_all(partition.topic.as_bytes())?,
                Piece::Field(Field::Partition) => write!(out, "{}", partition.partition)?,
                Piece::Field(Field::Offset) => write!(out, "{}", record.offset)?,
                Piece::Field(Field::Key) => out.write_all(record.record.key.unwrap_or_default())?,
                Piece::Field(Field::KeyLength) => write!(out, "{}", length(record.record.key))?,
                Piece::Field(Field::Value) => out.write_all(record.record.value.unwrap_or_default())?,
                Piece::Field(Field::ValueLength) => write!(out, "{}", length(record.record.value))?,
                Piece::Field(Field::Time) => write!(out, "{}", record.timestamp)?,
                Piece::Field(Field::Headers) => write_headers(out, record)?,
            }
        }
        Ok(())
    }
}

fn parse_field(letter: Option<char>) -> Result<Option<Field>, String> {
    Ok(Some(match letter {
        Some('%') => return Ok(None),
        Some('t') => Field::Topic,
        Some('p') => Field::Partition,
        Some('o') => Field::Offset,
        Some('k') => Field::Key,
        Some('K') => Field::KeyLength,
        Some('v' | 's') => Field::Value,
        Some('V' | 'S') => Field::ValueLength,
        Some('T') => Field::Time,
        Some('h') => Field::Headers,
        Some(letter) => return Err(format!("there is no field %{letter}; write %% for a percent sign")),
        None => return Err("a % at the end; write %% for a percent sign".to_owned()),
    }))
}

fn parse_escape(rest: &mut impl Iterator<Item = char>) -> Result<u8, String> {
    Ok(match rest.next() {
        Some('n') => b'\n',
        Some('t') => b'\t',
        Some('r') => b'\r',
        Some('0') => 0,
        Some('\\') => b'\\',
        Some('x') => {
            let digits = [rest.next(), rest.next()].map(|digit| digit.and_then(|digit| digit.to_digit(16)));
            let [Some(high), Some(low)] = digits else {
                return Err(r"\x wants two hexadecimal digits".to_owned());
            };
            u8::try_from(high << 4 | low).expect("two digits are 8 bits")
        }
        Some(letter) => return Err(format!(r"there is no \{letter}; write \\ for a backslash")),
        None => return Err(r"a \ at the end; write \\ for a backslash".to_owned()),
    })
}

/// `key=value` pairs, separated by commas.
fn write_headers(out: &mut impl Write, record: &ConsumedRecord<'_>) -> io::Result<()> {
    for (number, header) in record.record.headers.clone().enumerate() {
        if number > 0 {
            out.write_all(b",")?;
        }
        out.write_all(header.key)?;
        out.write_all(b"=")?;
        out.write_all(header.value.unwrap_or_default())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlog_storage::batch::{BatchBuilder, Header, Record, Records, split};
    use ringlog_storage::types::{Millis, Offset, PartitionIndex};

    fn printed(format: &str, record: &Record<'_>) -> String {
        let mut builder = BatchBuilder::new();
        builder.push(record);
        let batch = builder.build();
        let batch = split(&batch).next().expect("one batch").expect("a whole one");
        let record = Records::new(batch.payload(), 1).next().expect("one record").expect("a whole one");
        let consumed = ConsumedRecord { offset: Offset::new(7), timestamp: Millis::new(1700), record };
        let partition = TopicPartition::new("t", PartitionIndex::new(3));
        let mut out = Vec::new();
        let format = Format::parse(format).expect("a format");
        format.write(&mut out, &Shown { partition: &partition, record: &consumed }).expect("a Vec takes everything");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_field_is_printed() {
        let headers = [Header { key: b"a", value: Some(b"1") }, Header { key: b"b", value: None }];
        let full = Record { timestamp: Millis::new(0), key: Some(b"key"), value: Some(b"value"), headers: &headers };
        assert_eq!(printed(r"%t %p %o %k %v %T %h %K %V%%\t\x41\n", &full), "t 3 7 key value 1700 a=1,b= 3 5%\tA\n");
        let empty = Record { timestamp: Millis::new(0), key: None, value: None, headers: &[] };
        assert_eq!(printed("<%k|%v|%h|%K|%V>", &empty), "<|||-1|-1>");
    }

    #[test]
    fn what_is_no_format_is_refused() {
        for bad in ["%", "%q", r"\", r"\q", r"\x4", r"\xzz"] {
            assert!(Format::parse(bad).is_err(), "{bad}");
        }
    }
}
