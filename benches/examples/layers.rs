//! Runs one layer's work so many times, for a tool that counts instructions: `layers WORK TIMES`.
//!
//! What is counted is the difference between two runs, so the preparation does not matter.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;
use std::{env, io};

use mqtt_access::acl::{self, Subject};
use mqtt_broker::{
    Access, Answer, Broker, Builder, Events, Grant, Hooks, Identity, Login, Peer, PublishVerdict, Settings,
};
use mqtt_codec::{
    Ack, Connect, Framing, Packet, PacketId, Properties, Publish, QoS, ReasonCode, Subscribe,
    SubscribeFiltersBuf, SubscriptionOptions, Version, decode, encode, frame,
};
use mqtt_session::{
    Delivery, Hop, InboundPublish, Message, NO_PUBLISHER, Opening, Policy, Protocol, Received, Refusal,
    Rights, Session,
};
use mqtt_store::{MemoryQueue, MemoryStore, Pushed, Queue, QueueLimits, Retained, RetainedLimits, Store};
use mqtt_topic::{FilterTree, TopicFilter, TopicName};
use mqtt_transport::{Connection, FrameReader, FrameWriter};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, DuplexStream, ReadBuf};

const TOPIC: &str = "plant/7/temperature";
const PAYLOAD: [u8; 64] = [b'x'; 64];
/// Messages that arrive together.
const BURST: u32 = 50;

/// Does its work so many times.
type Work = fn(u32);

const LAYERS: &[(&str, Work)] = &[
    ("codec-decode-publish", codec_decode),
    ("codec-encode-publish", codec_encode),
    ("topic-match-among-50000", topic_match),
    ("topic-subscribe-unsubscribe", topic_subscribe),
    ("session-receive-qos1", session_receive),
    ("session-deliver-qos1", session_deliver),
    ("store-queue", store_queue),
    ("store-retain", store_retain),
    ("transport-read", transport_read),
    ("transport-write", transport_write),
    ("broker-qos0", |times| broker(times, QoS::AtMostOnce, 1, 0)),
    ("broker-qos1", |times| broker(times, QoS::AtLeastOnce, 1, 0)),
    ("broker-qos2", |times| broker(times, QoS::ExactlyOnce, 1, 0)),
    ("broker-qos0-to-20", |times| broker(times, QoS::AtMostOnce, 20, 0)),
    ("broker-qos1-to-20", |times| broker(times, QoS::AtLeastOnce, 20, 0)),
    ("broker-qos1-among-50000", |times| broker(times, QoS::AtLeastOnce, 1, 50_000)),
    ("broker-qos0-hook-idle", |times| hooked(times, QoS::AtMostOnce, Arc::new(Idle))),
    ("broker-qos0-hook-empty", |times| hooked(times, QoS::AtMostOnce, Arc::new(Empty))),
    ("broker-qos0-hook-passing", |times| hooked(times, QoS::AtMostOnce, Arc::new(Passing))),
    ("broker-qos0-hook-inspecting", |times| hooked(times, QoS::AtMostOnce, Arc::new(Inspecting))),
    ("broker-qos1-hook-inspecting", |times| hooked(times, QoS::AtLeastOnce, Arc::new(Inspecting))),
    ("broker-qos0-rules-10", |times| ruled(times, QoS::AtMostOnce, 10)),
    ("broker-qos0-rules-1000", |times| ruled(times, QoS::AtMostOnce, 1000)),
    ("broker-qos1-rules-1000", |times| ruled(times, QoS::AtLeastOnce, 1000)),
    ("access-decide-of-10-rules", |times| decide(times, 10)),
    ("access-decide-of-1000-rules", |times| decide(times, 1000)),
    ("broker-connect", |times| connects(times, 0)),
    ("broker-connect-among-50000", |times| connects(times, 50_000)),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let [name, times] = &words[..] else {
        LAYERS.iter().for_each(|(name, _)| eprintln!("{name}"));
        return ExitCode::from(2);
    };
    let work = LAYERS.iter().find(|(known, _)| known == name);
    let (Some((_, work)), Ok(times)) = (work, times.parse()) else { return ExitCode::from(2) };
    work(times);
    ExitCode::SUCCESS
}

fn publish(qos: QoS, id: u16) -> Packet<'static> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: TOPIC,
        packet_id: PacketId::new(id).filter(|_| qos > QoS::AtMostOnce),
        properties: Properties::EMPTY,
        payload: &PAYLOAD,
    })
}

fn ack(kind: fn(Ack<'static>) -> Packet<'static>, packet_id: PacketId) -> Packet<'static> {
    kind(Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY })
}

