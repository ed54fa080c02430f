//! The numbered invariants of `docs/ARCHITECTURE.md` that are not named by a test elsewhere.

use std::num::NonZeroU16;
use std::time::{Duration, Instant};

use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Packet, ReasonCode, Version, decode, encode, frame};
use mqtt_session::{DropReason, Opening, Policy, Protocol, Received, Session};
use mqtt_store::Overflow;
use mqtt_testkit::{GOLDEN, connect, puback, publish, subscribe};
use mqtt_topic::{TopicFilter, TopicName};
use tokio::time::sleep;

use crate::harness::{broker, broker_with};
use crate::wires::{Source, connect_narrow, receive, settle, texts};

/// Numbers without pattern, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    /// One of the correct packets with some of its bytes changed.
    fn packet(&mut self, version: Version) -> Vec<u8> {
        loop {
            let golden = GOLDEN[self.below(GOLDEN.len())];
            if golden.version != version {
                continue;
            }
            let mut bytes = golden.bytes.to_vec();
            for _ in 0..self.below(4) {
                let at = self.below(bytes.len());
                bytes[at] = self.below(256) as u8;
            }
            return bytes;
        }
    }
}

fn protocol(version: Version, now: Instant) -> Protocol {
    let mut bytes = Vec::new();
    let connect = mqtt_testkit::ToWire::to_wire(&connect("c").version(version), version);
    let Ok(Packet::Connect(connect)) = decode(&connect, version) else { panic!("a CONNECT") };
    let policy = Policy::default();
    let mut opening = Opening::accept(&connect, &policy, || "assigned".into()).expect("admitted");
    let mut protocol = Protocol::broker(&mut opening, &policy, Session::new(), now);
    assert!(protocol.resume(now, &mut bytes).is_empty());
    protocol
}

/// Whatever comes, the lower layers answer or refuse: they do not panic, and time is what they are told.
#[test]
fn invariant_1_no_input_makes_the_lower_layers_panic() {
    let now = Instant::now();
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    for version in Version::ALL {
        let mut connection = protocol(version, now);
        for _ in 0..30_000 {
            let bytes = dice.packet(version);
            let mut out = Vec::new();
            // The length may have been changed as well.
            if frame(&bytes, 1 << 20).is_err() {
                continue;
            }
            let Ok(packet) = decode(&bytes, version) else { continue };
            let ticket = match connection.receive(packet, now, &mut out) {
                Ok(Received::Publish(publish)) => Some(publish.ticket()),
                Ok(_) => None,
                Err(_) => {
                    connection = protocol(version, now);
                    continue;
                }
            };
            if let Some(ticket) = ticket {
                connection.answer_publish(ticket, ReasonCode::Success, &mut out);
            }
            assert_whole_packets(&out, version);
        }
    }
}

fn assert_whole_packets(mut bytes: &[u8], version: Version) {
    while !bytes.is_empty() {
        let Ok(mqtt_codec::Framing::Complete { frame_len, .. }) = frame(bytes, u32::MAX) else {
            panic!("{bytes:02X?} are no whole packets")
        };
        let packet = decode(&bytes[..frame_len], version).expect("what we write can be read");
        let mut again = Vec::new();
        encode(&packet, version, &mut again).expect("and written again");
        assert_eq!(again, bytes[..frame_len]);
        bytes = &bytes[frame_len..];
    }
}

/// [MQTT-3.3.2-5] [MQTT-4.3.3-7]: what has been sent is sent again however old it is; what waits is left out.
#[tokio::test(start_paused = true)]
async fn invariant_5_expiry_applies_to_queued_messages_and_not_to_those_in_flight() {
    let house = broker().await;
    let client = connect("slow").clean(false).session_expiry_s(1000);
    let mut slow = house.connect(client.clone().receive_maximum(2)).await;
    slow.subscribe("t", ExactlyOnce).await;
    let mut publisher = house.v5("publisher").await;
    for (number, text) in (1..).zip(["sent", "sent too", "queued"]) {
        let message =
            publish("t").payload(text).qos(if number == 2 { ExactlyOnce } else { AtLeastOnce }, number);
        publisher.publish(message.expiry_s(10)).await;
    }
    slow.expect_publish().await;
    slow.expect_publish().await;
    sleep(Duration::from_secs(20)).await;
    slow.cut();
    let mut back = house.connect(client).await;
    assert_eq!(texts(&back.drain().await), ["sent", "sent too"]);
    let drops = house.broker.latest_drops();
    assert_eq!(drops.len(), 1);
    assert_eq!((drops[0].reason, drops[0].qos), (DropReason::Expired, AtLeastOnce));
}

