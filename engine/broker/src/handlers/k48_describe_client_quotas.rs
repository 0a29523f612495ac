//! `DescribeClientQuotas`, versions 0 and 1 (KIP-546).

use ringlog_cluster::image::{Image, QuotaEntity, QuotaEntityType, QuotaName, QuotaValues};
use ringlog_cluster::quota::filter::{EntityFilter, FilterError, OtherParts};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_client_quotas::{
    DescribeClientQuotasRequest, DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeClientQuotasRequest = incoming.decode()?;
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let others = if request.strict { OtherParts::Excluded } else { OtherParts::Allowed };
    let response = match EntityFilter::new(&request.components, others) {
        Ok(filter) => DescribeClientQuotasResponse {
            entries: Some(entries(&image, &filter)),
            ..DescribeClientQuotasResponse::default()
        },
        Err(error) => DescribeClientQuotasResponse {
            error_code: code(&error).code(),
            error_message: Some(error.to_string()),
            entries: None,
            ..DescribeClientQuotasResponse::default()
        },
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

fn code(error: &FilterError) -> ErrorCode {
    match error {
        FilterError::UnknownType(_) => ErrorCode::UnsupportedVersion,
        FilterError::Invalid(_) => ErrorCode::InvalidRequest,
    }
}

fn entries(image: &Image, filter: &EntityFilter) -> Vec<EntryData> {
    let wanted = image.quotas().filter(|(entity, _)| filter.matches(entity));
    wanted.map(|(entity, values)| entry(entity, values)).collect()
}

fn entry(entity: &QuotaEntity, values: &QuotaValues) -> EntryData {
    let part = |(kind, name): (QuotaEntityType, &QuotaName)| EntityData {
        entity_type: kind.name().to_owned(),
        entity_name: name.to_wire(),
    };
    let values = values.iter().map(|(key, value)| ValueData { key: key.to_string(), value: *value });
    EntryData { entity: entity.parts().map(part).collect(), values: values.collect() }
}
