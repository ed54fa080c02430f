//! Who gets in, how long it may take, and how many there may be.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Access, Answer, EntryRefusal, Grant, Login};
use mqtt_codec::QoS::AtMostOnce;
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::Refusal;
use mqtt_testkit::{Peer, ToWire, connect, publish, subscribe, will};
use tokio::time::{Instant, sleep, timeout};

use crate::harness::{Harness, broker, broker_with, quiet, start};
use crate::wires::{MOMENT, open, settle};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A byte a second keeps nobody's place for longer than the connect timeout.
#[tokio::test(start_paused = true)]
async fn a_connect_of_a_byte_a_second_is_cut_off_in_time() {
    let house = broker().await;
    let bytes = connect("a client with a long name, so that there is something to send").to_wire(Version::V5);
    let mut slow = house.open("slow loris");
    let began = Instant::now();
    for byte in &bytes[..10] {
        slow.send([*byte]).await;
        sleep(Duration::from_secs(1) - MOMENT).await;
    }
    assert!(began.elapsed() < CONNECT_TIMEOUT);
    slow.expect_closed().await;
    assert_eq!(began.elapsed(), CONNECT_TIMEOUT);
    assert_eq!(house.broker.metrics().connects_failed, 1);
}

/// Whoever is done in time is a client like any other.
#[tokio::test(start_paused = true)]
async fn a_slow_connect_that_is_complete_in_time_is_admitted() {
    let house = broker().await;
    let bytes = connect("c").to_wire(Version::V5);
    let (last, others) = bytes.split_last().expect("it is not empty");
    let mut slow = house.open("slow");
    slow.send(others.to_vec()).await;
    sleep(CONNECT_TIMEOUT - MOMENT).await;
    slow.send([*last]).await;
    slow.expect_connack().await;
    sleep(CONNECT_TIMEOUT * 10).await;
    slow.ping().await;
}

/// Everybody who holds a connection counts, admitted or not.
#[tokio::test(start_paused = true)]
async fn connections_that_say_nothing_take_a_place_until_they_are_cut_off() {
    let house = broker_with(|settings| settings.limits.connections_max = 3).await;
    let mut client = house.v5("client").await;
    let _silent = [house.open("silent"), house.open("silent too")];
    let mut refused = house.open("refused");
    refused.send_carelessly(connect("refused")).await;
    refused.expect_closed().await;
    assert_eq!(house.broker.metrics().connections_refused, 1);
    sleep(CONNECT_TIMEOUT).await;
    settle().await;
    house.v5("one").await.ping().await;
    client.ping().await;
    let metrics = house.broker.metrics();
    assert_eq!((metrics.connections_accepted, metrics.connections_refused), (4, 1));
}

/// A place is free again once its connection has ended, however it did.
#[tokio::test(start_paused = true)]
async fn places_come_back() {
    let house = broker_with(|settings| settings.limits.connections_max = 1).await;
    for round in 0..50 {
        let mut peer = house.open("one at a time");
        match round % 5 {
            0 => peer.cut(),
            1 => {
                peer.send(b"\x00 no MQTT").await;
                peer.expect_closed().await;
                drop(peer);
            }
            2 => {
                peer.connect(connect("c")).await;
                peer.cut();
            }
            3 => {
                peer.connect(connect("c")).await;
                peer.leave().await;
            }
            _ => {
                peer.connect(connect("c")).await;
                peer.send(publish("#").payload("x")).await;
                peer.expect_disconnect(ReasonCode::TopicNameInvalid).await;
                drop(peer);
            }
        }
        settle().await;
    }
    assert_eq!(house.broker.metrics().connections_refused, 0);
    assert_eq!(house.broker.metrics().clients_connected, 0);
}

/// Before the CONNACK little is read; afterwards what the policy says.
#[tokio::test(start_paused = true)]
async fn a_connect_may_have_so_many_bytes_and_no_more() {
    let bytes = connect("c").property(mqtt_codec::Property::UserProperty("k", &"v".repeat(300)));
    let bytes = bytes.to_wire(Version::V5);
    for (spare, admitted) in [(0, true), (1, true), (-1, false)] {
        let limit = u32::try_from(bytes.len()).expect("short").saturating_add_signed(spare);
        let house = broker_with(|settings| settings.limits.connect_bytes_max = limit).await;
        let mut peer = house.open("c");
        peer.send(bytes.clone()).await;
        if !admitted {
            while peer.expect_packet_or_closed().await.is_some() {}
            continue;
        }
        peer.expect_connack().await;
        peer.subscribe("t", AtMostOnce).await;
        peer.publish(publish("t").payload(vec![b'x'; 5000])).await;
        assert_eq!(peer.receive().await.payload.len(), 5000);
    }
}

/// A huge CONNECT is refused when its length is known, before anybody waits for the rest.
#[tokio::test(start_paused = true)]
async fn an_announced_length_is_enough_to_refuse() {
    let house = broker_with(|settings| settings.limits.connect_bytes_max = 1000).await;
    let mut peer = house.open("huge");
    let began = Instant::now();
    peer.send(b"\x10\xFF\xFF\xFF\x7F").await;
    while peer.expect_packet_or_closed().await.is_some() {}
    assert!(began.elapsed() < CONNECT_TIMEOUT);
}

