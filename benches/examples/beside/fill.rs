//! A data directory with many messages that wait, and as many that are retained, side by side.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_codec::{Properties, QoS, SubscriptionOptions};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER, Subscription};
use mqtt_store::durable::Wall;
use mqtt_store::{
    Durability, DurableSettings, DurableStore, Journal, Pushed, Queue, QueueLimits, Retained, RetainedLimits,
    SessionHead, Store, Transaction, WriteSettings,
};
use mqtt_topic::TopicName;

pub(crate) const SESSIONS: usize = 10;
const PAYLOAD_BYTES: usize = 64;
/// Changes that are stored together.
const TRANSACTION_BYTES: usize = 16 << 10;

/// When all is over.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    pub(crate) sessions_at: Instant,
    pub(crate) retained_at: Instant,
}

pub(crate) fn client_id(session: usize) -> String {
    format!("client-{session}")
}

pub(crate) fn retained_topic(number: usize) -> String {
    format!("site/{}/device/{number}/state", number % 1000)
}

pub(crate) fn fill(directory: &Path, messages: usize, ends: Option<Ends>) {
    std::fs::create_dir_all(directory).expect("the directory can be made");
    let store = DurableStore::open(directory, &settings(), |_| {}).expect("the directory can be used");
    assert_eq!(store.report().retained, 0, "give an empty directory");
    let mut transaction = Transaction::default();
    transaction.set_durability(Durability::Periodic);
    let mut queues: Vec<_> =
        (0..SESSIONS).map(|session| open_session(&store, session, ends, &mut transaction)).collect();
    for number in 0..messages {
        let queued = message(&format!("command/{}", number % SESSIONS), None);
        let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message: queued };
        assert_eq!(queues[number % SESSIONS].push_in(delivery, &mut transaction), Pushed::Queued);
        let retained = message(&retained_topic(number), ends.map(|ends| ends.retained_at));
        let retained = Retained { message: retained, qos: QoS::AtLeastOnce, source: None };
        store.retain_in(retained, None, &mut transaction).expect("there is room");
        if transaction.size_bytes() > TRANSACTION_BYTES {
            store.submit(&mut transaction, None);
        }
    }
    store.submit(&mut transaction, None);
    while store.health().bytes_waiting.load(Ordering::Acquire) > 0 {
        thread::sleep(Duration::from_millis(5));
    }
    store.close();
}

fn open_session(
    store: &DurableStore,
    number: usize,
    ends: Option<Ends>,
    transaction: &mut Transaction,
) -> Box<dyn Queue> {
    let limits = QueueLimits { messages_max: usize::MAX, bytes_max: usize::MAX, ..QueueLimits::default() };
    let queue = store.open_kept_queue("", limits).expect("a queue");
    let id = queue.session().expect("it is kept");
    // With an end: away for as long as brings it to that moment.
    let expiry = Duration::from_secs(3600);
    let away_since_ms = ends.map_or(1, |ends| {
        unix_ms(SystemTime::now() + (ends.sessions_at - Instant::now())) - expiry.as_millis() as u64
    });
    let head = SessionHead {
        client_id: client_id(number).into(),
        owner: None,
        session_expiry_s: ends.map_or(u32::MAX, |_| expiry.as_secs() as u32),
        away_since_ms: Some(away_since_ms),
        will: None,
    };
    transaction.head(id, head);
    let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
    transaction.subscribe(id, &format!("command/{number}"), Subscription { options, identifier: None });
    queue
}

fn message(topic: &str, expires_at: Option<Instant>) -> Message {
    let topic = TopicName::parse(topic).expect("a topic name");
    Message::new(topic, Properties::EMPTY, &[b'x'; PAYLOAD_BYTES], NO_PUBLISHER, expires_at)
}

fn settings() -> DurableSettings {
    DurableSettings {
        write: WriteSettings::default(),
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall { instant: Instant::now(), unix_ms: unix_ms(SystemTime::now()) },
        drop_damaged: false,
    }
}

fn unix_ms(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).expect("after 1970");
    u64::try_from(since.as_millis()).expect("before 2500")
}
