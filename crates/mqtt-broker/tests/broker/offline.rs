//! What waits for a client that is away: limits, which end gives way, and what is said about it.

use std::time::Duration;

use mqtt_broker::{Dropped, Settings};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_session::DropReason::{self, *};
use mqtt_store::Overflow;
use mqtt_testkit::{ConnectBuilder, Peer, connect, publish};
use tokio::time::sleep;

use crate::harness::{Harness, broker, broker_with};
use crate::wires::{settle, texts};

fn away() -> ConnectBuilder {
    connect("away").clean(false).session_expiry_s(1000)
}

/// A client that subscribed to `t` at QoS 2 and went away, and a publisher.
async fn absent(house: &Harness) -> Peer {
    let mut peer = house.connect(away()).await;
    peer.subscribe("t", ExactlyOnce).await;
    peer.cut();
    settle().await;
    house.v5("publisher").await
}

async fn say(publisher: &mut Peer, qos: QoS, texts: &[&str]) {
    for text in texts {
        let packet_id = publisher.new_packet_id();
        publisher.publish(publish("t").payload(text).qos(qos, packet_id)).await;
    }
}

/// What the client gets when it comes back.
async fn returning(house: &Harness) -> Vec<String> {
    let mut peer = house.open("back");
    assert!(peer.connect(away()).await.session_present);
    texts(&peer.drain().await)
}

