//! A broker that has little of everything, and does not stay up: what it lacks is complained about, and what comes back is not
//! any more.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use ringlog_kit::broker::{Broker, Options};
use ringlog_kit::external::in_ci;
use ringlog_kit::folder::Folder;
use ringlog_net::error::ErrorCode;

use crate::load::Load;
use crate::prometheus::Prometheus;
use crate::stage::{start_prometheus, until_nothing_is_left};

/// How long the disk stands still at a time: longer than any flush or request may take.
const STILL: Duration = Duration::from_millis(700);

/// A file system of its own, gone when dropped.
struct Disk {
    folder: Folder,
}

impl Disk {
    /// Nothing, and a failure in CI, where this process may not mount.
    fn mount(mebibytes: u32) -> Option<Self> {
        let folder = Folder::new("disk");
        let (image, place) = (folder.path().join("image"), folder.path().join("mounted"));
        fs::create_dir(&place).expect("the folder is ours");
        let file = File::create_new(&image).expect("the folder is ours");
        file.set_len(u64::from(mebibytes) << 20).expect("it takes no space yet");
        let made = run(Command::new("mkfs.ext4").arg("-q").arg(&image));
        let mounted = made.and_then(|()| run(Command::new("mount").args(["-o", "loop"]).args([&image, &place])));
        match mounted {
            Ok(()) => Some(Self { folder }),
            Err(error) => {
                println!("skipped: {error}");
                assert!(!in_ci(), "skipped in CI: {error}");
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    /// Whatever is written waits for a while.
    fn stand_still(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(self.path())).expect("it was mounted");
        let (_nobody_says, hears) = mpsc::channel::<()>();
        _ = hears.recv_timeout(STILL);
        run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path())).expect("it was frozen");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = run(Command::new("fsfreeze").arg("--unfreeze").arg(self.path()));
        // Lazily: a broker that was killed just now may not be gone yet.
        _ = run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        other => Err(format!("{command:?}: {other:?}")),
    }
}

#[test]
fn a_broker_that_has_little_complains_about_what_it_lacks() {
    const DISK_MEBIBYTES: u32 = 256;
    let Some(disk) = Disk::mount(DISK_MEBIBYTES) else { return };
    let options = Options::default()
        .set("ringlog.admin.listener", "127.0.0.1:0")
        .set("ringlog.journal.bytes", "50331648")
        .set("ringlog.memory", "67108864")
        .set("log.segment.delete.delay.ms", "1000");
    let mut broker = Broker::start_on(&disk.path().join("data"), options.clone());
    let admin = broker.admin().expect("the start line tells it");
    let Some(prometheus) = start_prometheus(admin) else { return };
    let mut load = Load::start(broker.address());

    the_disk_is_slow(&disk, &prometheus, &mut load);
    frames_take_the_memory(&prometheus, &mut load);
    the_disk_fills(&prometheus, &mut load);
    // Prometheus looks for it where it was.
    let options = options.set("ringlog.admin.listener", &admin.to_string());
    it_does_not_stay_up(&mut broker, &options, &prometheus, &mut load);
}

/// It stands still again and again, and whoever waits for a flush waits with it.
fn the_disk_is_slow(disk: &Disk, prometheus: &Prometheus, load: &mut Load) {
    const ALERTS: [&str; 2] = ["RinglogProduceSlow", "RinglogFlushesSlow"];
    let act = || {
        thread::scope(|scope| {
            scope.spawn(|| disk.stand_still());
            load.round();
        });
    };
    until_nothing_is_left(act, || ALERTS.iter().flat_map(|alert| prometheus.not_firing(alert)).collect());
    until_nothing_is_left(|| load.round(), || ALERTS.iter().flat_map(|alert| prometheus.still_firing(alert)).collect());
}

/// Requests that never arrive whole hold the memory of frames.
fn frames_take_the_memory(prometheus: &Prometheus, load: &mut Load) {
    const ALERT: &str = "RinglogMemoryExhausted";
    let held = load.begin_large_frames();
    until_nothing_is_left(|| load.round(), || prometheus.not_firing(ALERT));
    drop(held);
    until_nothing_is_left(|| load.round(), || prometheus.still_firing(ALERT));
}

/// Records fill it; groups commit all the same, and with the topic the records go.
fn the_disk_fills(prometheus: &Prometheus, load: &mut Load) {
    const ALERTS: [&str; 2] = ["RinglogDiskSpace", "RinglogDiskFull"];
    until_nothing_is_left(|| load.fill(), || ALERTS.iter().flat_map(|alert| prometheus.not_firing(alert)).collect());
    assert_eq!(load.commit_once(), ErrorCode::None, "a group commits on a full disk");
    load.clear();
    until_nothing_is_left(
        || load.idle_round(),
        || ALERTS.iter().flat_map(|alert| prometheus.still_firing(alert)).collect(),
    );
    load.round();
}

/// It crashes again and again; what it has acknowledged is there each time.
fn it_does_not_stay_up(broker: &mut Broker, options: &Options, prometheus: &Prometheus, load: &mut Load) {
    const STARTS: usize = 3;
    const STARTED: &str = "process_start_time_seconds";
    for _ in 0..STARTS {
        let known = prometheus.query(STARTED);
        broker.kill();
        broker.restart_with(options.clone());
        load.connect_again();
        // While it is gone there is none.
        let is_new = || prometheus.query(STARTED).iter().any(|started| !known.contains(started));
        until_nothing_is_left(|| load.round(), || if is_new() { Vec::new() } else { vec!["its start"] });
    }
    until_nothing_is_left(|| load.round(), || prometheus.not_firing("RinglogRestarts"));
}
