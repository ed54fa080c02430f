//! A receiver that takes nothing for the stall time: its publishers go on, and what it loses is counted.

use std::time::Duration;

use mqtt_broker::Settings;
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_session::DropReason;
use mqtt_store::Overflow;
use mqtt_testkit::{Peer, connect, publish};
use tokio::time::{Instant, sleep};

use crate::harness::{Harness, broker_with};
use crate::wires::{MOMENT, Source, connect_narrow, numbers_in, receive, settle, sip};

/// Less than a peer waits for an answer.
const STALL: Duration = Duration::from_secs(8);
const PAYLOAD_BYTES: usize = 1000;

fn tight(settings: &mut Settings) {
    settings.limits.outbox_bytes_high = 16 << 10;
    settings.limits.stall_timeout = STALL;
}

/// A client that does not read what comes on `t`.
async fn deaf(house: &Harness, qos: QoS) -> Peer {
    let mut peer = connect_narrow(house, connect("deaf"), 1024).await;
    peer.subscribe("t", qos).await;
    peer
}

#[tokio::test(start_paused = true)]
async fn after_the_stall_time_qos_0_is_dropped_and_counted_and_publishers_go_on() {
    let house = broker_with(tight).await;
    let mut deaf = deaf(&house, AtMostOnce).await;
    let began = Instant::now();
    let source = Source::start(house.v5("publisher").await, "t", AtMostOnce, 1000, PAYLOAD_BYTES);
    sleep(STALL - MOMENT).await;
    let held = source.done();
    assert_eq!(house.broker.metrics().dropped_total(), 0);
    source.finish().await.ping().await;
    assert_eq!(began.elapsed(), STALL, "the publisher waits exactly that long");

    let metrics = house.broker.metrics();
    let stalled = metrics.dropped_for(DropReason::ReceiverStalled);
    assert_eq!(stalled, metrics.dropped_total());
    assert!(usize::try_from(stalled).expect("small") >= 1000 - held - 300, "{stalled} after {held}");
    let latest = house.broker.latest_drops();
    let last = latest.last().expect("something was dropped");
    assert_eq!((&*last.client_id, &*last.topic, last.qos), ("deaf", "t", AtMostOnce));
    assert_eq!(latest.len() as u64, stalled);

    let kept = 1000 - usize::try_from(stalled).expect("small");
    assert_eq!(receive(&mut deaf, kept).await, (0..kept).collect::<Vec<_>>());
    deaf.expect_silence().await;
}

