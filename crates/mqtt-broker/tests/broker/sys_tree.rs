//! The `$SYS` tree: the broker's figures for those who ask.

use std::collections::BTreeMap;
use std::time::Duration;

use mqtt_codec::Packet;
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_session::DropReason;
use mqtt_testkit::{Peer, ReceivedPacket, connect, publish, will};
use tokio::time::sleep;

use crate::harness::{Harness, broker_with};
use crate::wires::settle;

const INTERVAL: Duration = Duration::from_secs(10);

async fn house() -> Harness {
    broker_with(|settings| settings.sys.interval = Some(INTERVAL)).await
}

fn figures(packets: &[ReceivedPacket], retained: bool) -> BTreeMap<String, String> {
    let mut figures = BTreeMap::new();
    for packet in packets {
        let packet = packet.packet();
        let Packet::Publish(message) = packet else { panic!("unexpected {packet:?}") };
        assert_eq!((message.retain, message.qos), (retained, AtMostOnce));
        let value = String::from_utf8(message.payload.to_vec()).expect("text");
        let topic = message.topic.strip_prefix("$SYS/broker/").expect("our own tree").to_owned();
        assert_eq!(figures.insert(topic, value), None, "each topic once");
    }
    figures
}

/// A client that is sent every topic in full.
async fn observer(house: &Harness, name: &str) -> Peer {
    let mut observer = house.v5(name).await;
    observer.subscribe("$SYS/#", AtLeastOnce).await;
    observer
}

/// Every topic that there is, and its value after some work.
#[tokio::test(start_paused = true)]
async fn the_tree_tells_what_happened() {
    let house = house().await;
    let mut one = house.v5("one").await;
    one.subscribe("t", AtLeastOnce).await;
    one.subscribe("$share/g/t", AtLeastOnce).await;
    let mut two = house.v5("two").await;
    two.subscribe("t", AtMostOnce).await;
    let mut away = house.connect(connect("away").session_expiry_s(1000)).await;
    away.subscribe("t", AtMostOnce).await;
    away.cut();
    house.connect(connect("short").session_expiry_s(2)).await.cut();
    house.connect(connect("testator").will(will("w", "gone"))).await.cut();
    let mut taken = house.v5("taken").await;
    let _over = house.v5("taken").await;
    taken.expect_packet().await;
    drop(taken);
    house.open("silent").cut();
    settle().await;
    two.publish(publish("t").payload("12345")).await;
    for _ in 0..2 {
        one.receive_text("12345").await;
    }
    two.receive_text("12345").await;
    two.publish(publish("r").payload("kept").qos1(1).retained()).await;
    sleep(INTERVAL).await;

    let mut observer = observer(&house, "observer").await;
    let mut tree = figures(&observer.drain().await, true);
    let mut take = |topic: &str| tree.remove(topic).unwrap_or_else(|| panic!("no {topic}"));
    for (topic, value) in [
        ("version", concat!("martlet ", env!("CARGO_PKG_VERSION"))),
        ("uptime", "10 seconds"),
        ("clients/connected", "3"),
        ("clients/active", "3"),
        ("clients/disconnected", "1"),
        ("clients/inactive", "1"),
        ("clients/total", "4"),
        ("clients/expired", "1"),
        ("clients/taken_over", "1"),
        ("connections/accepted", "8"),
        ("connections/refused", "0"),
        ("connections/failed", "1"),
        ("connections/violations", "0"),
        ("connections/keep_alive_timeouts", "0"),
        ("subscriptions/count", "3"),
        ("shared_subscriptions/count", "1"),
        ("messages/received", "13"),
        ("messages/sent", "16"),
        ("messages/dropped", "1"),
        ("packets/received", "13"),
        ("packets/sent", "16"),
        ("publish/messages/received", "2"),
        ("publish/messages/sent", "3"),
        ("publish/messages/dropped", "1"),
        ("publish/bytes/received", "9"),
        ("publish/bytes/sent", "15"),
        ("wills/published", "1"),
        ("bans/count", "0"),
        ("clients/banned", "0"),
        ("refusals/disconnect/session_taken_over", "1"),
    ] {
        assert_eq!(take(topic), value, "{topic}");
    }
    // These count the tree's own messages of the last time, or depend on how packets are laid out.
    let retained = take("messages/retained");
    assert_eq!(take("retained messages/count"), retained);
    assert_eq!(take("store/messages/count"), retained);
    assert!(retained.parse::<usize>().expect("a number") > 60, "{retained}");
    for topic in
        ["time", "started", "store/messages/bytes", "bytes/received", "bytes/sent", "clients/maximum"]
    {
        assert!(take(topic).parse::<u64>().expect("a number") > 0, "{topic}");
    }
    for reason in DropReason::ALL {
        let expected = if reason == DropReason::ReceiverOffline { "1" } else { "0" };
        assert_eq!(take(&format!("drops/{}", reason.name())), expected);
    }
    for name in [
        "messages/received",
        "messages/sent",
        "publish/received",
        "publish/sent",
        "publish/dropped",
        "bytes/received",
        "bytes/sent",
        "connections",
    ] {
        for window in ["1min", "5min", "15min"] {
            let load: f64 = take(&format!("load/{name}/{window}")).parse().expect("a number");
            assert!(load > 0.0, "load/{name}/{window}");
        }
    }
    assert!(tree.is_empty(), "not looked at: {tree:?}");
}

/// Subscribers get every figure anew at each interval, others nothing.
#[tokio::test(start_paused = true)]
async fn the_tree_is_published_at_each_interval() {
    let house = house().await;
    let mut watcher = observer(&house, "watcher").await;
    let mut other = house.v5("other").await;
    other.subscribe("#", AtMostOnce).await;
    watcher.drain().await;
    for seconds in [10, 20, 30] {
        watcher.expect_silence_for(INTERVAL - Duration::from_millis(500)).await;
        sleep(Duration::from_millis(450)).await;
        let tree = figures(&watcher.drain().await, false);
        assert_eq!(tree["uptime"], format!("{seconds} seconds"));
        assert_eq!(tree["clients/connected"], "2");
    }
    other.expect_silence().await;
}

/// The load is a moving average for a minute: a steady rate is its own average in the end.
#[tokio::test(start_paused = true)]
async fn loads_come_close_to_a_steady_rate() {
    let house = house().await;
    let mut peer = house.v5("steady").await;
    for _ in 0..600 {
        peer.publish(publish("t").payload("x")).await;
        sleep(Duration::from_secs(1)).await;
    }
    let mut observer = observer(&house, "observer").await;
    let tree = figures(&observer.drain().await, true);
    let load: f64 = tree["load/publish/received/1min"].parse().expect("a number");
    assert!((59.0..61.0).contains(&load), "{load} instead of 60 a minute");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_where_it_is_switched_off() {
    let house = crate::harness::broker().await;
    let mut watcher = observer(&house, "watcher").await;
    watcher.expect_silence_for(Duration::from_secs(1000)).await;
}
