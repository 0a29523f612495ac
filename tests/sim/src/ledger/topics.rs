//! Topics as clients know them: by the id of each incarnation.

use std::collections::BTreeMap;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata::MetadataResponseTopic;
use ringlog_storage::types::Uuid;

use super::{Ledger, Partition};

/// The end of the names of topics that nobody deletes.
const LASTING: &str = "-lasting";

/// What a topic is configured to be. It follows from the name, so that whoever finds the topic knows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Durable before it is acknowledged; nothing is ever deleted.
    Durable,
    /// Durable, with the broker's times.
    LogAppendTime,
    /// Durable, compressed by the broker.
    Recompressed,
    /// Durable, and only the newest segments are kept.
    Retained,
    /// Acknowledged from memory, flushed after a few records.
    Interval,
    /// Acknowledged from memory.
    Volatile,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Durable, Self::LogAppendTime, Self::Recompressed, Self::Retained, Self::Interval, Self::Volatile];

    /// The name of the n-th topic of this kind.
    pub(crate) fn name(self, number: u64) -> String {
        let kind = match self {
            Self::Durable => "durable",
            Self::LogAppendTime => "append-time",
            Self::Recompressed => "recompressed",
            Self::Retained => "retained",
            Self::Interval => "interval",
            Self::Volatile => "volatile",
        };
        format!("{kind}-{number}")
    }

    /// The name of the topic of this kind that nobody deletes.
    pub(crate) fn lasting_name(self) -> String {
        self.name(0) + LASTING
    }

    /// The kind of a topic by its name.
    pub(crate) fn of(name: &str) -> Self {
        let is_of = |kind: &Self| kind.name(0).strip_suffix('0').is_some_and(|prefix| name.starts_with(prefix));
        Self::ALL.into_iter().find(is_of).unwrap_or_else(|| panic!("nobody has created a topic {name}"))
    }

    /// The configuration that makes a topic so.
    pub(crate) fn configs(self) -> Vec<(&'static str, &'static str)> {
        match self {
            Self::Durable => vec![],
            Self::LogAppendTime => vec![("message.timestamp.type", "LogAppendTime")],
            Self::Recompressed => vec![("compression.type", "lz4")],
            Self::Retained => vec![("retention.bytes", "100000"), ("file.delete.delay.ms", "50")],
            Self::Interval => vec![("ringlog.durability", "interval"), ("flush.messages", "20"), ("flush.ms", "100")],
            Self::Volatile => vec![("ringlog.durability", "none")],
        }
    }

    /// Whether what is acknowledged survives everything.
    pub(crate) fn is_durable(self) -> bool {
        !matches!(self, Self::Interval | Self::Volatile)
    }

    /// Whether batches are not stored byte for byte.
    pub(crate) fn is_rewritten(self) -> bool {
        matches!(self, Self::LogAppendTime | Self::Recompressed)
    }

    /// Whether the log start may move.
    pub(crate) fn loses_old_segments(self) -> bool {
        self == Self::Retained
    }
}

/// What is known about whether a topic exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Stage {
    /// It was created, and nobody has asked to delete it.
    Alive,
    /// Somebody has asked to delete it.
    Doomed,
    /// It was deleted.
    Gone,
}

/// One incarnation of a topic.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    /// Nobody ever deletes it: its name means one incarnation.
    pub(crate) is_lasting: bool,
    /// As many as certainly exist.
    pub(crate) partitions: i32,
    /// A setting that was acknowledged, unless somebody has asked for another one since.
    pub(crate) setting: Option<(String, String)>,
    /// No request to change a setting has an uncertain end.
    pub(crate) is_settled: bool,
}

impl Ledger {
    /// A topic exists: its creation was acknowledged, or it was found.
    pub(crate) fn topic_exists(&mut self, id: Uuid, name: &str, partitions: i32) {
        assert_ne!(id, Uuid::ZERO, "topic {name} has no id");
        let alive = self.topics.values().any(|topic| topic.name == name && topic.stage == Stage::Alive);
        assert!(!alive, "topic {name} is created although it exists");
        self.counts.topics += 1;
        let kind = Kind::of(name);
        let is_lasting = name.ends_with(LASTING);
        let topic = Topic {
            name: name.to_owned(),
            kind,
            stage: Stage::Alive,
            is_lasting,
            partitions,
            setting: None,
            is_settled: true,
        };
        assert!(self.topics.insert(id, topic).is_none(), "topic id {id} is used twice");
    }

