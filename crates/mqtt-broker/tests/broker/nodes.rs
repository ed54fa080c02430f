//! The seam to other nodes: what they are told, what they bring, and whom they keep away.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Answer, Broker, Peers};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Properties, ReasonCode, Version};
use mqtt_session::{Message, Refusal};
use mqtt_testkit::{connect, publish, subscribe, will};
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::harness::{Harness, quiet, start};
use crate::wires::settle;

/// Writes down what it is told, and lets clients in unless their name says otherwise.
#[derive(Debug, Default)]
struct Notebook {
    interest: Mutex<Vec<String>>,
    published: Mutex<Vec<(String, String, QoS, bool)>>,
    door: Notify,
}

impl Peers for Notebook {
    fn interest_began(&self, filter: &TopicFilter<&str>) {
        self.interest.lock().push(format!("+{}", filter.as_str()));
    }

    fn interest_ended(&self, filter: &TopicFilter<&str>) {
        self.interest.lock().push(format!("-{}", filter.as_str()));
    }

    fn published(&self, message: &Message, qos: QoS, retain: bool) {
        let payload = String::from_utf8_lossy(message.payload()).into_owned();
        self.published.lock().push((message.topic().to_owned(), payload, qos, retain));
    }

    fn claim_session<'a>(&'a self, client_id: &'a str) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            match client_id {
                "moved" => Err(Refusal {
                    reason: ReasonCode::UseAnotherServer,
                    text: Some("you live elsewhere".into()),
                    server_reference: Some("node2.example:1883".into()),
                }),
                "waits" => {
                    self.door.notified().await;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}

impl Notebook {
    /// What was said of interest since the last time.
    fn interest(&self) -> Vec<String> {
        std::mem::take(&mut self.interest.lock())
    }

