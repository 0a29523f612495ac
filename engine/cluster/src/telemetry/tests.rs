//! Clients that ask and push, in time and out of it.

#![allow(clippy::unchecked_time_subtraction, reason = "the times of these tests are constants")]

use ringlog_storage::types::BrokerId;

use super::*;
use crate::image::{ConfigResource, config_record};

const INTERVAL: Duration = Duration::from_millis(100);
const BYTES_MAX: usize = 10;

struct World {
    telemetry: Telemetry,
    image: Image,
    now: Nanos,
    client: TelemetryClient,
}

impl World {
    fn new() -> Self {
        let mut world = Self {
            telemetry: Telemetry::new(BYTES_MAX),
            image: Image::new("cluster", BrokerId::new(1)),
            now: Nanos::new(1),
            client: TelemetryClient { client_id: "shop".to_owned(), source_port: 9, ..TelemetryClient::default() },
        };
        world.set("all", "interval.ms", Some("100"));
        world
    }

    fn set(&mut self, subscription: &str, key: &str, value: Option<&str>) {
        let record = config_record(&ConfigResource::ClientMetrics(subscription.into()), key, value);
        self.image.replay(self.image.offset().next(), &record).expect("the record can be applied");
    }

    fn pass(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    fn get(&mut self, id: u128) -> Result<Arc<Asked>, ErrorCode> {
        let id = Uuid::from_u128(id);
        let (told, asked) = self.telemetry.get(self.now, &self.image, &self.client, id, Uuid::from_u128(5000))?;
        assert_eq!(told, id);
        Ok(asked)
    }

    fn push(&mut self, id: u128, subscription_id: i32) -> Result<(), ErrorCode> {
        self.push_with(Push { terminating: false, ..whole_push(id, subscription_id) })
    }

    fn push_with(&mut self, push: Push) -> Result<(), ErrorCode> {
        self.telemetry.push(self.now, &self.image, &self.client, &push)
    }
}

fn whole_push(id: u128, subscription_id: i32) -> Push {
    Push {
        client_instance_id: Uuid::from_u128(id),
        subscription_id,
        terminating: true,
        compression_type: 0,
        metrics_bytes: BYTES_MAX,
    }
}

const THROTTLED: ErrorCode = ErrorCode::ThrottlingQuotaExceeded;

#[test]
fn a_client_asks_then_pushes_once_an_interval() {
    let mut world = World::new();
    let id = world.get(1000).expect("it is new").subscription_id;
    assert_eq!(world.get(1000), Err(THROTTLED));
    assert_eq!(world.push(1000, id), Ok(()), "the first push need not wait");
    assert_eq!(world.push(1000, id), Err(THROTTLED));
    world.pass(INTERVAL - Duration::from_nanos(1));
    assert_eq!(world.push(1000, id), Err(THROTTLED));
    world.pass(Duration::from_nanos(1));
    assert_eq!(world.push(1000, id), Ok(()));
    assert_eq!(world.get(1000), Err(THROTTLED));
    world.pass(INTERVAL);
    assert_eq!(world.get(1000).map(|asked| asked.subscription_id), Ok(id));
}

#[test]
fn a_client_without_an_id_gets_one() {
    let mut world = World::new();
    let new_id = Uuid::from_u128(5000);
    let (id, _) = world.telemetry.get(world.now, &world.image, &world.client, Uuid::ZERO, new_id).expect("it is new");
    assert_eq!(id, new_id);
    assert_eq!(world.get(5000), Err(THROTTLED));
    for reserved in [Uuid::ZERO, Uuid::METADATA_TOPIC] {
        let push = Push { client_instance_id: reserved, ..whole_push(0, 0) };
        assert_eq!(world.push_with(push), Err(ErrorCode::InvalidRequest));
    }
}

#[test]
fn who_is_out_of_date_asks_again_at_once() {
    let mut world = World::new();
    for (id, wrong, code) in [
        (1000, Push { subscription_id: -1, ..whole_push(1000, 0) }, ErrorCode::UnknownSubscriptionId),
        (1001, Push { compression_type: 5, ..whole_push(1001, 0) }, ErrorCode::UnsupportedCompressionType),
        (1002, Push { compression_type: -1, ..whole_push(1002, 0) }, ErrorCode::UnsupportedCompressionType),
    ] {
        let subscription_id = world.get(id).expect("it is new").subscription_id;
        let wrong = if wrong.subscription_id == 0 { Push { subscription_id, ..wrong } } else { wrong };
        assert_eq!(world.push_with(wrong), Err(code));
        assert!(world.get(id).is_ok());
        assert_eq!(world.get(id), Err(THROTTLED), "once");
    }
    let subscription_id = world.get(1003).expect("it is new").subscription_id;
    let large = Push { metrics_bytes: BYTES_MAX + 1, ..whole_push(1003, subscription_id) };
    assert_eq!(world.push_with(large), Err(ErrorCode::TelemetryTooLarge));
    assert_eq!(world.get(1003), Err(THROTTLED));
}

#[test]
fn the_last_push_may_come_early_and_nothing_after_it() {
    let mut world = World::new();
    let id = world.get(1000).expect("it is new").subscription_id;
    assert_eq!(world.push(1000, id), Ok(()));
    assert_eq!(world.push_with(whole_push(1000, id)), Ok(()));
    world.pass(INTERVAL);
    assert_eq!(world.push(1000, id), Err(ErrorCode::InvalidRequest));
    assert_eq!(world.push_with(whole_push(1000, id)), Err(ErrorCode::InvalidRequest));
}

#[test]
fn subscriptions_that_select_a_client_are_one() {
    let mut world = World::new();
    let asked = world.get(1000).expect("it is new");
    assert_eq!((asked.interval_ms, asked.metrics.len()), (100, 0));
    world.set("all", "interval.ms", None);
    let asked = world.get(1000).expect("everybody begins anew");
    assert_eq!((asked.interval_ms, asked.metrics.len()), (300_000, 0));
    assert_eq!(world.get(1000), Err(THROTTLED));
    for (name, key, value) in [
        ("a", "metrics", "org.b,org.a"),
        ("a", "match", "client_id=shop,client_source_port=9,client_software_name=unknown"),
        ("b", "metrics", "org.a,org.c"),
        ("b", "interval.ms", "5000"),
        ("other", "metrics", "*"),
        ("other", "match", "client_id=shop-.*"),
    ] {
        world.set(name, key, Some(value));
    }
    let first = world.get(1000).expect("everybody begins anew");
    assert_eq!((first.interval_ms, first.metrics.join(" ").as_str()), (5000, "org.a org.b org.c"));
    assert_ne!(first.subscription_id, asked.subscription_id);
    assert_ne!(first.subscription_id, world.get(1001).expect("it is new").subscription_id);
    world.set("other", "match", Some(&format!("client_instance_id={}", Uuid::from_u128(1000))));
    assert_eq!(world.get(1000).expect("everybody begins anew").metrics, ["*"]);
    assert_eq!(world.get(1001).expect("everybody begins anew").metrics.len(), 3);
    assert_eq!(world.push(1000, first.subscription_id), Err(ErrorCode::UnknownSubscriptionId));
}

#[test]
fn a_change_of_something_else_changes_nothing() {
    let mut world = World::new();
    world.get(1000).expect("it is new");
    let record = config_record(&ConfigResource::Group("shop".into()), "consumer.session.timeout.ms", Some("50000"));
    world.image.replay(world.image.offset().next(), &record).expect("the record can be applied");
    assert_eq!(world.get(1000), Err(THROTTLED));
}

#[test]
fn silent_clients_are_forgotten_and_their_number_is_bounded() {
    let mut world = World::new();
    let subscription_id = world.get(1000).expect("it is new").subscription_id;
    assert_eq!(world.push_with(whole_push(1000, subscription_id)), Ok(()));
    world.pass(SILENCE_MIN);
    assert_eq!(world.push(1000, subscription_id), Ok(()), "it is a new one");
    for id in 0..u128::try_from(CLIENT_INSTANCES_MAX).expect("it fits") {
        world.pass(Duration::from_nanos(1));
        world.get(10_000 + id).expect("it is new");
    }
    let telemetry = &world.telemetry;
    assert_eq!((telemetry.instances.len(), telemetry.expiries.len()), (CLIENT_INSTANCES_MAX, CLIENT_INSTANCES_MAX));
    assert!(!telemetry.instances.contains_key(&Uuid::from_u128(1000)), "the first one to be forgotten");
}
