//! What has configuration, and how requests and people call it.

/// What has configuration, with its number in requests (`ConfigResource.Type` of Kafka's clients).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(i8)]
pub enum ResourceType {
    /// A topic.
    Topic = 2,
    /// A broker, or without a name all of them.
    Broker = 4,
    /// The loggers of a broker (KIP-412).
    BrokerLogger = 8,
    /// A subscription to metrics of clients (KIP-714).
    ClientMetrics = 16,
    /// A group (KIP-848).
    Group = 32,
}

impl ResourceType {
    /// All of them, by their numbers.
    pub const ALL: [Self; 5] = [Self::Topic, Self::Broker, Self::BrokerLogger, Self::ClientMetrics, Self::Group];

    /// The type of this number.
    pub fn from_wire_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.wire_code() == code)
    }

    /// The type's number in requests.
    pub const fn wire_code(self) -> i8 {
        self as i8
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name() == name)
    }

    /// The name that people use; in the plural it is that of Kafka's tools.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Broker => "broker",
            Self::BrokerLogger => "broker-logger",
            Self::ClientMetrics => "client-metrics",
            Self::Group => "group",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_kafka_s_clients() {
        let known: Vec<_> = (i8::MIN..=i8::MAX).filter_map(ResourceType::from_wire_code).collect();
        assert_eq!(known, ResourceType::ALL);
        assert_eq!(ResourceType::ALL.map(ResourceType::wire_code), [2, 4, 8, 16, 32]);
    }

    #[test]
    fn names_lead_back_to_their_types() {
        for known in ResourceType::ALL {
            assert_eq!(ResourceType::named(known.name()), Some(known));
        }
        assert_eq!(ResourceType::named("cluster"), None);
    }
}
