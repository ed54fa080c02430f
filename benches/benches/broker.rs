//! A whole broker over pipes in memory: messages of 64 bytes from a publisher to its subscribers, per delivery.
#![allow(missing_docs, reason = "criterion's macros make undocumented functions")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mqtt_broker::{Broker, Peer, Settings};
use mqtt_codec::{
    Ack, Connect, Framing, Packet, PacketId, Properties, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFiltersBuf, SubscriptionOptions, Version, decode, encode, frame,
};
use mqtt_transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const TOPIC: &str = "plant/7/temperature";
const PIPE_BYTES: usize = 64 << 10;
/// Messages that a publisher at QoS 1 has under way; the broker takes 1,024.
const WINDOW: u64 = 500;
/// Messages written at a time.
const CHUNK: u64 = 100;

/// A client that knows no more than these benches need.
struct Client {
    stream: DuplexStream,
    /// Bytes that came and were not looked at yet.
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl Client {
    async fn connect(broker: &Broker, client_id: &str) -> Self {
        let (near, far) = tokio::io::duplex(PIPE_BYTES);
        broker.attach(Connection::boxed(far), Peer::anonymous());
        let mut client = Self { stream: near, rest: Vec::new(), out: Vec::new() };
        client.put(&Packet::Connect(Connect {
            version: Version::V5,
            clean_start: true,
            keep_alive_s: 0,
            properties: Properties::EMPTY,
            client_id,
            will: None,
            username: None,
            password: None,
        }));
        client.flush().await;
        client.read_until(1, |packet| u64::from(matches!(packet, Packet::Connack(_)))).await;
        client
    }

    async fn subscribe(&mut self, qos: QoS) {
        let mut filters = SubscribeFiltersBuf::new();
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        filters.push(TOPIC, options).expect("a filter");
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        self.put(&Packet::Subscribe(Subscribe { packet_id, properties, filters: filters.as_filters() }));
        self.flush().await;
        self.read_until(1, |packet| u64::from(matches!(packet, Packet::Suback(_)))).await;
    }

    fn put(&mut self, packet: &Packet<'_>) {
        encode(packet, Version::V5, &mut self.out).expect("it can be encoded");
    }

    async fn flush(&mut self) {
        self.stream.write_all(&self.out).await.expect("the broker reads");
        self.out.clear();
    }

    /// Reads packets until `count` has added up to this number; messages above QoS 0 are acknowledged.
    async fn read_until(&mut self, number: u64, count: impl Fn(&Packet<'_>) -> u64) {
        let mut counted = 0;
        while counted < number {
            let read = self.stream.read_buf(&mut self.rest).await.expect("the broker writes");
            assert!(read > 0, "the broker has gone");
            let mut used = 0;
            while let Ok(Framing::Complete { frame_len, .. }) = frame(&self.rest[used..], u32::MAX) {
                let packet = decode(&self.rest[used..used + frame_len], Version::V5).expect("well formed");
                used += frame_len;
                counted += count(&packet);
                if let Packet::Publish(Publish { packet_id: Some(packet_id), .. }) = packet {
                    let (reason, properties) = (ReasonCode::Success, Properties::EMPTY);
                    let ack = Packet::Puback(Ack { packet_id, reason, properties });
                    encode(&ack, Version::V5, &mut self.out).expect("it can be encoded");
                }
            }
            self.rest.drain(..used);
            if !self.out.is_empty() {
                self.flush().await;
            }
        }
    }

    async fn receive(&mut self, messages: u64) {
        self.read_until(messages, |packet| u64::from(matches!(packet, Packet::Publish(_)))).await;
    }

    /// Publishes so many messages; at QoS 1 until all have been acknowledged.
    async fn publish(&mut self, messages: u64, qos: QoS) {
        let mut under_way = 0;
        let mut sent = 0;
        while sent < messages {
            let chunk = CHUNK.min(messages - sent);
            for _ in 0..chunk {
                sent += 1;
                let packet_id = u16::try_from(sent % 60_000 + 1).ok().and_then(PacketId::new);
                self.put(&Packet::Publish(Publish {
                    dup: false,
                    qos,
                    retain: false,
                    topic: TOPIC,
                    packet_id: packet_id.filter(|_| qos > QoS::AtMostOnce),
                    properties: Properties::EMPTY,
                    payload: &[b'x'; 64],
                }));
            }
            self.flush().await;
            if qos > QoS::AtMostOnce {
                under_way += chunk;
                let too_many = under_way.saturating_sub(WINDOW);
                self.acknowledged(too_many).await;
                under_way -= too_many;
            }
        }
        self.acknowledged(under_way).await;
    }

    /// Reads so many acknowledgements and leaves what comes behind them where it is.
    async fn acknowledged(&mut self, messages: u64) {
        let mut left = messages;
        loop {
            let mut used = 0;
            while left > 0
                && let Ok(Framing::Complete { frame_len, .. }) = frame(&self.rest[used..], u32::MAX)
            {
                used += frame_len;
                left -= 1;
            }
            self.rest.drain(..used);
            if left == 0 {
                return;
            }
            let read = self.stream.read_buf(&mut self.rest).await.expect("the broker writes");
            assert!(read > 0, "the broker has gone");
        }
    }
}

/// Publishes `messages` and waits until each subscriber has them all. The time that it took.
async fn run(messages: u64, qos: QoS, subscribers: usize) -> Duration {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    let broker = Broker::builder().settings(settings).start().await.expect("nothing has to be bound");
    let mut readers = Vec::new();
    for number in 0..subscribers {
        let mut reader = Client::connect(&broker, &format!("subscriber {number}")).await;
        reader.subscribe(qos).await;
        readers.push(reader);
    }
    let mut publisher = Client::connect(&broker, "publisher").await;
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for mut reader in readers {
        tasks.spawn(async move {
            reader.receive(messages).await;
            reader
        });
    }
    publisher.publish(messages, qos).await;
    let readers = tasks.join_all().await;
    let took = began.elapsed();
    drop((publisher, readers));
    broker.shutdown().await;
    took
}

fn throughput(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("threads");
    let mut group = criterion.benchmark_group("broker");
    group.sample_size(20);
    for (name, qos, subscribers) in [
        ("one to one, QoS 0", QoS::AtMostOnce, 1),
        ("one to one, QoS 1", QoS::AtLeastOnce, 1),
        ("one to 100, QoS 0", QoS::AtMostOnce, 100),
        ("one to 100, QoS 1", QoS::AtLeastOnce, 100),
    ] {
        group.throughput(Throughput::Elements(subscribers as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|messages| runtime.block_on(run(messages, qos, subscribers)));
        });
    }
    group.finish();
}

criterion_group!(benches, throughput);
criterion_main!(benches);
