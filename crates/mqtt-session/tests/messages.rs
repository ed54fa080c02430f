//! What is passed on from one hop to the next, and what is not.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt_codec::{
    Ack, Connect, Packet, Properties, Property, Publish, QoS, ReasonCode, ReasonCodesBuf,
    SubscriptionOptions, Version, Will,
};
use mqtt_session::{Delivery, DropReason, Hop, Opening, Policy, Protocol, Received, Session, Subscription};
use support::{answer_to, block, broker, connect, delivery, id, only};

const FORWARDED: [Property<'static>; 7] = [
    Property::UserProperty("a", "1"),
    Property::ContentType("text/plain"),
    Property::UserProperty("a", "2"),
    Property::PayloadFormatIndicator(true),
    Property::ResponseTopic("answers"),
    Property::UserProperty("", ""),
    Property::CorrelationData(b"\0\xFF"),
];

fn a_broker(properties: &[Property<'_>]) -> Protocol {
    broker(Version::V5, properties, &Policy::default())
}

fn alias() -> Property<'static> {
    Property::TopicAlias(1.try_into().expect("not zero"))
}

// [MQTT-3.3.2-4], [MQTT-3.3.2-15], [MQTT-3.3.2-16], [MQTT-3.3.2-17], [MQTT-3.3.2-20]; the alias and the old interval stay.
// [MQTT-3.3.4-3], [MQTT-3.3.4-4]: the identifiers of all matching subscriptions come on top.
#[test]
fn mqtt_3_3_2_18_properties_are_passed_on_unaltered_and_in_order() {
    for hop_properties in [&[][..], &[alias(), Property::MessageExpiryInterval(100)]] {
        let sent = block(&[hop_properties, &FORWARDED].concat());
        let publish = Publish {
            dup: true, // [MQTT-3.3.1-3]: it says nothing to the next hop.
            qos: QoS::AtLeastOnce,
            retain: true,
            topic: "t",
            packet_id: Some(id(9)),
            properties: sent.as_properties(),
            payload: b"payload",
        };
        let (now, mut from) = (Instant::now(), a_broker(&[]));
        let received = from.receive(Packet::Publish(publish), now, &mut Vec::new());
        let Ok(Received::Publish(inbound)) = received else { panic!("no message: {received:?}") };
        assert!(inbound.dup && inbound.retain);
        let message = inbound.message(1);
        assert_eq!(message.properties().iter().collect::<Vec<_>>(), FORWARDED);

        let subscription_ids: Option<Arc<[u32]>> = Some([7, 268_435_455].into());
        let hop = Hop { subscription_ids, ..Hop::new(QoS::ExactlyOnce) };
        let mut out = Vec::new();
        let mut to = a_broker(&[]);
        to.deliver(Delivery { hop, message }, now, &mut out).expect("it can be sent");
        let Packet::Publish(passed) = only(&out, Version::V5) else { panic!("no PUBLISH") };
        assert_eq!((passed.dup, passed.retain, passed.qos), (false, false, QoS::ExactlyOnce));
        assert_eq!((passed.topic, passed.payload), ("t", &b"payload"[..]));
        let mut expected: Vec<_> = hop_properties.iter().skip(1).copied().collect();
        expected.extend([Property::SubscriptionIdentifier(7), Property::SubscriptionIdentifier(268_435_455)]);
        expected.extend(FORWARDED);
        assert_eq!(passed.properties.iter().collect::<Vec<_>>(), expected);
    }
}

// A receiver of an older version gets the message without what its version cannot say.
#[test]
fn older_versions_get_messages_without_properties() {
    let now = Instant::now();
    let message = support::message("t", b"payload", Some(now + Duration::from_secs(9)));
    for version in [Version::V3_1, Version::V3_1_1] {
        let hop = Hop { subscription_ids: Some([7].into()), retain: true, ..Hop::new(QoS::AtMostOnce) };
        let delivery = Delivery { hop, message: message.clone() };
        let mut out = Vec::new();
        broker(version, &[], &Policy::default()).deliver(delivery, now, &mut out).expect("it can be sent");
        assert_eq!(out, b"\x31\x0A\x00\x01tpayload");
    }
}

// [MQTT-3.1.2-12], [MQTT-3.1.2-14], [MQTT-3.1.2-15]: as asked. Its interval starts with its publication.
#[test]
fn mqtt_3_1_3_9_a_will_keeps_what_it_was_given() {
    let interval = [Property::WillDelayInterval(5), Property::MessageExpiryInterval(10)];
    let properties = block(&[&interval[..], &FORWARDED].concat());
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for retain in [false, true] {
            let properties = properties.as_properties();
            let will = Will { qos, retain, properties, topic: "w/t", payload: b"gone" };
            let connect = Connect { will: Some(will), ..connect(Version::V5, Properties::EMPTY) };
            let opening = Opening::accept(&connect, &Policy::default(), || "x".into()).expect("admitted");
            let will = opening.will.expect("kept");
            assert_eq!((will.qos, will.retain, will.delay_interval_s), (qos, retain, 5));
            assert_eq!(will.topic().as_str(), "w/t");
            let later = Instant::now() + Duration::from_secs(1_000);
            let message = will.message(3, later);
            assert_eq!((message.topic(), message.payload(), message.publisher()), ("w/t", &b"gone"[..], 3));
            assert_eq!(message.expires_at(), Some(later + Duration::from_secs(10)));
            assert_eq!(message.properties().iter().collect::<Vec<_>>(), FORWARDED);
        }
    }
}

