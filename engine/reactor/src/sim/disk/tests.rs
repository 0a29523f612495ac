//! The disk against a plain vector, and against what a kernel answers.

use std::path::Path;

use ringlog_buffer::Slice;

use super::content::{Content, Survival};
use super::{Disk, DiskOptions, Errno, NodeId, Removal};
use crate::op::{Create, Durability};
use crate::sim::random::Random;

const FILE_BYTES: u64 = 20_000;

fn read_all(content: &Content) -> Vec<u8> {
    let mut bytes = vec![0xee; usize::try_from(content.len()).expect("small")];
    assert_eq!(content.read(0, &mut bytes), bytes.len());
    bytes
}

fn put(model: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    if model.len() < offset + bytes.len() {
        model.resize(offset + bytes.len(), 0);
    }
    model[offset..offset + bytes.len()].copy_from_slice(bytes);
}

/// Random writes, cuts to length and syncs against a plain vector; what survives the power is what a sync promised.
#[test]
fn a_file_reads_as_a_vector_does_and_keeps_what_was_synced() {
    for seed in 0..300 {
        let mut random = Random::new(seed);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for round in 1..=40u8 {
            let offset = random.below(FILE_BYTES);
            let bytes = vec![round; random.index(6000)];
            let at = usize::try_from(offset).expect("small");
            match random.below(8) {
                0 => {
                    content.set_len(offset);
                    model.resize(at, 0);
                }
                1 => {
                    content.allocate(offset, 3000);
                    if model.len() < at + 3000 {
                        model.resize(at + 3000, 0);
                    }
                }
                2 => content.sync(content.mark()),
                3 if !bytes.is_empty() => {
                    content.write_durable(offset, &bytes);
                    put(&mut model, at, &bytes);
                }
                4 => {
                    content.sync(content.mark());
                    content.power_cut(Survival::draw(&mut random), &mut random);
                }
                5 => {
                    content.power_cut(Survival::Everything, &mut random);
                }
                _ if !bytes.is_empty() => {
                    content.write(offset, &bytes);
                    put(&mut model, at, &bytes);
                }
                _ => {}
            }
            assert_eq!(read_all(&content), model, "seed {seed}, round {round}");
        }
        content.sync(content.mark());
        assert!(!content.has_unsynced());
        content.power_cut(Survival::Nothing, &mut random);
        assert_eq!(read_all(&content), model, "seed {seed}, after the last sync");
    }
}

/// Durable writes among volatile ones: whatever else survives, the last durable byte of each place does, unless a
/// later volatile write or cut of the same place survived.
#[test]
fn a_durable_write_survives_any_power_cut_until_something_later_changes_its_place() {
    for seed in 0..500 {
        let mut random = Random::new(seed);
        let mut content = Content::default();
        // Per sector: the values that may be found there, the last durable one first.
        let mut allowed: Vec<Vec<u8>> = vec![vec![0]; 40];
        for round in 1..=30u8 {
            let (first, count) = (random.index(30), 1 + random.index(10));
            let bytes = vec![round; count * 512];
            let offset = u64::try_from(first * 512).expect("small");
            let is_durable = random.chance(400);
            if is_durable {
                content.write_durable(offset, &bytes);
            } else {
                content.write(offset, &bytes);
            }
            for sector in &mut allowed[first..first + count] {
                if is_durable {
                    sector.clear();
                }
                sector.push(round);
            }
        }
        content.power_cut(Survival::draw(&mut random), &mut random);
        let left = read_all(&content);
        for (index, sector) in left.chunks(512).enumerate() {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "seed {seed}: sector {index} is whole");
            assert!(allowed[index].contains(&sector[0]), "seed {seed}: sector {index} is {}", sector[0]);
        }
        for (index, allowed) in allowed.iter().enumerate().skip(left.len() / 512) {
            assert!(allowed[0] == 0, "seed {seed}: durable sector {index} lies behind the end");
        }
    }
}

#[test]
fn a_failed_sync_may_lose_bytes_for_ever_and_readers_see_it() {
    let mut lost = 0;
    for seed in 0..50 {
        let mut random = Random::new(seed);
        let mut content = Content::default();
        content.write_durable(0, &[1; 512]);
        content.write(0, &[2; 512]);
        content.flush_failed(&mut random);
        let left = read_all(&content);
        content.sync(content.mark());
        content.power_cut(Survival::Everything, &mut random);
        assert_eq!(read_all(&content), left);
        lost += u32::from(left == [1; 512]);
    }
    assert!(lost > 10 && lost < 40, "{lost} of 50");
}

fn disk() -> Disk {
    Disk::new(DiskOptions::default(), Random::new(1))
}

fn create(disk: &mut Disk, path: &str) -> NodeId {
    disk.open(Path::new(path), Create::New).expect("the name is free")
}