fn encoded(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(packet, Version::V5, &mut bytes).expect("encodable");
    bytes
}

fn connect(client_id: &str) -> Connect<'_> {
    Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::EMPTY,
        client_id,
        will: None,
        username: None,
        password: None,
    }
}

fn topic() -> TopicName<&'static str> {
    TopicName::parse(TOPIC).expect("a topic name")
}

fn message() -> Message {
    Message::new(topic(), Properties::EMPTY, &PAYLOAD, NO_PUBLISHER, None)
}

fn codec_decode(times: u32) {
    let bytes = encoded(&publish(QoS::AtLeastOnce, 7));
    for _ in 0..times {
        assert!(frame(black_box(&bytes), u32::MAX).is_ok());
        black_box(decode(black_box(&bytes), Version::V5).is_ok());
    }
}

fn codec_encode(times: u32) {
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        encode(black_box(&publish(QoS::AtLeastOnce, 7)), Version::V5, &mut out).expect("encodable");
        black_box(&out);
    }
}

fn filters(count: u32) -> impl Iterator<Item = String> {
    let wild = |number: u32| if number.is_multiple_of(3) { "+" } else { "state" };
    (0..count).map(move |number| format!("site/{}/device/{number}/{}", number % 100, wild(number)))
}

fn topic_match(times: u32) {
    let mut tree = FilterTree::new();
    for (key, filter) in (0..).zip(filters(50_000)) {
        tree.insert(&TopicFilter::parse(filter).expect("a filter"), key, ());
    }
    for round in 0..times {
        let number = round * 7919 % 50_000;
        let name = format!("site/{}/device/{number}/state", number % 100);
        let mut found = 0;
        tree.for_each_match(TopicName::parse(&*name).expect("a name"), |_: &i32, ()| found += 1);
        assert_eq!(found, 1);
    }
}

fn topic_subscribe(times: u32) {
    let mut tree = FilterTree::new();
    let filter = TopicFilter::parse("site/1/+/state").expect("a filter");
    for key in 0..times {
        tree.insert(black_box(&filter), key, ());
        tree.remove(black_box(&filter), &key);
    }
}

fn protocol() -> Protocol {
    let policy = Policy::default();
    let mut opening = Opening::accept(&connect("c"), &policy, || "assigned".into()).expect("admitted");
    Protocol::broker(&mut opening, &policy, Session::new(), Instant::now())
}

fn session_receive(times: u32) {
    let (mut protocol, now) = (protocol(), Instant::now());
    let bytes = encoded(&publish(QoS::AtLeastOnce, 7));
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        let packet = decode(&bytes, Version::V5).expect("valid");
        let Ok(Received::Publish(publish)) = protocol.receive(packet, now, &mut out) else {
            panic!("a message")
        };
        let ticket = publish.ticket();
        protocol.answer_publish(ticket, ReasonCode::Success, &mut out);
        black_box(&out);
    }
}

fn session_deliver(times: u32) {
    let (mut protocol, now, message) = (protocol(), Instant::now(), message());
    let mut out = Vec::new();
    for _ in 0..times {
        out.clear();
        let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message: message.clone() };
        let id = protocol.deliver(delivery, now, &mut out).expect("it fits").expect("above QoS 0");
        black_box(protocol.receive(ack(Packet::Puback, id), now, &mut out).is_ok());
    }
}

fn store_queue(times: u32) {
    let (mut queue, message) = (MemoryQueue::new(QueueLimits::default()), message());
    for _ in 0..times {
        let delivery = Delivery { hop: Hop::new(QoS::AtLeastOnce), message: message.clone() };
        assert_eq!(queue.push(delivery), Pushed::Queued);
        black_box(queue.pop());
    }
}

fn store_retain(times: u32) {
    let store = MemoryStore::new(RetainedLimits::default());
    let retained = Retained { message: message(), qos: QoS::AtLeastOnce, source: None };
    for _ in 0..times {
        black_box(store.retain(retained.clone()).is_ok());
    }
}

/// Gives the same burst with every read.
struct Source(Vec<u8>);

impl AsyncRead for Source {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        room.put_slice(&self.0);
        Poll::Ready(Ok(()))
    }
}

fn transport_read(times: u32) {
    let mut source = Source(encoded(&publish(QoS::AtMostOnce, 0)).repeat(BURST as usize));
    let mut reader = FrameReader::new(u32::MAX);
    let mut count = |bytes: &[u8]| {
        black_box(bytes);
        ControlFlow::Continue(())
    };
    let mut frames = 0;
    while frames < times as usize {
        let cx = &mut Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(burst)) = reader.poll_burst(cx, &mut source, &mut count) else {
            panic!("a burst")
        };
        frames += burst.frames;
    }
}

