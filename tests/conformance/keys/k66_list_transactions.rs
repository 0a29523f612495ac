//! `ListTransactions`: while there are none.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::list_transactions::ListTransactionsRequest;

use crate::session::{every_version, expect};

/// From this version on ids can be filtered by an expression.
const PATTERN: i16 = 2;

#[test]
fn every_version_lists_none_and_names_states_that_there_are_not() {
    every_version(ApiKey::ListTransactions, |session, version| {
        let ask = |states: &[&str]| ListTransactionsRequest {
            state_filters: states.iter().map(|&state| state.to_owned()).collect(),
            producer_id_filters: vec![1_000_000_007],
            ..Default::default()
        };
        let known = ["Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort", "Dead"];
        for (states, unknown) in
            [(&[][..], &[][..]), (&known, &[]), (&["Ongoing", "ongoing", "x", "x", ""], &["", "ongoing", "x"])]
        {
            let mut response = session.ask(version, &ask(states));
            expect(response.error_code, ErrorCode::None);
            assert_eq!(response.transaction_states, []);
            response.unknown_state_filters.sort();
            assert_eq!(response.unknown_state_filters, unknown);
        }
    });
}

#[test]
fn an_expression_has_to_be_one() {
    every_version(ApiKey::ListTransactions, |session, version| {
        if version >= PATTERN {
            for (pattern, code) in [
                (None, ErrorCode::None),
                (Some(""), ErrorCode::None),
                (Some("payments-[0-9]+"), ErrorCode::None),
                (Some("("), ErrorCode::InvalidRegularExpression),
                (Some("a{2,1}"), ErrorCode::InvalidRegularExpression),
            ] {
                let transactional_id_pattern = pattern.map(str::to_owned);
                let request = ListTransactionsRequest { transactional_id_pattern, ..Default::default() };
                expect(session.ask(version, &request).error_code, code);
            }
        }
    });
}
