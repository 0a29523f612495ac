//! How many connections there may be, and how many may be made a second: settings of brokers, and quotas of addresses.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::{ConfigLayers, Listener, StaticConfig, Value};
use crate::image::{Image, QuotaName};

/// A limit that is none; the default of all of them.
const UNLIMITED: u32 = 2_147_483_647;
/// The listener between brokers where none is named, as in Kafka.
const INTER_BROKER_LISTENER: &str = "PLAINTEXT";
/// The quota of an address.
const CREATION_RATE: &str = "connection_creation_rate";

/// The limits in force on one broker.
#[derive(Clone, PartialEq, Debug)]
pub struct ConnectionLimits {
    /// `max.connections`
    pub(super) connections_max: u32,
    /// `max.connections.per.ip`
    per_ip_max: u32,
    /// `max.connections.per.ip.overrides`
    overrides: BTreeMap<IpAddr, u32>,
    /// `max.connection.creation.rate`
    creation_rate: u32,
    /// In the order of the broker's listeners.
    pub(super) listeners: Vec<ListenerLimits>,
    /// `connection_creation_rate` of addresses, and of all others.
    rates: BTreeMap<IpAddr, f64>,
    default_rate: Option<f64>,
}

/// The limits of one listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ListenerLimits {
    /// `listener.name.<listener>.max.connections`
    pub(super) connections_max: u32,
    /// `listener.name.<listener>.max.connection.creation.rate`
    creation_rate: u32,
    /// Brokers connect here, or controllers: the broker's own limits do not keep them out.
    pub(super) is_protected: bool,
}

impl ConnectionLimits {
    /// The limits of a broker with these settings and these quotas.
    pub fn new(layers: &ConfigLayers<'_>, listeners: &[Listener], image: &Image) -> Self {
        let (rates, default_rate) = rates(image);
        let overrides = parse_overrides(&layers.text("max.connections.per.ip.overrides")).unwrap_or_default();
        let per_ip_max = match limit(layers.integer("max.connections.per.ip")) {
            // A start without the overrides that were there when it was set: nobody could connect to change it.
            0 if overrides.is_empty() => UNLIMITED,
            limit => limit,
        };
        Self {
            connections_max: limit(layers.integer("max.connections")),
            per_ip_max,
            overrides,
            creation_rate: limit(layers.integer("max.connection.creation.rate")),
            listeners: listener_limits(layers, listeners),
            rates,
            default_rate,
        }
    }

    /// Whether there is any limit.
    pub fn are_set(&self) -> bool {
        let is_set = |listener: &ListenerLimits| listener.connections_max.min(listener.creation_rate) < UNLIMITED;
        self.connections_max.min(self.per_ip_max).min(self.creation_rate) < UNLIMITED
            || !self.overrides.is_empty()
            || self.default_rate.is_some()
            || !self.rates.is_empty()
            || self.listeners.iter().any(is_set)
    }

    /// Whether connections through this listener make no room for others.
    pub fn is_protected(&self, listener: usize) -> bool {
        self.listeners[listener].is_protected
    }

    /// The most connections of an address.
    pub(super) fn per_ip_max(&self, ip: IpAddr) -> u32 {
        self.overrides.get(&ip).copied().unwrap_or(self.per_ip_max)
    }

    /// The most new connections of an address a second.
    pub(super) fn rate_of(&self, ip: IpAddr) -> Option<f64> {
        self.rates.get(&ip).copied().or(self.default_rate)
    }

    /// The most new connections of the broker a second.
    pub(super) fn broker_rate(&self) -> Option<f64> {
        rate(self.creation_rate)
    }

    /// The most new connections of a listener a second.
    pub(super) fn listener_rate(&self, listener: usize) -> Option<f64> {
        rate(self.listeners[listener].creation_rate)
    }
}

fn rate(limit: u32) -> Option<f64> {
    (limit < UNLIMITED).then(|| f64::from(limit))
}

fn limit(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(UNLIMITED)
}

fn listener_limits(layers: &ConfigLayers<'_>, listeners: &[Listener]) -> Vec<ListenerLimits> {
    let inter_broker = layers.value("inter.broker.listener.name").map(|name| name.to_string());
    let inter_broker = inter_broker.as_deref().unwrap_or(INTER_BROKER_LISTENER);
    let has_others = listeners.iter().filter(|listener| !listener.is_controller).count() > 1;
    let limits = |listener: &Listener| ListenerLimits {
        connections_max: of_listener(layers.fixed, &listener.name, "max.connections"),
        creation_rate: of_listener(layers.fixed, &listener.name, "max.connection.creation.rate"),
        is_protected: listener.is_controller || (has_others && listener.name.eq_ignore_ascii_case(inter_broker)),
    };
    listeners.iter().map(limits).collect()
}

fn of_listener(fixed: &StaticConfig, listener: &str, key: &str) -> u32 {
    match fixed.listener_setting(listener, key).map(|setting| &setting.value) {
        Some(Value::Integer(value)) => limit(*value),
        _ => UNLIMITED,
    }
}

fn rates(image: &Image) -> (BTreeMap<IpAddr, f64>, Option<f64>) {
    let (mut rates, mut default_rate) = (BTreeMap::new(), None);
    for (entity, values) in image.quotas() {
        let (Some(name), Some(rate)) = (&entity.ip, values.get(CREATION_RATE)) else { continue };
        match name {
            QuotaName::Default => default_rate = Some(*rate),
            QuotaName::Named(name) => {
                // Nothing else was accepted.
                rates.extend(name.parse().ok().map(|ip: IpAddr| (ip.to_canonical(), *rate)));
            }
        }
    }
    (rates, default_rate)
}

/// Reads `address:count` pairs, separated by commas. Names are not looked up.
pub(crate) fn parse_overrides(text: &str) -> Option<BTreeMap<IpAddr, u32>> {
    let pair = |item: &str| {
        let (address, count) = item.rsplit_once(':')?;
        let address = address.trim();
        let address = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
        let count: u32 = count.trim().parse().ok().filter(|count| *count <= UNLIMITED)?;
        Some((address.parse::<IpAddr>().ok()?.to_canonical(), count))
    };
    text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(pair).collect()
}
