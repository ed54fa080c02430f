//! Messages that arrive together are handed over together; nobody can tell from what comes out.

use mqtt_broker::Broker;
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::DropReason;
use mqtt_testkit::{Peer, ToWire, connect, disconnect, publish, unsubscribe};

use crate::harness::broker;
use crate::wires::connect_narrow;

const COUNT: u16 = 60;

/// Publishes numbered messages with one write; their qualities of service take turns.
async fn burst(publisher: &mut Peer, qualities: &[QoS]) {
    let mut bytes = Vec::new();
    for (number, qos) in (1..=COUNT).zip(qualities.iter().cycle()) {
        let message = publish("t").payload(number.to_string()).qos(*qos, number);
        bytes.extend(message.to_wire(Version::V5));
    }
    publisher.send(bytes).await;
}

async fn receive_all(subscriber: &mut Peer) {
    for number in 1..=COUNT {
        subscriber.receive_text(&number.to_string()).await;
    }
    subscriber.expect_silence().await;
}

const MIXTURES: [&[QoS]; 5] = [
    &[AtLeastOnce],
    &[ExactlyOnce],
    &[AtLeastOnce, AtMostOnce],
    &[AtMostOnce, AtMostOnce, AtMostOnce, ExactlyOnce, ExactlyOnce, AtLeastOnce],
    &[AtLeastOnce, AtLeastOnce, AtLeastOnce, ExactlyOnce, AtMostOnce],
];

/// [MQTT-4.6.0-5], [MQTT-4.6.0-6]: in the publisher's order, however narrow the receiver's window is.
#[tokio::test(start_paused = true)]
async fn mqtt_4_6_0_6_a_burst_comes_in_order_through_any_window() {
    for qualities in MIXTURES {
        for window in [1, 2, 7, 1000] {
            for version in [Version::V3_1_1, Version::V5] {
                let house = broker().await;
                let mut subscriber =
                    house.connect(connect("s").version(version).receive_maximum(window)).await;
                subscriber.subscribe("t", ExactlyOnce).await;
                let mut publisher = house.v5("p").await;
                burst(&mut publisher, qualities).await;
                receive_all(&mut subscriber).await;
                assert_eq!(house.broker.metrics().dropped_total(), 0);
            }
        }
    }
}

/// [MQTT-3.3.4-9]: never more than the Receive Maximum is under way.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_4_9_a_burst_stops_at_the_receive_maximum() {
    for window in [1, 5, 59] {
        let house = broker().await;
        let mut subscriber = house.connect(connect("s").receive_maximum(window)).await;
        subscriber.subscribe("t", AtLeastOnce).await;
        let mut publisher = house.v5("p").await;
        burst(&mut publisher, &[AtLeastOnce]).await;
        assert_eq!(subscriber.drain().await.len(), usize::from(window));
        publisher.drain().await;
    }
}

/// Members of a group, overlapping subscriptions and lower granted qualities get what they would get one by one.
#[tokio::test(start_paused = true)]
async fn every_kind_of_receiver_gets_the_whole_burst() {
    let house = broker().await;
    let mut receivers = Vec::new();
    for (number, (filter, qos)) in [
        ("t", AtMostOnce),
        ("t", AtLeastOnce),
        ("t", ExactlyOnce),
        ("+", ExactlyOnce),
        ("$share/g/t", AtLeastOnce),
    ]
    .into_iter()
    .enumerate()
    {
        let mut peer = house.v5(&number.to_string()).await;
        peer.subscribe(filter, qos).await;
        receivers.push(peer);
    }
    let mut kept = house.connect(connect("kept").session_expiry_s(100)).await;
    kept.subscribe("t", AtLeastOnce).await;
    receivers.push(kept);
    let mut publisher = house.v5("p").await;
    burst(&mut publisher, &[AtLeastOnce, ExactlyOnce, ExactlyOnce]).await;
    for receiver in &mut receivers {
        receive_all(receiver).await;
    }
}

