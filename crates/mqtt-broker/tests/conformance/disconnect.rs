//! How a connection ends: sections 3.14 and 4.13.

use std::time::Duration;

use mqtt_codec::{
    Property,
    QoS::{AtLeastOnce, AtMostOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{ToWire, connect, disconnect, pingreq, publish, subscribe, will};

use crate::harness::{broker, expect_violation};

/// [MQTT-3.14.4-2] [MQTT3-3.14.4-1]: a client that forgets to close is closed.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_2_a_disconnect_is_followed_by_the_end() {
    for version in Version::ALL {
        let broker = broker().await;
        broker.client(version, "leaver").await.leave().await;
    }
}

/// [MQTT-3.14.4-1] [MQTT3-3.14.4-2]: what follows a DISCONNECT is not processed.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_1_nothing_after_a_disconnect_is_processed() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("t", AtLeastOnce).await;
        let mut leaver = broker.client(version, "leaver").await;
        let mut burst = disconnect(ReasonCode::Success).to_wire(version);
        burst.extend(publish("t").payload("too late").to_wire(version));
        burst.extend(pingreq());
        leaver.send(burst).await;
        leaver.expect_closed().await;
        watcher.expect_silence().await;
    }
}

/// [MQTT-3.14.4-1]: what came before it is.
#[tokio::test(start_paused = true)]
async fn messages_before_a_disconnect_are_delivered() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("t", AtLeastOnce).await;
        let mut leaver = broker.client(version, "leaver").await;
        let mut burst = Vec::new();
        for number in 1..=50_u16 {
            burst.extend(publish("t").payload(number.to_string()).qos1(number).to_wire(version));
        }
        burst.extend(disconnect(ReasonCode::Success).to_wire(version));
        leaver.send(burst).await;
        for number in 1..=50 {
            watcher.receive_text(&number.to_string()).await;
        }
    }
}

/// [MQTT-3.14.2-1]: every reason that a client may send is understood and ends the connection.
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_2_1_every_reason_of_a_client_ends_the_connection() {
    let broker = broker().await;
    for reason in [0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99] {
        let reason = ReasonCode::try_from(reason).expect("it is listed");
        let mut peer = broker.v5("leaver").await;
        peer.send(disconnect(reason).property(Property::ReasonString("enough")).user_property("a", "b"))
            .await;
        peer.expect_closed().await;
    }
}

/// [MQTT-3.14.0-1] and section 4.13: a stopping broker says so to 5.0 and closes the others. [MQTT-3.14.2-2]
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_2_2_a_stopping_broker_says_goodbye() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut clients = Vec::new();
        for number in 0..5 {
            clients.push(broker.client(version, &format!("client {number}")).await);
        }
        let stopping = tokio::spawn(broker.shut_down());
        for client in &mut clients {
            if version == Version::V5 {
                let goodbye = client.expect_disconnect(ReasonCode::ServerShuttingDown).await;
                assert_eq!(goodbye.properties().session_expiry_interval_s(), None);
            } else {
                client.expect_closed().await;
            }
        }
        stopping.await.expect("the broker stops");
    }
}

/// A broker that stops does not wait for ever for clients that do not read.
#[tokio::test(start_paused = true)]
async fn a_stopping_broker_waits_a_bounded_time() {
    let broker = broker().await;
    let _deaf = broker.v5("deaf").await;
    let _silent = broker.open("silent");
    let stopped = tokio::time::timeout(Duration::from_secs(30), broker.shut_down()).await;
    stopped.expect("the broker stops in time");
}

/// [MQTT-3.14.4-2] [MQTT-4.13.2-1] [MQTT-3.1.2-8]: an operator may send a client away, which leaves its will.
#[tokio::test(start_paused = true)]
async fn mqtt_4_13_2_1_a_client_that_is_sent_away_is_told_why() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = broker.client(version, "heir").await;
        heir.subscribe("w", AtMostOnce).await;
        let mut peer = broker.connect(connect("unwanted").version(version).will(will("w", "gone"))).await;
        assert!(broker.send_away("unwanted", ReasonCode::AdministrativeAction));
        assert!(!broker.send_away("unknown", ReasonCode::AdministrativeAction));
        expect_violation(&mut peer, ReasonCode::AdministrativeAction).await;
        heir.receive_text("gone").await;
    }
}

/// Section 4.13 and 3.14.4: the DISCONNECT can be read although the client is still sending.
#[tokio::test(start_paused = true)]
async fn a_disconnect_is_readable_behind_unread_packets() {
    let broker = broker().await;
    let mut peer = broker.v5("flood").await;
    let mut burst = publish("a/#").to_wire(Version::V5);
    for _ in 0..1000 {
        burst.extend(publish("t").payload("more").to_wire(Version::V5));
    }
    peer.send_carelessly(burst).await;
    peer.expect_disconnect(ReasonCode::TopicNameInvalid).await;
}

/// [MQTT-4.13.2-1] [MQTT-3.14.4-2]: after its own DISCONNECT the broker answers nothing more.
#[tokio::test(start_paused = true)]
async fn mqtt_4_13_2_1_after_its_disconnect_the_broker_is_silent() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut watcher = broker.client(version, "watcher").await;
        watcher.subscribe("t", AtMostOnce).await;
        let mut peer = broker.client(version, "offender").await;
        let mut burst = connect("offender").version(version).to_wire(version);
        burst.extend(pingreq());
        burst.extend(publish("t").payload("not processed").to_wire(version));
        burst.extend(subscribe(1).filter("t", AtMostOnce).to_wire(version));
        peer.send(burst).await;
        expect_violation(&mut peer, ReasonCode::ProtocolError).await;
        watcher.expect_silence().await;
    }
}

/// [MQTT-3.1.2-8]: a client that half-closes its stream has left without a word.
#[tokio::test(start_paused = true)]
async fn a_half_closed_connection_is_lost() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = broker.client(version, "heir").await;
        heir.subscribe("w", AtMostOnce).await;
        let mut peer = broker.connect(connect("half").version(version).will(will("w", "gone"))).await;
        peer.finish_sending().await;
        heir.receive_text("gone").await;
        peer.expect_closed().await;
    }
}
