//! `ringlog group list`.

use clap::builder::PossibleValuesParser;
use ringlog_net::messages::list_groups::{ListGroupsRequest, ListedGroup};
use ringlog_storage::types::BrokerId;
use serde::Serialize;

use super::coordinator;
use crate::output::{self, Form, or_dash, table};
use crate::session::{AutoCreate, Session, accepted};

/// The states of groups of all types; Kafka's names.
const STATES: [&str; 8] =
    ["Assigning", "CompletingRebalance", "Dead", "Empty", "NotReady", "PreparingRebalance", "Reconciling", "Stable"];
const TYPES: [&str; 4] = ["classic", "consumer", "share", "streams"];

#[derive(Clone, Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only groups in these states (Stable, Empty, ...), separated by commas.
    #[arg(long, value_name = "STATE", value_delimiter = ',', ignore_case = true, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(STATES))]
    state: Vec<String>,
    /// Only groups of these types (classic, consumer, ...), separated by commas.
    #[arg(long, value_name = "TYPE", value_delimiter = ',', ignore_case = true, hide_possible_values = true,
        value_parser = PossibleValuesParser::new(TYPES))]
    r#type: Vec<String>,
}

/// One line of the list.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
struct Listed {
    group: String,
    r#type: String,
    protocol_type: String,
    state: String,
}

impl From<ListedGroup> for Listed {
    fn from(said: ListedGroup) -> Self {
        Self {
            group: said.group_id,
            r#type: said.group_type,
            protocol_type: said.protocol_type,
            state: said.group_state,
        }
    }
}

pub(super) async fn list(session: &Session, form: Form, arguments: &Arguments) -> anyhow::Result<()> {
    let request = ListGroupsRequest { states_filter: arguments.state.clone(), types_filter: arguments.r#type.clone() };
    let mut listed: Vec<Listed> = all(session, &request).await?.into_iter().map(Listed::from).collect();
    listed.sort();
    output::print(form, &listed, |listed| {
        let row = |each: &Listed| {
            let protocol_type = or_dash(&each.protocol_type);
            [each.group.clone(), or_dash(&each.r#type), protocol_type, or_dash(&each.state)]
        };
        table(["GROUP", "TYPE", "PROTOCOL-TYPE", "STATE"], &listed.iter().map(row).collect::<Vec<_>>())
    })
}

/// The type of groups that share partitions, and so commit no offsets.
const SHARE: &str = "share";

/// The ids of all groups that may have committed offsets, in order.
pub(super) async fn ids(session: &Session) -> anyhow::Result<Vec<String>> {
    let listed = all(session, &ListGroupsRequest::default()).await?;
    let commit = listed.into_iter().filter(|group| !group.group_type.eq_ignore_ascii_case(SHARE));
    let mut ids: Vec<String> = commit.map(|group| group.group_id).collect();
    ids.sort();
    Ok(ids)
}

/// Every broker knows the groups that it coordinates.
async fn all(session: &Session, request: &ListGroupsRequest) -> anyhow::Result<Vec<ListedGroup>> {
    let brokers = session.topics(Some(&[]), AutoCreate::No).await?.brokers;
    let mut groups = Vec::new();
    for broker in brokers {
        let id = BrokerId::new(broker.node_id);
        let response = coordinator::ask_broker(session, id, request, |response| response.error_code).await?;
        accepted(&format!("groups of broker {id}"), response.error_code, None)?;
        groups.extend(response.groups);
    }
    Ok(groups)
}
