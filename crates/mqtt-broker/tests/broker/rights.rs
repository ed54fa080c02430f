//! Access rules at every place where they count, and what a change of them does to clients that are there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mqtt_broker::{Access, Answer, Grant, Identity, Login};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce};
use mqtt_codec::{ReasonCode, Version};
use mqtt_session::{DropReason, Refusal, Rights};
use mqtt_store::Source;
use mqtt_testkit::{connect, publish, subscribe, will};
use mqtt_topic::{TopicFilter, TopicName};
use std::time::Duration;
use tokio::time::sleep;

use crate::harness::{Harness, broker_with, quiet, start};

/// Nobody but `root` has anything to do with topics that begin with `secret`, once `closed` is set. Whoever is called
/// `gone` may not stay then. Passwords are the user's name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rules {
    closed: Arc<AtomicBool>,
}

impl Rules {
    fn allow(&self, username: Option<&str>, topic: &str) -> bool {
        !self.closed.load(Ordering::SeqCst) || username == Some("root") || !topic.starts_with("secret")
    }

    fn rights(&self, username: Option<&str>, topic: &str) -> Rights {
        match topic {
            "quiet" => Rights::of(AtMostOnce, false),
            _ if self.allow(username, topic) => Rights::ALL,
            _ => Rights::NONE,
        }
    }
}

impl Access for Rules {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        let expires_at = (login.client_id == "brief")
            .then(|| (tokio::time::Instant::now() + Duration::from_secs(60)).into_std());
        Box::pin(async move { Ok(Grant { expires_at, ..Grant::named(login.username) }) })
    }

    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        self.rights(client.username.as_deref(), topic.as_str())
    }

    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        self.allow(client.username.as_deref(), filter.filter())
    }

    fn restricts_receiving(&self) -> bool {
        true
    }

    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        self.rights(client.username.as_deref(), topic.as_str())
    }

    fn may_replay(&self, source: &Source, topic: TopicName<&str>, _: QoS) -> bool {
        source.username.as_deref() != Some("gone") && self.allow(source.username.as_deref(), topic.as_str())
            || !self.closed.load(Ordering::SeqCst)
    }

    fn still_admitted(&self, client: &Identity) -> Result<(), Refusal> {
        if client.username.as_deref() == Some("gone") {
            Err(ReasonCode::NotAuthorized.into())
        } else {
            Ok(())
        }
    }
}

async fn house() -> (Harness, Rules) {
    let rules = Rules::default();
    let builder = mqtt_broker::Broker::builder().settings(quiet(|_| ())).access(Arc::new(rules.clone()));
    (start(builder).await, rules)
}

pub(crate) fn close(house: &Harness, rules: &Rules) {
    rules.closed.store(true, Ordering::SeqCst);
    house.broker.access_changed();
}

pub(crate) fn user(client_id: &str, name: &str) -> mqtt_testkit::ConnectBuilder {
    connect(client_id).username(name).password(name)
}

#[tokio::test(start_paused = true)]
async fn a_message_reaches_only_those_who_may_get_it() {
    let (house, rules) = house().await;
    rules.closed.store(true, Ordering::SeqCst);
    let mut root = house.connect(user("root", "root")).await;
    let mut guest = house.connect(user("guest", "guest")).await;
    for peer in [&mut root, &mut guest] {
        peer.subscribe("#", AtLeastOnce).await;
    }
    for number in 0..3 {
        root.publish(publish("secret/1").payload("x").qos(AtLeastOnce, number + 1)).await;
        root.receive_text("x").await;
    }
    guest.expect_silence().await;
    root.publish(publish("open").payload("y")).await;
    guest.receive_text("y").await;
    guest.send(publish("secret/1").payload("forged").qos1(9)).await;
    assert_eq!(guest.expect_puback(9).await.reason, ReasonCode::NotAuthorized);
    root.receive_text("y").await;
    root.expect_silence().await;
    assert!(house.broker.metrics().dropped_for(DropReason::ReceiveNotAuthorized) >= 1);
}

