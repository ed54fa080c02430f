//! Retained messages for a new subscription: all of them, at the receiver's pace, beside everything else.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mqtt_broker::Broker;
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::ReasonCode;
use mqtt_session::{DropReason, Message, NO_PUBLISHER};
use mqtt_store::{
    MemoryStore, Parked, Queue, QueueLimits, RetainOutcome, Retained, RetainedLimits, RetainedPage,
    RetainedTotals, Store, StoreError,
};
use mqtt_testkit::{connect, puback, publish};
use mqtt_topic::{TopicFilter, TopicName};
use tokio::time::sleep;

use crate::harness::{Harness, broker, quiet, start};
use crate::wires::{Source, connect_narrow, receive, settle};

/// A broker that has retained `count` messages on `r/0`, `r/1` and so on.
async fn keeper(count: usize) -> Harness {
    let store = MemoryStore::new(RetainedLimits::default());
    for number in 0..count {
        retain(&store, &format!("r/{number}"), &format!("{number} "));
    }
    let settings = quiet(|settings| {
        settings.queue.messages_max = 20;
        settings.limits.stall_timeout = Duration::from_secs(10);
    });
    start(Broker::builder().settings(settings).store(Arc::new(store))).await
}

fn retain(store: &dyn Store, topic: &str, payload: &str) {
    let topic = TopicName::parse(topic).expect("a name");
    let message = Message::new(topic, mqtt_codec::Properties::EMPTY, payload.as_bytes(), NO_PUBLISHER, None);
    store.retain(Retained { message, qos: AtLeastOnce, source: None }).expect("there is room");
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_messages_reach_a_client_with_a_small_window_and_others_are_served() {
    let house = keeper(10_000).await;
    let mut peer = house.connect(connect("narrow").receive_maximum(3)).await;
    peer.subscribe("r/+", AtLeastOnce).await;
    let mut one = house.v5("one").await;
    let mut two = house.v5("two").await;
    one.subscribe("other", ExactlyOnce).await;
    let mut numbers = Vec::new();
    for round in 0..100_u16 {
        numbers.extend(receive(&mut peer, 100).await);
        two.publish(publish("other").payload("meanwhile").qos2(round + 1)).await;
        one.receive_text("meanwhile").await;
    }
    peer.expect_silence().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10_000).collect::<Vec<_>>());
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// What is published meanwhile comes after the retained messages, whole and in order, however short the queue:
/// a client that takes retained messages is not stalled, so its publishers wait for it.
#[tokio::test(start_paused = true)]
async fn messages_that_come_during_a_replay_wait_for_its_end() {
    let house = keeper(500).await;
    let mut peer = house.connect(connect("narrow").receive_maximum(1)).await;
    peer.subscribe("r/#", AtLeastOnce).await;
    let source = Source::start(house.v5("publisher").await, "r/live", AtMostOnce, 100, 10);
    for _ in 0..500 {
        assert!(peer.receive().await.retain);
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(receive(&mut peer, 100).await, (0..100).collect::<Vec<_>>());
    source.finish().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// A client that takes no retained message either is stalled like any other.
#[tokio::test(start_paused = true)]
async fn a_replay_that_nobody_takes_does_not_hold_up_publishers_for_ever() {
    let house = keeper(500).await;
    let mut deaf = house.connect(connect("deaf").receive_maximum(1)).await;
    deaf.subscribe("r/#", AtLeastOnce).await;
    let publisher = connect_narrow(&house, connect("publisher"), 1024).await;
    let source = Source::start(publisher, "r/live", AtMostOnce, 100, 100);
    sleep(Duration::from_secs(9)).await;
    assert!(source.done() < 100);
    source.finish().await;
    assert!(house.broker.metrics().dropped_for(DropReason::ReceiverStalled) > 0);
}

/// [MQTT-3.10.4-2] [MQTT-3.10.4-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_10_4_2_an_unsubscribe_ends_the_replay() {
    let house = keeper(1000).await;
    let mut peer = house.connect(connect("narrow").receive_maximum(2)).await;
    peer.subscribe("r/+", AtLeastOnce).await;
    receive(&mut peer, 10).await;
    let under_way = [peer.expect_publish().await, peer.expect_publish().await];
    assert_eq!(peer.unsubscribe("r/+").await.reasons, [ReasonCode::Success]);
    for message in under_way {
        peer.send(puback(message.packet_id)).await;
    }
    peer.expect_silence().await;
    // The next subscription starts from the beginning.
    peer.subscribe("r/+", AtLeastOnce).await;
    let mut numbers = receive(&mut peer, 1000).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
    peer.expect_silence().await;
}

/// Several subscriptions are served one after the other, and one of them can be given up.
#[tokio::test(start_paused = true)]
async fn each_subscription_has_its_own_replay() {
    let house = keeper(100).await;
    let mut peer = house.connect(connect("narrow").receive_maximum(1)).await;
    peer.subscribe("r/1", AtLeastOnce).await;
    let first = peer.expect_publish().await;
    assert_eq!(first.text(), "1 ");
    for filter in ["r/#", "+/2", "r/+"] {
        peer.subscribe(filter, AtLeastOnce).await;
    }
    peer.unsubscribe("r/#").await;
    peer.send(puback(first.packet_id)).await;
    assert_eq!(receive(&mut peer, 1).await, [2]);
    let mut numbers = receive(&mut peer, 100).await;
    peer.expect_silence().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

/// Whoever subscribes again and again without taking anything holds no more than one replay for each filter.
/// [MQTT-3.3.1-9]
#[tokio::test(start_paused = true)]
async fn invariant_7_a_repeated_subscription_restarts_its_replay() {
    let house = keeper(10).await;
    let mut peer = house.connect(connect("greedy").receive_maximum(1)).await;
    for _ in 0..1000 {
        peer.subscribe_with(mqtt_testkit::subscribe(9).filter("nothing", AtLeastOnce)).await;
    }
    peer.send(mqtt_testkit::subscribe(9).filter("r/+", AtLeastOnce)).await;
    peer.expect_suback().await;
    let first = peer.expect_publish().await;
    for _ in 0..1000 {
        peer.subscribe_with(mqtt_testkit::subscribe(9).filter("r/+", AtLeastOnce)).await;
    }
    peer.send(puback(first.packet_id)).await;
    let mut numbers = receive(&mut peer, 10).await;
    peer.expect_silence().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..10).collect::<Vec<_>>());
}

