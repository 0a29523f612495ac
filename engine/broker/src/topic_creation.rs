//! Topics that are made because a client named them; and the lines of topics that come and go, for whichever reason.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use ringlog_cluster::image::is_internal;
use ringlog_cluster::metadata::{Intent, NewTopic};
use ringlog_cluster::quota::MutationQuota;

use crate::controller::decide;
use crate::dispatch::Incoming;
use crate::group::{self, GROUP_TOPIC};
use crate::limits::AUTO_CREATIONS_MAX;
use crate::lines::repeated;
use crate::shard::Shard;

/// Makes topics with the broker's defaults, in the background: the client asks again until they are there.
pub(crate) fn auto_create(shard: &Shard, names: BTreeSet<String>) {
    let missing = shard.with(|state| {
        let room = AUTO_CREATIONS_MAX.saturating_sub(state.auto_creating.len());
        // The brokers' own topics are made by those who write to them, which for all but this one is nobody yet.
        let may_be_made = |name: &String| !is_internal(name) || name == GROUP_TOPIC;
        let names = names.into_iter().filter(may_be_made).filter(|name| !state.auto_creating.contains(name));
        let names: BTreeSet<_> = names.take(room).collect();
        state.auto_creating.extend(names.iter().cloned());
        names
    });
    if missing.is_empty() {
        return;
    }
    let shard = shard.clone();
    shard.reactor().clone().spawn(async move {
        let new = |name: &String| match name.as_str() {
            GROUP_TOPIC => group::log_topic(&shard),
            _ => NewTopic::with_defaults(name.clone()),
        };
        let topics: Vec<_> = missing.iter().map(new).collect();
        let created = decide(&shard, move |metadata, random| {
            metadata.create_topics(&topics, Intent::Apply, random, &mut MutationQuota::unlimited())
        })
        .await;
        shard.with(|state| state.auto_creating.retain(|name| !missing.contains(name)));
        match created {
            Ok(results) => {
                for (topic, result) in missing.iter().zip(results) {
                    match result {
                        Ok(_) => {
                            let lines = shard.lines();
                            repeated!(
                                lines,
                                TopicChanged,
                                "topics created or deleted",
                                INFO,
                                topic,
                                "topic created, because a client asked for it"
                            );
                        }
                        Err(error) => tell_not_created(&shard, topic, &error.to_string()),
                    }
                }
            }
            Err(code) => missing.iter().for_each(|topic| tell_not_created(&shard, topic, code.message())),
        }
    });
}

fn tell_not_created(shard: &Shard, topic: &str, error: &str) {
    repeated!(
        shard.lines(),
        TopicNotCreated,
        "topics not created",
        INFO,
        topic,
        "the topic that a client asked for was not created: {error}"
    );
}

/// What became of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Change {
    Created,
    Deleted,
}

/// The client that changes topics.
pub(crate) struct Changer {
    shard: Shard,
    peer: SocketAddr,
    client_id: Arc<str>,
}

impl Changer {
    pub(crate) fn of(incoming: Incoming<'_>) -> Self {
        let (shard, peer) = (incoming.connection.shard().clone(), incoming.connection.peer);
        Self { shard, peer, client_id: Arc::clone(&incoming.request.header.client_id) }
    }

    /// Tells what it did.
    pub(crate) fn tell(&self, topic: &str, change: Change) {
        let change = match change {
            Change::Created => "created",
            Change::Deleted => "deleted",
        };
        repeated!(
            self.shard.lines(),
            TopicChanged,
            "topics created or deleted",
            INFO,
            topic,
            client_id = &*self.client_id,
            peer = %self.peer,
            "topic {change}"
        );
    }
}
