use std::fmt;
use std::future::poll_fn;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BufMut;
use mqtt_codec::{DecodeError, Framing, frame};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::scratch::{SCRATCH_BYTES, with_read_scratch};

/// Cuts the bytes of a stream into complete MQTT control packets.
///
/// While nothing is under way it holds no buffer: a read goes into a buffer of the thread, complete frames are handed out
/// as slices of it, and only a partial rest is copied here. A frame larger than the thread's 64 KiB is collected here; the
/// memory for it grows with what has arrived, at most to the double of it.
///
/// ```
/// use mqtt_transport::FrameReader;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), mqtt_transport::ReadError> {
/// // A PINGREQ and the beginning of another packet; packets may have 1,024 bytes.
/// let mut stream: &[u8] = &[0xC0, 0, 0x30];
/// let (mut reader, mut frame) = (FrameReader::new(1_024), Vec::new());
/// reader.next_frame(&mut stream, &mut frame).await?;
/// assert_eq!(frame, [0xC0, 0]);
/// assert!(reader.next_frame(&mut stream, &mut frame).await.is_err(), "the stream ends within a packet");
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub struct FrameReader {
    /// Bytes not handed out yet begin at `start`.
    rest: Vec<u8>,
    start: usize,
    frame_bytes_max: u32,
}

/// What one call of [`FrameReader::poll_burst`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Burst {
    /// Frames handed out.
    pub frames: usize,
    /// Bytes taken from the stream; 0 when everything came from the buffer.
    pub bytes: usize,
    /// The next call will hand out a frame, or report a malformed one, without reading.
    pub more_buffered: bool,
}

/// Why no more frames come.
#[derive(Debug)]
pub enum ReadError {
    /// The peer ended the stream between two frames.
    Closed,
    /// The peer ended the stream within a frame.
    ClosedMidFrame,
    /// The next bytes are no frame, or one larger than allowed.
    Malformed(DecodeError),
    /// The stream failed.
    Io(io::Error),
}

impl FrameReader {
    /// A reader that refuses frames above `frame_bytes_max` bytes, fixed header included, as soon as their length is known.
    pub const fn new(frame_bytes_max: u32) -> Self {
        Self { rest: Vec::new(), start: 0, frame_bytes_max }
    }

