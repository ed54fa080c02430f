//! Counters that agree with what went over the wires.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use mqtt_broker::MetricsSnapshot;
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Framing, Packet, Property, ReasonCode, Version, decode, frame};
use mqtt_session::{AuthenticationMethod, Exchange, Step};
use mqtt_testkit::{ConnectBuilder, Peer, auth, connect, disconnect, publish, pubrec, will};
use mqtt_transport::Connection;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::time::sleep;

use crate::harness::{Harness, broker_with, quiet, start};
use crate::wires::settle;

/// Everything that went over one wire.
#[derive(Debug, Default)]
struct Tape {
    sent: Mutex<Vec<u8>>,
    received: Mutex<Vec<u8>>,
}

/// A client's end of a pipe that writes down what passes.
struct Tapped {
    stream: DuplexStream,
    tape: Arc<Tape>,
}

impl AsyncRead for Tapped {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.tape.received.lock().extend_from_slice(&buffer.filled()[before..]);
        read
    }
}

impl AsyncWrite for Tapped {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.tape.sent.lock().extend_from_slice(&bytes[..count]);
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// A broker all of whose wires are tapped.
struct Tapping {
    house: Harness,
    tapes: Mutex<Vec<(Arc<Tape>, Version)>>,
}

/// Asks one question.
#[derive(Debug)]
struct Question;

impl AuthenticationMethod for Question {
    fn name(&self) -> &str {
        "Q"
    }

    fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
        Box::new(Self)
    }
}

impl Exchange for Question {
    fn step(&mut self, data: &[u8]) -> Step {
        if data == b"answer" { Step::Success(None) } else { Step::Continue(b"?".as_slice().into()) }
    }
}

impl Tapping {
    async fn start() -> Self {
        let builder = mqtt_broker::Broker::builder().settings(quiet(|_| ()));
        let house = start(builder.authentication_method(Arc::new(Question))).await;
        Self { house, tapes: Mutex::default() }
    }

    fn open(&self, version: Version) -> Peer<Tapped> {
        let (near, far) = tokio::io::duplex(1 << 16);
        let peer = mqtt_broker::Peer::anonymous();
        self.house.broker.attach(Connection::boxed(far), peer);
        let tape = Arc::new(Tape::default());
        self.tapes.lock().push((tape.clone(), version));
        Peer::new("tapped", Tapped { stream: near, tape })
    }

    async fn connect(&self, version: Version, client: ConnectBuilder) -> Peer<Tapped> {
        let mut peer = self.open(version);
        peer.connect(client.version(version)).await;
        peer
    }

    /// What the tapes say.
    fn counted(&self) -> MetricsSnapshot {
        let mut counted = MetricsSnapshot::default();
        for (tape, version) in self.tapes.lock().iter() {
            let (sent, received) = (tape.sent.lock(), tape.received.lock());
            let sent = Count::of(&sent, *version);
            counted.bytes_received += sent.bytes;
            counted.packets_received += sent.packets;
            counted.publish_received += sent.publishes;
            counted.publish_bytes_received += sent.payload_bytes;
            let received = Count::of(&received, *version);
            counted.bytes_sent += received.bytes;
            counted.packets_sent += received.packets;
            counted.publish_sent += received.publishes;
            counted.publish_bytes_sent += received.payload_bytes;
        }
        counted
    }

    /// The broker counted the same.
    fn check(&self) -> MetricsSnapshot {
        let metrics = self.house.broker.metrics();
        let traffic = MetricsSnapshot {
            bytes_received: metrics.bytes_received,
            bytes_sent: metrics.bytes_sent,
            packets_received: metrics.packets_received,
            packets_sent: metrics.packets_sent,
            publish_received: metrics.publish_received,
            publish_sent: metrics.publish_sent,
            publish_bytes_received: metrics.publish_bytes_received,
            publish_bytes_sent: metrics.publish_bytes_sent,
            ..MetricsSnapshot::default()
        };
        assert_eq!(traffic, self.counted());
        metrics
    }
}

#[derive(Default)]
struct Count {
    bytes: u64,
    packets: u64,
    publishes: u64,
    payload_bytes: u64,
}

