//! Framing, decoding and encoding of the packets that carry the load, and of those that are longest to check.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_codec::{
    Ack, Connect, Packet, PacketId, Properties, PropertiesBuf, Property, Publish, QoS, SubscribeFiltersBuf,
    SubscriptionOptions, Version, Will, decode, encode, encoded_len, frame,
};

const PAYLOAD: [u8; 64] = [b'x'; 64];
const TOPIC: &str = "plant/7/temp";

fn publish(qos: QoS, properties: Properties<'_>) -> Packet<'_> {
    let packet_id = (qos != QoS::AtMostOnce).then_some(PacketId::MIN);
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        packet_id,
        properties,
        payload: &PAYLOAD,
    })
}

fn message_properties() -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    for property in [
        Property::MessageExpiryInterval(3_600),
        Property::ContentType("application/json"),
        Property::ResponseTopic("reply/4711"),
        Property::CorrelationData(b"12345678"),
        Property::UserProperty("site", "north"),
    ] {
        properties.push(&property).expect("short values fit");
    }
    properties
}

fn connect_properties() -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    for property in [Property::SessionExpiryInterval(3_600), Property::TopicAliasMaximum(10)] {
        properties.push(&property).expect("numbers fit");
    }
    properties
}

fn connect(version: Version, properties: Properties<'_>) -> Packet<'_> {
    Packet::Connect(Connect {
        version,
        clean_start: false,
        keep_alive_s: 60,
        properties,
        client_id: "sensor-0000004711",
        will: Some(Will {
            qos: QoS::AtLeastOnce,
            retain: true,
            properties: Properties::EMPTY,
            topic: "plant/7/state",
            payload: b"gone",
        }),
        username: Some("plant"),
        password: Some(b"a fairly long password"),
    })
}

/// Measures both directions of one packet.
fn both_ways(criterion: &mut Criterion, name: &str, version: Version, packet: &Packet<'_>) {
    let mut bytes = Vec::new();
    encode(packet, version, &mut bytes).expect("the benched packets are valid");
    assert_eq!(decode(&bytes, version).as_ref(), Ok(packet));

    let mut group = criterion.benchmark_group(format!("{name}/v{version}"));
    group.throughput(Throughput::Bytes(bytes.len() as u64));
    group.bench_function("decode", |bencher| bencher.iter(|| decode(black_box(&bytes), black_box(version))));
    let mut out = Vec::with_capacity(bytes.len());
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(black_box(packet), black_box(version), black_box(&mut out))
        });
    });
    group.finish();
}

fn publishes(criterion: &mut Criterion) {
    for version in [Version::V3_1_1, Version::V5] {
        both_ways(criterion, "publish 64 B qos 0", version, &publish(QoS::AtMostOnce, Properties::EMPTY));
        both_ways(criterion, "publish 64 B qos 1", version, &publish(QoS::AtLeastOnce, Properties::EMPTY));
    }
    let properties = message_properties();
    let packet = publish(QoS::AtLeastOnce, properties.as_properties());
    both_ways(criterion, "publish 64 B qos 1, 5 properties", Version::V5, &packet);
}

fn others(criterion: &mut Criterion) {
    both_ways(criterion, "puback", Version::V5, &Packet::Puback(Ack::success(PacketId::MIN)));
    both_ways(criterion, "connect", Version::V3_1_1, &connect(Version::V3_1_1, Properties::EMPTY));
    let properties = connect_properties();
    both_ways(criterion, "connect", Version::V5, &connect(Version::V5, properties.as_properties()));

    let mut filters = SubscribeFiltersBuf::new();
    for filter in ["plant/+/temp", "plant/7/#", "$share/workers/orders/#", "site/north/alarm"] {
        filters.push(filter, SubscriptionOptions::at(QoS::AtLeastOnce)).expect("short filters fit");
    }
    let subscribe = mqtt_codec::Subscribe {
        packet_id: PacketId::MIN,
        properties: Properties::EMPTY,
        filters: filters.as_filters(),
    };
    both_ways(criterion, "subscribe, 4 filters", Version::V5, &Packet::Subscribe(subscribe));
}

fn framing(criterion: &mut Criterion) {
    let mut stream = Vec::new();
    let packet = publish(QoS::AtMostOnce, Properties::EMPTY);
    while stream.len() < 16 * 1024 {
        encode(&packet, Version::V5, &mut stream).expect("the benched packets are valid");
    }
    let mut group = criterion.benchmark_group("frame");
    group.bench_function("one packet", |bencher| {
        bencher.iter(|| frame(black_box(&stream), black_box(1 << 20)))
    });
    group.bench_function("missing bytes", |bencher| {
        bencher.iter(|| frame(black_box(&stream[..40]), black_box(1 << 20)));
    });
    group.finish();
}

fn measuring(criterion: &mut Criterion) {
    let packet = publish(QoS::AtLeastOnce, Properties::EMPTY);
    criterion.bench_function("encoded_len/publish 64 B qos 1", |bencher| {
        bencher.iter(|| encoded_len(black_box(&packet), black_box(Version::V5)));
    });
}

criterion_group!(benches, publishes, others, framing, measuring);
criterion_main!(benches);
