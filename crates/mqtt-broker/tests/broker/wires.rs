//! Connections of a given width, and work that goes on in the background.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mqtt_broker::Broker;
use mqtt_codec::{Framing, Packet, QoS, Version, decode, frame};
use mqtt_testkit::{ConnectBuilder, Peer, ReceivedPacket, publish};
use mqtt_transport::Connection;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::harness::Harness;

/// Any time in which everything that can happen without the clock has happened.
pub(crate) const MOMENT: Duration = Duration::from_millis(1);

/// A connection whose pipe holds this many bytes in each direction.
pub(crate) fn open(broker: &Broker, name: &str, pipe_bytes: usize) -> Peer {
    let (near, far) = tokio::io::duplex(pipe_bytes);
    let peer = mqtt_broker::Peer::anonymous();
    broker.attach(Connection::boxed(far), peer);
    Peer::new(name, near)
}

/// A client that has been admitted over a pipe of this width.
pub(crate) async fn connect_narrow(house: &Harness, client: ConnectBuilder, pipe_bytes: usize) -> Peer {
    let mut peer = open(&house.broker, "narrow", pipe_bytes);
    peer.connect(client).await;
    peer
}

/// Lets everybody do what can be done now.
pub(crate) async fn settle() {
    sleep(MOMENT).await;
}

/// A client that publishes numbered messages, each acknowledged before the next, in a task of its own.
pub(crate) struct Source {
    done: Arc<AtomicUsize>,
    task: JoinHandle<Peer>,
}

impl Source {
    /// Starts to publish `count` messages of `payload_bytes` that begin with their number.
    pub(crate) fn start(mut peer: Peer, topic: &str, qos: QoS, count: usize, payload_bytes: usize) -> Self {
        let done = Arc::new(AtomicUsize::new(0));
        let (topic, counter) = (topic.to_owned(), done.clone());
        let task = tokio::spawn(async move {
            for number in 0..count {
                let packet_id = u16::try_from(number % 60_000 + 1).expect("16 bits");
                let message = publish(&topic).payload(payload(number, payload_bytes)).qos(qos, packet_id);
                peer.publish(message).await;
                counter.fetch_add(1, Ordering::Relaxed);
            }
            peer
        });
        Self { done, task }
    }

    /// Messages that the broker has taken.
    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits for the last one.
    pub(crate) async fn finish(self) -> Peer {
        self.task.await.expect("the publisher goes on to its end")
    }
}

fn payload(number: usize, bytes: usize) -> Vec<u8> {
    let mut payload = format!("{number} ").into_bytes();
    payload.resize(bytes.max(payload.len()), b'.');
    payload
}

/// The number at the start of a payload.
pub(crate) fn number(payload: &[u8]) -> usize {
    let text = std::str::from_utf8(payload).expect("a numbered payload is text");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Receives and acknowledges this many messages; their numbers.
pub(crate) async fn receive(peer: &mut Peer, count: usize) -> Vec<usize> {
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        numbers.push(number(&peer.receive().await.payload));
    }
    numbers
}

/// The payloads of the messages among these packets.
pub(crate) fn texts(packets: &[ReceivedPacket]) -> Vec<String> {
    let messages = packets.iter().filter_map(|packet| match packet.packet() {
        Packet::Publish(message) => Some(String::from_utf8_lossy(message.payload).into_owned()),
        _ => None,
    });
    messages.collect()
}

/// Reads this many bytes at a time, with a pause after each, until the pipe is idle for `idle`.
pub(crate) async fn sip(stream: &mut DuplexStream, bytes: usize, pause: Duration, idle: Duration) -> Vec<u8> {
    let mut all = Vec::new();
    let mut gulp = vec![0; bytes];
    while let Ok(read) = tokio::time::timeout(idle, stream.read(&mut gulp)).await {
        let read = read.expect("the pipe holds");
        assert!(read > 0, "the connection stays");
        all.extend_from_slice(&gulp[..read]);
        sleep(pause).await;
    }
    all
}

/// The numbers of the QoS 0 messages in a run of bytes.
pub(crate) fn numbers_in(mut bytes: &[u8]) -> Vec<usize> {
    let mut numbers = Vec::new();
    while !bytes.is_empty() {
        let Ok(Framing::Complete { frame_len, .. }) = frame(bytes, u32::MAX) else {
            panic!("{} bytes are no whole packet", bytes.len())
        };
        match decode(&bytes[..frame_len], Version::V5) {
            Ok(Packet::Publish(message)) => numbers.push(number(message.payload)),
            other => panic!("expected a PUBLISH, got {other:?}"),
        }
        bytes = &bytes[frame_len..];
    }
    numbers
}
