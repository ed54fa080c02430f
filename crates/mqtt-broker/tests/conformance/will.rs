//! Wills: sections 3.1.2.5 and 3.1.3.2.

use std::time::Duration;

use mqtt_codec::{
    Property,
    QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce},
    ReasonCode, Version,
};
use mqtt_testkit::{Peer, connect, disconnect, publish, raw, will};
use tokio::time::sleep;

use crate::harness::{Harness, broker};

/// Somebody who sees the wills on `w/#`.
async fn heir(broker: &Harness, version: Version) -> Peer {
    let mut heir = broker.client(version, "heir").await;
    heir.subscribe("w/#", ExactlyOnce).await;
    heir
}

/// [MQTT-3.1.2-7] [MQTT-3.1.2-8] [MQTT3-3.1.2-8] [MQTT-3.1.2-14] [MQTT3-3.1.2-16]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_a_lost_connection_publishes_the_will() {
    for version in Version::ALL {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            let broker = broker().await;
            let mut heir = heir(&broker, version).await;
            let request = connect("mortal").version(version).will(will("w/1", "gone").qos(qos));
            let mortal = broker.connect(request).await;
            heir.expect_silence().await;
            mortal.cut();
            let message = heir.receive_text("gone").await;
            assert_eq!((message.qos, message.retain, message.topic.as_str()), (qos, false, "w/1"));
            heir.expect_silence().await;
            let mut late = broker.client(version, "late").await;
            late.subscribe("w/1", AtMostOnce).await;
            late.expect_silence().await;
        }
    }
}

/// [MQTT-3.1.2-15] [MQTT3-3.1.2-17]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_15_a_will_may_be_retained() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = heir(&broker, version).await;
        let request =
            connect("mortal").version(version).will(will("w/1", "gone").qos(AtLeastOnce).retained());
        broker.connect(request).await.cut();
        assert!(!heir.receive_text("gone").await.retain);
        let mut late = broker.client(version, "late").await;
        late.subscribe("w/1", AtLeastOnce).await;
        let message = late.receive_text("gone").await;
        assert!(message.retain);
        assert_eq!(message.qos, AtLeastOnce);
    }
}

/// [MQTT-3.14.4-3] [MQTT3-3.14.4-3] [MQTT-3.1.2-10] [MQTT3-3.1.2-10]
#[tokio::test(start_paused = true)]
async fn mqtt_3_14_4_3_a_normal_disconnect_removes_the_will() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = heir(&broker, version).await;
        broker.connect(connect("mortal").version(version).will(will("w/1", "gone"))).await.leave().await;
        heir.expect_silence_for(Duration::from_secs(3600)).await;
    }
}

/// Section 3.14.2.1: any other reason, 0x04 above all, leaves the will in place.
#[tokio::test(start_paused = true)]
async fn a_disconnect_with_another_reason_publishes_the_will() {
    let reasons = [
        ReasonCode::DisconnectWithWillMessage,
        ReasonCode::UnspecifiedError,
        ReasonCode::ImplementationSpecificError,
        ReasonCode::AdministrativeAction,
    ];
    for reason in reasons {
        let broker = broker().await;
        let mut heir = heir(&broker, Version::V5).await;
        let mut mortal = broker.connect(connect("mortal").will(will("w/1", "gone"))).await;
        mortal.send(disconnect(reason)).await;
        mortal.expect_closed().await;
        heir.receive_text("gone").await;
        heir.expect_silence().await;
    }
}

/// [MQTT-3.1.2-8] [MQTT3-3.1.2-8]: the broker closing on a violation is an abnormal end, too.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_a_violation_publishes_the_will() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = heir(&broker, version).await;
        let mut mortal = broker.connect(connect("mortal").version(version).will(will("w/1", "gone"))).await;
        mortal.send(raw(0x36).text("a").u16(1)).await;
        heir.receive_text("gone").await;
    }
}

/// [MQTT-3.1.2-8] [MQTT3-3.1.2-8] [MQTT3-3.1.2-12]: a connection cut inside a packet; no will, no publication.
#[tokio::test(start_paused = true)]
async fn mqtt3_3_1_2_12_without_a_will_nothing_is_published() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut everything = broker.client(version, "everything").await;
        everything.subscribe("#", AtMostOnce).await;
        let mut peer = broker.client(version, "no will").await;
        peer.send([0x30, 100, 0, 1]).await;
        peer.cut();
        everything.expect_silence().await;
    }
}

