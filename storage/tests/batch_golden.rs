//! Batches that Apache Kafka 4.4.0 made, and its verdicts on produced ones; `golden/BatchGolden.java` prints both files.
#![forbid(unsafe_code)]

use ringlog_storage::batch::{
    BatchView, Codec, Codecs, CompressionRule, Decompressor, KeyRule, ProduceError, ProduceRules, Records,
    TimestampRule, TimestampType, crc32c, validate_produced,
};
use ringlog_storage::types::Millis;
use std::fmt::Write;

const NOW: Millis = Millis::new(1_700_000_000_000);

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().map(|digit| u8::try_from(digit.to_digit(16).expect("hex")).expect("a digit")).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Bytes as the golden files write them.
fn text(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "-".to_owned() };
    if bytes.len() > 64 {
        return format!("@{}:{:x}", bytes.len(), crc32c(&[bytes]));
    }
    bytes.iter().fold("=".to_owned(), |mut out, byte| {
        write!(out, "{byte:02x}").expect("into memory");
        out
    })
}

/// One batch, described line by line as Kafka's side does it.
fn describe(bytes: &[u8]) -> Vec<String> {
    let (batch, rest) = BatchView::parse(bytes).expect("a whole batch");
    assert!(rest.is_empty() && batch.check_crc());
    let codec = batch.codec().expect("a known codec");
    let kind = match batch.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    let mut lines = vec![format!(
        "header {} {} {} {codec} {kind} {} {} {} {} {} {} {} {} {}",
        batch.base_offset(),
        batch.last_offset(),
        batch.leader_epoch(),
        batch.max_timestamp(),
        batch.producer_id(),
        batch.producer_epoch(),
        batch.base_sequence(),
        batch.last_sequence(),
        batch.is_transactional(),
        batch.is_control(),
        batch.record_count(),
        batch.delete_horizon().unwrap_or(Millis::NONE),
    )];
    let mut decompressor = Decompressor::default();
    let plain = decompressor.decompress(codec, batch.payload(), 1 << 20).expect("well compressed");
    for record in Records::new(plain, batch.record_count()) {
        let record = record.expect("well-formed");
        let mut line = format!(
            "record {} {} {} {}",
            batch.offset_of(record.offset_delta),
            batch.timestamp_of(record.timestamp_delta),
            text(record.key),
            text(record.value)
        );
        for header in record.headers {
            write!(line, " {}{}", text(Some(header.key)), text(header.value)).expect("into memory");
        }
        lines.push(line);
    }
    lines
}

#[test]
fn batches_of_the_java_client_are_read() {
    let golden = include_str!("../golden/batches.golden");
    let mut batches = 0;
    for entry in golden.split("batch ").skip(1) {
        let mut lines = entry.lines();
        let name = lines.next().expect("a name");
        let bytes = unhex(lines.next().and_then(|line| line.strip_prefix("hex ")).expect("bytes"));
        assert_eq!(describe(&bytes), lines.collect::<Vec<_>>(), "{name}");
        batches += 1;
    }
    assert_eq!(batches, 27);
}

fn rules(words: &[&str]) -> ProduceRules {
    let [version, compacted, kind, before, after, target, record_max] = words else { panic!("seven rules: {words:?}") };
    let target = Codec::ALL.into_iter().find(|codec| codec.name() == *target);
    ProduceRules {
        produce_version: version.parse().expect("a version"),
        batch_bytes_max: 1 << 20,
        plain_bytes_max: 1 << 20,
        record_bytes_max: record_max.parse().expect("a size"),
        keys: if *compacted == "true" { KeyRule::Required } else { KeyRule::Optional },
        timestamps: match *kind {
            "CreateTime" => TimestampRule::CreateTime {
                before_max_ms: before.parse().expect("a time"),
                after_max_ms: after.parse().expect("a time"),
            },
            _ => TimestampRule::LogAppendTime,
        },
        compression: target.map_or(CompressionRule::Producer, |codec| CompressionRule::Fixed(codec.into())),
    }
}

/// The Kafka error that the documentation of [`ProduceError`] names.
fn code(error: &ProduceError) -> &'static str {
    match error {
        ProduceError::UnknownMagic(_) | ProduceError::Length(_) | ProduceError::Crc => "CORRUPT_MESSAGE",
        ProduceError::ZstdTooEarly(_) | ProduceError::UnknownCodec(_) => "UNSUPPORTED_COMPRESSION_TYPE",
        ProduceError::TooLarge { .. } | ProduceError::PlainTooLarge(_) => "MESSAGE_TOO_LARGE",
        ProduceError::InvalidRecords(_) if error.has_invalid_timestamp() => "INVALID_TIMESTAMP",
        _ => "INVALID_RECORD",
    }
}