#[test]
fn mqtt_3_8_4_3_a_subscription_with_the_same_filter_is_replaced() {
    let subscription =
        |qos| Subscription { options: SubscriptionOptions::at(qos), identifier: Some(qos as u32 + 1) };
    let (first, second) = (subscription(QoS::AtMostOnce), subscription(QoS::ExactlyOnce));
    let mut session = Session::new();
    assert_eq!(session.subscribe("a/+", first), None);
    assert_eq!(session.subscribe("a/b", first), None);
    assert_eq!(session.subscribe("a/+", second), Some(first));
    assert_eq!((session.subscription("a/+"), session.subscription("a/b")), (Some(second), Some(first)));
    assert_eq!(session.subscriptions().len(), 2);
    // [MQTT-3.10.4-1]: filters are compared character by character, not by what they match.
    assert_eq!(session.unsubscribe("a/#"), None);
    assert_eq!(session.unsubscribe("a/+"), Some(second));
    assert_eq!(session.unsubscribe("a/+"), None);
    assert_eq!(session.subscriptions().collect::<Vec<_>>(), [("a/b", first)]);
}

// The same for UNSUBACK as for SUBACK: one reason per filter, in their order.
#[test]
fn mqtt_3_11_3_1_an_unsuback_has_one_reason_per_filter() {
    let given = [ReasonCode::Success, ReasonCode::NoSubscriptionExisted, ReasonCode::NotAuthorized];
    let reasons: ReasonCodesBuf = given.into_iter().collect();
    let mut out = Vec::new();
    a_broker(&[]).send_unsuback(id(9), reasons.as_reasons(), &mut out);
    let Packet::Unsuback(sent) = only(&out, Version::V5) else { panic!("no UNSUBACK") };
    assert_eq!((sent.packet_id, sent.reasons.iter().collect::<Vec<_>>()), (id(9), given.to_vec()));
}

// Acknowledgements carry a reason code and never a text, so it does not matter whether the client wants texts.
#[test]
fn mqtt_3_1_2_29_acknowledgements_have_no_texts() {
    for wanted in [false, true] {
        let mut protocol = a_broker(&[Property::RequestProblemInformation(wanted)]);
        assert_eq!(protocol.theirs().problem_information, wanted);
        for (qos, head) in [(QoS::AtLeastOnce, 0x40), (QoS::ExactlyOnce, 0x50)] {
            let packet = support::publish(qos, 1, "t", Properties::EMPTY);
            let received = protocol.receive(packet, Instant::now(), &mut Vec::new());
            let Ok(Received::Publish(publish)) = received else { panic!("no message: {received:?}") };
            let (ticket, mut out) = (publish.ticket(), Vec::new());
            protocol.answer_publish(ticket, ReasonCode::NotAuthorized, &mut out);
            assert_eq!(out, [head, 3, 0, 1, ReasonCode::NotAuthorized as u8]);
        }
    }
}

// The end of a session: what another member of a shared subscription may get ([MQTT-4.8.2-4]) is in here, in the order
// of sending; what the client has taken over is not.
#[test]
fn what_a_client_never_acknowledged_is_given_back_in_order() {
    let mut protocol = a_broker(&[]);
    let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce, QoS::ExactlyOnce, QoS::AtLeastOnce, QoS::AtLeastOnce];
    let mut ids = Vec::new();
    for (number, qos) in (0..).zip(qos) {
        let delivery = delivery("t", &[number], qos);
        ids.extend(protocol.deliver(delivery, Instant::now(), &mut Vec::new()).expect("it can be sent"));
    }
    let ack = |packet_id| Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
    answer_to(&mut protocol, Packet::Puback(ack(ids[0]))).expect("allowed");
    answer_to(&mut protocol, Packet::Pubrec(ack(ids[1]))).expect("allowed");
    let session = protocol.finish().session;
    assert_eq!(session.unacknowledged_len(), 4);
    let left = session.into_unacknowledged();
    let payloads: Vec<_> = left.iter().map(|delivery| delivery.message.payload()).collect();
    assert_eq!(payloads, [[2], [3], [4]]);
}

#[test]
fn every_reason_for_dropping_has_its_place_and_its_name() {
    let mut names = Vec::new();
    for (at, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), at);
        assert!(!names.contains(&reason.name()));
        names.push(reason.name());
    }
}
