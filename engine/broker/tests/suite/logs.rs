//! What a broker writes into its log when something goes wrong, and how often.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ringlog_reactor::Reactor;
use ringlog_reactor::sim::SimOptions;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

use crate::{Broker, ask, connect, create_topic, produce};

/// The lines of this thread, which runs a whole simulation.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    /// Has `act` write into these lines.
    fn gather<T>(&self, act: impl FnOnce() -> T) -> T {
        tracing::subscriber::with_default(self.clone(), act)
    }

    fn with(&self, part: &str) -> Vec<String> {
        let lines = self.0.lock().expect("nobody panics with it");
        lines.iter().filter(|line| line.contains(part)).cloned().collect()
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Text(String);

        impl Visit for Text {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                let _ = write!(self.0, " {}={value:?}", field.name());
            }
        }

        let mut text = Text(event.metadata().level().to_string());
        event.record(&mut text);
        self.0.lock().expect("nobody panics with it").push(text.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Connects, sends what is no request, and waits for the end of the connection.
async fn send_nonsense(reactor: &Reactor, address: SocketAddr) {
    let socket = connect(reactor, address).await;
    socket.send(vec![[0xff; 8][..].into()]).await.expect("the broker is there");
    while socket.recv().await.is_ok_and(|received| !received.is_empty()) {}
}

#[test]
fn repeated_lines_are_counted_and_told_when_their_time_is_over() {
    const CONNECTIONS: usize = 100;
    let lines = Lines::default();
    lines.gather(|| {
        let mut broker = Broker::start(1, &[]);
        let address = broker.address();
        broker.sim.block_on("nonsense", move |reactor| async move {
            for _ in 0..CONNECTIONS {
                send_nonsense(&reactor, address).await;
            }
        });
        assert_eq!(lines.with("connections with malformed bytes").len(), 0, "the minute is not over");
        broker.sim.run_for(Duration::from_secs(62));
    });
    let (told, counts) = (lines.with("announced the negative size"), lines.with("connections with malformed bytes"));
    let of_count = |line: &String| {
        let (_, rest) = line.split_once("left_out_lines=").expect("a count");
        rest.split(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a number")
    };
    let left_out: usize = counts.iter().map(of_count).sum();
    // Each shard counts for itself.
    assert!(told.len() <= 20 && counts.len() <= 2 && left_out > 0, "{told:?} {counts:?}");
    assert_eq!(told.len() + left_out, CONNECTIONS);
}

#[test]
fn a_clock_that_was_set_is_told() {
    let lines = Lines::default();
    lines.gather(|| {
        let mut broker = Broker::start(2, &[]);
        broker.sim.run_for(Duration::from_secs(5));
        assert_eq!(lines.with("the clock of this machine"), [""; 0]);
        broker.sim.set_wall_clock_offset_ms(broker.node, -3_600_000);
        broker.sim.run_for(Duration::from_secs(5));
    });
    let told = lines.with("the clock of this machine was set back by 3600000 ms");
    assert!(told.len() == 1 && told[0].starts_with("WARN"), "{told:?}");
}

#[test]
fn a_slow_disk_is_told_once_a_minute() {
    let lines = Lines::default();
    lines.gather(|| {
        let mut broker = Broker::start(3, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        assert_eq!(lines.with("slow disk"), [""; 0]);
        let slow = Duration::from_millis(2500)..=Duration::from_millis(2500);
        broker.sim.disk(broker.node).set_options(|options| options.flush_latency = slow);
        broker.sim.block_on("producer", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            for _ in 0..3 {
                ask(&socket, &produce(100), 9).await;
            }
        });
    });
    let told = lines.with("slow disk: a flush took 2.5 s");
    // Each of the two shards.
    assert!((1..=2).contains(&told.len()) && told[0].contains("file="), "{told:?}");
}

#[test]
fn a_full_device_is_told_in_the_system_s_words() {
    let lines = Lines::default();
    lines.gather(|| {
        let mut broker = Broker::start(4, &[]);
        let address = broker.address();
        broker.sim.block_on("setup", move |reactor| async move {
            create_topic(&connect(&reactor, address).await).await;
        });
        broker.sim.disk(broker.node).set_free_bytes(0);
        broker.sim.block_on("producer", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            for _ in 0..40 {
                ask(&socket, &produce(1_000_000), 9).await;
            }
        });
    });
    let told = lines.with("No space left on device: produce requests are refused with KAFKA_STORAGE_ERROR");
    assert!(!told.is_empty() && told.len() <= 20, "{told:?}");
}

#[test]
fn a_shard_without_file_descriptors_tells_what_to_raise() {
    let lines = Lines::default();
    lines.gather(|| {
        let mut broker = Broker::start_with(5, &[], SimOptions::default());
        let address = broker.address();
        broker.sim.run_for(Duration::from_secs(1));
        broker.sim.set_descriptors_max(broker.node, 0);
        let client = broker.sim.spawn_client("client", move |reactor| async move {
            let socket = connect(&reactor, address).await;
            let _ = reactor.timeout(socket.recv(), Duration::from_secs(5)).await;
        });
        broker.sim.run_for(Duration::from_secs(5));
        drop(client);
    });
    let told = lines.with("accepting a connection failed and is tried again: Too many open files");
    assert!(!told.is_empty() && told.len() <= 20, "{told:?}");
    assert!(told.iter().all(|line| line.starts_with("ERROR") && line.contains("LimitNOFILE=")), "{told:?}");
}
