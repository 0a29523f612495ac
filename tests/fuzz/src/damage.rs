//! Damage to the files of a data directory, as an input asks for it. Checksums can be made right again, so that what lies
//! behind them is looked at.

use crate::choices::Choices;
use crate::disk::Disk;
use ringlog_storage::batch::crc32c;

const DAMAGES_MAX: usize = 16;
const BLOCK_BYTES: usize = 4096;
/// Names that may turn up in a data directory.
const NAMES: [&str; 8] = [
    "journal/0/7.journal",
    "journal/1/0.journal",
    "journal/1/checkpoint",
    "journal/checkpoint",
    "journal/0/18446744073709551615.journal",
    "topic1-0/00000000000000000000.log",
    "topic1-0/00000000000000000018.log",
    "topic1-0/00000000000000000000.index",
];

/// Changes files whose path `counts`.
pub fn damage(disk: &mut Disk, choices: &mut Choices<'_>, counts: impl Fn(&str) -> bool) {
    for _ in 0..DAMAGES_MAX {
        if choices.is_empty() {
            return;
        }
        let paths: Vec<_> = disk.files.keys().filter(|path| counts(path)).cloned().collect();
        let kind = choices.byte();
        if kind & 0x70 == 0x70 {
            let path = NAMES[choices.index(NAMES.len())].to_owned();
            let bytes = usize::from(choices.u16());
            disk.add_file(path, choices.bytes(bytes).to_vec());
            continue;
        }
        if paths.is_empty() {
            return;
        }
        let path = &paths[choices.index(paths.len())];
        let mut content = disk.files.remove(path).expect("was listed");
        if kind & 0x70 == 0x60 {
            continue;
        }
        change(&mut content, kind, choices);
        if kind & 0x80 != 0 {
            seal(path, &mut content);
        }
        disk.files.insert(path.clone(), content);
    }
}

fn change(content: &mut Vec<u8>, kind: u8, choices: &mut Choices<'_>) {
    // Most of a journal is zeros behind its records.
    let used = content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let at = choices.index(used);
    match kind & 0x70 {
        0x00 | 0x10 => {
            let bytes = choices.bytes(usize::from(kind & 0x0f) + 1);
            let end = (at + bytes.len()).min(content.len());
            content[at..end].copy_from_slice(&bytes[..end - at]);
        }
        0x20 => {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << (kind & 7);
            }
        }
        0x30 => content.truncate(at),
        0x40 => {
            let end = (at + usize::from(choices.u16())).min(content.len());
            content[at..end].fill(0);
        }
        _ => {
            // A block in the place of another one.
            let (from, to) = (at / BLOCK_BYTES * BLOCK_BYTES, choices.index(used) / BLOCK_BYTES * BLOCK_BYTES);
            let bytes = BLOCK_BYTES.min(content.len() - from).min(content.len() - to);
            content.copy_within(from..from + bytes, to);
        }
    }
}

fn seal(path: &str, content: &mut [u8]) {
    if path.ends_with(".journal") {
        seal_journal(content);
    } else if path.ends_with(".log") {
        seal_segment(content);
    } else {
        seal_side_file(content);
    }
}

fn number(bytes: &[u8], at: usize) -> usize {
    let field = bytes.get(at..at + 4).and_then(|field| field.try_into().ok()).unwrap_or([0; 4]);
    usize::try_from(u32::from_le_bytes(field)).expect("32 bits")
}

/// Every record's checksum, and that of the record before it in the same file.
fn seal_journal(content: &mut [u8]) {
    let mut previous = None;
    for at in (0..content.len()).step_by(BLOCK_BYTES) {
        let record = &mut content[at..];
        if !record.starts_with(b"RLJ1") || record.len() < 48 {
            continue;
        }
        let end = 48_usize.saturating_add(number(record, 28)).min(record.len());
        if let Some(previous) = previous
            && record[24..28] != [0; 4]
        {
            record[24..28].copy_from_slice(&u32::to_le_bytes(previous));
        }
        let crc = crc32c(&[&record[..4], &[0; 4], &record[8..end]]);
        record[4..8].copy_from_slice(&crc.to_le_bytes());
        previous = Some(crc);
    }
}

fn seal_segment(mut content: &mut [u8]) {
    while content.len() >= 61 {
        let length = u32::from_be_bytes(content[8..12].try_into().expect("four bytes"));
        let end = usize::try_from(length).expect("32 bits").saturating_add(12);
        if end < 61 || end > content.len() {
            return;
        }
        let (batch, rest) = content.split_at_mut(end);
        let crc = crc32c(&[&batch[21..]]);
        batch[17..21].copy_from_slice(&crc.to_be_bytes());
        content = rest;
    }
}

fn seal_side_file(content: &mut [u8]) {
    let length = number(content, 8);
    if (16..=content.len()).contains(&length) {
        let crc = crc32c(&[&content[8..length]]);
        content[4..8].copy_from_slice(&crc.to_le_bytes());
    }
}
