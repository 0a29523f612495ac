//! Which quota applies, and what its use leads to.

use super::*;
use crate::image::quota_record;
use ringlog_storage::types::{BrokerId, Nanos, Offset};

const WINDOWS_OF_KAFKA: (u32, Duration) = (11, Duration::from_secs(1));

fn windows() -> QuotaWindows {
    QuotaWindows::new(WINDOWS_OF_KAFKA.0, WINDOWS_OF_KAFKA.1)
}

fn usages() -> Usages {
    Usages::new(windows(), windows())
}

fn at(ms: u64) -> Nanos {
    Nanos::new((1_000_000 + ms) * 1_000_000)
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).expect("a short time")
}

fn charge_of(quota_type: QuotaType, client_id: &str, limit: f64, amount: f64) -> Charge {
    Charge { quota_type, scope: QuotaScope { user: None, client_id: Some(client_id.into()) }, limit, amount }
}

fn charge(quota_type: QuotaType, limit: f64, amount: f64) -> Charge {
    charge_of(quota_type, "c", limit, amount)
}

/// An image with quotas: `user/client-id limit`, each part a name, `*` for the default, or nothing.
fn image(quotas: &[&str]) -> Image {
    let mut image = Image::new("cluster", BrokerId::new(1));
    for (offset, quota) in (0..).map(Offset::new).zip(quotas) {
        let (entity, value) = quota.split_once(' ').expect("an entity and a limit");
        let (user, client_id) = entity.split_once('/').expect("a user and a client id");
        let part =
            |name: &str| (!name.is_empty()).then(|| QuotaName::from_wire(Some(name).filter(|name| *name != "*")));
        let entity = QuotaEntity { user: part(user), client_id: part(client_id), ip: None };
        let record = quota_record(&entity, "producer_byte_rate", value.parse().ok());
        image.replay(offset, &record).expect("a quota");
    }
    image
}

#[test]
fn the_most_specific_quota_applies() {
    let mut quotas = vec!["*/* 5", "/* 8", "u/ 3", "*/c 4", "u/c 1", "/c 7", "*/ 6", "u/* 2"];
    let applied = |quotas: &[&str], user: &str, client_id: &str| {
        let of = ClientQuotas::of(&image(quotas), &user.into(), &client_id.into());
        of.get(QuotaType::Produce).map(|applied| {
            let part = |name: &Option<Arc<str>>| name.as_deref().unwrap_or("-").to_owned();
            format!("{} of {}/{}", applied.limit, part(&applied.scope.user), part(&applied.scope.client_id))
        })
    };
    let check = |quotas: &[&str], user: &str, client_id: &str, expected: &str| {
        assert_eq!(
            applied(quotas, user, client_id).as_deref().unwrap_or(""),
            expected,
            "{user}/{client_id} of {quotas:?}"
        );
    };
    // Each one that applies is taken away in turn.
    for expected in ["1 of u/c", "2 of u/c", "3 of u/-", "4 of u/c", "5 of u/c", "6 of u/-", "7 of -/c", "8 of -/c", ""]
    {
        check(&quotas, "u", "c", expected);
        quotas.retain(|quota| !expected.starts_with(&quota[quota.len() - 1..]));
    }
    let all = ["u/c 1", "u/* 2", "u/ 3", "*/c 4", "*/* 5", "*/ 6", "/c 7", "/* 8"];
    check(&all, "v", "c", "4 of v/c");
    check(&all, "v", "d", "5 of v/d");
    check(&all, "u", "d", "2 of u/d");
    check(&all[5..], "v", "d", "6 of v/-");
    check(&all[6..], "v", "d", "8 of -/d");
    // Without a client id.
    check(&all, "u", "", "3 of u/-");
    check(&all, "v", "", "6 of v/-");
    check(&all[6..], "v", "", "");
}

#[test]
fn types_have_quotas_of_their_own() {
    let quotas = ClientQuotas::of(&image(&["/c 7"]), &"u".into(), &"c".into());
    assert!(!quotas.is_empty() && quotas.get(QuotaType::Fetch).is_none());
    assert!(quotas.charge(QuotaType::Request, 1.0).is_none());
    assert_eq!(quotas.charge(QuotaType::Produce, 9.0), Some(charge(QuotaType::Produce, 7.0, 9.0)));
    assert_eq!(quotas.fetch_bytes_max(windows()), None);
    assert!(ClientQuotas::of(&image(&[]), &"u".into(), &"c".into()).is_empty());
}

