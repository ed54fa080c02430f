//! The durable store, on a medium in memory.

mod suite;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Instant;

use mqtt_codec::{Properties, QoS};
use mqtt_session::{Message, NO_PUBLISHER};
use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::{Faults, SimulatedMedium};
use mqtt_store::{
    Condition, Durability, DurableSettings, DurableStore, Journal, Progress, QueueLimits, Retained,
    RetainedLimits, Store, StoreEvent, Transaction, WriteSettings,
};
use mqtt_topic::TopicName;

fn open(limits: RetainedLimits) -> Box<dyn Store> {
    Box::new(on(&SimulatedMedium::new(), limits))
}

fn settings() -> DurableSettings {
    DurableSettings {
        write: WriteSettings::default(),
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
        drop_damaged: false,
    }
}

fn on(medium: &SimulatedMedium, limits: RetainedLimits) -> DurableStore {
    let settings = DurableSettings { retained: limits, ..settings() };
    DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("an empty medium")
}

suite::store_suite!(crate::open);

#[test]
fn each_change_of_the_medium_is_told_once() {
    let medium = SimulatedMedium::new();
    let store = on(&medium, RetainedLimits::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let telling = heard.clone();
    store.health().on_event(move |event| {
        let StoreEvent::Changed(condition, error) = event else { panic!("nothing is damaged") };
        telling.lock().expect("no panic").push((condition, error.is_some()));
    });
    let retain = || {
        let topic = TopicName::parse("t").expect("a topic");
        let message = Message::new(topic, Properties::EMPTY, b"x", NO_PUBLISHER, None);
        store
            .retain(Retained { message, qos: QoS::AtLeastOnce, source: None })
            .expect("in memory there is room");
    };
    let full = Faults { room_bytes: Some(0), ..Faults::default() };
    for faults in [Faults::default(), full, Faults::default(), full] {
        medium.set_faults(faults);
        retain();
        retain();
    }
    let expected = [(Condition::Full, true), (Condition::Good, false), (Condition::Full, true)];
    assert_eq!(*heard.lock().expect("no panic"), expected);
}

#[test]
fn a_store_of_another_format_is_refused_whatever_may_be_dropped() {
    let medium = SimulatedMedium::new();
    on(&medium, RetainedLimits::default()).close();
    for format in [0_u32, 1, 3, u32::MAX] {
        let mut contents = medium.contents();
        for bytes in contents.values_mut() {
            bytes[8..12].copy_from_slice(&format.to_le_bytes());
            bytes.push(0); // more than a header that a crash cut off
        }
        let other = SimulatedMedium::of(contents.clone());
        let settings = DurableSettings { drop_damaged: true, ..settings() };
        let error =
            DurableStore::open_inline(Arc::new(other.clone()), &settings).expect_err("another format");
        let expected =
            format!("has format {format}, and this version of Martlet reads and writes format 2 only");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(other.contents(), contents, "nothing was changed");
    }
}

/// Waits until a transaction is answered.
fn wait_for(progress: &Progress, number: u64) -> bool {
    struct Unpark(std::thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        progress.register(&waker);
        if progress.done() >= number || progress.has_failed() {
            return progress.done() >= number;
        }
        std::thread::park();
    }
}

fn retain(store: &DurableStore, durability: Durability, number: u64, progress: &Arc<Progress>) {
    let mut transaction = Transaction::default();
    transaction.set_durability(durability);
    let text = format!("t/{number}");
    let topic = TopicName::parse(text.as_str()).expect("a topic");
    let message = Message::new(topic, Properties::EMPTY, b"x", NO_PUBLISHER, None);
    let retained = Retained { message, qos: QoS::AtLeastOnce, source: None };
    store.retain_in(retained, None, &mut transaction).expect("in memory there is room");
    store.submit(&mut transaction, Some((progress, number)));
}

#[test]
fn one_sync_answers_many_who_wait_for_the_disk() {
    let medium = SimulatedMedium::new();
    let store =
        DurableStore::open_on(Arc::new(medium.clone()), &settings(), |_| {}).expect("an empty medium");
    let progress = Arc::new(Progress::default());
    for number in 1..=20_000 {
        let durability = if number % 3 == 0 { Durability::Periodic } else { Durability::Acked };
        retain(&store, durability, number, &progress);
    }
    assert!(wait_for(&progress, 19_999));
    let syncs = store.health().syncs.load(Ordering::Relaxed);
    assert!((1..2_000).contains(&syncs), "{syncs} syncs");
    // What was answered is there after a power failure.
    let left = on(&medium.after_power_failure(0, false), RetainedLimits::default());
    assert!(left.retained_totals().messages >= 19_999);
    assert!(wait_for(&progress, 20_000));
}

#[test]
fn those_who_come_in_one_round_are_answered_at_its_end_or_when_nobody_calls_it_any_more() {
    let medium = SimulatedMedium::new();
    let store =
        DurableStore::open_on(Arc::new(medium.clone()), &settings(), |_| {}).expect("an empty medium");
    let progress = Arc::new(Progress::default());
    let calls = Arc::new(AtomicUsize::new(0));
    let called = calls.clone();
    store.call_rounds(Some(Box::new(move || _ = called.fetch_add(1, Ordering::Relaxed))));
    for round in 1..=3_u64 {
        (1..=20).for_each(|one| retain(&store, Durability::Periodic, round * 20 - 20 + one, &progress));
        store.end_round();
        assert!(wait_for(&progress, round * 20));
    }
    assert_eq!(calls.load(Ordering::Relaxed), 3);
    (61..=63).for_each(|number| retain(&store, Durability::Periodic, number, &progress));
    store.call_rounds(None);
    assert!(wait_for(&progress, 63));
    retain(&store, Durability::Periodic, 64, &progress);
    assert!(wait_for(&progress, 64));
    assert_eq!(on(&medium.after_kill(), RetainedLimits::default()).retained_totals().messages, 64);
}

#[test]
fn a_sync_that_fails_in_the_background_answers_nobody_who_waited_for_it() {
    let medium = SimulatedMedium::new();
    let store =
        DurableStore::open_on(Arc::new(medium.clone()), &settings(), |_| {}).expect("an empty medium");
    let progress = Arc::new(Progress::default());
    medium.set_faults(Faults { sync_fails: true, ..Faults::default() });
    retain(&store, Durability::Acked, 1, &progress);
    assert!(!wait_for(&progress, 1));
    medium.set_faults(Faults::default());
    let later = Arc::new(Progress::default());
    retain(&store, Durability::Periodic, 1, &later);
    assert!(!wait_for(&later, 1), "what the medium lost is unknown");
    assert_eq!(store.condition(), Condition::Failed);
}

#[test]
fn a_transaction_that_leaves_no_trace_is_answered_as_well() {
    let medium = SimulatedMedium::new();
    let store =
        DurableStore::open_on(Arc::new(medium.clone()), &settings(), |_| {}).expect("an empty medium");
    let session = store.open_kept_queue("nobody", QueueLimits::default()).expect("a queue").session();
    let progress = Arc::new(Progress::default());
    for (number, durability) in (1..).zip([Durability::Acked, Durability::Periodic]) {
        let mut transaction = Transaction::default();
        transaction.require(durability);
        transaction.end(session.expect("it is kept"));
        store.submit(&mut transaction, Some((&progress, number)));
        assert!(wait_for(&progress, number), "{durability:?}");
    }
}