/// [MQTT-3.1.2-10] [MQTT3-3.1.2-10]: a will is published once.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_10_a_published_will_is_gone() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = heir(&broker, version).await;
        let kept = connect("mortal").version(version).clean(false).session_expiry_s(1000);
        broker.connect(kept.clone().will(will("w/1", "gone"))).await.cut();
        heir.receive_text("gone").await;
        broker.connect(kept).await.cut();
        heir.expect_silence_for(Duration::from_secs(3600)).await;
    }
}

/// [MQTT-3.1.2-8]: the will waits for its delay, to the second.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_a_delayed_will_waits() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let request = connect("mortal").session_expiry_s(100).will(will("w/1", "gone").delay_s(10));
    broker.connect(request).await.cut();
    heir.expect_silence_for(Duration::from_millis(9_900)).await;
    sleep(Duration::from_millis(200)).await;
    heir.receive_text("gone").await;
}

/// [MQTT-3.1.2-8]: it does not wait longer than its session.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_the_end_of_the_session_ends_the_delay() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let request = connect("mortal").session_expiry_s(5).will(will("w/1", "gone").delay_s(1000));
    broker.connect(request).await.cut();
    heir.expect_silence_for(Duration::from_millis(4_900)).await;
    sleep(Duration::from_millis(200)).await;
    heir.receive_text("gone").await;
    // A session that ends with its connection leaves no delay at all.
    let request = connect("mortal").will(will("w/1", "at once").delay_s(1000));
    broker.connect(request).await.cut();
    heir.receive_text("at once").await;
    heir.expect_silence_for(Duration::from_secs(2000)).await;
}

/// [MQTT-3.1.3-9] [MQTT-3.1.2-8]
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_9_a_client_that_comes_back_in_time_prevents_its_will() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let kept = connect("mortal").clean(false).session_expiry_s(100);
    broker.connect(kept.clone().will(will("w/1", "gone").delay_s(10))).await.cut();
    sleep(Duration::from_secs(9)).await;
    let mut again = broker.connect(kept).await;
    heir.expect_silence_for(Duration::from_secs(3600)).await;
    again.ping().await;
}

/// [MQTT-3.1.2-8]: a clean start ends the session, and with it the delay.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_a_clean_start_publishes_a_delayed_will_at_once() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let request = connect("mortal").session_expiry_s(100).will(will("w/1", "gone").delay_s(50));
    broker.connect(request).await.cut();
    heir.expect_silence().await;
    let _again = broker.connect(connect("mortal")).await;
    heir.receive_text("gone").await;
    heir.expect_silence_for(Duration::from_secs(200)).await;
}

/// [MQTT-3.1.2-8] [MQTT3-3.1.2-8] [MQTT3-3.1.4-2] [MQTT-3.1.4-3]: being taken over is an end without DISCONNECT.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_4_3_a_take_over_publishes_the_will_of_the_old_connection() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut heir = heir(&broker, version).await;
        let kept = connect("mortal").version(version).clean(false).session_expiry_s(100);
        let _old = broker.connect(kept.clone().will(will("w/1", "old"))).await;
        let _new = broker.connect(kept.will(will("w/1", "new"))).await;
        heir.receive_text("old").await;
        heir.expect_silence().await;
    }
}

/// [MQTT-3.1.3-9]: but a delayed will is not sent when the new connection continues the session.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_9_a_take_over_that_continues_the_session_prevents_a_delayed_will() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let kept = connect("mortal").clean(false).session_expiry_s(100);
    let _old = broker.connect(kept.clone().will(will("w/1", "old").delay_s(20))).await;
    let _new = broker.connect(kept).await;
    heir.expect_silence_for(Duration::from_secs(1000)).await;
}

/// Section 3.14.2.2.2: a session that the client ends with its DISCONNECT ends the delay of its will.
#[tokio::test(start_paused = true)]
async fn a_disconnect_that_ends_the_session_publishes_a_delayed_will() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let request = connect("mortal").session_expiry_s(100).will(will("w/1", "gone").delay_s(50));
    let mut mortal = broker.connect(request).await;
    mortal.send(disconnect(ReasonCode::DisconnectWithWillMessage).session_expiry_s(0)).await;
    mortal.expect_closed().await;
    heir.receive_text("gone").await;
}

