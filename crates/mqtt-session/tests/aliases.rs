//! Topic aliases in both directions (section 3.3.2.3.4).

mod support;

use core::num::NonZeroU16;
use std::time::Instant;

use mqtt_codec::{Packet, Properties, Property, QoS, ReasonCode, Version};
use mqtt_session::{OurLimits, Policy, Protocol, Received};
use support::{Link, Setup, Towards, block, broker, client, delivery, publish, refusal};

fn alias(number: u16) -> Property<'static> {
    Property::TopicAlias(NonZeroU16::new(number).expect("not zero"))
}

/// Where a PUBLISH with this topic and alias goes.
fn arrive(protocol: &mut Protocol, topic: &str, number: u16) -> Result<String, ReasonCode> {
    let properties = block(&[alias(number)]);
    let packet = publish(QoS::AtMostOnce, 0, topic, properties.as_properties());
    match protocol.receive(packet, Instant::now(), &mut Vec::new()) {
        Ok(Received::Publish(publish)) => Ok(publish.topic.as_str().into()),
        Ok(other) => panic!("not a message: {other:?}"),
        Err(violation) => Err(violation.reason),
    }
}

fn both_roles() -> [Protocol; 2] {
    let mut policy = Policy::default();
    policy.ours.topic_alias_maximum = 5;
    let ours = OurLimits { topic_alias_maximum: 5, ..OurLimits::default() };
    [broker(Version::V5, &[], &policy), client(&[Property::TopicAliasMaximum(5)], &[], ours)]
}

// [MQTT-3.3.2-12]: every alias up to the maximum is accepted, and may be given another topic.
#[test]
fn mqtt_3_3_2_11_an_alias_stands_for_its_latest_topic() {
    for mut protocol in both_roles() {
        assert_eq!(arrive(&mut protocol, "a", 5), Ok("a".into()));
        assert_eq!(arrive(&mut protocol, "b", 1), Ok("b".into()));
        assert_eq!(arrive(&mut protocol, "", 5), Ok("a".into()));
        assert_eq!(arrive(&mut protocol, "c", 5), Ok("c".into()));
        assert_eq!(arrive(&mut protocol, "", 5), Ok("c".into()));
        assert_eq!(arrive(&mut protocol, "", 1), Ok("b".into()));
    }
}

// [MQTT-3.3.2-8], [MQTT-3.3.2-10]: also for the sender of too high an alias.
#[test]
fn mqtt_3_3_2_9_aliases_above_the_maximum_or_without_a_topic_are_refused() {
    for mut protocol in both_roles() {
        assert_eq!(arrive(&mut protocol, "a", 6), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(arrive(&mut protocol, "a", 65_535), Err(ReasonCode::TopicAliasInvalid));
        assert_eq!(arrive(&mut protocol, "", 4), Err(ReasonCode::ProtocolError));
        let nameless = publish(QoS::AtMostOnce, 0, "", Properties::EMPTY);
        assert_eq!(refusal(&mut protocol, nameless), ReasonCode::ProtocolError);
    }
}

// A message known already still defines its alias, though it is not passed on again.
#[test]
fn a_repeated_publish_defines_its_alias() {
    let [mut protocol, _] = both_roles();
    for (topic, number) in [("a", 1), ("a", 2)] {
        let properties = block(&[alias(number)]);
        let packet = publish(QoS::ExactlyOnce, 9, topic, properties.as_properties());
        support::answer_to(&mut protocol, packet).expect("allowed");
    }
    assert_eq!(arrive(&mut protocol, "", 2), Ok("a".into()));
}

// [MQTT-3.2.2-17]: the same towards a server. [MQTT-3.1.2-27], [MQTT-3.2.2-18]: none without permission.
#[test]
fn mqtt_3_1_2_26_no_alias_above_what_the_peer_takes_is_sent() {
    for maximum in [0, 1, 2] {
        for towards in Towards::BOTH {
            let mut link = Link::open(Setup::of(Version::V5).topic_aliases(maximum));
            let topics = ["a", "b", "c", "a", "b", "c"];
            link.send(towards, topics.map(|topic| delivery(topic, b"0000", QoS::AtMostOnce)));
            link.settle();
            let sent: Vec<_> =
                link.publishes(towards).map(|seen| (seen.topic.as_str(), seen.alias)).collect();
            let expected = match maximum {
                0 => topics.map(|topic| (topic, None)),
                1 => [("a", Some(1)), ("b", None), ("c", None), ("", Some(1)), ("b", None), ("c", None)],
                _ => [("a", Some(1)), ("b", Some(2)), ("c", None), ("", Some(1)), ("", Some(2)), ("c", None)],
            };
            assert_eq!(sent, expected);
            let got: Vec<_> = link.end(towards).got.iter().map(|got| got.topic.clone()).collect();
            assert_eq!(got, topics);
        }
    }
}

// The table dies with its connection: what is sent again names its topic in full, and so does the next message.
#[test]
fn mqtt_3_3_2_7_no_alias_outlives_its_connection() {
    for towards in Towards::BOTH {
        let mut link = Link::open(Setup::of(Version::V5).topic_aliases(1));
        link.send(towards, [0, 1].map(|_| delivery("a", b"0000", QoS::AtLeastOnce)));
        link.cut();
        link.reconnect();
        link.send(towards, [0, 1].map(|_| delivery("a", b"0000", QoS::AtLeastOnce)));
        link.settle();
        let sent: Vec<_> = link.publishes(towards).map(|seen| (seen.topic.as_str(), seen.alias)).collect();
        assert_eq!(sent, [("a", None), ("a", None), ("a", Some(1)), ("", Some(1))]);
    }
}

// An alias that was never sent, because its message was too large, is not used.
#[test]
fn an_alias_counts_only_once_it_was_sent() {
    let small = Property::MaximumPacketSize(core::num::NonZeroU32::new(20).expect("not zero"));
    let mut protocol = broker(Version::V5, &[Property::TopicAliasMaximum(1), small], &Policy::default());
    let large = delivery("a", &[0; 100], QoS::AtMostOnce);
    protocol.deliver(large, Instant::now(), &mut Vec::new()).expect_err("too large");
    let mut out = Vec::new();
    protocol.deliver(delivery("a", b"p", QoS::AtMostOnce), Instant::now(), &mut out).expect("fits");
    let Packet::Publish(sent) = support::only(&out, Version::V5) else { panic!("no PUBLISH") };
    assert_eq!((sent.topic, sent.properties.topic_alias().map(u16::from)), ("a", Some(1)));
}
