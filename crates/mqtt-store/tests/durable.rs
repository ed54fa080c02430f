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
        memory_bytes_max: 256 << 20,
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
        let settings = DurableSettings {
            write: WriteSettings::default(),
            retained: RetainedLimits::default(),
            queue: QueueLimits::default(),
            memory_bytes_max: 256 << 20,
            wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
            drop_damaged: true,
        };
        let error =
            DurableStore::open_inline(Arc::new(other.clone()), &settings).expect_err("another format");
        let expected =
            format!("has format {format}, and this version of Martlet reads and writes format 2 only");
        assert!(error.to_string().contains(&expected), "{error}");
        assert_eq!(other.contents(), contents, "nothing was changed");
    }
}
