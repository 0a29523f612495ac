//! Serves what other shards ask for.

use crate::connection_limits;
use crate::connection_moves;
use crate::controller;
use crate::group;
use crate::message::{Call, CallId, Message, Reply};
use crate::partition::read::ReadTimes;
use crate::partition::watch::Watcher;
use crate::partition::{append, deletion, lookup, moves, producers, read, sizes};
use crate::shard::Shard;
use crate::{handover, resize, topology};

/// Takes messages in order, for ever. Each is begun at once: appends of one shard land in the order in which it sent
/// them. What has to wait goes on in a task of its own.
pub(crate) async fn serve(shard: Shard) {
    loop {
        let (from, message) = shard.next_message().await;
        match message {
            Message::Call { id, call } => begin(&shard, from, id, call),
            Message::Boot(_) => unreachable!("a shard boots once, before it serves"),
            Message::Serve => shard.serving().ring(),
            Message::Reply { id, reply } => shard.replied(id, reply),
            Message::Group(call) => group::serve(&shard, *call),
            Message::GroupAnswer(told) => shard.group_waits().answered(*told),
            Message::Wake(watch) => shard.with(|state| state.watches.wake(watch)),
            Message::Adopted(release) => shard.with(|state| state.store.forget_released(release)),
            Message::Settled(key) => resize::note_settled(&shard, key),
            Message::Connections(notes) => connection_limits::take(&shard, notes),
            Message::MakeRoom(count) => connection_limits::make_room(&shard, count),
            Message::Unwatch(watch) => shard.with(|state| state.watched.remove(Watcher { shard: from, watch })),
        }
    }
}

fn begin(shard: &Shard, from: usize, id: CallId, call: Call) {
    let reply = match call {
        Call::Append(items, wait_max) => {
            let begun = append::begin(shard, items, wait_max);
            later(shard, from, id, async move {
                let (outcomes, times) = begun.outcomes().await;
                Reply::Append(outcomes, times)
            });
            return;
        }
        Call::Read(call) => {
            let taken_at = shard.now();
            let begun = read::begin(shard, &call, from);
            later(shard, from, id, async move {
                let (outcomes, disk) = begun.outcomes().await;
                Reply::Read(outcomes, ReadTimes { taken_at, disk })
            });
            return;
        }
        Call::Offsets(items) => {
            let begun = lookup::begin(shard, &items);
            later(shard, from, id, async move { Reply::Offsets(begun.outcomes().await) });
            return;
        }
        Call::Producers(keys) => Reply::Producers(shard.with(|state| producers::producers(state, &keys))),
        Call::Sizes(keys) => Reply::Sizes(shard.with(|state| sizes::sizes(state, &keys))),
        Call::Move(items) => Reply::Moving(shard.with(|state| moves::begin(state, &items))),
        Call::Charge(charges) => {
            let now = shard.now();
            Reply::Throttle(shard.with(|state| state.quota_usages.record(&charges, now)))
        }
        Call::Connect(origin) => {
            let verdict = connection_limits::ask(shard, origin);
            later(shard, from, id, async move { Reply::Verdict(verdict.await) });
            return;
        }
        Call::Delete(items, wait_max) => {
            let begun = deletion::begin(shard, &items, wait_max);
            later(shard, from, id, async move { Reply::Delete(begun.outcomes().await) });
            return;
        }
        Call::EpochEnds(items) => Reply::EpochEnds(shard.with(|state| lookup::epoch_ends(state, &items))),
        Call::Command(command) => {
            let served = controller::submit(shard.clone(), *command);
            later(shard, from, id, async move { Reply::Command(Box::new(served.await)) });
            return;
        }
        Call::Errand(errand) => Reply::Errand(errand.run(shard)),
        Call::Close(image) => {
            let closed = topology::close_missing(shard.clone(), image);
            later(shard, from, id, async move { Reply::Closed(closed.await) });
            return;
        }
        Call::Install(image, plan) => {
            topology::install(shard, image, &plan);
            Reply::Done
        }
        Call::Place(placement, givers) => {
            let placed = resize::put_in_force(shard.clone(), placement, givers);
            later(shard, from, id, async move {
                placed.await;
                Reply::Done
            });
            return;
        }
        Call::Fence => Reply::Done,
        Call::Prepare(keys, time_max) => {
            let prepared = handover::prepare(shard.clone(), keys, time_max);
            later(shard, from, id, async move {
                prepared.await;
                Reply::Done
            });
            return;
        }
        Call::Release(keys, time_max) => {
            let released = handover::release(shard.clone(), keys, time_max);
            later(shard, from, id, async move { Reply::Released(released.await) });
            return;
        }
        Call::Adopt(giver, moved) => {
            handover::adopt(shard, giver, moved);
            Reply::Done
        }
        Call::Resized => {
            let waiting = shard.clone();
            later(shard, from, id, async move {
                resize::settled(&waiting).await;
                Reply::Done
            });
            return;
        }
        Call::TakeUp(moving) => {
            let taken = connection_moves::take_up(shard.clone(), moving);
            later(shard, from, id, async move { Reply::TakenUp(taken.await) });
            return;
        }
        Call::Drain => {
            shard.stopping().ring();
            let drained = shard.clone();
            later(shard, from, id, async move {
                drained.drained().wait().await;
                Reply::Done
            });
            return;
        }
        Call::Shutdown => {
            shard.closing().ring();
            Reply::Done
        }
    };
    shard.post(from, Message::Reply { id, reply });
}

fn later(shard: &Shard, to: usize, id: CallId, reply: impl Future<Output = Reply> + 'static) {
    let shard = shard.clone();
    shard.reactor().clone().spawn(async move {
        let reply = reply.await;
        shard.post(to, Message::Reply { id, reply });
    });
}