/// Once it has caught up, everything is as before.
#[tokio::test(start_paused = true)]
async fn a_receiver_that_reads_again_gets_everything_again() {
    let house = broker_with(tight).await;
    let mut deaf = deaf(&house, AtMostOnce).await;
    let mut publisher = house.v5("publisher").await;
    for _ in 0..3 {
        publisher = Source::start(publisher, "t", AtMostOnce, 1000, PAYLOAD_BYTES).finish().await;
        let dropped = house.broker.metrics().dropped_total();
        assert!(dropped > 0);
        deaf.drain().await;
        let source = Source::start(publisher, "t", AtMostOnce, 1000, PAYLOAD_BYTES);
        assert_eq!(receive(&mut deaf, 1000).await, (0..1000).collect::<Vec<_>>());
        publisher = source.finish().await;
        assert_eq!(house.broker.metrics().dropped_total(), dropped);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_receivers_queue_fills_to_its_limit_with_qos_1_and_2() {
    for qos in [AtLeastOnce, ExactlyOnce] {
        let house = broker_with(|settings| {
            tight(settings);
            settings.queue.messages_max = 500;
        })
        .await;
        let mut deaf = deaf(&house, qos).await;
        let source = Source::start(house.v5("publisher").await, "t", qos, 1000, PAYLOAD_BYTES);
        source.finish().await;
        let metrics = house.broker.metrics();
        let full = metrics.dropped_for(DropReason::QueueFullMessages);
        assert!(full > 0);
        assert_eq!(metrics.dropped_total(), full);
        let kept = 1000 - usize::try_from(full).expect("small");
        assert!(kept > 500, "the queue and what was written before: {kept}");
        assert_eq!(receive(&mut deaf, kept).await, (0..kept).collect::<Vec<_>>());
        deaf.expect_silence().await;
    }
}

/// Giving up the oldest lets nothing overtake: QoS 0 messages between the others keep their place.
#[tokio::test(start_paused = true)]
async fn what_is_given_up_does_not_change_the_order_of_the_rest() {
    let house = broker_with(|settings| {
        settings.queue.messages_max = 4;
        settings.queue.overflow = Overflow::DropOldest;
    })
    .await;
    let mut narrow = house.connect(connect("narrow").receive_maximum(1)).await;
    narrow.subscribe("t", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    let messages = [
        ("sent", AtLeastOnce),
        ("given up", AtLeastOnce),
        ("zero", AtMostOnce),
        ("1", AtLeastOnce),
        ("2", AtLeastOnce),
        ("3", AtLeastOnce),
        ("4", AtLeastOnce),
    ];
    for (number, (text, qos)) in (1..).zip(messages) {
        let message = publish("t").payload(text).qos(qos, number);
        publisher.send(message).await;
        // Once the queue is half full, the publisher waits until its receiver counts as stalled.
        sleep(STALL).await;
    }
    for text in ["sent", "zero", "1", "2", "3", "4"] {
        narrow.receive_text(text).await;
    }
    narrow.expect_silence().await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::QueueFullMessages), 1);
}

/// As long as it takes something, however little, it is only slow.
#[tokio::test(start_paused = true)]
async fn a_slow_but_steady_reader_never_counts_as_stalled() {
    let house = broker_with(tight).await;
    let slow = deaf(&house, AtMostOnce).await;
    let source = Source::start(house.v5("publisher").await, "t", AtMostOnce, 600, PAYLOAD_BYTES);
    let mut stream = slow.into_stream();
    let bytes = sip(&mut stream, 100, STALL - MOMENT, STALL * 2).await;
    source.finish().await;
    assert_eq!(numbers_in(&bytes), (0..600).collect::<Vec<_>>());
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// The same for a reader whose window is small: each acknowledgement is progress.
#[tokio::test(start_paused = true)]
async fn a_slow_acknowledger_never_counts_as_stalled() {
    let house = broker_with(tight).await;
    let mut slow = connect_narrow(&house, connect("slow").receive_maximum(1), 1024).await;
    slow.subscribe("t", AtLeastOnce).await;
    let source = Source::start(house.v5("publisher").await, "t", AtMostOnce, 100, PAYLOAD_BYTES);
    // QoS 0 would be dropped for a stalled receiver.
    for number in 0..100 {
        sleep(STALL - MOMENT).await;
        assert_eq!(receive(&mut slow, 1).await, [number]);
    }
    source.finish().await;
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// Answers to its pings are no progress: it takes no message.
#[tokio::test(start_paused = true)]
async fn a_client_that_only_pings_counts_as_stalled() {
    let house = broker_with(tight).await;
    let mut pinger = house.connect(connect("pinger").receive_maximum(1)).await;
    pinger.subscribe("t", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("t").payload("never acknowledged").qos1(1)).await;
    pinger.expect_publish().await;
    let began = Instant::now();
    let source = Source::start(publisher, "t", AtLeastOnce, 100, PAYLOAD_BYTES);
    for _ in 0..9 {
        sleep(STALL / 10).await;
        pinger.ping().await;
    }
    assert!(source.done() < 100);
    source.finish().await;
    assert_eq!(began.elapsed(), STALL);
    assert_eq!(house.broker.metrics().dropped_total(), 0, "QoS 1 fills the queue");
}

/// Each feeds the other and reads nothing: the stall time sets both free.
#[tokio::test(start_paused = true)]
async fn two_clients_that_feed_each_other_are_set_free() {
    for qos in [AtMostOnce, AtLeastOnce] {
        let house = broker_with(|settings| {
            tight(settings);
            settings.queue.messages_max = 100;
        })
        .await;
        let mut sources = Vec::new();
        let mut peers = Vec::new();
        for (from, to) in [("a", "b"), ("b", "a")] {
            let mut peer = connect_narrow(&house, connect(from), 1024).await;
            peer.subscribe(from, qos).await;
            peers.push((peer, to));
        }
        let began = Instant::now();
        for (peer, to) in peers {
            sources.push(Source::start(peer, to, AtMostOnce, 1000, PAYLOAD_BYTES));
        }
        settle().await;
        assert!(sources.iter().all(|source| source.done() < 1000));
        let mut peers = Vec::new();
        for source in sources {
            peers.push(source.finish().await);
        }
        assert_eq!(began.elapsed(), STALL);
        for mut peer in peers {
            let came = peer.drain().await;
            assert!(came.len() > 100, "{qos:?}: {}", came.len());
            peer.ping().await;
        }
        assert!(house.broker.metrics().dropped_for(DropReason::ReceiverStalled) > 0);
    }
}
