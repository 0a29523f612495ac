//! From responses to bytes on the socket: order, size fields, headers, and as few pieces as pay off.

use super::RequestSeq;
use super::spare::SpareChunks;
use crate::header::ResponseHeader;
use crate::wire::{ErrorCount, Writer};
use ringlog_buffer::{BLOCK_BYTES, Chunk, Slice};
use std::collections::VecDeque;

/// A transmission ends behind the response that reaches this many bytes.
pub const TRANSMIT_BYTES_MAX: usize = 1024 * 1024;
/// A transmission ends behind the response that reaches this many pieces: what one vectored send takes on Linux.
pub const TRANSMIT_PIECES_MAX: usize = 1024;
/// Shared slices up to this size are copied between their neighbours: cheaper than a piece of their own.
pub const COPIED_SLICE_BYTES_MAX: usize = 512;
/// A chunk for copied bytes that is larger than this is not kept for the next transmission.
const KEPT_CHUNK_BYTES_MAX: usize = 16 * 1024;

/// In front of every frame.
const SIZE_FIELD_BYTES: usize = 4;

/// The body of a response: encoded bytes, into which slices of shared memory are inserted without being copied.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct Body {
    bytes: Vec<u8>,
    inserts: Vec<Insert>,
    errors: Vec<ErrorCount>,
}

/// A slice that comes before `bytes[at]`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Insert {
    at: usize,
    slice: Slice,
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, inserts: Vec::new(), errors: Vec::new() }
    }
}

impl From<Writer> for Body {
    fn from(writer: Writer) -> Self {
        let (bytes, errors) = writer.into_parts();
        Self { bytes, inserts: Vec::new(), errors }
    }
}

impl Body {
    /// A body in the making, with room for `capacity` encoded bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self::from(Vec::with_capacity(capacity))
    }

    /// Where encoded bytes are appended. Nothing before its end may be changed in length once a slice was inserted.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Lets `slice` follow what is in the body so far.
    pub fn insert(&mut self, slice: Slice) {
        self.insert_at(self.bytes.len(), slice);
    }

    /// Lets `slice` come before encoded byte `at`, for a writer that hands in the encoded bytes later.
    pub(crate) fn insert_at(&mut self, at: usize, slice: Slice) {
        assert!(self.inserts.last().is_none_or(|last| last.at <= at), "inserts come in order");
        if !slice.is_empty() {
            self.inserts.push(Insert { at, slice });
        }
    }

    /// This body behind `head`.
    pub(crate) fn behind(&self, head: &[u8]) -> Self {
        let moved =
            self.inserts.iter().map(|insert| Insert { at: insert.at + head.len(), slice: insert.slice.clone() });
        Self { bytes: [head, &self.bytes].concat(), inserts: moved.collect(), errors: self.errors.clone() }
    }

    /// The error codes that it tells, each once, and how often.
    pub fn errors(&self) -> &[ErrorCount] {
        &self.errors
    }

    /// This body, which tells these errors.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<ErrorCount>) -> Self {
        self.errors = errors;
        self
    }

    /// Bytes of the whole body.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.inserts.iter().map(|insert| insert.slice.len()).sum::<usize>()
    }

    /// Whether the body has no bytes.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.inserts.is_empty()
    }

    /// All bytes in one vector: for tests and for those who do not send.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut all = Vec::with_capacity(self.len());
        self.visit(|part| match part {
            Part::Encoded(bytes) => all.extend_from_slice(bytes),
            Part::Shared(slice) => all.extend_from_slice(slice),
        });
        all
    }

    fn visit<'a>(&'a self, mut sink: impl FnMut(Part<'a>)) {
        let mut from = 0;
        for insert in &self.inserts {
            sink(Part::Encoded(&self.bytes[from..insert.at]));
            sink(Part::Shared(&insert.slice));
            from = insert.at;
        }
        sink(Part::Encoded(&self.bytes[from..]));
    }

    /// Bytes that [`Outbox::transmit`] copies.
    fn copied_len(&self) -> usize {
        let small = self.inserts.iter().map(|insert| insert.slice.len()).filter(|len| *len <= COPIED_SLICE_BYTES_MAX);
        self.bytes.len() + small.sum::<usize>()
    }
}

