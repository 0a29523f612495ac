//! Why a connection ends: one closed enum, with a sentence that an operator can act on.

use crate::wire::{DecodeError, EncodeError};
use std::time::Duration;

/// The reason why the broker ends a connection. Logged once, by the shell.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CloseReason {
    /// The ordinary end.
    #[error("the client closed the connection")]
    PeerClosed,
    /// The client left in the middle of a request.
    #[error("the client closed the connection with {arrived} of {announced} bytes of a request sent")]
    PeerClosedInFrame {
        /// Bytes of the frame that had arrived.
        arrived: usize,
        /// Bytes that its size field announced.
        announced: usize,
    },
    /// Often not Kafka's protocol at all, such as a TLS or HTTP client on a plain port.
    #[error(
        "a request announced {announced} bytes, over the limit of {limit} (socket.request.max.bytes); \
         if this is no Kafka client, or one that speaks TLS to a plain listener, correct its address"
    )]
    FrameTooLarge {
        /// The size field.
        announced: usize,
        /// The limit.
        limit: usize,
    },
    /// The size field is negative.
    #[error("a request announced the negative size {announced}; the client does not speak Kafka's protocol")]
    FrameNegative {
        /// The size field.
        announced: i32,
    },
    /// The frame cannot hold a request header.
    #[error(
        "a request announced {announced} bytes, too few for a request header; the client does not speak Kafka's protocol"
    )]
    FrameTooShort {
        /// The size field.
        announced: usize,
    },
    /// The header cannot be read.
    #[error("a request of key {api_key} version {api_version} has a malformed header: {error}")]
    HeaderMalformed {
        /// The key as sent.
        api_key: i16,
        /// The version as sent.
        api_version: i16,
        /// What is wrong with the rest.
        error: DecodeError,
    },
    /// The key is not served on this listener, or not at all.
    #[error("the client asked for API key {api_key}, which this listener does not serve")]
    ApiKeyNotServed {
        /// The key as sent.
        api_key: i16,
    },
    /// The version is not served.
    #[error("the client asked for {api_name} version {api_version}; this listener serves {min} to {max}")]
    ApiVersionNotServed {
        /// Kafka's name of the key.
        api_name: &'static str,
        /// The version as sent.
        api_version: i16,
        /// Lowest version served.
        min: i16,
        /// Highest version served.
        max: i16,
    },
    /// The body cannot be decoded.
    #[error("a {api_name} request of version {api_version} from client {client_id:?} is malformed: {error}")]
    BodyMalformed {
        /// Kafka's name of the key.
        api_name: &'static str,
        /// The version as sent.
        api_version: i16,
        /// Who sent it.
        client_id: String,
        /// What the decoder said.
        error: DecodeError,
    },
    /// A produce request with acks=0 failed, and closing is the only answer it has.
    #[error(
        "a Produce request with acks=0 failed ({0}); closing the connection tells the client to look for new leaders"
    )]
    ProduceWithoutAcksFailed(crate::error::ErrorCode),
    /// Nothing happened for the whole idle time.
    #[error("the connection was idle for {0:?} (connections.max.idle.ms)")]
    Idle(Duration),
    /// The response does not fit the protocol's 31 bits.
    #[error("the response to a {api_name} request is {bytes} bytes long, more than a frame can be")]
    ResponseTooLarge {
        /// Kafka's name of the key.
        api_name: &'static str,
        /// Bytes of the response.
        bytes: usize,
    },
    /// The response has a text that the protocol has no room for.
    #[error("the response cannot be written: {0}")]
    ResponseUnwritable(EncodeError),
    /// The shard had no memory for the frame.
    #[error(
        "no memory for a request of {announced} bytes came free in time; raise ringlog.memory or send smaller requests"
    )]
    MemoryExhausted {
        /// Bytes that the frame's size field announced.
        announced: usize,
    },
    /// The socket failed; the text is the operating system's.
    #[error("the socket failed: {0}")]
    SocketFailed(String),
    /// Others may come in, and this one was not used for longest.
    #[error("there are more connections than there may be (max.connections), and this one was unused for longest")]
    MadeRoom,
    /// The broker stops.
    #[error("the broker is shutting down")]
    ShuttingDown,
}
