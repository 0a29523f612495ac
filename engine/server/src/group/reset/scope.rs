//! Which partitions are reset: `--topic T[:0,1,2]`, `--all-topics`.

use std::collections::BTreeSet;

use anyhow::bail;
use ringlog_storage::types::{PartitionIndex, TopicPartition};

use crate::group::offsets::Topics;

#[derive(Clone, Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("scope").required(true).args(["topic", "all_topics"]))]
pub(super) struct ScopeArguments {
    /// A topic, or some of its partitions; may be repeated.
    #[arg(short, long, value_name = "TOPIC[:N,N]", value_parser = Choice::parse)]
    topic: Vec<Choice>,
    /// All partitions that the group has committed offsets of.
    #[arg(long)]
    all_topics: bool,
}

/// A topic, or some of its partitions.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Choice {
    topic: String,
    /// Empty for all.
    partitions: Vec<i32>,
}

impl Choice {
    fn parse(text: &str) -> Result<Self, String> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, partitions)) => (topic, Some(partitions)),
            None => (text, None),
        };
        if topic.is_empty() {
            return Err("expected a topic, or a topic, a colon and partitions separated by commas".to_owned());
        }
        let partition = |text: &str| {
            let number = text.trim().parse().ok().filter(|number| *number >= 0);
            number.ok_or_else(|| format!("{text:?} is not a partition; expected 0, 1, 2, ... separated by commas"))
        };
        let partitions = partitions.map(|text| text.split(',').map(partition).collect()).transpose()?;
        Ok(Self { topic: topic.to_owned(), partitions: partitions.unwrap_or_default() })
    }
}

impl ScopeArguments {
    /// The partitions that are meant, in order, where these have offsets.
    pub(super) fn partitions<'a>(
        &self,
        group: &str,
        topics: &Topics,
        committed: impl Iterator<Item = &'a TopicPartition>,
    ) -> anyhow::Result<BTreeSet<TopicPartition>> {
        if self.all_topics {
            let all: BTreeSet<_> = committed.cloned().collect();
            if all.is_empty() {
                bail!("group {group} has committed no offsets, so --all-topics is none: name topics with --topic");
            }
            return Ok(all);
        }
        chosen(topics, &self.topic)
    }
}

fn chosen(topics: &Topics, choices: &[Choice]) -> anyhow::Result<BTreeSet<TopicPartition>> {
    let mut partitions = BTreeSet::new();
    for Choice { topic: name, partitions: wanted } in choices {
        let Some(topic) = topics.get(name) else { bail!("topic {name} does not exist") };
        let there: BTreeSet<i32> = topic.partitions.iter().map(|partition| partition.partition_index).collect();
        if let Some(missing) = wanted.iter().find(|index| !there.contains(index)) {
            bail!("topic {name} has no partition {missing}; it has {}", there.len());
        }
        let all = there.into_iter().filter(|index| wanted.is_empty() || wanted.contains(index));
        partitions.extend(all.map(|index| TopicPartition::new(name.as_str(), PartitionIndex::new(index))));
    }
    Ok(partitions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_may_name_partitions() {
        let check = |text: &str, topic: &str, partitions: &[i32]| {
            let expected = Choice { topic: topic.to_owned(), partitions: partitions.to_vec() };
            assert_eq!(Choice::parse(text), Ok(expected), "{text}");
        };
        check("orders", "orders", &[]);
        check("orders:0", "orders", &[0]);
        check("orders:2, 0,1", "orders", &[2, 0, 1]);
        for bad in ["", ":0", "orders:", "orders:x", "orders:-1", "orders:0,,1", "orders:1:2"] {
            assert!(Choice::parse(bad).is_err(), "{bad}");
        }
    }
}