impl Count {
    fn of(mut bytes: &[u8], version: Version) -> Self {
        let mut count = Self { bytes: bytes.len() as u64, ..Self::default() };
        while let Ok(Framing::Complete { frame_len, .. }) = frame(bytes, u32::MAX) {
            let (packet, rest) = bytes.split_at(frame_len);
            bytes = rest;
            count.packets += 1;
            if let Ok(Packet::Publish(message)) = decode(packet, version) {
                count.publishes += 1;
                count.payload_bytes += message.payload.len() as u64;
            }
        }
        assert!(bytes.is_empty(), "whole packets only");
        count
    }
}

#[tokio::test(start_paused = true)]
async fn traffic_of_every_kind_is_counted_to_the_byte() {
    let tapping = Tapping::start().await;
    for version in Version::ALL {
        let mut one = tapping.connect(version, connect("one")).await;
        let mut two = tapping.connect(version, connect("two")).await;
        one.subscribe("t/#", ExactlyOnce).await;
        for (number, qos) in (1..).zip([AtMostOnce, AtLeastOnce, ExactlyOnce].repeat(20)) {
            two.publish(publish("t/1").payload("some text").qos(qos, number)).await;
            one.receive_text("some text").await;
        }
        for _ in 0..100 {
            two.send(publish("t/2").payload("in a batch")).await;
        }
        one.drain().await;
        two.publish(publish("r/kept").payload("retained").qos1(99).retained()).await;
        two.subscribe("r/+", AtLeastOnce).await;
        two.receive_text("retained").await;
        one.unsubscribe("t/#").await;
        one.ping().await;
        two.leave().await;
        one.cut();
        settle().await;
        tapping.check();
    }
}

/// Repetitions are packets like others.
#[tokio::test(start_paused = true)]
async fn repetitions_are_counted() {
    let tapping = Tapping::start().await;
    let client = connect("away").clean(false).session_expiry_s(100);
    let mut away = tapping.connect(Version::V5, client.clone()).await;
    away.subscribe("t", ExactlyOnce).await;
    let mut publisher = tapping.connect(Version::V5, connect("publisher")).await;
    for number in 1..=5 {
        publisher.publish(publish("t").payload("some text").qos2(number)).await;
    }
    for _ in 0..5 {
        away.expect_publish().await;
    }
    away.send(pubrec(1)).await;
    away.expect_pubrel(1).await;
    away.cut();
    settle().await;
    let mut narrow = tapping.connect(Version::V5, client.clone().receive_maximum(2)).await;
    assert_eq!(narrow.drain().await.len(), 2, "a PUBREL and the first repetition");
    narrow.cut();
    settle().await;
    let mut back = tapping.connect(Version::V5, client).await;
    assert_eq!(back.drain().await.len(), 5);
    tapping.check();
}

