//! An orderly end: what waits is sent as far as it is taken, everybody is told, and nobody delays it for long.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::Broker;
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::DropReason;
use mqtt_store::{MemoryStore, RetainedLimits, Store};
use mqtt_testkit::{ToWire, connect, will};
use tokio::time::Instant;

use crate::harness::{broker, broker_with, expect_violation, quiet, start};
use crate::wires::{Source, connect_narrow, open, receive, settle};

/// Section 3.14.2.1
#[tokio::test(start_paused = true)]
async fn clients_of_5_0_are_told_and_the_others_just_closed() {
    let house = broker().await;
    let mut peers = Vec::new();
    for version in Version::ALL {
        peers.push(house.client(version, &format!("{version:?}")).await);
    }
    let broker = house.broker.clone();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    for mut peer in peers {
        expect_violation(&mut peer, ReasonCode::ServerShuttingDown).await;
    }
    stopping.await.expect("it stops");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_sent_before_the_goodbye() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let house = broker_with(|settings| settings.limits.outbox_bytes_high = 1 << 20).await;
        let mut reader = connect_narrow(&house, connect("reader"), 512).await;
        reader.subscribe("t", qos).await;
        Source::start(house.v5("publisher").await, "t", qos, 500, 1000).finish().await.leave().await;
        let broker = house.broker.clone();
        let stopping = tokio::spawn(async move { broker.shutdown().await });
        let mut numbers = Vec::new();
        loop {
            match reader.expect_packet().await.packet() {
                mqtt_codec::Packet::Publish(message) => numbers.push(crate::wires::number(message.payload)),
                mqtt_codec::Packet::Disconnect(last) => {
                    assert_eq!(last.reason, ReasonCode::ServerShuttingDown);
                    break;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(numbers, (0..500).collect::<Vec<_>>(), "{qos:?}");
        reader.expect_closed().await;
        stopping.await.expect("it stops");
        // What was not acknowledged ends with the session, but it was sent.
        let unacknowledged = if qos == AtMostOnce { 0 } else { 500 };
        assert_eq!(house.broker.metrics().dropped_for(DropReason::SessionEnded), unacknowledged);
        assert_eq!(house.broker.metrics().dropped_total(), unacknowledged);
    }
}

/// The window is closed, so no more can be sent; that is no reason to wait.
#[tokio::test(start_paused = true)]
async fn a_closed_window_does_not_delay_the_goodbye() {
    let house = broker().await;
    let mut narrow = house.connect(connect("narrow").receive_maximum(1)).await;
    narrow.subscribe("t", AtLeastOnce).await;
    Source::start(house.v5("publisher").await, "t", AtLeastOnce, 10, 10).finish().await.leave().await;
    narrow.expect_publish().await;
    let broker = house.broker.clone();
    let began = Instant::now();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    narrow.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    narrow.cut();
    stopping.await.expect("it stops");
    assert_eq!(began.elapsed(), Duration::ZERO);
}

/// Whoever has not been admitted yet is not waited for: silent, half way through its CONNECT, or in the middle
/// of a login.
#[tokio::test(start_paused = true)]
async fn half_open_handshakes_do_not_delay_the_end() {
    let house = broker().await;
    let mut silent = house.open("silent");
    let mut half = house.open("half");
    let connect = connect("half").to_wire(Version::V5);
    half.send(connect[..connect.len() / 2].to_vec()).await;
    settle().await;
    let began = Instant::now();
    house.broker.shutdown().await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    silent.expect_closed().await;
    half.expect_closed().await;
}

/// Clients that read nothing are waited for no longer than the operator allows.
#[tokio::test(start_paused = true)]
async fn the_end_comes_within_the_shutdown_timeout() {
    for (linger_s, timeout_s) in [(1, 5), (100, 5), (100, 1), (0, 5)] {
        let house = broker_with(|settings| {
            settings.limits.linger = Duration::from_secs(linger_s);
            settings.limits.shutdown_timeout = Duration::from_secs(timeout_s);
        })
        .await;
        let mut deaf = connect_narrow(&house, connect("deaf"), 512).await;
        deaf.subscribe("t", AtLeastOnce).await;
        Source::start(house.v5("publisher").await, "t", AtLeastOnce, 500, 1000).finish().await.leave().await;
        let began = Instant::now();
        house.broker.shutdown().await;
        assert!(began.elapsed() <= Duration::from_secs(timeout_s), "{:?}", began.elapsed());
        drop(deaf);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stopped_broker_admits_nobody() {
    let house = broker().await;
    house.broker.shutdown().await;
    let mut late = house.open("late");
    late.send_carelessly(connect("late")).await;
    late.expect_closed().await;
    assert_eq!(house.broker.metrics().connections_refused, 1);
}

/// Several may ask for the end; each waits for it.
#[tokio::test(start_paused = true)]
async fn the_end_may_be_asked_for_twice() {
    let house = broker().await;
    let mut peer = house.v5("peer").await;
    let broker = house.broker.clone();
    let (one, two, ()) = tokio::join!(
        tokio::spawn({
            let broker = broker.clone();
            async move { broker.shutdown().await }
        }),
        tokio::spawn(async move { broker.shutdown().await }),
        async {
            peer.expect_disconnect(ReasonCode::ServerShuttingDown).await;
        }
    );
    one.expect("it stops");
    two.expect("it stops");
    house.broker.shutdown().await;
}

/// Sessions are kept, wills are published: to those who are still there, and as retained messages.
#[tokio::test(start_paused = true)]
async fn sessions_and_wills_survive_in_the_store() {
    let store = Arc::new(MemoryStore::new(RetainedLimits::default()));
    let house = start(Broker::builder().settings(quiet(|_| ())).store(store.clone())).await;
    let mut kept = house.connect(connect("kept").clean(false).session_expiry_s(100)).await;
    kept.subscribe("t", AtLeastOnce).await;
    let _short = house.connect(connect("short")).await;
    let testator = connect("testator").will(will("w", "stopped").retained());
    let testator = house.connect(testator).await;
    let broker = house.broker.clone();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    kept.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    drop(testator);
    stopping.await.expect("it stops");
    assert_eq!(store.parked_len(), 1);
    let parked = store.unpark("kept").expect("readable").expect("a session");
    assert!(parked.session.subscription("t").is_some());
    assert_eq!(store.retained_totals().messages, 1);
    assert_eq!(house.broker.metrics().wills_published, 1);
}

/// A client that connects while the broker begins to stop is sent away as well, and so is a take-over.
#[tokio::test(start_paused = true)]
async fn newcomers_of_the_last_moment_are_sent_away() {
    let house = broker().await;
    let mut old = house.connect(connect("same").clean(false).session_expiry_s(10)).await;
    let mut new = open(&house.broker, "new", 4096);
    new.send(connect("same").clean(false).session_expiry_s(10)).await;
    let mut other = open(&house.broker, "other", 4096);
    other.send(connect("other")).await;
    let broker = house.broker.clone();
    let began = Instant::now();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    for peer in [&mut old, &mut new, &mut other] {
        while peer.expect_packet_or_closed().await.is_some() {}
        peer.finish_sending().await;
    }
    stopping.await.expect("it stops");
    assert!(began.elapsed() < Duration::from_secs(5));
}

/// A publisher that waits for a slow receiver ends like everybody else, and what it said is delivered.
#[tokio::test(start_paused = true)]
async fn publishers_that_wait_are_stopped_too() {
    let house = broker_with(|settings| settings.limits.outbox_bytes_high = 4096).await;
    let mut slow = connect_narrow(&house, connect("slow"), 512).await;
    slow.subscribe("t", AtMostOnce).await;
    let source = Source::start(house.v5("publisher").await, "t", AtMostOnce, 1000, 1000);
    settle().await;
    let broker = house.broker.clone();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    let taken = usize::try_from(house.broker.metrics().publish_received).expect("small");
    assert!(taken < 1000);
    assert_eq!(receive(&mut slow, taken).await, (0..taken).collect::<Vec<_>>());
    slow.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    drop((slow, source));
    stopping.await.expect("it stops");
}