/// Each side's numbers bind the other side only.
#[tokio::test(start_paused = true)]
async fn invariant_6_limits_of_one_direction_do_not_bind_the_other() {
    let house = broker_with(|settings| {
        settings.policy.ours.receive_maximum = NonZeroU16::new(3).expect("not zero");
        settings.policy.ours.maximum_packet_size_bytes = 500;
    })
    .await;
    // The client's small limits do not bind what it sends, and the server's small ones not what it gets.
    let mut small = house.connect(connect("small").receive_maximum(1).maximum_packet_size(60)).await;
    let mut large = house.connect(connect("large").receive_maximum(100).maximum_packet_size(10_000)).await;
    large.subscribe("to/large", ExactlyOnce).await;
    small.subscribe("to/small", ExactlyOnce).await;
    for number in 1..=3 {
        small.send(publish("to/large").payload("x".repeat(400)).qos2(number)).await;
    }
    for number in 1..=3 {
        small.expect_pubrec(number).await;
    }
    for _ in 0..10 {
        house.broker.deliver_from_peer(&long_message("to/large", 5000), ExactlyOnce, false);
    }
    assert_eq!(large.drain().await.len(), 13, "more than the server itself would take, and larger");
    small.send(publish("to/large").payload("x").qos2(4)).await;
    small.expect_disconnect(ReasonCode::ReceiveMaximumExceeded).await;
    large.send(publish("to/small").payload("x".repeat(500))).await;
    large.expect_disconnect(ReasonCode::PacketTooLarge).await;
}

fn long_message(topic: &str, payload_bytes: usize) -> mqtt_session::Message {
    let topic = TopicName::parse(topic).expect("a name");
    let payload = vec![b'x'; payload_bytes];
    mqtt_session::Message::new(topic, mqtt_codec::Properties::EMPTY, &payload, 0, None)
}

/// Queues, retained messages, subscriptions, aliases, answers: each has a bound where it is added to, and says
/// so when it is reached. Sessions and connections are counted in `admission`, replays in `replay`.
#[tokio::test(start_paused = true)]
async fn invariant_7_everything_that_grows_has_a_bound() {
    let house = broker_with(|settings| {
        settings.queue.messages_max = 10;
        settings.queue.overflow = Overflow::DropNewest;
        settings.retained.messages_max = 10;
        settings.limits.subscriptions_max = 10;
    })
    .await;
    let client = connect("away").clean(false).session_expiry_s(1000);
    let mut away = house.connect(client.clone()).await;
    let mut request = subscribe(1).filter("t", AtLeastOnce);
    for number in 0..20 {
        request = request.filter(&format!("f/{number}"), AtMostOnce);
    }
    let reasons = away.subscribe_with(request).await.reasons;
    assert_eq!(reasons.iter().filter(|reason| reason.is_error()).count(), 11);
    away.cut();
    let mut publisher = house.v5("publisher").await;
    for number in 1..=20 {
        publisher.publish(publish("t").payload("x").qos1(number)).await;
        publisher.send(publish(&format!("r/{number}")).payload("x").qos1(number).retained()).await;
        publisher.expect_puback(number).await;
    }
    let metrics = house.broker.metrics();
    assert_eq!(metrics.dropped_for(DropReason::QueueFullMessages), 10);
    assert_eq!(metrics.dropped_for(DropReason::RetainedFull), 10);
    let mut back = house.connect(client).await;
    assert_eq!(back.drain().await.len(), 10);
}

