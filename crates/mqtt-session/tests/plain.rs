//! The short way for plain packets leads to what the long way leads to.

mod support;

use core::num::NonZeroU16;
use std::time::Instant;

use mqtt_codec::{Packet, PlainAck, PlainPublish, Properties, Publish, QoS, ReasonCode, Version, encode};
use mqtt_session::{BatchBuilder, InboundPublish, Layout, Policy, Protocol, Violation};
use mqtt_topic::TopicName;
use proptest::collection::vec;
use proptest::prelude::{Strategy, prop_oneof, proptest};
use proptest::sample::select;
use support::{answer_to, broker, id, publish};

/// A few identifiers, so that they meet again.
fn packets() -> impl Strategy<Value = Packet<'static>> {
    let ack = |number| mqtt_codec::Ack::success(id(number));
    prop_oneof![
        (1_u16..6).prop_map(|number| publish(QoS::AtLeastOnce, number, "t", Properties::EMPTY)),
        (1_u16..6).prop_map(|number| publish(QoS::ExactlyOnce, number, "t", Properties::EMPTY)),
        (1_u16..6).prop_map(move |number| Packet::Pubrel(ack(number))),
        (1_u16..9).prop_map(move |number| Packet::Puback(ack(number))),
        (1_u16..9).prop_map(move |number| Packet::Pubrec(ack(number))),
        (1_u16..9).prop_map(move |number| Packet::Pubcomp(ack(number))),
        select(vec![publish(QoS::AtMostOnce, 0, "t", Properties::EMPTY)]),
    ]
}

fn encoded(packet: &Packet<'_>, version: Version) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("encodable");
    bytes
}

/// The short way where it leads, the long one otherwise.
fn shortly(protocol: &mut Protocol, packet: Packet<'_>, version: Version) -> Result<Vec<u8>, Violation> {
    let bytes = encoded(&packet, version);
    let (now, mut out) = (Instant::now(), Vec::new());
    if let Some(plain) = PlainPublish::read(&bytes, "t", version) {
        if let Some(ticket) = protocol.receive_plain(&plain, now, &mut out)? {
            protocol.answer_publish(ticket, ReasonCode::Success, &mut out);
        }
        return Ok(out);
    }
    let ack = PlainAck::read(&bytes).expect("the packets are plain");
    if protocol.receive_plain_ack(ack, now, &mut out) { Ok(out) } else { answer_to(protocol, packet) }
}

/// A broker's end with two batches under way: 1 to 3 at QoS 1, and 4 to 6 at QoS 2.
fn with_batches(version: Version) -> Protocol {
    let mut policy = Policy::default();
    policy.ours.receive_maximum = NonZeroU16::new(4).expect("not zero");
    let mut protocol = broker(version, &[], &policy);
    for qos in [QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let mut builder = BatchBuilder::new(Layout::of(version), qos);
        let plain = PlainPublish { qos, packet_id: Some(id(1)), payload: b"p" };
        let publish = InboundPublish::plain(&plain, TopicName::parse("t").expect("a topic name"));
        (0..3).for_each(|_| builder.push(&publish));
        let batch = builder.finish(1).expect("not empty");
        assert!(protocol.deliver_batch(&batch, &mut Vec::new()));
    }
    protocol
}

proptest! {
    #[test]
    fn whatever_comes_is_answered_the_same_on_both_ways(
        packets in vec(packets(), 1..60),
        version in select(&Version::ALL[..]),
    ) {
        let (mut long, mut short) = (with_batches(version), with_batches(version));
        for packet in packets {
            let answer = answer_to(&mut long, packet.clone());
            assert_eq!(shortly(&mut short, packet.clone(), version), answer, "{packet:?}");
            assert_eq!(short.window_free(), long.window_free(), "{packet:?}");
            if answer.is_err() {
                break;
            }
        }
    }
}

#[test]
fn a_batch_of_messages_as_they_arrived_is_one_of_encoded_messages() {
    for version in Version::ALL {
        for arrived in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
            for granted in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
                for layout in [Layout::Plain, Layout::WithProperties] {
                    check_builder(version, arrived, granted.min(arrived), layout);
                }
            }
        }
    }
}

fn check_builder(version: Version, arrived: QoS, granted: QoS, layout: Layout) {
    let topic = TopicName::parse("t").expect("a topic name");
    let [mut as_arrived, mut encoded_anew] = [(); 2].map(|()| BatchBuilder::new(layout, granted));
    for number in 1..5 {
        let packet_id = Some(id(number)).filter(|_| arrived > QoS::AtMostOnce);
        let payload = vec![b'x'; usize::from(number) * 70];
        let (dup, retain, properties) = (false, false, Properties::EMPTY);
        let packet =
            Publish { dup, qos: arrived, retain, topic: "t", packet_id, properties, payload: &payload };
        let bytes = encoded(&Packet::Publish(packet), version);
        let plain = PlainPublish::read(&bytes, "t", version).expect("it is plain");
        let publish = InboundPublish::plain(&plain, topic);
        as_arrived.push_plain(&bytes, Layout::of(version), &publish);
        encoded_anew.push(&publish);
    }
    let [as_arrived, encoded_anew] =
        [as_arrived, encoded_anew].map(|mut builder| builder.finish(1).expect("some"));
    assert_eq!(as_arrived.payload_bytes(), encoded_anew.payload_bytes());
    assert_eq!(as_arrived.longest_bytes(), encoded_anew.longest_bytes());
    assert!(as_arrived.deliveries().eq(encoded_anew.deliveries()));

    let receiver = match layout {
        Layout::Plain => Version::V3_1_1,
        Layout::WithProperties => Version::V5,
    };
    let sent = [as_arrived, encoded_anew].map(|batch| {
        let mut out = Vec::new();
        assert!(broker(receiver, &[], &Policy::default()).deliver_batch(&batch, &mut out));
        out
    });
    assert_eq!(sent[0], sent[1]);
}
