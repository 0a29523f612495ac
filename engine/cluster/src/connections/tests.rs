//! Which connections come in, and when.

use super::*;
use crate::config::ConfigLayers;
use crate::config::{BrokerConfig, Sources, StaticConfig};
use crate::image::{Image, QuotaEntity, QuotaName, quota_record};
use ringlog_storage::types::{BrokerId, Offset};

const LISTENERS: &str = "listeners=CLIENTS://:1,BROKERS://:2\nlistener.security.protocol.map=CLIENTS:PLAINTEXT,BROKERS:PLAINTEXT\n\
     inter.broker.listener.name=BROKERS\nadvertised.listeners=CLIENTS://a:1,BROKERS://a:2\n";
const CLIENTS: usize = 0;
const BROKERS: usize = 1;

fn at(ms: u64) -> Nanos {
    Nanos::new((1_000_000 + ms) * 1_000_000)
}

/// Limits from lines of a properties file, and quotas of addresses: `address rate`, with `*` for the default.
fn limits(settings: &str, quotas: &[&str]) -> ConnectionLimits {
    let text = format!("{LISTENERS}{settings}");
    let file = Some(crate::config::PropertiesFile { name: "test", text: &text });
    let (fixed, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("good settings");
    let layers = ConfigLayers::of_start(&fixed);
    let broker = BrokerConfig::new(&layers, "a").expect("good settings");
    let mut image = Image::new("cluster", BrokerId::new(1));
    for (offset, quota) in (0..).map(Offset::new).zip(quotas) {
        let (ip, rate) = quota.split_once(' ').expect("an address and a rate");
        let ip = Some(QuotaName::from_wire(Some(ip).filter(|ip| *ip != "*")));
        let entity = QuotaEntity { ip, ..QuotaEntity::default() };
        let record = quota_record(&entity, "connection_creation_rate", rate.parse().ok());
        image.replay(offset, &record).expect("a quota");
    }
    ConnectionLimits::new(&layers, &broker.listeners, &image)
}

fn connections(settings: &str, quotas: &[&str]) -> Connections<u32> {
    Connections::new(limits(settings, quotas), QuotaWindows::new(11, Duration::from_secs(1)), 4)
}

fn origin(listener: usize, ip: &str) -> Origin {
    Origin { shard: 0, listener, ip: ip.parse().expect("an address") }
}

/// Asks at this time, and answers what becomes of it then; `None` if it waits.
fn ask(connections: &mut Connections<u32>, listener: usize, ip: &str, ms: u64) -> Option<Verdict> {
    connections.ask(origin(listener, ip), 0);
    connections.poll(at(ms)).map(|answer| answer.verdict)
}

const ACCEPTED: Option<Verdict> = Some(Verdict::Accepted);

#[test]
fn nothing_is_limited_by_default() {
    assert!(!limits("", &[]).are_set());
    for setting in [
        "max.connections=9",
        "max.connections.per.ip=9",
        "max.connections.per.ip.overrides=1.2.3.4:9",
        "max.connection.creation.rate=9",
        "listener.name.clients.max.connections=9",
        "listener.name.brokers.max.connection.creation.rate=9",
    ] {
        assert!(limits(setting, &[]).are_set(), "{setting}");
    }
    assert!(limits("", &["* 9"]).are_set() && limits("", &["1.2.3.4 9"]).are_set());
}

#[test]
fn overrides_are_pairs_of_address_and_count() {
    let check = |text, expected: Option<&[(&str, u32)]>| {
        let pairs = expected.map(|pairs| {
            pairs.iter().map(|(ip, count)| (ip.parse().expect("an address"), *count)).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(parse_overrides(text), pairs, "{text:?}");
    };
    check("", Some(&[]));
    check("1.2.3.4:5, ::1:0,[fe80::1]:7", Some(&[("1.2.3.4", 5), ("::1", 0), ("fe80::1", 7)]));
    check("::ffff:1.2.3.4:5", Some(&[("1.2.3.4", 5)]));
    for bad in ["localhost:5", "1.2.3.4", "1.2.3.4:", "1.2.3.4:-1", "1.2.3.4:2147483648"] {
        check(bad, None);
    }
}

#[test]
fn an_address_has_as_many_as_it_may() {
    let mut connections =
        connections("max.connections.per.ip=2\nmax.connections.per.ip.overrides=1.1.1.1:3,2.2.2.2:0", &[]);
    for (ip, max) in [("1.1.1.1", 3), ("2.2.2.2", 0), ("3.3.3.3", 2)] {
        for _ in 0..max {
            assert_eq!(ask(&mut connections, CLIENTS, ip, 0), ACCEPTED);
        }
        // They count over all listeners, and those that are refused do not.
        for listener in [CLIENTS, BROKERS, CLIENTS] {
            assert_eq!(ask(&mut connections, listener, ip, 0), Some(Verdict::TooMany { max }), "{ip}");
        }
    }
    connections.ended(origin(CLIENTS, "3.3.3.3"));
    assert_eq!(ask(&mut connections, BROKERS, "3.3.3.3", 0), ACCEPTED);
    connections.set_limits(limits("max.connections.per.ip=3", &[]));
    assert_eq!(ask(&mut connections, CLIENTS, "3.3.3.3", 0), ACCEPTED);
    assert_eq!(connections.open(), 6);
}

/// A start can take away what lay beneath a setting of before; then it does not count, or nobody could connect any more.
#[test]
fn nobody_is_locked_out_by_a_limit_of_none() {
    let (fixed, all) = (StaticConfig::default(), [("max.connections.per.ip".to_owned(), "0".to_owned())].into());
    let layers = ConfigLayers { all_brokers: &all, ..ConfigLayers::of_start(&fixed) };
    let image = Image::new("cluster", BrokerId::new(1));
    assert!(!ConnectionLimits::new(&layers, &[], &image).are_set());
}

#[test]
fn the_next_one_waits_until_another_ends() {
    let mut connections = connections("max.connections=2", &[]);
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), ACCEPTED);
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.2", 0), ACCEPTED);
    for token in [7, 8] {
        connections.ask(origin(CLIENTS, "1.1.1.3"), token);
    }
    // No time brings room.
    assert_eq!((connections.poll(at(1)), connections.next_deadline()), (None, None));
    connections.ended(origin(CLIENTS, "1.1.1.1"));
    let answer = connections.poll(at(2)).expect("there is room");
    assert_eq!((answer.token, answer.verdict), (7, Verdict::Accepted));
    assert_eq!(connections.poll(at(2)), None);
    // More room, without one that ends.
    connections.set_limits(limits("max.connections=3", &[]));
    assert_eq!(connections.poll(at(2)).map(|answer| answer.token), Some(8));
    assert_eq!(connections.open(), 3);
}

#[test]
fn brokers_come_in_and_others_make_room() {
    let mut connections = connections("max.connections=3\nlistener.name.brokers.max.connections=2", &[]);
    for shard in [1, 2, 2] {
        connections.ask(Origin { shard, ..origin(CLIENTS, "1.1.1.1") }, 0);
        assert!(connections.poll(at(0)).is_some());
    }
    assert_eq!(connections.surplus(), []);
    assert_eq!(ask(&mut connections, BROKERS, "1.1.1.2", 0), ACCEPTED);
    assert_eq!(connections.surplus(), [(2, 1)]);
    assert_eq!(connections.surplus(), [], "it was told");
    connections.ended(Origin { shard: 2, ..origin(CLIENTS, "1.1.1.1") });
    assert_eq!(connections.surplus(), []);
    assert_eq!(ask(&mut connections, BROKERS, "1.1.1.2", 0), ACCEPTED);
    assert_eq!(ask(&mut connections, BROKERS, "1.1.1.2", 0), None, "a limit of the listener's own");
    // A limit that is lowered ends connections; those of brokers stay.
    connections.set_limits(limits("max.connections=1", &[]));
    assert_eq!(connections.surplus(), [(1, 1), (2, 1)]);
}

#[test]
fn what_counts_without_having_asked_ends_like_the_others() {
    let mut connections = connections("max.connections=1", &[]);
    connections.count(origin(CLIENTS, "1.1.1.1"));
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), None);
    connections.ended(origin(CLIENTS, "1.1.1.1"));
    assert_eq!(connections.poll(at(0)).map(|answer| answer.verdict), ACCEPTED);
}

