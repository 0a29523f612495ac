//! The typed configuration of a broker.

use super::*;
use crate::config::{PropertiesFile, Sources, StaticConfig};

fn parse(file: &str) -> Result<BrokerConfig, Vec<String>> {
    let file = Some(PropertiesFile { name: "test", text: file });
    let (config, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("every value is valid alone");
    let parsed = BrokerConfig::new(&ConfigLayers::of_start(&config), "this.host");
    parsed.map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

#[test]
fn nothing_configured_is_a_single_node() {
    let config = parse("").expect("the defaults fit together");
    assert_eq!(config.node_id, BrokerId::new(1));
    assert_eq!(config.data_directories, ["ringlog-data"]);
    assert_eq!((config.partitions_of_new_topics, config.replicas_of_new_topics), (1, 1));
    assert_eq!((config.cores, config.backend, config.memory_bytes), (Cores::All, Backend::Auto, None));
    assert_eq!((config.journal_bytes, config.numa, config.fetch_sessions_max), (None, Numa::Fill, 1000));
    let config = parse("ringlog.journal.bytes=64MiB\nringlog.numa=spread").expect("fits");
    assert_eq!((config.journal_bytes, config.numa), (Some(64 << 20), Numa::Spread));
}

#[test]
fn the_recorder_keeps_what_is_slow_and_a_sample() {
    let parse = |file: &str| {
        let file = Some(PropertiesFile { name: "test", text: file });
        let (config, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("every value is valid");
        RecorderConfig::new(&ConfigLayers::of_start(&config))
    };
    let config = parse("");
    assert_eq!((config.slow, config.sample_every), (Some(Duration::from_millis(100)), NonZeroU32::new(128)));
    let config = parse("ringlog.perf.slow.us=0\nringlog.perf.sample=0");
    assert_eq!((config.slow, config.sample_every), (None, None));
}

#[test]
fn older_names_count_where_the_newer_ones_are_silent() {
    assert_eq!(parse("broker.id=7").expect("fits").node_id, BrokerId::new(7));
    assert_eq!(parse("broker.id=7\nnode.id=7").expect("fits").node_id, BrokerId::new(7));
    assert_eq!(parse("node.id=0").expect("fits").node_id, BrokerId::new(0));
    assert_eq!(parse("log.dir=/a").expect("fits").data_directories, ["/a"]);
    assert_eq!(parse("log.dir=/a\nlog.dirs=/b").expect("fits").data_directories, ["/b"]);
    assert_eq!(parse("log.dirs=/a, /b/c,d").expect("fits").data_directories, ["/a", "/b/c", "d"]);
}

#[test]
fn contradictions_are_told_together() {
    let errors = parse("broker.id=7\nnode.id=8\nlog.dirs=/a,b,/a/\nlisteners=SSL://:1\nprocess.roles=controller");
    assert_eq!(
        errors.expect_err("nothing of it fits"),
        [
            "node.id=8 and broker.id=7 must agree; give one of them",
            "log.dirs=/a,b,/a/: /a and /a/ are the same directory; name every directory once",
            "listeners: SSL is SSL, which is not supported yet; PLAINTEXT is",
            "process.roles=controller: a server without the role broker is not supported yet",
        ]
    );
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    let refused = |file: &str| parse(file).expect_err("it does not fit").join("; ");
    let empty = "log.dirs is empty, and so is log.dir where log.dirs is not set; name the data directory";
    for file in ["log.dirs=", "log.dirs= , ,\nlog.dir=/a", "log.dir="] {
        assert_eq!(refused(file), empty, "{file}");
    }
    let inside = "log.dirs=/a,/a/b: /a/b is inside of /a; name directories that are apart from each other";
    assert_eq!(refused("log.dirs=/a,/a/b"), inside);
    assert!(parse("log.dirs=/a,/a/../b").is_ok());
    assert!(refused("max.connections.per.ip=0").starts_with("max.connections.per.ip=0 would let nobody connect;"));
    assert!(parse("max.connections.per.ip=0\nmax.connections.per.ip.overrides=127.0.0.1:5").is_ok());
    assert_eq!(
        refused("log.dirs=/a,/b\ncordoned.log.dirs=/c"),
        "cordoned.log.dirs=/c: /c is none of log.dirs=/a,/b; name those, or * for all"
    );
    assert!(parse("log.dirs=/a,/b\ncordoned.log.dirs=/b").is_ok());
    for key in ["ms", "minutes", "hours"] {
        assert!(
            refused(&format!("log.retention.{key}=0")).starts_with("log.retention.ms, log.retention.minutes or"),
            "{key}"
        );
    }
    assert!(parse("log.retention.ms=1\nlog.retention.hours=0").is_ok(), "the first one counts");
}

#[test]
fn the_kernel_sizes_buffers_unless_somebody_says_how() {
    let buffers = |file: &str| {
        let config = parse(file).expect("good");
        (config.socket_receive_buffer_bytes, config.socket_send_buffer_bytes)
    };
    assert_eq!(buffers(""), (None, None));
    let key = "socket.receive.buffer.bytes=-1\nsocket.send.buffer.bytes=102400";
    assert_eq!(buffers(key), (None, Some(102_400)));
}

#[test]
fn cores() {
    for (text, cores) in [
        ("all", Some(Cores::All)),
        ("4", Some(Cores::Count(4))),
        ("4-4", Some(Cores::These(vec![4]))),
        ("6, 0-2,1", Some(Cores::These(vec![0, 1, 2, 6]))),
        ("0", None),
        ("0-99999", None),
        ("a", None),
        ("", None),
    ] {
        assert_eq!(Cores::parse(text), cores, "{text:?}");
    }
}

#[test]
fn metrics_have_switches() {
    let config = parse("").expect("the defaults fit together");
    assert_eq!(config.admin, Some(Endpoint { host: "127.0.0.1".to_owned(), port: 9644 }));
    let all = MetricFamilies { jmx: true, kafka_exporter: true, kminion: true, ringlog: true };
    assert_eq!(config.metrics, MetricsConfig { families: all, topics_max: 10_000 });
    let config = parse("ringlog.admin.listener=\nringlog.metrics.families=kminion\nringlog.metrics.topics.max=0");
    let config = config.expect("fits");
    let one = MetricFamilies { jmx: false, kafka_exporter: false, kminion: true, ringlog: false };
    assert_eq!((config.admin, config.metrics), (None, MetricsConfig { families: one, topics_max: 0 }));
}
