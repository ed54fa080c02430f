use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::UnbufferedServerConnection;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::engine::{Engine, RECORD_BYTES};
use crate::connection::Stream;

/// The server's end of a TLS connection, which has no buffers while it is idle.
///
/// Records are read into one half of the caller's buffer and opened into the other. Only the beginning of a record whose
/// rest has yet to come is kept, and what a caller with a small buffer has no room for. Data is sealed into a buffer of
/// the thread, as many records as a write has, and kept only as far as the socket does not take it.
pub(super) struct TlsStream<S> {
    io: S,
    engine: Engine,
    /// Sealed bytes that cannot be opened yet.
    sealed: Vec<u8>,
    /// Opened bytes that nobody has taken yet, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    closing: bool,
}

/// A record with all that can be around it.
const SEALED_BYTES_MAX: usize = RECORD_BYTES + 2048 + 5;
/// A caller's buffer of this size has room for a record, sealed and opened, and for what was left over.
const IN_PLACE_BYTES_MIN: usize = 2 * (SEALED_BYTES_MAX + 4096);
/// One read into a buffer of our own.
const APART_BYTES: usize = 4096;
/// Sealed at a time.
const WRITE_BYTES_MAX: usize = 4 * RECORD_BYTES;
/// The first byte of a record that belongs to a handshake, and the bytes in front of a record.
const HANDSHAKE: u8 = 22;
const HEADER_BYTES: usize = 5;

/// Waits for the first record of a client, or for what cannot become one.
pub(super) async fn first_record(io: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut first = Vec::new();
    loop {
        if io.take(APART_BYTES as u64).read_buf(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let &[kind, _, _, high, low, ..] = &*first else {
            if first[0] == HANDSHAKE {
                continue;
            }
            return Ok(first);
        };
        let length = usize::from(u16::from_be_bytes([high, low]));
        if kind != HANDSHAKE || length > SEALED_BYTES_MAX || first.len() >= HEADER_BYTES + length {
            return Ok(first);
        }
    }
}

impl<S: Stream> TlsStream<S> {
    /// Shakes hands with a client whose first bytes have come already.
    pub(super) async fn accept(io: S, config: Arc<ServerConfig>, first: Vec<u8>) -> io::Result<Self> {
        let tls = UnbufferedServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream =
            Self { io, engine: Engine::new(tls), sealed: first, plain: Vec::new(), taken: 0, closing: false };
        poll_fn(|cx| stream.poll_handshake(cx)).await?;
        Ok(stream)
    }

    pub(super) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.engine.tls.peer_certificates()
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.open_apart(cx)?;
            ready!(self.poll_send(cx))?;
            if !self.engine.tls.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// One read behind what is sealed.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let before = self.sealed.len();
        self.sealed.resize(before + APART_BYTES, 0);
        let mut buffer = ReadBuf::new(&mut self.sealed[before..]);
        let polled = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let read = buffer.filled().len();
        self.sealed.truncate(before + read);
        if before + read == 0 {
            self.sealed = Vec::new();
        }
        ready!(polled)?;
        if read == 0 { Poll::Ready(Err(cut_off())) } else { Poll::Ready(Ok(())) }
    }

    /// Opens what is sealed into our own buffer.
    fn open_apart(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Self { engine, sealed, plain, .. } = self;
        let (used, opened) = engine.open(sealed, &mut |bytes| plain.extend_from_slice(bytes));
        self.forget(used);
        self.check(cx, opened)
    }

    /// Removes what is done with.
    fn forget(&mut self, used: usize) {
        if used == self.sealed.len() {
            self.sealed = Vec::new();
        } else {
            self.sealed.drain(..used);
        }
    }

    /// After a failure the peer is told, as far as the socket takes it at once.
    fn check(&mut self, cx: &mut Context<'_>, opened: Result<(), rustls::Error>) -> io::Result<()> {
        opened.map_err(|error| {
            let _ = self.poll_send(cx);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// One read into the second half of the buffer, opened into the first.
    fn poll_in_place(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buffer.initialize_unfilled();
        let (plain, sealed) = room.split_at_mut(room.len() / 2);
        let before = self.sealed.len();
        sealed[..before].copy_from_slice(&self.sealed);
        let mut into = ReadBuf::new(&mut sealed[before..]);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut into))?;
        let read = into.filled().len();
        if read == 0 {
            return Poll::Ready(Err(cut_off()));
        }
        let sealed = &mut sealed[..before + read];
        let mut opened_bytes = 0;
        let (used, opened) = self.engine.open(sealed, &mut |bytes| {
            // A record holds less than it takes, so there is room.
            plain[opened_bytes..opened_bytes + bytes.len()].copy_from_slice(bytes);
            opened_bytes += bytes.len();
        });
        self.sealed.clear();
        self.sealed.extend_from_slice(&sealed[used..]);
        if self.sealed.is_empty() {
            self.sealed = Vec::new();
        }
        buffer.advance(opened_bytes);
        Poll::Ready(self.check(cx, opened))
    }

    /// Hands over what was opened into our own buffer.
    fn hand_over(&mut self, buffer: &mut ReadBuf<'_>) {
        let step = buffer.remaining().min(self.plain.len() - self.taken);
        buffer.put_slice(&self.plain[self.taken..self.taken + step]);
        self.taken += step;
        if self.taken == self.plain.len() {
            (self.plain, self.taken) = (Vec::new(), 0);
        }
    }

    /// Writes what is on its way out. Ready: nothing is left.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.engine.out.rest().is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, self.engine.out.rest()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                sent => self.engine.out.advance(sent),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn seal(&mut self, data: &[u8]) -> io::Result<()> {
        let Self { engine, sealed, .. } = self;
        let (used, done) = engine.seal(data, sealed);
        self.forget(used);
        done.map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
    }
}

