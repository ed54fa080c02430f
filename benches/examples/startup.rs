//! How a data directory with a lot in it is opened: how long that takes, and what it needs on the disk and in memory.
//!
//! `cargo run --release -p benches --example startup -- DIR [SESSIONS QUEUED RETAINED]` fills an empty directory and
//! opens it again in a process of its own; `martlet serve --data-dir DIR` can serve it afterwards.
//! `... --example startup -- --open DIR` only opens.
#![allow(clippy::print_stdout, reason = "the figures are what it is for")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mqtt_codec::{Properties, QoS, SubscriptionOptions};
use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER, Subscription};
use mqtt_store::durable::Wall;
use mqtt_store::{
    Durability, DurableSettings, DurableStore, Journal, Pushed, QueueLimits, Retained, RetainedLimits,
    SessionHead, Store, Transaction, WriteSettings,
};
use mqtt_topic::TopicName;

const SESSIONS: usize = 100_000;
const QUEUED: usize = 1_000_000;
const RETAINED: usize = 1_000_000;
const PAYLOAD_BYTES: usize = 64;
/// Changes that are stored together.
const TRANSACTION_BYTES: usize = 16 << 10;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |index: usize, usual| arguments.get(index).map_or(usual, |text| text.parse().expect("a number"));
    match &arguments[..] {
        [flag, directory] if flag == "--open" => open(Path::new(directory)),
        [directory, ..] => {
            fill(Path::new(directory), number(1, SESSIONS), number(2, QUEUED), number(3, RETAINED));
            let this = std::env::current_exe().expect("a program has a path");
            let status = Command::new(this).args(["--open", directory]).status().expect("it can be started");
            assert!(status.success());
        }
        [] => panic!("give a directory"),
    }
}

fn settings() -> DurableSettings {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    DurableSettings {
        write: WriteSettings::default(),
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall {
            instant: Instant::now(),
            unix_ms: u64::try_from(since.as_millis()).expect("before 2500"),
        },
        drop_damaged: false,
    }
}

fn message(topic: &str) -> Message {
    let topic = TopicName::parse(topic).expect("a topic name");
    Message::new(topic, Properties::EMPTY, &[b'x'; PAYLOAD_BYTES], NO_PUBLISHER, None)
}

fn fill(directory: &Path, sessions: usize, queued: usize, retained: usize) {
    let store = DurableStore::open(directory, &settings(), |_| {}).expect("the directory can be used");
    assert_eq!(store.report().sessions + store.report().retained, 0, "give an empty directory");
    let mut transaction = Transaction::default();
    transaction.set_durability(Durability::Periodic);
    for session in 0..sessions {
        let mut queue = store.open_kept_queue("", QueueLimits::default()).expect("a queue");
        let id = queue.session().expect("it is kept");
        transaction.head(id, head(session));
        let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
        let filter = format!("site/{session}/command/#");
        transaction.subscribe(id, &filter, Subscription { options, identifier: None });
        let own = queued / sessions + usize::from(session < queued % sessions);
        for _ in 0..own {
            let message = message(&format!("site/{session}/command/set"));
            let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message };
            assert_eq!(queue.push_in(delivery, &mut transaction), Pushed::Queued);
        }
        submit(&store, &mut transaction, TRANSACTION_BYTES);
    }
    submit(&store, &mut transaction, 0);
    let before_retained = written(&store);
    for number in 0..retained {
        let message = message(&format!("site/{}/device/{number}/state", number % 1000));
        let retained = Retained { message, qos: QoS::AtLeastOnce, source: None };
        store.retain_in(retained, None, &mut transaction).expect("there is room");
        submit(&store, &mut transaction, TRANSACTION_BYTES);
    }
    submit(&store, &mut transaction, 0);
    let after = written(&store);
    store.close();
    let each = |bytes: u64, count: usize| bytes as f64 / count.max(1) as f64;
    println!(
        "{:.0} bytes on the disk for each queued message of {PAYLOAD_BYTES} bytes, with its share of a session",
        each(before_retained, queued)
    );
    println!("{:.0} bytes for each retained message", each(after - before_retained, retained));
}

fn head(session: usize) -> SessionHead {
    SessionHead {
        client_id: format!("client {session}").into(),
        owner: None,
        session_expiry_s: u32::MAX,
        away_since_ms: Some(1),
        will: None,
    }
}

fn submit(store: &DurableStore, transaction: &mut Transaction, above_bytes: usize) {
    if transaction.size_bytes() > above_bytes {
        store.submit(transaction, None);
    }
}

/// Bytes written, once nothing waits any more.
fn written(store: &DurableStore) -> u64 {
    while store.health().bytes_waiting.load(std::sync::atomic::Ordering::Acquire) > 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    store.health().bytes_written.load(std::sync::atomic::Ordering::Acquire)
}

fn open(directory: &Path) {
    let started_at = Instant::now();
    let store = DurableStore::open(directory, &settings(), |_| {}).expect("it can be opened");
    let elapsed = started_at.elapsed();
    let report = store.report();
    println!(
        "{} sessions, {} messages and {} retained messages of {} MiB opened in {:.2} s, {} MiB resident",
        report.sessions,
        report.messages,
        report.retained,
        report.bytes >> 20,
        elapsed.as_secs_f64(),
        resident_kib() >> 10,
    );
}

/// Linux tells it; elsewhere 0.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
