//! What a power cut, a kill and a faulty disk leave.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use ringlog_buffer::Slice;

use super::{WRITE, blocks, create, write};
use crate::sim::{DiskEffect, DiskFault, DiskOperation, Errno, Sim, SimOptions, Trigger};
use crate::{Durability, Mesh, Reactor};

/// Runs `main` on a node to its end, cuts the power and answers what is left of `path`.
fn after_power_cut<F, Fut>(seed: u64, path: &str, main: F) -> io::Result<Vec<u8>>
where
    F: Fn(Reactor, Mesh<()>) -> Fut,
    Fut: Future<Output = ()> + 'static,
{
    let mut sim = Sim::new(seed, SimOptions::default());
    let node = sim.start_node("disk", 1, main);
    sim.run_until(|sim| !sim.is_running(node));
    sim.power_cut(node);
    sim.disk(node).read_file(path)
}

#[test]
fn synced_bytes_never_vanish_and_unsynced_ones_may_whole_or_torn() {
    let (mut whole, mut gone, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(8, 1), Durability::Dsync).await;
            write(&file, 4096, blocks(8, 2), Durability::None).await;
            file.sync_data().await.expect("the disk works");
            write(&file, 8192, blocks(8, 3), Durability::None).await;
            write(&file, 0, blocks(1, 4), Durability::None).await;
        })
        .expect("the name was synced");
        assert!(left.len() >= 8192, "seed {seed}: synced length");
        assert!(left[512..4096].iter().all(|byte| *byte == 1) && left[4096..8192].iter().all(|byte| *byte == 2));
        assert!(left[..512] == [1; 512] || left[..512] == [4; 512], "a sector is whole");
        let sectors: Vec<_> = left[8192..].chunks(512).collect();
        assert!(sectors.iter().all(|sector| *sector == [3; 512] || *sector == [0; 512]), "a sector is whole");
        match sectors.iter().filter(|sector| **sector == [3; 512]).count() {
            0 => gone += 1,
            8 => whole += 1,
            _ => torn += 1,
        }
    }
    assert!(whole > 20 && gone > 20 && torn > 20, "whole {whole}, gone {gone}, torn {torn}");
}

#[test]
fn a_durable_write_keeps_its_range_and_length_but_not_earlier_writes() {
    let mut lost = 0;
    for seed in 0..50 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(1, 1), Durability::None).await;
            write(&file, 512, blocks(1, 2), Durability::Dsync).await;
        })
        .expect("the name was synced");
        assert_eq!(&left[512..], [2; 512]);
        lost += u32::from(left[..512] == [0; 512]);
    }
    assert!(lost > 5 && lost < 45, "{lost} of 50");
}

#[test]
fn an_overwrite_by_a_durable_write_is_final() {
    for seed in 0..50 {
        let left = after_power_cut(seed, "log", |reactor, _| async move {
            let file = create(&reactor, "log").await;
            write(&file, 0, blocks(8, 1), Durability::None).await;
            file.truncate(0).await.expect("the disk works");
            write(&file, 0, blocks(4, 2), Durability::Dsync).await;
        })
        .expect("the name was synced");
        assert_eq!(left, [2; 2048], "seed {seed}");
    }
}

#[test]
fn a_sync_that_fails_takes_from_other_shards_too_and_does_not_tell_them() {
    let mut lost = [0; 2];
    for seed in 0..30 {
        let mut sim = Sim::new(seed, SimOptions::default());
        let node = sim.start_node("two", 2, |reactor: Reactor, mesh: Mesh<()>| async move {
            let (path, is_first) = if mesh.index() == 0 { ("first", true) } else { ("second", false) };
            let file = create(&reactor, path).await;
            write(&file, 0, blocks(8, 1), Durability::None).await;
            if is_first {
                mesh.recv().await;
                reactor.sync_file_system("/").await.expect_err("it is told who asked");
                mesh.send(1, ()).await;
            } else {
                mesh.send(0, ()).await;
                mesh.recv().await;
                file.sync_data().await.expect("nobody tells it");
            }
        });
        // Of the two that come after those of the folders.
        let (operation, effect) = (DiskOperation::Sync, DiskEffect::Error(Errno::IO));
        sim.disk(node).fault(DiskFault { operation, path_contains: String::new(), trigger: Trigger::Nth(3), effect });
        sim.run_until(|sim| !sim.is_running(node));
        sim.power_cut(node);
        for (lost, name) in lost.iter_mut().zip(["first", "second"]) {
            let left = sim.disk(node).read_file(name).expect("its name is synced");
            *lost += u32::from(left != [1; 4096]);
        }
    }
    assert!(lost.iter().all(|lost| *lost > 5), "{lost:?} of 30: what the device held is lost now and then");
}