impl<S: Stream> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        while buffer.filled().len() == before && buffer.remaining() > 0 {
            // An answer to a new key. If the socket blocks, it goes out later.
            let _ = this.poll_send(cx)?;
            if this.taken < this.plain.len() {
                this.hand_over(buffer);
            } else if this.engine.peer_closed {
                break;
            } else if buffer.remaining() >= IN_PLACE_BYTES_MIN && this.sealed.len() <= SEALED_BYTES_MAX {
                ready!(this.poll_in_place(cx, buffer))?;
            } else {
                ready!(this.poll_fill(cx))?;
                this.open_apart(cx)?;
            }
        }
        // Nobody may come back for it before the peer has its answer.
        let _ = this.poll_send(cx)?;
        Poll::Ready(Ok(()))
    }
}

impl<S: Stream> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        let data = &bytes[..bytes.len().min(WRITE_BYTES_MAX)];
        if !data.is_empty() {
            this.seal(data)?;
            // It is accepted; what the socket does not take now goes out with the next write or flush.
            let _ = this.poll_send(cx)?;
        }
        Poll::Ready(Ok(data.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut filled = slices.iter().filter(|slice| !slice.is_empty());
        match (filled.next(), filled.next()) {
            (None, _) => Poll::Ready(Ok(0)),
            (Some(only), None) => self.poll_write(cx, only),
            // One record for all of them costs less than one for each.
            (Some(_), Some(_)) => {
                let mut gathered =
                    Vec::with_capacity(WRITE_BYTES_MAX.min(slices.iter().map(|s| s.len()).sum()));
                for slice in slices {
                    let room = WRITE_BYTES_MAX - gathered.len();
                    gathered.extend_from_slice(&slice[..slice.len().min(room)]);
                }
                self.poll_write(cx, &gathered)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.closing {
            this.closing = true;
            let Self { engine, sealed, .. } = this;
            // After a failure the alert has been the last word.
            let (used, _) = engine.close(sealed);
            this.forget(used);
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.io).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for TlsStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStream").field("closing", &self.closing).finish_non_exhaustive()
    }
}

/// The peer went away without saying that it has said everything.
fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without a close_notify of TLS")
}

#[cfg(test)]
#[path = "stream_tests.rs"]
mod tests;
