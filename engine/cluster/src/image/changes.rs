//! What differs between two images: so that following a change costs what changed, and not what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::ordmap::DiffItem;
use ringlog_storage::types::BrokerId;

use super::{ConfigResource, Image, TopicImage};

/// A topic that is not as it was, or whose configuration may not be.
#[derive(Clone, Copy, Debug)]
pub struct TopicChange<'a> {
    /// As it was; `None` if there was none of this name.
    pub before: Option<&'a Arc<TopicImage>>,
    /// As it is; `None` if there is none of this name any more.
    pub now: Option<&'a Arc<TopicImage>>,
}

impl Image {
    /// The topics that differ from those of an older image in what `broker` has to know, by name in ascending order. When
    /// configuration of brokers has changed, those are all topics.
    pub fn topic_changes<'a>(&'a self, older: &'a Self, broker: BrokerId) -> Vec<TopicChange<'a>> {
        let mut changes: BTreeMap<&str, TopicChange<'a>> = BTreeMap::new();
        for difference in older.topics.diff(&self.topics) {
            let (name, before, now) = match difference {
                DiffItem::Add(name, now) => (name, None, Some(now)),
                DiffItem::Update { old: (_, before), new: (name, now) } => (name, Some(before), Some(now)),
                DiffItem::Remove(name, before) => (name, Some(before), None),
            };
            changes.insert(name, TopicChange { before, now });
        }
        for difference in older.configs.diff(&self.configs) {
            let (DiffItem::Add(resource, _)
            | DiffItem::Update { new: (resource, _), .. }
            | DiffItem::Remove(resource, _)) = difference;
            match resource {
                ConfigResource::Topic(name) => {
                    if let Some(now) = self.topics.get(name) {
                        let change = TopicChange { before: older.topics.get(name), now: Some(now) };
                        changes.entry(name).or_insert(change);
                    }
                }
                ConfigResource::Broker(id) if *id != broker => {}
                ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => {}
                ConfigResource::Broker(_) | ConfigResource::AllBrokers => return self.all_topics(older, changes),
            }
        }
        changes.into_values().collect()
    }

    /// The changes, and every topic that is the same.
    fn all_topics<'a>(
        &'a self,
        older: &'a Self,
        mut changes: BTreeMap<&'a str, TopicChange<'a>>,
    ) -> Vec<TopicChange<'a>> {
        for (name, now) in &self.topics {
            let change = TopicChange { before: older.topics.get(name), now: Some(now) };
            changes.entry(name).or_insert(change);
        }
        changes.into_values().collect()
    }
}
