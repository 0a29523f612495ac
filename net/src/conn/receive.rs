//! From received bytes to frames: where the bytes of a request are kept until all of it is there.
//!
//! A *small* frame is copied once, out of the shard's receive pool into the connection's input chunk, and is a slice of
//! that chunk. A *large* frame gets a chunk of its own, and most of it is received straight into that chunk.
//!
//! The rule for memory: an announced length alone allocates nothing. Up to [`FRAME_PROOF_BYTES`] a large frame's buffer
//! follows what has arrived. Behind that the shell is asked for memory ([`Want::Memory`](super::Want::Memory)), and never for
//! more than [`FRAME_GROWTH_FACTOR`] times what has arrived; the shell says yes out of its budget, or lets the connection
//! wait, unread.

use super::close::CloseReason;
use super::spare::SpareChunks;
use ringlog_buffer::{BLOCK_BYTES, Chunk, Slice};
use ringlog_storage::types::Nanos;

/// Frames up to this size are cut out of the input chunk.
pub const SMALL_FRAME_BYTES_MAX: usize = 16 * 1024;
/// Capacity that the input chunk of a busy connection grows to.
pub const INPUT_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a large frame that must have arrived before memory for more of it is asked for.
pub const FRAME_PROOF_BYTES: usize = 16 * 1024;
/// A large frame's buffer is at most this many times what has arrived of it: one step for frames up to 2 MiB.
pub const FRAME_GROWTH_FACTOR: usize = 128;
/// With at least this much to come, a frame is received straight into its own chunk.
pub const DIRECT_BYTES_MIN: usize = 64 * 1024;
/// Bytes of one direct receive, so that one connection cannot hold up a turn of its shard.
pub const DIRECT_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of the size field in front of a frame.
const SIZE_FIELD_BYTES: usize = 4;
/// API key, version and correlation id: no request header is shorter.
const FRAME_BYTES_MIN: usize = 8;

/// A whole frame, without its size field.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Slice,
    /// When the first byte of it was received, of its size field.
    pub(super) first_byte_at: Nanos,
    /// Memory that the shell granted for it and wants back when the request is done.
    pub(super) granted_bytes: usize,
}

/// What a frame still needs.
#[derive(Debug)]
pub(super) enum FrameWant {
    /// Bytes from the shared pool.
    Pool,
    /// Up to `bytes` bytes into `chunk`.
    Direct { chunk: Chunk, bytes: usize },
    /// A chunk of at least `bytes` bytes, in the place of `held_bytes` bytes that were granted before.
    Memory { bytes: usize, held_bytes: usize },
    /// Nothing until the chunk of a direct receive is back.
    Lent,
}

#[derive(Debug)]
enum State {
    /// Between frames, `filled` bytes of the size field are there.
    Size { field: [u8; SIZE_FIELD_BYTES], filled: usize },
    /// In a frame that is cut out of `input`, where it begins at `from`.
    Small { from: usize, announced: usize },
    /// In a frame with a chunk of its own.
    Large(LargeFrame),
}

const BETWEEN_FRAMES: State = State::Size { field: [0; SIZE_FIELD_BYTES], filled: 0 };

#[derive(Debug)]
struct LargeFrame {
    announced: usize,
    /// Memory that the shell granted for this frame and has not got back.
    granted_bytes: usize,
    /// `None` while a direct receive fills it.
    chunk: Option<Chunk>,
}

/// Cuts the stream of a connection into frames.
#[derive(Debug)]
pub(super) struct Receiver {
    state: State,
    /// When the first byte of the frame in progress, or of the last one, was received.
    first_byte_at: Nanos,
    /// `None` until a small frame begins, and again once the connection has nothing under way.
    input: Option<Chunk>,
    spares: SpareChunks,
}

impl Receiver {
    pub(super) fn new(spares: SpareChunks) -> Self {
        Self { state: BETWEEN_FRAMES, first_byte_at: Nanos::default(), input: None, spares }
    }

    /// Gives up the input chunk between frames, if nothing of it is in use.
    pub(super) fn rest(&mut self) {
        if matches!(self.state, State::Size { .. }) {
            self.spares.give(&mut self.input);
        }
    }