fn transport_write(times: u32) {
    let bytes = encoded(&publish(QoS::AtMostOnce, 0));
    let mut writer = FrameWriter::new();
    for _ in 0..times / BURST {
        (0..BURST).for_each(|_| writer.buffer().extend_from_slice(black_box(&bytes)));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(writer.poll_write_all(cx, &mut tokio::io::sink()).is_ready());
    }
}

/// A client of a broker in the same thread, over a pipe.
struct Client {
    stream: DuplexStream,
    rest: Vec<u8>,
    out: Vec<u8>,
}

impl Client {
    async fn connect(broker: &Broker, client_id: &str) -> Self {
        let (near, far) = tokio::io::duplex(64 << 10);
        broker.attach(Connection::boxed(far), Peer::anonymous());
        let mut client = Self { stream: near, rest: Vec::new(), out: Vec::new() };
        client.send(&encoded(&Packet::Connect(connect(client_id)))).await;
        client.read_packets(1).await;
        client
    }

    async fn subscribe(&mut self, filters: &mut dyn Iterator<Item = String>, qos: QoS) {
        let mut list = SubscribeFiltersBuf::new();
        let options = SubscriptionOptions { qos, ..SubscriptionOptions::default() };
        filters.for_each(|filter| list.push(&filter, options).expect("a filter"));
        let (packet_id, properties) = (PacketId::MIN, Properties::EMPTY);
        self.send(&encoded(&Packet::Subscribe(Subscribe {
            packet_id,
            properties,
            filters: list.as_filters(),
        })))
        .await;
        self.read_packets(1).await;
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the broker reads");
    }

    /// Reads so many packets, each of which is answered if it has to be.
    async fn read_packets(&mut self, packets: u32) {
        let mut seen = 0;
        while seen < packets {
            let read = self.stream.read_buf(&mut self.rest).await.expect("the broker writes");
            assert!(read > 0, "the broker has gone");
            let mut used = 0;
            while let Ok(Framing::Complete { frame_len, .. }) = frame(&self.rest[used..], u32::MAX) {
                let packet = decode(&self.rest[used..used + frame_len], Version::V5).expect("well formed");
                used += frame_len;
                seen += 1;
                if let Some(answer) = answer(&packet) {
                    encode(&answer, Version::V5, &mut self.out).expect("encodable");
                }
            }
            self.rest.drain(..used);
            let out = std::mem::take(&mut self.out);
            self.send(&out).await;
        }
    }
}

fn answer(packet: &Packet<'_>) -> Option<Packet<'static>> {
    match packet {
        Packet::Publish(Publish { qos: QoS::AtLeastOnce, packet_id, .. }) => {
            Some(ack(Packet::Puback, (*packet_id)?))
        }
        Packet::Publish(Publish { qos: QoS::ExactlyOnce, packet_id, .. }) => {
            Some(ack(Packet::Pubrec, (*packet_id)?))
        }
        Packet::Pubrec(received) => Some(ack(Packet::Pubrel, received.packet_id)),
        Packet::Pubrel(released) => Some(ack(Packet::Pubcomp, released.packet_id)),
        _ => None,
    }
}

/// Wants nothing.
#[derive(Debug)]
struct Idle;

impl Hooks for Idle {
    fn interests(&self) -> Events {
        Events::NONE
    }
}

/// Says that it wants everything, and has no method.
#[derive(Debug)]
struct Empty;

impl Hooks for Empty {
    fn interests(&self) -> Events {
        Events::ALL
    }
}

/// Looks at every message without reading anything of it.
#[derive(Debug)]
struct Passing;

impl Hooks for Passing {
    fn interests(&self) -> Events {
        Events::PUBLISH
    }

    fn publish(&self, _: &Identity, _: &InboundPublish<'_>) -> PublishVerdict {
        PublishVerdict::Pass
    }
}

/// Looks at the topic and the payload of every message.
#[derive(Debug)]
struct Inspecting;

impl Hooks for Inspecting {
    fn interests(&self) -> Events {
        Events::PUBLISH
    }

    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        let forbidden =
            publish.topic.as_str().starts_with("secret/") || publish.payload.starts_with(b"secret");
        if forbidden { PublishVerdict::Swallow } else { PublishVerdict::Pass }
    }
}

/// Decides by access rules, each time that it is asked.
#[derive(Debug)]
struct Ruled(acl::Policy);

