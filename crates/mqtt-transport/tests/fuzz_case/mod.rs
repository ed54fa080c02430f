//! What the fuzz targets of the transport and the test of their corpora do with one input.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use mqtt_transport::{WsOptions, WsStream, parse_proxy_header};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Gives out its bytes in pieces of at most `step`, and takes everything.
struct Wire {
    input: Vec<u8>,
    at: usize,
    step: usize,
    written: Vec<u8>,
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let step = self.step.min(buffer.remaining()).min(self.input.len() - self.at);
        buffer.put_slice(&self.input[self.at..self.at + step]);
        self.at += step;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.written.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// What a broker makes of the frames: the data, whether a rule was broken.
fn read_frames(input: &[u8], step: usize, room: usize) -> (Vec<u8>, bool) {
    let wire = Wire { input: input.to_vec(), at: 0, step, written: Vec::new() };
    let mut stream = WsStream::upgraded(
        wire,
        Vec::new(),
        &WsOptions { message_bytes_max: 100_000, ..WsOptions::default() },
    );
    let mut cx = Context::from_waker(Waker::noop());
    let (mut data, mut broken) = (Vec::new(), false);
    let mut space = vec![0; room];
    // Each turn takes bytes or ends.
    for _ in 0..=2 * input.len() + 10 {
        let mut buffer = ReadBuf::new(&mut space);
        match Pin::new(&mut stream).poll_read(&mut cx, &mut buffer) {
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return (data, broken),
            Poll::Ready(Ok(())) => data.extend_from_slice(buffer.filled()),
            Poll::Ready(Err(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::InvalidData);
                broken = true;
            }
            Poll::Pending => panic!("the wire is always ready"),
        }
    }
    panic!("the end of the wire is the end of the stream");
}

/// However frames are cut into reads, they mean the same, and never more than came.
pub(crate) fn check_websocket(input: &[u8]) {
    let whole = read_frames(input, usize::MAX, 64 * 1024);
    assert!(whole.0.len() <= input.len());
    for (step, room) in [(1, 100), (3, 7), (1000, 20)] {
        assert_eq!(read_frames(input, step, room), whole, "{step} bytes per read, room for {room}");
    }
}

/// A header means the same whatever comes behind it, and no part of it is one.
pub(crate) fn check_proxy_header(input: &[u8]) {
    if let Ok((header, length)) = parse_proxy_header(input) {
        assert!(length <= input.len());
        assert_eq!(parse_proxy_header(&input[..length]).expect("the same bytes"), (header, length));
        for end in 0..length {
            assert!(parse_proxy_header(&input[..end]).is_err(), "{end} of {length} bytes");
        }
    }
}
