//! What happens at a certain time happens exactly then.

use std::time::Duration;

use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::ReasonCode;
use mqtt_testkit::{ConnectBuilder, Peer, connect, disconnect, publish, will};
use tokio::time::{Instant, sleep, sleep_until};

use crate::harness::{Harness, broker};
use crate::wires::{MOMENT, settle};

async fn heir(house: &Harness) -> Peer {
    let mut heir = house.v5("heir").await;
    heir.subscribe("w/#", AtMostOnce).await;
    heir
}

fn testator(delay_s: u32, expiry_s: u32) -> ConnectBuilder {
    connect("testator").clean(false).session_expiry_s(expiry_s).will(will("w/1", "gone").delay_s(delay_s))
}

/// When the heir hears of it, counted from now.
async fn heard_after(heir: &mut Peer) -> Duration {
    let began = Instant::now();
    loop {
        if let [message] = &heir.drain().await[..] {
            assert_eq!(crate::wires::texts(std::slice::from_ref(message)), ["gone"]);
            // The drain goes on for an idle time after the message.
            return began.elapsed() - mqtt_testkit::IDLE;
        }
    }
}

/// [MQTT-4.1.0-2]
#[tokio::test(start_paused = true)]
async fn mqtt_4_1_0_2_a_session_ends_at_its_expiry_and_not_before() {
    for (wait, present) in
        [(Duration::from_secs(60) - MOMENT, true), (Duration::from_secs(60) + MOMENT, false)]
    {
        let house = broker().await;
        let client = connect("c").clean(false).session_expiry_s(60);
        house.connect(client.clone()).await.leave().await;
        sleep(wait).await;
        let mut back = house.open("back");
        assert_eq!(back.connect(client).await.session_present, present, "after {wait:?}");
        assert_eq!(house.broker.metrics().sessions_expired, u64::from(!present));
    }
}

/// [MQTT-3.1.2-8], [MQTT-3.1.3-9]: after the delay, or with the session, whichever comes first.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_8_a_will_is_published_at_the_end_of_its_delay_or_of_its_session() {
    for (delay_s, expiry_s, due_s) in [
        (0, 0, 0),
        (0, 60, 0),
        (7, 60, 7),
        (60, 7, 7),
        (7, 7, 7),
        (7, u32::MAX, 7),
        (u32::MAX, 7, 7),
        (7, 0, 0),
    ] {
        let house = broker().await;
        let mut heir = heir(&house).await;
        house.connect(testator(delay_s, expiry_s)).await.cut();
        let after = heard_after(&mut heir).await;
        let due = Duration::from_secs(due_s);
        assert!(after >= due && after <= due + mqtt_testkit::IDLE, "{delay_s} {expiry_s}: {after:?}");
        assert_eq!(house.broker.metrics().wills_published, 1);
    }
}

/// [MQTT-3.1.3-9]: to the millisecond.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_9_a_client_that_returns_at_the_last_moment_prevents_its_will() {
    for (wait, published) in [(Duration::from_secs(7) - MOMENT, 0), (Duration::from_secs(7) + MOMENT, 1)] {
        let house = broker().await;
        let mut heir = heir(&house).await;
        house.connect(testator(7, 60)).await.cut();
        settle().await;
        sleep(wait - MOMENT).await;
        let _back = house.connect(testator(7, 60)).await;
        sleep(Duration::from_secs(100)).await;
        assert_eq!(house.broker.metrics().wills_published, published, "after {wait:?}");
        assert_eq!(heir.drain().await.len() as u64, published);
    }
}

/// [MQTT-3.1.3-9]: the connection that takes over is the same session going on; its own will counts later.
#[tokio::test(start_paused = true)]
async fn mqtt_3_1_3_9_a_take_over_cancels_a_delayed_will_and_brings_its_own() {
    let house = broker().await;
    let mut heir = heir(&house).await;
    let _old = house.connect(testator(7, 60)).await;
    let new = house.connect(testator(20, 60)).await;
    sleep(Duration::from_secs(100)).await;
    heir.expect_silence().await;
    new.cut();
    let after = heard_after(&mut heir).await;
    assert!(after >= Duration::from_secs(20) && after <= Duration::from_secs(21), "{after:?}");
    assert_eq!(house.broker.metrics().wills_published, 1);
}

/// Each absence has a time of its own; one that ended early leaves nothing behind.
#[tokio::test(start_paused = true)]
async fn repeated_absences_do_not_add_up() {
    let house = broker().await;
    let mut heir = heir(&house).await;
    for _ in 0..20 {
        house.connect(testator(7, 10)).await.cut();
        sleep(Duration::from_secs(6)).await;
    }
    heir.expect_silence().await;
    assert_eq!(house.broker.metrics().sessions_expired, 0);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(heir.drain().await.len(), 1);
    assert_eq!(house.broker.metrics().sessions_expired, 1);
}

/// Many clients that leave at many times: each at its own.
#[tokio::test(start_paused = true)]
async fn a_thousand_wills_come_in_the_order_of_their_times() {
    let house = broker().await;
    let mut heir = heir(&house).await;
    let began = Instant::now();
    for number in 0..1000_u32 {
        let delay_s = 10 + number * 7919 % 1000;
        let will = will(&format!("w/{delay_s}"), "gone").delay_s(delay_s);
        house.connect(connect(&format!("c{number}")).session_expiry_s(5000).will(will)).await.cut();
    }
    settle().await;
    for due_s in 10..1010 {
        sleep_until(began + Duration::from_secs(due_s) - MOMENT).await;
        assert_eq!(house.broker.metrics().wills_published, due_s - 10);
        sleep_until(began + Duration::from_secs(due_s) + 2 * MOMENT).await;
        assert_eq!(heir.receive().await.topic, format!("w/{due_s}"));
    }
}

/// [MQTT-3.3.2-5], [MQTT-3.3.2-6]
#[tokio::test(start_paused = true)]
async fn mqtt_3_3_2_5_a_retained_message_is_there_until_its_expiry() {
    let house = broker().await;
    let mut publisher = house.v5("publisher").await;
    publisher.publish(publish("r").payload("x").qos1(1).retained().expiry_s(10)).await;
    let mut peer = house.v5("subscriber").await;
    for (elapsed, left_s) in [(MOMENT, Some(10)), (Duration::from_millis(9_998), Some(1)), (MOMENT, None)] {
        sleep(elapsed).await;
        peer.subscribe("r", AtLeastOnce).await;
        match left_s {
            Some(_) => assert_eq!(peer.receive().await.properties().message_expiry_interval_s(), left_s),
            None => peer.expect_silence().await,
        }
    }
}

/// [MQTT-3.14.4-3] [MQTT-3.1.2-10]: a DISCONNECT may change when the session ends, and with it the will.
#[tokio::test(start_paused = true)]
async fn a_disconnect_with_will_and_a_new_expiry_decides_when_the_will_is_due() {
    let house = broker().await;
    let mut heir = heir(&house).await;
    let mut peer = house.connect(testator(60, 1000)).await;
    let last = disconnect(ReasonCode::DisconnectWithWillMessage).session_expiry_s(5);
    peer.send(last).await;
    peer.expect_closed().await;
    let after = heard_after(&mut heir).await;
    assert!(after >= Duration::from_secs(4) && after <= Duration::from_secs(6), "{after:?}");
    assert_eq!(house.broker.metrics().sessions_expired, 1);
}