#[test]
fn long_names_share_what_their_beginnings_have() {
    let long = |end: &str| "\u{fc}".repeat(SCOPE_NAME_BYTES_MAX) + end;
    let scope = |client_id: String| {
        let quotas = ClientQuotas::of(&image(&["/* 8"]), &"u".into(), &client_id.into());
        quotas.get(QuotaType::Produce).expect("the default applies").scope.clone()
    };
    assert_eq!(scope(long("a")), scope(long("b")));
    assert!(scope(long("a")).client_id.is_some_and(|name| name.len() <= SCOPE_NAME_BYTES_MAX));
}

#[test]
fn scopes_are_spread_over_shards() {
    let owner = |name: String| QuotaScope { user: None, client_id: Some(name.into()) }.owner(4).index();
    let mut owned = [0; 4];
    for number in 0..400 {
        owned[owner(format!("client-{number}"))] += 1;
        assert_eq!(owner(format!("client-{number}")), owner(format!("client-{number}")));
    }
    assert!(owned.iter().all(|count| (60..140).contains(count)), "{owned:?}");
}

/// What is used in the first moment may be as much as in all whole windows together; what is above is waited for.
#[test]
fn a_burst_is_waited_for_until_the_rate_is_that_of_the_quota() {
    let check = |amount: f64, expected: u64| {
        assert_eq!(ms(usages().record(&[charge(QuotaType::Produce, 1000.0, amount)], at(0))), expected, "{amount}");
    };
    check(10_000.0, 0);
    check(10_001.0, 1);
    check(15_000.0, 5_000);
    check(1_000_000.0, 990_000);
    check(1e30, 2_147_483_647);
}

#[test]
fn use_counts_for_eleven_seconds() {
    let mut usages = usages();
    let mut check = |ms_now: u64, amount: f64, expected: u64| {
        let throttled = usages.record(&[charge(QuotaType::Produce, 1000.0, amount)], at(ms_now));
        assert_eq!(ms(throttled), expected, "{amount} at {ms_now}");
    };
    check(0, 10_000.0, 0);
    // The window that has begun makes the span longer.
    check(500, 1_000.0, 500);
    check(1_500, 1_000.0, 1_500);
    check(10_400, 0.0, 1_600);
    // The first window is forgotten 11 s after it was used last.
    check(11_600, 0.0, 0);
    check(11_600, 9_100.0, 0);
    check(40_000, 10_000.0, 0);
}

/// The fewer and the larger its requests are, the coarser are the windows: Kafka lets through as much more.
#[test]
fn a_client_that_waits_as_told_has_the_rate_of_its_quota() {
    for (limit, amount) in [(1000.0, 100.0), (1000.0, 3_000.0), (50_000.0, 49_000.0)] {
        let mut usages = usages();
        let (mut now, mut used) = (0, 0.0);
        while now < 600_000 {
            used += amount;
            now += ms(usages.record(&[charge(QuotaType::Produce, limit, amount)], at(now)));
            now += 1;
        }
        let rate = used / 600.0;
        assert!((limit * 0.97..limit * 1.1).contains(&rate), "{rate} a second of {limit}, {amount} at a time");
    }
}

#[test]
fn a_throttled_fetch_does_not_count() {
    let mut usages = usages();
    let fetch = |amount| charge(QuotaType::Fetch, 1000.0, amount);
    let mut check = |charges: &[Charge], now, expected| {
        assert_eq!(ms(usages.record(charges, at(now))), expected, "{charges:?}");
    };
    check(&[fetch(9_000.0)], 0, 0);
    check(&[fetch(2_000.0)], 0, 1_000);
    check(&[fetch(1_000.0)], 0, 0);
    check(&[fetch(1.0)], 0, 1);
    // Whichever quota it is throttled for.
    check(&[fetch(500.0), charge(QuotaType::Request, 1.0, 10.1)], 500, 100);
    check(&[fetch(500.0)], 500, 0);
    check(&[fetch(1.0)], 500, 1);
}

#[test]
fn requests_are_throttled_for_a_window_at_most() {
    let mut usages = usages();
    let used = percent_of_second(Duration::from_millis(200));
    assert!((used - 20.0).abs() < 1e-9);
    assert_eq!(ms(usages.record(&[charge(QuotaType::Request, 2.0, used)], at(0))), 0);
    assert_eq!(ms(usages.record(&[charge(QuotaType::Request, 2.0, 1.0)], at(0))), 500);
    assert_eq!(ms(usages.record(&[charge(QuotaType::Request, 2.0, 20.0)], at(0))), 1_000);
}