    /// Takes all of `bytes`, received at `now`, and hands every frame that they complete to `sink`. On an error the stream
    /// cannot be followed any further.
    pub(super) fn received(
        &mut self,
        mut bytes: &[u8],
        now: Nanos,
        frame_bytes_max: usize,
        mut sink: impl FnMut(Frame),
    ) -> Result<(), CloseReason> {
        while !bytes.is_empty() {
            let (taken, frame) = match &mut self.state {
                State::Size { field, filled } => {
                    if *filled == 0 {
                        self.first_byte_at = now;
                    }
                    let taken = bytes.len().min(SIZE_FIELD_BYTES - *filled);
                    field[*filled..*filled + taken].copy_from_slice(&bytes[..taken]);
                    *filled += taken;
                    if *filled == SIZE_FIELD_BYTES {
                        let announced = checked_size(*field, frame_bytes_max)?;
                        self.begin(announced);
                    }
                    (taken, None)
                }
                State::Small { from, announced } => {
                    let input = self.input.as_mut().expect("a small frame has begun in it");
                    let taken = bytes.len().min(*announced - (input.len() - *from));
                    input.append(&bytes[..taken]);
                    let whole = input.len() - *from == *announced;
                    (taken, whole.then(|| (input.slice(*from..input.len()), 0)))
                }
                State::Large(large) => {
                    let taken = large.append(bytes);
                    (taken, large.take_if_whole())
                }
            };
            bytes = &bytes[taken..];
            if let Some((bytes, granted_bytes)) = frame {
                self.state = BETWEEN_FRAMES;
                sink(Frame { bytes, first_byte_at: self.first_byte_at, granted_bytes });
            }
        }
        Ok(())
    }

    fn begin(&mut self, announced: usize) {
        self.state = if announced <= SMALL_FRAME_BYTES_MAX {
            let from = self.make_room(announced);
            State::Small { from, announced }
        } else {
            State::Large(LargeFrame { announced, granted_bytes: 0, chunk: Some(Chunk::with_capacity(BLOCK_BYTES)) })
        };
    }

    /// Makes `bytes` bytes fit behind what is in the input chunk, and answers where they begin. A chunk that nobody reads
    /// any more is used again from its start; otherwise the next one is larger, for the connection is busy.
    fn make_room(&mut self, bytes: usize) -> usize {
        let old_capacity = self.input.as_ref().map_or(0, Chunk::capacity);
        if let Some(input) = &mut self.input {
            // Starting over keeps a quiet connection in memory that is warm in the core's cache.
            input.try_clear();
            if input.spare_len() >= bytes {
                return input.len();
            }
        }
        let capacity = (2 * old_capacity).clamp(BLOCK_BYTES.max(bytes), INPUT_CHUNK_BYTES_MAX);
        self.input = Some(self.spares.take(capacity).unwrap_or_else(|| Chunk::with_capacity(capacity)));
        0
    }

    pub(super) fn want(&mut self) -> FrameWant {
        let State::Large(large) = &mut self.state else { return FrameWant::Pool };
        let Some(chunk) = &large.chunk else { return FrameWant::Lent };
        let missing = large.announced - chunk.len();
        let room = missing.min(chunk.spare_len());
        if chunk.len() >= FRAME_PROOF_BYTES && room < missing.min(DIRECT_BYTES_MIN) {
            let bytes = large.announced.min(chunk.len().saturating_mul(FRAME_GROWTH_FACTOR));
            return FrameWant::Memory { bytes, held_bytes: large.granted_bytes };
        }
        if room >= DIRECT_BYTES_MIN
            && let Some(chunk) = large.chunk.take()
        {
            return FrameWant::Direct { chunk, bytes: room.min(DIRECT_BYTES_MAX) };
        }
        FrameWant::Pool
    }

    /// Goes on in `chunk`, which must be empty and larger than what has arrived. Answers the bytes that were granted for
    /// this frame before, which the shell gets back.
    pub(super) fn grant(&mut self, mut chunk: Chunk) -> usize {
        let State::Large(large) = &mut self.state else { panic!("memory is granted to a frame that asked for it") };
        let old = large.chunk.take().expect("memory is asked for while the chunk is here");
        assert!(chunk.is_empty() && chunk.capacity() > old.len(), "a grant leaves room for more");
        chunk.append(&old);
        let granted_bytes = chunk.capacity();
        large.chunk = Some(chunk);
        std::mem::replace(&mut large.granted_bytes, granted_bytes)
    }

