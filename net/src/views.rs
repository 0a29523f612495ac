//! The data path's own way of reading and writing `Produce` and `Fetch`, beside the generated structures.
//!
//! A request view borrows from the frame: it is checked as a whole once, and then iterated without errors and without
//! allocations; records are ranges of the frame, so that a slice of it can be sent on. A response writer appends
//! partitions as they come and lets slices of shared memory follow, uncopied. Both agree with the generated code byte for
//! byte, and tests say so.

mod fetch;
mod fetch_response;
mod produce;
mod produce_response;
#[cfg(test)]
mod tests;

pub use fetch::{FetchPartition, FetchTopic, FetchView, ForgottenTopic, Isolation, ReplicaState};
pub use fetch_response::{FetchResponseHead, FetchResponseWriter};
pub use produce::{ProducePartition, ProduceTopic, ProduceView};
pub use produce_response::ProduceResponseWriter;

use crate::wire::{DecodeError, EncodeError, Reader, Writer};
use ringlog_storage::types::{PartitionIndex, Uuid};
use std::marker::PhantomData;

/// What a request or response calls a topic: by name up to version 12 of both messages, by id from 13 on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TopicRef<'a> {
    /// Its name, unchecked.
    Name(&'a str),
    /// Its id (KIP-516).
    Id(Uuid),
}

/// The first version of Produce and of Fetch that names topics by id.
pub const TOPIC_ID_VERSION_MIN: i16 = 13;

impl<'a> TopicRef<'a> {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError> {
        if layout.version >= TOPIC_ID_VERSION_MIN {
            return r.uuid().map(Self::Id);
        }
        Ok(Self::Name(r.opt_str(layout.flexible, false)?.ok_or(DecodeError::Null)?))
    }

    /// Panics if the version calls topics otherwise: responses repeat what their request said.
    fn encode(self, w: &mut Writer, layout: Layout) -> Result<(), EncodeError> {
        match self {
            Self::Name(name) => {
                assert!(layout.version < TOPIC_ID_VERSION_MIN, "version {} has topic ids", layout.version);
                w.string(name, layout.flexible)
            }
            Self::Id(id) => {
                assert!(layout.version >= TOPIC_ID_VERSION_MIN, "version {} has topic names", layout.version);
                w.uuid(id);
                Ok(())
            }
        }
    }
}

/// How a version lays out its fields.
#[derive(Clone, Copy, Debug)]
struct Layout {
    version: i16,
    flexible: bool,
    /// Length of the body, from which positions in it are counted.
    body_bytes: usize,
}

impl Layout {
    fn position(self, r: &Reader<'_>) -> usize {
        self.body_bytes - r.remaining()
    }

    fn skip_tagged_fields(self, r: &mut Reader<'_>) -> Result<(), DecodeError> {
        if self.flexible { r.tagged_fields(|_, _| Ok(false)) } else { Ok(()) }
    }
}

/// An element of an array in a request.
trait Element<'a>: Sized {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError>;
}

impl Element<'_> for PartitionIndex {
    fn decode(r: &mut Reader<'_>, _: Layout) -> Result<Self, DecodeError> {
        r.i32().map(Self::new)
    }
}

/// An array of a request that has been checked and is decoded again as it is iterated.
#[derive(Debug)]
pub struct Array<'a, T> {
    /// At the first element.
    start: Reader<'a>,
    count: usize,
    layout: Layout,
    element: PhantomData<T>,
}

impl<T> Clone for Array<'_, T> {
    fn clone(&self) -> Self {
        Self { start: self.start.clone(), element: PhantomData, ..*self }
    }
}

impl<'a, T> Array<'a, T> {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    fn empty(r: &Reader<'a>, layout: Layout) -> Self {
        Self { start: r.clone(), count: 0, layout, element: PhantomData }
    }
}

#[expect(private_bounds, reason = "which elements there are is this module's affair")]
impl<'a, T: Element<'a>> Array<'a, T> {
    fn decode(r: &mut Reader<'a>, layout: Layout) -> Result<Self, DecodeError> {
        let count = r.array_length(layout.flexible)?.ok_or(DecodeError::Null)?;
        let start = r.clone();
        for _ in 0..count {
            T::decode(r, layout)?;
        }
        Ok(Self { start, count, layout, element: PhantomData })
    }

    /// The elements, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = T> + use<'a, T> {
        let (mut r, layout) = (self.start.clone(), self.layout);
        (0..self.count).map(move |_| T::decode(&mut r, layout).expect("the same bytes were decoded before"))
    }
}

/// Checks, while a response is written, that as many elements come as its arrays announced.
#[derive(Debug, Default)]
struct Announced {
    topics_left: usize,
    partitions_left: usize,
}

impl Announced {
    fn topic(&mut self, partition_count: usize) {
        assert!(self.partitions_left == 0, "{} partitions are missing before the next topic", self.partitions_left);
        self.topics_left = self.topics_left.checked_sub(1).expect("no more topics than announced");
        self.partitions_left = partition_count;
    }

    fn partition(&mut self) {
        self.partitions_left = self.partitions_left.checked_sub(1).expect("no more partitions than announced");
    }

    fn finish(&self) {
        assert!(self.topics_left == 0 && self.partitions_left == 0, "{self:?}: announced, and not written");
    }
}
