//! `InitProducerId` without a transactional id: a new id for every producer.

use std::collections::HashSet;

use ringlog_net::error::ErrorCode;
use ringlog_net::messages::ApiKey;
use ringlog_net::messages::init_producer_id::InitProducerIdRequest;

use crate::session::{Session, every_version, expect};

/// Asks for an id, again while the broker fetches a block of them.
pub(crate) fn new_id(session: &mut Session, version: i16) -> i64 {
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: 60_000, ..Default::default() };
    loop {
        let response = session.ask(version, &request);
        if ErrorCode::from_wire(response.error_code) != ErrorCode::CoordinatorLoadInProgress {
            expect(response.error_code, ErrorCode::None);
            assert_eq!(response.producer_epoch, 0);
            return response.producer_id;
        }
    }
}

#[test]
fn every_version_gives_a_new_id() {
    let mut given = HashSet::new();
    let mut session = Session::open();
    for version in ApiKey::InitProducerId.valid_versions() {
        for _ in 0..3 {
            let id = new_id(&mut session, version);
            assert!(id >= 0 && given.insert(id), "{id} again");
        }
    }
}

#[test]
fn connections_never_share_an_id() {
    every_version(ApiKey::InitProducerId, |session, version| {
        let ids: HashSet<_> = std::thread::scope(|scope| {
            let ask = || {
                let mut session = session.open_another();
                move || (0..50).map(|_| new_id(&mut session, version)).collect::<Vec<_>>()
            };
            let asking: Vec<_> = (0..4).map(|_| scope.spawn(ask())).collect();
            asking.into_iter().flat_map(|one| one.join().expect("no case fails")).collect()
        });
        assert_eq!(ids.len(), 200);
    });
}
