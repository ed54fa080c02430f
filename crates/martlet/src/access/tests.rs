//! The guard in front of a whole broker, in memory and with virtual time.

use std::sync::Arc;
use std::time::Duration;

use mqtt_access::password::PasswordHash;
use mqtt_access::scram::{ClientExchange, Mechanism, Verifier};
use mqtt_broker::{Ban, Banned, Broker, ListenerRules, Peer as From, Settings};
use mqtt_codec::QoS::AtMostOnce;
use mqtt_codec::{Property, ReasonCode, Version};
use mqtt_testkit::{ConnectBuilder, Peer, auth, connect, pipe, publish};
use mqtt_transport::Connection;

use super::settings::UserLines;
use super::*;
use crate::config::{Setting, Value};

pub(super) struct House {
    pub(super) broker: Broker,
    pub(super) guard: Arc<Guard>,
    anonymous: bool,
    /// What the listener says.
    authentication: Option<Vec<&'static str>>,
}

/// alice and bob with mosquitto's hashes of `secret`, carol with a verifier of `pencil`.
fn users() -> Vec<String> {
    let carol = Verifier::derive(Mechanism::Sha256, b"pencil", b"saltsalt", 4096);
    vec![
        "alice:$7$101$VfCN2QBxR393E5xb$12JnNYUPVA04OLbzceC4ZJqmWhBrmDYr/1r7AzVcrOJgIZZjF0sTQo4f+O6tyAF7FDoYJNc/Tn27Cj+/QO8hlQ==".to_owned(),
        "bob:$6$V7Ma+NcEiAngp6ki$YSTr+k6FmE97RMzdz/SX4CyC4kbyLMrcl98gngLnZ+w3s7EQ2zR3JwxB7+6LsA48h7An8Lxor4BFMNFml92CCw==".to_owned(),
        format!("carol:{}", PasswordHash::of_verifier(carol).to_text()),
    ]
}

pub(super) fn settings(rules: &[&str]) -> AccessSettings {
    AccessSettings {
        users: UserLines(users()),
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        ..AccessSettings::default()
    }
}

pub(super) async fn house(settings: &AccessSettings, anonymous: bool) -> House {
    let loaded = load(settings).expect("good settings");
    let guard = Arc::new(Guard::new(settings, loaded).expect("random numbers"));
    let mut quiet = Settings::default();
    quiet.sys.interval = None;
    let broker = Broker::builder()
        .settings(quiet)
        .access(guard.clone())
        .bans(guard.bans())
        .start()
        .await
        .expect("it starts");
    House { broker, guard, anonymous, authentication: None }
}

impl House {
    pub(super) fn open(&self) -> Peer {
        self.open_from("192.0.2.1:1")
    }

    fn open_from(&self, address: &str) -> Peer {
        let (near, far) = pipe();
        let rules = ListenerRules {
            name: "door".into(),
            allow_anonymous: self.anonymous,
            authentication: self
                .authentication
                .as_ref()
                .map(|names| names.iter().map(|name| (*name).into()).collect()),
            ..ListenerRules::default()
        };
        let address = address.parse().ok();
        self.broker
            .attach(Connection::boxed(far), From { listener: Arc::new(rules), address, certificate: None });
        Peer::new("peer", near)
    }

    pub(super) async fn connect(&self, request: ConnectBuilder) -> Peer {
        let mut peer = self.open();
        peer.connect(request).await;
        peer
    }

    pub(super) async fn refuse(&self, request: ConnectBuilder, reason: ReasonCode) {
        let mut peer = self.open();
        peer.send(request).await;
        peer.expect_refusal(reason).await;
    }

    pub(super) fn reload(&self, settings: &AccessSettings) {
        let loaded = load(settings).expect("good settings");
        self.guard.take_over(self.guard.prepare(settings.clone(), loaded).expect("random numbers"));
        self.broker.access_changed();
    }
}

fn user(name: &str, password: &str) -> ConnectBuilder {
    connect(&format!("client of {name}")).username(name).password(password)
}

#[tokio::test(start_paused = true)]
async fn only_the_right_password_admits_in_every_version() {
    let house = house(&settings(&[]), false).await;
    for version in Version::ALL {
        for (name, password) in [("alice", "secret"), ("bob", "secret"), ("carol", "pencil")] {
            house.connect(user(name, password).version(version)).await.leave().await;
        }
        let refused = ReasonCode::BadUserNameOrPassword;
        for (name, password) in
            [("alice", "Secret"), ("Alice", "secret"), ("nobody", "secret"), ("", "secret"), ("alice", "")]
        {
            house.refuse(user(name, password).version(version), refused).await;
        }
        house.refuse(connect("c").version(version), ReasonCode::NotAuthorized).await;
        house.refuse(connect("c").version(version).username("bob"), refused).await;
    }
    house.refuse(connect("c").password("secret"), ReasonCode::BadUserNameOrPassword).await;
    house.refuse(user("bob", "secret\0"), ReasonCode::BadUserNameOrPassword).await;
}

