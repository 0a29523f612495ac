//! Brings the data directories in order before any shard uses them.

use std::rc::Rc;

use futures_channel::mpsc;
use futures_util::StreamExt as _;
use ringlog_cluster::placement::Placement;
use ringlog_reactor::Reactor;
use ringlog_storage::types::{Millis, PartitionIndex, TopicPartition};
use ringlog_storage::{RecoveredShard, Recovery, RecoveryError, RecoveryNews};

use super::device::Devices;
use super::files::Files;
use crate::lines::Lines;
use crate::settings::Settings;

/// Drives recovery to its end, tells what an operator should know, and gives every partition to the shard that owns it.
pub(crate) async fn recover(
    reactor: &Reactor,
    settings: &Settings,
    shards: u16,
    lines: Lines,
) -> Result<Vec<RecoveredShard>, RecoveryError> {
    let began = reactor.now();
    // Nobody else uses them yet, and a flush that fails ends the start.
    let devices = Devices::new(&vec![0; settings.log_dirs.len()]);
    let files = Rc::new(Files::new(reactor.clone(), settings, devices, lines));
    let mut recovery = Recovery::new(Millis::new(reactor.wall_clock_ms()), settings.dirs());
    let (sender, mut results) = mpsc::unbounded();
    // Recovery bounds what it has under way.
    let mut under_way = 0_usize;
    loop {
        while let Some(io) = recovery.poll_io() {
            under_way += 1;
            let (files, sender) = (Rc::clone(&files), sender.clone());
            reactor.spawn(async move {
                let result = files.perform(io.op).await;
                // The receiver lives until every operation has ended.
                let _ = sender.unbounded_send((io.id, result));
            });
        }
        if under_way == 0 {
            assert!(recovery.is_done(), "recovery asks for nothing and has not ended");
            break;
        }
        let (id, result) = results.next().await.expect("this function keeps a sender");
        under_way -= 1;
        recovery.io_done(id, result);
    }
    let recovered = recovery.finish()?;
    let took = reactor.now() - began;
    tracing::info!(
        partitions = recovered.partitions().count(),
        journal_records = recovered.journal_records,
        news = recovered.news.len(),
        took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        "the data directory is recovered"
    );
    for news in &recovered.news {
        tell(news, settings);
    }
    let placement = Placement::new(shards);
    Ok(recovered.into_shards(shards, |key| placement.owner(key)))
}

fn tell(news: &RecoveryNews, settings: &Settings) {
    let name = |partition: &TopicPartition| (partition.topic.to_string(), partition.partition.get());
    match news {
        RecoveryNews::TornTail { partition, log_end } => {
            let (topic, partition) = name(partition);
            tracing::info!(
                topic,
                partition,
                "the log ended in batches that were never complete nor acknowledged; it ends at {log_end} now"
            );
        }
        RecoveryNews::Rot { partition, from, next_good } => {
            let (topic, partition) = name(partition);
            tracing::error!(
                topic,
                partition,
                "offsets {from} to {next_good} are damaged on the disk; they cannot be read, the rest can"
            );
        }
        RecoveryNews::JournalDamaged { shard, sequence } => {
            tracing::error!(
                shard = shard.get(),
                "the journal is damaged before its record {sequence}: acknowledged records may be lost"
            );
        }
        RecoveryNews::MovedByHand { partition, to } => {
            let (topic, partition) = name(partition);
            let directory = &settings.log_dirs[to.index()].name;
            tracing::warn!(
                topic,
                partition,
                "the folder was found in {directory}, where it was not before; it stays there"
            );
        }
        RecoveryNews::Stray { partition, dir, folder } => {
            let (topic, partition) = name(partition);
            let directory = &settings.log_dirs[dir.index()].name;
            tracing::error!(
                topic,
                partition,
                "there was a second folder of it, which is {directory}/{folder} now; look at it, and remove it if it is not needed"
            );
        }
        RecoveryNews::MoveCompleted { partition, to } => {
            let (topic, partition) = name(partition);
            let directory = &settings.log_dirs[to.index()].name;
            tracing::info!(topic, partition, "the move to {directory} that was under way is complete");
        }
        RecoveryNews::Nameless { partition } => {
            let index: PartitionIndex = partition.partition;
            tracing::warn!(topic_id = %partition.topic_id, partition = index.get(), "the journal holds batches of a partition that is no longer known");
        }
    }
}