/// Every tenth one is about everybody, with a place for a name or a wildcard; the last one decides.
fn rules(count: u32) -> acl::Policy {
    let line = |number: u32| match number % 10 {
        0 => format!("deny group=guests all +/{number}/secret"),
        5 => format!("allow user=* all devices/${{username}}/{number}/#"),
        _ => format!("allow user=user{number} all plant/{number}/#"),
    };
    let lines: Vec<String> = (1..count).map(line).chain(["allow all plant/#".to_owned()]).collect();
    acl::Policy::builder().lines("rules", lines.iter().map(String::as_str)).build().expect("good rules")
}

const NOBODY: Subject<'static> =
    Subject { username: None, client_id: "c", address: None, listener: "", groups: &[] };

impl Access for Ruled {
    fn authenticate<'a>(&'a self, _: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(Ok(Grant::default())))
    }

    fn publish_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        self.0.publish_rights(&NOBODY, topic)
    }

    fn may_subscribe(&self, _: &Identity, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        self.0.may_subscribe(&NOBODY, filter, qos)
    }

    fn restricts_receiving(&self) -> bool {
        true
    }

    fn receive_rights(&self, _: &Identity, topic: TopicName<&str>) -> Rights {
        self.0.receive_rights(&NOBODY, topic)
    }
}

async fn start(subscriptions: u32, hook: Option<Arc<dyn Hooks>>) -> (Broker, Client) {
    start_with(subscriptions, hook.into_iter().fold(Broker::builder(), Builder::hook)).await
}

async fn start_with(subscriptions: u32, builder: Builder) -> (Broker, Client) {
    let mut settings = Settings::default();
    settings.sys.interval = None;
    let builder = builder.settings(settings);
    let broker = builder.start().await.expect("nothing has to be bound");
    let mut idle = Client::connect(&broker, "idle").await;
    let mut all = filters(subscriptions);
    for _ in 0..subscriptions / 500 {
        idle.subscribe(&mut all.by_ref().take(500), QoS::AtMostOnce).await;
    }
    (broker, idle)
}

fn on_one_thread(work: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    runtime.block_on(work);
}

/// Bursts from one publisher to some subscribers, beside so many subscriptions that do not match.
fn broker(times: u32, qos: QoS, subscribers: u32, unrelated: u32) {
    on_one_thread(async { publish_bursts(times, qos, subscribers, start(unrelated, None).await).await });
}

/// The same to one subscriber, with a hook.
fn hooked(times: u32, qos: QoS, hook: Arc<dyn Hooks>) {
    on_one_thread(async { publish_bursts(times, qos, 1, start(0, Some(hook)).await).await });
}

/// The same to one subscriber, with so many access rules.
fn ruled(times: u32, qos: QoS, count: u32) {
    on_one_thread(async {
        let builder = Broker::builder().access(Arc::new(Ruled(rules(count))));
        publish_bursts(times, qos, 1, start_with(0, builder).await).await;
    });
}

/// A decision that nothing remembers.
fn decide(times: u32, count: u32) {
    let policy = rules(count);
    for _ in 0..times {
        assert!(black_box(policy.publish_rights(black_box(&NOBODY), topic())).is_all());
    }
}

async fn publish_bursts(times: u32, qos: QoS, subscribers: u32, (broker, _idle): (Broker, Client)) {
    let mut receivers = Vec::new();
    for number in 0..subscribers {
        let mut client = Client::connect(&broker, &format!("subscriber {number}")).await;
        client.subscribe(&mut std::iter::once(TOPIC.to_owned()), qos).await;
        receivers.push(client);
    }
    let mut publisher = Client::connect(&broker, "publisher").await;
    let burst: Vec<u8> = (1..).take(BURST as usize).flat_map(|id| encoded(&publish(qos, id))).collect();
    let answers = qos as u32 * BURST;
    for _ in 0..times / BURST {
        publisher.send(&burst).await;
        publisher.read_packets(answers).await;
        for receiver in &mut receivers {
            receiver.read_packets(BURST * (qos as u32).max(1)).await;
        }
    }
}

/// A client that connects, subscribes and leaves, again and again, beside so many subscriptions.
fn connects(times: u32, unrelated: u32) {
    on_one_thread(async {
        let (broker, _idle) = start(unrelated, None).await;
        for _ in 0..times {
            let mut client = Client::connect(&broker, "coming and going").await;
            client.subscribe(&mut std::iter::once(TOPIC.to_owned()), QoS::AtMostOnce).await;
            client.send(&[0xE0, 0x00]).await;
            assert_eq!(client.stream.read(&mut [0]).await.expect("a pipe"), 0, "the broker closes");
        }
    });
}
