//! `ringlog cluster`: what the cluster consists of.

use std::collections::BTreeMap;

use clap::Subcommand;
use ringlog_net::client::{ClientConfig, Target};
use ringlog_net::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use ringlog_net::messages::describe_cluster::DescribeClusterRequest;
use serde::Serialize;

use crate::output::{self, Form, or_dash, table};
use crate::session::{self, ClusterArguments, Session, accepted};

/// The endpoints of brokers, as `DescribeClusterRequest` asks for them.
const BROKERS: i8 = 1;
/// What the program calls itself (KIP-511).
const SOFTWARE: &str = env!("CARGO_PKG_NAME");
const SOFTWARE_VERSION: &str = env!("CARGO_PKG_VERSION");

/// Tell what the cluster consists of.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The form of what is printed.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Form,
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Tell the cluster's id, its controller, brokers and features.
    Describe,
}

/// Performs the subcommand.
pub(crate) fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { cluster, output: form, command } = arguments;
    session::run(cluster, ClientConfig::default(), move |session| {
        let command = command.clone();
        async move {
            match command {
                Command::Describe => output::print(form, &describe(&session).await?, text),
            }
        }
    })
}

/// A cluster.
#[derive(Debug, Serialize)]
struct Description {
    id: String,
    /// The broker that administrators' requests go to; unknown while there is none.
    controller: Option<i32>,
    brokers: Vec<Broker>,
    features: Vec<Feature>,
}

/// One of its brokers.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
struct Broker {
    id: i32,
    host: String,
    port: i32,
    rack: Option<String>,
    /// Whether it is known and does not take part at the moment.
    fenced: bool,
}

/// What brokers agree on to be able to (KIP-584).
#[derive(PartialEq, Eq, Debug, Serialize)]
struct Feature {
    name: String,
    /// The level that is in force: 0 is off.
    level: i16,
    /// The levels that the broker that was asked supports; unknown for what it only follows.
    level_min: Option<i16>,
    level_max: Option<i16>,
}

async fn describe(session: &Session) -> anyhow::Result<Description> {
    let request = DescribeClusterRequest { endpoint_type: BROKERS, include_fenced_brokers: true, ..Default::default() };
    let response = session.call(Target::Any, request).await?;
    accepted("the cluster", response.error_code, response.error_message.as_deref())?;
    let brokers = response.brokers.into_iter().map(|broker| Broker {
        id: broker.broker_id,
        host: broker.host,
        port: broker.port,
        rack: broker.rack,
        fenced: broker.is_fenced,
    });
    let mut brokers: Vec<Broker> = brokers.collect();
    brokers.sort();
    let request = ApiVersionsRequest {
        client_software_name: SOFTWARE.to_owned(),
        client_software_version: SOFTWARE_VERSION.to_owned(),
        ..ApiVersionsRequest::default()
    };
    let versions = session.call(Target::Any, request).await?;
    accepted("features", versions.error_code, None)?;
    Ok(Description {
        id: response.cluster_id,
        controller: Some(response.controller_id).filter(|id| *id >= 0),
        brokers,
        features: features(versions),
    })
}

fn features(said: ApiVersionsResponse) -> Vec<Feature> {
    let mut features: BTreeMap<String, Feature> = BTreeMap::new();
    for feature in said.supported_features {
        let (level_min, level_max) = (Some(feature.min_version), Some(feature.max_version));
        features.insert(feature.name.clone(), Feature { name: feature.name, level: 0, level_min, level_max });
    }
    for feature in said.finalized_features {
        let unsupported = Feature { name: feature.name.clone(), level: 0, level_min: None, level_max: None };
        features.entry(feature.name).or_insert(unsupported).level = feature.max_version_level;
    }
    features.into_values().collect()
}

/// The description for people.
fn text(described: &Description) -> String {
    let controller = described.controller.map_or_else(|| "-".to_owned(), |id| id.to_string());
    let facts = [["id".to_owned(), described.id.clone()], ["controller".to_owned(), controller]];
    let broker = |broker: &Broker| {
        [
            broker.id.to_string(),
            broker.host.clone(),
            broker.port.to_string(),
            or_dash(broker.rack.as_deref().unwrap_or_default()),
            if broker.fenced { "fenced" } else { "active" }.to_owned(),
        ]
    };
    let supported = |feature: &Feature| match (feature.level_min, feature.level_max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        _ => "-".to_owned(),
    };
    let feature = |feature: &Feature| [feature.name.clone(), feature.level.to_string(), supported(feature)];
    let brokers: Vec<_> = described.brokers.iter().map(broker).collect();
    let features: Vec<_> = described.features.iter().map(feature).collect();
    [
        table(["CLUSTER", ""], &facts),
        table(["BROKER", "HOST", "PORT", "RACK", "STATE"], &brokers),
        table(["FEATURE", "LEVEL", "SUPPORTED"], &features),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use ringlog_net::messages::api_versions::{FinalizedFeatureKey, SupportedFeatureKey};

    use super::*;

    #[test]
    fn features_are_told_whether_they_are_on_or_not() {
        let supported = |name: &str| SupportedFeatureKey { name: name.to_owned(), min_version: 0, max_version: 2 };
        let finalized =
            |name: &str| FinalizedFeatureKey { name: name.to_owned(), max_version_level: 1, min_version_level: 1 };
        let said = ApiVersionsResponse {
            supported_features: vec![supported("off"), supported("on")],
            finalized_features: vec![finalized("on"), finalized("kraft")],
            ..ApiVersionsResponse::default()
        };
        let told = features(said);
        let told: Vec<_> = told.iter().map(|each| (each.name.as_str(), each.level, each.level_max)).collect();
        assert_eq!(told, [("kraft", 1, None), ("off", 0, Some(2)), ("on", 1, Some(2))]);
    }
}
