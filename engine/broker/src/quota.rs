//! Client quotas in force. What a request uses is counted by the one shard that owns its scope, and told to it over the
//! mesh: so a client shares its quota among its connections, on whichever shards they are. The answer says for how long
//! the client is throttled; the connection is muted for that time. Requests of clients without quotas come past one branch.

use std::cell::Cell;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ringlog_cluster::image::Image;
use ringlog_cluster::metadata::{Decision, Metadata};
use ringlog_cluster::quota::{
    Charge, ClientQuotas, Enforcement, MutationQuota, QuotaType, QuotaWindows, percent_of_second,
};
use ringlog_net::conn::{Body, Request, Response};
use ringlog_net::error::ErrorCode;
use ringlog_net::header::RequestHeader;
use ringlog_net::messages::with_throttle_time;
use ringlog_storage::types::Nanos;

use crate::controller::{RandomBits, decide_and_count};
use crate::lines::repeated;
use crate::message::{Call, Reply};
use crate::shard::Shard;

/// The user of a connection that has not proven to be anybody; Kafka's.
const ANONYMOUS: &str = "ANONYMOUS";

/// The longest that a connection is not read, however long its client is told to wait: one whose client has gone without a
/// word is idle some day.
const MUTE_MAX: Duration = Duration::from_mins(10);

/// What a shard knows of the quotas that are set.
#[derive(Debug)]
pub(crate) struct Quotas {
    are_set: Cell<bool>,
    changes: Cell<u64>,
    user: Arc<str>,
    windows: QuotaWindows,
}

/// The quotas of a connection's client.
#[derive(Debug)]
pub(crate) struct KnownQuotas {
    /// As of this change.
    changes: u64,
    client_id: Arc<str>,
    quotas: Rc<ClientQuotas>,
}

impl Quotas {
    pub(crate) fn new(windows: QuotaWindows) -> Self {
        Self { are_set: Cell::new(false), changes: Cell::new(0), user: ANONYMOUS.into(), windows }
    }

    /// Whether any client has quotas.
    pub(crate) fn are_set(&self) -> bool {
        self.are_set.get()
    }

    /// Quotas are those of this image from now on.
    pub(crate) fn changed(&self, image: &Image) {
        self.are_set.set(image.has_client_quotas());
        self.changes.set(self.changes.get() + 1);
    }

    /// The quotas of a client, if it has any. They are looked up where `known` is not about this client or out of date.
    pub(crate) fn of(
        &self,
        shard: &Shard,
        client_id: &Arc<str>,
        known: &mut Option<KnownQuotas>,
    ) -> Option<Rc<ClientQuotas>> {
        let changes = self.changes.get();
        if known.as_ref().is_none_or(|known| known.changes != changes || known.client_id != *client_id) {
            let image = shard.with(|state| Arc::clone(&state.image));
            let quotas = ClientQuotas::of(&image, &self.user, client_id);
            let client_id = Arc::clone(client_id);
            *known = self.are_set().then(|| KnownQuotas { changes, client_id, quotas: Rc::new(quotas) });
        }
        known.as_ref().map(|known| Rc::clone(&known.quotas)).filter(|quotas| !quotas.is_empty())
    }
}

/// Measures what one request uses, and tells it to those who count.
#[derive(Debug)]
pub(crate) struct Meter {
    shard: Shard,
    quotas: Rc<ClientQuotas>,
    frame_bytes: usize,
    /// How long the shard was busy with it, without what goes on.
    busy: Cell<Duration>,
    /// Since when it is, while it is.
    busy_since: Cell<Option<Nanos>>,
    is_charged: Cell<bool>,
    throttled: Cell<Duration>,
}

impl Meter {
    pub(crate) fn new(shard: &Shard, quotas: Rc<ClientQuotas>, request: &Request) -> Self {
        Self {
            shard: shard.clone(),
            quotas,
            frame_bytes: request.frame_bytes,
            busy: Cell::default(),
            busy_since: Cell::default(),
            is_charged: Cell::default(),
            throttled: Cell::default(),
        }
    }