/// How many come in a second, over many, when the next one asks as soon as the one before is told.
fn accepted_per_second(settings: &str, listener: usize) -> u32 {
    const SECONDS: u32 = 330;
    let mut connections = connections(settings, &[]);
    let (mut accepted, mut now) = (0, at(0));
    while now < at(1000 * u64::from(SECONDS)) {
        connections.ask(origin(listener, "1.1.1.1"), 0);
        while connections.poll(now).is_none() {
            now = connections.next_deadline().expect("it waits for a time");
        }
        accepted += 1;
    }
    accepted / SECONDS
}

#[test]
fn more_than_the_rate_wait() {
    let settings = "max.connection.creation.rate=10\nlistener.name.brokers.max.connection.creation.rate=20";
    let accepted = accepted_per_second(settings, CLIENTS);
    assert!((10..=12).contains(&accepted), "{accepted}");
    let accepted = accepted_per_second(settings, BROKERS);
    assert!((20..=24).contains(&accepted), "{accepted}: the broker's rate is not for brokers");
}

#[test]
fn a_rate_that_is_lowered_makes_nobody_wait_longer_than_a_window() {
    let mut connections = connections("max.connection.creation.rate=1000", &[]);
    for _ in 0..500 {
        assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), ACCEPTED);
    }
    connections.set_limits(limits("max.connection.creation.rate=1", &[]));
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), None);
    assert_eq!(connections.next_deadline(), Some(at(1000)));
    assert!(connections.poll(at(999)).is_none() && connections.poll(at(1000)).is_some());
}

