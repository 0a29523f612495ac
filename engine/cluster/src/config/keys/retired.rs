//! Keys that older releases of Kafka had, that people's files still carry, and that Kafka 4.4 no longer knows.

/// A key that Kafka has given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetiredKey {
    /// The key as it was written.
    pub name: &'static str,
    /// Why it does nothing; follows "has no effect: ".
    pub reason: &'static str,
}

const fn retired(name: &'static str, reason: &'static str) -> RetiredKey {
    RetiredKey { name, reason }
}

const ZOOKEEPER: &str = "Kafka 4 has no ZooKeeper any more, and neither is there one here";
const LISTENERS: &str = "`listeners` and `advertised.listeners` have taken its place";
const FORMAT: &str = "there is one message format and no down-conversion";
const FEATURES: &str = "feature levels have taken its place";
const PASSWORDS: &str = "passwords in the metadata log are not encrypted by a static secret any more";
const NEW_COORDINATOR: &str = "there is one group coordinator, which serves every protocol it supports";

pub(super) const ROWS: &[RetiredKey] = &[
    retired("advertised.host.name", LISTENERS),
    retired("advertised.port", LISTENERS),
    retired("broker.id.generation.enable", ZOOKEEPER),
    retired("control.plane.listener.name", ZOOKEEPER),
    retired("controlled.shutdown.max.retries", "a stopping broker does not ask again"),
    retired("controlled.shutdown.retry.backoff.ms", "a stopping broker does not ask again"),
    retired("eligible.leader.replicas.enable", FEATURES),
    retired("group.coordinator.new.enable", NEW_COORDINATOR),
    retired("group.share.enable", NEW_COORDINATOR),
    retired("group.share.max.groups", NEW_COORDINATOR),
    retired("host.name", LISTENERS),
    retired("inter.broker.protocol.version", FEATURES),
    retired("log.cleaner.hash.algorithm", "keys are compared whole"),
    retired("log.message.downconversion.enable", FORMAT),
    retired("log.message.format.version", FORMAT),
    retired("log.message.timestamp.difference.max.ms", "the limits before and after have taken its place"),
    retired("max.incremental.fetch.session.cache.shards", "every shard has a cache of its own"),
    retired("password.encoder.cipher.algorithm", PASSWORDS),
    retired("password.encoder.iterations", PASSWORDS),
    retired("password.encoder.key.length", PASSWORDS),
    retired("password.encoder.keyfactory.algorithm", PASSWORDS),
    retired("password.encoder.old.secret", PASSWORDS),
    retired("password.encoder.secret", PASSWORDS),
    retired("port", LISTENERS),
    retired("quota.consumer.default", "quotas are set at run time"),
    retired("quota.producer.default", "quotas are set at run time"),
    retired("reserved.broker.max.id", ZOOKEEPER),
    retired("zookeeper.clientCnxnSocket", ZOOKEEPER),
    retired("zookeeper.connect", ZOOKEEPER),
    retired("zookeeper.connection.timeout.ms", ZOOKEEPER),
    retired("zookeeper.max.in.flight.requests", ZOOKEEPER),
    retired("zookeeper.metadata.migration.enable", ZOOKEEPER),
    retired("zookeeper.metadata.migration.min.batch.size", ZOOKEEPER),
    retired("zookeeper.session.timeout.ms", ZOOKEEPER),
    retired("zookeeper.set.acl", ZOOKEEPER),
    retired("zookeeper.ssl.cipher.suites", ZOOKEEPER),
    retired("zookeeper.ssl.client.enable", ZOOKEEPER),
    retired("zookeeper.ssl.crl.enable", ZOOKEEPER),
    retired("zookeeper.ssl.enabled.protocols", ZOOKEEPER),
    retired("zookeeper.ssl.endpoint.identification.algorithm", ZOOKEEPER),
    retired("zookeeper.ssl.keystore.location", ZOOKEEPER),
    retired("zookeeper.ssl.keystore.password", ZOOKEEPER),
    retired("zookeeper.ssl.keystore.type", ZOOKEEPER),
    retired("zookeeper.ssl.ocsp.enable", ZOOKEEPER),
    retired("zookeeper.ssl.protocol", ZOOKEEPER),
    retired("zookeeper.ssl.truststore.location", ZOOKEEPER),
    retired("zookeeper.ssl.truststore.password", ZOOKEEPER),
    retired("zookeeper.ssl.truststore.type", ZOOKEEPER),
    retired("zookeeper.sync.time.ms", ZOOKEEPER),
];
