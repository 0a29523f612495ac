//! Metrics that clients push (KIP-714): which client is asked for which of them, how often it may push, and when it is
//! forgotten. What becomes of the metrics is up to the caller; [`metrics`] reads them.

pub mod metrics;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use ringlog_net::error::ErrorCode;
use ringlog_storage::batch::codec::Codec;
use ringlog_storage::types::{Nanos, Uuid};

use crate::config::{ALL_METRICS, ClientField, ClientSubscription, ConfigMap};
use crate::image::Image;

/// The most client instances that are remembered; Kafka's number. Beyond, the one that would be forgotten first is.
pub const CLIENT_INSTANCES_MAX: usize = 16_384;
/// How often a client pushes that nothing is asked of.
const INTERVAL_MS_WITHOUT_SUBSCRIPTION: i32 = 300_000;
/// A client instance is forgotten when it has been silent for this long, and for three intervals.
const SILENCE_MIN: Duration = Duration::from_mins(1);

/// A client, as subscriptions select it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct TelemetryClient {
    /// Its client id.
    pub client_id: String,
    /// The name of its software, if it has told that.
    pub software_name: Option<String>,
    /// The version of its software.
    pub software_version: Option<String>,
    /// Where it connects from.
    pub source_address: String,
    /// The port that it connects from.
    pub source_port: u16,
}

impl TelemetryClient {
    fn field(&self, id: Uuid, field: ClientField) -> String {
        // Kafka's word for what a client has not told.
        let told = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        match field {
            ClientField::InstanceId => id.to_string(),
            ClientField::ClientId => self.client_id.clone(),
            ClientField::SoftwareName => told(&self.software_name),
            ClientField::SoftwareVersion => told(&self.software_version),
            ClientField::SourceAddress => self.source_address.clone(),
            ClientField::SourcePort => self.source_port.to_string(),
        }
    }
}

/// What a client is asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Changes with everything else in here.
    pub subscription_id: i32,
    /// How often it pushes.
    pub interval_ms: i32,
    /// Prefixes of names of metrics; none asks for nothing, [`ALL_METRICS`] alone for everything.
    pub metrics: Vec<String>,
}

/// What a client says with a push.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Push {
    /// Who pushes.
    pub client_instance_id: Uuid,
    /// What it has last been told.
    pub subscription_id: i32,
    /// It is the client's last one.
    pub terminating: bool,
    /// How the metrics are compressed.
    pub compression_type: i8,
    /// How many bytes they take.
    pub metrics_bytes: usize,
}

/// The telemetry of all clients of a broker.
#[derive(Debug)]
pub struct Telemetry {
    instances: BTreeMap<Uuid, Instance>,
    /// When each of them is forgotten.
    expiries: BTreeSet<(Nanos, Uuid)>,
    subscriptions: Vec<Known>,
    /// Counts changes of the subscriptions.
    generation: u64,
    bytes_max: usize,
}

/// A subscription, and the settings that it was read from.
#[derive(Debug)]
struct Known {
    name: Arc<str>,
    settings: Arc<ConfigMap>,
    subscription: ClientSubscription,
}

#[derive(Clone, Debug)]
struct Instance {
    /// The subscriptions that it was compared with.
    generation: u64,
    asked: Arc<Asked>,
    last_get: Option<Nanos>,
    last_push: Option<Nanos>,
    /// It has to ask again, because of what its last push was told.
    must_ask: bool,
    has_terminated: bool,
    expires: Nanos,
}

impl Instance {
    fn interval(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.asked.interval_ms).unwrap_or(0))
    }

    fn is_interval_over(&self, since: Option<Nanos>, now: Nanos) -> bool {
        since.is_none_or(|since| now.since(since) >= self.interval())
    }
}

impl Telemetry {
    /// Nobody has said anything yet. `bytes_max` is `telemetry.max.bytes`.
    pub fn new(bytes_max: usize) -> Self {
        Self {
            instances: BTreeMap::new(),
            expiries: BTreeSet::new(),
            subscriptions: Vec::new(),
            generation: 0,
            bytes_max,
        }
    }