/// The replay belongs to the session: what was sent is repeated, the rest follows, each message once.
#[tokio::test(start_paused = true)]
async fn a_replay_goes_on_with_the_next_connection_of_the_session() {
    for taken_over in [false, true] {
        let house = keeper(500).await;
        let client = connect("narrow").clean(false).session_expiry_s(100);
        let mut peer = house.connect(client.clone().receive_maximum(2)).await;
        let both = mqtt_testkit::subscribe(1).filter("r/+", AtLeastOnce).filter("+/499", AtLeastOnce);
        peer.subscribe_with(both).await;
        let mut numbers = receive(&mut peer, 150).await;
        let under_way = [peer.expect_publish().await, peer.expect_publish().await];
        let mut back = if taken_over {
            house.connect(client.clone()).await
        } else {
            peer.cut();
            // Connections that take nothing change nothing.
            for _ in 0..3 {
                house.connect(client.clone().receive_maximum(2)).await.cut();
                settle().await;
            }
            house.connect(client.clone()).await
        };
        for message in under_way {
            let again = back.receive().await;
            assert!(again.dup && again.retain);
            assert_eq!(again.payload, message.payload);
            numbers.push(crate::wires::number(&again.payload));
        }
        numbers.extend(receive(&mut back, 348).await);
        numbers.sort_unstable();
        assert_eq!(numbers, (0..500).collect::<Vec<_>>());
        assert_eq!(receive(&mut back, 1).await, [499], "of the second subscription");
        back.expect_silence().await;
    }
}

/// With the session its replays end.
#[tokio::test(start_paused = true)]
async fn a_clean_start_gets_nothing_of_an_old_replay() {
    let house = keeper(100).await;
    let client = connect("narrow").clean(false).session_expiry_s(100).receive_maximum(1);
    let mut peer = house.connect(client.clone()).await;
    peer.subscribe("r/+", AtLeastOnce).await;
    peer.expect_publish().await;
    house.connect(client.clone().clean(true)).await.expect_silence().await;
    let mut back = house.connect(client).await;
    back.expect_silence().await;
}

/// A stalled pipe holds the replay up, not the broker.
#[tokio::test(start_paused = true)]
async fn a_replay_waits_for_a_client_that_does_not_read() {
    let house = keeper(5000).await;
    let mut peer = connect_narrow(&house, connect("narrow"), 256).await;
    peer.subscribe("r/+", AtMostOnce).await;
    sleep(Duration::from_secs(100)).await;
    let mut numbers = receive(&mut peer, 5000).await;
    numbers.sort_unstable();
    assert_eq!(numbers, (0..5000).collect::<Vec<_>>());
}

/// A store whose scans find nothing for a long time, as a filter such as `+/+/x` does in a large one.
#[derive(Debug, Default)]
struct Barren {
    inner: MemoryStore,
    scans: AtomicUsize,
}

const BARREN_PAGES: usize = 1000;

impl Store for Barren {
    fn retain(&self, retained: Retained) -> Result<RetainOutcome, StoreError> {
        self.inner.retain(retained)
    }

