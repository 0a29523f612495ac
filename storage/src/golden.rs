//! The bytes of our own files, held against copies in `golden/`: a change there is a change of the format, and wants a
//! new version.

use std::fmt::Write;

use crate::batch::{BatchView, Producer};
use crate::checkpoint::{Checkpoint, PartitionState, decode, decode_index, encode, encode_index};
use crate::directory::Placement;
use crate::journal::format::{Entry, EntryKind, HEADER_BYTES, RecordHeader};
use crate::log::index::{IndexEntry, SparseIndex};
use crate::log::mark::Mark;
use crate::log::partition::RotRange;
use crate::log::segment::Times;
use crate::simulation::{batch, key, producer};
use crate::types::{LeaderEpoch, Millis, Offset, Sequence, ShardId, Uuid};

/// Compares bytes with a hex text, of which trailing zeros are left out. On a difference the new text is shown.
fn check(bytes: &[u8], golden: &str, name: &str) {
    let content = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let mut text = String::new();
    for line in bytes[..content].chunks(32) {
        for byte in line {
            write!(text, "{byte:02x}").expect("writing to a string succeeds");
        }
        text.push('\n');
    }
    assert!(text == golden, "{name} has changed; it is now\n{text}");
}

const PLACEMENT: Placement = Placement { directory: Uuid::from_u128(0xd1), move_count: 5 };

fn index() -> SparseIndex {
    let entry = |offset, position, time| IndexEntry {
        offset: Offset::new(offset),
        position,
        max_timestamp_before: Millis::new(time),
    };
    SparseIndex::from_entries(vec![entry(100, 0, -1), entry(120, 4100, 7000)], 1).expect("in order")
}

fn times() -> Times {
    Times { first: Millis::new(6000), max: Millis::new(7500), max_batch: Offset::new(120) }
}

#[test]
fn checkpoint() {
    let mut state = PartitionState::empty(key(3), "events".into(), Offset::new(100));
    state.dir_exists = true;
    state.placement = PLACEMENT;
    state.log_start = Offset::new(101);
    state.segments[0].bytes = 4300;
    state.segments[0].times = times();
    state.segments[0].index = index();
    state.durable = Mark { segment: Offset::new(100), position: 4300, offset: Offset::new(123) };
    state.epochs.assign(LeaderEpoch::new(0), Offset::new(100));
    state.epochs.assign(LeaderEpoch::new(4), Offset::new(120));
    let bytes = batch(30, 1, producer(8, Sequence::new(5)), 7500);
    let (view, _) = BatchView::parse(&bytes).expect("just built");
    state.producers.note(view.header(), Offset::new(120), Offset::new(122), Millis::new(9000));
    state.rot.push(RotRange {
        from: Offset::new(103),
        next_good: Offset::new(106),
        segment: Offset::new(100),
        next_position: 600,
    });
    let checkpoint =
        Checkpoint { generation: 6, cut: 77, drained_generation: 5, removed: vec![key(9)], partitions: vec![state] };
    let bytes = encode(&checkpoint);
    assert_eq!(bytes.len() % 4096, 0);
    assert_eq!(decode(&bytes), Some(checkpoint));
    check(&bytes, include_str!("../golden/checkpoint.hex"), "the checkpoint");
}

/// Directories of releases before are taken as they are: that of the first has its partitions at home.
#[test]
fn checkpoints_of_older_formats() {
    let texts = [include_str!("../golden/checkpoint1.hex"), include_str!("../golden/checkpoint2.hex")];
    for (text, directory) in texts.into_iter().zip([Uuid::ZERO, Uuid::from_u128(0xd1)]) {
        let text = text.replace('\n', "");
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits"));
        let mut bytes: Vec<u8> = digits.map(|pair| u8::from_str_radix(pair, 16).expect("digits")).collect();
        bytes.resize(4096, 0);
        let checkpoint = decode(&bytes).expect("it is one");
        assert_eq!((checkpoint.generation, checkpoint.cut), (6, 77));
        let [state] = &checkpoint.partitions[..] else { panic!("one partition: {checkpoint:?}") };
        let placement = Placement { directory, move_count: 0 };
        assert_eq!((state.key, &*state.topic, state.placement), (key(3), "events", placement));
        assert_eq!(state.durable.offset, Offset::new(123));
    }
}

#[test]
fn segment_index() {
    let bytes = encode_index(Offset::new(100), 4300, times(), &index());
    assert_eq!(decode_index(&bytes, Offset::new(100)), Some((4300, times(), index())));
    assert_eq!(decode_index(&bytes, Offset::new(101)), None);
    check(&bytes, include_str!("../golden/index.hex"), "the index");
}

#[test]
fn journal_record() {
    let from = Mark { segment: Offset::new(100), position: 4300, offset: Offset::new(123) };
    let batches = batch(30, 1, Producer::NONE, 7500);
    let entry = |kind, bytes: usize| Entry {
        kind,
        key: key(3),
        from,
        to_offset: Offset::new(126),
        bytes: u32::try_from(bytes).expect("small"),
        placement: Placement::default(),
    };
    let mut payload = Vec::new();
    for (kind, attached) in [
        (EntryKind::Name, &b"events"[..]),
        (EntryKind::Data, &batches[..]),
        (EntryKind::Direct, &[]),
        (EntryKind::LogStart, &[]),
        (EntryKind::Unproven, &[]),
        (EntryKind::Removed, &[]),
    ] {
        let bytes = if kind == EntryKind::Direct { 500_000 } else { attached.len() };
        payload.extend_from_slice(&entry(kind, bytes).encode());
        payload.extend_from_slice(attached);
    }
    payload.extend_from_slice(&Entry::placed(key(3), PLACEMENT).encode());
    let header = RecordHeader {
        shard: ShardId::new(2),
        generation: 6,
        sequence: 77,
        previous_crc: 0xfeed_beef,
        payload_bytes: payload.len(),
        crc: 0,
    };
    let crc = header.crc_with(&payload);
    let mut bytes = header.encode(crc).to_vec();
    bytes.extend_from_slice(&payload);
    assert_eq!(RecordHeader::decode(&bytes), Some(RecordHeader { crc, ..header }));
    let (first, attached, rest) = Entry::decode(&bytes[HEADER_BYTES..]).expect("just written");
    assert_eq!((first, attached), (entry(EntryKind::Name, 6), &b"events"[..]));
    assert_eq!(
        Entry::decode(rest).map(|(second, attached, _)| (second.kind, attached)),
        Some((EntryKind::Data, &batches[..]))
    );
    check(&bytes, include_str!("../golden/journal.hex"), "the journal record");
}

/// Bytes that were changed anywhere are refused, and none of them panics.
#[test]
fn damaged_side_files_are_refused() {
    let checkpoint = Checkpoint {
        generation: 1,
        cut: 2,
        drained_generation: 0,
        removed: Vec::new(),
        partitions: vec![PartitionState::empty(key(1), "a".into(), Offset::ZERO)],
    };
    let bytes = encode(&checkpoint);
    let content = bytes.iter().rposition(|byte| *byte != 0).expect("not empty");
    for at in 0..=content {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert_eq!(decode(&changed), None, "byte {at}");
        assert_eq!(decode(&bytes[..at]), None, "{at} bytes");
    }
}