    /// Tells a client what it is asked for. One without an id is given `new_id`.
    pub fn get(
        &mut self,
        now: Nanos,
        image: &Image,
        client: &TelemetryClient,
        id: Uuid,
        new_id: Uuid,
    ) -> Result<(Uuid, Arc<Asked>), ErrorCode> {
        let id = if id == Uuid::ZERO { new_id } else { id };
        let instance = self.instance(now, image, client, id);
        if instance.is_interval_over(instance.last_get.max(instance.last_push), now) {
            instance.last_get = Some(now);
        } else if !instance.must_ask {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        instance.must_ask = false;
        Ok((id, Arc::clone(&instance.asked)))
    }

    /// Whether a push is taken. Its metrics are still to be read.
    pub fn push(&mut self, now: Nanos, image: &Image, client: &TelemetryClient, push: &Push) -> Result<(), ErrorCode> {
        let bytes_max = self.bytes_max;
        if push.client_instance_id.is_reserved() {
            return Err(ErrorCode::InvalidRequest);
        }
        let instance = self.instance(now, image, client, push.client_instance_id);
        instance.must_ask = false;
        if instance.has_terminated {
            return Err(ErrorCode::InvalidRequest);
        }
        // The first push after an answer comes whenever the client likes.
        let may_push = instance.last_get > instance.last_push || instance.is_interval_over(instance.last_push, now);
        if may_push {
            instance.last_push = Some(now);
        } else if !push.terminating {
            return Err(ErrorCode::ThrottlingQuotaExceeded);
        }
        if push.subscription_id != instance.asked.subscription_id {
            instance.must_ask = true;
            return Err(ErrorCode::UnknownSubscriptionId);
        }
        if codec(push.compression_type).is_none() {
            instance.must_ask = true;
            return Err(ErrorCode::UnsupportedCompressionType);
        }
        if push.metrics_bytes > bytes_max {
            return Err(ErrorCode::TelemetryTooLarge);
        }
        instance.has_terminated = push.terminating;
        Ok(())
    }

    /// The client instance, which is made if it is new, and anew if subscriptions have changed.
    fn instance(&mut self, now: Nanos, image: &Image, client: &TelemetryClient, id: Uuid) -> &mut Instance {
        self.refresh(image);
        self.expire(now);
        let known = self.instances.remove(&id);
        if let Some(known) = &known {
            self.expiries.remove(&(known.expires, id));
        } else if self.instances.len() >= CLIENT_INSTANCES_MAX
            && let Some((_, first)) = self.expiries.pop_first()
        {
            self.instances.remove(&first);
        }
        let generation = self.generation;
        let mut instance = known.filter(|known| known.generation == generation).unwrap_or_else(|| Instance {
            generation,
            asked: Arc::new(self.asked(client, id)),
            last_get: None,
            last_push: None,
            must_ask: false,
            has_terminated: false,
            expires: now,
        });
        instance.expires = now.saturating_add(SILENCE_MIN.max(instance.interval().saturating_mul(3)));
        self.expiries.insert((instance.expires, id));
        self.instances.entry(id).or_insert(instance)
    }

    /// Follows the subscriptions of the image; what has not changed is not read again.
    fn refresh(&mut self, image: &Image) {
        let is_same = |(known, (name, settings)): (&Known, (&Arc<str>, &Arc<ConfigMap>))| {
            known.name == *name && (Arc::ptr_eq(&known.settings, settings) || known.settings == *settings)
        };
        let is_all = image.client_metrics().count() == self.subscriptions.len();
        if is_all && self.subscriptions.iter().zip(image.client_metrics()).all(is_same) {
            return;
        }
        self.generation += 1;
        let mut before: BTreeMap<Arc<str>, Known> =
            std::mem::take(&mut self.subscriptions).into_iter().map(|known| (Arc::clone(&known.name), known)).collect();
        let read = |(name, settings): (&Arc<str>, &Arc<ConfigMap>)| match before.remove(name) {
            Some(known) if known.settings == *settings => known,
            _ => Known {
                name: Arc::clone(name),
                settings: Arc::clone(settings),
                subscription: ClientSubscription::new(settings),
            },
        };
        self.subscriptions = image.client_metrics().map(read).collect();
    }

    fn expire(&mut self, now: Nanos) {
        while let Some((at, id)) = self.expiries.first().copied()
            && at <= now
        {
            self.expiries.pop_first();
            self.instances.remove(&id);
        }
    }

    /// All subscriptions that select a client, as one.
    fn asked(&self, client: &TelemetryClient, id: Uuid) -> Asked {
        let selects = |subscription: &ClientSubscription| {
            subscription.selectors.iter().all(|selector| selector.selects(&client.field(id, selector.field)))
        };
        let mut interval_ms = INTERVAL_MS_WITHOUT_SUBSCRIPTION;
        let mut metrics = BTreeSet::new();
        for Known { subscription, .. } in self.subscriptions.iter().filter(|known| selects(&known.subscription)) {
            interval_ms = interval_ms.min(subscription.interval_ms);
            metrics.extend(subscription.metrics.iter().map(String::as_str));
        }
        if metrics.contains(ALL_METRICS) {
            metrics = BTreeSet::from([ALL_METRICS]);
        }
        let mut hasher = DefaultHasher::new();
        (interval_ms, &metrics, id.as_u128()).hash(&mut hasher);
        let hash = hasher.finish();
        let subscription_id = i32::from_be_bytes([24, 16, 8, 0].map(|shift| hash.wrapping_shr(shift).to_le_bytes()[0]));
        Asked { subscription_id, interval_ms, metrics: metrics.into_iter().map(str::to_owned).collect() }
    }
}

/// The codec that a client names.
pub fn codec(compression_type: i8) -> Option<Codec> {
    Codec::from_number(u8::try_from(compression_type).ok()?)
}

#[cfg(test)]
mod tests;
