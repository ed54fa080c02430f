//! Random work on a durable store that is killed, loses power, runs full: what was promised is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::{Duration, Instant};

use mqtt_codec::{PacketId, PlainPublish, Properties, QoS, SubscriptionOptions};
use mqtt_session::{
    BatchBuilder, Delivery, Hop, InboundPublish, Layout, Message, NO_PUBLISHER, Subscription,
};
use mqtt_store::durable::simulated::{Faults, SimulatedMedium};
use mqtt_store::durable::{OpenError, Wall};
use mqtt_store::{
    Condition, Durability, DurableSettings, DurableStore, Journal, Progress, Queue, QueueLimits, Retained,
    RetainedLimits, SessionHead, SessionId, Store, Transaction, WriteSettings,
};
use mqtt_topic::{TopicFilter, TopicName};

/// What has to be found again.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    /// By client identifier.
    sessions: BTreeMap<String, SessionModel>,
    retained: BTreeMap<String, Vec<u8>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct SessionModel {
    filters: Vec<String>,
    waiting: Vec<Vec<u8>>,
    in_flight: Vec<Vec<u8>>,
    received: usize,
}

/// A store, its model, and the live sessions.
struct Rig {
    medium: SimulatedMedium,
    store: DurableStore,
    model: Model,
    live: BTreeMap<String, Live>,
    random: Random,
    number: u64,
    /// Whether batches are among the work, each as long as several segments, and acknowledgements in a row.
    passes: bool,
}

struct Live {
    id: SessionId,
    queue: Box<dyn Queue>,
    in_flight: Vec<(u16, Vec<u8>)>,
    received: Vec<u16>,
    next_id: u16,
}

/// A sequence that depends on its seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn settings() -> DurableSettings {
    DurableSettings {
        write: WriteSettings {
            sync_interval: Duration::from_secs(3600),
            segment_bytes_max: 4096,
            space_factor: 2,
            space_bytes_min: 16 << 10,
        },
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall { instant: Instant::now(), unix_ms: 1_700_000_000_000 },
        drop_damaged: false,
    }
}

fn open(medium: &SimulatedMedium) -> DurableStore {
    DurableStore::open_inline(Arc::new(medium.clone()), &settings()).expect("nothing is damaged")
}

fn message(topic: &str, payload: &[u8]) -> Message {
    let topic = TopicName::parse(topic).expect("a name");
    Message::new(topic, Properties::EMPTY, payload, NO_PUBLISHER, None)
}

fn head(client: &str) -> SessionHead {
    SessionHead {
        client_id: client.into(),
        owner: None,
        session_expiry_s: 100,
        away_since_ms: None,
        will: None,
    }
}

fn subscription(identifier: u32) -> Subscription {
    let options = SubscriptionOptions { qos: QoS::ExactlyOnce, ..SubscriptionOptions::default() };
    Subscription { options, identifier: Some(identifier) }
}

/// Takes the next message, wherever its body is.
fn next(queue: &mut dyn Queue) -> Option<Delivery> {
    queue.refill(&|| Waker::noop().clone());
    let delivery = queue.pop()?;
    assert!(!delivery.message.is_absent(), "a store without a thread reads at once");
    Some(delivery)
}

/// What a store says it holds.
fn found(store: &DurableStore) -> Model {
    let mut model = Model::default();
    for mut recovered in store.take_recovered() {
        let mut session = SessionModel {
            filters: recovered.session.subscriptions().map(|(filter, _)| filter.to_owned()).collect(),
            received: recovered.session.unreleased_len(),
            ..SessionModel::default()
        };
        session.filters.sort();
        while let Some(delivery) = next(&mut *recovered.queue) {
            session.waiting.push(delivery.message.payload().to_vec());
        }
        let in_flight = recovered.session.into_unacknowledged();
        session.in_flight = in_flight.iter().map(|delivery| delivery.message.payload().to_vec()).collect();
        model.sessions.insert(recovered.head.client_id.to_string(), session);
    }
    let all = TopicFilter::parse("#").expect("a filter");
    let page = store.scan_retained(&all, None, 10_000, Instant::now()).expect("it can be read");
    for retained in page.messages {
        model.retained.insert(retained.message.topic().to_owned(), retained.message.payload().to_vec());
    }
    model
}