/// A client that asks and asks and reads no answer is not read from any more, and hurts nobody.
#[tokio::test(start_paused = true)]
async fn invariant_7_unread_answers_are_bounded() {
    let house = broker().await;
    let mut rude = connect_narrow(&house, connect("rude"), 64 << 10).await;
    let pings = [0xC0, 0].repeat(32 << 10);
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_secs(1), rude.send(pings.clone())).await.is_ok() {
        sent += pings.len();
        assert!(sent < 64 << 20, "it is read from for ever");
    }
    house.v5("other").await.ping().await;
}

/// [MQTT-3.1.2-25]: it waits its turn, is left out, and what comes behind it goes on.
#[tokio::test(start_paused = true)]
async fn invariant_8_a_message_too_large_for_its_receiver_never_blocks_the_queue() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let house = broker().await;
        let mut small = house.connect(connect("small").receive_maximum(1).maximum_packet_size(200)).await;
        small.subscribe("t", qos).await;
        let mut publisher = house.v5("publisher").await;
        let large = "large".repeat(100);
        let payloads = [&*large, "1", &large, &large, "2", &large, "3", &large];
        for (number, text) in (1..).zip(payloads) {
            publisher.publish(publish("t").payload(text).qos(qos, number)).await;
        }
        for text in ["1", "2", "3"] {
            small.receive_text(text).await;
        }
        small.expect_silence().await;
        let drops = house.broker.latest_drops();
        assert_eq!(drops.len(), 5);
        assert!(drops.iter().all(|dropped| dropped.reason == DropReason::TooLargeForReceiver));
    }
}

/// Nothing that was given a packet identifier ever goes back: identifiers are given in the order of sending,
/// and none is in use twice. [MQTT-2.2.1-4]
#[tokio::test(start_paused = true)]
async fn invariant_10_packet_identifiers_are_given_when_a_message_is_sent() {
    let house = broker().await;
    let client = connect("c").clean(false).session_expiry_s(1000);
    let mut peer = house.connect(client.clone().receive_maximum(3)).await;
    peer.subscribe("t", AtLeastOnce).await;
    let source = Source::start(house.v5("publisher").await, "t", AtLeastOnce, 100, 10);
    let mut in_use = Vec::new();
    for _ in 0..3 {
        in_use.push(peer.expect_publish().await);
    }
    source.finish().await;
    peer.cut();
    let mut back = house.connect(client.receive_maximum(5)).await;
    let mut first_time = Vec::new();
    for again in in_use {
        let repeated = back.expect_publish().await;
        assert_eq!((repeated.packet_id, repeated.dup), (again.packet_id, true));
        first_time.push(repeated.packet_id);
    }
    for expected in 3..100 {
        let message = back.expect_publish().await;
        assert_eq!(crate::wires::number(&message.payload), expected);
        assert!(!message.dup && !first_time.contains(&message.packet_id));
        back.send(puback(message.packet_id)).await;
    }
    for packet_id in first_time {
        back.send(puback(packet_id)).await;
    }
    back.expect_silence().await;
}

/// Live state is never written as it is: what is stored has types of its own.
#[test]
fn invariant_11_live_state_cannot_be_serialised() {
    for (layer, manifest) in [
        ("mqtt-codec", include_str!("../../../mqtt-codec/Cargo.toml")),
        ("mqtt-topic", include_str!("../../../mqtt-topic/Cargo.toml")),
        ("mqtt-session", include_str!("../../../mqtt-session/Cargo.toml")),
        ("mqtt-broker", include_str!("../../Cargo.toml")),
    ] {
        assert!(!manifest.contains("serde"), "{layer} depends on serde");
    }
}

