//! Changes how many shards own partitions while the broker runs (`ringlog.shards`). On shard 0. Connections follow.
//!
//! Partitions move some at a time, after they have been brought into their segments while they are used. Requests for them wait
//! until those that were sent before are where they were sent, the shard that had them has brought what is new into their
//! segments and let go of them, and the other has taken them over. No other change of the metadata is put in force meanwhile, so
//! that every shard opens and closes what all of them think that it owns.
//!
//! A partition stays where it is, and is served there, while its shard cannot let go of it or the other has no room. One that is
//! on its way to another data directory follows when it has arrived there, or does not go there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_channel::oneshot;
use ringlog_cluster::config::{ConfigLayers, SHARDS_KEY, shards_beyond, shards_in_use};
use ringlog_cluster::image::Image;
use ringlog_cluster::placement::Placement;
use ringlog_storage::types::ShardId;

use crate::calls::PendingCall;
use crate::connection_moves;
use crate::controller::{everywhere, publications};
use crate::errand::on_shard;
use crate::handover::{self, Moved};
use crate::message::{Call, Reply};
use crate::partition::table::PartitionKey;
use crate::shard::Shard;
use crate::topics::all_partitions;
use crate::topology;

/// Partitions that are brought into their segments together. Those that have no files yet get them; the file system makes that
/// durable for all of them at once, and every flush waits meanwhile: a millisecond for each two or three.
const PREPARED_AT_ONCE_MAX: usize = 16;
/// How long that may take.
const PREPARATION_TIME_MAX: Duration = Duration::from_secs(10);
/// Partitions that move at a time.
const MOVED_AT_ONCE_MAX: usize = 64;
/// How long requests for them may wait: a disk that brings nothing to its end in this time keeps its partitions where they
/// are.
const RELEASE_TIME_MAX: Duration = Duration::from_secs(2);

/// Has as many shards in use as the configuration says, whenever that changes, and partitions where they should be.
pub(crate) async fn follow(shard: Shard) {
    // It was good when it was set: there were more cores then.
    if let Some(beyond) = with_layers(&shard, |layers, there| shards_beyond(layers.integer(SHARDS_KEY), there)) {
        tracing::warn!("{beyond}; all of them are in use");
    }
    loop {
        // Whoever asks from here on may want another number.
        let (waiting, settled) =
            shard.with(|state| (std::mem::take(&mut state.resize_waits), std::mem::take(&mut state.settled)));
        let wanted = wanted(&shard);
        let mut spread = shard.with(|state| std::mem::take(&mut state.spread_connections));
        if wanted == shard.routes().placement().in_use() {
            catch_up(&shard, &settled).await;
        } else {
            resize(&shard, wanted).await;
            spread = true;
        }
        if spread {
            connection_moves::spread(&shard).await;
        }
        for waiting in waiting {
            // Who asked may have given up.
            let _ = waiting.send(());
        }
        shard.resize_bell().wait().await;
    }
}

/// Waits until as many shards are in use as the configuration says, or have been tried to be.
pub(crate) async fn settled(shard: &Shard) {
    if shard.index() != 0 {
        shard.call(0, Call::Resized).await.reply().await;
        return;
    }
    let (sender, settled) = oneshot::channel();
    shard.with(|state| state.resize_waits.push(sender));
    shard.resize_bell().ring();
    // It is dropped when the broker stops.
    let _ = settled.await;
}

/// On shard 0: a shard that is not in use has connections.
pub(crate) fn spread_connections(shard: &Shard) {
    shard.with(|state| state.spread_connections = true);
    shard.resize_bell().ring();
}

/// The partition is not on its way to another data directory any more.
pub(crate) fn note_settled(shard: &Shard, key: PartitionKey) {
    shard.with(|state| state.settled.insert(key));
    shard.resize_bell().ring();
}

/// What the configuration says, as far as there are shards.
fn wanted(shard: &Shard) -> u16 {
    with_layers(shard, shards_in_use)
}