#[test]
fn an_address_that_makes_too_many_is_closed_a_little_later() {
    let mut connections = connections("", &["* 100", "1.1.1.1 1", "::2 1"]);
    for _ in 0..10 {
        assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), ACCEPTED);
    }
    let throttled = |ms| Some(Verdict::Throttled(Duration::from_millis(ms)));
    // Those that do not come in do not count.
    for _ in 0..3 {
        assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), throttled(1000));
    }
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.2", 0), ACCEPTED, "another address");
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 600), throttled(400));
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 11_000), ACCEPTED);
    assert_eq!(connections.open(), 12);
}

#[test]
fn addresses_that_came_long_ago_are_forgotten() {
    let windows = QuotaWindows::new(11, Duration::from_secs(1));
    let mut rates = AddressRates::default();
    for number in 0..100_000_u32 {
        rates.of(IpAddr::from(number.to_be_bytes()), windows, at(0)).record(1.0, windows, at(0));
        assert!(rates.recent.len() + rates.other.len() <= ADDRESSES_TRACKED_MAX);
    }
    assert!(!rates.of(IpAddr::from(99_999_u32.to_be_bytes()), windows, at(1)).is_unused(windows, at(1)));
    rates.of(IpAddr::from([9, 9, 9, 9]), windows, at(11_000));
    rates.of(IpAddr::from([9, 9, 9, 9]), windows, at(22_001));
    assert!(rates.recent.len() + rates.other.len() <= 2);
}

#[test]
fn a_connection_that_moves_counts_once_and_for_the_shard_that_has_it() {
    let mut connections = connections("max.connections=2", &[]);
    let first = origin(CLIENTS, "1.1.1.1");
    connections.count(first);
    connections.count(first);
    connections.moved(first, 3);
    assert_eq!(connections.open(), 2);
    assert_eq!(connections.surplus(), [], "there are no more than there may be");
    connections.count(origin(CLIENTS, "1.1.1.2"));
    connections.count(origin(CLIENTS, "1.1.1.2"));
    assert_eq!(connections.surplus(), [(0, 2)]);
    // One of those that were to end has moved, and so another has to.
    connections.moved(first, 3);
    connections.moved(origin(CLIENTS, "1.1.1.2"), 3);
    assert_eq!(connections.surplus(), [(3, 1)]);
    connections.ended(Origin { shard: 3, ..first });
    connections.ended(origin(CLIENTS, "1.1.1.2"));
    assert_eq!((connections.open(), connections.surplus()), (2, Vec::new()));
    // Those of a protected listener never make room.
    let protected = origin(BROKERS, "1.1.1.3");
    connections.count(protected);
    connections.moved(protected, 1);
    connections.ended(Origin { shard: 1, ..protected });
    assert_eq!(connections.open(), 2);
}

#[test]
fn what_shards_tell_of_a_connection_that_has_moved_may_come_in_any_order() {
    let mut connections = connections("max.connections.per.ip=1", &[]);
    let first = origin(CLIENTS, "1.1.1.1");
    connections.moved(Origin { shard: 2, ..first }, 1);
    connections.ended(Origin { shard: 1, ..first });
    assert_eq!((connections.open(), connections.surplus()), (0, Vec::new()));
    connections.moved(first, 2);
    connections.count(first);
    assert_eq!(connections.open(), 0);
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), ACCEPTED);
    assert_eq!(ask(&mut connections, CLIENTS, "1.1.1.1", 0), Some(Verdict::TooMany { max: 1 }));
}
