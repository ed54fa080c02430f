//! A receiver that does not read slows its publishers down; nothing is lost and nothing grows.

use std::time::Duration;

use mqtt_broker::Settings;
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Packet, ReasonCode};
use mqtt_session::DropReason;
use mqtt_testkit::{Peer, connect, puback, pubcomp, publish, pubrec, will};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Harness, broker_with, expect_violation};
use crate::wires::{MOMENT, Source, connect_narrow, receive, settle};

const ALL_QOS: [QoS; 3] = [AtMostOnce, AtLeastOnce, ExactlyOnce];

/// Enough to fill every buffer between two clients several times over.
const MESSAGES: usize = 2000;
const PAYLOAD_BYTES: usize = 1000;

const HOUR: Duration = Duration::from_secs(3600);

fn patient(settings: &mut Settings) {
    settings.limits.outbox_bytes_high = 16 << 10;
    settings.limits.stall_timeout = HOUR;
}

/// A subscriber to `t` that does not read, and a publisher.
async fn pair(house: &Harness, qos: QoS) -> (Peer, Peer) {
    let mut subscriber = connect_narrow(house, connect("subscriber"), 1024).await;
    subscriber.subscribe("t", qos).await;
    let publisher = connect_narrow(house, connect("publisher"), 1024).await;
    (subscriber, publisher)
}

