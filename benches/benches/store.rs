//! Retained messages and queues in memory.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{Properties, QoS};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
use mqtt_store::{MemoryStore, Pushed, QueueLimits, Retained, RetainedLimits, Store};
use mqtt_topic::{TopicFilter, TopicName};

const RETAINED: usize = 100_000;
const PAGE_MESSAGES: usize = 128;

fn message(topic: &str) -> Message {
    let topic = TopicName::parse(topic).expect("a topic name");
    Message::new(topic, Properties::EMPTY, &[b'x'; 64], NO_PUBLISHER, None)
}

/// 1,000 sites with 100 devices each.
fn device_topic(number: usize) -> String {
    format!("site/{}/device/{number}/state", number % 1000)
}

fn retained() -> (MemoryStore, Vec<Retained>) {
    let store = MemoryStore::new(RetainedLimits::default());
    let all = (0..RETAINED).map(|number| Retained {
        message: message(&device_topic(number)),
        qos: QoS::AtLeastOnce,
        source: None,
    });
    let all: Vec<Retained> = all.collect();
    for one in &all {
        store.retain(one.clone()).expect("there is room");
    }
    (store, all)
}

fn retaining(criterion: &mut Criterion) {
    let (store, all) = retained();
    let mut group = criterion.benchmark_group("store");
    group.throughput(Throughput::Elements(1));
    let mut next = 0;
    group.bench_function("retain/replace one of 100,000", |bencher| {
        bencher.iter(|| {
            // A step without a common divisor with the number of messages visits all, in no order.
            next = (next + 7_919) % all.len();
            store.retain(black_box(all[next].clone()))
        });
    });
    let cleared = Message::new(
        TopicName::parse("new/topic").expect("a topic name"),
        Properties::EMPTY,
        b"",
        NO_PUBLISHER,
        None,
    );
    let new = Retained { message: message("new/topic"), qos: QoS::AtLeastOnce, source: None };
    let cleared = Retained { message: cleared, qos: QoS::AtLeastOnce, source: None };
    group.bench_function("retain/add and clear beside 100,000", |bencher| {
        bencher.iter(|| {
            store.retain(black_box(new.clone())).expect("there is room");
            store.retain(black_box(cleared.clone()))
        });
    });
    group.finish();
}

fn scanning(criterion: &mut Criterion) {
    let (store, _) = retained();
    let now = Instant::now();
    let mut group = criterion.benchmark_group("store");
    let middle = TopicName::parse(device_topic(RETAINED / 2).into()).expect("a topic name");
    for (name, filter, after, found) in [
        ("scan/first page of all", "#", None, PAGE_MESSAGES),
        ("scan/page in the middle", "#", Some(&middle), PAGE_MESSAGES),
        ("scan/the devices of one site", "site/77/device/+/state", None, 100),
        ("scan/exactly one", "site/77/device/77/state", None, 1),
    ] {
        let filter = TopicFilter::parse(filter).expect("a topic filter");
        group.throughput(Throughput::Elements(found as u64));
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let page = store.scan_retained(&filter, after, PAGE_MESSAGES, now).expect("readable");
                assert_eq!(page.messages.len(), found);
                page
            });
        });
    }
    group.finish();
}

fn queueing(criterion: &mut Criterion) {
    let store = MemoryStore::new(RetainedLimits::default());
    let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message: message("site/1/device/1/state") };
    let mut group = criterion.benchmark_group("store");
    for depth in [1, 100, 10_000] {
        let mut queue = store.open_queue("client", QueueLimits::default()).expect("a queue");
        group.throughput(Throughput::Elements(depth));
        group.bench_function(format!("queue/push and pop {depth}"), |bencher| {
            bencher.iter(|| {
                for _ in 0..depth {
                    assert_eq!(queue.push(delivery.clone()), Pushed::Queued);
                }
                while let Some(delivery) = queue.pop() {
                    black_box(delivery);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, retaining, scanning, queueing);
criterion_main!(benches);