/// Whoever is refused, thrown out, taken over or stopped is told in packets that count as well.
#[tokio::test(start_paused = true)]
async fn first_and_last_words_are_counted() {
    let tapping = Tapping::start().await;
    let mut unknown = tapping.open(Version::V5);
    unknown.send(connect("c").property(Property::AuthenticationMethod("unknown"))).await;
    unknown.expect_refusal(ReasonCode::BadAuthenticationMethod).await;
    let mut guest = tapping.open(Version::V5);
    guest.send(connect("guest").property(Property::AuthenticationMethod("Q"))).await;
    guest.expect_auth().await;
    guest.send(auth(ReasonCode::ContinueAuthentication).method("Q", b"answer")).await;
    guest.expect_connack().await;
    let mut offender = tapping.connect(Version::V5, connect("offender")).await;
    offender.send(publish("#").payload("x")).await;
    offender.expect_disconnect(ReasonCode::TopicNameInvalid).await;
    let mut silent = tapping.connect(Version::V5, connect("silent").keep_alive_s(1)).await;
    silent.expect_disconnect(ReasonCode::KeepAliveTimeout).await;
    let mut old = tapping.connect(Version::V5, connect("same")).await;
    let mut new = tapping.connect(Version::V5, connect("same")).await;
    old.expect_disconnect(ReasonCode::SessionTakenOver).await;
    // More than the CONNECT in one read.
    let mut eager = tapping.open(Version::V3_1_1);
    let mut burst =
        mqtt_testkit::ToWire::to_wire(&connect("eager").version(Version::V3_1_1), Version::V3_1_1);
    burst.extend(mqtt_testkit::pingreq());
    burst.extend(mqtt_testkit::pingreq());
    eager.set_version(Version::V3_1_1);
    eager.send(burst).await;
    eager.expect_connack().await;
    eager.expect_pingresp().await;
    eager.expect_pingresp().await;
    let broker = tapping.house.broker.clone();
    let stopping = tokio::spawn(async move { broker.shutdown().await });
    new.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    guest.expect_disconnect(ReasonCode::ServerShuttingDown).await;
    eager.expect_closed().await;
    drop((new, guest, eager, old, silent, offender, unknown));
    stopping.await.expect("it stops");
    let metrics = tapping.check();
    assert_eq!(metrics.connections_accepted, 7);
    assert_eq!((metrics.connects_failed, metrics.violations), (1, 1));
    assert_eq!((metrics.keep_alive_timeouts, metrics.sessions_taken_over), (1, 1));
    assert_eq!(metrics.clients_connected, 0);
}

/// Every message that was taken for a receiver was sent, waits, or is counted under one reason.
#[tokio::test(start_paused = true)]
async fn what_was_taken_was_sent_or_waits_or_was_dropped() {
    for qos in [AtMostOnce, AtLeastOnce, ExactlyOnce] {
        let house = broker_with(|settings| {
            settings.queue.messages_max = 50;
            settings.limits.stall_timeout = Duration::from_secs(2);
        })
        .await;
        let mut away = house.connect(connect("away").session_expiry_s(100)).await;
        away.subscribe("t", qos).await;
        away.cut();
        let mut deaf = crate::wires::connect_narrow(&house, connect("deaf"), 512).await;
        deaf.subscribe("t", qos).await;
        let mut small = house.connect(connect("small").maximum_packet_size(100)).await;
        small.subscribe("t", qos).await;
        let mut narrow = house.connect(connect("narrow").receive_maximum(1)).await;
        narrow.subscribe("t", qos).await;
        let publisher = house.v5("publisher").await;
        crate::wires::Source::start(publisher, "t", qos, 400, 2000).finish().await.leave().await;
        settle().await;
        // All receivers go, so that nothing is left waiting.
        drop((deaf, small, narrow));
        sleep(Duration::from_secs(200)).await;
        let metrics = house.broker.metrics();
        let taken = metrics.publish_received * 4;
        let sent_or_dropped = metrics.publish_sent + metrics.dropped_total();
        // What was sent and not acknowledged when the session ended counts as both.
        let both = if qos == AtMostOnce { 0 } else { unacknowledged(&metrics, qos) };
        assert_eq!(taken + both, sent_or_dropped, "{qos:?}: {metrics:?}");
    }
}

/// Messages above QoS 0 that were sent: nobody acknowledged any in that test.
fn unacknowledged(metrics: &MetricsSnapshot, qos: QoS) -> u64 {
    assert!(qos > AtMostOnce);
    metrics.publish_sent
}

/// Gauges go back, marks stay.
#[tokio::test(start_paused = true)]
async fn the_most_that_were_connected_is_remembered() {
    let house = broker_with(|_| ()).await;
    for round in 1..=3 {
        let mut peers = Vec::new();
        for number in 0..round * 10 {
            peers.push(house.connect(connect(&format!("c{number}")).will(will("w", "x"))).await);
        }
        assert_eq!(house.broker.metrics().clients_connected, round * 10);
        for mut peer in peers {
            peer.send(disconnect(ReasonCode::Success)).await;
        }
        sleep(Duration::from_secs(5)).await;
        let metrics = house.broker.metrics();
        assert_eq!((metrics.clients_connected, metrics.clients_connected_max), (0, round * 10));
    }
    assert_eq!(house.broker.metrics().wills_published, 0);
}
