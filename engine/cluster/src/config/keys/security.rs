//! TLS, authorization and delegation tokens.

use crate::config::key::Scope::{PerBroker, ReadOnly};
use crate::config::key::Valid::{Any, AtLeast, OneOf};

use super::keys;
use super::reason::{JAVA_CLASS, JAVA_TLS, LATER_CLUSTER, LATER_TLS, LATER_TOKENS, NO_AUTHORIZER, REFUSE_AUTHORIZER};

keys! {
    /// Whether a resource without any ACL is open to everybody.
    "allow.everyone.if.no.acl.found": Boolean = "false", Any, ReadOnly, NO_AUTHORIZER;
    /// Who decides what a principal may do; empty lets everybody do everything.
    "authorizer.class.name": String = "", Any, ReadOnly, REFUSE_AUTHORIZER;
    /// How often expired delegation tokens are looked for.
    "delegation.token.expiry.check.interval.ms": Long = "3600000", AtLeast(1), ReadOnly, LATER_TOKENS;
    /// How long a token is valid without renewal.
    "delegation.token.expiry.time.ms": Long = "86400000", AtLeast(1), ReadOnly, LATER_TOKENS;
    /// How long a token can be renewed.
    "delegation.token.max.lifetime.ms": Long = "604800000", AtLeast(1), ReadOnly, LATER_TOKENS;
    /// Secret with which tokens are made and checked.
    "delegation.token.secret.key": Password = null, Any, ReadOnly, LATER_TOKENS;
    /// Class that derives a principal from a connection.
    "principal.builder.class": Class = "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        Any, PerBroker, JAVA_CLASS;
    /// Security protocol between brokers, unless a listener name says it.
    "security.inter.broker.protocol": String = "PLAINTEXT",
        OneOf(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]), ReadOnly, LATER_CLUSTER;
    /// Java security providers to load.
    "security.providers": String = null, Any, ReadOnly, JAVA_TLS;
    /// Whether a reloaded certificate may have another distinguished name.
    "ssl.allow.dn.changes": Boolean = "false", Any, ReadOnly, LATER_TLS;
    /// Whether a reloaded certificate may have other alternative names.
    "ssl.allow.san.changes": Boolean = "false", Any, ReadOnly, LATER_TLS;
    /// Cipher suites that may be used; empty allows all.
    "ssl.cipher.suites": List = "", Any, PerBroker, LATER_TLS;
    /// Whether clients must, may or need not show a certificate.
    "ssl.client.auth": String = "none", OneOf(&["required", "requested", "none"]), PerBroker, LATER_TLS;
    /// TLS versions that may be used.
    "ssl.enabled.protocols": List = "TLSv1.2,TLSv1.3", Any, PerBroker, LATER_TLS;
    /// How the other server's name is checked; empty does not check it.
    "ssl.endpoint.identification.algorithm": String = "https", Any, PerBroker, LATER_TLS;
    /// Class that makes TLS engines.
    "ssl.engine.factory.class": Class = null, Any, PerBroker, JAVA_TLS;
    /// Password of the private key.
    "ssl.key.password": Password = null, Any, PerBroker, LATER_TLS;
    /// Java algorithm of the key manager.
    "ssl.keymanager.algorithm": String = "SunX509", Any, PerBroker, JAVA_TLS;
    /// Certificates of this server, as PEM text.
    "ssl.keystore.certificate.chain": Password = null, Any, PerBroker, LATER_TLS;
    /// Private key of this server, as PEM text.
    "ssl.keystore.key": Password = null, Any, PerBroker, LATER_TLS;
    /// File with key and certificates of this server.
    "ssl.keystore.location": String = null, Any, PerBroker, LATER_TLS;
    /// Password of that file.
    "ssl.keystore.password": Password = null, Any, PerBroker, LATER_TLS;
    /// Format of that file.
    "ssl.keystore.type": String = "JKS", Any, PerBroker, LATER_TLS;
    /// How a certificate's name becomes a principal.
    "ssl.principal.mapping.rules": String = "DEFAULT", Any, ReadOnly, LATER_TLS;
    /// Java name of the TLS context.
    "ssl.protocol": String = "TLSv1.3", Any, PerBroker, JAVA_TLS;
    /// Java provider of TLS.
    "ssl.provider": String = null, Any, PerBroker, JAVA_TLS;
    /// Java source of random numbers for TLS.
    "ssl.secure.random.implementation": String = null, Any, PerBroker, JAVA_TLS;
    /// Java algorithm of the trust manager.
    "ssl.trustmanager.algorithm": String = "PKIX", Any, PerBroker, JAVA_TLS;
    /// Certificates that are trusted, as PEM text.
    "ssl.truststore.certificates": Password = null, Any, PerBroker, LATER_TLS;
    /// File with certificates that are trusted.
    "ssl.truststore.location": String = null, Any, PerBroker, LATER_TLS;
    /// Password of that file.
    "ssl.truststore.password": Password = null, Any, PerBroker, LATER_TLS;
    /// Format of that file.
    "ssl.truststore.type": String = "JKS", Any, PerBroker, LATER_TLS;
    /// Principals that may do everything, separated by semicolons.
    "super.users": String = "", Any, ReadOnly, NO_AUTHORIZER;
}
