//! One end alone: a test plays its peer.

use core::num::NonZeroU16;
use std::time::Instant;

use mqtt_codec::{
    Connack, Connect, Packet, PacketId, Properties, PropertiesBuf, Property, Publish, QoS, ReasonCode,
    Version, decode,
};
use mqtt_session::{Opening, OurLimits, Policy, Protocol, Received, Session, Violation};

pub(crate) fn block(properties: &[Property<'_>]) -> PropertiesBuf {
    let mut block = PropertiesBuf::new();
    for property in properties {
        block.push(property).expect("encodable");
    }
    block
}

pub(crate) fn connect(version: Version, properties: Properties<'_>) -> Connect<'_> {
    Connect {
        version,
        clean_start: false,
        keep_alive_s: 60,
        properties,
        client_id: "c",
        will: None,
        username: None,
        password: None,
    }
}

/// A broker's end whose client announced `properties`.
pub(crate) fn broker(version: Version, properties: &[Property<'_>], policy: &Policy) -> Protocol {
    let block = block(properties);
    let connect = connect(version, block.as_properties());
    let mut opening = Opening::accept(&connect, policy, || "x".into()).expect("admitted");
    Protocol::broker(&mut opening, policy, Session::new(), Instant::now())
}

/// A client's end whose server announced `properties`.
pub(crate) fn client(asked: &[Property<'_>], announced: &[Property<'_>], ours: OurLimits) -> Protocol {
    let asked = block(asked);
    let announced = block(announced);
    let connack = Connack {
        session_present: false,
        reason: ReasonCode::Success,
        properties: announced.as_properties(),
    };
    let connect = connect(Version::V5, asked.as_properties());
    Protocol::client(&connect, &connack, ours, NonZeroU16::MAX, Session::new(), Instant::now())
        .expect("no contradiction")
}

pub(crate) fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("not zero")
}

/// A PUBLISH to `t` at QoS 0 for `number` 0, else at `qos` under this identifier.
pub(crate) fn publish<'a>(qos: QoS, number: u16, topic: &'a str, properties: Properties<'a>) -> Packet<'a> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: PacketId::new(number),
        properties,
        payload: b"p",
    })
}

/// What one packet leads to when it succeeds without the application, as the bytes that are answered.
pub(crate) fn answer_to(protocol: &mut Protocol, packet: Packet<'_>) -> Result<Vec<u8>, Violation> {
    let mut out = Vec::new();
    let received = protocol.receive(packet, Instant::now(), &mut out)?;
    if let Received::Publish(publish) = received {
        let ticket = publish.ticket();
        protocol.answer_publish(ticket, ReasonCode::Success, &mut out);
    }
    Ok(out)
}

/// Why a packet is refused.
pub(crate) fn refusal(protocol: &mut Protocol, packet: Packet<'_>) -> ReasonCode {
    answer_to(protocol, packet).expect_err("it breaks a rule").reason
}

/// The one packet in a buffer.
pub(crate) fn only(bytes: &[u8], version: Version) -> Packet<'_> {
    decode(bytes, version).expect("one well-formed packet")
}
