//! One client identifier, one connection: section 3.1.4.

use mqtt_codec::{QoS::AtLeastOnce, ReasonCode, Version};
use mqtt_testkit::{connect, publish};

use crate::harness::{broker, expect_violation};

/// [MQTT-3.1.4-3] [MQTT3-3.1.4-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_the_older_connection_is_told_and_closed() {
    for old_version in Version::ALL {
        for new_version in Version::ALL {
            let broker = broker().await;
            let mut old = broker.client(old_version, "same").await;
            let mut new = broker.client(new_version, "same").await;
            expect_violation(&mut old, ReasonCode::SessionTakenOver).await;
            new.ping().await;
        }
    }
}

/// [MQTT-3.1.4-3] [MQTT-3.1.2-5] [MQTT3-3.1.2-4]: the session moves to the new connection.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_the_session_moves_to_the_new_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let kept = connect("same").version(version).clean(false).session_expiry_s(100);
        let mut old = broker.connect(kept.clone()).await;
        old.subscribe("t", AtLeastOnce).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("1").qos1(1)).await;
        let open = old.expect_publish().await;

        let mut new = broker.open("new");
        let connack = new.connect(kept).await;
        assert!(connack.session_present || version == Version::V3_1);
        let again = new.receive_text("1").await;
        assert!(again.dup);
        assert_eq!(again.packet_id, open.packet_id);
        expect_violation(&mut old, ReasonCode::SessionTakenOver).await;
        publisher.publish(publish("t").payload("2").qos1(2)).await;
        new.receive_text("2").await;
    }
}

/// [MQTT-3.1.4-4] [MQTT3-3.1.4-3] [MQTT-3.1.2-4]: with a clean start only the name moves.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_4_a_clean_take_over_starts_afresh() {
    for version in Version::ALL {
        let broker = broker().await;
        let kept = connect("same").version(version).clean(false).session_expiry_s(100);
        let mut old = broker.connect(kept).await;
        old.subscribe("t", AtLeastOnce).await;
        let mut new = broker.open("new");
        assert!(!new.connect(connect("same").version(version)).await.session_present);
        expect_violation(&mut old, ReasonCode::SessionTakenOver).await;
        let mut publisher = broker.client(version, "publisher").await;
        publisher.publish(publish("t").payload("x").qos1(1)).await;
        new.expect_silence().await;
    }
}

/// [MQTT-3.1.4-3]: a session that ends with its connection is not there for the next one.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_a_session_without_expiry_survives_no_take_over() {
    let broker = broker().await;
    let mut old = broker.connect(connect("same").clean(false)).await;
    old.subscribe("t", AtLeastOnce).await;
    let mut new = broker.open("new");
    let connack = new.connect(connect("same").clean(false)).await;
    expect_violation(&mut old, ReasonCode::SessionTakenOver).await;
    // Sections 3.1.2.11.2 and 3.1.4 leave it open whether the old session ended before the new connection began.
    let mut publisher = broker.v5("publisher").await;
    publisher.publish(publish("t").payload("x").qos1(1)).await;
    if connack.session_present {
        new.receive_text("x").await;
    } else {
        new.expect_silence().await;
    }
}

/// Many connections of one name in a row leave exactly one.
#[tokio::test(start_paused = true)]
async fn a_crowd_of_one_name_leaves_the_last() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peers = Vec::new();
        for _ in 0..20 {
            peers.push(broker.client(version, "same").await);
        }
        let mut last = peers.pop().expect("there are some");
        for peer in &mut peers {
            expect_violation(peer, ReasonCode::SessionTakenOver).await;
        }
        last.ping().await;
    }
}

/// [MQTT-3.1.4-3]: the same when they all come at once: every one is admitted in its turn, and one remains.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_a_crowd_at_the_same_moment_leaves_one() {
    for clean in [true, false] {
        let broker = broker().await;
        let mut peers = Vec::new();
        for _ in 0..20 {
            let mut peer = broker.open("one of many");
            peer.send(connect("same").clean(clean).session_expiry_s(100)).await;
            peers.push(peer);
        }
        let mut alive = 0;
        for peer in &mut peers {
            assert_eq!(peer.expect_connack().await.reason, ReasonCode::Success);
        }
        for peer in &mut peers {
            peer.send_carelessly(b"\xC0\0").await;
            match peer.expect_packet().await.packet() {
                mqtt_codec::Packet::Pingresp => alive += 1,
                mqtt_codec::Packet::Disconnect(last) => assert_eq!(last.reason, ReasonCode::SessionTakenOver),
                other => panic!("unexpected {other:?}"),
            }
        }
        assert_eq!(alive, 1);
    }
}

/// Client identifiers are compared as they are.
#[tokio::test(start_paused = true)]
async fn names_that_differ_in_case_are_different_clients() {
    let broker = broker().await;
    let mut small = broker.v5("name").await;
    let mut large = broker.v5("NAME").await;
    small.ping().await;
    large.ping().await;
}