    /// Takes back the chunk that [`want`](Self::want) lent, with what was received into it.
    pub(super) fn received_direct(&mut self, chunk: Chunk) -> Option<Frame> {
        let State::Large(large) = &mut self.state else { panic!("no chunk is lent between frames") };
        assert!(large.chunk.is_none(), "only a lent chunk comes back");
        assert!(chunk.len() <= large.announced, "a direct receive stays within its frame");
        large.chunk = Some(chunk);
        let (bytes, granted_bytes) = large.take_if_whole()?;
        self.state = BETWEEN_FRAMES;
        Some(Frame { bytes, first_byte_at: self.first_byte_at, granted_bytes })
    }

    /// Bytes that have arrived and bytes announced of the frame in progress.
    pub(super) fn progress(&self) -> Option<(usize, usize)> {
        match &self.state {
            State::Size { filled: 0, .. } => None,
            State::Size { filled, .. } => Some((*filled, SIZE_FIELD_BYTES)),
            State::Small { from, announced } => {
                Some((self.input.as_ref().map_or(0, |input| input.len() - from), *announced))
            }
            State::Large(large) => Some((large.chunk.as_ref().map_or(0, Chunk::len), large.announced)),
        }
    }

    /// Whether the frame in progress has nothing of the shell's.
    pub(super) fn is_free(&self) -> bool {
        !matches!(&self.state, State::Large(large) if large.granted_bytes > 0 || large.chunk.is_none())
    }

    /// Puts what has arrived of the frame in progress behind `bytes`, size field included, and forgets it. Panics unless it
    /// [is free](Self::is_free).
    pub(super) fn take_unfinished(&mut self, bytes: &mut Vec<u8>) {
        let announced =
            |announced: usize| u32::try_from(announced).expect("a size field has announced it").to_be_bytes();
        match std::mem::replace(&mut self.state, BETWEEN_FRAMES) {
            State::Size { field, filled } => bytes.extend_from_slice(&field[..filled]),
            State::Small { from, announced: size } => {
                bytes.extend_from_slice(&announced(size));
                let input = self.input.as_ref().expect("a small frame has begun in it");
                bytes.extend_from_slice(&input[from..]);
            }
            State::Large(large) => {
                assert_eq!(large.granted_bytes, 0, "memory of a shard stays with it");
                bytes.extend_from_slice(&announced(large.announced));
                bytes.extend_from_slice(&large.chunk.expect("a chunk that is lent comes back first"));
            }
        }
        self.rest();
    }

    /// Memory that the connection allocated by itself.
    #[cfg(test)]
    pub(super) fn own_bytes(&self) -> usize {
        let large = match &self.state {
            State::Large(LargeFrame { granted_bytes: 0, chunk: Some(chunk), .. }) => chunk.capacity(),
            _ => 0,
        };
        large + self.input.as_ref().map_or(0, Chunk::capacity)
    }
}

impl LargeFrame {
    /// Copies what belongs to this frame from the front of `bytes`, and answers how much that is. What has arrived is
    /// always kept, grant or not: its amount is bounded by one receive.
    fn append(&mut self, bytes: &[u8]) -> usize {
        let chunk = self.chunk.as_mut().expect("pool bytes come while the chunk is here");
        let taken = bytes.len().min(self.announced - chunk.len());
        let needed = chunk.len() + taken;
        if needed > chunk.capacity() {
            let doubled = (2 * chunk.capacity()).min(FRAME_PROOF_BYTES).min(self.announced);
            let mut larger = Chunk::with_capacity(needed.max(doubled));
            larger.append(chunk);
            *chunk = larger;
        }
        chunk.append(&bytes[..taken]);
        taken
    }

    /// Its bytes once all of them are there, and how many were granted for them.
    fn take_if_whole(&mut self) -> Option<(Slice, usize)> {
        let chunk = self.chunk.take_if(|chunk| chunk.len() == self.announced)?;
        Some((chunk.freeze(), self.granted_bytes))
    }
}

fn checked_size(field: [u8; SIZE_FIELD_BYTES], frame_bytes_max: usize) -> Result<usize, CloseReason> {
    let size = i32::from_be_bytes(field);
    let announced = usize::try_from(size).map_err(|_| CloseReason::FrameNegative { announced: size })?;
    if announced > frame_bytes_max {
        return Err(CloseReason::FrameTooLarge { announced, limit: frame_bytes_max });
    }
    if announced < FRAME_BYTES_MIN {
        return Err(CloseReason::FrameTooShort { announced });
    }
    Ok(announced)
}
