//! A connection in memory that never makes anybody wait.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use mqtt_codec::{Framing, Version, frame};
use mqtt_testkit::ToWire;
use tokio::io::{AsyncRead as _, AsyncWrite as _, DuplexStream, ReadBuf};

/// The client's end.
pub(crate) struct Link {
    stream: DuplexStream,
    unread: Vec<u8>,
    /// Whether the other end has gone; what came before can still be read.
    pub(crate) is_closed: bool,
}

impl Link {
    pub(crate) fn new(stream: DuplexStream) -> Self {
        Self { stream, unread: Vec::new(), is_closed: false }
    }

    /// Sends what the pipe takes now; whether that was all.
    pub(crate) async fn send(&mut self, packet: &(impl ToWire + ?Sized)) -> bool {
        self.send_bytes(&packet.to_wire(Version::V5)).await
    }

    /// The first half of a packet, for a connection that is about to be cut.
    pub(crate) async fn send_half(&mut self, packet: &impl ToWire) {
        let bytes = packet.to_wire(Version::V5);
        self.send_bytes(&bytes[..bytes.len() / 2]).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        let written = poll_fn(|cx| match Pin::new(&mut self.stream).poll_write(cx, bytes) {
            Poll::Ready(written) => Poll::Ready(written.ok()),
            Poll::Pending => Poll::Ready(None),
        });
        let whole = written.await == Some(bytes.len());
        self.is_closed |= !whole;
        whole
    }

    /// All packets that are here.
    pub(crate) async fn receive(&mut self) -> Vec<Vec<u8>> {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let read = poll_fn(|cx| {
                let mut buffer = ReadBuf::new(&mut chunk);
                Poll::Ready(match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                    Poll::Ready(Ok(())) => Some(buffer.filled().len()),
                    Poll::Ready(Err(_)) => Some(0),
                    Poll::Pending => None,
                })
            });
            match read.await {
                None => break,
                Some(0) => {
                    self.is_closed = true;
                    break;
                }
                Some(count) => self.unread.extend_from_slice(&chunk[..count]),
            }
        }
        let mut packets = Vec::new();
        while let Ok(Framing::Complete { frame_len, .. }) = frame(&self.unread, u32::MAX) {
            let rest = self.unread.split_off(frame_len);
            packets.push(std::mem::replace(&mut self.unread, rest));
        }
        packets
    }
}
