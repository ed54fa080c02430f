//! Invariants about tasks and threads: who touches a connection, and in which order things become visible.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use mqtt_broker::{Answer, Broker, Peers};
use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::ReasonCode;
use mqtt_session::{Message, Refusal};
use mqtt_testkit::{Peer, connect, publish};
use mqtt_topic::TopicFilter;
use mqtt_transport::Connection;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::harness::{Harness, broker, quiet, start};
use crate::wires::settle;

/// The broker's end of a pipe, watched.
struct Watched {
    stream: DuplexStream,
    log: Arc<Log>,
}

#[derive(Debug, Default)]
struct Log {
    tasks: Mutex<BTreeSet<String>>,
    polls: AtomicUsize,
    /// First bytes of what was written, and what else the test writes down.
    events: Mutex<Vec<String>>,
}

impl Log {
    fn touch(&self) {
        let task = tokio::task::try_id().map_or("no task".to_owned(), |id| id.to_string());
        self.tasks.lock().insert(task);
        self.polls.fetch_add(1, Ordering::Relaxed);
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.log.touch();
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.log.touch();
        self.log.events.lock().push(format!("written {:02X}", bytes[0]));
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.touch();
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.log.touch();
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

fn open_watched(broker: &Broker, log: &Arc<Log>) -> Peer {
    let (near, far) = tokio::io::duplex(1 << 16);
    let peer = mqtt_broker::Peer::anonymous();
    broker.attach(Connection::boxed(Watched { stream: far, log: log.clone() }), peer);
    Peer::new("watched", near)
}

/// Deliveries of others, take-overs, being sent away, the end: one task touches the socket all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_one_task_touches_a_connection() {
    let house = broker().await;
    let mut logs = Vec::new();
    for round in 0..20 {
        let log = Arc::new(Log::default());
        let mut peer = open_watched(&house.broker, &log);
        peer.connect(connect("watched").clean(round == 0).session_expiry_s(100)).await;
        peer.subscribe("t", ExactlyOnce).await;
        let mut publisher = house.v5("publisher").await;
        for (number, qos) in (1..).zip([AtMostOnce, AtLeastOnce, ExactlyOnce]) {
            publisher.publish(publish("t").payload("x").qos(qos, number)).await;
            peer.receive().await;
        }
        publisher.leave().await;
        match round % 3 {
            // The next one takes over.
            0 => logs.push((log, Some(peer))),
            1 => {
                assert!(house.broker.disconnect("watched", ReasonCode::AdministrativeAction));
                peer.expect_disconnect(ReasonCode::AdministrativeAction).await;
                logs.push((log, None));
            }
            _ => {
                peer.leave().await;
                logs.push((log, None));
            }
        }
    }
    house.broker.shutdown().await;
    for (log, _) in logs {
        let tasks = log.tasks.lock();
        assert!(tasks.len() == 1 && !tasks.contains("no task"), "{tasks:?}");
    }
}

/// Everything at once on several threads: a wrong order of locks would stop it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_3_no_order_of_locks_stops_the_broker() {
    let house = broker().await;
    let mut tasks = Vec::new();
    for worker in 0..8_u16 {
        let broker = house.broker.clone();
        tasks.push(tokio::spawn(async move {
            for round in 0..30_u16 {
                // Two workers share each name, so that they take each other over.
                let name = format!("c{}", worker / 2);
                let client =
                    connect(&name).clean(round % 5 == 0).session_expiry_s(u32::from(round % 2) * 100);
                let mut peer = crate::wires::open(&broker, &name, 1 << 16);
                peer.send_carelessly(client).await;
                for (number, filter) in (1..).zip(["t/#", "$share/g/t/#", "t/+", "$share/h/t/1"]) {
                    peer.send_carelessly(mqtt_testkit::subscribe(number).filter(filter, AtLeastOnce)).await;
                }
                for number in 1..20 {
                    peer.send_carelessly(publish("t/1").payload("x").qos1(number).retained()).await;
                }
                peer.send_carelessly(mqtt_testkit::unsubscribe(9).filter("t/#").filter("$share/g/t/#")).await;
                peer.send_carelessly([0xC0, 0]).await;
                // Until the answer to the ping, or until somebody took over.
                while let Some(packet) = peer.expect_packet_or_closed().await {
                    if packet.bytes() == [0xD0, 0] {
                        break;
                    }
                }
            }
        }));
    }
    for task in tasks {
        task.await.expect("it comes to its end");
    }
    let mut after = house.v5("after").await;
    after.subscribe("t/1", AtMostOnce).await;
    after.receive_text("x").await;
}

