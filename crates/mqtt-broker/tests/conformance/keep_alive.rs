//! Silence: sections 3.1.2.10 (5.0) and 3.1.2.10 (3.1.1).

use std::time::Duration;

use mqtt_codec::{
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{connect, publish, subscribe, will};
use tokio::time::sleep;

use crate::harness::{broker, broker_with, expect_violation};

/// [MQTT-3.1.2-22] [MQTT3-3.1.2-24]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_22_silence_of_one_and_a_half_intervals_ends_the_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.connect(connect("quiet").version(version).keep_alive_s(10)).await;
        peer.expect_silence_for(Duration::from_millis(14_900)).await;
        sleep(Duration::from_millis(200)).await;
        expect_violation(&mut peer, ReasonCode::KeepAliveTimeout).await;
    }
}

/// [MQTT-3.1.2-22] [MQTT3-3.1.2-24]: any packet counts, and the half interval of grace is really given.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_22_every_packet_starts_the_time_again() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.connect(connect("busy").version(version).keep_alive_s(10)).await;
        for round in 0..3 {
            sleep(Duration::from_secs(14)).await;
            peer.ping().await;
            sleep(Duration::from_secs(14)).await;
            peer.send(publish("a").payload("x")).await;
            sleep(Duration::from_secs(14)).await;
            peer.subscribe_with(subscribe(round + 1).filter("b", AtMostOnce)).await;
        }
        sleep(Duration::from_secs(16)).await;
        expect_violation(&mut peer, ReasonCode::KeepAliveTimeout).await;
    }
}

/// [MQTT-3.1.2-22]: what the broker sends does not keep a silent client alive.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_22_outgoing_packets_do_not_count() {
    let broker = broker().await;
    let mut silent = broker.connect(connect("silent").keep_alive_s(10)).await;
    silent.subscribe("a", AtMostOnce).await;
    let mut speaker = broker.v5("speaker").await;
    for _ in 0..14 {
        sleep(Duration::from_secs(1)).await;
        speaker.publish(publish("a").payload("x")).await;
        silent.expect_publish().await;
    }
    sleep(Duration::from_millis(1_100)).await;
    silent.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
}

/// Section 3.1.2.10: 0 switches the mechanism off.
#[tokio::test(start_paused = true)]
async fn keep_alive_0_allows_silence_for_ever() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.connect(connect("patient").version(version)).await;
        peer.expect_silence_for(Duration::from_secs(200_000)).await;
        peer.ping().await;
    }
}

/// Section 3.1.2.10: the longest interval is 65,535 seconds, and one and a half of it does not overflow.
#[tokio::test(start_paused = true)]
async fn the_longest_keep_alive_is_kept_exactly() {
    let broker = broker().await;
    let mut peer = broker.connect(connect("slow").keep_alive_s(65_535)).await;
    peer.expect_silence_for(Duration::from_secs(98_302)).await;
    sleep(Duration::from_secs(1)).await;
    peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
}

/// [MQTT-3.1.2-22] [MQTT3-3.1.2-24] [MQTT-3.1.2-8] [MQTT3-3.1.2-8]: it counts as a failed network, so the will goes out.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_22_a_timeout_publishes_the_will() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = broker.client(version, "heir").await;
        heir.subscribe("w", AtLeastOnce).await;
        let request = connect("quiet").version(version).keep_alive_s(10).will(will("w", "gone"));
        let quiet = broker.connect(request).await;
        heir.expect_silence_for(Duration::from_millis(14_900)).await;
        heir.receive_text("gone").await;
        drop(quiet);
    }
}

/// [MQTT-3.1.2-21] [MQTT-3.2.2-21]: the broker's own interval is announced and enforced.
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_21_a_server_keep_alive_replaces_a_longer_one_or_none() {
    let broker = broker_with(|settings| settings.policy.keep_alive_max_s = 60).await;
    for asked in [120, 61, 0] {
        let mut peer = broker.open("told");
        let connack = peer.connect(connect("told").keep_alive_s(asked)).await;
        assert_eq!(connack.properties().server_keep_alive_s(), Some(60), "asked {asked}");
        peer.expect_silence_for(Duration::from_secs(89)).await;
        sleep(Duration::from_secs(2)).await;
        peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
}

/// [MQTT-3.2.2-22]
#[tokio::test(start_paused = true)]
async fn mqtt_3_2_2_22_without_a_server_keep_alive_the_clients_own_applies() {
    let broker = broker_with(|settings| settings.policy.keep_alive_max_s = 60).await;
    for asked in [60, 30] {
        let mut peer = broker.open("own");
        let connack = peer.connect(connect("own").keep_alive_s(asked)).await;
        assert_eq!(connack.properties().server_keep_alive_s(), None);
        let silence = Duration::from_secs(u64::from(asked)) * 3 / 2;
        peer.expect_silence_for(silence - Duration::from_secs(1)).await;
        sleep(Duration::from_secs(2)).await;
        peer.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    }
}

/// [MQTT3-3.1.2-24]: a client of 3.1.1 cannot be told, so its own interval stays.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_24_a_client_of_3_1_1_keeps_its_own_interval() {
    let broker = broker_with(|settings| settings.policy.keep_alive_max_s = 60).await;
    let mut peer = broker.connect(connect("own").version(Version::V3_1_1).keep_alive_s(100)).await;
    peer.expect_silence_for(Duration::from_secs(149)).await;
    sleep(Duration::from_secs(2)).await;
    peer.expect_closed().await;
}

/// [MQTT-3.12.4-1] [MQTT3-3.12.4-1]
#[tokio::test(start_paused = true)]
async fn mqtt_3_12_4_1_a_pingreq_is_answered() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut peer = broker.client(version, "pinger").await;
        peer.send(b"\xC0\0").await;
        peer.expect_bytes(b"\xD0\0").await;
    }
}
