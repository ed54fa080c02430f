use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::scratch::{give_write_spare, take_write_spare};

/// Payloads from this size on are sent from where they are; below it a copy is cheaper.
pub const CHAIN_BYTES_MIN: usize = 16 * 1024;

/// Slices per system call.
const SLICES_MAX: usize = 32;

/// Collects encoded packets and writes them with as few system calls as possible.
///
/// Small packets are appended to one buffer. Large payloads are chained: they keep their place between the appended bytes
/// without being copied. When everything has been written, no buffer is held; when the stream blocks, the buffer is cut
/// down to about what is left.
///
/// ```
/// use mqtt_transport::FrameWriter;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> std::io::Result<()> {
/// let mut writer = FrameWriter::new();
/// writer.buffer().extend_from_slice(&[0xC0, 0]); // PINGREQ
/// writer.buffer().extend_from_slice(&[0xE0, 0]); // DISCONNECT
/// let mut stream = Vec::new();
/// writer.flush(&mut stream).await?;
/// assert_eq!(stream, [0xC0, 0, 0xE0, 0]);
/// # Ok(()) }
/// ```
#[derive(Debug, Default)]
pub struct FrameWriter {
    /// Appended bytes; those before `written` are gone already.
    buffer: Vec<u8>,
    written: usize,
    chained: VecDeque<Chained>,
    chained_bytes: usize,
    unflushed: bool,
    /// Bytes that the stream has accepted so far.
    accepted: u64,
    /// Bytes from here on, counted from the first, must not leave yet.
    held_from: Option<core::num::NonZeroU64>,
}

/// A payload that goes out after the first `position` bytes of the buffer.
#[derive(Debug)]
struct Chained {
    position: usize,
    payload: Bytes,
}

