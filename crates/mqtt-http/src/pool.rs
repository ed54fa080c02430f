//! Connections that wait for their next request.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// The most recently used one is taken first, so that those that are too many grow old and are closed.
pub(crate) struct Pool {
    idle: Mutex<Vec<(Sender, Instant)>>,
    idle_max: usize,
}

/// Shorter than services usually keep a connection open, so that few requests meet one that is just being closed.
const IDLE_TIME_MAX: Duration = Duration::from_secs(15);

impl Pool {
    pub(crate) fn new(idle_max: usize) -> Self {
        Self { idle: Mutex::default(), idle_max }
    }

    /// A connection that is open as far as it is known here.
    pub(crate) fn take(&self) -> Option<Sender> {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        idle.retain(|(sender, since)| !sender.is_closed() && now - *since < IDLE_TIME_MAX);
        idle.pop().map(|(sender, _)| sender)
    }

    pub(crate) fn put(&self, sender: Sender) {
        let mut idle = self.idle.lock();
        if idle.len() < self.idle_max {
            idle.push((sender, Instant::now()));
        }
    }
}
