//! In which order the writer takes what several tasks hand it at the same time.

use mqtt_codec::{PacketId, PlainPublish, Properties, QoS, SubscriptionOptions};
use mqtt_session::{
    BatchBuilder, Delivery, Hop, InboundPublish, Layout, Message, NO_PUBLISHER, Subscription, WillMessage,
};

use super::*;
use crate::durable::simulated::SimulatedMedium;
use crate::{Durability, SessionHead};

/// A session, and a store whose writer gets what is collected at one time.
struct Rig {
    medium: SimulatedMedium,
    store: DurableStore,
    session: SessionId,
    queue: Box<dyn Queue>,
    receiver: Arc<Progress>,
    orders: Vec<Order>,
}

impl Rig {
    fn new() -> Self {
        let medium = SimulatedMedium::new();
        let store = open(&medium);
        let queue = store.open_kept_queue("client", QueueLimits::default()).expect("the medium is good");
        let session = queue.session().expect("it is kept");
        let mut transaction = Transaction::default();
        transaction.head(session, head(None));
        store.submit(&mut transaction, None);
        Self { medium, store, session, queue, receiver: Arc::default(), orders: Vec::new() }
    }

    /// What a publisher submits: messages with these texts.
    fn publish(&mut self, texts: &[&str]) -> Order {
        let mut transaction = Transaction::default();
        transaction.set_durability(Durability::Periodic);
        for text in texts {
            let topic = TopicName::assume_valid("t");
            let message = Message::new(topic, Properties::EMPTY, text.as_bytes(), NO_PUBLISHER, None);
            let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message };
            assert_eq!(self.queue.push_in(delivery, &mut transaction), crate::Pushed::Queued);
        }
        Order::Store { transaction, to: None }
    }

    /// The same, as one batch.
    fn publish_batch(&mut self, texts: &[&str]) {
        let mut transaction = Transaction::default();
        transaction.set_durability(Durability::Periodic);
        let mut builder = BatchBuilder::new(Layout::Plain, QoS::AtLeastOnce);
        for text in texts {
            let plain =
                PlainPublish { qos: QoS::AtLeastOnce, packet_id: Some(id(1)), payload: text.as_bytes() };
            builder.push(&InboundPublish::plain(&plain, TopicName::assume_valid("t")));
        }
        let batch = builder.finish(NO_PUBLISHER).expect("there are some");
        for delivery in self.queue.pass_in(&batch, &mut transaction).deliveries() {
            assert_eq!(self.queue.push(delivery), crate::Pushed::Queued);
        }
        self.orders.push(Order::Store { transaction, to: None });
    }

    /// What the receiver's connection submits.
    fn of_receiver(&mut self, note: impl FnOnce(&mut Transaction, SessionId)) {
        let mut transaction = Transaction::default();
        note(&mut transaction, self.session);
        self.orders.push(Order::Store { transaction, to: Some((self.receiver.clone(), 0)) });
    }

    fn sent(&mut self, places: core::ops::RangeInclusive<u16>) {
        self.of_receiver(|transaction, session| {
            for place in places {
                transaction.sent(session, place.into(), id(place), QoS::AtLeastOnce);
            }
        });
    }

    /// Has all that was collected stored.
    fn turn(&mut self) {
        match &self.store.way {
            Way::Inline(writer) => writer.lock().turn(&mut self.orders),
            Way::Thread { .. } => unreachable!("it was opened without"),
        };
    }

    /// Texts of what is sent again by the next process, and of what waits in it.
    fn found(mut self) -> (Vec<String>, usize) {
        self.turn();
        let store = open(&self.medium.after_kill());
        let mut recovered = store.take_recovered();
        let Recovered { session, queue, .. } = recovered.pop().expect("there is a session");
        let text = |delivery: &Delivery| String::from_utf8_lossy(delivery.message.payload()).into_owned();
        (session.into_unacknowledged().iter().map(text).collect(), queue.len())
    }
}

fn head(will: Option<WillMessage>) -> SessionHead {
    SessionHead { client_id: "client".into(), owner: None, session_expiry_s: 100, away_since_ms: None, will }
}

fn will(serial: u64, text: &str) -> WillMessage {
    let (topic, flags) = (TopicName::assume_valid("will"), (QoS::AtLeastOnce, false));
    let mut will = WillMessage::restore(topic, text.as_bytes(), Properties::EMPTY, None, flags, 0);
    will.serial = serial;
    will
}

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("above zero")
}

fn open(medium: &SimulatedMedium) -> DurableStore {
    let settings = DurableSettings { memory_bytes_max: 1 << 20, ..DurableSettings::default() };
    DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("nothing is damaged")
}

/// A receiver that is awake sends messages before their publisher has told the store of them.
#[test]
fn what_was_sent_too_early_to_be_known_is_still_sent_before_what_came_later() {
    let mut rig = Rig::new();
    let publishers = [rig.publish(&["1", "2"]), rig.publish(&["3"])];
    rig.sent(1..=2);
    rig.orders.extend(publishers);
    rig.sent(3..=3);
    assert_eq!(rig.found(), (["1", "2", "3"].map(str::to_owned).to_vec(), 0));
}

