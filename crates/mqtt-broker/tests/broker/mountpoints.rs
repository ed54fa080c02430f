//! Clients that take a part of the topic tree for the whole.

use std::sync::{Arc, Mutex};

use mqtt_broker::{Access, Answer, Broker, Grant, Identity, ListenerRules, Login, Peer as Origin};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Property, ReasonCode, Version};
use mqtt_session::{DropReason, Refusal, Rights};
use mqtt_testkit::{ConnectBuilder, Peer, connect, publish, subscribe, unsubscribe, will};
use mqtt_topic::{TopicFilter, TopicName};
use mqtt_transport::Connection;

use crate::harness::{Harness, broker, broker_asking, broker_with, quiet, start};
use crate::wires::{settle, texts};

fn origin(template: &str) -> Origin {
    let mountpoint = Some(template.parse().expect("a template"));
    let rules = ListenerRules { allow_anonymous: true, mountpoint, ..ListenerRules::default() };
    Origin { listener: Arc::new(rules), ..Origin::default() }
}

fn open(house: &Harness, template: &str) -> Peer {
    let (near, far) = mqtt_testkit::pipe();
    house.broker.attach(Connection::boxed(far), origin(template));
    Peer::new(template, near)
}

async fn below(house: &Harness, template: &str, client: ConnectBuilder) -> Peer {
    let mut peer = open(house, template);
    peer.connect(client).await;
    peer
}

async fn inside(house: &Harness, client_id: &str) -> Peer {
    below(house, "m/", connect(client_id)).await
}

/// Somebody who sees the whole tree.
async fn watcher(house: &Harness) -> Peer {
    let mut peer = house.v5("watcher").await;
    peer.subscribe("#", ExactlyOnce).await;
    peer
}

fn lasting(client_id: &str) -> ConnectBuilder {
    connect(client_id).clean(false).session_expiry_s(1000)
}

#[tokio::test(start_paused = true)]
async fn what_is_said_below_a_mountpoint_lies_there_and_is_heard_there_without_its_prefix() {
    for version in Version::ALL {
        for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
            let house = broker().await;
            let mut watcher = watcher(&house).await;
            let mut receiver = below(&house, "m/", connect("receiver").version(version)).await;
            let mut other = below(&house, "n/", connect("other").version(version)).await;
            let mut sender = below(&house, "m/", connect("sender").version(version)).await;
            receiver.subscribe("a/+", qos).await;
            other.subscribe("#", qos).await;
            sender.publish(publish("a/b").payload("x").qos(qos, 1)).await;
            assert_eq!(receiver.receive_text("x").await.topic, "a/b");
            assert_eq!(watcher.receive_text("x").await.topic, "m/a/b");
            other.expect_silence().await;
            let mut outside = house.client(version, "outside").await;
            outside.publish(publish("m/a/c").payload("y").qos(qos, 1)).await;
            assert_eq!(receiver.receive_text("y").await.topic, "a/c");
            receiver.unsubscribe("a/+").await;
            sender.publish(publish("a/b").payload("z").qos(qos, 2)).await;
            receiver.expect_silence().await;
        }
    }
}

