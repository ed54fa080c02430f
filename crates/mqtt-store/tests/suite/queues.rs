//! Messages that wait for one session.

use mqtt_session::DropReason::{QueueFullBytes, QueueFullMessages};
use mqtt_store::{Overflow, Pushed, Queue, QueueLimits};

use super::{Open, UNLIMITED, delivery};

const WIDE: QueueLimits =
    QueueLimits { messages_max: usize::MAX, bytes_max: usize::MAX, overflow: Overflow::DropNewest };

fn queue(open: &Open, limits: QueueLimits) -> Box<dyn Queue> {
    open(UNLIMITED).open_queue("client", limits).expect("a queue")
}

fn fill(queue: &mut dyn Queue, payloads: &[&str]) {
    for payload in payloads {
        assert_eq!(queue.push(delivery(payload.as_bytes())), Pushed::Queued);
    }
}

/// Everything that waits, by its payload; the queue is empty afterwards.
fn drain(queue: &mut dyn Queue) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(front) = queue.front().cloned() {
        let popped = queue.pop().expect("there is a front");
        assert_eq!(popped, front);
        texts.push(String::from_utf8(popped.message.payload().to_vec()).expect("text"));
    }
    assert_eq!(queue.pop(), None);
    texts
}

fn size(payload: &str) -> usize {
    delivery(payload.as_bytes()).size_bytes()
}

pub(crate) fn the_first_in_is_the_first_out(open: &Open) {
    let mut queue = queue(open, WIDE);
    assert!(queue.is_empty() && queue.front().is_none());
    fill(&mut *queue, &["1", "2"]);
    assert_eq!(queue.pop(), Some(delivery(b"1")));
    fill(&mut *queue, &["3"]);
    assert_eq!((queue.len(), queue.is_empty()), (2, false));
    assert_eq!(drain(&mut *queue), ["2", "3"]);
}

pub(crate) fn a_queue_full_of_messages_refuses_the_newest(open: &Open) {
    let mut queue = queue(open, QueueLimits { messages_max: 3, ..WIDE });
    fill(&mut *queue, &["1", "2", "3"]);
    assert_eq!(queue.push(delivery(b"4")), Pushed::Refused(delivery(b"4"), QueueFullMessages));
    assert_eq!((queue.len(), queue.bytes()), (3, 3 * size("1")));
    queue.pop();
    fill(&mut *queue, &["5"]);
    assert_eq!(drain(&mut *queue), ["2", "3", "5"]);
}

pub(crate) fn a_queue_full_of_bytes_refuses_the_newest(open: &Open) {
    let mut queue = queue(open, QueueLimits { bytes_max: size("12345") + size("1"), ..WIDE });
    fill(&mut *queue, &["12345"]);
    assert_eq!(queue.push(delivery(b"12")), Pushed::Refused(delivery(b"12"), QueueFullBytes));
    fill(&mut *queue, &["1"]);
    assert_eq!(queue.push(delivery(b"")), Pushed::Refused(delivery(b""), QueueFullBytes));
    assert_eq!(drain(&mut *queue), ["12345", "1"]);
}

pub(crate) fn a_queue_full_of_messages_gives_up_the_oldest(open: &Open) {
    let limits = QueueLimits { messages_max: 3, overflow: Overflow::DropOldest, ..WIDE };
    let mut queue = queue(open, limits);
    fill(&mut *queue, &["1", "2", "3"]);
    let given_up = vec![delivery(b"1")];
    assert_eq!(queue.push(delivery(b"4")), Pushed::QueuedInsteadOf(given_up, QueueFullMessages));
    assert_eq!((queue.len(), queue.bytes()), (3, 3 * size("1")));
    assert_eq!(drain(&mut *queue), ["2", "3", "4"]);
}

pub(crate) fn a_queue_full_of_bytes_gives_up_as_many_as_it_must(open: &Open) {
    let bytes_max = 3 * size("1");
    let limits = QueueLimits { bytes_max, overflow: Overflow::DropOldest, ..WIDE };
    let mut queue = queue(open, limits);
    fill(&mut *queue, &["1", "2", "3"]);
    // A little longer than one of the others: two of them have to go.
    let given_up = vec![delivery(b"1"), delivery(b"2")];
    assert_eq!(queue.push(delivery(b"44")), Pushed::QueuedInsteadOf(given_up, QueueFullBytes));
    assert_eq!(queue.bytes(), size("3") + size("44"));
    assert_eq!(drain(&mut *queue), ["3", "44"]);
}

pub(crate) fn what_never_fits_is_refused_and_costs_nobody_his_place(open: &Open) {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let mut queue = queue(open, QueueLimits { bytes_max: 2 * size("1"), overflow, ..WIDE });
        fill(&mut *queue, &["1", "2"]);
        let huge = delivery(&vec![0; queue.bytes()]);
        assert_eq!(queue.push(huge.clone()), Pushed::Refused(huge, QueueFullBytes));
        assert_eq!(drain(&mut *queue), ["1", "2"]);
    }
}

pub(crate) fn a_queue_of_nothing_refuses_everything(open: &Open) {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let mut queue = queue(open, QueueLimits { messages_max: 0, overflow, ..WIDE });
        assert_eq!(queue.push(delivery(b"1")), Pushed::Refused(delivery(b"1"), QueueFullMessages));
        assert!(queue.is_empty());
    }
}

pub(crate) fn bytes_return_to_nothing(open: &Open) {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let limits = QueueLimits { messages_max: 700, bytes_max: 600 * size("1"), overflow };
        let mut queue = queue(open, limits);
        for number in 0..2000_usize {
            // What is refused or given up is not looked at here.
            drop(queue.push(delivery(&vec![b'x'; number % 40])));
        }
        assert!(queue.bytes() <= limits.bytes_max && queue.len() <= limits.messages_max);
        drain(&mut *queue);
        assert_eq!((queue.len(), queue.bytes()), (0, 0));
    }
}

pub(crate) fn queues_of_different_clients_are_apart(open: &Open) {
    let store = open(UNLIMITED);
    let mut one = store.open_queue("one", WIDE).expect("a queue");
    let mut two = store.open_queue("two", WIDE).expect("a queue");
    fill(&mut *one, &["for one"]);
    fill(&mut *two, &["for two"]);
    assert_eq!(drain(&mut *one), ["for one"]);
    assert_eq!(drain(&mut *two), ["for two"]);
}
