//! Limits on sizes and memory: what is over them is refused with a reason, counted, and harms nobody.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mqtt_broker::{Broker, EntryRefusal, Refused};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::ReasonCode;
use mqtt_session::DropReason;
use mqtt_testkit::{Peer, connect, publish, subscribe, will};
use tokio::time::sleep;

use crate::harness::{Harness, broker_with, quiet, start};

async fn suback(peer: &mut Peer, filter: &str) -> ReasonCode {
    peer.send(subscribe(1).filter(filter, AtMostOnce)).await;
    peer.expect_suback().await.reasons[0]
}

async fn puback(peer: &mut Peer, topic: &str, payload: &str, retained: bool) -> ReasonCode {
    let packet = publish(topic).payload(payload).qos1(1);
    peer.send(if retained { packet.retained() } else { packet }).await;
    peer.expect_puback(1).await.reason
}

#[tokio::test(start_paused = true)]
async fn topics_have_a_bounded_length() {
    let house = broker_with(|settings| settings.limits.topic_bytes_max = 10).await;
    let mut peer = house.v5("c").await;
    assert_eq!(suback(&mut peer, "ten/bytes/").await, ReasonCode::GRANTED_QOS_0);
    assert_eq!(puback(&mut peer, "ten/bytes/", "x", false).await, ReasonCode::Success);
    peer.receive_text("x").await;
    assert_eq!(suback(&mut peer, "ten/bytes/+").await, ReasonCode::TopicFilterInvalid);
    assert_eq!(puback(&mut peer, "ten/bytes/1", "x", false).await, ReasonCode::TopicNameInvalid);
    let mut long = house.open("with a long will");
    long.send(connect("w").will(will("ten/bytes/1", "x"))).await;
    long.expect_refusal(ReasonCode::TopicNameInvalid).await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PublishNotAuthorized), 1);
}

#[tokio::test(start_paused = true)]
async fn bytes_of_retained_messages_are_bounded() {
    let house = broker_with(|settings| settings.retained.bytes_max = 2000).await;
    let (mut peer, kept) = (house.v5("keeper").await, "k".repeat(800));
    for topic in ["r/1", "r/2", "r/1"] {
        assert!(!puback(&mut peer, topic, &kept, true).await.is_error(), "{topic}");
    }
    assert_eq!(puback(&mut peer, "r/3", &kept, true).await, ReasonCode::QuotaExceeded);
    assert_eq!(house.broker.metrics().dropped_for(DropReason::RetainedFull), 1);
    peer.publish(publish("r/1").payload("").qos1(2).retained()).await;
    assert!(!puback(&mut peer, "r/3", &kept, true).await.is_error(), "room was made");
    let mut late = house.v5("late").await;
    late.subscribe("r/#", AtMostOnce).await;
    for _ in 0..2 {
        late.receive_text(&kept).await;
    }
    late.expect_silence().await;
}

/// A broker with a budget of 1,000 bytes, and what it is told to use.
async fn budgeted() -> (Harness, Arc<AtomicU64>) {
    let used = Arc::new(AtomicU64::new(0));
    let gauge = used.clone();
    let settings = quiet(|settings| settings.limits.memory_bytes_max = 1000);
    let builder = Broker::builder().settings(settings);
    (start(builder.memory_gauge(move || Some(gauge.load(Ordering::SeqCst)))).await, used)
}

#[tokio::test(start_paused = true)]
async fn over_the_memory_budget_new_work_is_refused_first_and_what_is_there_goes_on() {
    let (house, used) = budgeted().await;
    let mut old = house.v5("old").await;
    old.subscribe("t", AtLeastOnce).await;
    used.store(1001, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    house.open("new").expect_closed().await;
    assert_eq!(suback(&mut old, "more").await, ReasonCode::QuotaExceeded);
    assert!(!suback(&mut old, "t").await.is_error(), "it is there already");
    assert_eq!(puback(&mut old, "r", "kept", true).await, ReasonCode::QuotaExceeded);
    assert!(!puback(&mut old, "r", "", true).await.is_error(), "this makes room");
    assert_eq!(puback(&mut old, "t", "goes on", false).await, ReasonCode::Success);
    old.receive_text("goes on").await;
    let metrics = house.broker.metrics();
    assert_eq!(metrics.entries_refused_for(EntryRefusal::Memory), 1);
    assert_eq!(metrics.reasons.count(Refused::Subscribe, ReasonCode::QuotaExceeded), 1);
    assert_eq!(metrics.dropped_for(DropReason::RetainedFull), 1);
    used.store(1000, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    house.v5("new").await.ping().await;
    assert!(!suback(&mut old, "more").await.is_error());
}