/// Messages in a row travel in batches that are encoded once, with the whole topic.
#[tokio::test(start_paused = true)]
async fn a_burst_reaches_each_receiver_under_its_own_name_of_the_topic() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let house = broker().await;
        let mut watcher = watcher(&house).await;
        let mut receiver = inside(&house, "receiver").await;
        receiver.subscribe("#", qos).await;
        let mut deeper = below(&house, "m/a/", connect("deeper")).await;
        deeper.subscribe("#", qos).await;
        let mut sender = inside(&house, "sender").await;
        let mut burst = Vec::new();
        for number in 1..=50 {
            let message = publish("a/b").payload(format!("{number}")).qos(qos, number);
            burst.extend(mqtt_testkit::ToWire::to_wire(&message, Version::V5));
        }
        sender.send(burst).await;
        for number in 1..=50 {
            let text = number.to_string();
            assert_eq!(watcher.receive_text(&text).await.topic, "m/a/b");
            assert_eq!(receiver.receive_text(&text).await.topic, "a/b");
            assert_eq!(deeper.receive_text(&text).await.topic, "b");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retained_messages_lie_below_the_mountpoint() {
    let house = broker().await;
    let mut sender = inside(&house, "sender").await;
    sender.publish(publish("a").payload("kept").qos1(1).retained()).await;
    let mut outside = house.v5("outside").await;
    outside.publish(publish("elsewhere").payload("hidden").qos1(1).retained()).await;
    let mut late = inside(&house, "late").await;
    late.subscribe("#", AtLeastOnce).await;
    let message = late.receive_text("kept").await;
    assert_eq!((message.topic.as_str(), message.retain), ("a", true));
    late.expect_silence().await;
    let mut watcher = watcher(&house).await;
    let topics = [watcher.receive().await.topic, watcher.receive().await.topic];
    assert_eq!(topics, ["elsewhere", "m/a"]);
    sender.publish(publish("a").qos1(2).retained()).await;
    let mut late = inside(&house, "later").await;
    late.subscribe("#", AtLeastOnce).await;
    late.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn a_will_lies_below_the_mountpoint() {
    for delay_s in [0, 5] {
        let house = broker().await;
        let mut watcher = watcher(&house).await;
        let mut heir = inside(&house, "heir").await;
        heir.subscribe("w", AtLeastOnce).await;
        let request = lasting("mortal").will(will("w", "gone").qos(AtLeastOnce).delay_s(delay_s));
        below(&house, "m/", request).await.cut();
        assert_eq!(watcher.receive_text("gone").await.topic, "m/w");
        assert_eq!(heir.receive_text("gone").await.topic, "w");
    }
    let house = broker().await;
    let mut peer = open(&house, "m/");
    peer.send(connect("c").will(will("$SYS/broker/clients", "0"))).await;
    peer.expect_refusal(ReasonCode::NotAuthorized).await;
}

#[tokio::test(start_paused = true)]
async fn a_shared_subscription_is_one_of_its_mountpoint() {
    let house = broker().await;
    let mut members = Vec::new();
    for (template, id) in [("m/", "a"), ("m/", "b"), ("n/", "c")] {
        let mut member = below(&house, template, connect(id)).await;
        member.subscribe("$share/g/t/#", AtLeastOnce).await;
        members.push(member);
    }
    let mut sender = inside(&house, "sender").await;
    for number in 1..=4 {
        sender.publish(publish("t/1").payload(format!("{number}")).qos1(number)).await;
    }
    let mut got = Vec::new();
    for member in &mut members {
        for packet in member.drain().await {
            let mqtt_codec::Packet::Publish(message) = packet.packet() else { continue };
            assert_eq!(message.topic, "t/1");
            got.push(String::from_utf8_lossy(message.payload).into_owned());
        }
    }
    got.sort();
    assert_eq!(got, ["1", "2", "3", "4"]);
    members[2].expect_silence().await;
    assert_eq!(members[0].unsubscribe("$share/g/t/#").await.reasons, [ReasonCode::Success]);
}

fn response_topic(message: &mqtt_testkit::ReceivedPublish) -> Option<String> {
    message.properties().response_topic().map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_answered_across_a_mountpoint_wherever_a_way_leads_back() {
    let house = broker().await;
    let mut requester = inside(&house, "requester").await;
    requester.subscribe("answers/1", AtMostOnce).await;
    let mut neighbour = inside(&house, "neighbour").await;
    neighbour.subscribe("questions", AtMostOnce).await;
    let mut watcher = watcher(&house).await;
    let question = || {
        publish("questions")
            .user_property("k", "v")
            .property(Property::ResponseTopic("answers/1"))
            .property(Property::CorrelationData(b"7"))
    };
    requester.publish(question().payload("?")).await;
    let asked = neighbour.receive_text("?").await;
    assert_eq!(response_topic(&asked).as_deref(), Some("answers/1"));
    assert_eq!(asked.properties().correlation_data(), Some(&b"7"[..]));
    assert_eq!(asked.properties().user_properties().next(), Some(("k", "v")));
    let asked = watcher.receive_text("?").await;
    let whole = response_topic(&asked).expect("a response topic");
    assert_eq!(whole, "m/answers/1");
    neighbour.publish(publish("answers/1").payload("from inside")).await;
    watcher.publish(publish(&whole).payload("from outside")).await;
    assert_eq!(requester.receive().await.text(), "from inside");
    assert_eq!(requester.receive().await.text(), "from outside");

    let outer = publish("m/questions").property(Property::ResponseTopic("answers/1"));
    watcher.publish(outer.payload("from outside")).await;
    let asked = neighbour.receive_text("from outside").await;
    assert_eq!(response_topic(&asked), None, "an answer would go to m/answers/1");
    let hidden = publish("questions").property(Property::ResponseTopic("$SYS/x")).qos1(1);
    requester.send(hidden).await;
    assert_eq!(requester.expect_puback(1).await.reason, ReasonCode::NotAuthorized);
}

/// A will may carry a response topic as well.
#[tokio::test(start_paused = true)]
async fn the_response_topic_of_a_will_gets_its_whole_name() {
    let house = broker().await;
    let mut watcher = watcher(&house).await;
    let asking = will("w", "gone").property(Property::ResponseTopic("answers"));
    below(&house, "m/", connect("mortal").will(asking)).await.cut();
    assert_eq!(response_topic(&watcher.receive_text("gone").await).as_deref(), Some("m/answers"));
}

#[tokio::test(start_paused = true)]
async fn aliases_stand_for_the_names_that_the_client_knows() {
    let house = broker_with(|settings| {
        settings.policy.ours.topic_alias_maximum = 5;
        settings.policy.topic_alias_assign_max = 5;
    })
    .await;
    let mut watcher = watcher(&house).await;
    let mut receiver = below(&house, "m/", connect("receiver").topic_alias_maximum(5)).await;
    receiver.subscribe("#", AtMostOnce).await;
    let mut sender = inside(&house, "sender").await;
    for (topic, payload) in [("a", "named"), ("", "known")] {
        sender.publish(publish(topic).alias(1).payload(payload)).await;
        assert_eq!(watcher.receive_text(payload).await.topic, "m/a");
        let message = receiver.receive_text(payload).await;
        assert_eq!(
            (message.topic.as_str(), message.properties().topic_alias().map(u16::from)),
            (topic, Some(1))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_begins_with_a_dollar_does_not_exist_below_a_mountpoint() {
    let house = broker().await;
    let mut peer = inside(&house, "c").await;
    let filters = subscribe(1).filter("$SYS/#", AtMostOnce).filter("$share/g/$SYS/#", AtMostOnce);
    let answer = peer.subscribe_with(filters.filter("#", AtMostOnce)).await;
    let denied = ReasonCode::NotAuthorized;
    assert_eq!(answer.reasons, [denied, denied, ReasonCode::Success]);
    peer.send(publish("$SYS/x").payload("fake").qos1(2)).await;
    assert_eq!(peer.expect_puback(2).await.reason, denied);
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PublishNotAuthorized), 1);
    peer.send(unsubscribe(3).filter("$SYS/#")).await;
    assert_eq!(peer.expect_unsuback().await.reasons, [denied]);
    let mut outside = house.v5("outside").await;
    for topic in ["m/$SYS/x", "m/", "m"] {
        outside.publish(publish(topic).payload("no name").qos1(1)).await;
    }
    peer.expect_silence().await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::OutsideMountpoint), 3);
    peer.ping().await;
}

#[tokio::test(start_paused = true)]
async fn the_limits_of_a_topic_hold_for_its_whole_name() {
    let house = broker().await;
    let mut peer = inside(&house, "c").await;
    for (bytes, reason) in
        [(65_533, ReasonCode::NoMatchingSubscribers), (65_534, ReasonCode::TopicNameInvalid)]
    {
        peer.send(publish(&"x".repeat(bytes)).qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, reason, "{bytes}");
    }
    for (bytes, reason) in [(65_533, ReasonCode::Success), (65_534, ReasonCode::TopicFilterInvalid)] {
        let answer = peer.subscribe_with(subscribe(2).filter(&"x".repeat(bytes), AtMostOnce)).await;
        assert_eq!(answer.reasons, [reason], "{bytes}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_is_kept_for_its_mountpoint_and_no_other() {
    let house = broker().await;
    let mut peer = below(&house, "m/", lasting("c")).await;
    peer.subscribe("t", AtLeastOnce).await;
    let mut sender = inside(&house, "sender").await;
    sender.publish(publish("t").payload("under way").qos1(1)).await;
    assert_eq!(peer.expect_publish().await.text(), "under way");
    peer.cut();
    settle().await;
    sender.publish(publish("t").payload("while away").qos1(2)).await;
    let mut peer = open(&house, "m/");
    assert!(peer.connect(lasting("c")).await.session_present);
    let again = peer.receive_text("under way").await;
    assert_eq!((again.topic.as_str(), again.dup), ("t", true));
    assert_eq!(peer.receive_text("while away").await.topic, "t");
    // Taken over from elsewhere while it is connected, and while it is away.
    let mut elsewhere = open(&house, "n/");
    assert!(!elsewhere.connect(lasting("c")).await.session_present);
    peer.expect_disconnect(ReasonCode::SessionTakenOver).await;
    elsewhere.subscribe("t", AtLeastOnce).await;
    elsewhere.cut();
    settle().await;
    let mut whole = house.open("whole");
    assert!(!whole.connect(lasting("c")).await.session_present);
    sender.publish(publish("t").payload("not for it").qos1(3)).await;
    whole.expect_silence().await;
}

#[tokio::test(start_paused = true)]
async fn each_user_has_a_tree_of_its_own() {
    let house = broker().await;
    let template = "users/${username}/";
    let mut ann = below(&house, template, connect("a").username("ann")).await;
    let mut bob = below(&house, template, connect("b").username("bob")).await;
    for peer in [&mut ann, &mut bob] {
        peer.subscribe("#", AtMostOnce).await;
    }
    let mut watcher = watcher(&house).await;
    ann.publish(publish("state").payload("ann's")).await;
    assert_eq!(watcher.receive_text("ann's").await.topic, "users/ann/state");
    assert_eq!(ann.receive_text("ann's").await.topic, "state");
    bob.expect_silence().await;
    for request in [connect("c"), connect("c").username("ann/x"), connect("c").username("+")] {
        let mut peer = open(&house, template);
        peer.send(request).await;
        peer.expect_refusal(ReasonCode::NotAuthorized).await;
    }
    let mut peer = open(&house, "${clientid}/");
    peer.send(connect("a/b")).await;
    peer.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
    let mut peer = open(&house, "${clientid}/");
    peer.send(connect("a/b").version(Version::V3_1_1)).await;
    peer.expect_refusal(ReasonCode::ClientIdentifierNotValid).await;
}

/// Remembers the topics that it is asked about.
#[derive(Clone, Debug, Default)]
struct Listed(Arc<Mutex<Vec<String>>>);

impl Listed {
    fn note(&self, client: &Identity, what: &str, topic: &str) {
        assert_eq!(client.mountpoint.as_ref().map(|it| it.as_str()), Some("m/"));
        self.0.lock().expect("not poisoned").push(format!("{what} {topic}"));
    }
}

impl Access for Listed {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(Ok(Grant::named(login.username))))
    }

    fn publish_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        self.note(client, "publish", topic.as_str());
        Rights::ALL
    }

    fn may_subscribe(&self, client: &Identity, filter: &TopicFilter<&str>, _: QoS) -> bool {
        self.note(client, "subscribe", filter.as_str());
        true
    }

    fn restricts_receiving(&self) -> bool {
        true
    }

    fn receive_rights(&self, client: &Identity, topic: TopicName<&str>) -> Rights {
        self.note(client, "receive", topic.as_str());
        Rights::ALL
    }
}

#[tokio::test(start_paused = true)]
async fn access_rules_are_asked_about_whole_topics() {
    let listed = Listed::default();
    let house = broker_asking(listed.clone()).await;
    let mut peer = below(&house, "m/", connect("c").will(will("w", "gone"))).await;
    peer.subscribe("a/#", AtMostOnce).await;
    peer.publish(publish("a/b").payload("x")).await;
    assert_eq!(peer.receive_text("x").await.topic, "a/b");
    let asked = listed.0.lock().expect("not poisoned").clone();
    assert_eq!(asked, ["publish m/w", "subscribe m/a/#", "publish m/a/b", "receive m/a/b"]);
}

#[tokio::test(start_paused = true)]
async fn what_the_program_says_for_a_client_is_said_in_its_words() {
    let house = broker().await;
    let mut peer = below(&house, "m/", lasting("c")).await;
    let client = house.broker.client("c");
    for filter in ["online", "away"] {
        let options = mqtt_codec::SubscriptionOptions { qos: AtLeastOnce, ..Default::default() };
        client.subscribe(filter, options).await.expect("it is known");
        peer.cut();
        settle().await;
        peer = open(&house, "m/");
        assert!(peer.connect(lasting("c")).await.session_present);
    }
    let details = client.details().await.expect("it is known");
    let mut filters: Vec<_> = details.subscriptions.into_iter().map(|(filter, _)| filter).collect();
    filters.sort();
    assert_eq!(filters, ["m/away", "m/online"]);
    house.v5("outside").await.publish(publish("m/online").payload("x").qos1(1)).await;
    assert_eq!(peer.receive_text("x").await.topic, "online");
}

#[tokio::test]
async fn a_restart_keeps_sessions_below_their_mountpoint() {
    use crate::restarts::stored;
    use mqtt_broker::ListenerSettings;
    use mqtt_store::durable::simulated::SimulatedMedium;

    let at = async |medium: &SimulatedMedium, template: Option<&str>| {
        let mut listener = ListenerSettings::new("tcp://127.0.0.1:0".parse().expect("an address"));
        listener.rules = ListenerRules { name: "door".into(), allow_anonymous: true, ..listener.rules };
        listener.rules.mountpoint = template.map(|it| it.parse().expect("a template"));
        start(Broker::builder().settings(quiet(|_| ())).store(stored(medium)).listen(listener)).await
    };
    let dial = async |house: &Harness| {
        let stream = mqtt_transport::connect(house.url()).await.expect("it listens");
        Peer::new("client", stream)
    };
    let medium = SimulatedMedium::new();
    let house = at(&medium, Some("m/")).await;
    let mut peer = dial(&house).await;
    peer.connect(lasting("c")).await;
    peer.subscribe("t", AtLeastOnce).await;
    peer.leave().await;
    house.v5("outside").await.publish(publish("m/t").payload("kept").qos1(1)).await;
    // The same configuration, another mountpoint, none.
    for (template, present) in [(Some("m/"), true), (Some("n/"), false), (None, true)] {
        let left = medium.after_kill();
        let house = at(&left, template).await;
        let mut peer = dial(&house).await;
        assert_eq!(peer.connect(lasting("c")).await.session_present, present, "{template:?}");
        let got = texts(&peer.drain().await);
        assert_eq!(got.len(), usize::from(present), "{template:?}: {got:?}");
    }
}

/// What a mounted client calls `m/x` is not what lies at `m/x` because it calls that `x`.
#[tokio::test(start_paused = true)]
async fn in_a_burst_a_name_that_looks_like_a_whole_one_is_still_the_clients_own() {
    for qos in [AtMostOnce, AtLeastOnce] {
        let house = broker().await;
        let mut watcher = watcher(&house).await;
        let mut sender = inside(&house, "sender").await;
        let names = ["x", "x", "m/x", "m/x", "x"];
        let mut burst = Vec::new();
        for (number, name) in (1..).zip(names) {
            burst.extend(mqtt_testkit::ToWire::to_wire(&publish(name).qos(qos, number), Version::V5));
        }
        sender.send(burst).await;
        for name in names {
            let received = watcher.expect_publish().await;
            assert_eq!(received.topic, format!("m/{name}"));
            if received.packet_id > 0 {
                watcher.send(mqtt_testkit::puback(received.packet_id)).await;
            }
        }
    }
}
