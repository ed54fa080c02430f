//! Random work on a store and on the simplest thing that could do the same.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use mqtt_session::{Delivery, DropReason};
use mqtt_store::{Overflow, Pushed, QueueLimits, RetainOutcome, RetainedLimits, Store, StoreError};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};

use super::{Open, UNLIMITED, delivery, filter, name, retained, scan};

const TOPICS: &[&str] =
    &["a", "a/b", "a/b/c", "a/", "/a", "b", "b/b", "a/c", "$SYS/a", "$SYS", "$x/b", "a b/ä", "c/b/c"];
const FILTERS: &[&str] =
    &["#", "+", "a/#", "+/b", "a/+/c", "$SYS/#", "$x/+", "/+", "a", "+/+", "$SYS", "z/#"];

#[derive(Clone, Debug)]
enum Work {
    Retain { topic: &'static str, payload_bytes: usize, lives_s: Option<u64> },
    Scan { filter: &'static str, page_max: usize },
    Pass { seconds: u64 },
    Expire,
}

fn work() -> impl Strategy<Value = Work> {
    let retain = (select(TOPICS), 0..60_usize, proptest::option::of(0..20_u64))
        .prop_map(|(topic, payload_bytes, lives_s)| Work::Retain { topic, payload_bytes, lives_s });
    let scan = (select(FILTERS), 1..6_usize).prop_map(|(filter, page_max)| Work::Scan { filter, page_max });
    prop_oneof![
        5 => retain,
        3 => scan,
        1 => (0..8_u64).prop_map(|seconds| Work::Pass { seconds }),
        1 => Just(Work::Expire),
    ]
}

/// Retained messages in a sorted map.
struct Model {
    kept: BTreeMap<&'static str, Entry>,
    limits: RetainedLimits,
}

struct Entry {
    payload: Vec<u8>,
    size_bytes: usize,
    expires_at: Option<Instant>,
}

impl Entry {
    fn is_expired(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

impl Model {
    fn bytes(&self) -> usize {
        self.kept.values().map(|entry| entry.size_bytes).sum()
    }

    fn retain(&mut self, topic: &'static str, entry: Entry) -> Result<RetainOutcome, StoreError> {
        let old = self.kept.remove(topic);
        if entry.payload.is_empty() {
            return Ok(if old.is_some() { RetainOutcome::Cleared } else { RetainOutcome::NothingToClear });
        }
        let fits = self.kept.len() < self.limits.messages_max
            && self.bytes() + entry.size_bytes <= self.limits.bytes_max;
        if !fits {
            self.kept.extend(old.map(|old| (topic, old)));
            return Err(StoreError::Full);
        }
        let outcome = if old.is_some() { RetainOutcome::Replaced } else { RetainOutcome::Added };
        self.kept.insert(topic, entry);
        Ok(outcome)
    }

    fn scan(&self, filter_text: &str, now: Instant) -> Vec<(String, Vec<u8>)> {
        let filter = filter(filter_text);
        let alive = self.kept.iter().filter(|(_, entry)| !entry.is_expired(now));
        let matching = alive.filter(|(topic, _)| filter.matches(&name(topic)));
        matching.map(|(topic, entry)| ((*topic).to_owned(), entry.payload.clone())).collect()
    }
}

fn check_retained(store: &dyn Store, limits: RetainedLimits, works: &[Work]) {
    let mut model = Model { kept: BTreeMap::new(), limits };
    let mut now = Instant::now();
    for work in works {
        match *work {
            Work::Retain { topic, payload_bytes, lives_s } => {
                let expires_at = lives_s.map(|seconds| now + Duration::from_secs(seconds));
                let payload = vec![b'p'; payload_bytes];
                let message = retained(topic, &payload, expires_at);
                let entry = Entry { payload, size_bytes: message.message.size_bytes(), expires_at };
                assert_eq!(store.retain(message), model.retain(topic, entry), "{work:?}");
            }
            Work::Scan { filter, page_max } => {
                let mut found = scan(store, filter, page_max, now);
                found.sort();
                assert_eq!(found, model.scan(filter, now), "{work:?}");
            }
            Work::Pass { seconds } => now += Duration::from_secs(seconds),
            Work::Expire => {
                let before = model.kept.len();
                model.kept.retain(|_, entry| !entry.is_expired(now));
                assert_eq!(store.expire_retained(now).len(), before - model.kept.len());
            }
        }
        let next = model.kept.values().filter_map(|entry| entry.expires_at).min();
        assert_eq!(store.next_retained_expiry(), next, "after {work:?}");
        let totals = store.retained_totals();
        assert_eq!((totals.messages, totals.bytes), (model.kept.len(), model.bytes()), "after {work:?}");
    }
}

/// Runs `check` on many random cases; a failure names the smallest one that was found.
fn for_all<S: Strategy>(strategy: &S, check: impl Fn(S::Value)) {
    let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
    let outcome = TestRunner::new(config).run(strategy, |case| {
        check(case);
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

pub(crate) fn retained_messages_follow_the_model(open: &Open) {
    let limits = (1..12_usize, 200..1500_usize);
    let strategy = (limits, proptest::collection::vec(work(), 1..60));
    for_all(&strategy, |((messages_max, bytes_max), works)| {
        let limits = RetainedLimits { messages_max, bytes_max };
        check_retained(&*open(limits), limits, &works);
    });
}

#[derive(Clone, Debug)]
enum QueueWork {
    Push { payload_bytes: usize },
    Pop,
}

fn queue_work() -> impl Strategy<Value = QueueWork> {
    prop_oneof![
        3 => (0..300_usize).prop_map(|payload_bytes| QueueWork::Push { payload_bytes }),
        1 => Just(QueueWork::Pop),
    ]
}

/// What [`mqtt_store::Queue::push`] must do, spelled out.
fn push(waiting: &mut VecDeque<Delivery>, new: Delivery, limits: &QueueLimits) -> Pushed {
    let total = |waiting: &VecDeque<Delivery>| waiting.iter().map(Delivery::size_bytes).sum::<usize>();
    let lacks = |waiting: &VecDeque<Delivery>| {
        if waiting.len() + 1 > limits.messages_max {
            Some(DropReason::QueueFullMessages)
        } else if total(waiting) + new.size_bytes() > limits.bytes_max {
            Some(DropReason::QueueFullBytes)
        } else {
            None
        }
    };
    let Some(reason) = lacks(waiting) else {
        waiting.push_back(new);
        return Pushed::Queued;
    };
    if limits.overflow == Overflow::DropNewest || lacks(&VecDeque::new()).is_some() {
        return Pushed::Refused(new, reason);
    }
    let mut given_up = Vec::new();
    while lacks(waiting).is_some() {
        given_up.extend(waiting.pop_front());
    }
    waiting.push_back(new);
    Pushed::QueuedInsteadOf(given_up, reason)
}

fn check_queue(open: &Open, limits: QueueLimits, works: &[QueueWork]) {
    let store = open(UNLIMITED);
    let mut queue = store.open_queue("client", limits).expect("a queue");
    let mut model = VecDeque::new();
    for (number, work) in works.iter().enumerate() {
        match *work {
            QueueWork::Push { payload_bytes } => {
                // The first byte tells messages of equal length apart.
                let fill = u8::try_from(number % 251).expect("a byte");
                let new = delivery(&vec![fill; payload_bytes]);
                assert_eq!(queue.push(new.clone()), push(&mut model, new, &limits), "{work:?}");
            }
            QueueWork::Pop => assert_eq!(queue.pop(), model.pop_front()),
        }
        let bytes: usize = model.iter().map(Delivery::size_bytes).sum();
        assert_eq!((queue.len(), queue.bytes(), queue.front()), (model.len(), bytes, model.front()));
    }
}

pub(crate) fn queues_follow_the_model(open: &Open) {
    let overflow = select(&[Overflow::DropNewest, Overflow::DropOldest][..]);
    let limits = (0..10_usize, 0..2000_usize, overflow)
        .prop_map(|(messages_max, bytes_max, overflow)| QueueLimits { messages_max, bytes_max, overflow });
    let strategy = (limits, proptest::collection::vec(queue_work(), 1..80));
    for_all(&strategy, |(limits, works)| check_queue(open, limits, &works));
}
