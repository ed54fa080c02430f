//! Packets that the program hands to its broker as if a client had sent them, and what it knows of its clients.

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Broker, InjectError, InjectOptions, UnknownClient};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce, ExactlyOnce};
use mqtt_codec::{
    Ack, Auth, Connack, Disconnect, Packet, PacketId, Properties, PropertiesBuf, Property, Publish, QoS,
    ReasonCode, SubscriptionOptions, Version,
};
use mqtt_session::{AuthenticationMethod, Exchange, Step};
use mqtt_testkit::{ToWire, auth, connect, disconnect, publish, pubrec, subscribe, unsubscribe, will};
use tokio::time::sleep;

use crate::harness::{Harness, broker, quiet, start};
use crate::wires::settle;

const PLAIN: fn() -> InjectOptions = InjectOptions::default;

fn message<'a>(topic: &'a str, qos: QoS, id: u16) -> Packet<'a> {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic,
        packet_id: PacketId::new(id),
        properties: Properties::EMPTY,
        payload: b"injected",
    })
}

fn ack(id: u16) -> Ack<'static> {
    let packet_id = PacketId::new(id).expect("not 0");
    Ack { packet_id, reason: ReasonCode::Success, properties: Properties::EMPTY }
}

async fn inject(house: &Harness, client_id: &str, packet: &Packet<'_>) -> Result<Vec<String>, InjectError> {
    let answers = house.broker.client(client_id).inject(packet, PLAIN()).await?;
    Ok(answers.packets().map(|packet| format!("{:?}", packet.packet_type())).collect())
}

/// A client with a parked session that is subscribed to `t`.
async fn park(house: &Harness, client_id: &str) {
    let mut peer = house.connect(connect(client_id).clean(false).session_expiry_s(100)).await;
    peer.subscribe("t", ExactlyOnce).await;
    peer.leave().await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn each_packet_of_a_client_can_be_injected_online_and_away() {
    for state in ["online", "away", "made up"] {
        let house = broker().await;
        let mut watcher = house.v5("watcher").await;
        watcher.subscribe("#", ExactlyOnce).await;
        let mut peer = None;
        match state {
            "online" => peer = Some(house.v5("c").await),
            "away" => park(&house, "c").await,
            _ => {
                let made_up = house.broker.client("c");
                made_up.inject(&Packet::Pingreq, PLAIN().make_up(100)).await.expect("made up");
            }
        }
        let check = async |packet: Packet<'_>, answers: &[&str]| {
            assert_eq!(
                inject(&house, "c", &packet).await.as_deref(),
                Ok(&*names(answers)),
                "{packet:?} {state}"
            );
        };
        check(message("x", AtMostOnce, 0), &[]).await;
        watcher.receive_text("injected").await;
        check(message("x", AtLeastOnce, 7), &["Puback"]).await;
        watcher.receive_text("injected").await;
        check(message("x", ExactlyOnce, 8), &["Pubrec"]).await;
        watcher.receive_text("injected").await;
        check(message("x", ExactlyOnce, 8), &["Pubrec"]).await; // the same again is not passed on again
        watcher.expect_silence().await;
        check(Packet::Pubrel(ack(8)), &["Pubcomp"]).await;
        check(Packet::Pingreq, &["Pingresp"]).await;
        check(Packet::Pubrec(ack(99)), &["Pubrel"]).await;
        check(Packet::Puback(ack(99)), &[]).await; // nothing waits for it
        check(Packet::Pubcomp(ack(99)), &[]).await;
        let subscribe = subscribe(3).filter("s", AtLeastOnce).filter("u", AtLeastOnce).to_wire(Version::V5);
        let unsubscribe = unsubscribe(4).filter("u").to_wire(Version::V5);
        for (bytes, answer) in [(subscribe, "Suback"), (unsubscribe, "Unsuback")] {
            let answers = house.broker.client("c").inject_bytes(&bytes, PLAIN()).await.expect("accepted");
            let got: Vec<_> = answers.packets().map(|packet| format!("{:?}", packet.packet_type())).collect();
            assert_eq!(got, [answer]);
        }
        let details = house.broker.client("c").details().await.expect("known");
        let is_subscribed = |wanted: &str| details.subscriptions.iter().any(|(filter, _)| filter == wanted);
        assert_eq!(["s", "u"].map(is_subscribed), [true, false]);
        let unsubscribed = house.broker.client("c").unsubscribe("s").await;
        assert_eq!(unsubscribed, Ok(ReasonCode::Success));
        let gone =
            Packet::Disconnect(Disconnect { reason: ReasonCode::Success, properties: Properties::EMPTY });
        check(gone, &[]).await;
        if let Some(mut peer) = peer {
            peer.expect_closed().await;
        } else {
            assert_eq!(house.broker.client("c").is_online(), Some(false));
        }
    }
}

