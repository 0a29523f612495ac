//! The first start of a cluster, and the registration of a broker at every start.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::metadata_log::{MetadataRecord, UnregisterBrokerRecord};
use ringlog_storage::types::{BrokerId, Uuid};
use thiserror::Error;

use super::features::{FEATURES, supported_features};
use super::{Decision, METADATA_VERSION, Metadata};
use crate::config::{Endpoint, Listener};
use crate::image::{BrokerImage, BrokerListener, ConfigResource, config_record, feature_record};

/// What a broker says about itself when it starts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// Its id.
    pub id: BrokerId,
    /// Random for each start of the process.
    pub incarnation_id: Uuid,
    /// Its listeners, with the ports that are really bound.
    pub listeners: Vec<Listener>,
    /// Its rack.
    pub rack: Option<String>,
    /// The ids of its data directories.
    pub directories: Vec<Uuid>,
}

/// Why a broker cannot work with the metadata that it has read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum StartError {
    /// A newer release has written it.
    #[error(
        "feature {name} is at level {level}, and this release goes up to {level_max}; start the release that wrote the data"
    )]
    FeatureTooNew {
        /// The feature.
        name: String,
        /// Its finalized level.
        level: i16,
        /// The highest level of this release, 0 if it does not know the feature.
        level_max: i16,
    },
    /// The listener's port is still to be chosen.
    #[error("listener {0} has no port yet")]
    NoPort(String),
}

/// Why a broker stays registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum UnregisterError {
    /// It never was.
    #[error("broker {0} is not registered")]
    NotRegistered(BrokerId),
    /// It is this one. Kafka lets it go, and then has no broker until it is started again.
    #[error("broker {0} is running, and the only one")]
    Running(BrokerId),
}

impl UnregisterError {
    /// The error as Kafka's clients know it.
    pub fn code(self) -> ErrorCode {
        match self {
            Self::NotRegistered(_) => ErrorCode::BrokerIdNotRegistered,
            Self::Running(_) => ErrorCode::InvalidRequest,
        }
    }
}

impl Metadata {
    /// Registers a broker at its start. On the first start of all it also finalizes the features of Kafka 4.4 and, as
    /// Kafka does with eligible leader replicas, pins `min.insync.replicas` for the whole cluster.
    pub fn register_broker(&self, registration: &Registration) -> Result<Decision<()>, StartError> {
        self.check_features()?;
        let mut records =
            if self.image.feature_level(METADATA_VERSION) == 0 { self.first_records() } else { Vec::new() };
        let listeners: Result<Vec<_>, _> =
            registration.listeners.iter().filter(|listener| !listener.is_controller).map(advertised).collect();
        // Kafka counts a broker's starts by the offset of its registration.
        let own_position = i64::try_from(records.len()).expect("the first records are few");
        let broker = BrokerImage {
            id: registration.id,
            epoch: self.next_offset().checked_add(own_position).expect("a log cannot hold 2^63 records").get(),
            incarnation_id: registration.incarnation_id,
            listeners: listeners?,
            features: supported_features(),
            rack: registration.rack.as_deref().map(Into::into),
            is_fenced: false,
            is_stopping: false,
            directories: registration.directories.clone(),
            cordoned_directories: None,
        };
        records.push(broker.record());
        Ok(Decision { records, reply: () })
    }

    /// Forgets a broker that will not come back.
    pub fn unregister_broker(&self, id: BrokerId) -> Decision<Result<(), UnregisterError>> {
        let Some(broker) = self.image.broker(id) else {
            return Decision::reply(Err(UnregisterError::NotRegistered(id)));
        };
        if id == self.image.controller() {
            return Decision::reply(Err(UnregisterError::Running(id)));
        }
        let record = UnregisterBrokerRecord { broker_id: id.get(), broker_epoch: broker.epoch };
        Decision { records: vec![MetadataRecord::UnregisterBroker(record)], reply: Ok(()) }
    }

    fn first_records(&self) -> Vec<MetadataRecord> {
        let finalized = FEATURES.iter().filter(|feature| feature.level_at_first > 0);
        let mut records: Vec<_> =
            finalized.map(|feature| feature_record(feature.name, feature.level_at_first)).collect();
        let replicas = self.layers().integer("min.insync.replicas").to_string();
        records.push(config_record(&ConfigResource::AllBrokers, "min.insync.replicas", Some(&replicas)));
        records
    }

    fn check_features(&self) -> Result<(), StartError> {
        for (name, level) in self.image.features() {
            let level_max = FEATURES.iter().find(|known| known.name == name).map_or(0, |known| known.level_max);
            if level > level_max {
                return Err(StartError::FeatureTooNew { name: name.to_owned(), level, level_max });
            }
        }
        Ok(())
    }
}

/// What clients are told about a listener; an advertised port 0 stands for the one that was bound.
fn advertised(listener: &Listener) -> Result<BrokerListener, StartError> {
    let Endpoint { host, port } = listener.advertised.clone();
    let port = if port == 0 { listener.port } else { port };
    if port == 0 {
        return Err(StartError::NoPort(listener.name.clone()));
    }
    Ok(BrokerListener {
        name: listener.name.as_str().into(),
        endpoint: Endpoint { host, port },
        protocol: listener.protocol,
    })
}
