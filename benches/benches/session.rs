//! The protocol without I/O: one message of 64 bytes, from being sent to its last acknowledgement.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;
use std::num::NonZeroU16;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{
    Ack, Connect, Framing, Packet, PacketId, Properties, QoS, ReasonCode, Version, decode, encode, frame,
};
use mqtt_session::{
    Delivery, Hop, Message, NO_PUBLISHER, Opening, OurLimits, PACKET_BYTES_MAX, Policy, Protocol, Received,
    Session,
};
use mqtt_topic::TopicName;

const ALL_QOS: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

/// A broker's and a client's protocol that have shaken hands, and what is on the wire between them.
struct Pair {
    broker: Protocol,
    client: Protocol,
    to_broker: Vec<u8>,
    to_client: Vec<u8>,
    now: Instant,
}

impl Pair {
    fn new(version: Version) -> Self {
        let now = Instant::now();
        let connect = Connect {
            version,
            clean_start: true,
            keep_alive_s: 60,
            properties: Properties::EMPTY,
            client_id: "client",
            will: None,
            username: None,
            password: None,
        };
        let policy = Policy::default();
        let mut opening = Opening::accept(&connect, &policy, || "assigned".into()).expect("admitted");
        let mut connack = Vec::new();
        opening.write_connack(&policy, false, None, &mut connack).expect("it fits");
        let broker = Protocol::broker(&mut opening, &policy, Session::new(), now);
        let Ok(Packet::Connack(connack)) = decode(&connack, version) else { panic!("a CONNACK") };
        let (limits, session) = (OurLimits::default(), Session::new());
        let client = Protocol::client(&connect, &connack, limits, NonZeroU16::MAX, session, now);
        let client = client.expect("the answer fits the question");
        Self { broker, client, to_broker: Vec::new(), to_client: Vec::new(), now }
    }

    /// Lets packets go to and fro until nothing is under way. Messages that arrived.
    fn settle(&mut self) -> usize {
        let mut arrived = 0;
        while !self.to_broker.is_empty() || !self.to_client.is_empty() {
            arrived += take(&mut self.broker, &mut self.to_broker, &mut self.to_client, self.now);
            arrived += take(&mut self.client, &mut self.to_client, &mut self.to_broker, self.now);
        }
        arrived
    }
}

/// Handles every packet of `input`; answers go to `output`.
fn take(protocol: &mut Protocol, input: &mut Vec<u8>, output: &mut Vec<u8>, now: Instant) -> usize {
    let mut rest = &input[..];
    let mut messages = 0;
    while let Ok(Framing::Complete { frame_len, .. }) = frame(rest, PACKET_BYTES_MAX) {
        let packet = decode(&rest[..frame_len], protocol.version()).expect("well formed");
        rest = &rest[frame_len..];
        let received = protocol.receive(packet, now, output).expect("within the rules");
        if let Received::Publish(publish) = received {
            black_box(publish.message(NO_PUBLISHER));
            let ticket = publish.ticket();
            protocol.answer_publish(ticket, ReasonCode::Success, output);
            messages += 1;
        }
    }
    input.clear();
    messages
}

fn delivery(qos: QoS) -> Delivery {
    let topic = TopicName::parse("plant/7/temperature").expect("a topic name");
    let message = Message::new(topic, Properties::EMPTY, &[b'x'; 64], NO_PUBLISHER, None);
    Delivery { hop: Hop::new(qos), message }
}

/// The sender's half alone: the acknowledgements are at hand.
fn deliver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/deliver");
    group.throughput(Throughput::Elements(1));
    for qos in ALL_QOS {
        let Pair { mut broker, now, .. } = Pair::new(Version::V5);
        let delivery = delivery(qos);
        let mut out = Vec::with_capacity(256);
        group.bench_function(format!("QoS {}", qos as u8), |bencher| {
            bencher.iter(|| {
                out.clear();
                let id = broker.deliver(black_box(delivery.clone()), now, &mut out).expect("it can be sent");
                for kind in acknowledgements(qos) {
                    let ack = Packet::from_ack(*kind, id.expect("above QoS 0"));
                    broker.receive(ack, now, &mut out).expect("within the rules");
                }
                out.len()
            });
        });
    }
    group.finish();
}

/// Which packets of the receiver complete a delivery.
fn acknowledgements(qos: QoS) -> &'static [Answer] {
    match qos {
        QoS::AtMostOnce => &[],
        QoS::AtLeastOnce => &[Answer::Puback],
        QoS::ExactlyOnce => &[Answer::Pubrec, Answer::Pubcomp],
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Puback,
    Pubrec,
    Pubcomp,
}

trait FromAck {
    fn from_ack(answer: Answer, packet_id: PacketId) -> Self;
}

impl FromAck for Packet<'_> {
    fn from_ack(answer: Answer, packet_id: PacketId) -> Self {
        let ack = Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY };
        match answer {
            Answer::Puback => Packet::Puback(ack),
            Answer::Pubrec => Packet::Pubrec(ack),
            Answer::Pubcomp => Packet::Pubcomp(ack),
        }
    }
}

/// Both halves: encoding, decoding, and every acknowledgement.
fn flow(criterion: &mut Criterion) {
    for version in [Version::V3_1_1, Version::V5] {
        let mut group = criterion.benchmark_group(format!("session/flow {version:?}"));
        group.throughput(Throughput::Elements(1));
        for qos in ALL_QOS {
            let delivery = delivery(qos);
            let mut pair = Pair::new(version);
            group.bench_function(format!("from broker to client, QoS {}", qos as u8), |bencher| {
                bencher.iter(|| {
                    let sent = pair.broker.deliver(delivery.clone(), pair.now, &mut pair.to_client);
                    sent.expect("it can be sent");
                    assert_eq!(pair.settle(), 1);
                });
            });
            let mut pair = Pair::new(version);
            group.bench_function(format!("from client to broker, QoS {}", qos as u8), |bencher| {
                bencher.iter(|| {
                    let sent = pair.client.deliver(delivery.clone(), pair.now, &mut pair.to_broker);
                    sent.expect("it can be sent");
                    assert_eq!(pair.settle(), 1);
                });
            });
        }
        group.finish();
    }
}

/// A connection that comes and goes: CONNECT read, judged and answered.
fn handshake(criterion: &mut Criterion) {
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::EMPTY,
        client_id: "client",
        will: None,
        username: None,
        password: None,
    };
    let mut bytes = Vec::new();
    encode(&Packet::Connect(connect), Version::V5, &mut bytes).expect("it can be encoded");
    let policy = Policy::default();
    let now = Instant::now();
    criterion.bench_function("session/handshake", |bencher| {
        bencher.iter(|| {
            let Ok(Packet::Connect(connect)) = decode(black_box(&bytes), Version::V5) else { unreachable!() };
            let mut opening = Opening::accept(&connect, &policy, || "assigned".into()).expect("admitted");
            let mut out = Vec::with_capacity(64);
            opening.write_connack(&policy, false, None, &mut out).expect("it fits");
            (Protocol::broker(&mut opening, &policy, Session::new(), now), out)
        });
    });
}

criterion_group!(benches, deliver, flow, handshake);
criterion_main!(benches);