impl Rig {
    fn new(seed: u64) -> Self {
        let medium = SimulatedMedium::new();
        let store = open(&medium);
        let random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        Self {
            medium,
            store,
            model: Model::default(),
            live: BTreeMap::new(),
            random,
            number: 0,
            passes: true,
        }
    }

    fn payload(&mut self) -> Vec<u8> {
        self.number += 1;
        let mut payload = self.number.to_le_bytes().to_vec();
        payload.resize(8 + self.random.below(200) as usize, b'.');
        payload
    }

    /// One random transaction.
    fn step(&mut self, durability: Durability) {
        let mut transaction = Transaction::default();
        transaction.set_durability(durability);
        let client = format!("client {}", self.random.below(4));
        if !self.live.contains_key(&client) {
            self.begin(&client, &mut transaction);
        }
        match self.random.below(if self.passes { 14 } else { 12 }) {
            0 => self.end(&client, &mut transaction),
            1 | 2 => self.subscribe(&client, &mut transaction),
            3 => self.retain(&mut transaction),
            4 | 5 => self.settle(&client, &mut transaction),
            6 | 7 => self.send(&client, &mut transaction),
            8 => self.receive(&client, &mut transaction),
            9 | 10 if self.passes => self.pass(&mut transaction),
            _ => self.publish(&mut transaction),
        }
        self.store.submit(&mut transaction, None);
    }

    fn begin(&mut self, client: &str, transaction: &mut Transaction) {
        let queue = self.store.open_kept_queue(client, QueueLimits::default()).expect("a queue");
        let id = queue.session().expect("it is kept");
        transaction.head(id, head(client));
        let live = Live { id, queue, in_flight: Vec::new(), received: Vec::new(), next_id: 1 };
        self.live.insert(client.to_owned(), live);
        self.model.sessions.insert(client.to_owned(), SessionModel::default());
    }

    fn end(&mut self, client: &str, transaction: &mut Transaction) {
        transaction.end(self.live.remove(client).expect("it is live").id);
        self.model.sessions.remove(client);
    }

    fn subscribe(&mut self, client: &str, transaction: &mut Transaction) {
        let filter = format!("filter/{}", self.random.below(5));
        let id = self.live[client].id;
        let filters = &mut self.model.sessions.get_mut(client).expect("it is live").filters;
        if let Ok(place) = filters.binary_search(&filter) {
            filters.remove(place);
            transaction.unsubscribe(id, &filter);
        } else {
            filters.push(filter.clone());
            filters.sort();
            transaction.subscribe(id, &filter, subscription(7));
        }
    }

    fn retain(&mut self, transaction: &mut Transaction) {
        let topic = format!("topic/{}", self.random.below(8));
        let payload = if self.random.below(4) == 0 { Vec::new() } else { self.payload() };
        let retained = Retained { message: message(&topic, &payload), qos: QoS::AtLeastOnce, source: None };
        self.store.retain_in(retained, None, transaction).expect("there is room");
        if payload.is_empty() {
            self.model.retained.remove(&topic);
        } else {
            self.model.retained.insert(topic, payload);
        }
    }

    /// One message for every session.
    fn publish(&mut self, transaction: &mut Transaction) {
        let payload = self.payload();
        let message = message("published", &payload);
        for (client, live) in &mut self.live {
            let delivery = Delivery { hop: Hop::new(QoS::ExactlyOnce), message: message.clone() };
            assert_eq!(live.queue.push_in(delivery, transaction), mqtt_store::Pushed::Queued);
            self.model.sessions.get_mut(client).expect("it is live").waiting.push(payload.clone());
        }
    }

