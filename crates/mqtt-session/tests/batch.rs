//! Batches: the same messages as one by one, in fewer steps.

use std::time::Instant;

use mqtt_codec::{
    Connect, Packet, Properties, PropertiesBuf, Property, Publish, QoS, Version, decode, encode,
};
use mqtt_session::{
    Batch, BatchBuilder, Delivery, Hop, Layout, Opening, Policy, Protocol, Received, Session, is_batchable,
};

fn protocol(version: Version, properties: &[Property<'_>], policy: &Policy) -> Protocol {
    let block = block(properties);
    let connect = Connect {
        version,
        clean_start: true,
        keep_alive_s: 0,
        properties: block.as_properties(),
        client_id: "c",
        will: None,
        username: None,
        password: None,
    };
    let mut opening = Opening::accept(&connect, policy, || "x".into()).expect("admitted");
    Protocol::broker(&mut opening, policy, Session::new(), Instant::now())
}

fn block(properties: &[Property<'_>]) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    for property in properties {
        block.push(property).expect("encodable");
    }
    block
}

fn encoded(publish: Publish<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&Packet::Publish(publish), Version::V5, &mut bytes).expect("encodable");
    bytes
}

fn qos0<'a>(topic: &'a str, properties: Properties<'a>, payload: &'a [u8]) -> Publish<'a> {
    Publish { dup: false, qos: QoS::AtMostOnce, retain: false, topic, packet_id: None, properties, payload }
}

/// What a publisher's messages become, in a batch and one by one.
fn collect(publishes: &[Publish<'_>], layout: Layout) -> (Batch, Vec<Delivery>) {
    let mut publisher = protocol(Version::V5, &[], &Policy::default());
    let mut builder = BatchBuilder::new(layout);
    let mut singly = Vec::new();
    for publish in publishes {
        let bytes = encoded(*publish);
        let packet = decode(&bytes, Version::V5).expect("valid");
        let received = publisher.receive(packet, Instant::now(), &mut Vec::new()).expect("allowed");
        let Received::Publish(inbound) = received else { panic!("not a message") };
        assert!(is_batchable(&inbound));
        builder.push(&inbound);
        singly.push(Delivery { hop: Hop::new(QoS::AtMostOnce), message: inbound.message(7) });
    }
    (builder.finish(7).expect("not empty"), singly)
}

#[test]
fn a_batch_is_byte_for_byte_what_single_deliveries_are() {
    let properties = block(&[Property::UserProperty("k", "v"), Property::ContentType("text")]);
    let publishes = [
        qos0("a/b", Properties::EMPTY, b"one"),
        qos0("a/b", properties.as_properties(), b""),
        qos0("c", Properties::EMPTY, &[7; 300]),
    ];
    for version in [Version::V3_1, Version::V3_1_1, Version::V5] {
        let (batch, singly) = collect(&publishes, Layout::of(version));
        let mut receiver = protocol(version, &[], &Policy::default());
        let (mut in_batch, mut one_by_one) = (Vec::new(), Vec::new());
        assert!(receiver.deliver_batch(&batch, &mut in_batch));
        for delivery in singly {
            receiver.deliver(delivery, Instant::now(), &mut one_by_one).expect("sent");
        }
        assert_eq!(in_batch, one_by_one, "{version:?}");
        assert_eq!((batch.messages(), batch.payload_bytes()), (3, 303));
    }
}

#[test]
fn a_batch_taken_apart_gives_the_same_messages() {
    let properties = block(&[Property::UserProperty("k", "v")]);
    let publishes = [qos0("a", properties.as_properties(), b"1"), qos0("b", Properties::EMPTY, b"2")];
    let (batch, singly) = collect(&publishes, Layout::WithProperties);
    let apart: Vec<Delivery> = batch.deliveries().collect();
    assert_eq!(apart, singly);
    assert!(apart.iter().all(|delivery| delivery.message.publisher() == 7));
}

/// [MQTT-3.1.2-24] [MQTT-3.1.2-26]: who takes only small packets or is given aliases gets its own bytes.
#[test]
fn mqtt_3_1_2_24_a_batch_goes_only_to_receivers_that_it_suits() {
    let (batch, _) = collect(&[qos0("a", Properties::EMPTY, &[0; 100])], Layout::WithProperties);
    let size = Property::MaximumPacketSize(64.try_into().expect("not zero"));
    let aliases = Property::TopicAliasMaximum(5);
    let usual = Policy::default();
    let without_aliases = Policy { topic_alias_assign_max: 0, ..Policy::default() };
    let cases = [
        (protocol(Version::V5, &[], &usual), true),
        (protocol(Version::V3_1_1, &[], &usual), false),
        (protocol(Version::V5, &[size], &usual), false),
        (protocol(Version::V5, &[aliases], &usual), false),
        (protocol(Version::V5, &[Property::TopicAliasMaximum(5)], &without_aliases), true),
    ];
    for (number, (mut receiver, suits)) in cases.into_iter().enumerate() {
        let mut out = Vec::new();
        assert_eq!(receiver.deliver_batch(&batch, &mut out), suits, "case {number}");
        assert_eq!(!out.is_empty(), suits, "case {number}");
    }
}

#[test]
fn messages_that_differ_between_receivers_are_not_batchable() {
    let mut publisher = protocol(Version::V5, &[], &Policy::default());
    let expiring = block(&[Property::MessageExpiryInterval(5)]);
    let aliased = block(&[Property::TopicAlias(1.try_into().expect("not zero"))]);
    let plain = || qos0("a", Properties::EMPTY, b"1");
    let id = Some(1.try_into().expect("not zero"));
    let cases = [
        qos0("a", expiring.as_properties(), b"1"),
        qos0("a", aliased.as_properties(), b"1"),
        Publish { retain: true, ..plain() },
        Publish { qos: QoS::AtLeastOnce, packet_id: id, ..plain() },
    ];
    for publish in cases {
        let bytes = encoded(publish);
        let packet = decode(&bytes, Version::V5).expect("valid");
        let received = publisher.receive(packet, Instant::now(), &mut Vec::new()).expect("allowed");
        let Received::Publish(inbound) = received else { panic!("not a message") };
        assert!(!is_batchable(&inbound), "{inbound:?}");
    }
}
