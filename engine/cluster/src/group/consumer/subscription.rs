//! What the members of a consumer group subscribe to: topics by name, and expressions that the coordinator matches.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use regex::{Regex, RegexBuilder};
use ringlog_net::messages::group_log::{ConsumerGroupRegularExpressionValue, GroupRecord};
use ringlog_storage::types::Uuid;

use super::{ConsumerGroup, expression_record};
use crate::group::Turn;
use crate::image::Image;

/// The most memory that a compiled expression may take: the text comes from a client.
const EXPRESSION_BYTES_MAX: usize = 1024 * 1024;

/// Whether an expression can be matched. Its syntax is that of RE2 (KIP-848).
pub fn is_valid_expression(text: &str) -> bool {
    compile(text).is_some()
}

/// An expression matches whole names.
fn compile(text: &str) -> Option<Regex> {
    let build = |text: &str| RegexBuilder::new(text).size_limit(EXPRESSION_BYTES_MAX).build().ok();
    // By itself as well: it must not end the brackets around it.
    build(text)?;
    build(&format!("^(?:{text})$"))
}

/// What an expression matches now.
pub(super) fn matches(turn: &Turn<'_>, text: &str) -> ConsumerGroupRegularExpressionValue {
    let names = turn.image.topics().map(|topic| &*topic.name);
    let topics = match compile(text) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_whole_names() {
        let is_match = |text: &str, name: &str| compile(text).expect("it is one").is_match(name);
        assert!(is_match("a|bc", "bc") && !is_match("a|bc", "abc") && !is_match("a", "ab"));
        assert!(is_match("^order.*$", "orders"));
    }

    #[test]
    fn what_is_no_expression_or_takes_too_much_memory_is_refused() {
        for text in ["(", "[a", "*", r"(?=a)", r"(a)\1", "a{1000}{1000}{1000}", "a)(b"] {
            assert!(!is_valid_expression(text), "{text}");
        }
        assert!(is_valid_expression(r"[\w.-]+"));
    }
}
