//! One connection to a broker: negotiation of versions, requests out, responses in and matched with their requests.

use super::ClientError;
use crate::conn::{Body, Outbox};
use crate::error::ErrorCode;
use crate::messages::api_versions::{ApiVersionsRequest, ApiVersionsResponse};
use crate::messages::{ApiKey, Request};
use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use ringlog_buffer::Slice;
use ringlog_storage::types::Nanos;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Largest response that is accepted.
pub const RESPONSE_BYTES_MAX: usize = 1 << 30;

const SIZE_FIELD_BYTES: usize = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Connecting,
    Negotiating,
    Ready,
}

/// A request that waits for its response. `P` says what it was sent for.
#[derive(Debug)]
struct InFlight<P> {
    correlation_id: i32,
    api_key: ApiKey,
    version: i16,
    deadline: Nanos,
    /// `None` for the negotiation's own requests.
    purpose: Option<P>,
}

/// A response, with what its request was sent for.
#[derive(Debug)]
pub(super) struct Completed<P> {
    pub(super) purpose: P,
    pub(super) version: i16,
    /// The body, without the header.
    pub(super) body: Vec<u8>,
}

#[derive(Debug)]
pub(super) struct Connection<P> {
    client_id: String,
    request_timeout: Duration,
    state: State,
    outbox: Outbox,
    next_correlation_id: i32,
    in_flight: VecDeque<InFlight<P>>,
    received: Vec<u8>,
    /// Of each key, the versions that the broker serves.
    served: BTreeMap<i16, (i16, i16)>,
}

