//! Many connections of one client identifier: one survives, and the session with it.

use mqtt_codec::QoS::{AtLeastOnce, ExactlyOnce};
use mqtt_codec::{Packet, ReasonCode};
use mqtt_testkit::{ConnectBuilder, Peer, connect, pingreq, pubcomp, publish, pubrec, pubrel};

use crate::harness::{Harness, broker};
use crate::wires::{open, settle};

const CROWD: usize = 20;

fn same() -> ConnectBuilder {
    connect("same").clean(false).session_expiry_s(1000)
}

/// A member of a crowd: its window is full with what was under way before.
fn narrow() -> ConnectBuilder {
    same().receive_maximum(4)
}

/// A client with every kind of state that a session can hold.
async fn busy(house: &Harness) -> Peer {
    let mut peer = house.connect(narrow()).await;
    peer.subscribe("t/#", ExactlyOnce).await;
    let mut publisher = house.v5("publisher").await;
    for (number, text) in (1..).zip(["one", "two", "three", "four", "queued", "queued too"]) {
        let topic = format!("t/{number}");
        let message = publish(&topic).payload(text);
        let message = if number % 2 == 0 { message.qos2(number) } else { message.qos1(number) };
        publisher.publish(message).await;
    }
    for _ in 0..4 {
        peer.expect_publish().await;
    }
    peer.send(pubrec(2)).await;
    peer.expect_pubrel(2).await;
    peer.send(publish("elsewhere").payload("half way").qos2(77)).await;
    peer.expect_pubrec(77).await;
    publisher.leave().await;
    peer
}

/// The whole state, as the survivor sees it.
async fn expect_everything(house: &Harness, mut survivor: Peer) {
    let mut seen = Vec::new();
    for packet in survivor.drain().await {
        match packet.packet() {
            Packet::Pubrel(ack) => seen.push(format!("PUBREL {}", ack.packet_id)),
            Packet::Publish(message) => {
                let text = String::from_utf8_lossy(message.payload);
                seen.push(format!("{} {text} {}", message.packet_id.map_or(0, Into::into), message.dup));
            }
            Packet::Pingresp => {}
            other => panic!("unexpected {other:?}"),
        }
    }
    let expected =
        ["PUBREL 2", "1 one true", "3 three true", "4 four true", "5 queued false", "6 queued too false"];
    assert_eq!(seen, expected);
    survivor.send(pubcomp(2)).await;
    survivor.send(pubrel(77)).await;
    assert_eq!(survivor.expect_pubcomp(77).await.reason, ReasonCode::Success);
    let mut publisher = house.v5("late").await;
    publisher.publish(publish("t/late").payload("subscribed").qos1(1)).await;
    survivor.receive_text("subscribed").await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// The one that is left when all have been admitted. Everybody else was told why. The first has its CONNACK.
async fn survivor(mut crowd: Vec<Peer>) -> Peer {
    for peer in &mut crowd[1..] {
        let connack = peer.expect_connack().await;
        assert_eq!((connack.reason, connack.session_present), (ReasonCode::Success, true));
    }
    let mut alive = Vec::new();
    for mut peer in crowd.drain(..) {
        peer.send_carelessly(pingreq()).await;
        loop {
            match peer.expect_packet().await.packet() {
                Packet::Pingresp => {
                    alive.push(peer);
                    break;
                }
                Packet::Disconnect(last) => {
                    assert_eq!(last.reason, ReasonCode::SessionTakenOver);
                    peer.expect_closed().await;
                    break;
                }
                // What each of them was sent before the next one came.
                Packet::Publish(_) | Packet::Pubrel(_) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
    }
    assert_eq!(alive.len(), 1, "exactly one is left");
    alive.remove(0)
}

/// [MQTT-3.1.4-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_a_storm_leaves_one_connection_and_the_whole_session() {
    let house = broker().await;
    let first = busy(&house).await;
    let mut crowd = vec![first];
    for _ in 0..CROWD {
        let mut peer = house.open("one of many");
        peer.send(narrow()).await;
        crowd.push(peer);
    }
    settle().await;
    let metrics = house.broker.metrics();
    assert_eq!(metrics.sessions_taken_over, CROWD as u64);
    let survivor = survivor(crowd).await;
    // Another one that is not disturbed by what was sent to the crowd.
    drop(survivor);
    settle().await;
    expect_everything(&house, house.connect(same()).await).await;
}

/// The same while each of them goes away again, so that leaving, parking and taking over overlap.
#[tokio::test(start_paused = true)]
async fn a_storm_of_connections_that_go_at_once_keeps_the_session() {
    let house = broker().await;
    busy(&house).await.cut();
    for round in 0..CROWD {
        let mut crowd = Vec::new();
        for _ in 0..3 {
            let mut peer = house.open("fleeting");
            peer.send(narrow()).await;
            crowd.push(peer);
            if round % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
        // Some are cut before they were admitted, some after, in another order every time.
        crowd.rotate_left(round % 3);
        for peer in crowd {
            peer.cut();
            if round % 5 == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    settle().await;
    expect_everything(&house, house.connect(same()).await).await;
    settle().await;
    assert_eq!(house.broker.metrics().clients_connected, 0);
}

/// With real threads: claims, hand-overs and ends in every order that the scheduler finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_over_several_threads_leaves_one_and_the_whole_session() {
    for _ in 0..10 {
        let house = broker().await;
        let first = busy(&house).await;
        let mut tasks = Vec::new();
        for _ in 0..CROWD {
            let broker = house.broker.clone();
            tasks.push(tokio::spawn(async move {
                let mut peer = open(&broker, "one of many", 4096);
                peer.send(narrow()).await;
                peer
            }));
        }
        let mut crowd = vec![first];
        for task in tasks {
            crowd.push(task.await.expect("it connects"));
        }
        let survivor = survivor(crowd).await;
        drop(survivor);
        expect_everything(&house, house.connect(same()).await).await;
    }
}

/// A clean start in the middle of a storm is a new session for everybody after it.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_4_a_clean_start_in_a_storm_ends_the_old_session() {
    let house = broker().await;
    let mut crowd = vec![busy(&house).await];
    for number in 0..CROWD {
        let mut peer = house.open("one of many");
        peer.send(if number == CROWD / 2 { same().clean(true) } else { same() }).await;
        crowd.push(peer);
    }
    settle().await;
    let mut last = crowd.pop().expect("the last one");
    assert!(last.expect_connack().await.session_present, "of the session that began in the middle");
    last.expect_silence().await;
    let mut publisher = house.v5("late").await;
    publisher.send(publish("t/late").payload("nobody").qos1(1)).await;
    assert_eq!(publisher.expect_puback(1).await.reason, ReasonCode::NoMatchingSubscribers);
    publisher.publish(publish("t/late").payload("nobody").qos(AtLeastOnce, 2)).await;
    last.expect_silence().await;
}
