//! In which order the writer takes what several tasks hand it at the same time.

use mqtt_codec::{PacketId, Properties, QoS};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER, WillMessage};

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

    /// Texts of what is sent again by the next process, and of what waits in it.
    fn found(mut self) -> (Vec<String>, usize) {
        match &self.store.way {
            Way::Inline(writer) => writer.lock().turn(&mut self.orders),
            Way::Thread { .. } => unreachable!("it was opened without"),
        };
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