#[tokio::test(start_paused = true)]
async fn rights_tell_levels_of_quality_and_retained_messages_apart() {
    let (house, _) = house().await;
    let mut peer = house.v5("c").await;
    peer.subscribe("quiet", AtLeastOnce).await;
    peer.send(publish("quiet").payload("a").qos1(1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::NotAuthorized);
    peer.send(publish("quiet").payload("b").retained()).await;
    peer.expect_silence().await;
    peer.send(publish("quiet").payload("c")).await;
    peer.receive_text("c").await;
}

#[tokio::test(start_paused = true)]
async fn members_of_a_group_who_may_not_get_a_topic_are_passed_over() {
    let (house, rules) = house().await;
    let mut guest = house.connect(user("guest", "guest")).await;
    let mut root = house.connect(user("root", "root")).await;
    for peer in [&mut guest, &mut root] {
        peer.subscribe("$share/g/#", AtLeastOnce).await;
    }
    rules.closed.store(true, Ordering::SeqCst);
    let mut publisher = house.connect(user("publisher", "root")).await;
    for number in 1..=4 {
        publisher.publish(publish("secret").payload("x").qos1(number)).await;
        root.receive_text("x").await;
    }
    guest.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn revoked_subscriptions_end_at_once_and_others_stay() {
    let (house, rules) = house().await;
    let mut guest = house.connect(user("guest", "guest")).await;
    guest.subscribe("secret/#", AtLeastOnce).await;
    guest.subscribe("open", AtLeastOnce).await;
    let mut root = house.connect(user("root", "root")).await;
    root.publish(publish("secret/1").payload("before")).await;
    guest.receive_text("before").await;
    close(&house, &rules);
    guest.ping().await;
    root.publish(publish("secret/1").payload("after")).await;
    root.publish(publish("open").payload("open")).await;
    guest.receive_text("open").await;
    guest.expect_silence().await;
    assert_eq!(house.broker.metrics().subscriptions_revoked, 1);
}

#[tokio::test(start_paused = true)]
async fn revoked_clients_are_disconnected_and_their_will_is_judged_anew() {
    for version in [Version::V5, Version::V3_1_1] {
        let (house, rules) = house().await;
        let mut root = house.connect(user("root", "root")).await;
        root.subscribe("#", AtMostOnce).await;
        let request = user("gone", "gone").version(version).will(will("secret/will", "bye"));
        let mut gone = house.connect(request).await;
        close(&house, &rules);
        if version == Version::V5 {
            gone.expect_disconnect(ReasonCode::NotAuthorized).await;
        } else {
            gone.expect_closed().await;
        }
        root.expect_silence().await;
        let metrics = house.broker.metrics();
        assert_eq!((metrics.clients_revoked, metrics.wills_published), (1, 0));
    }
}

#[tokio::test(start_paused = true)]
async fn what_waited_for_an_absent_client_is_judged_when_it_returns() {
    let (house, rules) = house().await;
    let guest = || user("guest", "guest").clean(false).session_expiry_s(1000);
    let mut peer = house.connect(guest()).await;
    peer.subscribe("secret", AtLeastOnce).await;
    peer.subscribe("+", AtLeastOnce).await;
    peer.leave().await;
    let mut root = house.connect(user("root", "root")).await;
    root.publish(publish("secret").payload("one").qos1(1)).await;
    root.publish(publish("open").payload("two").qos1(2)).await;
    close(&house, &rules);
    root.publish(publish("secret").payload("three").qos1(3)).await;
    let mut peer = house.open("guest");
    peer.send(guest()).await;
    assert!(peer.expect_connack().await.session_present);
    peer.receive_text("two").await;
    peer.expect_silence().await;
    assert_eq!(house.broker.metrics().subscriptions_revoked, 1);
}

#[tokio::test(start_paused = true)]
async fn retained_messages_are_withheld_from_those_who_may_not_read_and_of_those_who_may_not_publish() {
    let (house, rules) = house().await;
    let mut gone = house.connect(user("gone", "gone")).await;
    gone.publish(publish("open/gone").payload("by gone").retained().qos1(1)).await;
    gone.leave().await;
    let mut root = house.connect(user("root", "root")).await;
    root.publish(publish("secret/1").payload("by root").retained().qos1(1)).await;
    root.publish(publish("open/root").payload("open").retained().qos1(2)).await;
    close(&house, &rules);
    let mut guest = house.connect(user("guest", "guest")).await;
    guest.subscribe("+/+", AtLeastOnce).await;
    guest.receive_text("open").await;
    guest.expect_silence().await;
    root.subscribe("secret/#", AtLeastOnce).await;
    root.receive_text("by root").await;
}

#[tokio::test(start_paused = true)]
async fn many_retained_messages_that_are_withheld_keep_nobody_waiting() {
    let (house, rules) = house().await;
    let mut root = house.connect(user("root", "root")).await;
    for number in 0..1000_u16 {
        root.publish(publish(&format!("secret/{number}")).payload("x").retained().qos1(number + 1)).await;
    }
    root.publish(publish("z").payload("last").retained().qos1(1001)).await;
    rules.closed.store(true, Ordering::SeqCst);
    let mut guest = house.connect(user("guest", "guest")).await;
    guest.subscribe("#", AtLeastOnce).await;
    guest.receive_text("last").await;
    guest.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn an_alias_leads_to_the_same_refusal_as_its_topic() {
    let (house, rules) = house().await;
    rules.closed.store(true, Ordering::SeqCst);
    let mut guest = house.connect(user("guest", "guest")).await;
    for (id, topic) in [(1, "secret"), (2, "")] {
        guest.send(publish(topic).alias(1).payload("x").qos1(id)).await;
        assert_eq!(guest.expect_puback(id).await.reason, ReasonCode::NotAuthorized);
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_belongs_to_the_user_who_made_it() {
    for version in [Version::V5, Version::V3_1_1, Version::V3_1] {
        let (house, _) = house().await;
        let mut owner = house.connect(user("c", "owner").version(version).clean(false)).await;
        for thief in [Some("thief"), None] {
            let request = connect("c").version(version).clean(false);
            let request =
                if let Some(name) = thief { request.username(name).password(name) } else { request };
            let mut thief = house.open("thief");
            thief.send(request).await;
            thief.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
        }
        owner.ping().await;
        owner.leave().await;
        let mut owner = house.open("owner");
        owner.send(user("c", "owner").version(version).clean(false)).await;
        owner.expect_connack().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_login_that_ends_takes_its_connection_along() {
    let (house, _) = house().await;
    let mut brief = house.connect(user("brief", "a")).await;
    brief.expect_silence_for(Duration::from_secs(59)).await;
    brief.expect_disconnect(ReasonCode::NotAuthorized).await;
    assert_eq!(house.broker.metrics().connections_expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_lasts_no_longer_than_it_may() {
    let house =
        broker_with(|settings| settings.limits.connection_lifetime = Some(Duration::from_secs(30))).await;
    let mut peer = house.v5("c").await;
    peer.expect_silence_for(Duration::from_secs(29)).await;
    peer.expect_disconnect(ReasonCode::MaximumConnectTime).await;
}

#[tokio::test(start_paused = true)]
async fn a_fast_client_is_slowed_down_and_loses_nothing() {
    let house = broker_with(|settings| settings.limits.messages_per_second_max = 10).await;
    let mut receiver = house.v5("receiver").await;
    receiver.subscribe("t", AtLeastOnce).await;
    let mut sender = house.v5("sender").await;
    let began = tokio::time::Instant::now();
    for number in 1..=50 {
        sender.send(publish("t").payload("x").qos1(number)).await;
    }
    for _ in 1..=50 {
        receiver.receive_text("x").await;
    }
    let took = began.elapsed();
    assert!((Duration::from_secs(3)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

#[tokio::test(start_paused = true)]
async fn bytes_are_metered_as_well() {
    let house = broker_with(|settings| settings.limits.publish_bytes_per_second_max = 1000).await;
    let mut sender = house.v5("sender").await;
    let began = tokio::time::Instant::now();
    for number in 1..=5 {
        sender.publish(publish("t").payload("x".repeat(900)).qos1(number)).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_payload_above_the_limit_is_refused_and_counted() {
    let house = broker_with(|settings| settings.limits.payload_bytes_max = 10).await;
    let mut peer = house.v5("c").await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.send(publish("t").payload("x".repeat(11)).qos1(1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::QuotaExceeded);
    peer.publish(publish("t").payload("x".repeat(10)).qos1(2)).await;
    peer.receive().await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PayloadTooLarge), 1);
}

fn from(address: &str) -> mqtt_broker::Peer {
    mqtt_broker::Peer {
        address: Some(address.parse().expect("an address")),
        ..mqtt_broker::Peer::anonymous()
    }
}

fn open_from(house: &Harness, address: &str) -> mqtt_testkit::Peer {
    let (near, far) = mqtt_testkit::pipe();
    house.broker.attach(mqtt_transport::Connection::boxed(far), from(address));
    mqtt_testkit::Peer::new(address, near)
}

#[tokio::test(start_paused = true)]
async fn one_address_has_only_so_many_connections() {
    let house = broker_with(|settings| settings.limits.connections_per_address_max = 2).await;
    for places in [
        ["192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3"],
        ["[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1"],
    ] {
        let mut first = open_from(&house, places[0]);
        first.connect(connect("1")).await;
        let mut second = open_from(&house, places[1]);
        second.connect(connect("2")).await;
        open_from(&house, places[2]).expect_closed().await;
        open_from(&house, "198.51.100.1:1").connect(connect("3")).await;
        first.leave().await;
        sleep(Duration::from_secs(2)).await;
        open_from(&house, places[2]).connect(connect("4")).await;
        second.cut();
        sleep(Duration::from_secs(2)).await;
    }
    assert_eq!(house.broker.metrics().connections_refused, 2);
}

#[tokio::test(start_paused = true)]
async fn connects_come_no_faster_than_they_may() {
    let house = broker_with(|settings| {
        settings.limits.connects_per_address_per_second_max = 3;
        settings.limits.connects_per_second_max = 5;
    })
    .await;
    let mut peers = Vec::new();
    for number in 0..4 {
        peers.push(open_from(&house, &format!("192.0.2.1:{number}")));
    }
    peers[3].expect_closed().await;
    for number in 0..3 {
        peers.push(open_from(&house, &format!("192.0.2.{}:1", number + 2)));
    }
    peers[6].expect_closed().await;
    sleep(Duration::from_secs(1)).await;
    open_from(&house, "192.0.2.1:9").connect(connect("c")).await;
}

#[tokio::test(start_paused = true)]
async fn those_who_have_not_logged_in_yet_take_only_so_many_places() {
    let house = broker_with(|settings| settings.limits.handshakes_max = 2).await;
    let mut first = house.open("first");
    let _second = house.open("second");
    house.open("third").expect_closed().await;
    first.connect(connect("first")).await;
    house.open("fourth").connect(connect("fourth")).await;
}

#[tokio::test(start_paused = true)]
async fn one_user_has_only_so_many_connections() {
    let rules = Rules::default();
    let settings = quiet(|settings| settings.limits.connections_per_user_max = 1);
    let house = start(mqtt_broker::Broker::builder().settings(settings).access(Arc::new(rules))).await;
    let first = house.connect(user("1", "a")).await;
    let mut second = house.open("second");
    second.send(user("2", "a")).await;
    second.expect_refusal(ReasonCode::QuotaExceeded).await;
    house.connect(user("3", "b")).await.ping().await;
    first.leave().await;
    house.connect(user("2", "a")).await.ping().await;
}

#[tokio::test(start_paused = true)]
async fn a_will_to_a_forbidden_topic_is_refused_with_the_login() {
    for version in [Version::V5, Version::V3_1_1] {
        let (house, rules) = house().await;
        rules.closed.store(true, Ordering::SeqCst);
        let mut peer = house.open("mortal");
        peer.send(user("mortal", "guest").version(version).will(will("secret", "x"))).await;
        peer.expect_refusal(ReasonCode::NotAuthorized).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_filter_does_not_hide_behind_a_share_name() {
    let (house, rules) = house().await;
    rules.closed.store(true, Ordering::SeqCst);
    let mut guest = house.connect(user("guest", "guest")).await;
    let suback = guest.subscribe_with(subscribe(1).filter("$share/g/secret/#", AtMostOnce)).await;
    assert_eq!(suback.reasons, [ReasonCode::NotAuthorized]);
}
