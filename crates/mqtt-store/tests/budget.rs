//! More than fits into memory: bodies on the medium, each once, read back in order.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use mqtt_codec::{Properties, QoS};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::SimulatedMedium;
use mqtt_store::{
    Durability, DurableSettings, DurableStore, Journal, Pushed, Queue, QueueLimits, Retained, RetainedLimits,
    SessionHead, Store, Transaction, WriteSettings,
};
use mqtt_topic::{TopicFilter, TopicName};

const MEMORY_BYTES: usize = 64 << 10;
const MESSAGES: usize = 1200;
const CLIENTS: [&str; 3] = ["a", "b", "c"];

fn settings() -> DurableSettings {
    DurableSettings {
        write: WriteSettings {
            sync_interval: Duration::from_secs(3600),
            segment_bytes_max: 256 << 10,
            space_factor: 2,
            space_bytes_min: 1 << 20,
        },
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: MEMORY_BYTES,
        wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
        drop_damaged: false,
    }
}

fn open(medium: &SimulatedMedium) -> DurableStore {
    DurableStore::open_inline(Arc::new(medium.clone()), &settings()).expect("nothing is damaged")
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = number.to_le_bytes().to_vec();
    payload.extend((0..1000 + number * 37 % 9000).map(|place| (place * number) as u8));
    payload
}

fn message(topic: &str, number: usize) -> Message {
    let topic = TopicName::parse(topic).expect("a name");
    Message::new(topic, Properties::EMPTY, &payload(number), NO_PUBLISHER, None)
}

fn begin(store: &DurableStore, client_id: &str) -> Box<dyn Queue> {
    let queue = store.open_kept_queue(client_id, QueueLimits::default()).expect("a queue");
    let head = SessionHead {
        client_id: client_id.into(),
        owner: None,
        session_expiry_s: 1000,
        away_since_ms: None,
        will: None,
    };
    let mut transaction = Transaction::default();
    transaction.head(queue.session().expect("it is kept"), head);
    store.submit(&mut transaction, None);
    queue
}

/// Each message for every queue, in one transaction.
fn publish(store: &DurableStore, queues: &mut [Box<dyn Queue>], numbers: std::ops::Range<usize>) {
    for number in numbers {
        let mut transaction = Transaction::default();
        transaction.set_durability(Durability::Periodic);
        let message = message("t", number);
        for queue in &mut *queues {
            let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message: message.clone() };
            assert_eq!(queue.push_in(delivery, &mut transaction), Pushed::Queued);
        }
        store.submit(&mut transaction, None);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Takes a message, waiting for its body if need be, and says that it is done with.
fn take(store: &DurableStore, queue: &mut dyn Queue) -> Delivery {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        queue.refill(&|| waker.clone());
        if queue.front().is_some() {
            break;
        }
        std::thread::park();
    }
    let delivery = queue.pop().expect("it is at the front");
    let mut transaction = Transaction::default();
    transaction.give_up(queue.session().expect("it is kept"), delivery.hop.place);
    store.submit(&mut transaction, None);
    delivery
}

#[track_caller]
fn expect(store: &DurableStore, queue: &mut dyn Queue, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let delivery = take(store, queue);
        assert!(delivery.message.payload() == payload(number), "message {number} is another");
        assert_eq!((delivery.message.topic(), delivery.hop.qos), ("t", QoS::AtLeastOnce));
    }
}

fn in_memory(store: &DurableStore) -> usize {
    usize::try_from(store.health().bytes_in_memory.load(Ordering::Relaxed)).expect("not below zero")
}

/// A message more, and what a few queues do not tell at once.
const SLACK_BYTES: usize = 10_000 + CLIENTS.len() * 4096;