#[test]
fn names_need_a_sync_of_their_directory() {
    let (mut new, mut old, mut missing) = (0, 0, 0);
    for seed in 0..100 {
        let left = after_power_cut(seed, "checkpoint", |reactor, _| async move {
            let old = create(&reactor, "checkpoint").await;
            write(&old, 0, blocks(1, 1), Durability::Dsync).await;
            let fresh = reactor.open("checkpoint.tmp", WRITE).await.expect("an empty disk takes a file");
            write(&fresh, 0, blocks(1, 2), Durability::Dsync).await;
            reactor.rename("checkpoint.tmp", "checkpoint").await.expect("both names are there");
        });
        match left.expect("a rename is lost or kept as one")[0] {
            1 => old += 1,
            2 => new += 1,
            other => panic!("{other} was never written"),
        }
        let left = after_power_cut(seed, "a/file", |reactor, _| async move {
            reactor.create_dir("a").await.expect("an empty disk takes a directory");
            let file = reactor.open("a/file", WRITE).await.expect("it is there");
            write(&file, 0, blocks(1, 1), Durability::Dsync).await;
            reactor.sync_dir("a").await.expect("it is there");
        });
        missing += u32::from(left.is_err());
    }
    assert!(new > 10 && old > 10, "{new} new, {old} old");
    assert!(missing > 10, "a directory whose parent was not synced is lost {missing} times");
}

#[test]
fn a_kill_keeps_what_was_written_and_frees_locks() {
    let mut sim = Sim::new(1, SimOptions::default());
    let main = |reactor: Reactor, _: Mesh<()>| async move {
        let file = reactor.open("lock", WRITE).await.expect("the disk works");
        file.lock().await.expect("the last holder is dead");
        let again = reactor.open("lock", WRITE).await.expect("the disk works");
        assert_eq!(again.lock().await.expect_err("held above").kind(), io::ErrorKind::WouldBlock);
        write(&file, 0, blocks(8, 7), Durability::None).await;
        reactor.open("done", WRITE).await.expect("the disk works");
        std::future::pending::<()>().await;
    };
    let node = sim.start_node("locked", 1, main);
    for _ in 0..3 {
        sim.run_until_idle();
        assert_eq!(sim.disk(node).read_file("lock").expect("written"), [7; 4096]);
        assert!(sim.disk(node).has_unsynced());
        sim.kill(node);
        sim.restart(node, 1, main);
    }
}

#[test]
fn a_write_in_flight_at_a_kill_is_done_wholly_partly_or_not() {
    let mut sizes = BTreeSet::new();
    for seed in 0..60 {
        let mut sim = Sim::new(seed, SimOptions::default());
        let node = sim.start_node("killed", 1, |reactor: Reactor, _: Mesh<()>| async move {
            let file = create(&reactor, "log").await;
            reactor.open("begun", WRITE).await.expect("the disk works");
            write(&file, 0, blocks(64, 7), Durability::Dsync).await;
        });
        sim.disk(node).fault(DiskFault {
            operation: DiskOperation::Write,
            path_contains: "log".into(),
            trigger: Trigger::Always,
            effect: DiskEffect::Delay(Duration::from_secs(1)),
        });
        sim.run_for(Duration::from_millis(100));
        sim.kill(node);
        let left = sim.disk(node).read_file("log").expect("its name was synced");
        sizes.insert(left.chunks(512).filter(|sector| *sector == [7; 512]).count());
    }
    assert!(sizes.contains(&0) && sizes.contains(&64) && sizes.len() > 10, "{sizes:?}");
}

