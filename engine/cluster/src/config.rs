//! Configuration: one table of keys, what was set where, and typed structs of what is in force.
//!
//! The table is in [`keys`]; everything else reads it. At the start, [`StaticConfig::load`] reads file, environment and
//! command line. At run time the metadata log brings changes, which [`alter_incrementally`] and [`alter_wholly`] have
//! checked before they were written. [`ConfigLayers`] lays one over the other; [`BrokerConfig`] and [`TopicConfig`] are
//! what the rest of the program reads.

mod alteration;
mod broker_config;
mod broker_rules;
mod client_metrics;
mod describe;
mod group_config;
mod group_rules;
mod key;
mod keys;
mod layers;
mod listener;
mod log_dirs;
mod loggers;
mod properties;
mod resource_type;
mod static_config;
mod topic_config;
mod value;

pub use alteration::{
    ALTERATIONS_MAX, AlterError, AlterOperation, Alteration, ConfigChanges, ConfigTarget, alter_incrementally,
    alter_wholly, check_new_topic,
};
pub use broker_config::{
    Backend, BrokerConfig, LogFormat, MetricFamilies, MetricsConfig, Numa, RecorderConfig, SHARDS_KEY,
    TelemetryReceiver, log_dir_move_bytes_per_second, shards_beyond, shards_in_use,
};
pub use client_metrics::{ALL_METRICS, ClientField, ClientSelector, ClientSubscription};
pub use describe::{
    DescribedConfig, DescribedSynonym, describe_all_brokers, describe_broker, describe_client_metrics, describe_group,
    describe_topic, topic_value,
};
pub use group_config::{GroupConfig, MigrationPolicy};
pub use key::{ConfigKey, Cores, Effect, Expected, Kind, Scope, Synonym, Unit, Valid};
pub use keys::{
    DEFAULTS_OF_OUR_OWN, RetiredKey, broker_key, broker_keys, client_metrics_key, client_metrics_keys, group_key,
    group_keys, retired_key, topic_key, topic_keys,
};
pub use layers::{ConfigLayers, ConfigMap, ConfigSource};
pub use listener::{Endpoint, Listener, ListenerError, SecurityProtocol, parse_listeners};
pub(crate) use log_dirs::are_all_cordoned;
pub use log_dirs::{Overlap, check_apart, cordoned_log_dirs};
pub use loggers::{
    KAFKA_LOGGERS, KafkaLogger, LogLevel, LoggerError, Loggers, REQUEST_LOGGER, ROOT_LOGGER, STATE_CHANGE_LOGGER,
};
pub use properties::{BadEscape, PROPERTIES_BYTES_MAX, Property, parse_properties};
pub use resource_type::ResourceType;
pub use static_config::{ConfigError, ConfigWarning, Place, PropertiesFile, Setting, Sources, StaticConfig};
pub use topic_config::{CleanupPolicy, Durability, TimestampType, TopicCompression, TopicConfig};
pub use value::Value;
