//! What the members of a consumer group subscribe to: topics by name, and expressions that the coordinator matches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use ringlog_net::messages::group_log::{ConsumerGroupRegularExpressionValue, GroupRecord};
use ringlog_storage::types::Uuid;

use super::{ConsumerGroup, expression_record};
use crate::expression::whole_match;
use crate::group::Turn;
use crate::image::Image;

/// What an expression matches now.
pub(super) fn matches(turn: &Turn<'_>, text: &str) -> ConsumerGroupRegularExpressionValue {
    let names = turn.image.topics().map(|topic| &*topic.name);
    let topics = match whole_match(text) {
        Some(regex) => names.filter(|name| regex.is_match(name)).map(str::to_owned).collect(),
        None => Vec::new(),
    };
    ConsumerGroupRegularExpressionValue { topics, version: turn.image.offset().get(), timestamp: turn.now.wall.get() }
}

/// Matches the members' expressions again, and writes down where that has changed something.
pub(super) fn refresh(turn: &mut Turn<'_>, id: &str, group: &ConsumerGroup) -> BTreeMap<String, Vec<String>> {
    let mut fresh = BTreeMap::new();
    for (text, before) in &group.expressions {
        let now = matches(turn, text);
        if now.topics != before.topics {
            fresh.insert(text.clone(), now.topics.clone());
            let record: GroupRecord = expression_record(id, text, Some(now));
            turn.decision.records.push(record);
        }
    }
    fresh
}

/// The topics of these names that there are, with the number of their partitions.
pub(super) fn known<'n>(image: &Image, names: impl IntoIterator<Item = &'n str>) -> BTreeMap<Uuid, i32> {
    let found = names.into_iter().filter_map(|name| image.topic(name));
    found.map(|topic| (topic.id, i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX))).collect()
}

/// Tells one set of topics from another. Of another release it may be another number: then the group is divided once more.
pub(super) fn metadata_hash(topics: &BTreeMap<Uuid, i32>) -> i64 {
    let mut hasher = DefaultHasher::new();
    for (topic, partitions) in topics {
        (topic.as_u128(), partitions).hash(&mut hasher);
    }
    hasher.finish().cast_signed()
}
