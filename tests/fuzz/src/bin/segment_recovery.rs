//! Partitions over damaged segments and indexes: they open, and reads and lookups end in whole batches or in errors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_fuzz::choices::Choices;
use ringlog_fuzz::damage::damage;
use ringlog_fuzz::directory::{Left, batch, make, recover, start};
use ringlog_fuzz::disk::Disk;

thread_local! {
    static DISKS: [Disk; 3] = [make(Left::Closed), make(Left::Midway), make(Left::InJournal)];
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let mut disk = DISKS.with(|disks| disks[choices.index(disks.len())].clone());
    damage(&mut disk, &mut choices, |path| path.ends_with(".log") || path.ends_with(".index"));
    let Ok(recovered) = recover(&mut disk) else { return };
    let (mut running, ids) = start(disk, recovered);
    running.turn();
    for id in &ids {
        assert!(running.read_all(*id), "what lies between sound batches is damage");
    }
    // Once more, with what is known of the damage now, and behind new data.
    for id in &ids {
        let _ = running.append(*id, &batch(100, 300));
        running.turn();
        assert!(running.read_all(*id), "what lies between sound batches is damage");
    }
    running.shut_down();
});