    fn published(&self) -> Vec<(String, String, QoS, bool)> {
        std::mem::take(&mut self.published.lock())
    }
}

async fn node() -> (Harness, Arc<Notebook>) {
    let notebook = Arc::new(Notebook::default());
    let settings = quiet(|settings| settings.retained.messages_max = 3);
    let house = start(Broker::builder().settings(settings).peers(notebook.clone())).await;
    (house, notebook)
}

fn message(topic: &str, payload: &str, publisher: u64) -> Message {
    let topic = TopicName::parse(topic).expect("a name");
    Message::new(topic, Properties::EMPTY, payload.as_bytes(), publisher, None)
}

#[tokio::test(start_paused = true)]
async fn interest_begins_with_the_first_subscription_and_ends_with_the_last() {
    let (house, notebook) = node().await;
    let mut one = house.v5("one").await;
    let mut two = house.v5("two").await;
    one.subscribe("t/#", AtMostOnce).await;
    assert_eq!(notebook.interest(), ["+t/#"]);
    one.subscribe("t/#", ExactlyOnce).await;
    two.subscribe("t/#", AtMostOnce).await;
    assert!(notebook.interest().is_empty());
    one.unsubscribe("t/#").await;
    one.unsubscribe("t/#").await;
    assert!(notebook.interest().is_empty());
    two.unsubscribe("t/#").await;
    assert_eq!(notebook.interest(), ["-t/#"]);
    two.subscribe("t/#", AtMostOnce).await;
    two.leave().await;
    assert_eq!(notebook.interest(), ["+t/#", "-t/#"]);
}

/// A shared subscription is told with its share name, each group for itself.
#[tokio::test(start_paused = true)]
async fn interest_of_groups_is_told_group_by_group() {
    let (house, notebook) = node().await;
    let mut one = house.v5("one").await;
    let mut two = house.v5("two").await;
    for filter in ["$share/g/t", "t", "$share/h/t"] {
        one.subscribe(filter, AtMostOnce).await;
        two.subscribe(filter, AtMostOnce).await;
    }
    assert_eq!(notebook.interest(), ["+$share/g/t", "+t", "+$share/h/t"]);
    one.leave().await;
    assert!(notebook.interest().is_empty());
    two.unsubscribe("$share/h/t").await;
    assert_eq!(notebook.interest(), ["-$share/h/t"]);
    two.leave().await;
    let mut ended = notebook.interest();
    ended.sort();
    assert_eq!(ended, ["-$share/g/t", "-t"]);
}

/// It lasts as long as the session, not the connection.
#[tokio::test(start_paused = true)]
async fn interest_lasts_as_long_as_the_session() {
    let (house, notebook) = node().await;
    let client = connect("away").clean(false).session_expiry_s(10);
    let mut away = house.connect(client.clone()).await;
    away.subscribe("t", AtLeastOnce).await;
    away.cut();
    settle().await;
    let over = house.connect(client.clone()).await;
    let again = house.connect(client.clone()).await;
    drop(over);
    again.cut();
    assert_eq!(notebook.interest(), ["+t"]);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(notebook.interest(), ["-t"]);
    let mut fresh = house.connect(client.clone()).await;
    fresh.subscribe("t", AtLeastOnce).await;
    let _clean = house.connect(client.clean(true)).await;
    assert_eq!(notebook.interest(), ["+t", "-t"]);
}

/// Beginnings and ends of one filter take turns, whatever the threads do.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn interest_is_told_in_its_order() {
    let (house, notebook) = node().await;
    let mut tasks = Vec::new();
    for number in 0..8 {
        let mut peer = house.v5(&format!("c{number}")).await;
        tasks.push(tokio::spawn(async move {
            for _ in 0..100 {
                peer.subscribe("t", AtMostOnce).await;
                peer.unsubscribe("t").await;
            }
        }));
    }
    for task in tasks {
        task.await.expect("it comes to its end");
    }
    let told = notebook.interest();
    let in_turn = told.chunks(2).all(|pair| *pair == ["+t", "-t"]);
    assert!(in_turn && !told.is_empty(), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn everything_that_is_published_here_is_told_once() {
    let (house, notebook) = node().await;
    let mut peer = house.v5("publisher").await;
    peer.publish(publish("t").payload("0")).await;
    peer.publish(publish("t").payload("1").qos1(1)).await;
    peer.publish(publish("r").payload("2").qos2(2).retained()).await;
    house.connect(connect("testator").will(will("w", "3").qos(AtLeastOnce))).await.cut();
    settle().await;
    let told = |topic: &str, payload: &str, qos, retain| (topic.to_owned(), payload.to_owned(), qos, retain);
    let expected = [
        told("t", "0", AtMostOnce, false),
        told("t", "1", AtLeastOnce, false),
        told("r", "2", ExactlyOnce, true),
        told("w", "3", AtLeastOnce, false),
    ];
    assert_eq!(notebook.published(), expected);
}

/// Other nodes may have the subscribers that this one has not: so nobody is told that there are none.
#[tokio::test(start_paused = true)]
async fn without_local_subscribers_a_message_still_counts_as_delivered() {
    let (house, _) = node().await;
    let mut peer = house.v5("publisher").await;
    peer.send(publish("t").payload("x").qos1(1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::Success);
    peer.send(publish("t").payload("x").qos2(2)).await;
    assert_eq!(peer.expect_pubrec(2).await.reason, ReasonCode::Success);
}

/// A message that the publisher is told to send again later must not be with the others already.
#[tokio::test(start_paused = true)]
async fn what_was_refused_is_not_told() {
    let (house, notebook) = node().await;
    let mut peer = house.v5("publisher").await;
    peer.subscribe("r/#", AtMostOnce).await;
    for number in 1..=3 {
        peer.publish(publish(&format!("r/{number}")).payload("x").qos1(number).retained()).await;
        peer.receive().await;
    }
    notebook.published();
    peer.send(publish("r/4").payload("x").qos1(4).retained()).await;
    assert_eq!(peer.expect_puback(4).await.reason, ReasonCode::QuotaExceeded);
    peer.send(publish("$SYS/broker").payload("x").qos1(5)).await;
    assert_eq!(peer.expect_puback(5).await.reason, ReasonCode::NotAuthorized);
    peer.expect_silence().await;
    assert!(notebook.published().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_other_nodes_bring_is_delivered_and_kept_but_not_told_back() {
    let (house, notebook) = node().await;
    let mut peer = house.v5("subscriber").await;
    peer.subscribe("t/#", AtLeastOnce).await;
    house.broker.deliver_from_peer(&message("t/1", "brought", 0), AtLeastOnce, false);
    let brought = peer.receive_text("brought").await;
    assert_eq!((brought.qos, brought.retain), (AtLeastOnce, false));
    house.broker.deliver_from_peer(&message("t/2", "kept", 0), AtLeastOnce, true);
    peer.receive_text("kept").await;
    let mut late = house.v5("late").await;
    late.subscribe("t/2", AtLeastOnce).await;
    assert!(late.receive_text("kept").await.retain);
    house.broker.deliver_from_peer(&message("t/2", "", 0), AtLeastOnce, true);
    late.receive_text("").await;
    assert!(notebook.published().is_empty());
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// Keys of sessions mean nothing on another node: No Local is about this node's clients. [MQTT-3.8.3-3]
#[tokio::test(start_paused = true)]
async fn mqtt_3_8_3_3_a_message_of_another_node_is_nobodys_own() {
    let (house, _) = node().await;
    let mut peer = house.v5("subscriber").await;
    peer.subscribe_with(subscribe(1).filter("t", AtLeastOnce).no_local()).await;
    for publisher in 0..50 {
        house.broker.deliver_from_peer(&message("t", "brought", publisher), AtLeastOnce, false);
        peer.receive_text("brought").await;
    }
}

/// Section 4.11: a client that belongs elsewhere is told where.
#[tokio::test(start_paused = true)]
async fn a_client_whose_session_is_elsewhere_is_sent_there() {
    let (house, _) = node().await;
    let mut moved = house.open("moved");
    moved.send(connect("moved")).await;
    let connack = moved.expect_refusal(ReasonCode::UseAnotherServer).await;
    assert_eq!(connack.properties().server_reference(), Some("node2.example:1883"));
    assert_eq!(connack.properties().reason_string(), Some("you live elsewhere"));
    let mut old = house.open("old");
    old.send(connect("moved").version(Version::V3_1_1)).await;
    while old.expect_packet_or_closed().await.is_some() {}
    house.v5("other").await.ping().await;
}

/// Nobody is taken over before the other nodes have agreed, and nobody waits for ever.
#[tokio::test(start_paused = true)]
async fn a_session_is_opened_when_the_other_nodes_agree() {
    let (house, notebook) = node().await;
    notebook.door.notify_one();
    let mut first = house.connect(connect("waits").session_expiry_s(10)).await;
    let mut second = house.open("second");
    second.send(connect("waits").clean(false)).await;
    second.expect_silence_for(Duration::from_secs(5)).await;
    first.ping().await;
    notebook.door.notify_one();
    assert!(second.expect_connack().await.session_present);
    first.expect_disconnect(ReasonCode::SessionTakenOver).await;
    let mut third = house.open("third");
    third.send(connect("waits").clean(false)).await;
    sleep(Duration::from_secs(10)).await;
    third.expect_closed().await;
    second.ping().await;
}

/// Hands everything to the other node at once.
#[derive(Debug, Default)]
struct Wire {
    to: Mutex<Option<Broker>>,
}

impl Peers for Wire {
    fn interest_began(&self, _: &TopicFilter<&str>) {}

    fn interest_ended(&self, _: &TopicFilter<&str>) {}

    fn published(&self, message: &Message, qos: QoS, retain: bool) {
        let to = self.to.lock().clone();
        to.expect("two nodes").deliver_from_peer(message, qos, retain);
    }

    fn claim_session<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
}

/// Two nodes that tell each other everything: every subscriber gets every message once.
#[tokio::test(start_paused = true)]
async fn two_nodes_serve_their_clients_together() {
    let wires = [Arc::new(Wire::default()), Arc::new(Wire::default())];
    let mut houses = Vec::new();
    for wire in &wires {
        houses.push(start(Broker::builder().settings(quiet(|_| ())).peers(wire.clone())).await);
    }
    *wires[0].to.lock() = Some(houses[1].broker.clone());
    *wires[1].to.lock() = Some(houses[0].broker.clone());
    let mut peers = Vec::new();
    for house in &houses {
        let mut peer = house.v5("same name on both").await;
        peer.subscribe("t/#", ExactlyOnce).await;
        peers.push(peer);
    }
    for sender in 0..2 {
        let text = format!("from {sender}");
        peers[sender].publish(publish("t/1").payload(&text).qos2(1).retained()).await;
        for peer in &mut peers {
            peer.receive_text(&text).await;
            peer.expect_silence().await;
        }
    }
    for house in &houses {
        let mut late = house.v5("late").await;
        late.subscribe("t/+", AtMostOnce).await;
        late.receive_text("from 1").await;
    }
    *wires[0].to.lock() = None;
    *wires[1].to.lock() = None;
}
