//! `DescribeTransactions`, version 0 (KIP-664). There are no transactions yet, so none is known.

use ringlog_net::conn::CloseReason;
use ringlog_net::error::ErrorCode;
use ringlog_net::messages::describe_transactions::{
    DescribeTransactionsRequest, DescribeTransactionsResponse, TransactionState,
};

use crate::dispatch::{Handled, Incoming};

pub(crate) async fn handle(incoming: Incoming<'_>) -> Result<Handled, CloseReason> {
    let request: DescribeTransactionsRequest = incoming.decode()?;
    let state = |transactional_id: String| {
        let is_name = !transactional_id.is_empty();
        let code = if is_name { ErrorCode::TransactionalIdNotFound } else { ErrorCode::InvalidRequest };
        TransactionState { error_code: code.code(), transactional_id, ..TransactionState::default() }
    };
    let transaction_states = request.transactional_ids.into_iter().map(state).collect();
    let response = DescribeTransactionsResponse { throttle_time_ms: 0, transaction_states };
    Ok(Handled::Now(incoming.respond(&response)))
}