    /// A batch for every session, part of which is sent at once, past the queue.
    fn pass(&mut self, transaction: &mut Transaction) {
        let payloads: Vec<Vec<u8>> = (0..2 + self.random.below(20)).map(|_| self.payload()).collect();
        let mut builder = BatchBuilder::new(Layout::WithProperties, QoS::AtLeastOnce);
        for payload in &payloads {
            let plain = PlainPublish { qos: QoS::AtLeastOnce, packet_id: Some(PacketId::MIN), payload };
            builder.push(&InboundPublish::plain(&plain, TopicName::parse("batch").expect("a name")));
        }
        let batch = builder.finish(NO_PUBLISHER).expect("there are some");
        for (client, live) in &mut self.live {
            let session = self.model.sessions.get_mut(client).expect("it is live");
            let mut rest = live.queue.pass_in(&batch, transaction);
            let sent = self.random.below(payloads.len() as u64) as usize;
            if sent > 0 && session.waiting.is_empty() {
                let front = rest.split_front(sent as u32);
                transaction.sent_batch(live.id, &front, PacketId::new(live.next_id).expect("above zero"));
                live.in_flight.extend((live.next_id..).zip(payloads[..sent].iter().cloned()));
                live.next_id += sent as u16;
                session.in_flight.extend_from_slice(&payloads[..sent]);
            }
            for delivery in rest.deliveries() {
                session.waiting.push(delivery.message.payload().to_vec());
                assert_eq!(live.queue.push(delivery), mqtt_store::Pushed::Queued);
            }
        }
    }

    fn send(&mut self, client: &str, transaction: &mut Transaction) {
        let live = self.live.get_mut(client).expect("it is live");
        let Some(delivery) = next(&mut *live.queue) else { return };
        let packet_id = PacketId::new(live.next_id).expect("above zero");
        live.next_id += 1;
        transaction.sent(live.id, delivery.hop.place, packet_id, QoS::ExactlyOnce);
        live.in_flight.push((packet_id.get(), delivery.message.payload().to_vec()));
        let session = self.model.sessions.get_mut(client).expect("it is live");
        let payload = session.waiting.remove(0);
        session.in_flight.push(payload);
    }

    fn settle(&mut self, client: &str, transaction: &mut Transaction) {
        let live = self.live.get_mut(client).expect("it is live");
        let most = if self.passes { 1 + self.random.below(12) as usize } else { 1 };
        let settled = live.in_flight.len().min(most);
        for (packet_id, _) in live.in_flight.drain(..settled) {
            transaction.settled(live.id, PacketId::new(packet_id).expect("above zero"));
        }
        self.model.sessions.get_mut(client).expect("it is live").in_flight.drain(..settled);
    }

    fn receive(&mut self, client: &str, transaction: &mut Transaction) {
        let live = self.live.get_mut(client).expect("it is live");
        let session = self.model.sessions.get_mut(client).expect("it is live");
        match live.received.pop() {
            Some(id) if self.random.below(2) == 0 => {
                transaction.released(live.id, PacketId::new(id).expect("above zero"));
                session.received -= 1;
            }
            other => {
                live.received.extend(other);
                let id = live.received.last().map_or(1, |last| last + 1);
                live.received.push(id);
                transaction.received(live.id, PacketId::new(id).expect("above zero"));
                session.received += 1;
            }
        }
    }
}

#[test]
fn a_kill_at_any_moment_loses_nothing() {
    for seed in 0..60 {
        let mut rig = Rig::new(seed);
        for step in 0..250 {
            rig.step(Durability::Periodic);
            if rig.random.below(16) == 0 {
                assert_eq!(found(&open(&rig.medium.after_kill())), rig.model, "seed {seed}, step {step}");
            }
        }
    }
}

#[test]
fn a_power_failure_loses_nothing_that_was_synced_and_only_the_end_of_the_rest() {
    for seed in 0..60 {
        let mut rig = Rig::new(seed);
        let mut since_sync = vec![rig.model.clone()];
        let mut syncs = 0;
        for step in 0..250 {
            let acked = rig.random.below(10) == 0;
            rig.step(if acked { Durability::Acked } else { Durability::Periodic });
            let synced = rig.store.health().syncs.load(Ordering::Relaxed);
            if synced != syncs {
                // Cleaning syncs as well, but only after the transaction was written.
                syncs = synced;
                since_sync.clear();
            }
            since_sync.push(rig.model.clone());
            if rig.random.below(16) == 0 {
                let kept = rig.random.below(1001) as usize;
                let garbled = rig.random.below(2) == 0;
                let left = rig.medium.after_power_failure(kept, garbled);
                let found = found(&open(&left));
                assert_eq!(self::found(&open(&left)), found, "seed {seed}, step {step}: a second start");
                assert!(since_sync.contains(&found), "seed {seed}, step {step}: {found:#?}");
            }
        }
    }
}

