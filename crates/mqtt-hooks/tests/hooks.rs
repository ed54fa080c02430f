//! The hooks in a whole broker over pipes in memory, with the clock under control.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_broker::transport::Connection;
use mqtt_broker::{Broker, Hooks, Peer as Origin, ReasonCode, Settings, SubscriptionOptions};
use mqtt_hooks::{AllowAll, AutoSubscribe, DelayedPublish, PacketTrace, TopicRewrite};
use mqtt_testkit::{Peer, connect, pipe, publish};
use tokio::time::sleep;

async fn broker(hook: Arc<dyn Hooks>) -> Broker {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    Broker::builder().settings(settings).hook(hook).start().await.expect("nothing has to be bound")
}

async fn client(broker: &Broker, client_id: &str, origin: Origin) -> Peer {
    let (near, far) = pipe();
    broker.attach(Connection::boxed(far), origin);
    let mut peer = Peer::new(client_id, near);
    peer.connect(connect(client_id).username("u")).await;
    peer
}

#[tokio::test(start_paused = true)]
async fn allow_all_admits_whom_the_listener_would_not() {
    let broker = broker(Arc::new(AllowAll)).await;
    client(&broker, "c", Origin::default()).await.ping().await;
}

#[tokio::test(start_paused = true)]
async fn messages_and_subscriptions_are_rewritten_alike() {
    let rewrite = TopicRewrite::new().rule("old/#", "new/$#").expect("a rule");
    let broker = broker(Arc::new(rewrite)).await;
    let mut peer = client(&broker, "c", Origin::anonymous()).await;
    peer.subscribe("old/+", AtMostOnce).await;
    peer.publish(publish("old/a").payload("x")).await;
    assert_eq!(peer.receive_text("x").await.topic, "new/a");
    assert_eq!(peer.unsubscribe("old/+").await.reasons, [ReasonCode::Success]);
}

#[tokio::test(start_paused = true)]
async fn clients_are_subscribed_when_they_come() {
    let options = SubscriptionOptions::at(AtLeastOnce);
    let hook = AutoSubscribe::new().filter("to/${clientid}/${username}", options).filter("all", options);
    let broker = broker(Arc::new(hook)).await;
    let mut peer = client(&broker, "c", Origin::anonymous()).await;
    let _odd = client(&broker, "a+b", Origin::anonymous()).await;
    sleep(Duration::from_millis(1)).await;
    for topic in ["to/c/u", "all"] {
        broker.local().publish(mqtt_broker::Publication::new(topic, topic)).await.expect("published");
        peer.receive_text(topic).await;
    }
    let odd = broker.client("a+b").details().await.expect("known");
    assert_eq!(odd.subscriptions.len(), 1, "a name with a wildcard opens nothing");
    broker.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn delayed_messages_come_when_they_are_due() {
    let hook = Arc::new(DelayedPublish::new(1, Duration::from_secs(100)));
    let broker = broker(hook.clone()).await;
    let mut peer = client(&broker, "c", Origin::anonymous()).await;
    peer.subscribe("t/#", AtMostOnce).await;
    peer.publish(publish("$delayed/10/t/a").payload("late").qos1(1)).await;
    assert_eq!(hook.waiting(), 1);
    let refused = [
        ("$delayed/10/t/b", ReasonCode::QuotaExceeded),
        ("$delayed/101/t", ReasonCode::TopicNameInvalid),
        ("$delayed/x/t", ReasonCode::TopicNameInvalid),
        ("$delayed/1", ReasonCode::TopicNameInvalid),
        ("$delayed/1/", ReasonCode::TopicNameInvalid),
    ];
    for (id, (topic, reason)) in (2..).zip(refused) {
        peer.send(publish(topic).payload("x").qos1(id)).await;
        assert_eq!(peer.expect_puback(id).await.reason, reason, "{topic}");
    }
    peer.expect_silence_for(Duration::from_secs(9)).await;
    sleep(Duration::from_secs(1)).await;
    assert_eq!(peer.receive_text("late").await.topic, "t/a");
    assert_eq!(hook.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_delayed_message_has_no_more_rights_than_its_client() {
    let broker = broker(Arc::new(DelayedPublish::new(9, Duration::from_secs(100)))).await;
    let mut own = broker.local().subscribe("$SYS/#").await.expect("allowed");
    let mut peer = client(&broker, "c", Origin::anonymous()).await;
    peer.publish(publish("$delayed/1/$SYS/x").payload("x").qos1(1)).await;
    sleep(Duration::from_secs(2)).await;
    assert!(own.try_recv().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_trace_changes_nothing() {
    let broker = broker(Arc::new(PacketTrace)).await;
    let mut peer = client(&broker, "c", Origin::anonymous()).await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.publish(publish("t").payload("x").qos1(1)).await;
    peer.receive_text("x").await;
}