#[test]
fn names_answer_as_a_kernel_does() {
    let mut disk = disk();
    let path = Path::new;
    disk.create_directory(path("a")).expect("free");
    assert_eq!(disk.create_directory(path("a")), Err(Errno::EXISTS));
    assert_eq!(disk.create_directory(path("b/c")), Err(Errno::NOT_FOUND));
    create(&mut disk, "a/f");
    assert_eq!(disk.open(path("/a/./f"), Create::New), Err(Errno::EXISTS));
    assert_eq!(disk.open(path("a/g"), Create::No), Err(Errno::NOT_FOUND));
    assert_eq!(disk.open(path("a"), Create::No), Err(Errno::IS_A_DIRECTORY));
    assert_eq!(disk.open(path("a/f/g"), Create::IfMissing), Err(Errno::NOT_A_DIRECTORY));
    assert_eq!(disk.remove(path("a"), Removal::Directory), Err(Errno::NOT_EMPTY));
    assert_eq!(disk.remove(path("a"), Removal::File), Err(Errno::IS_A_DIRECTORY));
    assert_eq!(disk.rename(path("a"), path("a/below")), Err(Errno::INVALID));
    assert_eq!(disk.rename(path("missing"), path("a/f")), Err(Errno::NOT_FOUND));
    disk.create_directory(path("b")).expect("free");
    disk.rename(path("a/f"), path("b/f")).expect("both directories are there");
    assert_eq!(disk.list(path("a")).expect("there"), []);
    disk.remove(path("a"), Removal::Directory).expect("empty now");
    assert_eq!(disk.open(path(&"n".repeat(256)), Create::New), Err(Errno::NAME_TOO_LONG));
}

#[test]
fn a_rename_between_directories_is_never_lost_by_half() {
    let (mut old, mut new) = (0, 0);
    for seed in 0..60 {
        let mut disk = Disk::new(DiskOptions::default(), Random::new(seed));
        for directory in ["a", "b"] {
            disk.create_directory(Path::new(directory)).expect("free");
        }
        create(&mut disk, "a/f");
        disk.sync_directory(Path::new("/"), &disk.covered_names()).expect("there");
        disk.sync_directory(Path::new("a"), &disk.covered_names()).expect("there");
        disk.rename(Path::new("a/f"), Path::new("b/f")).expect("there");
        disk.power_cut();
        let count = |directory| disk.list(Path::new(directory)).expect("synced").len();
        assert_eq!(count("a") + count("b"), 1, "seed {seed}");
        old += count("a");
        new += count("b");
    }
    assert!(old > 10 && new > 10, "{old} old, {new} new");
}

#[test]
fn space_of_removed_files_comes_back_with_their_last_descriptor() {
    let mut disk = disk();
    for round in 0..200u64 {
        let node = create(&mut disk, "f");
        disk.write(node, 0, &[Slice::from(&[1; 5000][..])], Durability::None, None).expect("there is room");
        assert_eq!(disk.used_bytes(), 8192);
        disk.remove(Path::new("f"), Removal::File).expect("there");
        assert_eq!(disk.used_bytes(), 8192);
        disk.close(node, round);
        assert_eq!(disk.used_bytes(), 0);
        disk.sync_directory(Path::new("/"), &disk.covered_names()).expect("there");
    }
}

#[test]
fn a_sync_of_the_whole_disk_covers_names_and_contents_of_before() {
    let mut disk = disk();
    let bytes = |fill: u8| [Slice::from(&[fill; 512][..])];
    let node = create(&mut disk, "a");
    disk.write(node, 0, &bytes(1), Durability::None, None).expect("there is room");
    let began = disk.covered_in_all();
    let later = create(&mut disk, "later");
    disk.write(later, 0, &bytes(2), Durability::None, None).expect("there is room");
    assert_eq!(disk.sync_all(Path::new("missing"), &began), Err(Errno::NOT_FOUND));
    disk.sync_all(Path::new("/"), &began).expect("there");
    assert!(disk.has_unsynced(), "what came later is not covered");
    disk.power_cut();
    let node = disk.open(Path::new("a"), Create::No).expect("its name was covered");
    let mut read = [0; 512];
    assert_eq!(disk.read(node, 0, &mut read, None), Ok(512));
    assert_eq!(read, [1; 512]);
    let all = disk.covered_in_all();
    disk.sync_all(Path::new("/"), &all).expect("there");
    assert!(!disk.has_unsynced());
}

#[test]
fn a_sync_covers_what_had_ended_when_it_began() {
    let mut random = Random::new(1);
    let mut content = Content::default();
    content.write(0, &[1; 512]);
    let began = content.mark();
    content.write(512, &[2; 512]);
    content.sync(began);
    assert!(content.has_unsynced());
    content.power_cut(Survival::Nothing, &mut random);
    assert_eq!(read_all(&content), [1; 512]);

    let mut disk = disk();
    create(&mut disk, "a");
    let began = disk.covered_names();
    create(&mut disk, "b");
    disk.sync_directory(Path::new("/"), &began).expect("there");
    assert!(disk.has_unsynced());
}
