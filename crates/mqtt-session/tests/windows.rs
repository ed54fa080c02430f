//! Receive Maximum in both directions (section 4.9) and packet identifiers (section 2.2.1).

mod support;

use core::num::NonZeroU16;
use std::collections::HashSet;
use std::time::Instant;

use mqtt_codec::{
    Ack, Packet, Properties, Property, QoS, ReasonCode, ReasonCodesBuf, Suback, SubscribeFiltersBuf,
    SubscriptionOptions, Version,
};
use mqtt_session::{OurLimits, Policy, Protocol};
use support::{
    Link, Setup, Towards, answer_to, broker, client, delivery, id, numbered, only, publish, refusal,
};

fn receive_maximum(messages: u16) -> Property<'static> {
    Property::ReceiveMaximum(NonZeroU16::new(messages).expect("not zero"))
}

fn policy(messages: u16) -> Policy {
    let mut policy = Policy::default();
    policy.ours.receive_maximum = NonZeroU16::new(messages).expect("not zero");
    policy
}

fn ack(number: u16) -> Ack<'static> {
    Ack { packet_id: id(number), reason: ReasonCode::Success, properties: Properties::EMPTY }
}

fn deliver(protocol: &mut Protocol, qos: QoS) -> u16 {
    let sent = protocol.deliver(delivery("t", b"p", qos), Instant::now(), &mut Vec::new());
    sent.expect("it can be sent").expect("it has an identifier").get()
}

// [MQTT-4.9.0-2]: QoS 0, SUBSCRIBE and PINGREQ pass a closed window.
#[test]
fn mqtt_3_3_4_9_no_more_is_under_way_than_the_peer_takes() {
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut link = Link::open(Setup::of(Version::V5).receive_maximum(3));
        for towards in Towards::BOTH {
            link.send(towards, numbered(qos, 0..10));
            let sender = link.end(towards.back());
            assert_eq!((sender.wire.len(), sender.queue.len()), (3, 7));
            assert_eq!(sender.protocol().window_free(), 0);
            let passing = delivery("t", b"0000", QoS::AtMostOnce);
            let sent = sender.act(|protocol, out| protocol.deliver(passing, Instant::now(), out));
            assert_eq!(sent, Ok(None));
        }
        link.settle();
        assert_eq!((link.broker.got.len(), link.client.got.len()), (11, 11));
    }
}

// [MQTT-4.9.0-1]: the quota comes back with PUBACK, PUBCOMP, and a PUBREC of 0x80 or more; not with other PUBRECs.
#[test]
fn mqtt_4_9_0_1_the_quota_returns_with_the_last_acknowledgement() {
    let mut protocol = broker(Version::V5, &[receive_maximum(1)], &Policy::default());
    let first = deliver(&mut protocol, QoS::AtLeastOnce);
    assert_eq!(protocol.window_free(), 0);
    answer_to(&mut protocol, Packet::Puback(ack(first))).expect("allowed");
    assert_eq!(protocol.window_free(), 1);
    answer_to(&mut protocol, Packet::Puback(ack(first))).expect("a second one is let pass");
    assert_eq!(protocol.window_free(), 1);

    let second = deliver(&mut protocol, QoS::ExactlyOnce);
    answer_to(&mut protocol, Packet::Pubrec(ack(second))).expect("allowed");
    assert_eq!(protocol.window_free(), 0);
    answer_to(&mut protocol, Packet::Pubcomp(ack(second))).expect("allowed");
    assert_eq!(protocol.window_free(), 1);

    let third = deliver(&mut protocol, QoS::ExactlyOnce);
    let refused = Ack { reason: ReasonCode::QuotaExceeded, ..ack(third) };
    assert_eq!(answer_to(&mut protocol, Packet::Pubrec(refused)), Ok(Vec::new())); // [MQTT-4.3.3-4]: no PUBREL
    assert_eq!(protocol.window_free(), 1);
}

// [MQTT-3.3.4-7]: a peer that ignores our Receive Maximum is told so; 3.x has none.
#[test]
fn mqtt_3_3_4_7_more_than_our_receive_maximum_is_refused() {
    let mut protocol = broker(Version::V5, &[], &policy(2));
    for number in 1..=2 {
        let new = publish(QoS::ExactlyOnce, number, "t", Properties::EMPTY);
        answer_to(&mut protocol, new).expect("within the maximum");
    }
    // The same once more is no third message.
    answer_to(&mut protocol, publish(QoS::ExactlyOnce, 2, "t", Properties::EMPTY)).expect("known");
    answer_to(&mut protocol, publish(QoS::AtMostOnce, 0, "t", Properties::EMPTY)).expect("not counted");
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let reason = refusal(&mut protocol, publish(qos, 3, "t", Properties::EMPTY));
        assert_eq!(reason, ReasonCode::ReceiveMaximumExceeded);
    }
    answer_to(&mut protocol, Packet::Pubrel(ack(1))).expect("allowed");
    answer_to(&mut protocol, publish(QoS::AtLeastOnce, 3, "t", Properties::EMPTY)).expect("room again");

    let mut old = broker(Version::V3_1_1, &[], &policy(2));
    for number in 1..=100 {
        answer_to(&mut old, publish(QoS::ExactlyOnce, number, "t", Properties::EMPTY)).expect("no maximum");
    }
}