impl<P> Connection<P> {
    pub(super) fn new(client_id: String, request_timeout: Duration) -> Self {
        Self {
            client_id,
            request_timeout,
            state: State::Connecting,
            outbox: Outbox::default(),
            next_correlation_id: 0,
            in_flight: VecDeque::new(),
            received: Vec::new(),
            served: BTreeMap::new(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.state == State::Ready
    }

    pub(super) fn connected(&mut self, now: Nanos) -> Result<(), ClientError> {
        self.state = State::Negotiating;
        self.negotiate(*ApiKey::ApiVersions.valid_versions().end(), now)
    }

    fn negotiate(&mut self, version: i16, now: Nanos) -> Result<(), ClientError> {
        let request = ApiVersionsRequest {
            client_software_name: "ringlog".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let mut w = Writer::new();
        request.encode(&mut w, version)?;
        Ok(self.push(ApiKey::ApiVersions, version, &Body::from(w.into_bytes()), None, true, now)?)
    }

    /// The newest version of `api_key` that both sides speak, not above `cap`.
    pub(super) fn version(&self, api_key: ApiKey, cap: i16) -> Result<i16, ClientError> {
        let ours = api_key.valid_versions();
        let served = self.served.get(&api_key.code()).copied();
        let common = served.map(|(min, max)| (min.max(*ours.start()), max.min(*ours.end()).min(cap)));
        common.filter(|(min, max)| min <= max).map(|(_, max)| max).ok_or(ClientError::NotServed(api_key))
    }

    /// Sends a request and expects its response.
    pub(super) fn send<R: Request>(
        &mut self,
        request: &R,
        cap: i16,
        purpose: P,
        now: Nanos,
    ) -> Result<(), ClientError> {
        let version = self.version(R::KEY, cap)?;
        let mut w = Writer::new();
        request.encode(&mut w, version)?;
        Ok(self.push(R::KEY, version, &Body::from(w.into_bytes()), Some(purpose), true, now)?)
    }

    /// Sends a body that is encoded in `version`. With no `purpose` no response is expected (acks=0).
    pub(super) fn send_body(
        &mut self,
        api_key: ApiKey,
        version: i16,
        body: &Body,
        purpose: Option<P>,
        now: Nanos,
    ) -> Result<(), ClientError> {
        let answered = purpose.is_some();
        Ok(self.push(api_key, version, body, purpose, answered, now)?)
    }

    fn push(
        &mut self,
        api_key: ApiKey,
        version: i16,
        body: &Body,
        purpose: Option<P>,
        answered: bool,
        now: Nanos,
    ) -> Result<(), EncodeError> {
        let correlation_id = self.next_correlation_id;
        self.next_correlation_id = correlation_id.wrapping_add(1);
        let header_version = api_key.request_header_version(version);
        let mut w = Writer::new();
        w.i32(0);
        w.i16(api_key.code());
        w.i16(version);
        w.i32(correlation_id);
        w.opt_string(Some(&self.client_id), false, true)?;
        if header_version >= 2 {
            w.tagged_fields();
        }
        let size = w.len() - SIZE_FIELD_BYTES + body.len();
        w.patch_i32(0, i32::try_from(size).map_err(|_| EncodeError::TooLong(size))?);
        self.outbox.push_whole(body.behind(&w.into_bytes()));
        if answered {
            let deadline = now.saturating_add(self.request_timeout);
            self.in_flight.push_back(InFlight { correlation_id, api_key, version, deadline, purpose });
        }
        Ok(())
    }

    pub(super) fn transmit(&mut self) -> Option<Vec<Slice>> {
        self.outbox.transmit()
    }

    /// Takes received bytes, and answers the responses that they complete, in order.
    pub(super) fn received(&mut self, bytes: &[u8], now: Nanos) -> Result<Vec<Completed<P>>, ClientError> {
        self.received.extend_from_slice(bytes);
        let (mut completed, mut position) = (Vec::new(), 0);
        while let Some(size) = self.received[position..].first_chunk::<SIZE_FIELD_BYTES>() {
            let size = i32::from_be_bytes(*size);
            let size = usize::try_from(size).ok().filter(|size| *size <= RESPONSE_BYTES_MAX);
            let size = size.ok_or(ClientError::ResponseSize)?;
            let start = position + SIZE_FIELD_BYTES;
            let Some(frame) = self.received.get(start..start + size) else { break };
            let frame = frame.to_vec();
            position = start + size;
            completed.extend(self.complete(&frame, now)?);
        }
        self.received.drain(..position);
        Ok(completed)
    }

    fn complete(&mut self, frame: &[u8], now: Nanos) -> Result<Option<Completed<P>>, ClientError> {
        let request = self.in_flight.pop_front().ok_or(ClientError::UnexpectedResponse)?;
        let mut r = Reader::new(frame);
        if r.i32()? != request.correlation_id {
            return Err(ClientError::UnexpectedResponse);
        }
        if request.api_key.response_header_version(request.version) >= 1 {
            r.tagged_fields(|_, _| Ok(false))?;
        }
        match request.purpose {
            Some(purpose) => Ok(Some(Completed { purpose, version: request.version, body: r.rest().to_vec() })),
            None => self.negotiated(r, request.version, now).map(|()| None),
        }
    }

    /// Takes the answer to `ApiVersions`. A broker that does not know the version answers in version 0, whatever was asked.
    fn negotiated(&mut self, mut r: Reader<'_>, version: i16, now: Nanos) -> Result<(), ClientError> {
        let error = ErrorCode::from_wire(r.clone().i16()?);
        if error == ErrorCode::UnsupportedVersion && version > 0 {
            let response = ApiVersionsResponse::decode(&mut r, 0)?;
            let code = ApiKey::ApiVersions.code();
            let row = response.api_keys.iter().find(|row| row.api_key == code);
            // Lower at every step, so this ends.
            return self.negotiate(row.map_or(0, |row| row.max_version).clamp(0, version - 1), now);
        }
        if error != ErrorCode::None {
            return Err(ClientError::Broker(error));
        }
        let response = ApiVersionsResponse::decode(&mut r, version)?;
        self.served = response.api_keys.iter().map(|row| (row.api_key, (row.min_version, row.max_version))).collect();
        self.state = State::Ready;
        Ok(())
    }

    /// When the oldest request times out.
    pub(super) fn deadline(&self) -> Option<Nanos> {
        self.in_flight.front().map(|request| request.deadline)
    }

    /// What waits for a response.
    pub(super) fn purposes(&self) -> impl Iterator<Item = &P> {
        self.in_flight.iter().filter_map(|request| request.purpose.as_ref())
    }

    /// Ends the connection: what its requests were sent for.
    pub(super) fn into_purposes(self) -> impl Iterator<Item = P> {
        self.in_flight.into_iter().filter_map(|request| request.purpose)
    }
}

impl From<DecodeError> for ClientError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<EncodeError> for ClientError {
    fn from(error: EncodeError) -> Self {
        Self::Unencodable(error)
    }
}