/// Members of a group come and go while messages arrive: each message reaches one of them at least, as long as
/// one stays. What was sent to one that left without acknowledging it is sent to another.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_for_a_group_is_lost_while_its_members_come_and_go() {
    const MESSAGES: usize = 3000;
    let house = broker().await;
    let mut staying = house.v5("staying").await;
    staying.subscribe("$share/g/t", AtLeastOnce).await;
    let mut fleeting = Vec::new();
    for number in 0..4 {
        let broker = house.broker.clone();
        fleeting.push(tokio::spawn(async move {
            loop {
                let mut peer = crate::wires::open(&broker, "fleeting", 1 << 12);
                peer.connect(connect(&format!("fleeting {number}"))).await;
                peer.subscribe("$share/g/t", AtLeastOnce).await;
                tokio::task::yield_now().await;
                peer.cut();
            }
        }));
    }
    let source = crate::wires::Source::start(house.v5("publisher").await, "t", AtLeastOnce, MESSAGES, 10);
    let mut missing: BTreeSet<usize> = (0..MESSAGES).collect();
    while !missing.is_empty() {
        if source.done() == MESSAGES {
            // Whatever the others hold comes here when they are gone.
            fleeting.iter().for_each(tokio::task::JoinHandle::abort);
        }
        let message = staying.receive().await;
        missing.remove(&crate::wires::number(&message.payload));
    }
    source.finish().await;
    fleeting.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(house.broker.metrics().dropped_total(), 0);
}

/// Notes in the watched connection's log when interest begins.
#[derive(Debug)]
struct Noting(Arc<Log>);

impl Peers for Noting {
    fn interest_began(&self, filter: &TopicFilter<&str>) {
        self.0.events.lock().push(format!("in the index: {}", filter.as_str()));
    }

    fn interest_ended(&self, filter: &TopicFilter<&str>) {
        self.0.events.lock().push(format!("gone: {}", filter.as_str()));
    }

    fn published(&self, _: &Message, _: QoS, _: bool) {}

    fn claim_session<'a>(&'a self, _: &'a str) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async { Ok(()) })
    }
}

/// [MQTT-3.8.4-1]: so nothing that is published after the SUBACK is missed.
#[tokio::test(start_paused = true)]
async fn invariant_4_a_subscription_is_in_the_index_before_its_suback_is_written() {
    let log = Arc::new(Log::default());
    let builder = Broker::builder().settings(quiet(|_| ())).peers(Arc::new(Noting(log.clone())));
    let house: Harness = start(builder).await;
    let mut peer = open_watched(&house.broker, &log);
    peer.connect(connect("watched")).await;
    let two = mqtt_testkit::subscribe(1).filter("a", AtMostOnce).filter("$share/g/b", AtMostOnce);
    peer.subscribe_with(two).await;
    peer.unsubscribe("a").await;
    let events = log.events.lock().clone();
    let expected =
        ["written 20", "in the index: a", "in the index: $share/g/b", "written 90", "gone: a", "written B0"];
    assert_eq!(events, expected);
}

/// Sessions that a message is not for are not even looked at.
#[tokio::test(start_paused = true)]
async fn invariant_9_a_delivery_touches_no_unrelated_session() {
    let house = broker().await;
    let log = Arc::new(Log::default());
    let mut unrelated = Vec::new();
    for number in 0..500 {
        let mut peer = open_watched(&house.broker, &log);
        peer.connect(connect(&format!("unrelated {number}"))).await;
        peer.subscribe(&format!("other/{number}/#"), AtLeastOnce).await;
        unrelated.push(peer);
    }
    let mut subscriber = house.v5("subscriber").await;
    subscriber.subscribe("t/+", AtLeastOnce).await;
    let mut publisher = house.v5("publisher").await;
    settle().await;
    let before = log.polls.load(Ordering::Relaxed);
    for number in 1..=1000 {
        publisher.publish(publish("t/1").payload("x").qos1(number)).await;
        subscriber.receive_text("x").await;
    }
    assert_eq!(log.polls.load(Ordering::Relaxed), before);
    unrelated[499].ping().await;
    assert!(log.polls.load(Ordering::Relaxed) > before);
}
