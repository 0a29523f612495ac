//! `DescribeClientQuotas`, versions 0 and 1 (KIP-546).

use std::collections::BTreeMap;

use ringlog_cluster::image::{Image, QuotaEntity, QuotaEntityType, QuotaName, QuotaValues};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_client_quotas::{
    ComponentData, DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use crate::dispatch::{Handled, Incoming};

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

/// What an entity must have.
type Filter = BTreeMap<QuotaEntityType, Match>;

/// Why a filter is refused: the code, and words for people.
type Refusal = (ErrorCode, String);

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeClientQuotasRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let response = match filter(&request.components) {
        Ok(filter) => DescribeClientQuotasResponse {
            entries: Some(entries(&image, &filter, request.strict)),
            ..DescribeClientQuotasResponse::default()
        },
        Err((code, message)) => DescribeClientQuotasResponse {
            error_code: code.code(),
            error_message: Some(message),
            entries: None,
            ..DescribeClientQuotasResponse::default()
        },
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn filter(components: &[ComponentData]) -> Result<Filter, Refusal> {
    let invalid = |why: String| (ErrorCode::InvalidRequest, why);
    let mut filter = Filter::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return Err(invalid("a part of the filter has no type".to_owned()));
        }
        let known = QuotaEntityType::named(kind);
        let known = known.ok_or_else(|| (ErrorCode::UnsupportedVersion, format!("there are no quotas of {kind:?}")))?;
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
        if filter.insert(known, wanted).is_some() {
            return Err(invalid(format!("the filter names {kind} twice")));
        }
    }
    if filter.contains_key(&QuotaEntityType::Ip) && filter.len() > 1 {
        return Err(invalid("an ip has its quotas alone, and not with a user or a client-id".to_owned()));
    }
    Ok(filter)
}

/// The entities that have all that the filter asks for; in a strict one, nothing else.
fn entries(image: &Image, filter: &Filter, strict: bool) -> Vec<EntryData> {
    let is_wanted = |(entity, _): &(&QuotaEntity, &QuotaValues)| {
        let has = |(kind, wanted): (&QuotaEntityType, &Match)| {
            entity.part(*kind).is_some_and(|name| match wanted {
                Match::Name(wanted) => wanted == name,
                Match::Any => true,
            })
        };
        filter.iter().all(has) && (!strict || entity.parts().count() == filter.len())
    };
    image.quotas().filter(is_wanted).map(|(entity, values)| entry(entity, values)).collect()
}

fn entry(entity: &QuotaEntity, values: &QuotaValues) -> EntryData {
    let part = |(kind, name): (QuotaEntityType, &QuotaName)| EntityData {
        entity_type: kind.name().to_owned(),
        entity_name: name.to_wire(),
    };
    let values = values.iter().map(|(key, value)| ValueData { key: key.to_string(), value: *value });
    EntryData { entity: entity.parts().map(part).collect(), values: values.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
        ComponentData { entity_type: kind.to_owned(), match_type, match_: name.map(str::to_owned) }
    }

    #[test]
    fn filters_that_make_no_sense_are_refused() {
        let check = |components: &[ComponentData], expected: Option<ErrorCode>| {
            assert_eq!(filter(components).err().map(|(code, _)| code), expected, "{components:?}");
        };
        check(&[], None);
        check(&[component("user", EXACT, Some("a")), component("client-id", DEFAULT, None)], None);
        check(&[component("ip", SPECIFIED, None)], None);
        check(&[component("planet", SPECIFIED, None)], Some(ErrorCode::UnsupportedVersion));
        for components in [
            &[component("", SPECIFIED, None)][..],
            &[component("user", EXACT, None)],
            &[component("user", DEFAULT, Some("a"))],
            &[component("user", SPECIFIED, Some("a"))],
            &[component("user", 3, None)],
            &[component("user", SPECIFIED, None), component("user", DEFAULT, None)],
            &[component("user", SPECIFIED, None), component("ip", SPECIFIED, None)],
        ] {
            check(components, Some(ErrorCode::InvalidRequest));
        }
    }
}