fn names(of: &[&str]) -> Vec<String> {
    of.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_injected_acknowledgement_moves_the_clients_own_window() {
    let house = broker().await;
    let mut peer = house.connect(connect("c").receive_maximum(1)).await;
    peer.subscribe("t", ExactlyOnce).await;
    let local = house.broker.local();
    for text in ["1", "2"] {
        let message = mqtt_broker::Publication::new("t", text).qos(ExactlyOnce);
        local.publish(message).await.expect("published");
    }
    let first = peer.expect_publish().await;
    peer.expect_silence().await; // the window is closed
    let id = first.packet_id;
    assert_eq!(inject(&house, "c", &Packet::Pubrec(ack(id))).await, Ok(names(&["Pubrel"])));
    assert_eq!(inject(&house, "c", &Packet::Pubcomp(ack(id))).await, Ok(vec![]));
    let second = peer.expect_publish().await;
    assert_eq!(second.text(), "2");
    peer.send(pubrec(second.packet_id)).await;
    peer.expect_pubrel(second.packet_id).await;
}

#[tokio::test(start_paused = true)]
async fn an_injected_puback_settles_a_message_whether_its_client_is_there_or_not() {
    let house = broker().await;
    let resume = || connect("c").clean(false).session_expiry_s(100);
    let mut peer = house.connect(resume()).await;
    peer.subscribe("t", AtLeastOnce).await;
    let local = house.broker.local();
    let send = async |text: &str| {
        let message = mqtt_broker::Publication::new("t", text).qos(AtLeastOnce);
        local.publish(message).await.expect("published");
    };
    send("online").await;
    let id = peer.expect_publish().await.packet_id;
    assert_eq!(inject(&house, "c", &Packet::Puback(ack(id))).await, Ok(vec![]));
    assert_eq!(house.broker.client("c").details().await.expect("known").inflight, 0);
    send("away").await;
    let id = peer.expect_publish().await.packet_id;
    peer.cut();
    settle().await;
    assert_eq!(house.broker.client("c").details().await.expect("known").inflight, 1);
    assert_eq!(inject(&house, "c", &Packet::Puback(ack(id))).await, Ok(vec![]));
    let mut again = house.connect(resume()).await;
    again.expect_silence().await; // nothing is left to be repeated
}

/// Success at once.
#[derive(Debug)]
struct Easy;

impl AuthenticationMethod for Easy {
    fn name(&self) -> &str {
        "easy"
    }
    fn start(&self, _: &str, _: Option<&str>) -> Box<dyn Exchange> {
        Box::new(Easy)
    }
}

impl Exchange for Easy {
    fn step(&mut self, data: &[u8]) -> Step {
        if data == b"wrong" { Step::Failure(ReasonCode::NotAuthorized) } else { Step::Success(None) }
    }
}

#[tokio::test(start_paused = true)]
async fn an_injected_auth_authenticates_anew() {
    let house = start(Broker::builder().settings(quiet(|_| ())).authentication_method(Arc::new(Easy))).await;
    let mut peer = house.connect(connect("c").property(Property::AuthenticationMethod("easy"))).await;
    for (data, right) in [(&b"right"[..], true), (b"wrong", false)] {
        let bytes = auth(ReasonCode::ReAuthenticate).method("easy", data).to_wire(Version::V5);
        let answers = house.broker.client("c").inject_bytes(&bytes, PLAIN()).await;
        match answers {
            Ok(answers) => {
                let Some(Packet::Auth(auth)) = answers.packets().next() else { panic!("no AUTH") };
                assert!(right && auth.reason == ReasonCode::Success);
            }
            Err(error) => assert!(!right && matches!(error, InjectError::Violation(_)), "{error:?}"),
        }
    }
    peer.ping().await;
}

#[tokio::test(start_paused = true)]
async fn an_injected_connect_is_a_violation_and_harms_nobody() {
    let house = broker().await;
    let mut peer = house.v5("c").await;
    park(&house, "away").await;
    let connect = connect("c").to_wire(Version::V5);
    for (id, options) in [("c", PLAIN()), ("away", PLAIN()), ("made up", PLAIN().make_up(0))] {
        let refused = house.broker.client(id).inject_bytes(&connect, options).await;
        assert!(matches!(refused, Err(InjectError::Violation(_))), "{id}: {refused:?}");
    }
    peer.ping().await;
    assert_eq!(house.broker.client("away").is_online(), Some(false));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_standard_is_a_typed_error_and_harms_nobody() {
    let house = broker().await;
    let mut peer = house.v5("c").await;
    park(&house, "away").await;
    let connack = Packet::Connack(Connack {
        session_present: false,
        reason: ReasonCode::Success,
        properties: Properties::EMPTY,
    });
    let mut method = PropertiesBuf::new();
    method.push(&Property::AuthenticationMethod("m")).expect("a short name");
    let auth = Packet::Auth(Auth { reason: ReasonCode::ReAuthenticate, properties: method.as_properties() });
    for id in ["c", "away"] {
        let client = house.broker.client(id);
        for packet in [&connack, &auth, &Packet::Pingresp, &message("a/#", AtMostOnce, 0)] {
            let refused = client.inject(packet, PLAIN()).await;
            assert!(matches!(refused, Err(InjectError::Violation(_))), "{packet:?}: {refused:?}");
        }
        for bytes in [&b""[..], b"\xc0", b"\xc0\x00\xc0\x00", b"\x00\x00", b"\x32\x01\x00"] {
            let refused = client.inject_bytes(bytes, PLAIN()).await;
            assert!(matches!(refused, Err(InjectError::Malformed(_))), "{bytes:?}: {refused:?}");
        }
        let unencodable = client.inject(&message("t", AtLeastOnce, 0), PLAIN()).await;
        assert!(matches!(unencodable, Err(InjectError::NotEncodable(_))), "{unencodable:?}");
    }
    peer.ping().await;
    assert_eq!(house.broker.client("away").is_online(), Some(false));
    let unknown = house.broker.client("nobody");
    assert_eq!(unknown.inject(&Packet::Pingreq, PLAIN()).await, Err(InjectError::UnknownClient));
    assert_eq!(unknown.details().await, Err(UnknownClient));
    assert_eq!(unknown.expire().await, Err(UnknownClient));
    assert_eq!(unknown.disconnect(ReasonCode::AdministrativeAction), Err(UnknownClient));
    assert_eq!(unknown.is_online(), None);
}

#[tokio::test(start_paused = true)]
async fn a_made_up_client_lives_as_long_as_was_said() {
    let house = broker().await;
    let mut watcher = house.v5("watcher").await;
    watcher.subscribe("x", AtLeastOnce).await;
    let client = house.broker.client("made-up");
    client.inject(&message("x", AtMostOnce, 0), PLAIN().make_up(0)).await.expect("accepted");
    watcher.receive_text("injected").await;
    assert_eq!(client.is_online(), None);
    let bytes = ToWire::to_wire(&subscribe(1).filter("t", AtLeastOnce), Version::V5);
    client.inject_bytes(&bytes, PLAIN().make_up(60)).await.expect("accepted");
    watcher.publish(publish("t").payload("kept").qos1(1)).await;
    assert_eq!(client.details().await.expect("known").queued_messages, 1);
    let mut real = house.connect(connect("made-up").clean(false).session_expiry_s(60)).await;
    real.receive_text("kept").await;
    real.leave().await;
    sleep(Duration::from_secs(61)).await;
    assert_eq!(client.is_online(), None);
}

#[tokio::test(start_paused = true)]
async fn topic_restrictions_apply_unless_the_injector_says_otherwise() {
    let house = broker().await;
    let mut own = house.broker.local().subscribe("$SYS/x").await.expect("allowed");
    let _peer = house.v5("c").await;
    let client = house.broker.client("c");
    let packet = message("$SYS/x", AtLeastOnce, 1);
    let reason = |answers: mqtt_broker::Answers| match answers.packets().next() {
        Some(Packet::Puback(ack)) => ack.reason,
        other => panic!("{other:?}"),
    };
    let refused = client.inject(&packet, PLAIN()).await.expect("a packet");
    assert_eq!(reason(refused), ReasonCode::NotAuthorized);
    assert!(own.try_recv().is_none());
    let allowed = client.inject(&packet, PLAIN().past_access()).await.expect("a packet");
    assert_eq!(reason(allowed), ReasonCode::Success);
    assert_eq!(own.try_recv().expect("a message").text(), "injected");
    let again = client.inject(&packet, PLAIN()).await.expect("a packet");
    assert_eq!(reason(again), ReasonCode::NotAuthorized, "nothing of it is remembered");
}

#[tokio::test(start_paused = true)]
async fn details_of_an_online_client_and_of_one_that_is_away() {
    let house = broker().await;
    let request = connect("c").clean(false).keep_alive_s(30).session_expiry_s(100).username("u");
    let request = request.will(will("w", "gone").qos(AtLeastOnce).delay_s(10));
    let mut peer = house.connect(request).await;
    peer.subscribe("t", AtLeastOnce).await;
    house
        .broker
        .local()
        .publish(mqtt_broker::Publication::new("t", "1").qos(AtLeastOnce))
        .await
        .expect("published");
    settle().await;
    let client = house.broker.client("c");
    let details = client.details().await.expect("known");
    assert!(details.online);
    assert_eq!(details.version, Some(Version::V5));
    assert_eq!((details.keep_alive_s, details.session_expiry_s), (30, 100));
    assert_eq!(details.username.as_deref(), Some("u"));
    assert_eq!((details.inflight, details.queued_messages), (1, 0));
    let expected = details.will.expect("a will");
    assert_eq!((expected.topic.as_str(), expected.qos, expected.delay_interval_s), ("w", AtLeastOnce, 10));
    peer.cut();
    settle().await;
    let details = client.details().await.expect("known");
    assert!(!details.online);
    assert_eq!((details.version, details.address), (None, None));
    assert_eq!((details.inflight, details.subscriptions.len()), (1, 1));
    assert!(details.will.is_some());
    // Looking at it has changed nothing: the will comes in time, and so does the end.
    let mut watcher = house.v5("watcher").await;
    watcher.subscribe("w", AtMostOnce).await;
    sleep(Duration::from_secs(9)).await;
    client.details().await.expect("known");
    watcher.expect_silence_for(Duration::from_millis(900)).await;
    sleep(Duration::from_millis(200)).await;
    watcher.receive_text("gone").await;
    sleep(Duration::from_secs(89)).await;
    assert_eq!(client.is_online(), Some(false));
    sleep(Duration::from_secs(2)).await;
    assert_eq!(client.is_online(), None);
}

#[tokio::test(start_paused = true)]
async fn clients_are_listed_in_pages() {
    let house = broker().await;
    let mut peers = Vec::new();
    for id in ["d", "a", "c"] {
        peers.push(house.v5(id).await);
    }
    park(&house, "b").await;
    let page = |after: Option<&str>, limit| -> Vec<(String, bool)> {
        let entries = house.broker.clients(after, limit);
        entries.iter().map(|entry| (entry.client_id.to_string(), entry.online)).collect()
    };
    assert_eq!(page(None, 3), [("a".into(), true), ("b".into(), false), ("c".into(), true)]);
    assert_eq!(page(Some("c"), 3), [("d".into(), true)]);
    assert_eq!(page(Some("d"), 3), []);
}

#[tokio::test(start_paused = true)]
async fn expiring_a_client_ends_its_session_whether_it_is_there_or_not() {
    let house = broker().await;
    park(&house, "away").await;
    let mut peer = house.connect(connect("here").clean(false).session_expiry_s(100)).await;
    house.broker.client("away").expire().await.expect("known");
    house.broker.client("here").expire().await.expect("known");
    peer.expect_disconnect(ReasonCode::AdministrativeAction).await;
    settle().await;
    assert_eq!(house.broker.clients(None, 10), []);
}

#[tokio::test(start_paused = true)]
async fn subscribing_for_a_client_gives_it_retained_messages_too() {
    let house = broker().await;
    let mut peer = house.v3("c").await;
    let local = house.broker.local();
    local.publish(mqtt_broker::Publication::new("r", "kept").retain()).await.expect("published");
    let client = house.broker.client("c");
    assert_eq!(client.subscribe("r", SubscriptionOptions::at(AtMostOnce)).await, Ok(ReasonCode::Success));
    assert!(peer.receive_text("kept").await.retain);
    assert!(matches!(
        client.subscribe("a#", SubscriptionOptions::at(AtMostOnce)).await,
        Err(InjectError::Violation(_))
    ));
    peer.send(disconnect(ReasonCode::Success)).await;
}
