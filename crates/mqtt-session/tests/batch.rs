//! Batches: the same messages as one by one, in fewer steps.

use std::time::Instant;

use mqtt_codec::{
    Ack, Connect, Framing, Packet, Properties, PropertiesBuf, Property, Publish, QoS, ReasonCode, Version,
    decode, encode, frame,
};
use mqtt_session::{
    Batch, BatchBuilder, Completed, Delivery, Hop, Layout, Opening, Policy, Protocol, Received, Session,
    is_batchable,
};

fn protocol(version: Version, properties: &[Property<'_>], policy: &Policy) -> Protocol {
    with_session(version, properties, policy, Session::new())
}

fn resumed(session: Session) -> Protocol {
    with_session(Version::V5, &[], &Policy::default(), session)
}

fn with_session(
    version: Version,
    properties: &[Property<'_>],
    policy: &Policy,
    session: Session,
) -> Protocol {
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
    Protocol::broker(&mut opening, policy, session, Instant::now())
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

/// What a publisher's messages become at QoS 0, in a batch and one by one.
fn collect(publishes: &[Publish<'_>], layout: Layout) -> (Batch, Vec<Delivery>) {
    collect_for(publishes, layout, QoS::AtMostOnce)
}

/// The same for receivers that get them at this quality of service.
fn collect_for(publishes: &[Publish<'_>], layout: Layout, qos: QoS) -> (Batch, Vec<Delivery>) {
    let mut publisher = protocol(Version::V5, &[], &Policy::default());
    let mut builder = BatchBuilder::new(layout, qos);
    let mut singly = Vec::new();
    for publish in publishes {
        let bytes = encoded(*publish);
        let packet = decode(&bytes, Version::V5).expect("valid");
        let received = publisher.receive(packet, Instant::now(), &mut Vec::new()).expect("allowed");
        let Received::Publish(inbound) = received else { panic!("not a message") };
        assert!(is_batchable(&inbound));
        builder.push(&inbound);
        singly.push(Delivery { hop: Hop::new(qos), message: inbound.message(7) });
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
    let cases = [
        qos0("a", expiring.as_properties(), b"1"),
        qos0("a", aliased.as_properties(), b"1"),
        Publish { retain: true, ..plain() },
    ];
    for publish in cases {
        let bytes = encoded(publish);
        let packet = decode(&bytes, Version::V5).expect("valid");
        let received = publisher.receive(packet, Instant::now(), &mut Vec::new()).expect("allowed");
        let Received::Publish(inbound) = received else { panic!("not a message") };
        assert!(!is_batchable(&inbound), "{inbound:?}");
    }
}

const ABOVE_QOS_0: [QoS; 2] = [QoS::AtLeastOnce, QoS::ExactlyOnce];

/// So many messages that tell their number, in a batch and one by one.
fn numbered(messages: u8, qos: QoS) -> (Batch, Vec<Delivery>) {
    let payloads: Vec<[u8; 1]> = (1..=messages).map(|number| [number]).collect();
    let publishes: Vec<Publish<'_>> =
        payloads.iter().map(|payload| qos0("a/b", Properties::EMPTY, payload)).collect();
    collect_for(&publishes, Layout::WithProperties, qos)
}

fn client() -> Protocol {
    protocol(Version::V5, &[], &Policy::default())
}

/// Sends a batch and returns what was written.
fn sent(protocol: &mut Protocol, messages: u8, qos: QoS) -> Vec<u8> {
    let mut out = Vec::new();
    assert!(protocol.deliver_batch(&numbered(messages, qos).0, &mut out));
    out
}

fn answer(
    protocol: &mut Protocol,
    kind: fn(Ack<'static>) -> Packet<'static>,
    id: u16,
    reason: ReasonCode,
) -> Option<Completed> {
    let packet_id = id.try_into().expect("not zero");
    let ack = kind(Ack { packet_id, reason, properties: Properties::EMPTY });
    match protocol.receive(ack, Instant::now(), &mut Vec::new()).expect("allowed") {
        Received::Completed(completed) => Some(completed),
        _ => None,
    }
}

/// Payloads and DUP flags of all PUBLISH packets.
fn publishes_in(mut bytes: &[u8]) -> Vec<(u8, bool)> {
    let mut found = Vec::new();
    while let Ok(Framing::Complete { frame_len, .. }) = frame(bytes, u32::MAX) {
        if let Ok(Packet::Publish(publish)) = decode(&bytes[..frame_len], Version::V5) {
            found.push((publish.payload[0], publish.dup));
        }
        bytes = &bytes[frame_len..];
    }
    found
}

#[test]
fn a_batch_above_qos_0_is_byte_for_byte_what_single_deliveries_are() {
    for qos in ABOVE_QOS_0 {
        let (batch, singly) = numbered(5, qos);
        let (mut receiver, mut other) = (client(), client());
        let (mut in_batch, mut one_by_one) = (Vec::new(), Vec::new());
        assert!(receiver.deliver_batch(&batch, &mut in_batch));
        for delivery in singly {
            other.deliver(delivery, Instant::now(), &mut one_by_one).expect("sent");
        }
        assert_eq!(in_batch, one_by_one);
        assert_eq!(receiver.window_free(), other.window_free());
    }
}

/// [MQTT-4.9.0-2]: the front of a batch uses up what the window lets pass, and the rest waits.
#[test]
fn mqtt_4_9_0_2_a_batch_is_sent_in_parts_as_the_window_opens() {
    let (mut batch, singly) = numbered(5, QoS::AtLeastOnce);
    let front = batch.split_front(2);
    assert_eq!((front.messages(), front.payload_bytes()), (2, 2));
    assert_eq!((batch.messages(), batch.payload_bytes()), (3, 3));
    let both: Vec<Delivery> = front.deliveries().chain(batch.deliveries()).collect();
    assert_eq!(both, singly);
}

/// [MQTT-4.6.0-2]: in the order of the messages, each acknowledgement makes room for one.
#[test]
fn mqtt_4_6_0_2_acknowledgements_in_order_open_the_window() {
    let mut receiver = client();
    let window = receiver.window_free();
    sent(&mut receiver, 3, QoS::AtLeastOnce);
    sent(&mut receiver, 2, QoS::ExactlyOnce);
    assert_eq!(receiver.window_free(), window - 5);
    for id in [1, 2, 3] {
        assert!(answer(&mut receiver, Packet::Puback, id, ReasonCode::Success).is_some());
    }
    for id in [4, 5] {
        assert!(answer(&mut receiver, Packet::Pubrec, id, ReasonCode::Success).is_none());
    }
    assert_eq!(receiver.window_free(), window - 2, "a PUBREC opens nothing");
    for id in [4, 5] {
        assert!(answer(&mut receiver, Packet::Pubcomp, id, ReasonCode::Success).is_some());
    }
    assert_eq!((receiver.window_free(), receiver.session().unacknowledged_len()), (window, 0));
}

#[test]
fn acknowledgements_out_of_order_and_repeated_ones_are_taken_too() {
    for qos in ABOVE_QOS_0 {
        let mut receiver = client();
        let window = receiver.window_free();
        sent(&mut receiver, 4, qos);
        for id in [2, 2, 4, 1, 1, 3, 3] {
            if qos == QoS::AtLeastOnce {
                answer(&mut receiver, Packet::Puback, id, ReasonCode::Success);
            } else {
                answer(&mut receiver, Packet::Pubrec, id, ReasonCode::Success);
            }
        }
        for id in [3, 1, 1, 4, 2] {
            if qos == QoS::ExactlyOnce {
                answer(&mut receiver, Packet::Pubcomp, id, ReasonCode::Success);
            }
        }
        assert_eq!((receiver.window_free(), receiver.session().unacknowledged_len()), (window, 0), "{qos:?}");
    }
}

#[test]
fn a_refusal_gives_the_message_of_a_batch_back() {
    type Kind = fn(Ack<'static>) -> Packet<'static>;
    let refusals: [(QoS, Kind); 2] = [(QoS::AtLeastOnce, Packet::Puback), (QoS::ExactlyOnce, Packet::Pubrec)];
    for (qos, kind) in refusals {
        let mut receiver = client();
        sent(&mut receiver, 3, qos);
        let refused = answer(&mut receiver, kind, 1, ReasonCode::QuotaExceeded).expect("it ends");
        assert_eq!(refused.delivery.expect("it is known").message.payload(), [1]);
        assert_eq!(receiver.session().unacknowledged_len(), 2);
    }
}

/// [MQTT-4.4.0-1], [MQTT-4.6.0-1]: what was not acknowledged goes out again in its order, PUBRELs first.
#[test]
fn mqtt_4_4_0_1_what_is_left_of_batches_is_sent_again_in_order() {
    for taken_apart in [false, true] {
        let mut first = client();
        sent(&mut first, 3, QoS::AtLeastOnce);
        sent(&mut first, 3, QoS::ExactlyOnce);
        answer(&mut first, Packet::Puback, 1, ReasonCode::Success);
        if taken_apart {
            answer(&mut first, Packet::Puback, 3, ReasonCode::Success);
        }
        answer(&mut first, Packet::Pubrec, 4, ReasonCode::Success);
        answer(&mut first, Packet::Pubrec, 5, ReasonCode::Success);
        let session = first.finish().session;
        let mut second = resumed(session);
        let mut out = Vec::new();
        assert!(second.resume(Instant::now(), &mut out).is_empty());
        assert_eq!(out[..8], [0x62, 2, 0, 4, 0x62, 2, 0, 5]);
        let expected: &[u8] = if taken_apart { &[2, 3] } else { &[2, 3, 3] };
        let again = publishes_in(&out);
        assert!(again.iter().all(|(_, dup)| *dup));
        assert_eq!(again.iter().map(|(payload, _)| *payload).collect::<Vec<_>>(), expected);
    }
}

/// The identifiers of batches, of single messages and of repetitions never collide ([MQTT-2.2.1-3]).
#[test]
fn mqtt_2_2_1_3_identifiers_in_use_are_not_given_again() {
    let policy = Policy { inflight_max: 60_000.try_into().expect("not zero"), ..Policy::default() };
    let mut receiver = protocol(Version::V5, &[], &policy);
    let mut in_use = std::collections::BTreeSet::new();
    for round in 0_u32..4000 {
        let mut out = Vec::new();
        let (batch, singly) = numbered(20, QoS::AtLeastOnce);
        if round % 3 == 0 || !receiver.deliver_batch(&batch, &mut out) {
            for delivery in singly {
                receiver.deliver(delivery, Instant::now(), &mut out).expect("sent");
            }
        }
        let given = ids_in(&out);
        assert_eq!(given.len(), 20);
        // One of each twenty stays for long, so that the numbers wrap around something.
        for (place, id) in (0_u32..).zip(given) {
            assert!(in_use.insert(id), "{id} is in use");
            if place != round % 20 || round > 1000 {
                answer(&mut receiver, Packet::Puback, id, ReasonCode::Success);
                in_use.remove(&id);
            }
        }
        assert_eq!(receiver.session().unacknowledged_len(), in_use.len());
    }
}

fn ids_in(mut bytes: &[u8]) -> Vec<u16> {
    let mut found = Vec::new();
    while let Ok(Framing::Complete { frame_len, .. }) = frame(bytes, u32::MAX) {
        if let Ok(Packet::Publish(publish)) = decode(&bytes[..frame_len], Version::V5) {
            found.extend(publish.packet_id.map(|id| id.get()));
        }
        bytes = &bytes[frame_len..];
    }
    found
}

#[test]
fn the_messages_of_a_batch_stand_next_to_each_other_however_it_is_taken_apart() {
    let mut batch = numbered(5, QoS::AtLeastOnce).0.at_place(40);
    let front = batch.split_front(2);
    let places = |batch: &Batch| batch.deliveries().map(|delivery| delivery.hop.place).collect::<Vec<_>>();
    assert_eq!((front.place(), places(&front)), (40, vec![40, 41]));
    assert_eq!((batch.place(), places(&batch)), (42, vec![42, 43, 44]));
    let mut unkept = numbered(3, QoS::AtLeastOnce).0;
    assert_eq!((places(&unkept.split_front(1)), places(&unkept)), (vec![0], vec![0, 0]));
}
