//! Hooks: what they are asked and told, what they may change, and what becomes of a hook that fails.
//!
//! `docs/HOOKS.md` names the test of each event.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{
    Answer, Authentication, Broker, DisconnectCause, Events, FailureRule, Hooks, Identity, LocalError,
    LocalOptions, Login, MetricsSnapshot, PacketVerdict, Peer, Publication, PublishVerdict, Restored,
};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{Packet, QoS, ReasonCode, SubscriptionOptions, Version, encode};
use mqtt_session::{DropReason, InboundPublish, Message, Opening, Refusal};
use mqtt_store::durable::simulated::SimulatedMedium;
use mqtt_testkit::{connect, publish, pubrec, subscribe, will};
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::harness::{Harness, quiet, start};
use crate::panics::Explosive;
use crate::restarts::stored;
use crate::wires::settle;

/// Writes down what it is told and asked, and changes nothing.
#[derive(Debug, Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note(&self, line: impl Into<String>) {
        self.0.lock().push(line.into());
    }

    /// What was written since the last time.
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock())
    }
}

impl Hooks for Diary {
    fn interests(&self) -> Events {
        Events::ALL
    }
    fn restored(&self, restored: &Restored) {
        if *restored != Restored::default() {
            self.note(format!("{restored:?}"));
        }
    }
    fn started(&self, broker: &Broker) {
        self.note(format!("started {}", broker.addresses().len()));
    }
    fn stopped(&self) {
        self.note("stopped");
    }
    fn tick(&self, _: &MetricsSnapshot) {
        self.note("tick");
    }
    fn connection_accepted(&self, _: &Peer) -> bool {
        self.note("accepted");
        true
    }
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        self.note(format!("authenticate {}", login.client_id));
        Box::pin(std::future::ready(Authentication::NoOpinion))
    }
    fn connect<'a>(&'a self, _: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        self.note(format!("connect {}", opening.client_id));
        Box::pin(std::future::ready(Ok(())))
    }
    fn session_established(&self, client: &Identity, present: bool) {
        self.note(format!("established {} {present}", client.client_id));
    }
    fn session_taken_over(&self, client_id: &str) {
        self.note(format!("taken over {client_id}"));
    }
    fn session_parked(&self, client_id: &str) {
        self.note(format!("parked {client_id}"));
    }
    fn session_ended(&self, client_id: &str) {
        self.note(format!("ended {client_id}"));
    }
    fn disconnected(&self, client: &Identity, cause: DisconnectCause) {
        self.note(format!("disconnected {} {cause:?}", client.client_id));
    }
    fn packet_received(&self, _: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        self.note(format!("received {:?}", packet.packet_type()));
        PacketVerdict::Pass
    }
    fn packet_sending(&self, _: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        self.note(format!("sending {:?}", packet.packet_type()));
        PacketVerdict::Pass
    }
    fn subscribe(
        &self,
        _: &Identity,
        filter: &mut String,
        _: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        self.note(format!("subscribe {filter}"));
        Ok(())
    }
    fn subscribed(&self, _: &Identity, filter: &str, options: SubscriptionOptions) {
        self.note(format!("subscribed {filter} {}", options.qos as u8));
    }
    fn unsubscribe(&self, _: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        self.note(format!("unsubscribe {filter}"));
        Ok(())
    }
    fn unsubscribed(&self, _: &Identity, filter: &str) {
        self.note(format!("unsubscribed {filter}"));
    }
    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        self.note(format!("publish {}", publish.topic.as_str()));
        PublishVerdict::Pass
    }
    fn published(&self, _: &Identity, publish: &InboundPublish<'_>, reason: ReasonCode) {
        self.note(format!("published {} {reason:?}", publish.topic.as_str()));
    }
    fn select_member(&self, _: &str, members: &[&str]) -> Option<usize> {
        self.note(format!("select {}", members.join(" ")));
        Some(usize::MAX) // nonsense: the strategy decides
    }
    fn dropped(&self, reason: DropReason, client_id: &str, topic: &str, _: QoS) {
        self.note(format!("dropped {} {client_id} {topic}", reason.name()));
    }
    fn retained(&self, message: &Message) {
        self.note(format!("retained {} {}", message.topic(), message.payload().len()));
    }
    fn retained_expired(&self, topic: &str) {
        self.note(format!("expired {topic}"));
    }
    fn retained_replayed(&self, client_id: &str, message: &Message, qos: QoS) {
        self.note(format!("replayed {} {client_id} {}", message.topic(), qos as u8));
    }
    fn sent(&self, client: &Identity, publish: &mqtt_codec::Publish<'_>) {
        self.note(format!("sent {} {}", client.client_id, publish.topic));
    }
    fn resent(&self, client: &Identity, packet: &Packet<'_>) {
        self.note(format!("resent {} {:?}", client.client_id, packet.packet_type()));
    }
    fn packet_ids_exhausted(&self, client: &Identity, inflight: usize) {
        self.note(format!("exhausted {} {inflight}", client.client_id));
    }
    fn acknowledged(&self, _: &Identity, packet_id: u16, reason: ReasonCode) {
        self.note(format!("acknowledged {packet_id} {reason:?}"));
    }
    fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        self.note(format!("will {client_id} {}", will.topic));
        true
    }
    fn will_sent(&self, client_id: &str, message: &Message) {
        self.note(format!("will sent {client_id} {}", message.topic()));
    }
}

