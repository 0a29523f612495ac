//! A socket of the reactor, as hyper reads and writes one.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};
use ringlog_buffer::Slice;
use ringlog_reactor::{Received, Socket};

/// Bytes that one send takes.
const SEND_BYTES_MAX: usize = 64 * 1024;

type Pending<T> = Pin<Box<dyn Future<Output = io::Result<T>>>>;

/// Reads ahead by one receive, and writes behind by one send.
pub(super) struct HttpStream {
    socket: Socket,
    receiving: Option<Pending<Received>>,
    /// What has arrived, and how much of it was taken.
    received: Option<(Received, usize)>,
    sending: Option<Pending<()>>,
}

impl HttpStream {
    pub(super) fn new(socket: Socket) -> Self {
        Self { socket, receiving: None, received: None, sending: None }
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sending) = &mut self.sending else { return Poll::Ready(Ok(())) };
        let sent = ready!(sending.as_mut().poll(context));
        self.sending = None;
        Poll::Ready(sent)
    }
}

impl Read for HttpStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if let Some((received, taken)) = &mut self.received {
                let bytes = buffer.remaining().min(received.len() - *taken);
                buffer.put_slice(&received[*taken..*taken + bytes]);
                *taken += bytes;
                if *taken == received.len() {
                    self.received = None;
                }
                return Poll::Ready(Ok(()));
            }
            let socket = self.socket.clone();
            let receiving = self.receiving.get_or_insert_with(|| Box::pin(async move { socket.recv().await }));
            let received = ready!(receiving.as_mut().poll(context));
            self.receiving = None;
            let received = received?;
            if received.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.received = Some((received, 0));
        }
    }
}

impl Write for HttpStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_sent(context))?;
        let bytes = &bytes[..bytes.len().min(SEND_BYTES_MAX)];
        if !bytes.is_empty() {
            let (socket, slice) = (self.socket.clone(), Slice::from(bytes));
            self.sending = Some(Box::pin(async move { socket.send(vec![slice]).await }));
            // It is begun; who writes or flushes next waits for its end.
            if let Poll::Ready(Err(error)) = self.poll_sent(context) {
                return Poll::Ready(Err(error));
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_sent(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_sent(context))?;
        let socket = self.socket.clone();
        self.sending = Some(Box::pin(async move { socket.shutdown().await }));
        self.poll_sent(context)
    }
}

impl fmt::Debug for HttpStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}
