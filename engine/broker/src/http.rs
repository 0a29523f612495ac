//! HTTP/1.1 on a reactor's sockets: hyper reads and writes it, and what it asks of a connection is done here.
//!
//! A connection brings one request and ends. Whoever sends slowly is ended by a deadline, and so is whoever reads slowly;
//! neither holds more than its own task and [`BUFFER_BYTES`].

mod stream;

use std::cell::Cell;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::Stream as _;
use futures_util::future::{Either, select};
use futures_util::stream::LocalBoxStream;
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use ringlog_reactor::{Reactor, Socket};

use self::stream::HttpStream;

/// How long a request may take to arrive.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
/// How long its answer may take, from then on until the client has it.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// The most that the head of a request may take, and that is buffered of an answer.
const BUFFER_BYTES: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;

/// What an answer brings.
pub(crate) enum Content {
    /// All at once.
    Whole(Option<Bytes>),
    /// Piece by piece, each made when there is room for it.
    Pieces(LocalBoxStream<'static, String>),
}

impl Body for Content {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take()),
            Self::Pieces(pieces) => Pin::new(pieces).poll_next(context).map(|piece| piece.map(Bytes::from)),
        };
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                let bytes = bytes.as_ref().map_or(0, Bytes::len);
                SizeHint::with_exact(u64::try_from(bytes).expect("a length fits 64 bits"))
            }
            Self::Pieces(_) => SizeHint::default(),
        }
    }
}

/// Serves one request of a connection, and ends it; at once when `pushed_out` ends.
pub(crate) async fn serve<F>(
    reactor: &Reactor,
    socket: Socket,
    pushed_out: impl Future<Output = ()>,
    answer: impl Fn(Request<Incoming>) -> F,
) where
    F: Future<Output = Response<Content>>,
{
    let has_arrived = Cell::new(false);
    let service = service_fn(|request| {
        has_arrived.set(true);
        let answer = answer(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let mut builder = http1::Builder::new();
    builder.keep_alive(false).max_buf_size(BUFFER_BYTES).max_headers(HEADERS_MAX);
    let mut connection = pin!(builder.serve_connection(HttpStream::new(socket), service));
    let mut served = {
        let arriving = pin!(reactor.timeout(connection.as_mut(), REQUEST_TIME_MAX));
        match select(arriving, pin!(pushed_out)).await {
            Either::Left((served, _)) => served,
            Either::Right(_) => {
                tracing::debug!("an HTTP connection without a request was ended, to make room for another");
                return;
            }
        }
    };
    if served.is_err() && has_arrived.get() {
        served = reactor.timeout(connection.as_mut(), ANSWER_TIME_MAX).await;
    }
    match served {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("an HTTP connection ended: {error}"),
        Err(elapsed) => tracing::debug!("an HTTP connection was ended: {elapsed}"),
    }
}