    fn scan_retained(
        &self,
        _: &TopicFilter<&str>,
        _: Option<&TopicName<Box<str>>>,
        _: usize,
        _: Instant,
    ) -> Result<RetainedPage, StoreError> {
        let more = self.scans.fetch_add(1, Ordering::Relaxed) + 1 < BARREN_PAGES;
        let next = more.then(|| TopicName::parse("somewhere".into()).expect("a name"));
        Ok(RetainedPage { messages: Vec::new(), next })
    }

    fn retained_totals(&self) -> RetainedTotals {
        self.inner.retained_totals()
    }

    fn expire_retained(&self, now: Instant) -> Vec<Box<str>> {
        self.inner.expire_retained(now)
    }

    fn next_retained_expiry(&self) -> Option<Instant> {
        self.inner.next_retained_expiry()
    }

    fn open_queue(&self, client_id: &str, limits: QueueLimits) -> Result<Box<dyn Queue>, StoreError> {
        self.inner.open_queue(client_id, limits)
    }

    fn park(&self, client_id: &str, parked: Parked) -> Result<(), StoreError> {
        self.inner.park(client_id, parked)
    }

    fn unpark(&self, client_id: &str) -> Result<Option<Parked>, StoreError> {
        self.inner.unpark(client_id)
    }

    fn parked_len(&self) -> usize {
        self.inner.parked_len()
    }
}

/// A long search lets everybody else work in between.
#[tokio::test(start_paused = true)]
async fn a_search_that_finds_nothing_holds_up_nobody() {
    let store = Arc::new(Barren::default());
    let house = start(Broker::builder().settings(quiet(|_| ())).store(store.clone())).await;
    let mut other = house.v5("other").await;
    let mut searcher = house.v5("searcher").await;
    searcher.send(mqtt_testkit::subscribe(1).filter("+/+/x", AtLeastOnce)).await;
    searcher.expect_suback().await;
    other.ping().await;
    let after_one_ping = store.scans.load(Ordering::Relaxed);
    assert!(after_one_ping < BARREN_PAGES / 2, "{after_one_ping} pages were searched first");
    searcher.ping().await;
    settle().await;
    assert_eq!(store.scans.load(Ordering::Relaxed), BARREN_PAGES);
    other.publish(publish("a/b/x").payload("found").qos1(1)).await;
    searcher.receive_text("found").await;
}

/// Expired messages are removed, whether the figures in `$SYS` are published or not.
#[tokio::test(start_paused = true)]
async fn expired_retained_messages_are_removed() {
    let store = Arc::new(MemoryStore::new(RetainedLimits::default()));
    let house = start(Broker::builder().settings(quiet(|_| ())).store(store.clone())).await;
    let mut publisher = house.v5("publisher").await;
    for (number, lives_s) in [(1, 500), (2, 5), (3, 50), (4, 5), (5, 7)] {
        let message = publish(&format!("r/{number}")).payload("x").qos1(number).retained();
        publisher.publish(message.expiry_s(lives_s)).await;
    }
    publisher.publish(publish("r/stays").payload("x").qos1(6).retained()).await;
    for (wait_s, left) in [(4, 6), (3, 4), (3, 3), (41, 2), (460, 1), (100_000_000, 1)] {
        sleep(Duration::from_secs(wait_s)).await;
        assert_eq!(store.retained_totals().messages, left, "after {wait_s} seconds more");
    }
}

/// A full store looks for what has expired before it refuses.
#[tokio::test(start_paused = true)]
async fn expired_retained_messages_make_room() {
    let house = crate::harness::broker_with(|settings| settings.retained.messages_max = 1).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("r/1").payload("x").qos1(1).retained().expiry_s(1)).await;
    sleep(Duration::from_secs(1)).await;
    publisher.publish(publish("r/2").payload("x").qos1(2).retained()).await;
    publisher.send(publish("r/3").payload("x").qos1(3).retained()).await;
    assert_eq!(publisher.expect_puback(3).await.reason, ReasonCode::QuotaExceeded);
    let latest = house.broker.latest_drops();
    assert_eq!(latest.len(), 1);
    assert_eq!((latest[0].reason, &*latest[0].topic), (DropReason::RetainedFull, "r/3"));
    assert_eq!(&*latest[0].client_id, "publisher");
}

/// [MQTT-3.8.3-3]: No Local holds for retained messages too.
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_3_no_local_leaves_out_own_retained_messages() {
    let house = broker().await;
    let mut one = house.v5("one").await;
    let mut two = house.v5("two").await;
    one.publish(publish("r/1").payload("own").qos1(1).retained()).await;
    two.publish(publish("r/2").payload("other").qos1(1).retained()).await;
    one.subscribe_with(mqtt_testkit::subscribe(1).filter("r/+", AtLeastOnce).no_local()).await;
    one.receive_text("other").await;
    one.expect_silence().await;
}