    /// Does a part of the request's work. The time in which it waits does not count.
    pub(crate) async fn time<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            self.busy_since.set(Some(self.shard.now()));
            let polled = work.as_mut().poll(context);
            self.busy.set(self.busy());
            self.busy_since.set(None);
            polled
        })
        .await
    }

    fn busy(&self) -> Duration {
        let goes_on = self.busy_since.get().map_or(Duration::ZERO, |since| self.shard.now().since(since));
        self.busy.get() + goes_on
    }

    /// The most bytes that a fetch may bring without being throttled in any case.
    pub(crate) fn fetch_bytes_max(&self) -> Option<usize> {
        self.quotas.fetch_bytes_max(self.shard.quotas().windows)
    }

    /// Charges a produce request; answers how long its client is throttled.
    pub(crate) async fn charge_produce(&self) -> i32 {
        let charges = [self.time_used(), self.quotas.charge(QuotaType::Produce, amount(self.frame_bytes))];
        self.charge(charges.into_iter().flatten()).await
    }

    /// The same, with no answer to measure the time by.
    pub(crate) async fn charge_produce_without_acks(&self) -> i32 {
        self.charge(self.quotas.charge(QuotaType::Produce, amount(self.frame_bytes))).await
    }

    /// Charges a fetch for what it would send.
    pub(crate) async fn charge_fetch(&self, bytes: usize) -> i32 {
        let charges = [self.time_used(), self.quotas.charge(QuotaType::Fetch, amount(bytes))];
        self.charge(charges.into_iter().flatten()).await
    }

    /// Charges the request's time if its handler has not charged anything, and lets the response say for how long the client
    /// is throttled.
    pub(crate) async fn settle(&self, header: &RequestHeader, response: Response) -> Response {
        let body = match response {
            Response::Send(body) if !self.is_charged.get() => body,
            other => return other,
        };
        let throttle_time_ms = self.charge(self.time_used()).await;
        if throttle_time_ms == 0 {
            return Response::Send(body);
        }
        let told = with_throttle_time(header.api_key, header.api_version, &body.to_vec(), throttle_time_ms);
        // A response that is too large to be read again says nothing; its client is muted all the same.
        let errors = body.errors().to_vec();
        Response::Send(told.ok().flatten().map_or(body, |told| Body::from(told).with_errors(errors)))
    }

    /// How long the connection is not to be read, if its client is throttled.
    pub(crate) fn mute(&self) -> Option<Duration> {
        Some(self.throttled.get().min(MUTE_MAX)).filter(|mute| !mute.is_zero())
    }

    /// Tells that it is not read for a while.
    pub(crate) fn tell_muted(&self, peer: SocketAddr, client_id: &str, mute: Duration) {
        repeated!(
            self.shard.lines(), Throttled, "clients over their quotas", DEBUG,
            %peer,
            client_id,
            throttle_time_ms = u64::try_from(mute.as_millis()).unwrap_or(u64::MAX),
            "the client is over a quota, so it is not read for a while"
        );
    }

    fn time_used(&self) -> Option<Charge> {
        self.quotas.charge(QuotaType::Request, percent_of_second(self.busy()))
    }

    async fn charge(&self, charges: impl IntoIterator<Item = Charge>) -> i32 {
        self.is_charged.set(true);
        let throttled = record(&self.shard, charges.into_iter().collect()).await;
        let throttled = self.throttled.get().max(throttled);
        self.throttled.set(throttled);
        i32::try_from(throttled.as_millis()).unwrap_or(i32::MAX)
    }
}

/// Lets the controller take a decision that makes or deletes partitions, within the quota of a client if it has one.
pub(crate) async fn decide_within_quota<R: Send + 'static>(
    shard: &Shard,
    meter: Option<&Meter>,
    enforcement: Enforcement,
    decide: impl FnOnce(&Metadata, RandomBits<'_>, &mut MutationQuota<'_>) -> Decision<R> + Send + 'static,
) -> Result<R, ErrorCode> {
    let charge = meter.and_then(|meter| meter.quotas.charge(QuotaType::ControllerMutation, 0.0));
    let decided = decide_and_count(shard, move |metadata, random, usages, now| {
        let mut quota = match charge {
            Some(charge) => MutationQuota::new(usages, charge, enforcement, now),
            None => MutationQuota::unlimited(),
        };
        let Decision { records, reply } = decide(metadata, random, &mut quota);
        Decision { records, reply: (reply, quota.throttled()) }
    });
    let (reply, throttled) = decided.await?;
    if let Some(meter) = meter {
        meter.throttled.set(meter.throttled.get().max(throttled));
    }
    Ok(reply)
}

/// Has the owners count the charges; answers the longest throttle time.
async fn record(shard: &Shard, mut charges: Vec<Charge>) -> Duration {
    let shards = shard.shards();
    let mut throttled = Duration::ZERO;
    while let Some(owner) = charges.first().map(|charge| charge.scope.owner(shards).index()) {
        let of_owner = charges.extract_if(.., |charge| charge.scope.owner(shards).index() == owner).collect::<Vec<_>>();
        throttled = throttled.max(if owner == shard.index() {
            let now = shard.now();
            shard.with(|state| state.quota_usages.record(&of_owner, now))
        } else {
            match shard.call(owner, Call::Charge(of_owner)).await.reply().await {
                Reply::Throttle(throttled) => throttled,
                other => unreachable!("charges are answered by a throttle time, not {other:?}"),
            }
        });
        if !throttled.is_zero() {
            // A fetch that is throttled brings nothing.
            charges.retain(|charge| charge.quota_type != QuotaType::Fetch);
        }
    }
    throttled
}

#[expect(clippy::cast_precision_loss, reason = "frames and responses have less than 2^52 bytes")]
fn amount(bytes: usize) -> f64 {
    bytes as f64
}