fn count_to(count: usize) -> Vec<usize> {
    (0..count).collect()
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_does_not_read_stops_its_publisher_and_nothing_is_lost() {
    for qos in ALL_QOS {
        let house = broker_with(patient).await;
        let (mut subscriber, publisher) = pair(&house, qos).await;
        let source = Source::start(publisher, "t", qos, MESSAGES, PAYLOAD_BYTES);
        settle().await;
        let stopped_at = source.done();
        assert!(stopped_at < MESSAGES / 2, "{qos:?}: {stopped_at} messages were taken");
        sleep(Duration::from_secs(5)).await;
        assert_eq!(source.done(), stopped_at, "{qos:?}");
        assert_eq!(receive(&mut subscriber, MESSAGES).await, count_to(MESSAGES), "{qos:?}");
        source.finish().await.ping().await;
        assert_eq!(house.broker.metrics().dropped_total(), 0);
        subscriber.expect_silence().await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_slow_receiver_holds_up_nobody_elses_publishers() {
    let house = broker_with(patient).await;
    let (_slow, publisher) = pair(&house, AtMostOnce).await;
    let source = Source::start(publisher, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
    settle().await;
    assert!(source.done() < MESSAGES);
    let mut other = house.v5("other").await;
    other.subscribe("other", AtLeastOnce).await;
    let second = Source::start(house.v5("second").await, "other", AtLeastOnce, 100, PAYLOAD_BYTES);
    assert_eq!(receive(&mut other, 100).await, count_to(100));
    second.finish().await;
    assert!(source.done() < MESSAGES);
}

#[tokio::test(start_paused = true)]
async fn many_publishers_of_one_slow_receiver_all_finish() {
    for qos in ALL_QOS {
        let house = broker_with(patient).await;
        let (mut subscriber, publisher) = pair(&house, qos).await;
        let mut sources = vec![Source::start(publisher, "t", qos, 100, PAYLOAD_BYTES)];
        for number in 0..19 {
            let publisher = house.v5(&format!("publisher {number}")).await;
            sources.push(Source::start(publisher, "t", qos, 100, PAYLOAD_BYTES));
        }
        settle().await;
        let mut numbers = receive(&mut subscriber, 2000).await;
        numbers.sort_unstable();
        let expected: Vec<usize> = (0..100).flat_map(|number| [number; 20]).collect();
        assert_eq!(numbers, expected);
        for source in sources {
            source.finish().await;
        }
        assert_eq!(house.broker.metrics().dropped_total(), 0);
    }
}

/// The publisher waits before the queue is full, even where few messages fill it.
#[tokio::test(start_paused = true)]
async fn a_short_queue_loses_nothing_of_a_client_that_is_there() {
    for qos in ALL_QOS {
        for narrow in [
            |settings: &mut Settings| settings.queue.messages_max = 8,
            |settings: &mut Settings| settings.queue.bytes_max = 8 << 10,
        ] {
            let house = broker_with(narrow).await;
            let mut subscriber = house.v5("subscriber").await;
            subscriber.subscribe("t", qos).await;
            let source = Source::start(house.v5("publisher").await, "t", qos, 1000, 100);
            assert_eq!(receive(&mut subscriber, 1000).await, count_to(1000), "{qos:?}");
            source.finish().await;
            assert_eq!(house.broker.metrics().dropped_total(), 0);
        }
    }
}

/// The same for a burst that arrives in one read.
#[tokio::test(start_paused = true)]
async fn a_short_queue_loses_nothing_of_a_burst() {
    let house = broker_with(|settings| settings.queue.messages_max = 8).await;
    let mut subscriber = house.v5("subscriber").await;
    subscriber.subscribe("t", AtMostOnce).await;
    let mut publisher = house.v5("publisher").await;
    let mut burst = Vec::new();
    for number in 0..2000 {
        let message = publish("t").payload(format!("{number} "));
        burst.extend(mqtt_testkit::ToWire::to_wire(&message, publisher.version()));
    }
    publisher.send(burst).await;
    assert_eq!(receive(&mut subscriber, 2000).await, count_to(2000));
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// Its own task empties its outbox, so waiting would be waiting for itself.
#[tokio::test(start_paused = true)]
async fn clients_that_publish_to_themselves_do_not_wait_for_themselves() {
    for qos in ALL_QOS {
        let house = broker_with(patient).await;
        let mut client = connect_narrow(&house, connect("both"), 1024).await;
        client.subscribe("t", qos).await;
        let source = Source::start(client, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
        let mut client = timeout(HOUR / 2, source.finish()).await.expect("it is read from all the time");
        assert_eq!(receive(&mut client, MESSAGES).await, count_to(MESSAGES));
        assert_eq!(house.broker.metrics().dropped_total(), 0);
    }
}

/// Acknowledgements come the same way as messages: whoever is needed to make room must go on being read.
#[tokio::test(start_paused = true)]
async fn clients_that_feed_each_other_and_acknowledge_never_stall() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let house = broker_with(|settings| settings.limits.outbox_bytes_high = 16 << 10).await;
        let began = Instant::now();
        let mut busy = Vec::new();
        for (name, other) in [("a", "b"), ("b", "a")] {
            let mut peer = house.connect(connect(name).receive_maximum(20)).await;
            peer.subscribe(name, qos).await;
            busy.push((peer, other));
        }
        let mut tasks = Vec::new();
        for (mut peer, other) in busy {
            tasks.push(tokio::spawn(async move {
                let mut expected = 0;
                for number in 0..MESSAGES {
                    // Writes ahead, as fast as the pipe takes it; QoS 0, so that no window holds it back.
                    peer.send(publish(other).payload(payload(number)).qos1(1 + number as u16)).await;
                    while number - expected.min(number) > 200 {
                        take_one(&mut peer, &mut expected).await;
                    }
                }
                while expected < MESSAGES {
                    take_one(&mut peer, &mut expected).await;
                }
            }));
        }
        for task in tasks {
            task.await.expect("both get everything");
        }
        assert_eq!(began.elapsed(), Duration::ZERO, "{qos:?}");
        assert_eq!(house.broker.metrics().dropped_total(), 0);
    }
}

/// A client that passes on what it gets is as slow as the slowest behind it, and does not count as stalled.
#[tokio::test(start_paused = true)]
async fn a_slow_client_slows_down_the_whole_chain_before_it() {
    let house = broker_with(|settings| settings.limits.outbox_bytes_high = 16 << 10).await;
    let mut slow = connect_narrow(&house, connect("slow"), 1024).await;
    slow.subscribe("end", AtMostOnce).await;
    let mut middle = connect_narrow(&house, connect("middle").receive_maximum(10), 4096).await;
    middle.subscribe("start", AtLeastOnce).await;
    let first = connect_narrow(&house, connect("first"), 4096).await;
    let source = Source::start(first, "start", AtLeastOnce, 600, PAYLOAD_BYTES);
    let passing_on = tokio::spawn(async move {
        for expected in 0..600 {
            let message = middle.receive().await;
            assert_eq!(crate::wires::number(&message.payload), expected);
            middle.publish(publish("end").payload(message.payload)).await;
        }
        middle
    });
    for expected in 0..600 {
        assert_eq!(receive(&mut slow, 1).await, [expected]);
        sleep(Duration::from_millis(500)).await;
    }
    passing_on.await.expect("it passes everything on").ping().await;
    source.finish().await.ping().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

fn payload(number: usize) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(PAYLOAD_BYTES, b'.');
    payload
}

/// Reads one packet; a message must be the next one and is acknowledged.
async fn take_one(peer: &mut Peer, expected: &mut usize) {
    let packet = peer.expect_packet().await;
    match packet.packet() {
        Packet::Publish(message) => {
            assert_eq!(crate::wires::number(message.payload), *expected);
            *expected += 1;
            let packet_id = message.packet_id.map_or(0, Into::into);
            let answer = if message.qos == AtLeastOnce { puback(packet_id) } else { pubrec(packet_id) };
            peer.send(answer).await;
        }
        Packet::Pubrel(ack) => peer.send(pubcomp(ack.packet_id.get())).await,
        Packet::Puback(_) => {}
        other => panic!("unexpected {other:?}"),
    }
}

/// A publisher that is not read from cannot show that it lives.
#[tokio::test(start_paused = true)]
async fn a_publisher_that_has_to_wait_is_not_silent() {
    let house = broker_with(patient).await;
    let mut subscriber = connect_narrow(&house, connect("subscriber"), 1024).await;
    subscriber.subscribe("t", AtMostOnce).await;
    let publisher = connect_narrow(&house, connect("publisher").keep_alive_s(2), 1024).await;
    let source = Source::start(publisher, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
    sleep(Duration::from_secs(600)).await;
    assert!(source.done() < MESSAGES);
    receive(&mut subscriber, MESSAGES).await;
    let mut publisher = source.finish().await;
    publisher.ping().await;
    sleep(Duration::from_secs(3) + MOMENT).await;
    expect_violation(&mut publisher, ReasonCode::KeepAliveTimeout).await;
}

/// Who waits for a receiver that leaves, or is taken over, goes on at once.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_slow_receiver_frees_its_publishers_at_once() {
    for expiry_s in [0, 100] {
        let house = broker_with(patient).await;
        let client = connect("subscriber").session_expiry_s(expiry_s);
        let mut subscriber = connect_narrow(&house, client, 1024).await;
        subscriber.subscribe("t", AtMostOnce).await;
        let source = Source::start(house.v5("publisher").await, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
        settle().await;
        assert!(source.done() < MESSAGES);
        let before = Instant::now();
        subscriber.cut();
        source.finish().await.ping().await;
        assert_eq!(before.elapsed(), Duration::ZERO);
        // Everything that was taken for it and not written is accounted for; with its session the
        // subscription ended, and what came after that was for nobody.
        let metrics = house.broker.metrics();
        if expiry_s > 0 {
            let unsent = metrics.publish_received - metrics.publish_sent;
            assert_eq!(metrics.dropped_for(DropReason::ReceiverOffline), unsent);
        } else {
            assert!(metrics.dropped_for(DropReason::SessionEnded) > 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_take_over_of_a_slow_receiver_frees_its_publishers_at_once() {
    let house = broker_with(patient).await;
    let client = connect("subscriber").clean(false).session_expiry_s(100);
    let mut slow = connect_narrow(&house, client.clone(), 1024).await;
    slow.subscribe("t", AtLeastOnce).await;
    let source = Source::start(house.v5("publisher").await, "t", AtLeastOnce, MESSAGES, PAYLOAD_BYTES);
    settle().await;
    assert!(source.done() < MESSAGES);
    let before = Instant::now();
    let mut quick = house.connect(client).await;
    let mut numbers = Vec::new();
    while numbers.last() != Some(&(MESSAGES - 1)) {
        numbers.extend(receive(&mut quick, 1).await);
    }
    source.finish().await;
    assert_eq!(before.elapsed(), Duration::ZERO);
    assert_eq!(numbers, count_to(MESSAGES), "what was under way is repeated in its order");
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// What a publisher waits for does not keep it from being taken over or sent away.
#[tokio::test(start_paused = true)]
async fn a_publisher_that_waits_can_be_taken_over_and_sent_away() {
    let house = broker_with(patient).await;
    let mut heir = house.v5("heir").await;
    heir.subscribe("w", AtMostOnce).await;
    let (_slow, _) = pair(&house, AtMostOnce).await;
    for _ in 0..2 {
        let publisher = house.connect(connect("waiting").will(will("w", "gone"))).await;
        let source = Source::start(publisher, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
        settle().await;
        assert!(source.done() < MESSAGES);
        let again = house.connect(connect("waiting").will(will("w", "gone"))).await;
        heir.receive_text("gone").await;
        let source = Source::start(again, "t", AtMostOnce, MESSAGES, PAYLOAD_BYTES);
        settle().await;
        assert!(house.broker.disconnect("waiting", ReasonCode::AdministrativeAction));
        heir.receive_text("gone").await;
        drop(source);
    }
}

/// Each message is larger than what may wait in a connection's writer, so every one of them has to find the
/// way on by itself when the one before it has left.
#[tokio::test(start_paused = true)]
async fn messages_larger_than_the_write_buffer_follow_each_other() {
    for qos in ALL_QOS {
        let house = broker_with(patient).await;
        let mut subscriber = connect_narrow(&house, connect("subscriber"), 400_000).await;
        subscriber.subscribe("t", qos).await;
        let publisher = connect_narrow(&house, connect("publisher"), 400_000).await;
        let source = Source::start(publisher, "t", qos, 20, 300_000);
        assert_eq!(receive(&mut subscriber, 20).await, count_to(20), "{qos:?}");
        source.finish().await;
    }
}