/// Where we answer otherwise than Kafka on purpose: the end of the case's name, our answer, and why.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    ("append-time-claimed", "error INVALID_TIMESTAMP 0 1 2", "Kafka notices it under LogAppendTime only"),
    ("append-time-claimed-and-so", "error INVALID_TIMESTAMP 0 1 2", ""),
    ("delete-horizon", "error INVALID_RECORD", "the base timestamp would be taken for a horizon"),
    ("gaps-counted", "error INVALID_RECORD 1 2", "Kafka checks deltas in compressed batches only, and badly"),
    ("both-less", "error INVALID_RECORD", "Kafka has no error of its own for bytes behind compressed records"),
    ("bytes-behind", "error INVALID_RECORD", "UNKNOWN_SERVER_ERROR says nothing"),
    ("garbage", "error INVALID_RECORD", "UNKNOWN_SERVER_ERROR says nothing"),
    ("empty-payload", "error INVALID_RECORD", "UNKNOWN_SERVER_ERROR says nothing"),
    ("producer-without-epoch", "error INVALID_RECORD", "no producer does that, and state would be built of it"),
    ("producer-negative", "error INVALID_RECORD", "no producer does that"),
    ("transaction-without-producer", "error INVALID_RECORD", "nobody could ever end it"),
    ("codec-5", "error UNSUPPORTED_COMPRESSION_TYPE", "UNKNOWN_SERVER_ERROR says nothing"),
    ("codec-6", "error UNSUPPORTED_COMPRESSION_TYPE", ""),
    ("codec-7", "error UNSUPPORTED_COMPRESSION_TYPE", ""),
    ("byte-64", "error INVALID_RECORD 0", "an offset delta that is not compressed, see gaps-counted"),
    ("byte-high-63", "error INVALID_RECORD 0", ""),
    ("byte-high-64", "error INVALID_RECORD 0", ""),
    ("part-of-a-second", "error INVALID_RECORD", "Kafka drops the part without a word"),
];

#[test]
fn verdicts_are_those_of_kafka() {
    let golden = include_str!("../golden/verdicts.golden");
    let mut codecs = Codecs::default();
    let mut wrong = Vec::new();
    let mut lines = golden.lines();
    while let Some(case) = lines.next() {
        let words: Vec<&str> = case.split(' ').collect();
        let (name, rules) = (words[1], rules(&words[2..]));
        let source = unhex(lines.next().and_then(|line| line.strip_prefix("hex ")).expect("bytes"));
        let verdict = lines.next().expect("a verdict").trim_end();
        let ours = validate_produced(&source, &rules, NOW, &mut codecs);
        let ours = match &ours {
            Err(error) => {
                let indices = error.invalid_records().iter().fold(String::new(), |mut out, record| {
                    write!(out, " {}", record.index).expect("into memory");
                    out
                });
                format!("error {}{indices}", code(error))
            }
            Ok(produced) => {
                let bytes = [&produced.header().bytes()[..], produced.payload()].concat();
                let Some(theirs) = verdict.strip_prefix("ok ").and_then(|rest| rest.split_once(' ')) else {
                    wrong.push(format!("{name}: accepted, Kafka says {verdict}"));
                    continue;
                };
                let mut theirs = unhex(theirs.1);
                // The epoch is stamped later, and Kafka resets it on the way.
                theirs[12..16].copy_from_slice(&bytes[12..16]);
                if describe(&bytes) != describe(&theirs) {
                    wrong.push(format!("{name}: {:?}\n  Kafka: {:?}", describe(&bytes), describe(&theirs)));
                }
                "ok".to_owned()
            }
        };
        let suffix = |known: &str| name == known || name.strip_suffix(known).is_some_and(|rest| rest.ends_with('-'));
        let difference = DIFFERENCES.iter().find(|(known, ..)| suffix(known)).map(|(_, answer, _)| *answer);
        let expected = if verdict.starts_with("ok") { "ok" } else { verdict };
        if ours != expected && Some(&*ours) != difference {
            wrong.push(format!("{name}: {ours}, Kafka says {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