    /// Changes the limit for all frames not handed out yet, for example once CONNECT has been seen.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u32) {
        self.frame_bytes_max = frame_bytes_max;
    }

    /// Bytes held here: a partial frame, or frames left behind by an early break.
    pub fn buffered(&self) -> usize {
        self.rest.len() - self.start
    }

    /// Hands complete frames to `on_frame` until the bytes at hand are used up or it breaks.
    ///
    /// At most one read is made, and none while a complete frame is buffered. [`Poll::Pending`] means that the stream will
    /// wake the task. A burst without frames is possible (only a part of one arrived); no wake-up is registered then, so call
    /// again. An error is never mixed with frames: the frames before a malformed one make a burst of their own.
    /// Cancel safe: all state is in `self`.
    ///
    /// # Errors
    /// [`ReadError`]; calling again after [`ReadError::Malformed`] repeats it.
    pub fn poll_burst<S>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        on_frame: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Poll<Result<Burst, ReadError>>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        let mut missing_bytes = 0;
        if self.buffered() > 0 {
            let scan = self.scan_rest(on_frame);
            match scan.end {
                End::Incomplete { missing_bytes: missing } if scan.frames == 0 => missing_bytes = missing,
                _ => return Poll::Ready(self.conclude(scan, 0)),
            }
        }
        if self.buffered() + missing_bytes <= SCRATCH_BYTES {
            self.poll_through_scratch(cx, stream, on_frame)
        } else {
            self.poll_into_rest(cx, stream, missing_bytes, on_frame)
        }
    }

    /// Waits for one frame and copies it into `frame`, replacing what was there; later bytes stay buffered.
    ///
    /// For handshakes, where packets come one at a time. Cancel safe.
    ///
    /// # Errors
    /// [`ReadError`], as [`FrameReader::poll_burst`].
    pub async fn next_frame<S>(&mut self, stream: &mut S, frame: &mut Vec<u8>) -> Result<(), ReadError>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        let mut copy = |bytes: &[u8]| {
            frame.clear();
            frame.extend_from_slice(bytes);
            ControlFlow::Break(())
        };
        while poll_fn(|cx| self.poll_burst(cx, stream, &mut copy)).await?.frames == 0 {}
        Ok(())
    }

    /// Reads behind the place where the rest belongs, so that both are contiguous; the rest is copied only when bytes came.
    fn poll_through_scratch<S>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        on_frame: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Poll<Result<Burst, ReadError>>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        with_read_scratch(|scratch| {
            let held = self.buffered();
            let mut buffer = ReadBuf::new(&mut scratch[held..]);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer)).map_err(ReadError::Io)?;
            let read = buffer.filled().len();
            if read == 0 {
                return Poll::Ready(Err(self.closed()));
            }
            scratch[..held].copy_from_slice(&self.rest[self.start..]);
            let bytes = &scratch[..held + read];
            let scan = scan(bytes, self.frame_bytes_max, on_frame);
            self.keep(&bytes[scan.used..]);
            Poll::Ready(self.conclude(scan, read))
        })
    }

    /// Reads a frame that does not fit the scratch into `rest`, never beyond that frame's end.
    fn poll_into_rest<S>(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut S,
        missing_bytes: usize,
        on_frame: &mut dyn FnMut(&[u8]) -> ControlFlow<()>,
    ) -> Poll<Result<Burst, ReadError>>
    where
        S: AsyncRead + Unpin + ?Sized,
    {
        self.make_room(missing_bytes);
        let room = missing_bytes.min(self.rest.capacity() - self.rest.len());
        let mut limited = (&mut self.rest).limit(room);
        // The future keeps no state between polls, so it can be made anew each time.
        let read = ready!(pin!(stream.read_buf(&mut limited)).poll(cx)).map_err(ReadError::Io)?;
        if read == 0 {
            return Poll::Ready(Err(self.closed()));
        }
        let scan = self.scan_rest(on_frame);
        Poll::Ready(self.conclude(scan, read))
    }

    /// Grows `rest` when it is full, by no more than it holds already or 64 KiB.
    fn make_room(&mut self, missing_bytes: usize) {
        self.rest.drain(..self.start);
        self.start = 0;
        if self.rest.len() == self.rest.capacity() {
            self.rest.reserve_exact(missing_bytes.min(self.rest.len().max(SCRATCH_BYTES)));
        }
    }

    fn scan_rest(&mut self, on_frame: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Scan {
        let scan = scan(&self.rest[self.start..], self.frame_bytes_max, on_frame);
        self.start += scan.used;
        if self.start == self.rest.len() {
            self.keep(&[]);
        }
        scan
    }

    /// Replaces the rest; gives memory back when there is none or the buffer is far too large for it.
    fn keep(&mut self, tail: &[u8]) {
        self.start = 0;
        if tail.is_empty() || self.rest.capacity() > 4 * tail.len().max(256) {
            self.rest = Vec::new();
        }
        self.rest.clear();
        self.rest.extend_from_slice(tail);
    }

    fn conclude(&self, scan: Scan, bytes: usize) -> Result<Burst, ReadError> {
        let more_buffered = match scan.end {
            End::Malformed(error) if scan.frames == 0 => return Err(ReadError::Malformed(error)),
            End::Malformed(_) => true,
            End::Incomplete { .. } => false,
            End::Stopped => self.has_verdict(),
        };
        Ok(Burst { frames: scan.frames, bytes, more_buffered })
    }

    fn has_verdict(&self) -> bool {
        let rest = &self.rest[self.start..];
        !rest.is_empty() && !matches!(frame(rest, self.frame_bytes_max), Ok(Framing::Incomplete { .. }))
    }

    fn closed(&self) -> ReadError {
        if self.buffered() == 0 { ReadError::Closed } else { ReadError::ClosedMidFrame }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the peer closed the connection"),
            Self::ClosedMidFrame => f.write_str("the peer closed the connection within a packet"),
            Self::Malformed(error) => error.fmt(f),
            Self::Io(error) => write!(f, "reading failed: {error}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            Self::Io(error) => Some(error),
            Self::Closed | Self::ClosedMidFrame => None,
        }
    }
}

