//! Quotas of clients, changed at run time (KIP-546). They are kept and told here; [`quota`](crate::quota) says what follows.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ringlog_net::error::ErrorCode;
use thiserror::Error;

use super::{Decision, Intent, Metadata};
use crate::image::{QuotaEntity, QuotaEntityType, QuotaName, quota_record};

/// How many entities may have quotas.
pub const QUOTA_ENTITIES_MAX: usize = 100_000;

/// The longest name of a user or a client id.
const NAME_BYTES_MAX: usize = 1024;

/// How far above a whole number a value may be that counts as one, for the sake of clients that calculate.
const FRACTION_MAX: f64 = 1e-6;

/// Changes of one entity's quotas.
#[derive(Clone, PartialEq, Debug)]
pub struct AlterQuotas {
    /// The entity's parts: kind and name, where the default has no name. Of two of one kind the last counts.
    pub parts: Vec<(String, Option<String>)>,
    /// Keys with their new values, `None` to take one away.
    pub changes: Vec<(String, Option<f64>)>,
}

/// Why an entity's quotas are not changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum QuotaError {
    /// The entity has no parts.
    #[error("a quota wants a user, a client id or an address")]
    NoEntity,
    /// A part of an unknown kind.
    #[error("there are no quotas of {0:?}: a user, a client-id or an ip can have some")]
    UnknownEntityType(String),
    /// A part with an empty name.
    #[error("the name of the {0} is empty; the default has no name at all")]
    EmptyName(&'static str),
    /// A part with a name that is too long.
    #[error("the name of the {0} is longer than {NAME_BYTES_MAX} bytes")]
    LongName(&'static str),
    /// An address together with something else.
    #[error("quotas of an ip are its own, and not of a user or a client-id as well")]
    MixedEntity,
    /// Something that is not an address.
    #[error("{0:?} is not an IP address")]
    BadAddress(String),
    /// The request names the entity, or one of its keys, twice.
    #[error("the request names the entity or one of its keys twice")]
    NamedTwice,
    /// A key that entities of this kind do not have.
    #[error("the entity has no quota {0:?}")]
    UnknownKey(String),
    /// No number, or an infinite one.
    #[error("the value of {0} is not a finite number")]
    NotFinite(&'static str),
    /// Zero or less.
    #[error("the value of {0} is not above 0")]
    NotPositive(&'static str),
    /// Not a whole number.
    #[error("the value of {0} is not a whole number")]
    Fraction(&'static str),
    /// Too large for the integer that it is.
    #[error("the value of {0} is too large")]
    TooLarge(&'static str),
    /// There is no room for another entity.
    #[error("{QUOTA_ENTITIES_MAX} entities have quotas, which is the most there can be")]
    TooMany,
}

impl QuotaError {
    /// The error as Kafka's clients know it.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooMany => ErrorCode::PolicyViolation,
            _ => ErrorCode::InvalidRequest,
        }
    }
}

/// What the values of a key are.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Values {
    /// Any number above 0.
    Real,
    /// Whole numbers up to this one.
    Whole(f64),
}

/// A quota: its key, and what its values are.
type Quota = (&'static str, Values);

#[expect(clippy::cast_precision_loss, reason = "2^63 - 1 is taken for 2^63, as Kafka does")]
const LONG: Values = Values::Whole(i64::MAX as f64);
const INT: Values = Values::Whole(2_147_483_647.0);

/// What users and client ids can have.
const OF_CLIENTS: &[Quota] = &[
    ("producer_byte_rate", LONG),
    ("consumer_byte_rate", LONG),
    ("request_percentage", Values::Real),
    ("controller_mutation_rate", Values::Real),
];
/// What addresses can have.
const OF_ADDRESSES: &[Quota] = &[("connection_creation_rate", INT)];

impl Metadata {
    /// Changes quotas, each entity on its own: all of its changes count, or none. Answers in the order of the request.
    pub fn alter_quotas(&self, requests: &[AlterQuotas], intent: Intent) -> Decision<Vec<Result<(), QuotaError>>> {
        let entities: Vec<_> = requests.iter().map(|request| entity(&request.parts)).collect();
        let mut seen = BTreeSet::new();
        let twice: BTreeSet<_> = entities.iter().flatten().filter(|entity| !seen.insert(*entity)).collect();
        let mut room = QUOTA_ENTITIES_MAX.saturating_sub(self.image.quota_entity_count());
        let mut records = Vec::new();
        let mut reply = Vec::with_capacity(requests.len());
        for (request, entity) in requests.iter().zip(&entities) {
            let changed = entity.clone().and_then(|entity| {
                if twice.contains(&entity) {
                    return Err(QuotaError::NamedTwice);
                }
                let changes = quota_changes(&entity, &request.changes)?;
                let adds = changes.values().any(Option::is_some) && self.image.quotas_of(&entity).is_empty();
                room = room.checked_sub(usize::from(adds)).ok_or(QuotaError::TooMany)?;
                let has = |key: &str| self.image.quotas_of(&entity).contains_key(key);
                let in_force = changes.iter().filter(|(key, value)| value.is_some() || has(key));
                records.extend(in_force.map(|(key, value)| quota_record(&entity, key, *value)));
                Ok(())
            });
            reply.push(changed);
        }
        if intent == Intent::ValidateOnly {
            records.clear();
        }
        Decision { records, reply }
    }
}

fn entity(parts: &[(String, Option<String>)]) -> Result<QuotaEntity, QuotaError> {
    let mut entity = QuotaEntity::default();
    for (kind, name) in parts {
        let kind = QuotaEntityType::named(kind).ok_or_else(|| QuotaError::UnknownEntityType(kind.clone()))?;
        if name.as_deref() == Some("") {
            return Err(QuotaError::EmptyName(kind.name()));
        }
        if name.as_ref().is_some_and(|name| name.len() > NAME_BYTES_MAX) {
            return Err(QuotaError::LongName(kind.name()));
        }
        entity.set(kind, QuotaName::from_wire(name.as_deref()));
    }
    match &entity {
        QuotaEntity { user: None, client_id: None, ip: None } => Err(QuotaError::NoEntity),
        QuotaEntity { user: None, client_id: None, ip: Some(QuotaName::Named(address)) } => {
            let known: Result<IpAddr, _> = address.parse();
            known.map_err(|_| QuotaError::BadAddress(address.to_string()))?;
            Ok(entity)
        }
        QuotaEntity { ip: Some(_), .. } if entity.parts().count() > 1 => Err(QuotaError::MixedEntity),
        _ => Ok(entity),
    }
}

/// Changes by key. A key that is taken away need not be one that there is.
fn quota_changes<'a>(
    entity: &QuotaEntity,
    changes: &'a [(String, Option<f64>)],
) -> Result<BTreeMap<&'a str, Option<f64>>, QuotaError> {
    let quotas = if entity.ip.is_some() { OF_ADDRESSES } else { OF_CLIENTS };
    let mut changed = BTreeMap::new();
    for (key, value) in changes {
        if changed.insert(key.as_str(), *value).is_some() {
            return Err(QuotaError::NamedTwice);
        }
        if let Some(value) = value {
            let quota = quotas.iter().find(|(known, _)| known == key);
            check_value(quota.ok_or_else(|| QuotaError::UnknownKey(key.clone()))?, *value)?;
        }
    }
    Ok(changed)
}

fn check_value(&(key, values): &Quota, value: f64) -> Result<(), QuotaError> {
    if !value.is_finite() {
        return Err(QuotaError::NotFinite(key));
    }
    if value <= 0.0 {
        return Err(QuotaError::NotPositive(key));
    }
    let Values::Whole(max) = values else { return Ok(()) };
    if value > max {
        return Err(QuotaError::TooLarge(key));
    }
    if value < 1.0 || value.fract() > FRACTION_MAX {
        return Err(QuotaError::Fraction(key));
    }
    Ok(())
}