/// Live messages, retained messages and rules by filter agree about every pair of filter and topic.
#[tokio::test(start_paused = true)]
async fn invariant_12_live_and_retained_messages_and_rules_use_one_matcher() {
    const FILTERS: &[&str] = &[
        "#", "+", "+/+", "/+", "+/", "a", "a/", "/a", "a/#", "a/+", "a/+/#", "+/b", "+/b/#", "a/b/c", "a//c",
        "a/+/c", "$SYS/#", "$x", "$x/#", "$x/+", "+/x", "a b/#", "ä/+", "A/#", "a/b/c/#", "+/+/+/#",
    ];
    const TOPICS: &[&str] = &[
        "a", "a/", "/a", "/", "a/b", "a/b/c", "a//c", "b", "x/b", "$x", "$x/a", "$x/x", "a b/c", "ä/ö", "A/b",
    ];
    let house = broker().await;
    let mut publisher = house.v5("publisher").await;
    for (number, topic) in (1..).zip(TOPICS) {
        publisher.publish(publish(topic).payload(topic).qos1(number).retained()).await;
    }
    for filter in FILTERS {
        let matcher = TopicFilter::parse(*filter).expect("a filter");
        let matching =
            TOPICS.iter().filter(|topic| matcher.matches(&TopicName::parse(**topic).expect("a name")));
        let mut expected: Vec<String> = matching.map(|topic| (*topic).to_owned()).collect();
        expected.sort();
        let mut peer = house.v5("subscriber").await;
        peer.subscribe(filter, AtMostOnce).await;
        let mut retained = texts(&peer.drain().await);
        retained.sort();
        assert_eq!(retained, expected, "retained messages for {filter}");
        for topic in TOPICS {
            publisher.publish(publish(topic).payload(topic)).await;
        }
        let mut live = texts(&peer.drain().await);
        live.sort();
        assert_eq!(live, expected, "live messages for {filter}");
        peer.leave().await;
    }
}

/// `cargo xtask conformance` writes down which tests prove which statement; that nothing is cited which is no
/// statement can be seen here.
#[test]
fn invariant_13_every_clause_cited_here_is_a_numbered_statement() {
    let statements = [
        include_str!("../../../../docs/conformance/mqtt-5.0.toml"),
        include_str!("../../../../docs/conformance/mqtt-3.1.1.toml"),
    ];
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut cited = 0;
    for file in rust_files(&source) {
        let text = std::fs::read_to_string(&file).expect("a source file");
        for clause in clauses(&text) {
            let quoted = format!("id = \"{clause}\"");
            assert!(statements.iter().any(|table| table.contains(&quoted)), "{clause} in {}", file.display());
            cited += 1;
        }
    }
    assert!(cited > 30, "{cited} clauses");
}

fn rust_files(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

/// What stands in square brackets and begins like a statement's number.
fn clauses(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (start, _) in text.match_indices("[MQTT") {
        let clause = text[start + 1..].split(']').next().expect("an end");
        found.push(clause);
    }
    found
}

/// The order of one publisher's messages is kept at each QoS, whatever else goes on.
#[tokio::test(start_paused = true)]
async fn messages_of_one_publisher_keep_their_order_in_batches_and_out_of_them() {
    let house = broker().await;
    let mut plain = house.v3("plain").await;
    let mut five = house.v5("five").await;
    let mut aliased = house.connect(connect("aliased").topic_alias_maximum(5)).await;
    for peer in [&mut plain, &mut five, &mut aliased] {
        peer.subscribe("t/#", ExactlyOnce).await;
    }
    let mut publisher = house.v5("publisher").await;
    let mut burst = Vec::new();
    let kinds: [(&str, QoS); 5] = [
        ("t/1", AtMostOnce),
        ("t/1", AtMostOnce),
        ("t/1", AtLeastOnce),
        ("t/2", AtMostOnce),
        ("t/1", ExactlyOnce),
    ];
    for number in 0..500_u16 {
        let (topic, qos) = kinds[usize::from(number) % kinds.len()];
        let message = publish(topic).payload(format!("{number} ")).qos(qos, number + 1);
        burst.extend(mqtt_testkit::ToWire::to_wire(&message, Version::V5));
    }
    publisher.send(burst).await;
    for peer in [&mut plain, &mut five, &mut aliased] {
        assert_eq!(receive(peer, 500).await, (0..500).collect::<Vec<_>>());
    }
    settle().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}
