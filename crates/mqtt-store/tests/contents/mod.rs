//! A store with everything in it that a store can hold, and all of it as text.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{
    PacketId, PlainPublish, Properties, PropertiesBuf, Property, QoS, RetainHandling, SubscriptionOptions,
};
use mqtt_session::{
    BatchBuilder, Delivery, Hop, InboundPublish, Layout, Message, NO_PUBLISHER, Subscription, WillMessage,
};
use mqtt_store::durable::{Directory, Wall, export};
use mqtt_store::{
    Durability, DurableSettings, DurableStore, Journal, Pushed, Queue, QueueLimits, Retained, RetainedLimits,
    SessionHead, Source, Store, Transaction, WriteSettings,
};
use mqtt_topic::TopicName;

/// 2033-05-18T03:33:20Z: what expires in these tests has not yet.
pub(crate) const LATER_MS: u64 = 2_000_000_000_000;

pub(crate) fn settings() -> DurableSettings {
    DurableSettings {
        write: WriteSettings {
            sync_interval: Duration::from_millis(5),
            segment_bytes_max: 4096,
            space_factor: 2,
            space_bytes_min: 16 << 10,
        },
        retained: RetainedLimits::default(),
        queue: QueueLimits::default(),
        memory_bytes_max: 256 << 20,
        wall: Wall { instant: Instant::now(), unix_ms: LATER_MS - 1_000_000 },
        drop_damaged: false,
    }
}

pub(crate) fn open(path: &Path) -> DurableStore {
    DurableStore::open(path, &settings(), |_| {}).expect("it can be opened")
}

/// Every item, in its order.
pub(crate) fn items(path: &Path) -> Vec<String> {
    let mut items = Vec::new();
    let exported = export(path, |item| {
        items.push(format!("{item:?}"));
        Ok(())
    });
    exported.expect("it can be read");
    items
}

fn properties() -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    for property in [
        Property::PayloadFormatIndicator(true),
        Property::UserProperty("k", "first"),
        Property::ContentType("text/plain"),
        Property::ResponseTopic("answers"),
        Property::CorrelationData(&[0, 255]),
        Property::UserProperty("k", "second"),
    ] {
        properties.push(&property).expect("it fits");
    }
    properties
}

fn message(topic: &str, payload: &[u8], properties: Properties<'_>, expires_at: Option<Instant>) -> Message {
    Message::new(TopicName::parse(topic).expect("a name"), properties, payload, NO_PUBLISHER, expires_at)
}

fn source(client_id: &str) -> Source {
    Source {
        client_id: client_id.into(),
        username: Some("ann".into()),
        listener: "public".into(),
        address: Some([192, 0, 2, 1].into()),
    }
}

fn id(id: u16) -> PacketId {
    PacketId::new(id).expect("above zero")
}

