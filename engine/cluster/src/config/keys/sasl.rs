//! SASL logins.

use crate::config::key::Scope::{PerBroker, ReadOnly};
use crate::config::key::Valid::{Any, Between, OneOfIgnoringCase};

use super::keys;
use super::reason::{JAVA_CLASS, KERBEROS, LATER_SASL};

keys! {
    /// Class that answers a mechanism's questions on the client's side.
    "sasl.client.callback.handler.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// Mechanisms that clients may log in with.
    "sasl.enabled.mechanisms": List = "GSSAPI", Any, PerBroker, LATER_SASL;
    /// Login settings of a mechanism, in JAAS notation.
    "sasl.jaas.config": Password = null, Any, PerBroker, LATER_SASL;
    /// Path of the Kerberos login command.
    "sasl.kerberos.kinit.cmd": String = "/usr/bin/kinit", Any, PerBroker, KERBEROS;
    /// Least time between two Kerberos logins.
    "sasl.kerberos.min.time.before.relogin": Long = "60000", Any, PerBroker, KERBEROS;
    /// How a Kerberos principal becomes a user name.
    "sasl.kerberos.principal.to.local.rules": List = "DEFAULT", Any, PerBroker, KERBEROS;
    /// Kerberos name of this service.
    "sasl.kerberos.service.name": String = null, Any, PerBroker, KERBEROS;
    /// Random share added to a ticket's renewal time.
    "sasl.kerberos.ticket.renew.jitter": Double = "0.05", Any, PerBroker, KERBEROS;
    /// Share of a ticket's life after which it is renewed.
    "sasl.kerberos.ticket.renew.window.factor": Double = "0.8", Any, PerBroker, KERBEROS;
    /// Class that answers the questions of a login.
    "sasl.login.callback.handler.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// Class that performs a login.
    "sasl.login.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// How long a connection to a token server may take.
    "sasl.login.connect.timeout.ms": Int = null, Any, ReadOnly, LATER_SASL;
    /// How long a token server may take to answer.
    "sasl.login.read.timeout.ms": Int = null, Any, ReadOnly, LATER_SASL;
    /// How long before its end a credential is renewed at the latest.
    "sasl.login.refresh.buffer.seconds": Short = "300", Any, PerBroker, LATER_SASL;
    /// How long a credential is kept before it is renewed.
    "sasl.login.refresh.min.period.seconds": Short = "60", Any, PerBroker, LATER_SASL;
    /// Share of a credential's life after which it is renewed.
    "sasl.login.refresh.window.factor": Double = "0.8", Any, PerBroker, LATER_SASL;
    /// Random share added to that.
    "sasl.login.refresh.window.jitter": Double = "0.05", Any, PerBroker, LATER_SASL;
    /// The longest such pause.
    "sasl.login.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, LATER_SASL;
    /// First pause after a failed login at a token server.
    "sasl.login.retry.backoff.ms": Long = "100", Any, ReadOnly, LATER_SASL;
    /// Mechanism used towards the controller.
    "sasl.mechanism.controller.protocol": String = "GSSAPI", Any, ReadOnly, LATER_SASL;
    /// Mechanism used between brokers.
    "sasl.mechanism.inter.broker.protocol": String = "GSSAPI", Any, PerBroker, LATER_SASL;
    /// Whether tokens pass without a check of their audience.
    "sasl.oauthbearer.allow.unverified.audience": Boolean = "false", Any, ReadOnly, LATER_SASL;
    /// Whether tokens pass without a check of their issuer.
    "sasl.oauthbearer.allow.unverified.issuer": Boolean = "false", Any, ReadOnly, LATER_SASL;
    /// Algorithm that signs an assertion for the token server.
    "sasl.oauthbearer.assertion.algorithm": String = "RS256",
        OneOfIgnoringCase(&["ES256", "RS256"]), ReadOnly, LATER_SASL;
    /// Audience of that assertion.
    "sasl.oauthbearer.assertion.claim.aud": String = null, Any, ReadOnly, LATER_SASL;
    /// How long that assertion is valid.
    "sasl.oauthbearer.assertion.claim.exp.seconds": Int = "300", Between(0, 86_400), ReadOnly, LATER_SASL;
    /// Issuer of that assertion.
    "sasl.oauthbearer.assertion.claim.iss": String = null, Any, ReadOnly, LATER_SASL;
    /// Whether that assertion carries an id of its own.
    "sasl.oauthbearer.assertion.claim.jti.include": Boolean = "false", Any, ReadOnly, LATER_SASL;
    /// How long before now that assertion begins to be valid.
    "sasl.oauthbearer.assertion.claim.nbf.seconds": Int = "60", Between(0, 3600), ReadOnly, LATER_SASL;
    /// Subject of that assertion.
    "sasl.oauthbearer.assertion.claim.sub": String = null, Any, ReadOnly, LATER_SASL;
    /// File with a finished assertion.
    "sasl.oauthbearer.assertion.file": String = null, Any, ReadOnly, LATER_SASL;
    /// File with the key that signs the assertion.
    "sasl.oauthbearer.assertion.private.key.file": String = null, Any, ReadOnly, LATER_SASL;
    /// Passphrase of that key.
    "sasl.oauthbearer.assertion.private.key.passphrase": Password = null, Any, ReadOnly, LATER_SASL;
    /// File with further claims of the assertion.
    "sasl.oauthbearer.assertion.template.file": String = null, Any, ReadOnly, LATER_SASL;
    /// Name used towards the token server.
    "sasl.oauthbearer.client.credentials.client.id": String = null, Any, ReadOnly, LATER_SASL;
    /// Secret used towards the token server.
    "sasl.oauthbearer.client.credentials.client.secret": Password = null, Any, ReadOnly, LATER_SASL;
    /// How far two clocks may differ when a token's times are checked.
    "sasl.oauthbearer.clock.skew.seconds": Int = "30", Any, ReadOnly, LATER_SASL;
    /// Audiences of which a token must name one.
    "sasl.oauthbearer.expected.audience": List = "", Any, ReadOnly, LATER_SASL;
    /// Issuer that a token must name.
    "sasl.oauthbearer.expected.issuer": String = null, Any, ReadOnly, LATER_SASL;
    /// How often the signing keys are fetched again.
    "sasl.oauthbearer.jwks.endpoint.refresh.ms": Long = "3600000", Any, ReadOnly, LATER_SASL;
    /// The longest such pause.
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms": Long = "10000", Any, ReadOnly, LATER_SASL;
    /// First pause after the keys could not be fetched.
    "sasl.oauthbearer.jwks.endpoint.retry.backoff.ms": Long = "100", Any, ReadOnly, LATER_SASL;
    /// Where the signing keys are.
    "sasl.oauthbearer.jwks.endpoint.url": String = null, Any, ReadOnly, LATER_SASL;
    /// Class that gets tokens.
    "sasl.oauthbearer.jwt.retriever.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever",
        Any, ReadOnly, JAVA_CLASS;
    /// Class that checks tokens.
    "sasl.oauthbearer.jwt.validator.class": Class = "org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator",
        Any, ReadOnly, JAVA_CLASS;
    /// Scope asked of the token server.
    "sasl.oauthbearer.scope": String = null, Any, ReadOnly, LATER_SASL;
    /// Claim that holds a token's scope.
    "sasl.oauthbearer.scope.claim.name": String = "scope", Any, ReadOnly, LATER_SASL;
    /// Claim that holds a token's subject.
    "sasl.oauthbearer.sub.claim.name": String = "sub", Any, ReadOnly, LATER_SASL;
    /// Where tokens are had.
    "sasl.oauthbearer.token.endpoint.url": String = null, Any, ReadOnly, LATER_SASL;
    /// Class that answers a mechanism's questions on the server's side.
    "sasl.server.callback.handler.class": Class = null, Any, ReadOnly, JAVA_CLASS;
    /// The largest SASL message of a client.
    "sasl.server.max.receive.size": Int = "524288", Any, ReadOnly, LATER_SASL;
}
