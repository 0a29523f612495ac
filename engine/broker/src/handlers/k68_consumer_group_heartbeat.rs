//! `ConsumerGroupHeartbeat`, versions 0 and 1 (KIP-848). What a request has to look like is checked here; what it means is
//! the coordinator's affair.

use ringlog_cluster::expression::check_expression;
use ringlog_cluster::group::{
    GroupReply, GroupRequest, GroupResponse, JOIN_EPOCH, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, SUBSCRIBED_TOPICS_MAX,
};
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::consumer_group_heartbeat::{ConsumerGroupHeartbeatRequest, ConsumerGroupHeartbeatResponse};

use crate::dispatch::{Handled, Incoming, respond};
use crate::group::{ask, caller};
use crate::random::random_id;

/// The feature that these groups belong to, and the level that has them.
const GROUP_FEATURE: &str = "group.version";
const GROUP_LEVEL_MIN: i16 = 1;
/// From this version on members bring ids of their own.
const OWN_ID_VERSION_MIN: i16 = 1;

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let mut request: ConsumerGroupHeartbeatRequest = incoming.decode()?;
    let (version, shard) = (incoming.version(), incoming.connection.shard());
    let is_enabled = shard.with(|state| state.image.feature_level(GROUP_FEATURE) >= GROUP_LEVEL_MIN);
    if !is_enabled {
        let refused = answer(Err(ErrorCode::UnsupportedVersion));
        return Ok(Handled::Now(incoming.respond(&refused)));
    }
    let assignors = &shard.settings().broker.groups.consumer_assignors;
    if let Err((code, message)) = check(&request, version, assignors) {
        let response = ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: Some(message),
            ..ConsumerGroupHeartbeatResponse::default()
        };
        return Ok(Handled::Now(incoming.respond(&response)));
    }
    if request.member_id.is_empty() {
        request.member_id = random_id(shard.reactor()).to_string();
    }
    let group = request.group_id.clone();
    let asked = ask(shard, incoming.course, &group, caller(incoming), GroupRequest::ConsumerHeartbeat(request)).await;
    Ok(Handled::later(async move { respond(&answer(asked.reply().await), version) }))
}

fn answer(reply: GroupReply) -> ConsumerGroupHeartbeatResponse {
    match reply {
        Ok(GroupResponse::ConsumerHeartbeat(response)) => response,
        Ok(other) => unreachable!("a heartbeat is answered by one, not {other:?}"),
        Err(code) => ConsumerGroupHeartbeatResponse {
            error_code: code.code(),
            error_message: Some(message(code).to_owned()),
            ..ConsumerGroupHeartbeatResponse::default()
        },
    }
}

/// What a code of the coordinator means here.
fn message(code: ErrorCode) -> &'static str {
    match code {
        ErrorCode::GroupIdNotFound => {
            "there is no group of this id that speaks the consumer protocol: a classic group with members becomes one if all of \
             them are consumers and group.consumer.migration.policy allows it"
        }
        ErrorCode::GroupMaxSizeReached => {
            "the group, or its coordinator, has no room: see group.consumer.max.size, and the limits of the broker"
        }
        code => code.message(),
    }
}

fn check(
    request: &ConsumerGroupHeartbeatRequest,
    version: i16,
    assignors: &[String],
) -> Result<(), (ErrorCode, String)> {
    let invalid = |message: &str| Err((ErrorCode::InvalidRequest, message.to_owned()));
    let is_empty = |text: &Option<String>| text.as_ref().is_some_and(|text| text.trim().is_empty());
    let joins = request.member_epoch == JOIN_EPOCH;
    if (version >= OWN_ID_VERSION_MIN || !joins) && request.member_id.trim().is_empty() {
        return invalid("MemberId can't be empty.");
    }
    if request.group_id.trim().is_empty() {
        return invalid("GroupId can't be empty.");
    }
    if is_empty(&request.instance_id) {
        return invalid("InstanceId can't be empty.");
    }
    if is_empty(&request.rack_id) {
        return invalid("RackId can't be empty.");
    }
    let subscribes = request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    match request.member_epoch {
        JOIN_EPOCH if request.rebalance_timeout_ms == -1 => {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        JOIN_EPOCH if request.topic_partitions.as_ref().is_none_or(|topics| !topics.is_empty()) => {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        JOIN_EPOCH if !subscribes => {
            return invalid("Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.");
        }
        LEAVE_STATIC_EPOCH if request.instance_id.is_none() => return invalid("InstanceId can't be null."),
        ..LEAVE_STATIC_EPOCH => return invalid("MemberEpoch is invalid."),
        LEAVE_STATIC_EPOCH | LEAVE_EPOCH | JOIN_EPOCH.. => {}
    }
    if let Some(assignor) = &request.server_assignor
        && !assignors.contains(assignor)
    {
        let message =
            format!("ServerAssignor {assignor} is not supported. Supported assignors: {}.", assignors.join(", "));
        return Err((ErrorCode::UnsupportedAssignor, message));
    }
    if request.subscribed_topic_names.as_ref().is_some_and(|names| names.len() > SUBSCRIBED_TOPICS_MAX) {
        return invalid(&format!("SubscribedTopicNames has more than {SUBSCRIBED_TOPICS_MAX} names."));
    }
    if let Some(text) = request.subscribed_topic_regex.as_deref()
        && !text.is_empty()
        && let Err(wrong) = check_expression(text)
    {
        let message = format!("SubscribedTopicRegex `{text}` is not a valid regular expression: {wrong}.");
        return Err((ErrorCode::InvalidRegularExpression, message));
    }
    Ok(())
}