fn dropped(reason: DropReason, qos: QoS) -> Dropped {
    Dropped { reason, client_id: "away".into(), topic: "t".into(), qos }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_the_newest_or_gives_up_the_oldest() {
    let by_messages = |settings: &mut Settings| settings.queue.messages_max = 2;
    // Two messages of one byte and hardly anything more.
    let by_bytes = |settings: &mut Settings| settings.queue.bytes_max = 2 * size_of_delivery() + 1;
    let cases: [(fn(&mut Settings), _); 2] = [(by_messages, QueueFullMessages), (by_bytes, QueueFullBytes)];
    for (limit, reason) in cases {
        for (overflow, kept) in [(Overflow::DropNewest, ["1", "2"]), (Overflow::DropOldest, ["4", "5"])] {
            for qos in [AtLeastOnce, ExactlyOnce] {
                let house = broker_with(|settings| {
                    settings.queue.overflow = overflow;
                    limit(settings);
                })
                .await;
                let mut publisher = absent(&house).await;
                say(&mut publisher, qos, &["1", "2", "3", "4", "5"]).await;
                assert_eq!(house.broker.latest_drops(), vec![dropped(reason, qos); 3]);
                assert_eq!(house.broker.metrics().dropped_for(reason), 3);
                assert_eq!(returning(&house).await, kept, "{reason:?} {overflow:?}");
                assert_eq!(house.broker.metrics().dropped_total(), 3);
            }
        }
    }
}

/// Bytes of a delivery with a topic and a payload of one byte each.
fn size_of_delivery() -> usize {
    use mqtt_session::{Delivery, Hop, Message, NO_PUBLISHER};
    let topic = mqtt_topic::TopicName::parse("t").expect("a name");
    let message = Message::new(topic, mqtt_codec::Properties::EMPTY, b"1", NO_PUBLISHER, None);
    Delivery { hop: Hop::new(AtLeastOnce), message }.size_bytes()
}

#[tokio::test(start_paused = true)]
async fn qos_0_does_not_wait_and_is_counted() {
    let house = broker().await;
    let mut publisher = absent(&house).await;
    say(&mut publisher, AtMostOnce, &["0"]).await;
    say(&mut publisher, AtLeastOnce, &["1"]).await;
    publisher.ping().await;
    assert_eq!(house.broker.latest_drops(), [dropped(ReceiverOffline, AtMostOnce)]);
    assert_eq!(returning(&house).await, ["1"]);
}

#[tokio::test(start_paused = true)]
async fn qos_0_waits_within_the_same_limits_where_it_may() {
    let house = broker_with(|settings| {
        settings.limits.queue_qos0_offline = true;
        settings.queue.messages_max = 2;
    })
    .await;
    let mut publisher = absent(&house).await;
    say(&mut publisher, AtMostOnce, &["1", "2", "3"]).await;
    publisher.ping().await;
    assert_eq!(house.broker.latest_drops(), [dropped(QueueFullMessages, AtMostOnce)]);
    assert_eq!(returning(&house).await, ["1", "2"]);
}

/// What waits when the connection ends is sorted in the same way.
#[tokio::test(start_paused = true)]
async fn a_client_that_goes_keeps_what_waited_but_not_qos_0() {
    let house = broker().await;
    let mut peer = house.connect(away().receive_maximum(1)).await;
    peer.subscribe("t", ExactlyOnce).await;
    let mut publisher = house.v5("publisher").await;
    say(&mut publisher, AtLeastOnce, &["fills the window", "a"]).await;
    say(&mut publisher, AtMostOnce, &["zero"]).await;
    say(&mut publisher, ExactlyOnce, &["b"]).await;
    publisher.ping().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
    peer.cut();
    settle().await;
    assert_eq!(house.broker.latest_drops(), [dropped(ReceiverOffline, AtMostOnce)]);
    let mut back = house.connect(away()).await;
    for text in ["fills the window", "a", "b"] {
        back.receive_text(text).await;
    }
    back.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn everything_that_waits_is_counted_when_the_session_ends() {
    let house = broker().await;
    let mut publisher = absent(&house).await;
    say(&mut publisher, AtLeastOnce, &["1", "2"]).await;
    say(&mut publisher, ExactlyOnce, &["3"]).await;
    sleep(Duration::from_secs(999)).await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
    sleep(Duration::from_secs(2)).await;
    let [one, two, three] = [AtLeastOnce, AtLeastOnce, ExactlyOnce].map(|qos| dropped(SessionEnded, qos));
    assert_eq!(house.broker.latest_drops(), [one, two, three]);
    assert_eq!(house.broker.metrics().sessions_expired, 1);
}

/// A long queue is counted in parts; a stopping broker counts the rest at once.
#[tokio::test(start_paused = true)]
async fn a_long_queue_of_a_session_that_ends_is_counted_to_the_last_message() {
    for stops in [false, true] {
        let house = broker().await;
        let mut publisher = absent(&house).await;
        for _ in 0..5 {
            say(&mut publisher, AtLeastOnce, &["x"; 200]).await;
        }
        house.connect(away().clean(true)).await.ping().await;
        let counted = house.broker.metrics().dropped_for(SessionEnded);
        assert!(counted < 1000, "the client is not kept waiting, {counted} were counted");
        if stops {
            house.broker.shutdown().await;
        } else {
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(house.broker.metrics().dropped_for(SessionEnded), 1000);
    }
}

/// [MQTT-3.3.2-5]
#[tokio::test(start_paused = true)]
async fn what_expires_is_left_out_and_counted() {
    let house = broker().await;
    let mut publisher = absent(&house).await;
    publisher.publish(publish("t").payload("short").qos1(1).expiry_s(10)).await;
    publisher.publish(publish("t").payload("long").qos1(2).expiry_s(100)).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(returning(&house).await, ["long"]);
    assert_eq!(house.broker.latest_drops(), [dropped(Expired, AtLeastOnce)]);
}

/// What nobody will get must not keep out what somebody can.
#[tokio::test(start_paused = true)]
async fn expired_messages_make_room_in_a_full_queue() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let house = broker_with(|settings| {
            settings.queue.messages_max = 3;
            settings.queue.overflow = overflow;
        })
        .await;
        let mut publisher = absent(&house).await;
        for number in 1..=3 {
            publisher.publish(publish("t").payload("old").qos1(number).expiry_s(10)).await;
        }
        sleep(Duration::from_secs(10)).await;
        say(&mut publisher, AtLeastOnce, &["new", "newer"]).await;
        assert_eq!(house.broker.latest_drops(), vec![dropped(Expired, AtLeastOnce); 3]);
        assert_eq!(returning(&house).await, ["new", "newer"]);
    }
}

/// [MQTT-3.1.2-25]
#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_the_returning_client_is_left_out_and_counted() {
    let house = broker().await;
    let mut publisher = absent(&house).await;
    say(&mut publisher, AtLeastOnce, &["small", &"large".repeat(100), "last"]).await;
    let mut back = house.connect(away().maximum_packet_size(100)).await;
    back.receive_text("small").await;
    back.receive_text("last").await;
    assert_eq!(house.broker.latest_drops(), [dropped(TooLargeForReceiver, AtLeastOnce)]);
}

/// The counters know all, the list the latest.
#[tokio::test(start_paused = true)]
async fn the_latest_drops_are_kept_in_their_order() {
    let house = broker().await;
    let mut peer = house.connect(away()).await;
    peer.subscribe("#", AtMostOnce).await;
    peer.cut();
    settle().await;
    let mut publisher = house.v5("publisher").await;
    for number in 0..1500 {
        publisher.publish(publish(&format!("t/{number}")).payload("x")).await;
    }
    publisher.ping().await;
    let latest = house.broker.latest_drops();
    let topics: Vec<_> = latest.iter().map(|dropped| dropped.topic.to_string()).collect();
    let expected: Vec<_> = (1500 - 1024..1500).map(|number| format!("t/{number}")).collect();
    assert_eq!(topics, expected);
    assert_eq!(house.broker.metrics().dropped_for(ReceiverOffline), 1500);
}