async fn house_with(hooks: &[Arc<dyn Hooks>]) -> Harness {
    let builder = Broker::builder().settings(quiet(|_| ()));
    start(hooks.iter().fold(builder, |builder, hook| builder.hook(hook.clone()))).await
}

async fn house_with_diary() -> (Harness, Arc<Diary>) {
    let diary = Arc::new(Diary::default());
    let house = house_with(&[diary.clone() as Arc<dyn Hooks>]).await;
    assert_eq!(diary.take(), ["started 0"]);
    (house, diary)
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_told_of_from_its_beginning_to_its_end() {
    let (house, diary) = house_with_diary().await;
    let peer = house.v5("c").await;
    let arrival = ["accepted", "authenticate c", "connect c", "established c false", "sending Connack"];
    assert_eq!(diary.take(), arrival);
    peer.leave().await;
    settle().await;
    assert_eq!(diary.take(), ["received Disconnect", "disconnected c ClientLeft", "ended c"]);
    house.shut_down().await;
    assert_eq!(diary.take(), ["stopped"]);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_connection_is_told_of_with_its_cause() {
    let diary = Arc::new(Diary::default());
    let builder = Broker::builder().settings(quiet(|_| ())).access(Arc::new(Explosive));
    let house = start(builder.hook(diary.clone() as Arc<dyn Hooks>)).await;
    let cause = async || {
        settle().await;
        let lines = diary.take();
        let told = lines.iter().find_map(|line| line.strip_prefix("disconnected c "));
        told.unwrap_or_else(|| panic!("no end in {lines:?}")).to_owned()
    };
    let mut peer = house.v5("c").await;
    peer.send(connect("c")).await;
    assert_eq!(cause().await, "Violation(ProtocolError)");
    let peer = house.connect(connect("c").keep_alive_s(10)).await;
    sleep(Duration::from_secs(16)).await;
    assert_eq!(cause().await, "KeepAliveTimeout");
    drop(peer);
    let peer = house.v5("c").await;
    house.broker.client("c").disconnect(ReasonCode::UseAnotherServer).expect("it is connected");
    assert_eq!(cause().await, "Ordered(UseAnotherServer)");
    drop(peer);
    let mut peer = house.v5("c").await;
    peer.send(publish("explosive").payload("x").qos1(1)).await;
    assert_eq!(cause().await, "Panicked");
    let peer = house.v5("c").await;
    house.shut_down().await;
    assert_eq!(cause().await, "Shutdown");
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn sessions_are_told_of_when_they_park_move_and_end() {
    let (house, diary) = house_with_diary().await;
    let resume = || connect("c").clean(false).session_expiry_s(10);
    let first = house.connect(resume()).await;
    let second = house.connect(resume()).await;
    let lines = diary.take();
    assert!(lines.contains(&"taken over c".to_owned()), "{lines:?}");
    assert!(lines.contains(&"disconnected c TakenOver".to_owned()), "{lines:?}");
    assert!(lines.contains(&"sending Disconnect".to_owned()), "{lines:?}");
    assert_eq!(lines[lines.len() - 2..], ["established c true", "sending Connack"]);
    drop(first);
    second.cut();
    settle().await;
    assert_eq!(diary.take(), ["disconnected c Lost", "parked c"]);
    sleep(Duration::from_secs(11)).await;
    assert_eq!(diary.take(), ["ended c"]);
}

#[tokio::test(start_paused = true)]
async fn subscriptions_and_messages_are_asked_and_told_about() {
    let (house, diary) = house_with_diary().await;
    let mut peer = house.v5("c").await;
    diary.take();
    peer.subscribe("t", AtLeastOnce).await;
    assert_eq!(diary.take(), ["received Subscribe", "subscribe t", "subscribed t 1", "sending Suback"]);
    peer.publish(publish("t").payload("x").qos1(1)).await;
    peer.receive_text("x").await;
    settle().await;
    let expected = [
        "received Publish",
        "publish t",
        "published t Success",
        "sending Puback",
        "sent c t",
        "sending Publish",
        "received Puback",
        "acknowledged 1 Success",
    ];
    assert_eq!(diary.take(), expected);
    peer.unsubscribe("t").await;
    assert_eq!(diary.take(), ["received Unsubscribe", "unsubscribe t", "unsubscribed t", "sending Unsuback"]);
}

#[tokio::test(start_paused = true)]
async fn retained_messages_wills_drops_and_members_are_told_of() {
    let (house, diary) = house_with_diary().await;
    let mut peer = house.connect(connect("c").will(will("gone", "w"))).await;
    peer.subscribe("$share/g/t", AtLeastOnce).await;
    diary.take();
    peer.publish(publish("r").payload("abc").retained().expiry_s(5)).await;
    settle().await;
    assert!(diary.take().contains(&"retained r 3".to_owned()));
    sleep(Duration::from_secs(6)).await;
    assert_eq!(diary.take(), ["expired r"]);
    house.broker.local().publish(Publication::new("t", "x")).await.expect("published");
    assert_eq!(diary.take()[..2], ["publish t", "select c"]);
    peer.receive_text("x").await;
    diary.take();
    peer.cut();
    settle().await;
    assert_eq!(diary.take(), ["disconnected c Lost", "will c gone", "will sent c gone", "ended c"]);
    let mut away = house.connect(connect("away").clean(false).session_expiry_s(100)).await;
    away.subscribe("q", AtMostOnce).await;
    away.leave().await;
    settle().await;
    diary.take();
    house.broker.local().publish(Publication::new("q", "x")).await.expect("published");
    assert_eq!(diary.take(), ["publish q", "dropped receiver_offline away q", "published q Success"]);
}

#[tokio::test(start_paused = true)]
async fn retained_messages_that_are_replayed_are_told_of() {
    let (house, diary) = house_with_diary().await;
    let local = house.broker.local();
    local.publish(Publication::new("r", "kept").qos(ExactlyOnce).retain()).await.expect("published");
    let mut peer = house.v5("c").await;
    diary.take();
    peer.subscribe("r", AtLeastOnce).await;
    peer.receive_text("kept").await;
    let of_replays = |line: &String| line.starts_with("replayed");
    assert_eq!(diary.take().into_iter().filter(of_replays).collect::<Vec<_>>(), ["replayed r c 1"]);
    let mut inside = local.subscribe("r").await.expect("allowed");
    assert_eq!(inside.recv().await.expect("kept").text(), "kept");
    assert_eq!(diary.take(), ["subscribe r", "subscribed r 0", "replayed r $local 0"]);
}

#[tokio::test(start_paused = true)]
async fn repetitions_and_a_closed_window_are_told_of() {
    let (house, diary) = house_with_diary().await;
    let resume = || connect("c").clean(false).session_expiry_s(100).receive_maximum(2);
    let mut peer = house.connect(resume()).await;
    peer.subscribe("t", ExactlyOnce).await;
    let local = house.broker.local();
    diary.take();
    for text in ["1", "2", "3", "4"] {
        local.publish(Publication::new("t", text).qos(ExactlyOnce)).await.expect("published");
    }
    settle().await;
    let is_of_sending = |line: &String| line.starts_with("sent") || line.starts_with("exhausted");
    let told = diary.take().into_iter().filter(is_of_sending).collect::<Vec<_>>();
    assert_eq!(told, ["sent c t", "sent c t", "exhausted c 2"]);
    let first = peer.expect_publish().await;
    peer.expect_publish().await;
    peer.send(pubrec(first.packet_id)).await;
    peer.expect_pubrel(first.packet_id).await;
    peer.cut();
    settle().await;
    diary.take();
    let _peer = house.connect(resume()).await;
    settle().await;
    let told: Vec<_> = diary.take().into_iter().filter(|line| line.starts_with("resent")).collect();
    assert_eq!(told, ["resent c Pubrel", "resent c Publish"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_had_kept_is_told_of_before_the_start() {
    let medium = SimulatedMedium::new();
    let on = |medium: &SimulatedMedium| Broker::builder().settings(quiet(|_| ())).store(stored(medium));
    let house = start(on(&medium)).await;
    let mut away = house.connect(connect("away").clean(false).session_expiry_s(1000)).await;
    away.subscribe("t", AtLeastOnce).await;
    away.leave().await;
    settle().await;
    let local = house.broker.local();
    local.publish(Publication::new("t", "x").qos(AtLeastOnce).retain()).await.expect("published");
    let diary = Arc::new(Diary::default());
    let _house = start(on(&medium.after_kill()).hook(diary.clone())).await;
    let lines = diary.take();
    let restored =
        "Restored { sessions: 1, subscriptions: 1, queued_messages: 1, inflight: 0, retained_messages: 1,";
    assert!(lines[0].starts_with(restored), "{lines:?}");
    assert_eq!(lines[1], "started 0");
}

#[tokio::test(start_paused = true)]
async fn local_clients_are_asked_about_unless_they_pass_by_the_hooks() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let local = house.broker.local();
    let mut all = local.subscribe("#").await.expect("allowed");
    local.publish(Publication::new("rewritten", "old")).await.expect("rewritten");
    assert_eq!(all.try_recv().expect("at once").topic(), "out");
    let published = local.publish(Publication::new("swallowed", "x")).await.expect("taken");
    assert!(!published.matched && all.try_recv().is_none());
    for (topic, reason) in [
        ("rejected", ReasonCode::PayloadFormatInvalid),
        ("nonsense", ReasonCode::ImplementationSpecificError),
    ] {
        let refused = local.publish(Publication::new(topic, "x")).await;
        assert_eq!(refused, Err(LocalError::Refused(reason)));
    }
    let refused = local.subscribe("refused").await.err();
    assert_eq!(refused, Some(LocalError::Refused(ReasonCode::QuotaExceeded)));
    let ours = local.subscribe("my/t").await.expect("rewritten");
    assert_eq!(ours.filter(), "ours/t");
    assert_eq!(local.unsubscribe("my/t"), 1);
    assert_eq!(local.unsubscribe("for-ever"), 0);
    let past = house.broker.local_as(LocalOptions::new("past").past_hooks());
    past.publish(Publication::new("rejected", "x")).await.expect("nobody is asked");
    assert_eq!(all.try_recv().expect("at once").topic(), "rejected");
    drop(past.subscribe("refused").await.expect("nobody is asked"));
}

#[tokio::test(start_paused = true)]
async fn the_tick_comes_with_the_sys_tree() {
    let diary = Arc::new(Diary::default());
    let mut settings = quiet(|_| ());
    settings.sys.interval = Some(Duration::from_secs(10));
    let _house = start(Broker::builder().settings(settings).hook(diary.clone())).await;
    sleep(Duration::from_secs(11)).await;
    let ticks = diary.take().into_iter().filter(|line| line == "tick").count();
    assert_eq!(ticks, 2); // at the start and after an interval
}

/// Answers each question in its own way.
#[derive(Debug)]
struct Warden;

impl Hooks for Warden {
    fn interests(&self) -> Events {
        Events::ALL
    }
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Authentication> {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match login.username {
                Some("root") => Authentication::Admit,
                Some("evil") => Authentication::Refuse(ReasonCode::Banned.into()),
                _ => Authentication::NoOpinion,
            }
        })
    }
    fn connect<'a>(&'a self, _: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async move {
            opening.client_id = "nonsense".into();
            opening.keep_alive_s = 7;
            if opening.username.as_deref() == Some("late") {
                Err(ReasonCode::ServerBusy.into())
            } else {
                Ok(())
            }
        })
    }
    fn packet_received(&self, _: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        match packet {
            Packet::Publish(publish) if publish.topic == "ignored" => PacketVerdict::Ignore,
            Packet::Publish(publish) if publish.topic == "fatal" => {
                PacketVerdict::Reject(ReasonCode::QuotaExceeded)
            }
            Packet::Publish(publish) if publish.topic == "replaced" => {
                let mut bytes = Vec::new();
                let replaced = Packet::Publish(mqtt_codec::Publish { topic: "out", ..*publish });
                encode(&replaced, Version::V5, &mut bytes).expect("a packet");
                PacketVerdict::Replace(bytes)
            }
            _ => PacketVerdict::Pass,
        }
    }
    fn packet_sending(&self, client: &Identity, packet: &Packet<'_>) -> PacketVerdict {
        match packet {
            Packet::Publish(publish) if &*client.client_id == "masked" => {
                let mut bytes = Vec::new();
                let masked = Packet::Publish(mqtt_codec::Publish { payload: b"***", ..*publish });
                encode(&masked, Version::V5, &mut bytes).expect("a packet");
                PacketVerdict::Replace(bytes)
            }
            Packet::Publish(_) if &*client.client_id == "deaf" => PacketVerdict::Ignore,
            _ => PacketVerdict::Pass,
        }
    }
    fn subscribe(
        &self,
        _: &Identity,
        filter: &mut String,
        options: &mut SubscriptionOptions,
    ) -> Result<(), ReasonCode> {
        if filter == "refused" {
            return Err(ReasonCode::QuotaExceeded);
        }
        if let Some(rest) = filter.strip_prefix("my/") {
            *filter = format!("ours/{rest}");
            options.qos = AtMostOnce;
        }
        Ok(())
    }
    fn unsubscribe(&self, _: &Identity, filter: &mut String) -> Result<(), ReasonCode> {
        *filter = filter.replace("my/", "ours/");
        if filter == "for-ever" { Err(ReasonCode::NotAuthorized) } else { Ok(()) }
    }
    fn publish(&self, _: &Identity, publish: &InboundPublish<'_>) -> PublishVerdict {
        match publish.topic.as_str() {
            "swallowed" => PublishVerdict::Swallow,
            "rejected" => PublishVerdict::Reject(ReasonCode::PayloadFormatInvalid),
            "rewritten" => PublishVerdict::rewrite(Publication {
                topic: "out".into(),
                payload: b"new".to_vec(),
                ..Publication::from(publish)
            }),
            "nonsense" => {
                PublishVerdict::rewrite(Publication { topic: "#".into(), ..Publication::from(publish) })
            }
            _ => PublishVerdict::Pass,
        }
    }
    fn select_member(&self, _: &str, members: &[&str]) -> Option<usize> {
        members.iter().position(|member| *member == "chosen")
    }
    fn will(&self, client_id: &str, will: &mut Publication) -> bool {
        will.payload = b"rewritten".to_vec();
        client_id != "withheld"
    }
}

#[tokio::test(start_paused = true)]
async fn hooks_decide_who_comes_in_and_on_what_terms() {
    let refusing = house_with(&[Arc::new(Warden)]).await.refusing_anonymous();
    let mut root = refusing.open("root");
    let connack = root.connect(connect("b").username("root")).await;
    assert_eq!(connack.properties().server_keep_alive_s(), Some(7));
    assert_eq!(refusing.broker.client("b").details().await.expect("admitted").keep_alive_s, 7);
    for (name, reason) in [("evil", ReasonCode::Banned), ("nobody", ReasonCode::NotAuthorized)] {
        let mut refused = refusing.open(name);
        refused.send(connect("x").username(name)).await;
        refused.expect_refusal(reason).await;
    }
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut late = house.open("late");
    late.send(connect("x").username("late")).await;
    late.expect_refusal(ReasonCode::ServerBusy).await;
}

/// Grants less than the client asks for.
#[derive(Debug)]
struct Thrifty;

impl Hooks for Thrifty {
    fn interests(&self) -> Events {
        Events::CONNECT
    }
    fn connect<'a>(&'a self, _: &'a Peer, opening: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        opening.session_expiry_s = 7;
        opening.theirs.receive_maximum = std::num::NonZero::<u16>::MIN;
        opening.theirs.maximum_packet_size_bytes = 30;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// [MQTT-3.2.2-21] for the expiry; nobody has to be told of the others, since the client takes more than it gets.
#[tokio::test(start_paused = true)]
async fn limits_that_a_hook_lowers_hold_for_what_the_client_is_sent() {
    let house = house_with(&[Arc::new(Thrifty)]).await;
    let mut reader = house.open("reader");
    let connack = reader.connect(connect("reader").clean(false).session_expiry_s(100)).await;
    assert_eq!(connack.properties().session_expiry_interval_s(), Some(7));
    reader.subscribe("t", AtLeastOnce).await;
    let mut writer = house.v5("writer").await;
    for (packet_id, payload) in [(1, "first"), (2, &*"x".repeat(40)), (3, "third")] {
        writer.send(publish("t").payload(payload).qos1(packet_id)).await;
        writer.expect_puback(packet_id).await;
    }
    let first = reader.expect_publish().await;
    reader.expect_silence().await;
    reader.send(mqtt_testkit::puback(first.packet_id)).await;
    reader.receive_text("third").await;
    assert_eq!(house.broker.metrics().dropped_for(DropReason::TooLargeForReceiver), 1);
    reader.cut();
    sleep(Duration::from_secs(8)).await;
    assert!(house.broker.client("reader").details().await.is_err(), "its session has ended");
}

#[tokio::test(start_paused = true)]
async fn hooks_rewrite_swallow_and_reject_messages() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut watcher = house.v5("watcher").await;
    watcher.subscribe("#", AtMostOnce).await;
    let mut peer = house.v5("c").await;
    let cases = [
        ("rewritten", ReasonCode::Success, Some(("out", "new"))),
        ("swallowed", ReasonCode::Success, None),
        ("rejected", ReasonCode::PayloadFormatInvalid, None),
        ("nonsense", ReasonCode::ImplementationSpecificError, None),
        ("replaced", ReasonCode::Success, Some(("out", "old"))),
        ("plain", ReasonCode::Success, Some(("plain", "old"))),
    ];
    for (id, (topic, reason, arrives)) in (1..).zip(cases) {
        peer.send(publish(topic).payload("old").qos1(id)).await;
        assert_eq!(peer.expect_puback(id).await.reason, reason, "{topic}");
        match arrives {
            Some((topic, text)) => {
                let got = watcher.receive_text(text).await;
                assert_eq!(got.topic, topic);
            }
            None => watcher.expect_silence().await,
        }
    }
    assert_eq!(house.broker.metrics().dropped_for(DropReason::PublishNotAuthorized), 2);
    peer.publish(publish("ignored").payload("old")).await;
    watcher.expect_silence().await;
    peer.send(publish("fatal").payload("old")).await;
    peer.expect_disconnect(ReasonCode::QuotaExceeded).await;
}

#[tokio::test(start_paused = true)]
async fn hooks_change_what_is_sent() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut masked = house.v3("masked").await;
    masked.subscribe("t", AtMostOnce).await;
    let mut deaf = house.v5("deaf").await;
    deaf.subscribe("t", AtMostOnce).await;
    let mut peer = house.v5("c").await;
    for _ in 0..3 {
        peer.publish(publish("t").payload("password")).await;
    }
    for _ in 0..3 {
        masked.receive_text("***").await;
    }
    deaf.expect_silence().await;
    deaf.ping().await;
}