#[test]
fn faults_strike_where_and_when_they_are_told() {
    let mut sim = Sim::new(3, SimOptions::default());
    let node = sim.start_node("faulty", 1, |reactor: Reactor, _: Mesh<()>| async move {
        let file = create(&reactor, "journal").await;
        let other = create(&reactor, "segment").await;
        for nth in 1..=3 {
            let result = file.write(vec![blocks(1, 1)], 0, Durability::Dsync).await;
            assert_eq!(result.is_err(), nth == 2, "write {nth}: {result:?}");
            other.write(vec![blocks(1, 1)], 0, Durability::Dsync).await.expect("another path");
        }
        let result = file.write(vec![blocks(4, 1)], 0, Durability::Dsync).await;
        assert_eq!(result.expect_err("short").kind(), io::ErrorKind::WriteZero);
        assert_eq!(file.sync_data().await.expect_err("told so").raw_os_error(), Some(Errno::IO.0));
        let odd = Slice::from(&b"odd"[..]);
        let result = file.write(vec![odd], 0, Durability::None).await;
        assert_eq!(result.expect_err("not whole blocks").raw_os_error(), Some(Errno::INVALID.0));
        let result = file.write(vec![blocks(1, 1)], 100, Durability::None).await;
        assert_eq!(result.expect_err("not at a block").raw_os_error(), Some(Errno::INVALID.0));
    });
    let disk = sim.disk(node);
    let fault = |operation, nth, effect| {
        let path_contains = "journal".into();
        disk.fault(DiskFault { operation, path_contains, trigger: Trigger::Nth(nth), effect });
    };
    fault(DiskOperation::Write, 2, DiskEffect::Error(Errno::IO));
    fault(DiskOperation::Write, 4, DiskEffect::Short);
    fault(DiskOperation::Sync, 5, DiskEffect::Error(Errno::IO));
    sim.run_until(|sim| !sim.is_running(node));
    let before = disk.read_file("segment").expect("written");
    disk.rot("segment", 100).expect("it is that long");
    let after = disk.read_file("segment").expect("written");
    let flipped: u32 = before.iter().zip(&after).map(|(before, after)| (before ^ after).count_ones()).sum();
    assert_eq!(flipped, 1);
}

#[test]
fn space_runs_out_and_comes_back() {
    let mut sim = Sim::new(4, SimOptions::default());
    let (full, freed) = (Rc::new(Cell::new(false)), Rc::new(Cell::new(false)));
    let (is_full, was_freed) = (Rc::clone(&full), Rc::clone(&freed));
    let node = sim.start_node("full", 1, move |reactor: Reactor, _: Mesh<()>| {
        let (is_full, was_freed) = (Rc::clone(&is_full), Rc::clone(&was_freed));
        async move {
            let file = create(&reactor, "a").await;
            file.allocate(0, 64 * 1024).await.expect("there is room");
            write(&file, 0, blocks(128, 1), Durability::Dsync).await;
            assert_eq!(file.allocate(64 * 1024, 4096).await.expect_err("full").kind(), io::ErrorKind::StorageFull);
            let result = file.write(vec![blocks(8, 1)], 64 * 1024, Durability::None).await;
            assert_eq!(result.expect_err("full").kind(), io::ErrorKind::StorageFull);
            write(&file, 0, blocks(128, 2), Durability::Dsync).await;
            is_full.set(true);
            while !was_freed.get() {
                reactor.sleep(Duration::from_millis(1)).await;
            }
            file.allocate(64 * 1024, 4096).await.expect("there is room again");
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 0);
            reactor.remove_file("a").await.expect("it is there");
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 0, "a descriptor keeps the space");
            drop(file);
            assert_eq!(reactor.free_space("/").await.expect("the disk works"), 68 * 1024);
        }
    });
    sim.disk(node).set_capacity_bytes(64 * 1024);
    sim.run_until(|_| full.get());
    sim.disk(node).set_free_bytes(4096);
    freed.set(true);
    sim.run_until(|sim| !sim.is_running(node));
}

#[test]
fn descriptors_run_out() {
    let mut sim = Sim::new(5, SimOptions { descriptors_max: 2, ..SimOptions::default() });
    sim.block_on("many", |reactor| async move {
        let one = reactor.open("a", WRITE).await.expect("the first");
        let _two = reactor.open("b", WRITE).await.expect("the second");
        let error = reactor.open("c", WRITE).await.expect_err("the third");
        assert_eq!(error.raw_os_error(), Some(Errno::TOO_MANY_FILES.0));
        drop(one);
        reactor.open("c", WRITE).await.expect("one is free again");
    });
}
