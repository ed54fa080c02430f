//! Bans: who is shut out does not get in, and does not stay; and refusals counted by cause.

use std::time::Duration;

use mqtt_broker::{Ban, Banned, EntryRefusal, Origin, Peer as From, Publication, Refused};
use mqtt_codec::{QoS, ReasonCode, Version};
use mqtt_testkit::{Peer, connect, pipe};
use mqtt_transport::Connection;

use crate::harness::{Harness, broker, broker_with, quiet, start};

fn whom(text: &str) -> Banned {
    text.parse().expect("a ban")
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

fn ban(house: &Harness, text: &str, seconds: Option<u64>) -> usize {
    let until = seconds.map(|seconds| now() + Duration::from_secs(seconds));
    house.broker.ban(Ban { until, ..Ban::of(whom(text)) }).expect("room")
}

fn open_from(house: &Harness, address: &str) -> Peer {
    let (near, far) = pipe();
    let from = From { address: address.parse().ok(), ..From::anonymous() };
    house.broker.attach(Connection::boxed(far), from);
    Peer::new("peer", near)
}

async fn refuse(house: &Harness, client_id: &str, username: &str, version: Version) {
    let mut peer = house.open("peer");
    peer.send(connect(client_id).username(username).version(version)).await;
    let said = if version == Version::V5 { ReasonCode::Banned } else { ReasonCode::NotAuthorized };
    peer.expect_refusal(said).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_is_banned_is_disconnected_at_once_and_refused_until_the_ban_ends() {
    let house = broker().await;
    for (text, client_id, username) in [("client=evil", "evil", "u"), ("user=eve", "c", "eve")] {
        let mut peer = house.connect(connect(client_id).username(username)).await;
        let mut other = house.v5("other").await;
        assert_eq!(ban(&house, text, Some(60)), 1);
        peer.expect_disconnect(ReasonCode::AdministrativeAction).await;
        other.ping().await;
        for version in Version::ALL {
            refuse(&house, client_id, username, version).await;
        }
        tokio::time::sleep(Duration::from_secs(60)).await;
        house.connect(connect(client_id).username(username)).await.leave().await;
        other.leave().await;
    }
    let metrics = house.broker.metrics();
    assert_eq!(metrics.clients_banned, 2);
    assert_eq!(metrics.reasons.count(Refused::Connect, ReasonCode::Banned), 6);
    assert_eq!(metrics.reasons.count(Refused::Connection, ReasonCode::AdministrativeAction), 2);
}

#[tokio::test(start_paused = true)]
async fn a_banned_network_is_closed_without_a_word() {
    let house = broker().await;
    let mut near = open_from(&house, "198.51.100.7:1");
    near.connect(connect("near")).await;
    let mut far = open_from(&house, "203.0.113.7:1");
    far.connect(connect("far")).await;
    assert_eq!(ban(&house, "address=198.51.100.0/24", None), 1);
    near.expect_disconnect(ReasonCode::AdministrativeAction).await;
    far.ping().await;
    open_from(&house, "198.51.100.8:1").expect_closed().await;
    open_from(&house, "[::ffff:198.51.100.9]:1").expect_closed().await;
    assert_eq!(house.broker.metrics().entries_refused_for(EntryRefusal::Banned), 2);
}

#[tokio::test(start_paused = true)]
async fn a_ban_that_is_lifted_holds_no_more() {
    let house = broker().await;
    let evil = Ban::of(whom("client=evil")).because("floods");
    house.broker.ban(evil.clone()).expect("room");
    assert_eq!(house.broker.bans(), [evil]);
    refuse(&house, "evil", "u", Version::V5).await;
    assert!(house.broker.lift_ban(&whom("client=evil")) && !house.broker.lift_ban(&whom("client=evil")));
    house.v5("evil").await.leave().await;
    assert!(house.broker.bans().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_away_keeps_its_session_through_a_ban_and_no_other_gets_it() {
    let house = broker().await;
    let request = || connect("evil").clean(false).session_expiry_s(1000);
    let mut peer = house.connect(request()).await;
    peer.subscribe("t", QoS::AtLeastOnce).await;
    peer.leave().await;
    assert_eq!(ban(&house, "client=evil", Some(10)), 0);
    refuse(&house, "evil", "u", Version::V5).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let mut back = house.open("peer");
    back.send(request()).await;
    assert!(back.expect_connack().await.session_present);
}

#[tokio::test(start_paused = true)]
async fn the_programs_own_clients_are_not_banned() {
    let house = broker().await;
    ban(&house, "client=$local", None);
    let mut peer = house.v5("c").await;
    peer.subscribe("t", QoS::AtMostOnce).await;
    house.broker.local().publish(Publication::new("t", "still here")).await.expect("it is published");
    peer.receive_text("still here").await;
}

#[tokio::test(start_paused = true)]
async fn bans_can_be_shared_with_the_program_and_have_a_bound() {
    let bans = mqtt_broker::Bans::new(1);
    let house = start(mqtt_broker::Broker::builder().settings(quiet(|_| ())).bans(bans.clone())).await;
    bans.add(Ban::of(whom("client=evil")).from(Origin::Configuration), now()).expect("room");
    assert_eq!(house.broker.bans()[0].origin, Origin::Configuration);
    house.broker.ban(Ban::of(whom("client=more"))).expect_err("there is room for one");
}

#[tokio::test(start_paused = true)]
async fn refusals_stand_in_the_sys_tree_by_cause() {
    let house = broker_with(|settings| {
        settings.sys.interval = Some(Duration::from_secs(1));
        settings.limits.subscriptions_max = 1;
    })
    .await;
    ban(&house, "client=evil", None);
    refuse(&house, "evil", "u", Version::V5).await;
    let mut peer = house.v5("c").await;
    peer.subscribe("$SYS/broker/refusals/#", QoS::AtMostOnce).await;
    let suback = mqtt_testkit::subscribe(2).filter("more", QoS::AtMostOnce);
    peer.send(suback).await;
    peer.expect_suback().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let mut found = Vec::new();
    while found.len() < 2 {
        let publish = peer.expect_publish().await;
        found.push(format!("{} {}", publish.topic, String::from_utf8_lossy(&publish.payload)));
        found.sort();
        found.dedup();
    }
    let expected =
        ["$SYS/broker/refusals/connect/banned 1", "$SYS/broker/refusals/subscribe/quota_exceeded 1"];
    assert_eq!(found, expected);
}
