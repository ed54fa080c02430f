use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use mqtt_codec::{Properties, QoS};
use mqtt_session::{Delivery, DropReason, Hop, Message, NO_PUBLISHER};
use mqtt_store::{MemoryQueue, Overflow, QueueLimits};
use mqtt_topic::TopicName;

use super::{Left, Outbox, OutboxLimits, PushOutcome, Taken};

const STALL: Duration = Duration::from_secs(10);

/// A publisher's task that counts how often it was woken.
#[derive(Default)]
struct Sleeper(AtomicUsize);

impl Wake for Sleeper {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn limits() -> OutboxLimits {
    let queue = QueueLimits { messages_max: 8, bytes_max: usize::MAX, overflow: Overflow::DropNewest };
    OutboxLimits {
        bytes_high: usize::MAX,
        messages_high: 4,
        stall_timeout: STALL,
        queue_qos0_offline: false,
        queue,
    }
}

fn outbox() -> Arc<Outbox> {
    let outbox = Arc::new(Outbox::new(1, "client".into(), Box::new(MemoryQueue::new(limits().queue))));
    outbox.go_online(None);
    outbox
}

fn push(outbox: &Outbox, qos: QoS, now: Instant) -> PushOutcome {
    let topic = TopicName::parse("t").expect("a name");
    let message = Message::new(topic, Properties::EMPTY, b"x", NO_PUBLISHER, None);
    outbox.push(
        Delivery { hop: Hop::new(qos), message },
        &limits(),
        now,
        &mut mqtt_store::Transaction::default(),
    )
}

fn take(outbox: &Arc<Outbox>, messages: usize, now: Instant) {
    let mut taken: Vec<Taken> = Vec::new();
    let window = u16::try_from(messages).expect("a few");
    outbox.take(window, usize::MAX, &limits(), now, &mut taken);
    assert_eq!(taken.len(), messages);
}

fn has_room(outbox: &Outbox, sleeper: &Arc<Sleeper>, now: Instant) -> bool {
    let waker = Waker::from(sleeper.clone());
    let mut deadline = None;
    let polled = outbox.poll_room(&mut Context::from_waker(&waker), &limits(), now, &mut deadline);
    assert_eq!(polled.is_pending(), deadline.is_some());
    polled == Poll::Ready(())
}

/// Fills it over its budget; the first message that has to wait is the fifth.
fn strained(now: Instant) -> Arc<Outbox> {
    let outbox = outbox();
    for number in 1..=5 {
        assert_eq!(push(&outbox, QoS::AtLeastOnce, now).signals.congested, number == 5);
    }
    outbox
}

#[test]
fn an_owner_is_woken_once_until_it_has_taken_everything() {
    let (outbox, now) = (outbox(), Instant::now());
    take(&outbox, 0, now);
    assert!(push(&outbox, QoS::AtLeastOnce, now).signals.wake);
    assert!(!push(&outbox, QoS::AtLeastOnce, now).signals.wake);
    take(&outbox, 1, now);
    assert!(!push(&outbox, QoS::AtLeastOnce, now).signals.wake, "the owner knows that more waits");
    take(&outbox, 2, now);
    assert!(push(&outbox, QoS::AtLeastOnce, now).signals.wake);
}

#[test]
fn publishers_wait_until_half_of_the_budget_is_free() {
    let now = Instant::now();
    let (outbox, sleeper) = (strained(now), Arc::new(Sleeper::default()));
    assert!(!has_room(&outbox, &sleeper, now));
    take(&outbox, 2, now);
    assert!(!has_room(&outbox, &sleeper, now));
    assert_eq!(sleeper.0.load(Ordering::Relaxed), 0);
    take(&outbox, 1, now);
    assert_eq!(sleeper.0.load(Ordering::Relaxed), 1);
    assert!(has_room(&outbox, &sleeper, now));
}

#[test]
fn whoever_takes_nothing_for_the_stall_time_is_stalled() {
    let now = Instant::now();
    let (outbox, sleeper) = (strained(now), Arc::new(Sleeper::default()));
    assert!(!has_room(&outbox, &sleeper, now + STALL - Duration::from_nanos(1)));
    outbox.note_progress(now + STALL / 2);
    assert!(!has_room(&outbox, &sleeper, now + STALL));
    assert!(has_room(&outbox, &sleeper, now + STALL * 3 / 2));
    assert_eq!(sleeper.0.load(Ordering::Relaxed), 1, "whoever else waits is told");
    let dropped = push(&outbox, QoS::AtMostOnce, now).dropped;
    assert_eq!(dropped[0].1, DropReason::ReceiverStalled);
    assert!(push(&outbox, QoS::ExactlyOnce, now).dropped.is_empty());
}

/// Publishers that come and go hold no memory of a receiver that stays slow.
#[test]
fn invariant_7_a_publisher_that_leaves_is_forgotten() {
    let now = Instant::now();
    let outbox = strained(now);
    for _ in 0..100 {
        let sleeper = Arc::new(Sleeper::default());
        assert!(!has_room(&outbox, &sleeper, now));
        assert!(!has_room(&outbox, &sleeper, now));
        assert_eq!(Arc::strong_count(&sleeper), 2, "it is noted once");
        outbox.stop_waiting(&Waker::from(sleeper.clone()));
        assert_eq!(Arc::strong_count(&sleeper), 1);
    }
}

#[test]
fn every_change_of_the_connection_frees_those_who_wait() {
    let changes: [fn(&Outbox); 3] = [
        |outbox| outbox.go_online(None),
        |outbox| assert!(outbox.go_offline(&limits()).is_empty()),
        |outbox| assert!(matches!(outbox.close(), Left::Few(left) if left.len() == 5)),
    ];
    for change in changes {
        let now = Instant::now();
        let (outbox, sleeper) = (strained(now), Arc::new(Sleeper::default()));
        assert!(!has_room(&outbox, &sleeper, now));
        change(&outbox);
        assert_eq!(sleeper.0.load(Ordering::Relaxed), 1);
        assert!(has_room(&outbox, &sleeper, now));
    }
}
