//! `UpdateFeatures`, versions 0 to 2 (KIP-584, KIP-778, KIP-1022): levels of features, up and down.

use ringlog_cluster::metadata::{FeatureUpdate, Intent, UpgradeType};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::update_features::{
    FeatureUpdateKey, UpdatableFeatureResult, UpdateFeaturesRequest, UpdateFeaturesResponse,
};

use crate::controller::decide;
use crate::dispatch::{Handled, Incoming, respond};

/// Up to this version the response has a row for every feature, unless one of them was refused.
const RESULTS_VERSION_MAX: i16 = 1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: UpdateFeaturesRequest = incoming.decode()?;
    let version = incoming.version();
    let shard = incoming.connection.shard().clone();
    Ok(Handled::later(async move {
        let intent = if request.validate_only { Intent::ValidateOnly } else { Intent::Apply };
        let updates: Vec<_> = request.feature_updates.iter().map(update).collect();
        let refusal = match decide(&shard, move |metadata, _| metadata.update_features(&updates, intent)).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some((error.code(), error.to_string())),
            Err(code) => Some((code, code.message().to_owned())),
        };
        let mut response = UpdateFeaturesResponse::default();
        match refusal {
            Some((code, message)) => {
                response.error_code = code.code();
                response.error_message = Some(message);
            }
            None if version <= RESULTS_VERSION_MAX => {
                response.results = request.feature_updates.into_iter().map(done).collect();
            }
            None => {}
        }
        respond(&response, version)
    }))
}

/// The upgrade type alone says whether a level may go down. Version 0 does not have it, and so cannot go down: Kafka looks at
/// nothing else either.
fn update(asked: &FeatureUpdateKey) -> FeatureUpdate {
    FeatureUpdate {
        name: asked.feature.clone(),
        level: asked.max_version_level,
        upgrade_type: UpgradeType::from_wire_code(asked.upgrade_type),
    }
}

fn done(asked: FeatureUpdateKey) -> UpdatableFeatureResult {
    UpdatableFeatureResult { feature: asked.feature, error_code: ErrorCode::None.code(), error_message: None }
}