/// Looks something up in the configuration in force that depends on how many shards there are.
fn with_layers<T>(shard: &Shard, look_up: impl Fn(&ConfigLayers<'_>, u16) -> T) -> T {
    let (settings, image) = (shard.settings(), shard.with(|state| Arc::clone(&state.image)));
    let shards = shard.shards();
    look_up(&settings.layers(&image), shards)
}

/// Has the first `shards` shards own all partitions.
async fn resize(shard: &Shard, shards: u16) {
    let began = shard.now();
    let mut placement = Placement::clone(&shard.routes().placement());
    let publications = publications(shard);
    {
        let _turn = publications.turn().await;
        let image = shard.with(|state| Arc::clone(&state.image));
        placement.change(shards, all_partitions(&image));
        place(shard, &placement, &[]).await;
    }
    let to_move = placement.to_move().collect();
    let moved = move_all(shard, &mut placement, to_move).await;
    {
        // Topics may have been deleted meanwhile.
        let _turn = publications.turn().await;
        let image = shard.with(|state| Arc::clone(&state.image));
        let gone: Vec<_> = placement.to_move().map(|(key, _)| key).filter(|key| !exists(&image, *key)).collect();
        placement.arrived(gone);
        place(shard, &placement, &[]).await;
    }
    let stayed = placement.to_move().count();
    let took_ms = shard.now().since(began).as_millis();
    if wanted(shard) != shards {
        tracing::info!(
            "{moved} partitions were moved in {took_ms} ms, before another number of shards than {shards} was asked for"
        );
    } else if stayed == 0 {
        tracing::info!("{shards} shards own all partitions: {moved} were moved in {took_ms} ms");
    } else {
        tracing::warn!(
            "{moved} partitions were moved to {shards} shards in {took_ms} ms; {stayed} stay where they are: those that are on \
             their way to another data directory until they are there, others until the next change, because their disk did \
             not let go of them or their shard has as many partitions as it can have"
        );
    }
}

/// Moves those of these partitions that are not on the shards where they should be.
async fn catch_up(shard: &Shard, settled: &BTreeSet<PartitionKey>) {
    let mut placement = Placement::clone(&shard.routes().placement());
    let late: Vec<_> = placement.to_move().filter(|(key, _)| settled.contains(key)).collect();
    if late.is_empty() {
        return;
    }
    let moved = move_all(shard, &mut placement, late).await;
    tracing::info!(
        "{moved} partitions have followed to their shards, now that they do not change their data directory"
    );
}

/// Moves partitions from the shards where they are, and answers how many have moved.
async fn move_all(shard: &Shard, placement: &mut Placement, mut to_move: Vec<(PartitionKey, ShardId)>) -> usize {
    let publications = publications(shard);
    let (mut moved, mut disk_follows) = (0, true);
    loop {
        let (before, mut crowded) = (moved, Vec::new());
        for some in to_move.chunks(MOVED_AT_ONCE_MAX) {
            if wanted(shard) != placement.in_use() {
                // Another number is wanted by now, and where they should be then.
                return moved;
            }
            for few in some.chunks(PREPARED_AT_ONCE_MAX) {
                if disk_follows {
                    disk_follows = prepare(shard, few).await;
                }
            }
            let _turn = publications.turn().await;
            moved += move_some(shard, placement, some, &mut crowded).await;
        }
        // There may be room where others have left since.
        if crowded.is_empty() || moved == before {
            return moved;
        }
        to_move = crowded;
    }
}

/// Moves these partitions, and answers how many have moved. Those for which there is no room are `crowded`.
async fn move_some(
    shard: &Shard,
    placement: &mut Placement,
    some: &[(PartitionKey, ShardId)],
    crowded: &mut Vec<(PartitionKey, ShardId)>,
) -> usize {
    let image = shard.with(|state| Arc::clone(&state.image));
    let some: Vec<_> = some.iter().filter(|(key, _)| exists(&image, *key)).copied().collect();
    let mut room = room(shard, some.iter().map(|(key, _)| placement.destination(*key).index())).await;
    let mut leaving: BTreeMap<usize, Vec<PartitionKey>> = BTreeMap::new();
    for (key, from) in some {
        let left = room.get_mut(&placement.destination(key).index()).expect("all of them were asked");
        if *left > 0 {
            *left -= 1;
            leaving.entry(from.index()).or_default().push(key);
        } else {
            crowded.push((key, from));
        }
    }
    placement.hold(leaving.values().flatten().copied());
    let givers: Vec<usize> = leaving.keys().copied().collect();
    place(shard, placement, &givers).await;
    let left = release(shard, leaving).await;
    let mut taken: BTreeMap<(usize, usize), Vec<Moved>> = BTreeMap::new();
    let mut arrived = Vec::new();
    for (from, moved) in left {
        let key = moved.key();
        arrived.push(key);
        taken.entry((from, placement.destination(key).index())).or_default().push(moved);
    }
    adopt(shard, taken).await;
    placement.arrived(arrived.iter().copied());
    placement.let_go();
    place(shard, placement, &[]).await;
    arrived.len()
}

/// How many more partitions these shards can have. Nobody else opens any before this turn is over.
async fn room(shard: &Shard, takers: impl Iterator<Item = usize>) -> BTreeMap<usize, usize> {
    let mut room = BTreeMap::new();
    for taker in takers.collect::<BTreeSet<_>>() {
        room.insert(taker, on_shard(shard, taker, |shard| shard.with(|state| state.store.room())).await);
    }
    room
}

/// Has the shards that have these partitions bring them into their segments. Answers whether that took less than all the time
/// that it may.
async fn prepare(shard: &Shard, many: &[(PartitionKey, ShardId)]) -> bool {
    let deadline = shard.now().saturating_add(PREPARATION_TIME_MAX);
    let mut givers: BTreeMap<usize, Vec<PartitionKey>> = BTreeMap::new();
    for (key, from) in many {
        givers.entry(from.index()).or_default().push(*key);
    }
    let (mut here, mut calls) = (None, Vec::new());
    for (from, keys) in givers {
        if from == shard.index() {
            here = Some(handover::prepare(shard.clone(), keys, PREPARATION_TIME_MAX));
        } else {
            calls.push(shard.call(from, Call::Prepare(keys, PREPARATION_TIME_MAX)).await);
        }
    }
    if let Some(here) = here {
        here.await;
    }
    for call in calls {
        call.reply().await;
    }
    shard.now() < deadline
}

async fn release(shard: &Shard, leaving: BTreeMap<usize, Vec<PartitionKey>>) -> Vec<(usize, Moved)> {
    let (mut here, mut calls) = (None, Vec::new());
    for (from, keys) in leaving {
        if from == shard.index() {
            here = Some(handover::release(shard.clone(), keys, RELEASE_TIME_MAX));
        } else {
            calls.push((from, shard.call(from, Call::Release(keys, RELEASE_TIME_MAX)).await));
        }
    }
    let mut left = Vec::new();
    if let Some(here) = here {
        left.extend(here.await.into_iter().map(|moved| (shard.index(), moved)));
    }
    for (from, call) in calls {
        match call.reply().await {
            Reply::Released(moved) => left.extend(moved.into_iter().map(|moved| (from, moved))),
            other => unreachable!("a shard that lets go answers what has left, not {other:?}"),
        }
    }
    left
}

async fn adopt(shard: &Shard, taken: BTreeMap<(usize, usize), Vec<Moved>>) {
    let mut calls: Vec<PendingCall> = Vec::new();
    for ((from, to), moved) in taken {
        if to == shard.index() {
            handover::adopt(shard, from, moved);
        } else {
            calls.push(shard.call(to, Call::Adopt(from, moved)).await);
        }
    }
    for call in calls {
        call.reply().await;
    }
}

/// Puts a placement in force everywhere. When this returns, what was sent by the one before is with the `givers`.
async fn place(shard: &Shard, placement: &Placement, givers: &[usize]) {
    let (placement, givers): (Arc<Placement>, Arc<[usize]>) = (Arc::new(placement.clone()), givers.into());
    let here = put_in_force(shard.clone(), Arc::clone(&placement), Arc::clone(&givers));
    everywhere(shard, || Call::Place(Arc::clone(&placement), Arc::clone(&givers)), here).await;
}

/// Sends by a placement from now on. Ends when what was sent by the one before is with the `givers`.
pub(crate) async fn put_in_force(shard: Shard, placement: Arc<Placement>, givers: Arc<[usize]>) {
    shard.routes().change(placement).await;
    topology::renew_move_rate(&shard);
    let mut fences = Vec::new();
    for giver in givers.iter().filter(|giver| **giver != shard.index()) {
        fences.push(shard.call(*giver, Call::Fence).await);
    }
    for fence in fences {
        fence.reply().await;
    }
}

fn exists(image: &Image, key: PartitionKey) -> bool {
    image.topic_by_id(key.topic_id).is_some_and(|topic| topic.partition(key.partition).is_some())
}
