use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use quinn::{ReadError, RecvStream, SendStream, StoppedError, VarInt, WriteError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::failure;

/// The one stream of a connection. Dropping it closes the connection.
pub(super) struct QuicStream {
    connection: quinn::Connection,
    send: SendStream,
    receive: RecvStream,
    end: Sending,
}

/// How far the sending direction is from its end.
enum Sending {
    Open,
    /// Ended, and waiting for the peer to have all of it.
    Ending(Pin<Box<dyn Future<Output = Result<Option<VarInt>, StoppedError>> + Send>>),
    Received,
}

impl QuicStream {
    pub(super) fn new(connection: quinn::Connection, send: SendStream, receive: RecvStream) -> Self {
        Self { connection, send, receive, end: Sending::Open }
    }
}

impl AsyncRead for QuicStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.get_mut().receive.poll_read_buf(cx, buffer)) {
            Ok(()) => Poll::Ready(Ok(())),
            Err(ReadError::ConnectionLost(error)) => {
                Poll::Ready(failure::of_stream(error).map_or(Ok(()), Err))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl AsyncWrite for QuicStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.get_mut().send).poll_write(cx, bytes));
        Poll::Ready(written.map_err(|error| match error {
            WriteError::ConnectionLost(error) => {
                failure::of_stream(error).unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())
            }
            error => error.into(),
        }))
    }

    /// Nothing is held back, so there is nothing to do.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Ends the sending direction and waits until the peer has everything: closing the connection, which comes next, would
    /// throw away what is under way.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { send, end, .. } = self.get_mut();
        if matches!(end, Sending::Open) {
            // It fails if the peer has stopped it, which is an end as well.
            let _ = send.finish();
            *end = Sending::Ending(Box::pin(send.stopped()));
        }
        let Sending::Ending(received) = end else { return Poll::Ready(Ok(())) };
        let received = ready!(received.as_mut().poll(cx));
        *end = Sending::Received;
        match received {
            Ok(None) => Poll::Ready(Ok(())),
            Ok(Some(_)) => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Err(StoppedError::ConnectionLost(error)) => {
                Poll::Ready(failure::of_stream(error).map_or(Ok(()), Err))
            }
            Err(error) => Poll::Ready(Err(error.into())),
        }
    }
}

impl Drop for QuicStream {
    fn drop(&mut self) {
        let (code, reason): (_, &[u8]) = match self.end {
            Sending::Received => (failure::DONE, b""),
            Sending::Open | Sending::Ending(_) => (failure::ABANDONED, b"abandoned"),
        };
        self.connection.close(code.into(), reason);
    }
}

impl fmt::Debug for QuicStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuicStream").field("connection", &self.connection).finish_non_exhaustive()
    }
}
