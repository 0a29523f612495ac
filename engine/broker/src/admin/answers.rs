//! From a path to its answer.

use std::rc::Rc;

use futures_util::StreamExt as _;
use futures_util::stream;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use ringlog_cluster::config::{ConfigSource, describe_broker};
use serde_json::{Map, Value, json};

use super::requests::{self, Query};
use super::{Admin, READINGS_WAITING_MAX, SCRAPES_WAITING_MAX, Served, health};
use crate::http::Content;
use crate::metrics::exposition;
use crate::metrics::scrape::Scrape;

const PATHS: &str = "/metrics\n/health/live\n/health/ready\n/config\n/perf/requests\n/version\n";
const NOT_READY: &str = "the broker starts: its data directory is being recovered";

/// Answers a request. A request without effect has no body, so none is read.
pub(super) async fn answer(admin: Rc<Admin>, request: Request<Incoming>) -> Response<Content> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are served here\n".to_owned());
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/" => text(StatusCode::OK, PATHS.to_owned()),
        "/metrics" => metrics(&admin, request.method()).await,
        "/health/live" => told(StatusCode::OK, &json!({"status": "live"})),
        "/health/ready" => ready(&admin).await,
        "/config" => config(&admin),
        "/perf/requests" => kept_requests(&admin, &request).await,
        "/version" => version(&admin),
        path => text(StatusCode::NOT_FOUND, format!("there is no {}; there are\n{PATHS}", path.escape_default())),
    }
}

async fn metrics(admin: &Admin, method: &Method) -> Response<Content> {
    let Some(Served { shard, gatherer, .. }) = admin.served() else { return not_ready() };
    let mut response = text(StatusCode::OK, String::new());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(exposition::CONTENT_TYPE));
    if method == Method::HEAD {
        return response;
    }
    if admin.scrapes.waiting() >= SCRAPES_WAITING_MAX {
        let refusal = "scrapes are made one at a time, and too many wait: scrape less often, or from fewer places\n";
        return text(StatusCode::SERVICE_UNAVAILABLE, refusal.to_owned());
    }
    let turn = admin.scrapes.take().await;
    let scrape = Scrape::new(gatherer.gather().await, &shard.settings().broker);
    // The turn ends when the client has everything, or is gone.
    let pieces = stream::unfold((scrape, turn, shard), |(mut scrape, turn, shard)| async move {
        loop {
            shard.reactor().yield_now().await;
            let piece = scrape.next_piece()?;
            if !piece.is_empty() {
                return Some((piece, (scrape, turn, shard)));
            }
        }
    });
    *response.body_mut() = Content::Pieces(pieces.boxed_local());
    response
}

/// Requests that were slow, and a sample of all.
async fn kept_requests(admin: &Admin, request: &Request<Incoming>) -> Response<Content> {
    let Some(Served { shard, since, .. }) = admin.served() else { return not_ready() };
    let query = match Query::parse(request.uri().query().unwrap_or(""), shard.count()) {
        Ok(query) => query,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let mut response = with(StatusCode::OK, "application/json", String::new());
    if request.method() == Method::GET {
        if admin.readings.waiting() >= READINGS_WAITING_MAX {
            let refusal = "requests are told to one reader at a time, and too many wait: read from fewer places\n";
            return text(StatusCode::SERVICE_UNAVAILABLE, refusal.to_owned());
        }
        let turn = admin.readings.take().await;
        *response.body_mut() = requests::tell(&shard, since, query, turn).await;
    }
    response
}

async fn ready(admin: &Admin) -> Response<Content> {
    let objection = match admin.served() {
        Some(Served { shard, .. }) => health::objection(&shard).await,
        None => Some(NOT_READY.to_owned()),
    };
    match objection {
        None => told(StatusCode::OK, &json!({"status": "ready"})),
        Some(reason) => told(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "not ready", "reason": reason})),
    }
}

/// The settings in force, and where each comes from. What is sensitive is not told.
fn config(admin: &Admin) -> Response<Content> {
    let Some(Served { shard, .. }) = admin.served() else { return not_ready() };
    let image = shard.with(|state| state.image.clone());
    let settings = shard.settings();
    let layers = settings.layers(&image);
    let described = describe_broker(&layers).into_iter().map(|config| {
        let value = config.value.filter(|_| !config.is_sensitive);
        let told = json!({"value": value, "source": source(config.source), "sensitive": config.is_sensitive});
        (config.name.to_owned(), told)
    });
    told(StatusCode::OK, &Value::Object(described.collect::<Map<_, _>>()))
}

/// As Kafka's clients call it.
fn source(source: ConfigSource) -> &'static str {
    match source {
        ConfigSource::Topic => "DYNAMIC_TOPIC_CONFIG",
        ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
        ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
        ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
        ConfigSource::Default => "DEFAULT_CONFIG",
        ConfigSource::BrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
        ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
    }
}

fn version(admin: &Admin) -> Response<Content> {
    let mut version = json!({"name": "ringlog", "version": env!("CARGO_PKG_VERSION")});
    if let Some(Served { shard, .. }) = admin.served() {
        version["cluster_id"] = json!(shard.settings().cluster_id.as_ref());
        version["node_id"] = json!(shard.settings().broker.node_id.get());
        version["shards"] = json!(shard.count());
    }
    told(StatusCode::OK, &version)
}

fn not_ready() -> Response<Content> {
    text(StatusCode::SERVICE_UNAVAILABLE, format!("{NOT_READY}\n"))
}

fn told(status: StatusCode, value: &Value) -> Response<Content> {
    with(status, "application/json", format!("{value}\n"))
}

fn text(status: StatusCode, text: String) -> Response<Content> {
    with(status, "text/plain; charset=utf-8", text)
}

fn with(status: StatusCode, content_type: &'static str, content: String) -> Response<Content> {
    let mut response = Response::new(Content::Whole(Some(Bytes::from(content))));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