#[test]
fn a_store_that_is_opened_again_and_again_stays_the_same() {
    let mut rig = Rig::new(7);
    (0..400).for_each(|_| rig.step(Durability::Periodic));
    let mut medium = rig.medium.after_kill();
    for _ in 0..5 {
        assert_eq!(found(&open(&medium)), rig.model);
        medium = medium.after_kill();
    }
}

#[test]
fn the_segments_stay_within_a_factor_of_what_is_needed() {
    let mut rig = Rig { passes: false, ..Rig::new(3) };
    for _ in 0..4000 {
        rig.step(Durability::Periodic);
        let health = rig.store.health();
        let (held, live) = (&health.bytes_held, &health.bytes_live);
        let (held, live) = (held.load(Ordering::Relaxed), live.load(Ordering::Relaxed));
        // One segment may be on its way out, and one write goes beyond the bound before it is noticed.
        assert!(held <= 2 * live + (16 << 10) + 4 * 4096, "{held} bytes for {live}");
    }
}

/// A write may end a session that was the only one to need several segments. The next one removes them all.
#[test]
fn the_segments_of_batches_are_cleaned_as_fast_as_they_are_written() {
    let mut rig = Rig::new(3);
    let mut over = 0;
    for step in 0..4000 {
        rig.step(Durability::Periodic);
        let health = rig.store.health();
        let (held, live) = (&health.bytes_held, &health.bytes_live);
        let (held, live) = (held.load(Ordering::Relaxed), live.load(Ordering::Relaxed));
        over = if held <= 2 * live + (16 << 10) + 4 * 4096 { 0 } else { over + 1 };
        assert!(over <= 1, "{held} bytes for {live} at step {step}");
    }
}

#[test]
fn compaction_leaves_what_is_needed_alone() {
    let mut rig = Rig::new(11);
    (0..2000).for_each(|_| rig.step(Durability::Periodic));
    let before = rig.store.len_bytes();
    rig.store.compact().expect("nothing fails");
    assert!(rig.store.len_bytes() <= before);
    assert_eq!(found(&open(&rig.medium.after_kill())), rig.model);
}

fn submit(rig: &mut Rig, progress: &Arc<Progress>, number: u64) {
    let mut transaction = Transaction::default();
    transaction.set_durability(Durability::Periodic);
    if rig.live.is_empty() {
        rig.begin("client", &mut transaction);
    }
    rig.publish(&mut transaction);
    rig.store.submit(&mut transaction, Some((progress, number)));
}

#[test]
fn a_full_medium_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let mut rig = Rig::new(5);
    let progress = Arc::new(Progress::default());
    submit(&mut rig, &progress, 1);
    rig.medium.set_faults(Faults { room_bytes: Some(10), ..Faults::default() });
    submit(&mut rig, &progress, 2);
    submit(&mut rig, &progress, 3);
    assert_eq!((progress.done(), rig.store.condition()), (1, Condition::Full));
    assert!(!progress.has_failed());
    rig.medium.set_faults(Faults::default());
    submit(&mut rig, &progress, 4);
    assert_eq!((progress.done(), rig.store.condition()), (4, Condition::Good));
    assert_eq!(found(&open(&rig.medium.after_kill())), rig.model);
}

#[test]
fn a_kill_on_a_full_medium_loses_only_what_was_not_acknowledged() {
    let mut rig = Rig::new(5);
    let progress = Arc::new(Progress::default());
    submit(&mut rig, &progress, 1);
    let acknowledged = rig.model.clone();
    rig.medium.set_faults(Faults { room_bytes: Some(25), ..Faults::default() });
    submit(&mut rig, &progress, 2);
    assert_eq!(found(&open(&rig.medium.after_kill())), acknowledged);
}

