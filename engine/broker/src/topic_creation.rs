//! Topics that are made because a client named them.

use std::collections::BTreeSet;

use ringlog_cluster::metadata::{Intent, NewTopic};
use ringlog_cluster::quota::MutationQuota;

use crate::controller::decide;
use crate::limits::AUTO_CREATIONS_MAX;
use crate::shard::Shard;

/// Makes topics with the broker's defaults, in the background: the client asks again until they are there.
pub(crate) fn auto_create(shard: &Shard, names: BTreeSet<String>) {
    let missing = shard.with(|state| {
        let room = AUTO_CREATIONS_MAX.saturating_sub(state.auto_creating.len());
        let names: BTreeSet<_> =
            names.into_iter().filter(|name| !state.auto_creating.contains(name)).take(room).collect();
        state.auto_creating.extend(names.iter().cloned());
        names
    });
    if missing.is_empty() {
        return;
    }
    let shard = shard.clone();
    shard.reactor().clone().spawn(async move {
        let topics: Vec<_> = missing.iter().cloned().map(NewTopic::with_defaults).collect();
        let created = decide(&shard, move |metadata, random| {
            metadata.create_topics(&topics, Intent::Apply, random, &mut MutationQuota::unlimited())
        })
        .await;
        shard.with(|state| state.auto_creating.retain(|name| !missing.contains(name)));
        match created {
            Ok(results) => {
                for (name, result) in missing.iter().zip(results) {
                    match result {
                        Ok(_) => tracing::info!(topic = name, "topic created, because a client asked for it"),
                        Err(error) => tracing::info!(topic = name, "topic not created: {error}"),
                    }
                }
            }
            Err(code) => tracing::warn!("topics that clients asked for were not created: {code}"),
        }
    });
}
