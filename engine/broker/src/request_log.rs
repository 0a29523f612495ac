//! A line for each request, for who asks for it: the logger `kafka.request.logger` at DEBUG.

use ringlog_net::conn::Response;
use ringlog_net::header::RequestHeader;
use ringlog_storage::types::Nanos;

use crate::connection::Connection;

/// [`REQUEST_LOGGER`](ringlog_cluster::config::REQUEST_LOGGER), as a path of modules.
const TARGET: &str = "kafka::request::logger";

/// Writes the line of a request that was taken up and is answered now, if there is to be one.
pub(crate) fn completed(
    connection: &Connection,
    begun_at: Nanos,
    now: Nanos,
    header: &RequestHeader,
    frame_bytes: usize,
    response: &Response,
) {
    if !tracing::enabled!(target: TARGET, tracing::Level::DEBUG) {
        return;
    }
    let listeners = &connection.shard().settings().broker.listeners;
    let listener = listeners.get(connection.listener).map_or("", |listener| listener.name.as_str());
    let (answer, response_bytes) = match response {
        Response::Send(body) => ("sent", body.len()),
        Response::Nothing => ("none", 0),
        Response::Close(_) => ("closed", 0),
    };
    tracing::debug!(
        target: TARGET,
        api = header.api_key.name(),
        version = header.api_version,
        correlation_id = header.correlation_id,
        client_id = &*header.client_id,
        peer = %connection.peer,
        listener,
        request_bytes = frame_bytes,
        response_bytes,
        answer,
        time_us = u64::try_from(now.since(begun_at).as_micros()).unwrap_or(u64::MAX),
        "completed request"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_target_is_the_logger_that_operators_set() {
        assert_eq!(TARGET.replace("::", "."), ringlog_cluster::config::REQUEST_LOGGER);
    }
}