/// [MQTT-3.1.3-10] and section 3.1.3.2: the will's properties go with it, in order, and its delay does not.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_10_a_will_is_published_with_its_properties_in_order() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    let last_words = will("w/1", "gone")
        .user_property("b", "1")
        .property(Property::PayloadFormatIndicator(true))
        .property(Property::ContentType("text/plain"))
        .user_property("a", "2")
        .property(Property::ResponseTopic("answers"))
        .property(Property::CorrelationData(b"\x00\x01"))
        .property(Property::MessageExpiryInterval(60))
        .delay_s(5)
        .user_property("b", "3");
    broker.connect(connect("mortal").session_expiry_s(100).will(last_words)).await.cut();
    sleep(Duration::from_secs(5)).await;
    let message = heir.receive_text("gone").await;
    let properties = message.properties();
    let user: Vec<_> = properties.user_properties().collect();
    assert_eq!(user, [("b", "1"), ("a", "2"), ("b", "3")]);
    assert_eq!(properties.payload_format_is_utf8(), Some(true));
    assert_eq!(properties.content_type(), Some("text/plain"));
    assert_eq!(properties.response_topic(), Some("answers"));
    assert_eq!(properties.correlation_data(), Some(&b"\x00\x01"[..]));
    // The life of the message begins with its publication.
    assert_eq!(properties.message_expiry_interval_s(), Some(60));
    assert_eq!(properties.will_delay_interval_s(), None);
}

/// [MQTT-3.3.2-14]: the will becomes a PUBLISH, so its response topic holds no wildcard either.
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_14_a_will_with_a_wildcard_in_its_response_topic_is_refused() {
    let broker = broker().await;
    for topic in ["a/#", "+"] {
        let mut peer = broker.open("mortal");
        let last_words = will("w", "gone").property(Property::ResponseTopic(topic));
        peer.send(connect("mortal").will(last_words)).await;
        let connack = peer.expect_connack().await;
        assert!(connack.reason.is_error(), "{connack:?}");
        peer.expect_closed().await;
    }
}

/// Section 3.1.3.3: a will with an empty payload is published like any other, and clears a retained message.
#[tokio::test(start_paused = true)]
async fn an_empty_retained_will_clears() {
    for version in Version::ALL {
        let broker = broker().await;
        let mut keeper = broker.client(version, "keeper").await;
        keeper.publish(publish("w/1").payload("kept").qos1(1).retained()).await;
        let mut heir = heir(&broker, version).await;
        heir.receive_text("kept").await;
        broker.connect(connect("mortal").version(version).will(will("w/1", "").retained())).await.cut();
        heir.receive_text("").await;
        let mut late = broker.client(version, "late").await;
        late.subscribe("w/1", AtMostOnce).await;
        late.expect_silence().await;
    }
}

/// A will waits for absent subscribers as any message does.
#[tokio::test(start_paused = true)]
async fn a_will_reaches_absent_subscribers_later() {
    for version in Version::ALL {
        let broker = broker().await;
        let kept = connect("heir").version(version).clean(false).session_expiry_s(100);
        let mut heir = broker.connect(kept.clone()).await;
        heir.subscribe("w", QoS::AtLeastOnce).await;
        heir.cut();
        let request = connect("mortal").version(version).will(will("w", "gone").qos(AtLeastOnce));
        broker.connect(request).await.cut();
        sleep(Duration::from_secs(1)).await;
        let mut heir = broker.connect(kept).await;
        heir.receive_text("gone").await;
    }
}

/// [MQTT-3.1.2-8]: several delayed wills keep to their own times.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_delayed_wills_come_in_the_order_of_their_times() {
    let broker = broker().await;
    let mut heir = heir(&broker, Version::V5).await;
    for (number, delay_s) in [(1, 30), (2, 10), (3, 20)] {
        let last_words = will(&format!("w/{number}"), delay_s.to_string()).delay_s(delay_s);
        broker
            .connect(connect(&format!("mortal {number}")).session_expiry_s(100).will(last_words))
            .await
            .cut();
    }
    for delay_s in ["10", "20", "30"] {
        heir.expect_silence_for(Duration::from_secs(9)).await;
        sleep(Duration::from_millis(1_001)).await;
        heir.receive_text(delay_s).await;
    }
}
