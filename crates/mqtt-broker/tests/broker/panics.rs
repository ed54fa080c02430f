//! Code of an embedder that panics ends the one connection that it was called for.

use std::sync::Arc;

use mqtt_broker::{Access, Answer, Broker, Grant, Identity, Login, Peers};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce};
use mqtt_codec::{Property, ReasonCode};
use mqtt_session::{AuthenticationMethod, Exchange, Message, Refusal, Rights, Step};
use mqtt_testkit::{auth, connect, publish, subscribe, will};
use mqtt_topic::{TopicFilter, TopicName};
use std::time::Duration;
use tokio::time::sleep;

use crate::harness::{Harness, broker_asking, broker_with_method, quiet, start};
use crate::wires::settle;

#[derive(Debug)]
pub(crate) struct Explosive;

impl Access for Explosive {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(async {
            assert_ne!(login.client_id, "explosive", "as it should");
            Ok(Grant::named(login.username))
        })
    }

    fn publish_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        assert_ne!(topic.as_str(), "explosive", "as it should");
        Rights::ALL
    }

    fn may_subscribe(&self, _: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        assert_ne!(filter.as_str(), "explosive", "as it should");
        true
    }
}

/// Everything still works for others.
async fn expect_health(house: &Harness) {
    let mut one = house.v5("healthy").await;
    one.subscribe("health", AtLeastOnce).await;
    one.publish(publish("health").payload("fine").qos1(1)).await;
    one.receive_text("fine").await;
    one.leave().await;
}

/// The will is published, the session kept, the client told.
#[tokio::test(start_paused = true)]
async fn a_panic_while_publishing_ends_one_connection_with_its_will_and_session() {
    let house = broker_asking(Explosive).await;
    let mut heir = house.v5("heir").await;
    heir.subscribe("w", AtMostOnce).await;
    let client = connect("unlucky").clean(false).session_expiry_s(100).will(will("w", "gone"));
    let mut unlucky = house.connect(client.clone()).await;
    unlucky.subscribe("t", AtLeastOnce).await;
    for (text, qos) in [("0", AtMostOnce), ("1", AtLeastOnce), ("2", QoS::ExactlyOnce)] {
        let before = publish("t").payload(text).qos(qos, 1);
        unlucky.send(before).await;
        unlucky.send(publish("explosive").payload("x").qos(qos, 2)).await;
        let mut last = None;
        while let Some(packet) = unlucky.expect_packet_or_closed().await {
            last = Some(packet);
        }
        let last = last.expect("a DISCONNECT");
        let mqtt_codec::Packet::Disconnect(last) = last.packet() else { panic!("unexpected {last:?}") };
        assert_eq!(last.reason, ReasonCode::UnspecifiedError);
        heir.receive_text("gone").await;
        expect_health(&house).await;
        unlucky = house.open("back");
        assert!(unlucky.connect(client.clone()).await.session_present);
        unlucky.drain().await;
        heir.ping().await;
    }
    assert_eq!(house.broker.metrics().wills_published, 3);
}

#[tokio::test(start_paused = true)]
async fn a_panic_while_subscribing_ends_one_connection() {
    let house = broker_asking(Explosive).await;
    let client = connect("unlucky").clean(false).session_expiry_s(100);
    let mut unlucky = house.connect(client.clone()).await;
    unlucky.send(subscribe(1).filter("first", AtMostOnce).filter("explosive", AtMostOnce)).await;
    unlucky.expect_disconnect(ReasonCode::UnspecifiedError).await;
    expect_health(&house).await;
    let mut back = house.open("back");
    assert!(back.connect(client).await.session_present);
    back.subscribe("second", AtMostOnce).await;
    back.publish(publish("second").payload("x")).await;
    back.receive_text("x").await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_during_a_login_ends_one_connection() {
    let house = broker_asking(Explosive).await;
    for client in [connect("explosive"), connect("c").will(will("explosive", "x"))] {
        let mut unlucky = house.open("unlucky");
        unlucky.send(client).await;
        unlucky.expect_closed().await;
        expect_health(&house).await;
    }
    assert_eq!(house.broker.metrics().clients_connected, 0);
    house.broker.shutdown().await;
}

/// Panics at the step that is told to.
#[derive(Debug)]
struct Fuse;

impl AuthenticationMethod for Fuse {
    fn name(&self) -> &str {
        "FUSE"
    }

    fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
        Box::new(Self)
    }
}

impl Exchange for Fuse {
    fn step(&mut self, data: &[u8]) -> Step {
        assert_ne!(data, b"explode", "as it should");
        if data == b"enough" { Step::Success(None) } else { Step::Continue(b"more".as_slice().into()) }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_an_authentication_method_ends_one_connection() {
    use ReasonCode::{ContinueAuthentication, ReAuthenticate};
    let house = broker_with_method(Fuse).await;
    let knock = |data: &[u8]| {
        let client = connect("fused").property(Property::AuthenticationMethod("FUSE"));
        client.property(Property::AuthenticationData(data))
    };
    let mut at_once = house.open("at once");
    at_once.send(knock(b"explode")).await;
    at_once.expect_closed().await;
    let mut later = house.open("later");
    later.send(knock(b"hello")).await;
    later.expect_auth().await;
    later.send(auth(ContinueAuthentication).method("FUSE", b"explode")).await;
    later.expect_closed().await;
    let mut again = house.open("again");
    again.connect(knock(b"enough")).await;
    again.send(auth(ReAuthenticate).method("FUSE", b"explode")).await;
    again.expect_disconnect(ReasonCode::UnspecifiedError).await;
    expect_health(&house).await;
}

/// Other nodes that cannot be told of a will or a message.
#[derive(Debug)]
struct Cracked;

impl Peers for Cracked {
    fn interest_began(&self, _: &TopicFilter<&str>) {}

    fn interest_ended(&self, _: &TopicFilter<&str>) {}

    fn published(&self, message: &Message, _: QoS, _: bool) {
        assert_ne!(message.topic(), "explosive", "as it should");
    }

    fn claim_session<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
}

/// A panic at the very end of a connection, when its will goes out, leaves its client identifier free.
#[tokio::test(start_paused = true)]
async fn a_panic_at_the_end_of_a_connection_leaves_its_identifier_free() {
    let house = start(Broker::builder().settings(quiet(|_| ())).peers(Arc::new(Cracked))).await;
    for expiry_s in [0, 100] {
        let client = connect("unlucky").session_expiry_s(expiry_s).will(will("explosive", "x"));
        house.connect(client.clone()).await.cut();
        settle().await;
        let mut again = house.connect(client.clone()).await;
        let mut over = house.connect(client).await;
        over.ping().await;
        again.expect_closed().await;
        expect_health(&house).await;
    }
    house.broker.shutdown().await;
}

/// A panic when a delayed will is due stops no other will and no other end of a session.
#[tokio::test(start_paused = true)]
async fn a_panic_at_a_delayed_will_stops_no_other() {
    let house = start(Broker::builder().settings(quiet(|_| ())).peers(Arc::new(Cracked))).await;
    let mut heir = house.v5("heir").await;
    heir.subscribe("w", AtMostOnce).await;
    for (name, topic, delay_s) in [("one", "explosive", 5), ("two", "w", 10)] {
        let will = will(topic, "gone").delay_s(delay_s);
        house.connect(connect(name).session_expiry_s(20).will(will)).await.cut();
    }
    sleep(Duration::from_secs(11)).await;
    heir.receive_text("gone").await;
    sleep(Duration::from_secs(11)).await;
    assert_eq!(house.broker.metrics().sessions_expired, 2);
    expect_health(&house).await;
}