#[test]
fn the_longest_throttle_counts() {
    let charges = [charge(QuotaType::Produce, 100.0, 1_100.0), charge(QuotaType::Request, 1.0, 10.4)];
    assert_eq!(ms(usages().record(&charges, at(0))), 1_000);
    assert_eq!(ms(usages().record(&charges[1..], at(0))), 400);
    assert_eq!(ms(usages().record(&[], at(0))), 0);
}

#[test]
fn changes_of_the_metadata_run_into_debt_once() {
    let mut usages = usages();
    let mut check = |now, amount, expected: Result<(), u64>| {
        let answer = usages.record_strictly(&charge(QuotaType::ControllerMutation, 2.0, amount), at(now));
        assert_eq!(answer.map_err(ms), expected, "{amount} at {now}");
    };
    check(0, 22.0, Ok(()));
    check(0, 10.0, Ok(()));
    check(0, 1.0, Err(5_000));
    check(4_000, 1.0, Err(1_000));
    check(5_000, 1.0, Ok(()));
    check(60_000, 22.0, Ok(()));
    check(60_000, 1.0, Ok(()));
    check(60_000, 1.0, Err(500));
    // Older versions are told how long they have to wait for what was done.
    assert_eq!(ms(usages.record(&[charge(QuotaType::ControllerMutation, 2.0, 3.0)], at(60_500))), 1_500);
}

#[test]
fn requests_without_an_error_for_it_are_throttled_for_what_they_changed() {
    let mut usages = usages();
    let none = || charge(QuotaType::ControllerMutation, 1.0, 0.0);
    let mut strict = MutationQuota::new(&mut usages, none(), Enforcement::Strict, at(0));
    assert_eq!((strict.take(10), strict.take(2), strict.take(1)), (Ok(()), Ok(()), Err(Duration::from_secs(1))));
    assert_eq!(strict.throttled(), Duration::from_secs(1));
    let mut permissive = MutationQuota::new(&mut usages, none(), Enforcement::Permissive, at(1000));
    assert_eq!((permissive.throttled(), permissive.take(3)), (Duration::ZERO, Ok(())));
    assert_eq!((permissive.take(1), permissive.throttled()), (Ok(()), Duration::from_secs(4)));
    let mut unlimited = MutationQuota::unlimited();
    assert_eq!((unlimited.take(1_000_000), unlimited.throttled()), (Ok(()), Duration::ZERO));
}

#[test]
fn a_limit_that_changes_is_in_force_at_once() {
    let mut usages = usages();
    assert_eq!(ms(usages.record(&[charge(QuotaType::Produce, 1e9, 20_000.0)], at(0))), 0);
    assert_eq!(ms(usages.record(&[charge(QuotaType::Produce, 1000.0, 0.0)], at(0))), 10_000);
    assert_eq!(ms(usages.record(&[charge(QuotaType::Produce, 1e9, 0.0)], at(0))), 0);
}

#[test]
fn the_idle_are_forgotten_and_those_in_debt_last() {
    let produce = |number: usize, now: u64, usages: &mut Usages| {
        let charge = charge_of(QuotaType::Produce, &format!("client-{number}"), 1000.0, 20_000.0);
        ms(usages.record(&[charge], at(now)))
    };
    let mut usages = usages();
    let debt = charge(QuotaType::ControllerMutation, 1.0, 1_011.0);
    assert_eq!(usages.record_strictly(&debt, at(0)), Ok(()));
    for number in 0..3 * TRACKED_MAX {
        assert_eq!(produce(number, 0, &mut usages), 10_000);
        assert!(usages.tracked_count() <= TRACKED_MAX);
    }
    // The last one is still known, the first one is not.
    assert_eq!(produce(3 * TRACKED_MAX - 1, 0, &mut usages), 30_000);
    assert_eq!(produce(0, 0, &mut usages), 10_000);
    let mut usages = self::usages();
    assert_eq!(usages.record_strictly(&debt, at(0)), Ok(()));
    for step in 0..50 {
        produce(step, 11_000 + 11_001 * u64::try_from(step).expect("small"), &mut usages);
        assert!(usages.tracked_count() <= 3, "what is idle goes");
    }
    assert_eq!(usages.record_strictly(&debt, at(600_000)).map_err(ms), Err(400_000));
}