/// A publisher that sends one message at a time on one topic: whatever changes between two of them holds for the next.
#[tokio::test(start_paused = true)]
async fn what_changes_between_lone_messages_holds_for_the_next_one() {
    let house = broker().await;
    let mut stays = house.v5("stays").await;
    stays.subscribe("t", ExactlyOnce).await;
    let mut kept = house.connect(connect("kept").session_expiry_s(100)).await;
    kept.subscribe("t", AtLeastOnce).await;
    let mut publisher = house.v5("p").await;
    for (number, qos) in
        [(1, AtMostOnce), (2, AtMostOnce), (3, AtLeastOnce), (4, AtLeastOnce), (5, ExactlyOnce)]
    {
        lone(&mut publisher, number, qos, &mut [&mut stays, &mut kept]).await;
    }
    let mut comes = house.v5("comes").await;
    comes.subscribe("t", AtMostOnce).await;
    lone(&mut publisher, 6, ExactlyOnce, &mut [&mut stays, &mut kept, &mut comes]).await;
    kept.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
    kept.expect_closed().await;
    for number in [7, 8] {
        lone(&mut publisher, number, AtLeastOnce, &mut [&mut stays, &mut comes]).await;
    }
    let mut kept = house.connect(connect("kept").clean(false).session_expiry_s(100)).await;
    for number in [7, 8] {
        kept.receive_text(&number.to_string()).await;
    }
    stays.send(unsubscribe(9).filter("t")).await;
    stays.expect_unsuback().await;
    for number in [9, 10] {
        lone(&mut publisher, number, AtLeastOnce, &mut [&mut kept, &mut comes]).await;
    }
    stays.expect_silence().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// Publishes one message, which exactly these get.
async fn lone(publisher: &mut Peer, number: u16, qos: QoS, receivers: &mut [&mut Peer]) {
    publisher.send(publish("t").payload(number.to_string()).qos(qos, number)).await;
    for receiver in receivers {
        receiver.receive_text(&number.to_string()).await;
    }
}

/// What a client did not take before its session ended is counted, message by message.
#[tokio::test(start_paused = true)]
async fn a_burst_that_a_session_takes_with_it_is_counted() {
    let house = broker().await;
    let mut subscriber = house.connect(connect("s").receive_maximum(10)).await;
    subscriber.subscribe("t", AtLeastOnce).await;
    let mut publisher = house.v5("p").await;
    burst(&mut publisher, &[AtLeastOnce]).await;
    assert_eq!(subscriber.drain().await.len(), 10);
    subscriber.send(disconnect(ReasonCode::NORMAL_DISCONNECTION)).await;
    subscriber.expect_closed().await;
    publisher.drain().await;
    assert_eq!(ended(&house.broker), u64::from(COUNT));
}

fn ended(broker: &Broker) -> u64 {
    broker.metrics().dropped_for(DropReason::SessionEnded)
}

/// Long batches leave from where they are, between packets that are copied, also towards a client that reads slowly.
#[tokio::test(start_paused = true)]
async fn large_messages_come_whole_and_in_order_among_small_ones() {
    let house = broker().await;
    let mut receivers = Vec::new();
    for (version, room_bytes) in [(Version::V5, 1 << 20), (Version::V3_1_1, 1000), (Version::V5, 70_000)] {
        let client = connect(&format!("s{room_bytes}")).version(version);
        let mut receiver = connect_narrow(&house, client, room_bytes).await;
        receiver.subscribe("#", AtMostOnce).await;
        receivers.push(receiver);
    }
    let mut publisher = house.v5("p").await;
    let sizes = [9000, 9000, 9000, 10, 10, 100_000, 5000, 20_000, 20_000, 1];
    let mut sending = Vec::new();
    for (number, size) in (0_u8..).zip(sizes) {
        sending.extend(publish("t").payload(vec![number; size]).to_wire(Version::V5));
    }
    let sent = tokio::spawn(async move { publisher.send(sending).await });
    for receiver in &mut receivers {
        for (number, size) in (0_u8..).zip(sizes) {
            assert!(receiver.expect_publish().await.payload == vec![number; size], "message {number}");
        }
        receiver.expect_silence().await;
    }
    sent.await.expect("it was sent");
}
