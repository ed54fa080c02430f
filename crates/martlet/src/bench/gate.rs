//! The window of one publisher: how many of its messages may be under way, and the way to wake it.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// What a publisher and its receivers share.
///
/// Everything is counted in deliveries: a message to three receivers is under way three times.
#[derive(Debug)]
pub(super) struct Gate {
    /// Deliveries that each message leads to.
    fan: u64,
    /// Deliveries that may be under way.
    window: u64,
    /// Deliveries that the messages sent so far lead to.
    sent: AtomicU64,
    /// Deliveries made, and those that are known to be lost.
    settled: AtomicU64,
    started: AtomicBool,
    stopped: AtomicBool,
    /// The publisher has sent all it will send, and all is acknowledged.
    finished: AtomicBool,
    /// There is a waker in `sleeper`; looked at before its lock is taken.
    asleep: AtomicBool,
    sleeper: Mutex<Option<Waker>>,
}

impl Gate {
    /// A closed gate for a publisher each of whose messages leads to `fan` deliveries, of which `window` times as many may
    /// be under way.
    pub(super) fn new(fan: u64, window: u64) -> Self {
        Self {
            fan,
            window: window * fan,
            sent: AtomicU64::new(0),
            settled: AtomicU64::new(0),
            started: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            finished: AtomicBool::new(false),
            asleep: AtomicBool::new(false),
            sleeper: Mutex::new(None),
        }
    }

    /// Lets the publisher begin.
    pub(super) fn start(&self) {
        self.started.store(true, Ordering::SeqCst);
        self.wake();
    }

    /// Asks the publisher to send nothing new.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.wake();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    pub(super) fn finish(&self) {
        self.finished.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Relaxed)
    }

    /// Messages sent so far.
    pub(super) fn sent_messages(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) / self.fan
    }

    /// Deliveries that are neither made nor known to be lost.
    pub(super) fn under_way(&self) -> u64 {
        // A loss that turns out to be none makes more settled than was sent.
        self.sent.load(Ordering::SeqCst).saturating_sub(self.settled.load(Ordering::SeqCst))
    }

    /// Deliveries made or lost; what does not change while nothing happens.
    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::Relaxed)
    }

    /// How many messages may be sent, at least one; or that the publisher is woken when there is something new.
    pub(super) fn poll_room(&self, cx: &Context<'_>) -> Poll<u64> {
        if let room @ 1.. = self.room() {
            return Poll::Ready(room);
        }
        *self.sleeper.lock().expect(UNPOISONED) = Some(cx.waker().clone());
        self.asleep.store(true, Ordering::SeqCst);
        match self.room() {
            0 => Poll::Pending,
            room => Poll::Ready(room),
        }
    }

    /// Notes messages that leave.
    pub(super) fn send(&self, messages: u64) {
        self.sent.fetch_add(messages * self.fan, Ordering::SeqCst);
    }

    /// Notes deliveries that were made or that are known to be lost.
    pub(super) fn settle(&self, deliveries: u64) {
        self.settled.fetch_add(deliveries, Ordering::SeqCst);
        self.wake();
    }

    /// Gives up on what is under way, if that is what keeps the publisher waiting; says whether it was.
    pub(super) fn write_off(&self) -> bool {
        let waits = !self.is_stopped() && self.asleep.load(Ordering::SeqCst) && self.room() == 0;
        if waits {
            self.settle(self.under_way());
        }
        waits
    }

    fn room(&self) -> u64 {
        if !self.started.load(Ordering::SeqCst) || self.is_stopped() {
            return 0;
        }
        self.window.saturating_sub(self.under_way()) / self.fan
    }

    fn wake(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            let sleeper = self.sleeper.lock().expect(UNPOISONED).take();
            sleeper.into_iter().for_each(Waker::wake);
        }
    }
}

const UNPOISONED: &str = "nothing panics while it holds this lock";

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(gate: &Gate) -> Poll<u64> {
        gate.poll_room(&Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_gate_opens_at_the_start_and_closes_at_the_stop() {
        let gate = Gate::new(1, 3);
        assert_eq!(poll(&gate), Poll::Pending);
        gate.start();
        assert_eq!(poll(&gate), Poll::Ready(3));
        gate.stop();
        assert_eq!(poll(&gate), Poll::Pending);
    }

    #[test]
    fn the_window_counts_messages_until_all_receivers_have_them() {
        let gate = Gate::new(10, 2);
        gate.start();
        gate.send(2);
        assert_eq!((poll(&gate), gate.under_way(), gate.sent_messages()), (Poll::Pending, 20, 2));
        gate.settle(9);
        assert_eq!(poll(&gate), Poll::Pending);
        gate.settle(1);
        assert_eq!(poll(&gate), Poll::Ready(1));
    }

    #[test]
    fn only_a_waiting_publisher_is_written_off() {
        let gate = Gate::new(1, 2);
        gate.start();
        gate.send(1);
        assert!(!gate.write_off());
        gate.send(1);
        assert_eq!(poll(&gate), Poll::Pending);
        assert!(gate.write_off());
        assert_eq!((poll(&gate), gate.under_way()), (Poll::Ready(2), 0));
        gate.settle(2);
        assert_eq!(gate.under_way(), 0, "what arrives after all does not widen the window for good");
    }
}
