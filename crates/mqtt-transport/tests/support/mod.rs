//! Streams that behave badly on purpose, and a few MQTT packets.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mqtt_transport::{Burst, FrameReader, ReadError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A PUBLISH at QoS 0 with the topic `t` and a payload of `payload_len` bytes that depend on `seed`.
pub(crate) fn publish(payload_len: usize, seed: u8) -> Vec<u8> {
    let mut packet = vec![0x30];
    let mut remaining = 3 + payload_len;
    while remaining >= 128 {
        packet.push(remaining as u8 & 0x7F | 0x80);
        remaining >>= 7;
    }
    packet.push(remaining as u8);
    packet.extend_from_slice(&[0, 1, b't']);
    packet.extend((0..payload_len).map(|index| (index as u8).wrapping_mul(31).wrapping_add(seed)));
    packet
}

pub(crate) const PINGREQ: [u8; 2] = [0xC0, 0];

pub(crate) fn noop() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// Polls once, collecting copies of the frames; breaks after `frames_max` of them.
pub(crate) fn poll_frames<S>(
    reader: &mut FrameReader,
    stream: &mut S,
    frames_max: usize,
    frames: &mut Vec<Vec<u8>>,
) -> Poll<Result<Burst, ReadError>>
where
    S: AsyncRead + Unpin + ?Sized,
{
    let mut count = 0;
    reader.poll_burst(&mut noop(), stream, &mut |frame: &[u8]| {
        frames.push(frame.to_vec());
        count += 1;
        if count == frames_max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Polls until the stream has nothing more or fails; returns the frames and the failure.
pub(crate) fn read_all<S>(reader: &mut FrameReader, stream: &mut S) -> (Vec<Vec<u8>>, Option<ReadError>)
where
    S: AsyncRead + Unpin + ?Sized,
{
    let mut frames = Vec::new();
    loop {
        match poll_frames(reader, stream, usize::MAX, &mut frames) {
            Poll::Pending => return (frames, None),
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(error)) => return (frames, Some(error)),
        }
    }
}

/// Delivers the given pieces, one per read at most, and then pends or ends.
pub(crate) struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    ends: bool,
    pub(crate) reads: usize,
}

impl Pieces {
    pub(crate) fn new<P: Into<Vec<u8>>>(pieces: impl IntoIterator<Item = P>) -> Self {
        Self { pieces: pieces.into_iter().map(Into::into).collect(), ends: false, reads: 0 }
    }

    pub(crate) fn then_end(mut self) -> Self {
        self.ends = true;
        self
    }
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        let Some(piece) = self.pieces.front_mut() else {
            return if self.ends { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let step = piece.len().min(buffer.remaining());
        buffer.put_slice(&piece[..step]);
        piece.drain(..step);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Poll::Ready(Ok(()))
    }
}

/// Accepts a limited number of bytes per write and blocks after every few writes.
pub(crate) struct Throttle {
    pub(crate) written: Vec<u8>,
    pub(crate) bytes_per_write: usize,
    /// Writes accepted before one is answered with pending; 0 blocks for ever.
    pub(crate) writes_per_turn: usize,
    pub(crate) vectored: bool,
    pub(crate) writes: usize,
    pub(crate) flushes: usize,
    turn: usize,
}

impl Throttle {
    pub(crate) fn new(bytes_per_write: usize, writes_per_turn: usize, vectored: bool) -> Self {
        Self {
            written: Vec::new(),
            bytes_per_write,
            writes_per_turn,
            vectored,
            writes: 0,
            flushes: 0,
            turn: 0,
        }
    }

    fn accept(&mut self, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        if self.turn == self.writes_per_turn {
            self.turn = 0;
            return Poll::Pending;
        }
        self.turn += 1;
        self.writes += 1;
        let before = self.written.len();
        for slice in slices {
            let room = self.bytes_per_write - (self.written.len() - before);
            self.written.extend_from_slice(&slice[..slice.len().min(room)]);
        }
        Poll::Ready(Ok(self.written.len() - before))
    }
}

impl AsyncWrite for Throttle {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.get_mut().accept(&[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        assert!(self.vectored, "a stream without vectored writes was given slices");
        assert!(slices.iter().all(|slice| !slice.is_empty()), "an empty slice is a waste");
        self.get_mut().accept(slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.vectored
    }

    fn poll_flush(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.flushes += 1;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
