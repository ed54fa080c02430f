//! Where threads rest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

/// How many threads shall rest, and how many do.
#[derive(Debug, Default)]
pub(crate) struct Post {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    wanted: usize,
    resting: usize,
    closed: bool,
}

impl Post {
    pub(crate) fn resting(&self) -> usize {
        self.state.lock().resting
    }

    /// Asks for so many more to rest, of whom each is sent by a call of `send`. Whether they were there before the time was up;
    /// otherwise it is as if they had not been asked.
    pub(crate) fn expect(&self, threads: usize, patience: Duration, send: impl Fn()) -> bool {
        let wanted = {
            let mut state = self.state.lock();
            state.wanted += threads;
            state.wanted
        };
        (0..threads).for_each(|_| send());
        let mut state = self.state.lock();
        let missing = |state: &mut State| state.resting < wanted && !state.closed;
        self.changed.wait_while_for(&mut state, missing, patience);
        let all_there = state.resting >= wanted;
        if !all_there {
            state.wanted -= threads;
            self.changed.notify_all();
        }
        all_there
    }

    /// So many of those who rest go back to work.
    pub(crate) fn call_back(&self, threads: usize) {
        let mut state = self.state.lock();
        state.wanted = state.wanted.saturating_sub(threads);
        self.changed.notify_all();
    }

    /// All go back to work, and nobody rests any more.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }

    /// Waits for so long, or until it is closed. Whether it is still open.
    pub(crate) fn stay_open(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        self.changed.wait_while_for(&mut state, |state| !state.closed, patience);
        !state.closed
    }

    /// Waits until no more rest than shall. Whether it came to that in time.
    #[cfg(test)]
    pub(crate) fn settle(&self, patience: Duration) -> bool {
        let mut state = self.state.lock();
        let too_many = |state: &mut State| state.resting > if state.closed { 0 } else { state.wanted };
        !self.changed.wait_while_for(&mut state, too_many, patience).timed_out()
    }

    /// Keeps the thread that calls for as long as it shall rest.
    fn rest(&self) {
        let mut state = self.state.lock();
        if state.closed || state.resting >= state.wanted {
            return;
        }
        state.resting += 1;
        self.changed.notify_all();
        self.changed.wait_while(&mut state, |state| !state.closed && state.resting <= state.wanted);
        state.resting -= 1;
        self.changed.notify_all();
    }
}

/// A task in which one of the runtime's threads rests: first it goes behind whatever that thread has to do.
#[derive(Debug)]
pub(crate) struct Rest {
    post: Arc<Post>,
    is_last_in_queue: bool,
}

impl Rest {
    pub(crate) fn new(post: Arc<Post>) -> Self {
        Self { post, is_last_in_queue: false }
    }
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if !std::mem::replace(&mut self.is_last_in_queue, true) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.post.rest();
        Poll::Ready(())
    }
}
