//! `ApiVersions`, versions 0 to 5: what this broker serves, and which features the cluster has.

use ringlog_cluster::config::TelemetryReceiver;
use ringlog_cluster::metadata::{FEATURES, Feature, KRAFT_VERSION, KRAFT_VERSION_LEVEL};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::api_versions::{
    ApiVersion, ApiVersionsRequest, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};

use crate::dispatch::{Handled, Incoming, served_apis};
use crate::telemetry::Software;

/// Clients before librdkafka 2.0 take a minimum above 2 as the sign of a broker that they cannot talk to (KAFKA-18659).
const PRODUCE_ADVERTISED_MIN: i16 = 0;
/// From this version on the request names the client's software (KIP-511).
const SOFTWARE_VERSION_MIN: i16 = 3;
/// Below this version a supported feature may not have the minimum 0: clients of that age refuse the response (KAFKA-17011).
const FEATURE_MIN_ZERO_VERSION_MIN: i16 = 4;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ApiVersionsRequest = incoming.decode()?;
    let version = incoming.version();
    let names = [&request.client_software_name, &request.client_software_version];
    let image = incoming.connection.shard().with(|state| state.image.clone());
    let is_named = version < SOFTWARE_VERSION_MIN || names.into_iter().all(|name| is_software_name(name));
    let node_id = incoming.connection.shard().settings().broker.node_id.get();
    let checked = if is_named {
        check_destination(&request, image.cluster_id(), node_id)
    } else {
        Err(ErrorCode::InvalidRequest)
    };
    if let Err(code) = checked {
        let response = ApiVersionsResponse { error_code: code.code(), ..ApiVersionsResponse::default() };
        return Ok(Handled::Now(incoming.respond(&response)));
    }
    let receiver = incoming.connection.shard().settings().broker.telemetry;
    if version >= SOFTWARE_VERSION_MIN && receiver != TelemetryReceiver::Off {
        incoming.connection.set_software(Software {
            name: request.client_software_name.clone(),
            version: request.client_software_version.clone(),
        });
    }
    let apis = served_apis();
    let is_advertised = |key: ApiKey| {
        let is_telemetry = matches!(key, ApiKey::GetTelemetrySubscriptions | ApiKey::PushTelemetry);
        receiver != TelemetryReceiver::Off || !is_telemetry
    };
    let api_keys = apis.rows().filter(|row| is_advertised(row.api_key)).map(|row| ApiVersion {
        api_key: row.api_key.code(),
        min_version: if row.api_key == ApiKey::Produce { PRODUCE_ADVERTISED_MIN } else { row.min },
        max_version: row.max,
    });
    let is_told = |feature: &&Feature| version >= FEATURE_MIN_ZERO_VERSION_MIN || feature.level_min > 0;
    let supported = FEATURES.iter().filter(is_told);
    let response = ApiVersionsResponse {
        api_keys: api_keys.collect(),
        supported_features: supported
            .map(|feature| SupportedFeatureKey {
                name: feature.name.to_owned(),
                min_version: feature.level_min,
                max_version: feature.level_max,
            })
            .collect(),
        finalized_features_epoch: image.offset().get(),
        finalized_features: image
            .features()
            .chain([(KRAFT_VERSION, KRAFT_VERSION_LEVEL)])
            .map(|(name, level)| FinalizedFeatureKey {
                name: name.to_owned(),
                max_version_level: level,
                min_version_level: level,
            })
            .collect(),
        ..ApiVersionsResponse::default()
    };
    Ok(Handled::Now(incoming.respond(&response)))
}

/// Whether this is the broker that the client means, if it says which (KIP-1242): addresses may be given to other machines.
fn check_destination(request: &ApiVersionsRequest, cluster_id: &str, node_id: i32) -> Result<(), ErrorCode> {
    match (request.cluster_id.as_deref(), request.node_id) {
        (None, ..0) => Ok(()),
        (None, _) | (Some(_), ..0) => Err(ErrorCode::InvalidRequest),
        (Some(cluster), node) if cluster == cluster_id && node == node_id => Ok(()),
        _ => Err(ErrorCode::RebootstrapRequired),
    }
}

/// Whether a text has the form that KIP-511 gives to names and versions of client software.
fn is_software_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    let (first, last) = (name.as_bytes().first(), name.as_bytes().last());
    name.bytes().all(inner) && [first, last].into_iter().all(|end| end.is_some_and(u8::is_ascii_alphanumeric))
}

#[cfg(test)]
mod tests {
    use super::is_software_name;

    #[test]
    fn software_names() {
        let check = |name, valid| assert_eq!(is_software_name(name), valid, "{name:?}");
        check("librdkafka", true);
        check("v2.12.0-rc.1", true);
        check("a", true);
        check("", false);
        check("-a", false);
        check("a.", false);
        check("a b", false);
        check("a\u{e9}", false);
    }
}
