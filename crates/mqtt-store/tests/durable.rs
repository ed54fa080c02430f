//! The durable store, on a medium in memory.

mod suite;

use std::sync::{Arc, Mutex};
use std::time::Instant;

use mqtt_codec::{Properties, QoS};
use mqtt_session::{Message, NO_PUBLISHER};
use mqtt_store::durable::Wall;
use mqtt_store::durable::simulated::{Faults, SimulatedMedium};
use mqtt_store::{
    Condition, DurableSettings, DurableStore, Journal, QueueLimits, Retained, RetainedLimits, Store,
    WriteSettings,
};
use mqtt_topic::TopicName;

fn open(limits: RetainedLimits) -> Box<dyn Store> {
    Box::new(on(&SimulatedMedium::new(), limits))
}

fn on(medium: &SimulatedMedium, limits: RetainedLimits) -> DurableStore {
    let settings = DurableSettings {
        write: WriteSettings::default(),
        retained: limits,
        queue: QueueLimits::default(),
        wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
        drop_damaged: false,
    };
    DurableStore::open_inline(Arc::new(medium.clone()), &settings).expect("an empty medium")
}

suite::store_suite!(crate::open);

#[test]
fn each_change_of_the_medium_is_told_once() {
    let medium = SimulatedMedium::new();
    let store = on(&medium, RetainedLimits::default());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let telling = heard.clone();
    store.health().on_change(move |condition, error| {
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
