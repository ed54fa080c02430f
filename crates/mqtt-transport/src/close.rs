use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use crate::scratch::{SCRATCH_BYTES, poll_read_slice};

/// Bytes of a peer that keeps sending which [`close_gracefully`] reads and throws away at most.
pub const DRAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How [`close_gracefully`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseOutcome {
    /// The peer has closed its side too, so it has seen everything.
    PeerClosed,
    /// The peer was not done in time.
    TimedOut,
    /// The peer went on sending beyond [`DRAIN_BYTES_MAX`].
    StillSending,
    /// The connection broke.
    Failed,
}

/// Closes so that the peer can still read the last bytes written.
///
/// Closing a socket while received bytes are unread makes the system send a reset, which destroys what the peer has not
/// read yet, for example a DISCONNECT with its reason. So: flush, end the sending direction, read and discard what the
/// peer still sends until it closes too, then close. `timeout` bounds all of it, [`DRAIN_BYTES_MAX`] the discarding.
pub async fn close_gracefully<S>(mut stream: S, timeout: Duration) -> CloseOutcome
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let farewell = async {
        if stream.flush().await.is_err() || stream.shutdown().await.is_err() {
            return CloseOutcome::Failed;
        }
        drain(&mut stream, DRAIN_BYTES_MAX).await
    };
    tokio::time::timeout(timeout, farewell).await.unwrap_or(CloseOutcome::TimedOut)
}

/// Reads and discards until the peer closes or more than `bytes_max` have come.
pub(crate) async fn drain<S>(stream: &mut S, bytes_max: usize) -> CloseOutcome
where
    S: AsyncRead + Unpin + ?Sized,
{
    let mut discarded = 0;
    poll_fn(|cx| poll_drain(cx, stream, bytes_max, &mut discarded)).await
}

/// One step of discarding; `discarded` lives across the steps.
pub(crate) fn poll_drain<S>(
    cx: &mut Context<'_>,
    stream: &mut S,
    bytes_max: usize,
    discarded: &mut usize,
) -> Poll<CloseOutcome>
where
    S: AsyncRead + Unpin + ?Sized,
{
    while *discarded <= bytes_max {
        match ready!(poll_read_slice(cx, stream, SCRATCH_BYTES, <[u8]>::len)) {
            Ok(0) => return Poll::Ready(CloseOutcome::PeerClosed),
            Ok(read) => *discarded += read,
            Err(_) => return Poll::Ready(CloseOutcome::Failed),
        }
    }
    Poll::Ready(CloseOutcome::StillSending)
}