// Section 4.9: the quota is not preserved across connections, though the received identifiers are.
#[test]
fn mqtt_3_3_4_7_messages_of_an_earlier_connection_take_nothing_from_the_quota() {
    let mut protocol = broker(Version::V5, &[], &policy(1));
    answer_to(&mut protocol, publish(QoS::ExactlyOnce, 1, "t", Properties::EMPTY)).expect("the first");
    protocol.resume(Instant::now(), &mut Vec::new());
    answer_to(&mut protocol, publish(QoS::ExactlyOnce, 2, "t", Properties::EMPTY)).expect("a new quota");
    // Sent again, the old one takes its place in the new quota.
    let again = publish(QoS::ExactlyOnce, 1, "t", Properties::EMPTY);
    assert_eq!(refusal(&mut protocol, again), ReasonCode::ReceiveMaximumExceeded);
    answer_to(&mut protocol, Packet::Pubrel(ack(2))).expect("allowed");
    answer_to(&mut protocol, publish(QoS::ExactlyOnce, 1, "t", Properties::EMPTY)).expect("known");
    let released = answer_to(&mut protocol, Packet::Pubrel(ack(1))).expect("allowed");
    let Packet::Pubcomp(done) = only(&released, Version::V5) else { panic!("no PUBCOMP") };
    assert_eq!(done.reason, ReasonCode::Success);
}

// [MQTT-2.2.1-3], [MQTT3-2.3.1-1]: never zero. [MQTT-2.2.1-4], [MQTT3-2.3.1-2]: none that is in use.
#[test]
fn mqtt_2_2_1_4_identifiers_wrap_around_and_skip_those_in_use() {
    for version in Version::ALL {
        let setup = Setup::of(version);
        let mut protocol = broker(version, &[], &setup.policy);
        let stuck: HashSet<u16> = (0..10).map(|_| deliver(&mut protocol, QoS::AtLeastOnce)).collect();
        assert_eq!(stuck.len(), 10);
        for _ in 0..140_000_u32 {
            let next = deliver(&mut protocol, QoS::AtLeastOnce);
            assert!(next > 0 && !stuck.contains(&next));
            answer_to(&mut protocol, Packet::Puback(ack(next))).expect("allowed");
        }
    }
}

// [MQTT-2.2.1-4]: requests and messages share the identifiers, so the last message finds the window closed.
#[test]
fn mqtt_2_2_1_4_all_identifiers_are_given_once_and_then_the_window_is_closed() {
    let mut protocol = client(&[], &[], OurLimits::default());
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("t", SubscriptionOptions::default()).expect("short");
    let asked = protocol.send_subscribe(filters.as_filters(), Properties::EMPTY, &mut Vec::new());
    let asked = asked.expect("identifiers are free");
    let mut given = HashSet::from([asked.get()]);
    while protocol.window_free() > 0 {
        assert!(given.insert(deliver(&mut protocol, QoS::AtLeastOnce)), "given twice");
    }
    assert_eq!(given.len(), 65_535);
    assert_eq!(protocol.send_subscribe(filters.as_filters(), Properties::EMPTY, &mut Vec::new()), None);

    // All are kept over a new connection; those of messages are used again.
    let mut out = Vec::new();
    assert!(protocol.resume(Instant::now(), &mut out).is_empty());
    assert_eq!(support::split(&out).len(), 65_534);
    assert!(protocol.continue_resending(Instant::now(), &mut out).is_empty());
    assert!(!protocol.is_resending());
}

// [MQTT-2.2.1-6]: a SUBACK that answers nothing, or the wrong request, is no answer.
#[test]
fn mqtt_2_2_1_6_a_suback_needs_its_subscribe() {
    let mut reasons = ReasonCodesBuf::new();
    reasons.push(ReasonCode::GrantedQoS1);
    let suback = |number| {
        let (properties, reasons) = (Properties::EMPTY, reasons.as_reasons());
        Packet::Suback(Suback { packet_id: id(number), properties, reasons })
    };
    let mut protocol = client(&[], &[], OurLimits::default());
    assert_eq!(refusal(&mut protocol, suback(1)), ReasonCode::ProtocolError);
    let message = deliver(&mut protocol, QoS::AtLeastOnce);
    assert_eq!(refusal(&mut protocol, suback(message)), ReasonCode::ProtocolError);
    let mut filters = SubscribeFiltersBuf::new();
    filters.push("t", SubscriptionOptions::default()).expect("short");
    let asked = protocol.send_subscribe(filters.as_filters(), Properties::EMPTY, &mut Vec::new());
    let asked = asked.expect("identifiers are free").get();
    assert_eq!(answer_to(&mut protocol, suback(asked)), Ok(Vec::new()));
    assert_eq!(refusal(&mut protocol, suback(asked)), ReasonCode::ProtocolError);
}

// Invariant 10: an identifier is given when a message is sent; one that cannot be sent leaves no trace.
#[test]
fn invariant_10_nothing_is_rolled_back_for_messages_that_wait() {
    let mut link = Link::open(Setup::of(Version::V5).receive_maximum(2));
    link.send(Towards::Client, numbered(QoS::AtLeastOnce, 0..10));
    assert_eq!(link.broker.protocol().session().unacknowledged_len(), 2);
    link.cut();
    let session = link.broker.session.as_ref().expect("kept");
    assert_eq!((session.unacknowledged_len(), link.broker.queue.len()), (2, 8));
}