#[test]
fn a_failed_sync_is_never_forgotten() {
    let mut rig = Rig::new(5);
    let progress = Arc::new(Progress::default());
    rig.medium.set_faults(Faults { sync_fails: true, ..Faults::default() });
    let mut transaction = Transaction::default();
    transaction.set_durability(Durability::Acked);
    rig.begin("client", &mut transaction);
    rig.publish(&mut transaction);
    rig.store.submit(&mut transaction, Some((&progress, 1)));
    assert!(progress.has_failed() && progress.done() == 0);
    // The medium says that all is well again, but what it lost is unknown.
    rig.medium.set_faults(Faults::default());
    submit(&mut rig, &progress, 2);
    assert_eq!((progress.done(), rig.store.condition()), (0, Condition::Failed));
}

#[test]
fn damage_in_what_was_synced_is_refused_and_named() {
    let mut rig = Rig::new(9);
    (0..100).for_each(|_| rig.step(Durability::Acked));
    let medium = rig.medium.after_kill();
    let name = medium.contents().keys().next().expect("a segment").clone();
    medium.damage(&name, 60);
    let error = DurableStore::open_inline(Arc::new(medium.clone()), &settings()).expect_err("it is damaged");
    assert!(
        matches!(&error, OpenError::Damaged(findings) if findings.iter().any(|f| f.contains(&name))),
        "{error}"
    );
    let settings = DurableSettings { drop_damaged: true, ..settings() };
    let store = DurableStore::open_inline(Arc::new(medium), &settings).expect("it was asked to go on");
    assert!(!store.report().findings.damaged.is_empty());
}

#[test]
fn a_missing_segment_is_damage() {
    let mut rig = Rig::new(9);
    (0..150).for_each(|_| rig.step(Durability::Acked));
    let mut contents = rig.medium.contents();
    assert!(contents.len() > 2, "{}", contents.len());
    let middle = contents.keys().nth(1).expect("the second").clone();
    contents.remove(&middle);
    let medium = Arc::new(SimulatedMedium::of(contents));
    assert!(matches!(DurableStore::open_inline(medium, &settings()), Err(OpenError::Damaged(_))));
}

/// Changes that undo each other within one write.
#[test]
fn what_is_replaced_and_ends_in_one_write_does_not_come_back_and_what_ends_and_begins_again_does() {
    let mut rig = Rig::new(5);
    type Step<'a> = &'a dyn Fn(&mut Rig, SessionId, &mut Transaction);
    let steps: [Step<'_>; 3] = [
        &|_, id, transaction| transaction.subscribe(id, "a", subscription(1)),
        &|_, id, transaction| transaction.unsubscribe(id, "a"),
        &|rig, _, transaction| {
            for payload in ["x", ""] {
                let message = message("r", payload.as_bytes());
                let retained = Retained { message, qos: QoS::AtLeastOnce, source: None };
                rig.store.retain_in(retained, None, transaction).expect("there is room");
            }
        },
    ];
    let run = |rig: &mut Rig, which: &[usize]| {
        let mut transaction = Transaction::default();
        transaction.set_durability(Durability::Periodic);
        if rig.live.is_empty() {
            rig.begin("client", &mut transaction);
        }
        let id = rig.live["client"].id;
        which.iter().for_each(|step| steps[*step](rig, id, &mut transaction));
        rig.store.submit(&mut transaction, None);
        found(&open(&rig.medium.after_kill()))
    };
    let filters = |model: &Model| model.sessions["client"].filters.clone();
    assert_eq!(filters(&run(&mut rig, &[0])), ["a"]);
    assert_eq!(filters(&run(&mut rig, &[0, 1])), [""; 0]);
    assert_eq!(filters(&run(&mut rig, &[0, 1, 0])), ["a"]);
    assert_eq!(filters(&run(&mut rig, &[0, 1, 0, 1])), [""; 0]);
    let first = Retained { message: message("r", b"first"), qos: QoS::AtLeastOnce, source: None };
    rig.store.retain(first).expect("there is room");
    assert_eq!(run(&mut rig, &[]).retained.len(), 1);
    assert!(run(&mut rig, &[2]).retained.is_empty());
    // A session whose head is written anew and which ends.
    let mut transaction = Transaction::default();
    let live = rig.live.remove("client").expect("it is live");
    transaction.head(live.id, head("client"));
    transaction.end(live.id);
    rig.store.submit(&mut transaction, None);
    assert!(found(&open(&rig.medium.after_kill())).sessions.is_empty());
}
