//! Quotas of clients as the image keeps them (KIP-13, KIP-546, KIP-612).

use std::collections::BTreeMap;
use std::sync::Arc;

use ringlog_net::messages::metadata_log::{ClientQuotaRecord, EntityData, MetadataRecord};

use super::{Image, ReplayError};

/// Whom quotas are for. At least one part is there, and an address stands alone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct QuotaEntity {
    /// The user.
    pub user: Option<QuotaName>,
    /// The client id.
    pub client_id: Option<QuotaName>,
    /// The address that connections come from.
    pub ip: Option<QuotaName>,
}

/// One part of a [`QuotaEntity`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum QuotaName {
    /// Everybody who has no quotas of their own.
    Default,
    /// The one of this name.
    Named(Arc<str>),
}

/// The kinds of parts, with Kafka's names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum QuotaEntityType {
    /// `user`
    User,
    /// `client-id`
    ClientId,
    /// `ip`
    Ip,
}

/// Quotas of one entity, by key.
pub type QuotaValues = BTreeMap<Arc<str>, f64>;

impl QuotaEntityType {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::User, Self::ClientId, Self::Ip];

    /// Its name in requests and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::ClientId => "client-id",
            Self::Ip => "ip",
        }
    }

    /// The kind of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

impl QuotaName {
    /// The name in requests and records, where the default has none.
    pub fn from_wire(name: Option<&str>) -> Self {
        name.map_or(Self::Default, |name| Self::Named(name.into()))
    }

    /// What [`from_wire`](Self::from_wire) takes.
    pub fn to_wire(&self) -> Option<String> {
        match self {
            Self::Default => None,
            Self::Named(name) => Some(name.to_string()),
        }
    }
}

impl QuotaEntity {
    /// The part of a kind.
    pub fn part(&self, kind: QuotaEntityType) -> Option<&QuotaName> {
        match kind {
            QuotaEntityType::User => self.user.as_ref(),
            QuotaEntityType::ClientId => self.client_id.as_ref(),
            QuotaEntityType::Ip => self.ip.as_ref(),
        }
    }

    /// Sets the part of a kind.
    pub fn set(&mut self, kind: QuotaEntityType, name: QuotaName) {
        let part = match kind {
            QuotaEntityType::User => &mut self.user,
            QuotaEntityType::ClientId => &mut self.client_id,
            QuotaEntityType::Ip => &mut self.ip,
        };
        *part = Some(name);
    }

    /// The parts that are there.
    pub fn parts(&self) -> impl Iterator<Item = (QuotaEntityType, &QuotaName)> {
        QuotaEntityType::ALL.into_iter().filter_map(|kind| Some((kind, self.part(kind)?)))
    }
}

impl Image {
    /// All entities that have quotas, with those.
    pub fn quotas(&self) -> impl Iterator<Item = (&QuotaEntity, &QuotaValues)> {
        self.quotas.iter().map(|(entity, values)| (entity, &**values))
    }

    /// The quotas of exactly this entity; empty if it has none.
    pub fn quotas_of(&self, entity: &QuotaEntity) -> &QuotaValues {
        const EMPTY: &QuotaValues = &QuotaValues::new();
        self.quotas.get(entity).map_or(EMPTY, |values| values)
    }

    /// Whether clients have quotas, and not addresses alone.
    pub fn has_client_quotas(&self) -> bool {
        self.quotas.keys().any(|entity| entity.ip.is_none())
    }

    /// Whether no quota was changed since an older image.
    pub fn has_quotas_of(&self, older: &Self) -> bool {
        self.quotas.ptr_eq(&older.quotas)
    }

    /// How many entities have quotas.
    pub fn quota_entity_count(&self) -> usize {
        self.quotas.len()
    }

    pub(super) fn replay_quota(&mut self, record: &ClientQuotaRecord) -> Result<(), ReplayError> {
        let mut entity = QuotaEntity::default();
        for part in &record.entity {
            let kind = QuotaEntityType::named(&part.entity_type);
            let kind = kind.ok_or_else(|| ReplayError::BadQuota(part.entity_type.clone()))?;
            entity.set(kind, QuotaName::from_wire(part.entity_name.as_deref()));
        }
        if !record.remove && !record.value.is_finite() {
            return Err(ReplayError::QuotaNotFinite(record.key.clone()));
        }
        let mut values = self.quotas_of(&entity).clone();
        if record.remove {
            values.remove(record.key.as_str());
        } else {
            values.insert(record.key.as_str().into(), record.value);
        }
        if values.is_empty() {
            self.quotas.remove(&entity);
        } else {
            self.quotas.insert(entity, Arc::new(values));
        }
        Ok(())
    }
}

/// The record that sets a quota, or with `None` takes it away.
pub(crate) fn quota_record(entity: &QuotaEntity, key: &str, value: Option<f64>) -> MetadataRecord {
    let part = |(kind, name): (QuotaEntityType, &QuotaName)| EntityData {
        entity_type: kind.name().to_owned(),
        entity_name: name.to_wire(),
    };
    MetadataRecord::ClientQuota(ClientQuotaRecord {
        entity: entity.parts().map(part).collect(),
        key: key.to_owned(),
        value: value.unwrap_or(0.0),
        remove: value.is_none(),
    })
}
