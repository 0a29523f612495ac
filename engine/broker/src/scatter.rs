//! One request, many owners: items go to the shards that own their partitions, outcomes come back in order.

use std::collections::BTreeSet;

use ringlog_cluster::placement::Placement;

use crate::message::{Call, Reply};
use crate::partition::table::PartitionKey;
use crate::recorder::{CourseId, Phase};
use crate::shard::Shard;
use ringlog_net::error::ErrorCode;

/// Each item the first time that it is named. So a small request cannot have the same large answer again and again; clients
/// look their answers up by name.
pub(crate) fn once_each<T, N: Ord>(mut items: Vec<T>, name: impl Fn(&T) -> N) -> Vec<T> {
    let mut named = BTreeSet::new();
    items.retain(|item| named.insert(name(item)));
    items
}

/// Splits `items` by owner, lets `here` work on those of this shard and calls the others, and gathers the outcomes in the
/// order of the items. `here` begins its work when it is called, not when it is waited for. An item that is an error already is
/// its own outcome. The time in which others are waited for is their way over the mesh, with what they do.
pub(crate) async fn scatter<I, T, F>(
    shard: &Shard,
    course: CourseId,
    items: Vec<Result<(PartitionKey, I), ErrorCode>>,
    here: impl FnOnce(Vec<I>) -> F,
    call: impl Fn(Vec<I>) -> Call,
    outcomes: impl Fn(Reply) -> Vec<Result<T, ErrorCode>>,
) -> Vec<Result<T, ErrorCode>>
where
    F: Future<Output = Vec<Result<T, ErrorCode>>>,
{
    let is_held = |placement: &Placement| items.iter().flatten().any(|(key, _)| placement.is_held(*key));
    if let Some((first, _)) = items.iter().flatten().next() {
        shard.recorder().about(course, *first, items.len());
    }
    let sending = shard.begin_sending_any(is_held).await;
    let mut places = Vec::with_capacity(items.len());
    let mut groups: Vec<Vec<I>> = (0..shard.count()).map(|_| Vec::new()).collect();
    for item in items {
        places.push(item.map(|(key, item)| {
            let owner = shard.owner(key);
            groups[owner].push(item);
            owner
        }));
    }
    let mine = std::mem::take(&mut groups[shard.index()]);
    let mut calls = Vec::new();
    for (owner, items) in groups.into_iter().enumerate().filter(|(_, items)| !items.is_empty()) {
        calls.push((owner, shard.call(owner, call(items)).await));
    }
    let mut gathered: Vec<std::vec::IntoIter<_>> = (0..shard.count()).map(|_| Vec::new().into_iter()).collect();
    let here = (!mine.is_empty()).then(|| here(mine));
    // Everything has its place, here as on the others, and nobody has to wait for it any more who moves partitions.
    drop(sending);
    if let Some(here) = here {
        gathered[shard.index()] = here.await.into_iter();
    }
    let others = !calls.is_empty();
    if others {
        shard.until_now(course, Phase::Handle);
    }
    for (owner, call) in calls {
        gathered[owner] = outcomes(call.reply().await).into_iter();
    }
    if others {
        shard.until_now(course, Phase::Mesh);
    }
    let outcome = |place: Result<usize, ErrorCode>| gathered[place?].next().expect("a shard answers every item");
    places.into_iter().map(outcome).collect()
}
