//! `ListTransactions`, versions 0 to 2 (KIP-664, KIP-994, KIP-1152). There are no transactions yet, so the list is empty.

use std::collections::BTreeSet;

use ringlog_cluster::expression::check_expression;
use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};

use crate::dispatch::{Handled, Incoming};

/// The states that a transaction can be in.
const STATES: [&str; 8] = [
    "Empty",
    "Ongoing",
    "PrepareCommit",
    "PrepareAbort",
    "CompleteCommit",
    "CompleteAbort",
    "PrepareEpochFence",
    "Dead",
];

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: ListTransactionsRequest = incoming.decode()?;
    let pattern = request.transactional_id_pattern.as_deref().unwrap_or_default();
    let response = if check_expression(pattern).is_ok() {
        let unknown: BTreeSet<_> =
            request.state_filters.into_iter().filter(|state| !STATES.contains(&state.as_str())).collect();
        let unknown_state_filters = unknown.into_iter().collect();
        ListTransactionsResponse { unknown_state_filters, ..ListTransactionsResponse::default() }
    } else {
        let error_code = ErrorCode::InvalidRegularExpression.code();
        ListTransactionsResponse { error_code, ..ListTransactionsResponse::default() }
    };
    Ok(Handled::Now(incoming.respond(&response)))
}
