//! Recovery of data directories whose journals and checkpoints are damaged or made up. It ends, in bounded memory, and what
//! it leaves is recovered again to the same offsets, can be read, written and closed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringlog_fuzz::choices::Choices;
use ringlog_fuzz::damage::damage;
use ringlog_fuzz::directory::{Left, batch, make, recover, spans, start};
use ringlog_fuzz::disk::Disk;

thread_local! {
    static DISKS: [Disk; 4] = [make(Left::InJournal), make(Left::Midway), make(Left::Closed), Disk::default()];
}

fuzz_target!(|data: &[u8]| {
    let mut choices = Choices(data);
    let choice = choices.byte();
    let mut disk = DISKS.with(|disks| disks[choices.index(disks.len())].clone());
    let (only_journal, true_checkpoints) = (choice & 1 == 0, choice & 2 != 0);
    damage(&mut disk, &mut choices, |path| {
        (path.starts_with("journal/") || !only_journal) && !(path.ends_with("checkpoint") && true_checkpoints)
    });
    let Ok(recovered) = recover(&mut disk) else { return };
    let again = recover(&mut disk.clone()).expect("what recovery wrote is sound");
    let (mut running, ids) = start(disk, recovered);
    let (twice, ids_twice) = start(Disk::default(), again);
    assert_eq!(spans(&running, &ids), spans(&twice, &ids_twice));
    running.turn();
    for id in ids {
        // A checkpoint that was made up may tell of batches that there are not.
        let _ = running.read_all(id);
        let _ = running.append(id, &batch(100, 300));
    }
    running.turn();
    let (mut disk, closed) = running.shut_down();
    let reopened = recover(&mut disk);
    assert!(!(closed && true_checkpoints) || reopened.is_ok(), "was closed in good order: {reopened:?}");
});