enum Part<'a> {
    Encoded(&'a [u8]),
    Shared(&'a Slice),
}

/// A response that may be sent now.
#[derive(Debug)]
struct Ready {
    /// `None` where the body brings size and header itself.
    head: Option<Head>,
    body: Body,
}

/// What comes in front of a body.
#[derive(Clone, Copy, Debug)]
struct Head {
    /// Of the request that is answered.
    seq: RequestSeq,
    header: ResponseHeader,
}

impl Ready {
    fn copied_len(&self) -> usize {
        self.head.map_or(0, |head| SIZE_FIELD_BYTES + head.header.len()) + self.body.copied_len()
    }
}

/// Responses in the order in which they leave.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    ready: VecDeque<Ready>,
    /// Bytes of the bodies in `ready`.
    bytes: usize,
    /// Where sizes, headers and encoded bytes are copied to. Used again once everything in it was sent; `None` while there
    /// is nothing to send.
    chunk: Option<Chunk>,
    spares: SpareChunks,
}

impl Outbox {
    pub(super) fn new(spares: SpareChunks) -> Self {
        Self { spares, ..Self::default() }
    }

    pub(super) fn push(&mut self, seq: RequestSeq, header: ResponseHeader, body: Body) {
        self.bytes += body.len();
        self.ready.push_back(Ready { head: Some(Head { seq, header }), body });
    }

    /// Queues a body that is a whole frame: what the client sends.
    pub(crate) fn push_whole(&mut self, frame: Body) {
        self.bytes += frame.len();
        self.ready.push_back(Ready { head: None, body: frame });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// Responses that wait.
    pub(super) fn len(&self) -> usize {
        self.ready.len()
    }

    /// Bytes of the bodies that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Which request the next response answers.
    pub(super) fn next_seq(&self) -> Option<RequestSeq> {
        self.ready.front().and_then(|ready| ready.head).map(|head| head.seq)
    }

    /// As many responses as fit one transmission, at least one if there is one.
    pub(crate) fn transmit(&mut self) -> Option<Vec<Slice>> {
        let count = self.next_count();
        if count == 0 {
            self.spares.give(&mut self.chunk);
            return None;
        }
        let batch = || self.ready.iter().take(count);
        let copied_bytes = batch().map(Ready::copied_len).sum();
        let mut gather = Gather::new(chunk_with_room(&mut self.chunk, copied_bytes, &self.spares));
        for ready in self.ready.drain(..count) {
            self.bytes -= ready.body.len();
            if let Some(Head { header, .. }) = ready.head {
                let size = header.len() + ready.body.len();
                let size = u32::try_from(size).expect("Conn::respond refuses bodies that do not fit a frame");
                gather.copy(&size.to_be_bytes());
                gather.copy(header.encoded().as_ref());
            }
            ready.body.visit(|part| match part {
                Part::Encoded(bytes) => gather.copy(bytes),
                Part::Shared(slice) if slice.len() <= COPIED_SLICE_BYTES_MAX => gather.copy(slice),
                Part::Shared(slice) => gather.share(slice),
            });
        }
        let pieces = gather.finish();
        self.chunk.take_if(|chunk| chunk.capacity() > KEPT_CHUNK_BYTES_MAX);
        Some(pieces)
    }

    fn next_count(&self) -> usize {
        let (mut bytes, mut pieces) = (0, 0);
        let fitting = self.ready.iter().take_while(|ready| {
            let open = bytes < TRANSMIT_BYTES_MAX && pieces < TRANSMIT_PIECES_MAX;
            bytes += ready.body.len();
            pieces += 1 + 2 * ready.body.inserts.len();
            open
        });
        fitting.count()
    }
}

/// The chunk itself if `bytes` fit behind what it holds, else another one in its place.
fn chunk_with_room<'a>(kept: &'a mut Option<Chunk>, bytes: usize, spares: &SpareChunks) -> &'a mut Chunk {
    let fits = kept.as_mut().is_some_and(|chunk| {
        chunk.try_clear();
        chunk.spare_len() >= bytes
    });
    if !fits {
        *kept = Some(spares.take(bytes).unwrap_or_else(|| Chunk::with_capacity(bytes.max(BLOCK_BYTES))));
    }
    kept.as_mut().expect("was put there just now")
}

/// Collects pieces: what is copied is gathered in `chunk` until a shared slice comes between.
struct Gather<'a> {
    chunk: &'a mut Chunk,
    from: usize,
    pieces: Vec<Slice>,
}

impl<'a> Gather<'a> {
    fn new(chunk: &'a mut Chunk) -> Self {
        let from = chunk.len();
        Self { chunk, from, pieces: Vec::with_capacity(1) }
    }

    fn copy(&mut self, bytes: &[u8]) {
        self.chunk.append(bytes);
    }

    fn share(&mut self, slice: &Slice) {
        self.flush();
        self.pieces.push(slice.clone());
    }

    fn flush(&mut self) {
        if self.chunk.len() > self.from {
            self.pieces.push(self.chunk.slice(self.from..self.chunk.len()));
            self.from = self.chunk.len();
        }
    }

    fn finish(mut self) -> Vec<Slice> {
        self.flush();
        self.pieces
    }
}
