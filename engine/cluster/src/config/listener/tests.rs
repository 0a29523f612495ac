//! Listeners that fit together, and those that do not.

use super::*;
use crate::config::{PropertiesFile, Sources, StaticConfig};

fn parse(file: &str) -> Result<Vec<Listener>, String> {
    let file = Some(PropertiesFile { name: "test", text: file });
    let (config, _) = StaticConfig::load(&Sources { file, ..Sources::default() }).expect("every value is valid alone");
    parse_listeners(&ConfigLayers::of_start(&config), "this.host").map_err(|error| error.to_string())
}

/// Each listener as `NAME bound -> advertised`, the controller's with a star.
fn check(file: &str, expected: &[&str]) {
    let listeners = parse(file).expect("the listeners fit together");
    let told = listeners.iter().map(|listener| {
        let star = if listener.is_controller { "*" } else { "" };
        let Endpoint { host, port } = &listener.advertised;
        format!("{}{star} {}:{} -> {host}:{port}", listener.name, listener.host, listener.port)
    });
    assert_eq!(told.collect::<Vec<_>>(), expected, "{file}");
}

fn check_error(file: &str, expected: &str) {
    assert_eq!(parse(file).expect_err("something does not fit"), expected, "{file}");
}

#[test]
fn what_is_bound_and_what_is_told() {
    check("", &["PLAINTEXT 127.0.0.1:9092 -> 127.0.0.1:9092"]);
    check("listeners=PLAINTEXT://:9092", &["PLAINTEXT :9092 -> this.host:9092"]);
    check("listeners=plaintext://localhost:0", &["PLAINTEXT localhost:0 -> localhost:0"]);
    check("listeners=PLAINTEXT://[::1]:9092", &["PLAINTEXT ::1:9092 -> ::1:9092"]);
    check(
        "listeners=PLAINTEXT://0.0.0.0:9092\nadvertised.listeners=PLAINTEXT://Broker-1.Example:19092",
        &["PLAINTEXT 0.0.0.0:9092 -> Broker-1.Example:19092"],
    );
}

#[test]
fn a_file_of_a_kraft_broker_loads() {
    check(
        "process.roles=broker,controller\nnode.id=1\ncontroller.quorum.bootstrap.servers=localhost:9093\n\
         listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ninter.broker.listener.name=PLAINTEXT\n\
         advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093\n\
         controller.listener.names=CONTROLLER\n\
         listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL",
        &["PLAINTEXT :9092 -> localhost:9092", "CONTROLLER* :9093 -> localhost:9093"],
    );
    check(
        "listeners=INTERNAL://:19092,EXTERNAL://:9092,C://:9093\ncontroller.listener.names=C\n\
         listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:PLAINTEXT\n\
         advertised.listeners=INTERNAL://broker:19092,EXTERNAL://localhost:9092",
        &["INTERNAL :19092 -> broker:19092", "EXTERNAL :9092 -> localhost:9092", "C* :9093 -> this.host:9093"],
    );
}

#[test]
fn what_does_not_fit() {
    check_error("listeners=localhost:9092", "listeners: localhost:9092 is not of the form NAME://host:port");
    check_error("listeners=PLAINTEXT://a:99999", "listeners: PLAINTEXT://a:99999 is not of the form NAME://host:port");
    check_error("listeners=PLAINTEXT://a b:1", "listeners: PLAINTEXT://a b:1 is not of the form NAME://host:port");
    check_error("listeners=", "listeners: there must be a listener that is not the controller's");
    check_error("listeners=PLAINTEXT://a:1,PLAINTEXT://a:2", "listeners: listener PLAINTEXT is named twice");
    check_error(
        "listeners=A://:1,B://h:1\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT",
        "listeners: A and B both want port 1",
    );
    check_error("listeners=X://a:1", "listeners: listener.security.protocol.map does not say what X is");
    check_error(
        "listener.security.protocol.map=A:TLS",
        "listener.security.protocol.map: A:TLS is not of the form NAME:PROTOCOL with PLAINTEXT, SSL, SASL_PLAINTEXT or \
         SASL_SSL",
    );
    check_error("listeners=SASL_SSL://:1", "listeners: SASL_SSL is SASL_SSL, which is not supported yet; PLAINTEXT is");
    check_error(
        "listeners=PLAINTEXT://0.0.0.0:9092",
        "advertised.listeners: clients cannot connect to 0.0.0.0 of listener PLAINTEXT; advertise a name or address \
         that they can reach",
    );
    check_error("advertised.listeners=EXTERNAL://a:1", "advertised.listeners: EXTERNAL is not among the listeners");
    check_error(
        "inter.broker.listener.name=internal",
        "inter.broker.listener.name: INTERNAL is not among the listeners for clients",
    );
}
