//! A connection that speaks one request at a time.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use ringlog_net::messages::{Message as _, Request};
use ringlog_net::wire::{Reader, Writer};

/// An answer that takes longer will not come.
const ANSWER_MAX: Duration = Duration::from_mins(1);
/// More than any answer here.
const FRAME_BYTES_MAX: usize = 64 << 20;

pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).expect("the broker accepts");
        stream.set_read_timeout(Some(ANSWER_MAX)).expect("a timeout that is not zero");
        stream.set_nodelay(true).expect("a socket takes the option");
        Self { stream }
    }

    /// Sends a request of a version, and reads its answer.
    pub(crate) fn ask<R: Request>(&mut self, version: i16, request: &R) -> R::Response {
        let mut w = Writer::new();
        w.i32(0);
        w.i16(R::KEY.code());
        w.i16(version);
        w.i32(1);
        // A client without a name.
        w.i16(-1);
        if R::KEY.request_header_version(version) == 2 {
            w.raw(&[0]);
        }
        request.encode(&mut w, version).expect("a request that the version can say");
        let length = i32::try_from(w.len() - 4).expect("a request is small");
        w.patch_i32(0, length);
        self.stream.write_all(w.as_slice()).expect("the broker reads");
        let mut length = [0; 4];
        self.stream.read_exact(&mut length).expect("an answer");
        let length = usize::try_from(i32::from_be_bytes(length)).expect("a length is not negative");
        assert!(length <= FRAME_BYTES_MAX, "an answer of {length} bytes");
        let mut frame = vec![0; length];
        self.stream.read_exact(&mut frame).expect("the whole frame");
        let mut reader = Reader::new(&frame[4..]);
        if R::KEY.response_header_version(version) == 1 {
            reader.tagged_fields(|_, _| Ok(false)).expect("tagged fields of the header");
        }
        R::Response::decode(&mut reader, version).unwrap_or_else(|error| panic!("{} {version}: {error}", R::KEY))
    }
}
