//! What hooks answer that makes no sense: it counts as a failure of the hook, and nothing that breaks the standard gets onto a
//! wire. Each is tried with a hook that fails closed and with one that fails open.

use std::num::{NonZeroU16, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::codec::{Ack, Connack, Publish, SubscribeFiltersBuf, encode};
use mqtt_broker::session::Opening;
use mqtt_broker::{
    Access, Answer, Authentication, Broker, Events, FailureRule, Grant, Hooks, Identity, InboundPublish,
    LocalError, Login, Packet, PacketId, PacketVerdict, Peer, Properties, PropertiesBuf, Property,
    Publication, PublishVerdict, QoS, ReasonCode, Refusal, SubscriptionOptions, Version,
};
use mqtt_testkit::{connect, publish, subscribe, will};

use crate::harness::{Harness, quiet, start};

/// The bytes after the header that no packet can have more of (section 2.1.4).
const LARGEST: usize = 268_435_455;

#[derive(Debug)]
struct Odd {
    refuse: bool,
    events: Events,
}

impl Odd {
    async fn house(refuse: bool, events: Events) -> Harness {
        start(Broker::builder().settings(quiet(|_| ())).hook(Arc::new(Self { refuse, events }))).await
    }
}

fn with(property: &Property<'_>) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    properties.push(property).expect("it can be encoded");
    properties
}

/// What no PUBLISH can say, by name.
fn unpublishable(name: &str) -> Option<Publication> {
    let usual = || Publication::new("t", "changed");
    Some(match name {
        "empty" => Publication { topic: String::new(), ..usual() },
        "wildcard" => Publication { topic: "a/#".into(), ..usual() },
        "nul" => Publication { topic: "a\0b".into(), ..usual() },
        "long" => Publication { topic: "x".repeat(65_536), ..usual() },
        "response" => Publication { properties: with(&Property::ResponseTopic("r/+")), ..usual() },
        "foreign" => Publication { properties: with(&Property::SessionExpiryInterval(1)), ..usual() },
        "twice" => usual().property(&Property::ContentType("a")).property(&Property::ContentType("b")),
        "large" => Publication { payload: vec![0; LARGEST], ..usual() },
        _ => return None,
    })
}

const UNPUBLISHABLE: [&str; 8] =
    ["empty", "wildcard", "nul", "long", "response", "foreign", "twice", "large"];

fn packet(packet: &Packet<'_>) -> PacketVerdict {
    let mut bytes = Vec::new();
    encode(packet, Version::V5, &mut bytes).expect("a packet");
    PacketVerdict::Replace(bytes)
}

fn instead<'a>(topic: &'a str, qos: QoS, id: u16, payload: &'a [u8]) -> Packet<'a> {
    let (packet_id, properties) = (PacketId::new(id), Properties::EMPTY);
    Packet::Publish(Publish { dup: false, qos, retain: false, topic, packet_id, properties, payload })
}

impl Hooks for Odd {
    fn interests(&self) -> Events {
        self.events
    }
    fn failure_rule(&self) -> FailureRule {
        FailureRule { deadline: Duration::from_secs(2), refuse: self.refuse }
    }
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        let answer = match login.client_id {
            "success" => Authentication::Refuse(ReasonCode::Success.into()),
            "alien" => Authentication::Refuse(ReasonCode::PacketIdentifierInUse.into()),
            _ => Authentication::NoOpinion,
        };
        Box::pin(std::future::ready(answer))
    }
    fn connect<'a>(&'a self, _: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            opening.version = Version::V3_1;
            opening.theirs.receive_maximum = NonZeroU16::MAX;
            opening.theirs.maximum_packet_size_bytes = u32::MAX;
            opening.theirs.topic_alias_maximum = u16::MAX;
            opening.keep_alive_s = 9;
            match &*std::mem::replace(&mut opening.client_id, "\0".into()) {
                "refused" => Err(ReasonCode::GrantedQoS1.into()),
                "late" => std::future::pending().await,
                _ => Ok(()),
            }
        })
    }
    fn packet_received(&self, _: &Identity, received: &Packet<'_>) -> PacketVerdict {
        let Packet::Publish(Publish { payload, .. }) = received else { return PacketVerdict::Pass };
        match *payload {
            b"wildcard" => packet(&instead("a/#", QoS::AtMostOnce, 0, b"changed")),
            b"connack" => packet(&Packet::Connack(Connack {
                session_present: false,
                reason: ReasonCode::Success,
                properties: Properties::EMPTY,
            })),
            b"filter" => {
                let mut filters = SubscribeFiltersBuf::new();
                filters.push("a#", SubscriptionOptions::at(QoS::AtMostOnce)).expect("text");
                packet(&Packet::Subscribe(mqtt_broker::codec::Subscribe {
                    packet_id: PacketId::MIN,
                    properties: Properties::EMPTY,
                    filters: filters.as_filters(),
                }))
            }
            b"two packets" => PacketVerdict::Replace(b"\xc0\0\xc0\0".to_vec()),
            b"alien" => PacketVerdict::Reject(ReasonCode::BadUserNameOrPassword),
            _ => PacketVerdict::Pass,
        }
    }
    fn packet_sending(&self, _: &Identity, sent: &Packet<'_>) -> PacketVerdict {
        let Packet::Publish(Publish { payload, packet_id: Some(id), qos, .. }) = sent else {
            return PacketVerdict::Pass;
        };
        match *payload {
            b"wildcard" => packet(&instead("a/#", *qos, id.get(), b"changed")),
            b"other id" => packet(&instead("t", *qos, id.get() + 1, b"changed")),
            b"other qos" => packet(&instead("t", QoS::AtMostOnce, 0, b"changed")),
            b"other kind" => packet(&Packet::Puback(Ack {
                packet_id: *id,
                reason: ReasonCode::Success,
                properties: Properties::EMPTY,
            })),
            b"large" => packet(&instead("t", *qos, id.get(), &[b'x'; 200])),
            b"small" => packet(&instead("t", *qos, id.get(), b"changed")),
            _ => PacketVerdict::Pass,
        }
    }
    fn subscribe(
        &self,
        _: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        options.qos = QoS::AtMostOnce;
        match filter.as_str() {
            "alien" => return Err(ReasonCode::ServerBusy),
            "empty" => filter.clear(),
            "hash" => *filter = "a#/b".into(),
            "nul" => *filter = "\0".into(),
            "share" => {
                *filter = "$share/g/t".into();
                options.no_local = true;
            }
            "panic" => {
                *filter = "half".into();
                panic!("a hook that panics when it has changed something");
            }
            _ => options.qos = QoS::ExactlyOnce,
        }
        Ok(())
    }
    fn review_subscribe<'a>(
        &'a self,
        client: &'a Identity,
        filter: &'a mut String,
        options: &'a mut SubscriptionOptions,
    ) -> Answer<'a, Result<(), ReasonCode>> {
        Box::pin(async move { self.subscribe(client, filter, options) })
    }
    fn unsubscribe(&self, _: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        if filter == "alien" {
            return Err(ReasonCode::QuotaExceeded); // an UNSUBACK cannot say it
        }
        *filter = "#/#".into();
        Ok(())
    }
    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        match publish.topic.as_str() {
            "alien" => PublishVerdict::Reject(ReasonCode::ServerBusy),
            topic => unpublishable(topic).map_or(PublishVerdict::Pass, PublishVerdict::rewrite),
        }
    }
    fn review_publish<'a>(
        &'a self,
        _: &'a Identity,
        publication: &'a Publication,
    ) -> Answer<'a, PublishVerdict> {
        let verdict = match publication.topic.as_str() {
            "alien" => PublishVerdict::Reject(ReasonCode::ServerBusy),
            topic => unpublishable(topic).map_or(PublishVerdict::Pass, PublishVerdict::rewrite),
        };
        Box::pin(std::future::ready(verdict))
    }
    fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        will.payload = b"changed".to_vec();
        if let Some(publication) = unpublishable(client_id) {
            *will = publication;
        }
        if client_id == "expiring" {
            let expiry = Property::MessageExpiryInterval(7);
            *will = Publication::new("w", "changed")
                .property(&expiry)
                .property(&Property::TopicAlias(NonZeroU16::MIN));
        }
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_no_packet_can_say_is_a_failure_of_the_hook_that_made_it() {
    for event in [Events::PUBLISH, Events::REVIEW_PUBLISH] {
        for refuse in [true, false] {
            let house = Odd::house(refuse, event).await;
            let mut watcher = house.v5("watcher").await;
            watcher.subscribe("#", QoS::AtMostOnce).await;
            let mut peer = house.v5("c").await;
            for (id, name) in (1..).zip(UNPUBLISHABLE) {
                peer.send(publish(name).payload("as it was").qos1(id)).await;
                let reason = peer.expect_puback(id).await.reason;
                if refuse {
                    assert_eq!(reason, ReasonCode::ImplementationSpecificError, "{name}");
                    watcher.expect_silence().await;
                } else {
                    assert_eq!(reason, ReasonCode::Success, "{name}");
                    assert_eq!(watcher.receive_text("as it was").await.topic, name);
                }
            }
            peer.ping().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_a_packet_cannot_say_becomes_one_that_it_can() {
    let odd = ReasonCode::ImplementationSpecificError;
    for (publishing, subscribing) in
        [(Events::PUBLISH, Events::SUBSCRIBE), (Events::REVIEW_PUBLISH, Events::REVIEW_SUBSCRIBE)]
    {
        let events = publishing | subscribing | Events::UNSUBSCRIBE;
        let house = Odd::house(false, events).await;
        let mut peer = house.v5("c").await;
        peer.send(publish("alien").qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, odd);
        peer.send(publish("alien").qos2(2)).await;
        assert_eq!(peer.expect_pubrec(2).await.reason, odd);
        let suback = peer.subscribe_with(subscribe(3).filter("alien", QoS::AtMostOnce)).await;
        assert_eq!(suback.reasons, [odd]);
        assert_eq!(peer.unsubscribe("alien").await.reasons, [odd]);
    }
    let house = Odd::house(false, Events::AUTHENTICATE | Events::CONNECT | Events::PACKET_RECEIVED).await;
    for id in ["success", "alien", "refused"] {
        let mut refused = house.open(id);
        refused.send(connect(id)).await;
        refused.expect_refusal(odd).await;
    }
    let mut peer = house.v5("c").await;
    peer.send(publish("t").payload("alien")).await;
    peer.expect_disconnect(odd).await;
    let mut ordered = house.v5("ordered").await;
    house.broker.client("ordered").disconnect(ReasonCode::BadUserNameOrPassword).expect("online");
    ordered.expect_disconnect(ReasonCode::UnspecifiedError).await;
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_none_is_a_failure_of_the_hook_that_made_it() {
    for event in [Events::SUBSCRIBE, Events::REVIEW_SUBSCRIBE] {
        for refuse in [true, false] {
            let house = Odd::house(refuse, event | Events::UNSUBSCRIBE).await;
            let mut peer = house.v5("c").await;
            for name in ["empty", "hash", "nul", "share", "panic"] {
                let suback = peer.subscribe_with(subscribe(9).filter(name, QoS::AtLeastOnce)).await;
                let expected =
                    if refuse { ReasonCode::ImplementationSpecificError } else { ReasonCode::GrantedQoS1 };
                assert_eq!(suback.reasons, [expected], "{name}: nothing of what the hook changed counts");
                let local = house.broker.local().subscribe(name).await;
                assert_eq!(local.is_err(), refuse, "{name}");
            }
            // The program's own nonsense is told as such.
            let local = house.broker.local().subscribe("own#").await;
            assert_eq!(local.map(drop), Err(LocalError::InvalidFilter));
            let unsuback = peer.unsubscribe("hash").await;
            let expected = if refuse { ReasonCode::ImplementationSpecificError } else { ReasonCode::Success };
            assert_eq!(unsuback.reasons, [expected]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_packet_that_no_client_sends_is_a_failure_of_the_hook_that_made_it() {
    for what in ["wildcard", "connack", "filter", "two packets"] {
        for refuse in [true, false] {
            let house = Odd::house(refuse, Events::PACKET_RECEIVED).await;
            let mut watcher = house.v5("watcher").await;
            watcher.subscribe("#", QoS::AtMostOnce).await;
            let mut peer = house.v5("c").await;
            peer.send(publish("t").payload(what)).await;
            if refuse {
                peer.expect_disconnect(ReasonCode::ImplementationSpecificError).await;
                watcher.expect_silence().await;
            } else {
                watcher.receive_text(what).await;
                peer.ping().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn mqtt_3_1_2_24_a_packet_that_the_client_cannot_take_is_a_failure_of_the_hook_that_made_it() {
    for refuse in [true, false] {
        let house = Odd::house(refuse, Events::PACKET_SENDING).await;
        let mut peer = house.connect(connect("c").maximum_packet_size(100)).await;
        peer.subscribe("t", QoS::AtLeastOnce).await;
        for what in ["wildcard", "other id", "other qos", "other kind", "large"] {
            let message = Publication::new("t", what).qos(QoS::AtLeastOnce);
            house.broker.local().publish(message).await.expect("published");
            if refuse {
                peer.expect_silence().await;
            } else {
                peer.receive_text(what).await;
            }
        }
        let message = Publication::new("t", "small").qos(QoS::AtLeastOnce);
        house.broker.local().publish(message).await.expect("published");
        peer.receive_text("changed").await;
        peer.ping().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_can_grant_a_client_less_and_never_more_than_it_asked_for() {
    let house = Odd::house(true, Events::CONNECT).await;
    let mut peer = house.open("c");
    let asked = connect("c").keep_alive_s(60).receive_maximum(1).maximum_packet_size(100);
    let connack = peer.connect(asked).await; // read as MQTT 5
    assert_eq!(connack.properties().server_keep_alive_s(), Some(9));
    peer.subscribe("t", QoS::AtLeastOnce).await;
    for text in ["1".to_owned(), "x".repeat(200), "2".to_owned()] {
        let message = Publication::new("t", text).qos(QoS::AtLeastOnce);
        house.broker.local().publish(message).await.expect("published");
    }
    let first = peer.expect_publish().await;
    peer.expect_silence().await; // it takes one at a time
    assert_eq!((first.text(), first.properties().topic_alias()), ("1", None));
    peer.send(mqtt_testkit::puback(first.packet_id)).await;
    peer.receive_text("2").await; // and none of 200 bytes
    let details = house.broker.client("c").details().await.expect("under its own name");
    assert_eq!(details.version, Some(Version::V5));

    // A client that cannot be told of a shorter Keep Alive is not cut off for it.
    let old = house.connect(connect("old").version(Version::V3_1_1).keep_alive_s(60)).await;
    assert_eq!(house.broker.client("old").details().await.expect("online").keep_alive_s, 60);
    drop(old);
}

#[tokio::test(start_paused = true)]
async fn what_a_hook_changed_before_it_failed_is_forgotten() {
    let house = Odd::house(false, Events::CONNECT).await;
    let mut peer = house.open("late");
    let connack = peer.connect(connect("late").keep_alive_s(60)).await;
    assert_eq!(connack.properties().server_keep_alive_s(), None);
    let refusing = Odd::house(true, Events::CONNECT).await;
    let mut late = refusing.open("late");
    late.send(connect("late")).await;
    late.expect_refusal(ReasonCode::ImplementationSpecificError).await;
}

#[tokio::test(start_paused = true)]
async fn a_will_that_no_packet_can_say_is_a_failure_of_the_hook_that_made_it() {
    for refuse in [true, false] {
        let house = Odd::house(refuse, Events::WILL).await;
        let mut watcher = house.v5("watcher").await;
        watcher.subscribe("#", QoS::AtMostOnce).await;
        for name in UNPUBLISHABLE {
            house.connect(connect(name).will(will("w", "as it was"))).await.cut();
            if refuse {
                watcher.expect_silence().await;
            } else {
                watcher.receive_text("as it was").await;
            }
        }
        house.connect(connect("expiring").will(will("w", "as it was"))).await.cut();
        let got = watcher.receive_text("changed").await;
        assert_eq!(got.properties().message_expiry_interval_s(), Some(7));
        assert_eq!(got.properties().topic_alias(), None, "an alias belongs to a connection");
    }
}

#[tokio::test(start_paused = true)]
async fn the_programs_own_messages_that_no_packet_can_say_are_typed_errors() {
    let house = start(Broker::builder().settings(quiet(|_| ()))).await;
    let local = house.broker.local();
    for name in UNPUBLISHABLE {
        let expected = match name {
            "foreign" | "twice" => LocalError::InvalidProperties,
            "large" => LocalError::TooLarge,
            _ => LocalError::InvalidTopic,
        };
        let publication = unpublishable(name).expect("one of them");
        assert_eq!(local.publish(publication).await.map(drop), Err(expected), "{name}");
    }
    let size = NonZeroU32::new(1).expect("not 0");
    let odd = Publication::new("t", "").property(&Property::MaximumPacketSize(size));
    assert_eq!(local.publish_now(odd).map(drop), Err(LocalError::InvalidProperties));
}

/// Refuses with a word of success.
#[derive(Debug)]
struct Friendly;

impl Access for Friendly {
    fn authenticate<'a>(&'a self, _: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(Err(ReasonCode::Success.into())))
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_says_success_is_a_refusal() {
    let house = start(Broker::builder().settings(quiet(|_| ())).access(Arc::new(Friendly))).await;
    let mut refused = house.open("c");
    refused.send(connect("c")).await;
    refused.expect_refusal(ReasonCode::ImplementationSpecificError).await;
}
