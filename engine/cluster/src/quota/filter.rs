//! Which entities a `DescribeClientQuotas` request is about (KIP-546).

use std::collections::BTreeMap;

use ringlog_net::messages::describe_client_quotas::ComponentData;

use crate::image::{QuotaEntity, QuotaEntityType, QuotaName};

/// How the name of a part is matched, with Kafka's numbers.
const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

/// What the name of a part must be.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Match {
    Name(QuotaName),
    /// Any name, and the default too.
    Any,
}

/// What other parts an entity may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OtherParts {
    /// Any.
    Allowed,
    /// None: the filter is strict.
    Excluded,
}

/// Why a filter makes no sense.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FilterError {
    /// A part of another kind than there are.
    #[error("there are no quotas of {0:?}")]
    UnknownType(String),
    /// It contradicts itself, or leaves out what has to be said.
    #[error("{0}")]
    Invalid(String),
}

/// What an entity must have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EntityFilter {
    parts: BTreeMap<QuotaEntityType, Match>,
    others: OtherParts,
}

impl EntityFilter {
    /// The filter that a request describes.
    pub fn new(components: &[ComponentData], others: OtherParts) -> Result<Self, FilterError> {
        let invalid = FilterError::Invalid;
        let mut parts = BTreeMap::new();
        for component in components {
            let kind = component.entity_type.as_str();
            if kind.is_empty() {
                return Err(invalid("a part of the filter has no type".to_owned()));
            }
            let known = QuotaEntityType::named(kind).ok_or_else(|| FilterError::UnknownType(kind.to_owned()))?;
            let wanted = match (component.match_type, component.match_.as_deref()) {
                (EXACT, Some(name)) => Match::Name(QuotaName::Named(name.into())),
                (EXACT, None) => return Err(invalid(format!("which {kind} is meant has to be said"))),
                (DEFAULT, None) => Match::Name(QuotaName::Default),
                (SPECIFIED, None) => Match::Any,
                (DEFAULT | SPECIFIED, Some(_)) => {
                    return Err(invalid(format!("a name for {kind} does not go with this kind of match")));
                }
                (other, _) => return Err(invalid(format!("{other} is no kind of match"))),
            };
            if parts.insert(known, wanted).is_some() {
                return Err(invalid(format!("the filter names {kind} twice")));
            }
        }
        if parts.contains_key(&QuotaEntityType::Ip) && parts.len() > 1 {
            return Err(invalid("an ip has its quotas alone, and not with a user or a client-id".to_owned()));
        }
        Ok(Self { parts, others })
    }

    /// Whether the request is about this entity.
    pub fn matches(&self, entity: &QuotaEntity) -> bool {
        let has = |(kind, wanted): (&QuotaEntityType, &Match)| {
            entity.part(*kind).is_some_and(|name| match wanted {
                Match::Name(wanted) => wanted == name,
                Match::Any => true,
            })
        };
        let has_others = entity.parts().count() > self.parts.len();
        self.parts.iter().all(has) && (self.others == OtherParts::Allowed || !has_others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
        ComponentData { entity_type: kind.to_owned(), match_type, match_: name.map(str::to_owned) }
    }

    fn entity(parts: &[(QuotaEntityType, Option<&str>)]) -> QuotaEntity {
        let mut entity = QuotaEntity::default();
        for (kind, name) in parts {
            entity.set(*kind, QuotaName::from_wire(*name));
        }
        entity
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let check = |components: &[ComponentData]| EntityFilter::new(components, OtherParts::Allowed).err();
        assert_eq!(check(&[]), None);
        assert_eq!(check(&[component("user", EXACT, Some("a")), component("client-id", DEFAULT, None)]), None);
        assert_eq!(check(&[component("ip", SPECIFIED, None)]), None);
        let unknown = check(&[component("planet", SPECIFIED, None)]);
        assert_eq!(unknown, Some(FilterError::UnknownType("planet".to_owned())));
        for components in [
            &[component("", SPECIFIED, None)][..],
            &[component("user", EXACT, None)],
            &[component("user", DEFAULT, Some("a"))],
            &[component("user", SPECIFIED, Some("a"))],
            &[component("user", 3, None)],
            &[component("user", SPECIFIED, None), component("user", DEFAULT, None)],
            &[component("user", SPECIFIED, None), component("ip", SPECIFIED, None)],
        ] {
            assert!(matches!(check(components), Some(FilterError::Invalid(_))), "{components:?}");
        }
    }

    #[test]
    fn entities_match_by_the_parts_that_are_asked_for() {
        use QuotaEntityType::{ClientId, Ip, User};
        let entities = [
            entity(&[(User, Some("a"))]),
            entity(&[(User, None)]),
            entity(&[(User, Some("a")), (ClientId, Some("c"))]),
            entity(&[(ClientId, Some("c"))]),
            entity(&[(Ip, Some("10.0.0.1"))]),
        ];
        let check = |components: &[ComponentData], others, expected: &[usize]| {
            let filter = EntityFilter::new(components, others).expect("it makes sense");
            let found: Vec<_> = (0..entities.len()).filter(|at| filter.matches(&entities[*at])).collect();
            assert_eq!(found, expected, "{components:?} {others:?}");
        };
        let (open, strict) = (OtherParts::Allowed, OtherParts::Excluded);
        check(&[], open, &[0, 1, 2, 3, 4]);
        check(&[], strict, &[]);
        check(&[component("user", EXACT, Some("a"))], open, &[0, 2]);
        check(&[component("user", EXACT, Some("a"))], strict, &[0]);
        check(&[component("user", DEFAULT, None)], open, &[1]);
        check(&[component("user", SPECIFIED, None)], open, &[0, 1, 2]);
        check(&[component("user", SPECIFIED, None)], strict, &[0, 1]);
        let both = [component("user", SPECIFIED, None), component("client-id", EXACT, Some("c"))];
        check(&both, strict, &[2]);
        check(&[component("ip", SPECIFIED, None)], open, &[4]);
    }
}