/// How far a run over contiguous bytes came.
struct Scan {
    frames: usize,
    used: usize,
    end: End,
}

enum End {
    Incomplete { missing_bytes: usize },
    Stopped,
    Malformed(DecodeError),
}

#[inline]
fn scan(bytes: &[u8], frame_bytes_max: u32, on_frame: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Scan {
    let mut frames = 0;
    let mut used = 0;
    let end = loop {
        let left = &bytes[used..];
        if left.is_empty() {
            break End::Incomplete { missing_bytes: 0 };
        }
        match frame(left, frame_bytes_max) {
            Ok(Framing::Complete { frame_len, .. }) => {
                frames += 1;
                used += frame_len;
                if on_frame(&left[..frame_len]).is_break() {
                    break End::Stopped;
                }
            }
            Ok(Framing::Incomplete { missing_bytes }) => break End::Incomplete { missing_bytes },
            Err(error) => break End::Malformed(error),
        }
    };
    Scan { frames, used, end }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Delivers its bytes in reads of at most the given size.
    struct Pieces<'a>(&'a [u8], usize);

    impl AsyncRead for Pieces<'_> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if self.0.is_empty() {
                return Poll::Pending;
            }
            let (piece, later) = self.0.split_at(self.0.len().min(self.1).min(buffer.remaining()));
            buffer.put_slice(piece);
            self.0 = later;
            Poll::Ready(Ok(()))
        }
    }

    fn poll(reader: &mut FrameReader, stream: &mut Pieces<'_>) -> Poll<usize> {
        let mut ignore = |_: &[u8]| ControlFlow::Continue(());
        let cx = &mut Context::from_waker(Waker::noop());
        reader.poll_burst(cx, stream, &mut ignore).map(|burst| burst.expect("well formed").frames)
    }

    /// A PUBLISH of just over one MiB.
    fn large_frame() -> Vec<u8> {
        let mut frame = vec![0x30, 0x80, 0x80, 0x40];
        frame.resize(frame.len() + (1 << 20), 0);
        frame
    }

    #[test]
    fn memory_for_a_large_frame_follows_what_has_arrived() {
        let frame = large_frame();
        let mut stream = Pieces(&frame, 3000);
        let mut reader = FrameReader::new(u32::MAX);
        while poll(&mut reader, &mut stream).is_ready() {
            let held = reader.buffered();
            assert!(reader.rest.capacity() <= (2 * held).max(held + SCRATCH_BYTES));
        }
        assert_eq!(reader.rest.capacity(), 0);
    }

    #[test]
    fn an_idle_reader_holds_no_buffer() {
        let bytes = [0xC0, 0x00].repeat(1001);
        let mut stream = Pieces(&bytes, bytes.len() - 1);
        let mut reader = FrameReader::new(1000);
        assert_eq!(poll(&mut reader, &mut stream), Poll::Ready(1000));
        assert!(reader.rest.capacity() <= 8);
        assert_eq!(poll(&mut reader, &mut stream), Poll::Ready(1));
        assert_eq!(reader.rest.capacity(), 0);
    }

    #[test]
    fn a_small_rest_does_not_keep_a_large_buffer() {
        let mut bytes = vec![0x30, 0xE0, 0xD4, 0x03];
        bytes.resize(bytes.len() + 60_000, 0);
        bytes.push(0xC0);
        let mut stream = Pieces(&bytes, 50_000);
        let mut reader = FrameReader::new(100_000);
        while poll(&mut reader, &mut stream).is_ready() {}
        assert_eq!(reader.buffered(), 1);
        assert!(reader.rest.capacity() <= 8, "{}", reader.rest.capacity());
    }
}
