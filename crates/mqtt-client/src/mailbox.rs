//! The bounded way from the driver to one subscription. It never drops: when it is full the driver stops
//! reading from the server.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use crate::Incoming;

/// Messages of one subscription, in the order in which they came: with [`recv`](Self::recv), or as a [`Stream`].
///
/// Dropping it unsubscribes its filters. While it is not read, and full, nothing more is read from the server: it is the
/// server that waits. Only while an answer of the server is awaited, to a message above QoS 0 or a request, is the
/// reading not stopped, so a task may await its own publications between two messages. What comes then waits beside the
/// subscription: messages above QoS 0 up to the Receive Maximum, and of QoS 0 as many as fit into one subscription; more
/// of those are dropped and [counted](crate::Client::dropped).
#[derive(Debug)]
#[must_use = "dropping a subscription ends it"]
pub struct Subscription {
    mailbox: Arc<Mailbox>,
}

#[derive(Debug)]
pub(crate) struct Mailbox {
    state: Mutex<State>,
    capacity: usize,
    receiver: AtomicWaker,
    driver: Arc<AtomicWaker>,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Incoming>,
    /// The subscription was dropped.
    abandoned: bool,
    /// No more messages will come.
    ended: bool,
}

impl Subscription {
    /// The next message; `None` when the client has ended or the filters were unsubscribed, and everything
    /// before was received.
    pub async fn recv(&mut self) -> Option<Incoming> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// As [`recv`](Self::recv), for hand-written futures and streams.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.mailbox.receiver.register(cx.waker());
        let mut state = self.mailbox.state.lock();
        let was_full = state.queue.len() >= self.mailbox.capacity;
        let next = state.queue.pop_front();
        let ended = state.ended;
        drop(state);
        if next.is_none() && !ended {
            return Poll::Pending;
        }
        if was_full {
            self.mailbox.driver.wake();
        }
        Poll::Ready(next)
    }
}

impl Stream for Subscription {
    type Item = Incoming;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        self.poll_recv(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.mailbox.state.lock().abandoned = true;
        self.mailbox.driver.wake();
    }
}

impl Mailbox {
    pub(crate) fn new(capacity: usize, driver: Arc<AtomicWaker>) -> (Arc<Self>, Subscription) {
        let mailbox = Arc::new(Self {
            state: Mutex::default(),
            capacity: capacity.max(1),
            receiver: AtomicWaker::new(),
            driver,
        });
        (mailbox.clone(), Subscription { mailbox })
    }

    /// Whether one more message can be put in. An abandoned mailbox takes everything, and forgets it.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.state.lock();
        state.abandoned || state.queue.len() < self.capacity
    }

    /// Puts a message in; the caller has seen that there is room.
    pub(crate) fn put(&self, incoming: Incoming) {
        let mut state = self.state.lock();
        if state.abandoned {
            return;
        }
        state.queue.push_back(incoming);
        drop(state);
        self.receiver.wake();
    }

    pub(crate) fn is_abandoned(&self) -> bool {
        self.state.lock().abandoned
    }

    /// No more messages will come.
    pub(crate) fn end(&self) {
        self.state.lock().ended = true;
        self.receiver.wake();
    }
}