#[tokio::test(start_paused = true)]
async fn whoever_shows_a_name_must_prove_it_even_where_nobody_has_to() {
    let house = house(&settings(&["allow anonymous publish open", "allow user=alice publish #"]), true).await;
    let mut peer = house.connect(connect("c")).await;
    for (topic, reason) in
        [("open", ReasonCode::NoMatchingSubscribers), ("closed", ReasonCode::NotAuthorized)]
    {
        peer.send(publish(topic).payload("x").qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, reason);
    }
    house.refuse(user("alice", "guess"), ReasonCode::BadUserNameOrPassword).await;
    house.refuse(connect("d").username("alice"), ReasonCode::BadUserNameOrPassword).await;
}

#[tokio::test(start_paused = true)]
async fn a_name_that_nobody_checks_counts_for_nothing() {
    let rules = AccessSettings { users: UserLines::default(), ..settings(&["allow user=alice publish #"]) };
    let house = house(&rules, true).await;
    let mut peer = house.connect(user("alice", "anything")).await;
    peer.send(publish("t").payload("x").qos1(1)).await;
    assert_eq!(peer.expect_puback(1).await.reason, ReasonCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn a_listener_asks_only_the_members_that_it_names() {
    let mut house = house(&settings(&[]), true).await;
    house.authentication = Some(vec!["scram"]);
    house.refuse(user("alice", "secret"), ReasonCode::BadUserNameOrPassword).await;
    house.refuse(connect("c"), ReasonCode::NotAuthorized).await;
    house.authentication = Some(vec!["anonymous"]);
    house.connect(connect("c")).await.leave().await;
    house.authentication = Some(vec!["password_file"]);
    house.connect(user("alice", "secret")).await.leave().await;
    house.refuse(connect("c"), ReasonCode::NotAuthorized).await;
    let scram = connect("c").property(Property::AuthenticationMethod("SCRAM-SHA-256"));
    house.refuse(scram, ReasonCode::BadAuthenticationMethod).await;
    house.authentication = Some(Vec::new());
    house.refuse(user("alice", "secret"), ReasonCode::BadUserNameOrPassword).await;
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_the_chain_takes_its_clients_along() {
    let before = settings(&[]);
    let house = house(&before, true).await;
    let mut alice = house.connect(user("alice", "secret")).await;
    let mut after = before.clone();
    after.authentication =
        Order::read(Value::List(vec!["scram".to_owned(), "anonymous".to_owned()])).expect("names");
    house.reload(&after);
    alice.expect_disconnect(ReasonCode::NotAuthorized).await;
    house.connect(connect("c")).await.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_reaches_those_who_are_connected() {
    let house = house(&settings(&["allow user=* read #", "allow user=* publish #"]), false).await;
    let mut alice = house.connect(user("alice", "secret")).await;
    let mut bob = house.connect(user("bob", "secret")).await;
    alice.subscribe("news/#", AtMostOnce).await;
    bob.publish(publish("news/1").payload("one")).await;
    alice.receive_text("one").await;
    house.reload(&settings(&["allow user=bob all #", "allow user=alice read other/#"]));
    bob.publish(publish("news/1").payload("two")).await;
    alice.expect_silence().await;
    assert_eq!(house.broker.metrics().subscriptions_revoked, 1);
    let mut without_alice = settings(&[]);
    without_alice.users.0.remove(0);
    house.reload(&without_alice);
    alice.expect_disconnect(ReasonCode::NotAuthorized).await;
    bob.ping().await;
    house.refuse(user("alice", "secret"), ReasonCode::BadUserNameOrPassword).await;
}

#[tokio::test(start_paused = true)]
async fn guessing_makes_the_user_wait_there_and_then_shuts_the_address_out() {
    let house = house(&settings(&[]), false).await;
    for _ in 0..6 {
        house.refuse(user("bob", "guess"), ReasonCode::BadUserNameOrPassword).await;
    }
    house.refuse(user("bob", "secret"), ReasonCode::ConnectionRateExceeded).await;
    house.connect(user("alice", "secret")).await.leave().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    house.connect(user("bob", "secret")).await.leave().await;
    for number in 0..20 {
        let mut peer = house.open_from("198.51.100.1:1");
        peer.send_carelessly(user(&format!("user {number}"), "guess")).await;
        peer.expect_packet_or_closed().await;
    }
    let mut peer = house.open_from("198.51.100.1:2");
    peer.send_carelessly(user("alice", "guess")).await;
    peer.expect_packet_or_closed().await;
    house.open_from("198.51.100.1:3").expect_closed().await;
    house.connect(user("alice", "secret")).await.leave().await;
}

/// Carol, or whoever says so, with SCRAM; the answer is still to come.
async fn scram_from(house: &House, address: &str, password: &str) -> Peer {
    let mut exchange = ClientExchange::new(Mechanism::Sha256, "carol", password.as_bytes());
    let method = Property::AuthenticationMethod("SCRAM-SHA-256");
    let first = exchange.first().expect("random numbers");
    let mut peer = house.open_from(address);
    peer.send(connect("c").property(method).property(Property::AuthenticationData(&first))).await;
    let challenge = peer.expect_auth().await;
    let challenge = challenge.properties().authentication_data().map(<[u8]>::to_vec);
    let answer = exchange.answer(&challenge.expect("a challenge")).expect("it is one");
    let proof = auth(ReasonCode::ContinueAuthentication).property(method);
    peer.send(proof.property(Property::AuthenticationData(&answer))).await;
    peer
}

#[tokio::test(start_paused = true)]
async fn whoever_guesses_with_scram_waits_and_locks_nobody_out_where_he_is_known() {
    let house = house(&settings(&[]), false).await;
    let known = "192.0.2.1:1";
    assert_eq!(scram_from(&house, known, "pencil").await.expect_connack().await.reason, ReasonCode::Success);
    for number in 0..6 {
        let guess = scram_from(&house, &format!("198.51.100.1:{number}"), "guess").await;
        { guess }.expect_refusal(ReasonCode::NotAuthorized).await;
    }
    let held_back = ReasonCode::ConnectionRateExceeded;
    scram_from(&house, "198.51.100.1:7", "pencil").await.expect_refusal(held_back).await;
    for number in 0..21 {
        let guess = scram_from(&house, &format!("[2001:db8:0:{number:x}::1]:1"), "guess").await;
        { guess }.expect_refusal(ReasonCode::NotAuthorized).await;
        tokio::time::sleep(Duration::from_millis(if number < 14 { 0 } else { 1001 })).await;
    }
    assert_eq!(scram_from(&house, known, "pencil").await.expect_connack().await.reason, ReasonCode::Success);
}

/// Wrong passwords for bob, each from another network.
async fn guess_from_everywhere(house: &House, guesses: usize) {
    for number in 0..guesses {
        let mut peer = house.open_from(&format!("[2001:db8:0:{number:x}::1]:1"));
        peer.send(user("bob", "guess")).await;
        peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_guesses_elsewhere_does_not_lock_out_a_user_where_it_is_known() {
    let house = house(&settings(&[]), false).await;
    house.connect(user("bob", "secret")).await.leave().await;
    tokio::time::sleep(Duration::from_secs(120)).await; // the password is not remembered any more
    guess_from_everywhere(&house, 21).await;
    let mut stranger = house.open_from("[2001:db8:1::1]:1");
    stranger.send(user("bob", "secret")).await;
    stranger.expect_refusal(ReasonCode::ConnectionRateExceeded).await;
    house.connect(user("bob", "secret")).await.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_whose_password_is_guessed_everywhere_waits_a_second_at_a_new_place_and_never_longer() {
    let house = house(&settings(&[]), false).await;
    guess_from_everywhere(&house, 21).await;
    for number in 0..10 {
        let mut guess = house.open_from(&format!("[2001:db8:2:{number:x}::1]:1"));
        guess.send(user("bob", "secret")).await;
        guess.expect_refusal(ReasonCode::ConnectionRateExceeded).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        guess = house.open_from(&format!("[2001:db8:3:{number:x}::1]:1"));
        guess.send(user("bob", "guess")).await;
        guess.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    house.open_from("[2001:db8:4::1]:1").connect(user("bob", "secret")).await;
}

#[tokio::test(start_paused = true)]
async fn a_whole_ipv6_network_is_one_place() {
    let house = house(&settings(&[]), false).await;
    for number in 0..6 {
        let mut peer = house.open_from(&format!("[2001:db8::{number:x}]:1"));
        peer.send(user("bob", "guess")).await;
        peer.expect_refusal(ReasonCode::BadUserNameOrPassword).await;
    }
    let mut peer = house.open_from("[2001:db8::ffff:ffff:ffff:ffff]:1");
    peer.send(user("bob", "secret")).await;
    peer.expect_refusal(ReasonCode::ConnectionRateExceeded).await;
}

#[tokio::test(start_paused = true)]
async fn a_reload_gives_nobody_new_guesses_and_ends_no_ban_early() {
    let mut settings = settings(&[]);
    settings.bans = Setting::read(Value::List(vec!["client=evil for 60s".to_owned()])).expect("bans");
    settings.backoff.delay = Duration::from_secs(100);
    let house = house(&settings, true).await;
    for _ in 0..6 {
        house.refuse(user("bob", "guess"), ReasonCode::BadUserNameOrPassword).await;
    }
    tokio::time::sleep(Duration::from_secs(40)).await;
    house.reload(&settings);
    house.refuse(user("bob", "secret"), ReasonCode::ConnectionRateExceeded).await;
    house.refuse(connect("evil"), ReasonCode::Banned).await;
    tokio::time::sleep(Duration::from_secs(21)).await;
    house.reload(&settings);
    house.connect(connect("evil")).await.leave().await;
    settings.bans = Setting::read(Value::List(vec!["client=evil".to_owned()])).expect("bans");
    house.reload(&settings);
    house.refuse(connect("evil"), ReasonCode::Banned).await;
    settings.bans = Default::default();
    house.reload(&settings);
    house.connect(connect("evil")).await.leave().await;
}

#[tokio::test(start_paused = true)]
async fn the_banned_are_shut_out_by_name_client_and_network() {
    let bans = ["user=bob", "client=evil", "address=203.0.113.0/24 for 60s"];
    let bans = bans.iter().map(|ban| (*ban).to_owned()).collect();
    let mut settings = settings(&[]);
    settings.bans = Setting::read(Value::List(bans)).expect("bans");
    let house = house(&settings, true).await;
    house.refuse(user("bob", "secret"), ReasonCode::Banned).await;
    house.refuse(connect("evil"), ReasonCode::Banned).await;
    house.open_from("203.0.113.9:1").expect_closed().await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    house.open_from("203.0.113.9:1").connect(connect("c")).await;
}

#[tokio::test(start_paused = true)]
async fn bans_of_the_program_survive_a_reload_and_those_of_the_configuration_follow_it() {
    let before = settings(&[]);
    let house = house(&before, true).await;
    let mut evil = house.connect(connect("evil")).await;
    let whom: Banned = "client=evil".parse().expect("a ban");
    assert_eq!(house.broker.ban(Ban::of(whom.clone())).expect("room"), 1);
    evil.expect_disconnect(ReasonCode::AdministrativeAction).await;
    let mut bob = house.connect(user("bob", "secret")).await;
    let mut after = before.clone();
    after.bans = Setting::read(Value::List(vec!["user=bob because of it".to_owned()])).expect("bans");
    house.reload(&after);
    bob.expect_disconnect(ReasonCode::AdministrativeAction).await;
    house.refuse(connect("evil"), ReasonCode::Banned).await;
    house.reload(&before);
    house.connect(user("bob", "secret")).await.leave().await;
    house.refuse(connect("evil"), ReasonCode::Banned).await;
    assert!(house.broker.lift_ban(&whom));
    house.connect(connect("evil")).await.leave().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_comes_and_goes_too_often_is_shut_out_for_a_while() {
    let mut settings = settings(&[]);
    settings.flapping.connects_max = 3;
    let house = house(&settings, true).await;
    for _ in 0..3 {
        house.connect(connect("flapper")).await.leave().await;
    }
    house.refuse(connect("flapper"), ReasonCode::Banned).await;
    house.connect(connect("calm")).await.leave().await;
    tokio::time::sleep(Duration::from_secs(301)).await;
    house.connect(connect("flapper")).await.leave().await;
}

#[test]
fn a_file_with_a_mistake_is_told_with_its_line_and_without_the_password() {
    let directory = std::env::temp_dir().join(format!("martlet-access-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).expect("it can be written");
        directory.join(name)
    };
    let settings = AccessSettings {
        password_files: vec![file("users", "alice:hunter2\n"), directory.join("missing")],
        mosquitto_acl_files: vec![file("acl", "user a\ntopic read a/#/b\n")],
        rule_files: vec![file("rules", "allow nothing\n")],
        ban_files: vec![file("bans", "# all of them\n\nuser=eve for 60s\neve\n")],
        ..AccessSettings::default()
    };
    let said = load(&settings).expect_err("five mistakes").join("\n");
    for part in ["users: line 1: ", "missing: cannot be read", "acl:2: ", "rules:1: ", "bans:4: "] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
    std::fs::remove_dir_all(&directory).expect("it was made here");
}

#[test]
fn hashes_are_shown_nowhere() {
    let settings = settings(&[]);
    let hash = users()[0].split_once('$').expect("a hash").1.to_owned();
    let shown = format!("{settings:?} {:?} {:?}", settings.users.show(), load(&settings));
    assert!(shown.contains("alice") && !shown.contains(&hash[..8]), "{shown}");
    let plain = UserLines::read(Value::List(vec!["eve:hunter2".to_owned()]));
    let said = format!("{:?}", plain.expect_err("a password in plain text"));
    assert!(said.contains("martlet passwd") && !said.contains("hunter2"), "{said}");
}