/// Fills an empty directory.
pub(crate) fn fill(path: &Path) {
    let settings = settings();
    let medium = Arc::new(Directory::open(path).expect("a directory"));
    let store = DurableStore::open_inline(medium, &settings).expect("it is empty");
    let expires_at = settings.wall.to_instant(LATER_MS);
    let mut transaction = Transaction::default();
    transaction.set_durability(Durability::Acked);
    let everything = properties();
    let everything = everything.as_properties();

    let will = WillMessage::restore(
        TopicName::parse("w/t").expect("a name"),
        b"\x00gone",
        everything,
        Some(60),
        (QoS::ExactlyOnce, true),
        5,
    );
    let mut away = begin(&store, "away", Some(will), &mut transaction);
    let mut online = begin(&store, "online", None, &mut transaction);
    let away_id = away.session().expect("it is kept");
    let options = SubscriptionOptions {
        qos: QoS::ExactlyOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    transaction.subscribe(away_id, "a/+", Subscription { options, identifier: Some(268_435_455) });
    let options = SubscriptionOptions { qos: QoS::AtLeastOnce, ..SubscriptionOptions::default() };
    transaction.subscribe(away_id, "$share/g/#", Subscription { options, identifier: None });
    transaction.received(away_id, id(1));
    transaction.received(away_id, id(65_535));
    // What is gone in the end leaves records as well.
    transaction.subscribe(away_id, "gone/#", Subscription { options, identifier: None });
    transaction.received(away_id, id(7));
    let ended = begin(&store, "ended", None, &mut transaction).session().expect("it is kept");
    let cleared = |payload| message("r/gone", payload, Properties::EMPTY, None);
    store.retain_in(of(cleared(b"x"), None), None, &mut transaction).expect("there is room");
    store.submit(&mut transaction, None);
    transaction.unsubscribe(away_id, "gone/#");
    transaction.released(away_id, id(7));
    transaction.end(ended);
    store.retain_in(of(cleared(b""), None), None, &mut transaction).expect("there is room");
    store.submit(&mut transaction, None);

    for number in 0_u8..6 {
        let payload = [b"payload ", &[number, 255][..]].concat();
        let expires_at = expires_at.filter(|_| number == 4);
        let message = message(&format!("a/{number}"), &payload, everything, expires_at);
        for (queue, qos) in [(&mut away, QoS::ExactlyOnce), (&mut online, QoS::AtLeastOnce)] {
            let ids = Some(Arc::from([7, 268_435_455])).filter(|_| number == 0);
            let hop = Hop { retain: number == 1, subscription_ids: ids, ..Hop::new(qos) };
            let delivery = Delivery { hop, message: message.clone() };
            assert_eq!(queue.push_in(delivery, &mut transaction), Pushed::Queued);
        }
    }
    store.submit(&mut transaction, None);
    // Sent 300, 2, and the client has 300: it is repeated after 2.
    for packet_id in [300, 2] {
        let place = away.pop().expect("it waits").hop.place;
        transaction.sent(away_id, place, id(packet_id), QoS::ExactlyOnce);
    }
    store.submit(&mut transaction, None);
    transaction.pubrec(away_id, id(300));
    let online_id = online.session().expect("it is kept");
    for packet_id in [8, 9] {
        let place = online.pop().expect("it waits").hop.place;
        transaction.sent(online_id, place, id(packet_id), QoS::AtLeastOnce);
    }
    store.submit(&mut transaction, None);
    transaction.settled(online_id, id(8));

    pass_batch(&mut [away, online], &mut transaction, &store);

    let kept = of(message("r/1", b"kept", Properties::EMPTY, None), None);
    let published = of(message("r/2", b"\xff", everything, expires_at), Some(source("publisher")));
    for retained in [kept, published] {
        store.retain_in(retained, None, &mut transaction).expect("there is room");
    }
    store.submit(&mut transaction, None);
    store.close();
}

/// A batch for both: of the second's part, one message is acknowledged, one is under way, and the last one is given up.
fn pass_batch(queues: &mut [Box<dyn Queue>; 2], transaction: &mut Transaction, store: &DurableStore) {
    let mut builder = BatchBuilder::new(Layout::WithProperties, QoS::AtLeastOnce);
    for payload in [b"batch 0", b"batch 1", b"batch 2", b"batch 3", b"batch 4"] {
        let plain = PlainPublish { qos: QoS::AtLeastOnce, packet_id: Some(id(1)), payload };
        builder.push(&InboundPublish::plain(&plain, TopicName::parse("a/batch").expect("a name")));
    }
    let batch = builder.finish(NO_PUBLISHER).expect("there are some");
    for queue in queues.iter_mut() {
        for delivery in queue.pass_in(&batch, transaction).deliveries() {
            assert_eq!(queue.push(delivery), Pushed::Queued);
        }
    }
    store.submit(transaction, None);
    let [_, online] = queues;
    let session = online.session().expect("it is kept");
    // What came before is sent first.
    let mut place = 0;
    for packet_id in 10..16 {
        place = online.pop().expect("it waits").hop.place;
        transaction.sent(session, place, id(packet_id), QoS::AtLeastOnce);
    }
    store.submit(transaction, None);
    transaction.settled(session, id(14));
    transaction.give_up(session, place + 3);
    store.submit(transaction, None);
}

fn of(message: Message, source: Option<Source>) -> Retained {
    Retained { message, qos: QoS::AtLeastOnce, source: source.map(Arc::new) }
}

fn begin(
    store: &DurableStore,
    client_id: &str,
    will: Option<WillMessage>,
    transaction: &mut Transaction,
) -> Box<dyn Queue> {
    let queue = store.open_kept_queue(client_id, QueueLimits::default()).expect("a queue");
    let is_away = client_id == "away";
    let head = SessionHead {
        client_id: client_id.into(),
        owner: Some(Arc::new(source(client_id))).filter(|_| is_away),
        session_expiry_s: if is_away { u32::MAX } else { 3600 },
        away_since_ms: Some(LATER_MS - 5000).filter(|_| is_away),
        will,
    };
    transaction.head(queue.session().expect("it is kept"), head);
    queue
}