impl FrameWriter {
    /// A writer that holds nothing.
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            written: 0,
            chained: VecDeque::new(),
            chained_bytes: 0,
            unflushed: false,
            accepted: 0,
            held_from: None,
        }
    }

    /// Where to append encoded packets. Only append: what is there already belongs to the writer.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = take_write_spare();
        }
        &mut self.buffer
    }

    /// Puts a payload behind everything appended so far; one below [`CHAIN_BYTES_MIN`] is copied, a larger one is shared.
    pub fn chain(&mut self, payload: Bytes) {
        if payload.len() < CHAIN_BYTES_MIN {
            self.buffer().extend_from_slice(&payload);
        } else {
            self.chained_bytes += payload.len();
            self.chained.push_back(Chained { position: self.buffer.len(), payload });
        }
    }

    /// Bytes accepted here and not yet by the stream. The measure for back pressure.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len() - self.written + self.chained_bytes
    }

    /// Bytes that were ever put in here: the place of the next one.
    pub fn position(&self) -> u64 {
        self.accepted + self.pending_bytes() as u64
    }

    /// Lets nothing leave from this place on; `None` lets everything leave. Places are those of
    /// [`position`](Self::position).
    pub fn hold(&mut self, from: Option<u64>) {
        // One more, so that the beginning is a place as well.
        self.held_from = from.map(|from| core::num::NonZeroU64::MIN.saturating_add(from));
    }

    /// Bytes that may leave now.
    fn sendable_bytes(&self) -> usize {
        let pending = self.pending_bytes();
        let Some(from) = self.held_from else { return pending };
        let allowed = (from.get() - 1).saturating_sub(self.accepted);
        pending.min(usize::try_from(allowed).unwrap_or(usize::MAX))
    }

    /// Forgets what is held.
    pub fn discard_held(&mut self) {
        let sendable = self.sendable_bytes();
        if sendable < self.pending_bytes() && self.chained.is_empty() {
            self.buffer.truncate(self.written + sendable);
        } else if sendable < self.pending_bytes() {
            *self = Self { accepted: self.accepted, ..Self::new() };
        }
        self.held_from = None;
    }

    /// Whether the stream has accepted everything.
    pub fn is_empty(&self) -> bool {
        self.pending_bytes() == 0
    }

    /// Writes until everything has been accepted by the stream or it blocks. Does not flush.
    ///
    /// # Errors
    /// Those of the stream, and [`io::ErrorKind::WriteZero`] when it accepts nothing.
    pub fn poll_write_all<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin + ?Sized,
    {
        while self.sendable_bytes() > 0 {
            match self.poll_write_once(cx, stream)? {
                Poll::Ready(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(accepted) => self.advance(accepted),
                Poll::Pending => {
                    self.cut_down();
                    return Poll::Pending;
                }
            }
        }
        if self.is_empty() {
            self.release();
        } else {
            self.cut_down();
        }
        Poll::Ready(Ok(()))
    }

    /// As [`FrameWriter::poll_write_all`], then flushes a stream that has a buffer of its own, such as WebSocket.
    ///
    /// Costs nothing when nothing was written since the last flush.
    ///
    /// # Errors
    /// Those of [`FrameWriter::poll_write_all`] and of the stream's flush.
    pub fn poll_flush<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin + ?Sized,
    {
        ready!(self.poll_write_all(cx, stream))?;
        if self.unflushed {
            ready!(Pin::new(stream).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Waits until everything has been written and flushed.
    ///
    /// # Errors
    /// Those of [`FrameWriter::poll_flush`].
    pub async fn flush<S>(&mut self, stream: &mut S) -> io::Result<()>
    where
        S: AsyncWrite + Unpin + ?Sized,
    {
        poll_fn(|cx| self.poll_flush(cx, stream)).await
    }

    fn poll_write_once<S>(&mut self, cx: &mut Context<'_>, stream: &mut S) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin + ?Sized,
    {
        self.unflushed = true;
        let sendable = self.sendable_bytes();
        if self.chained.is_empty() {
            return Pin::new(stream).poll_write(cx, &self.buffer[self.written..][..sendable]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let count = self.fill(sendable, &mut slices);
        if stream.is_write_vectored() {
            Pin::new(stream).poll_write_vectored(cx, &slices[..count])
        } else {
            Pin::new(stream).poll_write(cx, &slices[0])
        }
    }

    /// The next bytes to write, in order; as many slices as fit.
    fn fill<'a>(&'a self, mut bytes_max: usize, slices: &mut [IoSlice<'a>]) -> usize {
        let mut count = 0;
        let mut put = |bytes: &'a [u8]| {
            let bytes = &bytes[..bytes.len().min(bytes_max)];
            bytes_max -= bytes.len();
            if !bytes.is_empty() && count < slices.len() {
                slices[count] = IoSlice::new(bytes);
                count += 1;
            }
        };
        let mut from = self.written;
        for link in self.chained.iter().take(SLICES_MAX) {
            put(&self.buffer[from..link.position]);
            put(&link.payload);
            from = link.position;
        }
        if self.chained.len() < SLICES_MAX {
            put(&self.buffer[from..]);
        }
        count
    }

    fn advance(&mut self, mut accepted: usize) {
        self.accepted += accepted as u64;
        loop {
            let stop = self.chained.front().map_or(self.buffer.len(), |link| link.position);
            let step = accepted.min(stop - self.written);
            self.written += step;
            accepted -= step;
            if accepted == 0 {
                return;
            }
            accepted -= self.advance_payload(accepted);
        }
    }

    /// Takes up to `accepted` bytes off the first payload and returns how many.
    fn advance_payload(&mut self, accepted: usize) -> usize {
        let link = self.chained.front_mut().expect("a stream accepts no more than it was given");
        let step = accepted.min(link.payload.len());
        link.payload.advance(step);
        self.chained_bytes -= step;
        if link.payload.is_empty() {
            self.chained.pop_front();
        }
        step
    }

    /// The stream blocks: forget what is written, and do not sit on a large buffer for the sake of a few bytes.
    fn cut_down(&mut self) {
        let left = self.buffer.len() - self.written;
        if self.buffer.capacity() > 4 * left.max(256) {
            let rest = self.buffer[self.written..].to_vec();
            give_write_spare(std::mem::replace(&mut self.buffer, rest));
        } else if self.written > left {
            self.buffer.drain(..self.written);
        } else {
            return;
        }
        for link in &mut self.chained {
            link.position -= self.written;
        }
        self.written = 0;
    }

    fn release(&mut self) {
        if self.buffer.capacity() > 0 {
            give_write_spare(std::mem::take(&mut self.buffer));
        }
        if self.chained.capacity() > 0 {
            self.chained = VecDeque::new();
        }
        self.written = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Accepts a number of bytes and then blocks.
    struct Accepts(usize);

    impl AsyncWrite for Accepts {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let step = self.0.min(bytes.len());
            self.0 -= step;
            if step == 0 { Poll::Pending } else { Poll::Ready(Ok(step)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn write(writer: &mut FrameWriter, accepted: usize) -> Poll<io::Result<()>> {
        writer.poll_write_all(&mut Context::from_waker(Waker::noop()), &mut Accepts(accepted))
    }

    #[test]
    fn an_idle_writer_holds_no_buffer() {
        let mut writer = FrameWriter::new();
        writer.buffer().extend_from_slice(&[1; 5000]);
        writer.chain(Bytes::from(vec![2; CHAIN_BYTES_MIN]));
        assert!(write(&mut writer, usize::MAX).is_ready());
        assert_eq!((writer.buffer.capacity(), writer.chained.capacity()), (0, 0));
    }

    #[test]
    fn the_next_burst_of_the_thread_reuses_the_buffer() {
        let mut first = FrameWriter::new();
        first.buffer().extend_from_slice(&[1; 5000]);
        assert!(write(&mut first, usize::MAX).is_ready());
        assert!(FrameWriter::new().buffer().capacity() >= 5000);
    }

    #[test]
    fn a_blocked_writer_does_not_sit_on_a_large_buffer() {
        let mut writer = FrameWriter::new();
        writer.buffer().extend_from_slice(&[1; 100_000]);
        assert!(write(&mut writer, 99_900).is_pending());
        assert_eq!(writer.pending_bytes(), 100);
        assert!(writer.buffer.capacity() <= 1024, "{}", writer.buffer.capacity());
    }

    #[test]
    fn a_writer_that_never_becomes_empty_does_not_keep_what_is_written() {
        let mut writer = FrameWriter::new();
        writer.buffer().extend_from_slice(&[1; 3000]);
        for _ in 0..1000 {
            writer.buffer().extend_from_slice(&[1; 3000]);
            assert!(write(&mut writer, 3000).is_pending());
        }
        assert_eq!(writer.pending_bytes(), 3000);
        assert!(writer.buffer.capacity() <= 16 * 1024, "{}", writer.buffer.capacity());
    }
}