#[tokio::test(start_paused = true)]
async fn hooks_rewrite_and_refuse_subscriptions() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut peer = house.v5("c").await;
    let request =
        subscribe(1).filter("my/t", ExactlyOnce).filter("refused", AtMostOnce).filter("for-ever", AtMostOnce);
    let suback = peer.subscribe_with(request).await;
    let expected = [ReasonCode::GRANTED_QOS_0, ReasonCode::QuotaExceeded, ReasonCode::GRANTED_QOS_0];
    assert_eq!(suback.reasons, expected);
    peer.publish(publish("ours/t").payload("x")).await;
    peer.receive_text("x").await;
    assert_eq!(peer.unsubscribe("my/t").await.reasons, [ReasonCode::Success]);
    assert_eq!(peer.unsubscribe("for-ever").await.reasons, [ReasonCode::NotAuthorized]);
}

#[tokio::test(start_paused = true)]
async fn hooks_choose_members_and_rewrite_wills() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut members = Vec::new();
    for id in ["other", "chosen"] {
        let mut member = house.connect(connect(id).will(will("w", "as it was"))).await;
        member.subscribe("$share/g/t", AtMostOnce).await;
        members.push(member);
    }
    for _ in 0..4 {
        house.broker.local().publish(Publication::new("t", "x")).await.expect("published");
    }
    assert_eq!(members[1].drain().await.len(), 4);
    let mut watcher = house.v5("watcher").await;
    watcher.subscribe("w", AtMostOnce).await;
    house.connect(connect("withheld").will(will("w", "never"))).await.cut();
    watcher.expect_silence().await;
    members.pop().expect("two members").cut();
    watcher.receive_text("rewritten").await;
}