#[test]
fn a_queue_larger_than_memory_is_delivered_whole_over_kills_and_compaction() {
    let mut medium = SimulatedMedium::new();
    let mut store = open(&medium);
    let mut queues: Vec<_> = CLIENTS.iter().map(|client_id| begin(&store, client_id)).collect();
    queues.iter_mut().for_each(|queue| queue.set_away(true));
    publish(&store, &mut queues, 0..MESSAGES);
    assert!(in_memory(&store) <= MEMORY_BYTES + SLACK_BYTES, "{}", in_memory(&store));
    let bodies: usize = (0..MESSAGES).map(|number| payload(number).len()).sum();
    let held = usize::try_from(store.len_bytes()).expect("it is small");
    assert!(held < bodies + MESSAGES * 120, "{held} bytes for {bodies}: each body once");
    // In parts, each with a kill behind it, and with what is needed written anew in between.
    let step = MESSAGES / 6;
    for part in 0..6 {
        for queue in &mut queues {
            queue.set_away(false);
            expect(&store, &mut **queue, part * step..(part + 1) * step);
            queue.set_away(true);
        }
        assert!(in_memory(&store) <= MEMORY_BYTES + SLACK_BYTES, "{}", in_memory(&store));
        if part % 2 == 0 {
            store.compact().expect("nothing fails");
        }
        medium = medium.after_kill();
        store = open(&medium);
        let mut recovered = store.take_recovered();
        recovered.sort_by(|a, b| a.head.client_id.cmp(&b.head.client_id));
        queues = recovered.into_iter().map(|recovered| recovered.queue).collect();
        assert_eq!(in_memory(&store), 0, "a start reads no body");
        assert!(queues.iter().all(|queue| queue.len() == MESSAGES - (part + 1) * step));
    }
    assert!(store.health().bytes_live.load(Ordering::Relaxed) < 1000, "nothing is left but the sessions");
}

#[test]
fn what_is_asked_for_in_the_midst_of_compaction_is_found() {
    let medium = SimulatedMedium::new();
    let store = open(&medium);
    let mut queues = vec![begin(&store, "a")];
    queues[0].set_away(true);
    publish(&store, &mut queues, 0..1000);
    for number in 0..1000 {
        expect(&store, &mut *queues[0], number..number + 1);
        if number % 100 == 50 {
            store.compact().expect("nothing fails");
        }
    }
}

#[test]
fn a_reader_of_its_own_brings_the_bodies_while_others_write() {
    let directory = std::env::temp_dir().join(format!("martlet-budget-{}", std::process::id()));
    let store = DurableStore::open(&directory, &settings(), |_| {}).expect("an empty directory");
    let mut queues = vec![begin(&store, "a")];
    queues[0].set_away(true);
    publish(&store, &mut queues, 0..1000);
    queues[0].set_away(false);
    for number in 0..1000 {
        // What was published a moment ago may be on its way to the disk when it is asked for.
        publish(&store, &mut queues, 1000 + number..1001 + number);
        expect(&store, &mut *queues[0], number..number + 1);
    }
    expect(&store, &mut *queues[0], 1000..2000);
    drop(queues);
    store.close();
    std::fs::remove_dir_all(&directory).expect("it is ours");
}

#[test]
fn retained_messages_larger_than_memory_are_found_and_kept_current() {
    let medium = SimulatedMedium::new();
    let mut store = open(&medium);
    let retain = |store: &DurableStore, topic: usize, number: usize| {
        let message = message(&format!("r/{topic:04}"), number);
        store.retain(Retained { message, qos: QoS::AtLeastOnce, source: None }).expect("there is room");
    };
    (0..1000).for_each(|number| retain(&store, number, number));
    (0..500).for_each(|topic| retain(&store, topic, topic + 5000));
    for round in 0..3 {
        assert!(in_memory(&store) <= MEMORY_BYTES + SLACK_BYTES, "{}", in_memory(&store));
        let filter = TopicFilter::parse("r/#").expect("a filter");
        let (mut after, mut found) = (None, Vec::new());
        loop {
            let page = store.scan_retained(&filter, after.as_ref(), 100, Instant::now()).expect("readable");
            found.extend(page.messages);
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        assert_eq!(found.len(), 1000, "round {round}");
        for (topic, retained) in found.iter().enumerate() {
            let number = if topic < 500 { topic + 5000 } else { topic };
            assert_eq!(retained.message.topic(), format!("r/{topic:04}"));
            assert!(retained.message.payload() == payload(number), "{topic} in round {round}");
        }
        store.compact().expect("nothing fails");
        store = open(&medium.after_kill());
    }
    assert_eq!(store.retained_totals().messages, 1000);
}