#[test]
fn an_acknowledgement_is_not_taken_before_the_sending_that_it_answers() {
    let mut rig = Rig::new();
    let publisher = rig.publish(&["1", "2"]);
    rig.sent(1..=1);
    rig.orders.push(publisher);
    rig.of_receiver(|transaction, session| transaction.settled(session, id(1)));
    assert_eq!(rig.found(), (Vec::new(), 1));
}

/// A client comes back while its old connection's will goes out.
#[test]
fn a_will_that_is_gone_does_not_take_the_next_one_with_it() {
    let rig = Rig::new();
    let stored = |wills: [u64; 2], gone: u64| {
        let mut transaction = Transaction::default();
        for serial in wills {
            transaction.head(rig.session, head(Some(will(serial, &serial.to_string()))));
        }
        transaction.will_gone(rig.session, &will(gone, "any"));
        rig.store.submit(&mut transaction, None);
        let next = open(&rig.medium.after_kill());
        let recovered = next.take_recovered().pop().expect("there is a session");
        recovered.head.will.map(|will| will.payload().to_vec())
    };
    assert_eq!(stored([1, 2], 1), Some(b"2".to_vec()));
    assert_eq!(stored([3, 4], 4), None);
}

/// A store that has something of every kind in its first segment.
fn full() -> SimulatedMedium {
    let mut rig = Rig::new();
    for text in ["1", "2", "3", "4"] {
        let order = rig.publish(&[text]);
        rig.orders.push(order);
        rig.turn();
    }
    rig.publish_batch(&["5", "6", "7", "8"]);
    rig.turn();
    rig.sent(1..=1);
    rig.of_receiver(|transaction, session| {
        transaction.received(session, id(7));
        let subscription = Subscription { options: SubscriptionOptions::default(), identifier: None };
        transaction.subscribe(session, "t/+", subscription);
    });
    rig.turn();
    let topic = TopicName::assume_valid("kept");
    let message = Message::new(topic, Properties::EMPTY, b"9", NO_PUBLISHER, None);
    let retained = Retained { message, qos: QoS::AtLeastOnce, source: None };
    rig.store.retain(retained).expect("there is room");
    rig.medium.after_kill()
}

/// Texts of all messages that a store gives out, and whether it has the rest of what [`full`] put there.
fn rest_of(store: &DurableStore) -> (Vec<String>, bool) {
    let Recovered { session, mut queue, .. } = store.take_recovered().pop().expect("there is a session");
    let is_whole =
        session.subscriptions().any(|(filter, _)| filter == "t/+") && session.unreleased_len() == 1;
    let waker = || std::task::Waker::noop().clone();
    let mut found: Vec<Message> =
        session.into_unacknowledged().into_iter().map(|delivery| delivery.message).collect();
    let mut next = || {
        queue.refill(&waker);
        queue.pop()
    };
    while let Some(delivery) = next() {
        found.push(delivery.message);
    }
    let all = mqtt_topic::TopicFilter::parse("#").expect("a filter");
    let page = store.scan_retained(&all, None, usize::MAX, Instant::now()).expect("it is in memory");
    found.extend(page.messages.into_iter().map(|retained| retained.message));
    let found = found.iter().filter(|message| !message.is_absent());
    (found.map(|message| String::from_utf8_lossy(message.payload()).into_owned()).collect(), is_whole)
}

fn settings(drop_damaged: bool) -> DurableSettings {
    DurableSettings { memory_bytes_max: 1 << 20, drop_damaged, ..DurableSettings::default() }
}

/// Compaction comes upon bytes that were in order when the store was opened.
#[test]
fn damage_that_came_after_the_opening_costs_the_messages_that_it_hit_and_nothing_else() {
    let before = full();
    let name = "0000000001.segment";
    let mut costs = [0; 2];
    for offset in 0..before.contents()[name].len() {
        let medium = before.after_kill();
        let store = open(&medium);
        medium.damage(name, offset);
        store.compact().expect("what is left can be written");
        store.close();
        assert!(!medium.contents().contains_key(name), "it was written anew");
        let error = store.health().last_error.lock().take();
        let next = DurableStore::open_inline(Arc::new(medium.after_kill()), &settings(true));
        let (texts, is_whole) = rest_of(&next.expect("its frames are in order"));
        let lost = 9 - texts.len();
        assert!(lost <= 1 && is_whole, "byte {offset}: only {texts:?} is left");
        assert!(texts.is_sorted(), "byte {offset}: {texts:?}");
        assert!(
            lost == 0 || error.is_some_and(|error| error.contains("1 messages are lost")),
            "byte {offset}"
        );
        costs[lost] += 1;
    }
    assert!(costs[0] > 0 && costs[1] > 0, "bytes of both kinds were hit: {costs:?}");
}
