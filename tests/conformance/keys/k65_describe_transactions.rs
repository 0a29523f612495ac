//! `DescribeTransactions`: of transactions that nobody has begun.

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::describe_transactions::DescribeTransactionsRequest;
use ringlog_net::messages::find_coordinator::FindCoordinatorRequest;

use crate::session::{every_version, settled};

const TRANSACTION: i8 = 1;

#[test]
fn every_version_knows_no_transaction() {
    every_version(ApiKey::DescribeTransactions, |session, version| {
        let request = FindCoordinatorRequest {
            key_type: TRANSACTION,
            coordinator_keys: vec!["nobody".to_owned()],
            ..Default::default()
        };
        // A coordinator has its topic once somebody has asked for it.
        session.ask(4, &request);
        let transactional_ids = ["nobody", "", "nobody-else", "nobody"].map(str::to_owned).to_vec();
        let mut ask =
            || session.ask(version, &DescribeTransactionsRequest { transactional_ids: transactional_ids.clone() });
        let not_yet = ErrorCode::NotCoordinator.code();
        let loading = ErrorCode::CoordinatorLoadInProgress.code();
        let is_there = |code: i16| code != not_yet && code != loading;
        let response = settled(&mut ask, |it| it.transaction_states.iter().all(|state| is_there(state.error_code)));
        let states = response.transaction_states.iter();
        let told: Vec<_> =
            states.map(|state| (state.transactional_id.as_str(), ErrorCode::from_wire(state.error_code))).collect();
        let unknown = ErrorCode::TransactionalIdNotFound;
        let expected =
            [("nobody", unknown), ("", ErrorCode::InvalidRequest), ("nobody-else", unknown), ("nobody", unknown)];
        assert_eq!(told, expected);
        assert!(response.transaction_states.iter().all(|state| state.topics.is_empty()));
    });
}