/// Who sends a lot before its login takes room from others who do, and from nobody else.
#[tokio::test(start_paused = true)]
async fn those_who_have_not_logged_in_yet_hold_only_so_many_bytes_together() {
    let house = broker_with(|settings| settings.limits.handshake_bytes_max = 10_000).await;
    let large = connect("large").property(mqtt_codec::Property::UserProperty("k", &"v".repeat(6000)));
    let large = large.to_wire(Version::V5);
    let half = || large[..5000].to_vec();
    let (mut first, mut second, mut third) = (house.open("1"), house.open("2"), house.open("3"));
    first.send(half()).await;
    second.send(half()).await;
    first.expect_silence().await;
    third.send_carelessly(half()).await;
    third.expect_closed().await;
    assert_eq!(house.broker.metrics().entries_refused_for(EntryRefusal::HandshakeBytes), 1);
    house.open("small").connect(connect("small")).await;
    second.cut();
    first.send(large[5000..].to_vec()).await;
    first.expect_connack().await;
    // Admitted or gone, both have given back what they held.
    for _ in 0..3 {
        let mut next = house.open("next");
        next.send(large.clone()).await;
        next.expect_connack().await;
    }
}

/// What a client sends behind its CONNECT, which it need not wait for, waits as well while the login is decided.
#[tokio::test(start_paused = true)]
async fn bytes_behind_a_connect_that_is_not_answered_yet_count_as_well() {
    let access = Arc::new(Undecided);
    let settings = quiet(|settings| settings.limits.handshake_bytes_max = 10_000);
    let house = start(mqtt_broker::Broker::builder().settings(settings).access(access)).await;
    let eager = |name: &str| {
        let publish = publish("t").payload(vec![b'x'; 8000]).to_wire(Version::V5);
        [connect(name).to_wire(Version::V5), publish].concat()
    };
    let (mut first, mut second) = (house.open("1"), house.open("2"));
    first.send(eager("1")).await;
    first.expect_silence().await;
    second.send_carelessly(eager("2")).await;
    second.expect_closed().await;
    assert_eq!(house.broker.metrics().entries_refused_for(EntryRefusal::HandshakeBytes), 1);
    sleep(CONNECT_TIMEOUT).await;
    first.expect_closed().await;
    let mut third = house.open("3");
    third.send(eager("3")).await;
    third.expect_silence().await;
}

/// Decides on no login.
#[derive(Debug)]
struct Undecided;

impl Access for Undecided {
    fn authenticate<'a>(&'a self, _: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::pending())
    }
}

async fn away(house: &Harness, name: &str) {
    let client = connect(name).clean(false).session_expiry_s(1000).will(will("w", name).delay_s(100));
    house.connect(client).await.cut();
    settle().await;
}

async fn is_kept(house: &Harness, name: &str) -> bool {
    let mut peer = house.open(name);
    let kept = peer.connect(connect(name).clean(false)).await.session_present;
    peer.leave().await;
    kept
}

/// One too many ends with its connection, its will included; whoever comes back makes room.
#[tokio::test(start_paused = true)]
async fn so_many_sessions_are_kept_and_no_more() {
    let house = broker_with(|settings| settings.limits.parked_sessions_max = 2).await;
    let mut heir = house.v5("heir").await;
    heir.subscribe("w", AtMostOnce).await;
    for name in ["one", "two"] {
        away(&house, name).await;
        heir.expect_silence().await;
    }
    away(&house, "three").await;
    heir.receive_text("three").await;
    assert!(!is_kept(&house, "three").await);
    assert!(is_kept(&house, "one").await);
    away(&house, "four").await;
    heir.expect_silence().await;
    assert!(is_kept(&house, "four").await);
    assert!(is_kept(&house, "two").await);
}

/// Where none may be kept, every session ends with its connection.
#[tokio::test(start_paused = true)]
async fn where_no_session_may_be_kept_none_is() {
    let house = broker_with(|settings| settings.limits.parked_sessions_max = 0).await;
    away(&house, "one").await;
    assert!(!is_kept(&house, "one").await);
    let mut old = house.client(Version::V3_1_1, "old").await;
    old.send_carelessly(b"").await;
    old.cut();
}

/// Replacing a subscription is no further one, and giving one up makes room.
#[tokio::test(start_paused = true)]
async fn so_many_subscriptions_are_kept_and_no_more() {
    let house = broker_with(|settings| settings.limits.subscriptions_max = 100).await;
    let client = connect("c").clean(false).session_expiry_s(1000);
    let mut peer = house.connect(client.clone()).await;
    let mut request = subscribe(1);
    for number in 0..150 {
        let filter = if number % 2 == 0 { format!("t/{number}") } else { format!("$share/g/t/{number}") };
        request = request.filter(&filter, AtMostOnce);
    }
    let reasons = peer.subscribe_with(request).await.reasons;
    assert!(reasons[..100].iter().all(|reason| *reason == ReasonCode::Success));
    assert!(reasons[100..].iter().all(|reason| *reason == ReasonCode::QuotaExceeded));
    peer.subscribe("t/0", AtMostOnce).await;
    peer.cut();
    let mut back = house.connect(client).await;
    let refused = back.subscribe_with(subscribe(2).filter("one more", AtMostOnce)).await;
    assert_eq!(refused.reasons, [ReasonCode::QuotaExceeded]);
    back.unsubscribe("$share/g/t/1").await;
    back.subscribe("one more", AtMostOnce).await;
}

/// The identifier is not taken by somebody who has not been admitted.
#[tokio::test(start_paused = true)]
async fn a_connect_that_is_not_complete_takes_nobody_over() {
    let house = broker().await;
    let mut client = house.v5("same").await;
    let bytes = connect("same").to_wire(Version::V5);
    let mut half: Peer = open(&house.broker, "half", 4096);
    half.send(bytes[..bytes.len() - 1].to_vec()).await;
    assert!(timeout(Duration::from_secs(5), client.expect_silence_for(Duration::from_secs(4))).await.is_ok());
    client.ping().await;
}