/// Panics whenever it is called, or never answers.
#[derive(Debug)]
struct Broken {
    rule: FailureRule,
}

impl Hooks for Broken {
    fn interests(&self) -> Events {
        Events::ALL
    }
    fn failure_rule(&self) -> FailureRule {
        self.rule
    }
    fn authenticate<'a>(&'a self, _: &'a Login<'a>) -> Answer<'a, Authentication> {
        Box::pin(std::future::pending())
    }
    fn connect<'a>(&'a self, _: &'a Peer, _: &'a mut Opening) -> Answer<'a, Result<(), Refusal>> {
        Box::pin(async { panic!("a hook that panics while it is awaited") })
    }
    fn publish(&self, _: &Identity, _: &InboundPublish<'_>) -> PublishVerdict {
        panic!("a hook that panics")
    }
    fn published(&self, _: &Identity, _: &InboundPublish<'_>, _: ReasonCode) {
        panic!("a hook that panics")
    }
    fn subscribe(&self, _: &Identity, _: &mut String, _: &mut SubscriptionOptions) -> Result<(), ReasonCode> {
        Err(ReasonCode::Success) // nonsense
    }
    fn packet_received(&self, _: &Identity, _: &Packet<'_>) -> PacketVerdict {
        PacketVerdict::Replace(b"no packet".to_vec())
    }
    fn packet_sending(&self, _: &Identity, _: &Packet<'_>) -> PacketVerdict {
        panic!("a hook that panics")
    }
    fn disconnected(&self, _: &Identity, _: DisconnectCause) {
        panic!("a hook that panics")
    }
    fn select_member(&self, _: &str, _: &[&str]) -> Option<usize> {
        panic!("a hook that panics")
    }
    fn dropped(&self, _: DropReason, _: &str, _: &str, _: QoS) {
        panic!("a hook that panics")
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_hook_that_fails_open_changes_nothing() {
    let rule = FailureRule { deadline: Duration::from_secs(2), refuse: false };
    let house = house_with(&[Arc::new(Broken { rule })]).await;
    let before = tokio::time::Instant::now();
    let mut peer = house.v5("c").await;
    assert_eq!(before.elapsed(), Duration::from_secs(2));
    peer.send(subscribe(1).filter("$share/g/t", AtLeastOnce)).await;
    assert_eq!(peer.expect_suback().await.reasons, [ReasonCode::ImplementationSpecificError]);
    peer.publish(publish("t").payload("x").qos1(2)).await;
    let local = house.broker.local();
    local.publish(Publication::new("t", "x")).await.expect("published");
    peer.ping().await;
    peer.leave().await;
    house.v5("again").await.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_broken_hook_that_fails_closed_refuses_and_the_broker_goes_on() {
    let rule = FailureRule { deadline: Duration::from_secs(2), refuse: true };
    let house = house_with(&[Arc::new(Broken { rule })]).await;
    for _ in 0..2 {
        let mut peer = house.open("c");
        peer.send(connect("c")).await;
        peer.expect_refusal(ReasonCode::ImplementationSpecificError).await;
    }
    assert_eq!(house.broker.metrics().connects_failed, 2);
}

#[tokio::test(start_paused = true)]
async fn a_slow_hook_holds_up_nobody_else() {
    let house = house_with(&[Arc::new(Warden)]).await;
    let mut slow = house.open("slow");
    slow.send(connect("slow")).await;
    let local = house.broker.local();
    let mut inside = local.subscribe("t").await.expect("allowed");
    local.publish(Publication::new("t", "x")).await.expect("published");
    assert_eq!(inside.try_recv().expect("at once").text(), "x");
    sleep(Duration::from_secs(2)).await;
    slow.expect_connack().await;
}

#[tokio::test(start_paused = true)]
async fn each_hook_sees_what_those_before_it_made() {
    let diary = Arc::new(Diary::default());
    let house = house_with(&[Arc::new(Warden), diary.clone()]).await;
    let mut peer = house.v5("c").await;
    diary.take();
    peer.publish(publish("rewritten").payload("x")).await;
    peer.publish(publish("swallowed").payload("x")).await;
    settle().await;
    let lines: Vec<_> = diary.take().into_iter().filter(|line| line.starts_with("publish")).collect();
    assert_eq!(lines, ["publish out", "published out Success"]);
}