    pub(crate) fn topic(&self, id: Uuid) -> &Topic {
        &self.topics[&id]
    }

    pub(crate) fn topic_mut(&mut self, id: Uuid) -> &mut Topic {
        self.topics.get_mut(&id).expect("topics stay known")
    }

    /// The topics that certainly exist.
    pub(crate) fn alive(&self) -> impl Iterator<Item = (Uuid, &Topic)> {
        self.topics.iter().filter(|(_, topic)| topic.stage == Stage::Alive).map(|(id, topic)| (*id, topic))
    }

    /// The incarnation of a name that exists, or may exist.
    pub(crate) fn named(&self, name: &str) -> Option<Uuid> {
        let is_it = |topic: &Topic| topic.name == name && topic.stage != Stage::Gone;
        self.topics.iter().rfind(|(_, topic)| is_it(topic)).map(|(id, _)| *id)
    }

    /// The partitions that certainly exist.
    pub(crate) fn partitions(&self) -> Vec<Partition> {
        let of = |(id, topic): (Uuid, &Topic)| (0..topic.partitions).map(move |index| Partition { topic: id, index });
        self.alive().flat_map(of).collect()
    }

    /// It is not known what became of a request to create a topic of this name, nor whether it will still be served.
    pub(crate) fn creation_uncertain(&mut self, name: &str) {
        self.uncertain_names.insert(name.to_owned());
    }

    /// The creation of a topic was refused because there is one of this name.
    pub(crate) fn creation_refused(&self, name: &str, code: ErrorCode) {
        let exists = self.named(name).is_some() || self.uncertain_names.contains(name);
        match code {
            ErrorCode::TopicAlreadyExists => assert!(exists, "topic {name} does not exist, but cannot be created"),
            // Too much waits to be written.
            ErrorCode::RequestTimedOut => {}
            ErrorCode::KafkaStorageError => assert!(self.storage_may_fail, "creating {name}: a disk without faults"),
            other => panic!("creating {name}: unexpected {}", other.name()),
        }
    }

    /// What each topic was known to be when a request for all of them was sent.
    pub(crate) fn mark_topics(&self) -> BTreeMap<Uuid, (Stage, i32)> {
        self.topics.iter().map(|(id, topic)| (*id, (topic.stage, topic.partitions))).collect()
    }

    /// All topics that exist, as a response tells.
    pub(crate) fn all_topics(&mut self, mark: &BTreeMap<Uuid, (Stage, i32)>, told: &[MetadataResponseTopic]) {
        let told: Vec<_> = told.iter().filter(|topic| !topic.is_internal).collect();
        for (id, (stage, partitions)) in mark {
            let found = told.iter().find(|topic| topic.topic_id == *id);
            let topic = &self.topics[id];
            if topic.stage == Stage::Alive {
                let found = found.unwrap_or_else(|| panic!("topic {} ({id}) is missing", topic.name));
                let count = i32::try_from(found.partitions.len()).expect("few");
                assert!(count >= *partitions, "topic {} has {count} partitions of {partitions}", topic.name);
                assert_eq!(found.name.as_ref(), Some(&topic.name), "topic {id} has another name");
            }
            assert!(*stage != Stage::Gone || found.is_none(), "topic {} ({id}) was deleted, and is back", topic.name);
        }
        for topic in told {
            let name = topic.name.as_deref().expect("a topic has a name");
            let partitions = i32::try_from(topic.partitions.len()).expect("few");
            if let Some(known) = self.topics.get(&topic.topic_id) {
                assert_eq!(known.name, name, "topic {} has another name", topic.topic_id);
            } else if self.uncertain_names.contains(name) {
                self.found(topic.topic_id, name, partitions);
            }
        }
    }

    /// A topic of this name was found whose creation had an uncertain end.
    fn found(&mut self, id: Uuid, name: &str, partitions: i32) {
        // Whatever had that name before must be gone.
        for topic in self.topics.values_mut().filter(|topic| topic.name == name) {
            assert_ne!(topic.stage, Stage::Alive, "topic {name} was replaced by {id}");
            topic.stage = Stage::Gone;
        }
        self.topic_exists(id, name, partitions);
    }
}
