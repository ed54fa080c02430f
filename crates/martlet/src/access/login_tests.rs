//! Tokens and services in front of a whole broker. What is about time is in virtual time; what asks a service is not.

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{EncodingKey, Header};
use mqtt_broker::Unanswered;
use mqtt_codec::QoS::AtMostOnce;
use mqtt_codec::{ReasonCode, Version};
use mqtt_testkit::{ConnectBuilder, HttpAnswer, HttpService, connect, publish};
use serde_json::{Value as Json, json};

use super::tests::{house, settings};
use super::*;
use crate::config::{Setting, Value};

/// Appears in everything that must not be shown.
const MARKER: &str = "hunter2hunter2hunter2hunter2hunter2";

/// A file of this test alone; it goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("martlet-login-{}-{name}", std::process::id()));
        std::fs::write(&path, text).expect("it can be written");
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Seconds since 1970, so many from now.
fn in_s(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    i64::try_from(now).expect("before the year 292 billion") + seconds
}

fn token(claims: &Json) -> String {
    let key = EncodingKey::from_secret(MARKER.as_bytes());
    jsonwebtoken::encode(&Header::default(), claims, &key).expect("it can be signed")
}

fn with_tokens(secret: &Scratch, rules: &[&str]) -> AccessSettings {
    let mut settings = settings(rules);
    settings.jwt.secret_file = Some(secret.0.clone());
    settings
}

fn with_service(service: &HttpService) -> AccessSettings {
    let mut settings = settings(&[]);
    let url = format!("{}?key={MARKER}", service.url("/login"));
    settings.http.url = Setting::read(Value::Text(url)).expect("an address");
    let header = format!("authorization: {MARKER}");
    settings.http.headers = Setting::read(Value::List(vec![header])).expect("a header");
    settings.http.timeout = Duration::from_millis(300);
    settings
}

fn shows(token: &str) -> ConnectBuilder {
    connect("c1").username("anna").password(token)
}

#[tokio::test(start_paused = true)]
async fn a_client_is_disconnected_when_its_token_ends() {
    let secret = Scratch::new("ends", &format!("{MARKER}\n"));
    let house = house(&with_tokens(&secret, &[]), false).await;
    let token = token(&json!({"sub": "anna", "exp": in_s(60)}));
    for version in Version::ALL {
        let mut peer = house.connect(shows(&token).version(version).keep_alive_s(0)).await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        peer.ping().await;
        peer.leave().await;
    }
    let mut v5 = house.connect(shows(&token).keep_alive_s(0)).await;
    let mut v3 =
        house.connect(connect("c2").username("anna").password(&*token).version(Version::V3_1_1)).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    v5.ping().await;
    v3.ping().await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    v5.expect_disconnect(ReasonCode::NotAuthorized).await;
    v3.expect_closed().await;
    house.refuse(shows(&token), ReasonCode::NotAuthorized).await;
}

#[tokio::test(start_paused = true)]
async fn the_rules_of_a_token_come_before_those_for_everybody() {
    let secret = Scratch::new("rules", MARKER);
    let rules = ["deny group=guests publish #", "allow user=anna publish common/#", "allow user=* read #"];
    let house = house(&with_tokens(&secret, &rules), false).await;
    let acl = json!([
        {"permission": "deny", "action": "all", "topic": "common/secret"},
        {"permission": "allow", "action": "publish", "topic": "own/${clientid}/#"},
    ]);
    let claims = json!({"sub": "anna", "exp": in_s(60), "acl": acl});
    let mut peer = house.connect(shows(&token(&claims))).await;
    for (topic, allowed) in [
        ("own/c1/a", true),
        ("own/c2/a", false),
        ("common/a", true),
        ("common/secret", false),
        ("elsewhere", false),
    ] {
        let reason = if allowed { ReasonCode::NoMatchingSubscribers } else { ReasonCode::NotAuthorized };
        peer.send(publish(topic).payload("x").qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, reason, "{topic}");
    }
    peer.subscribe("elsewhere", AtMostOnce).await;
    let guest = json!({"sub": "anna", "exp": in_s(60), "groups": ["guests"]});
    let mut guest = house.connect(connect("c3").username("anna").password(token(&guest).as_str())).await;
    guest.send(publish("common/a").payload("x").qos1(1)).await;
    assert_eq!(guest.expect_puback(1).await.reason, ReasonCode::NotAuthorized);
}

#[tokio::test(start_paused = true)]
async fn with_rules_in_its_token_a_client_may_do_nothing_else() {
    let secret = Scratch::new("closed", MARKER);
    let house = house(&with_tokens(&secret, &[]), false).await;
    let claims = json!({"sub": "anna", "exp": in_s(60), "acl": {"pub": ["a"], "sub": ["b"]}});
    let mut peer = house.connect(shows(&token(&claims))).await;
    let mut free = house.connect(connect("free").username("bob").password("secret")).await;
    for (topic, reason) in [("a", ReasonCode::NoMatchingSubscribers), ("b", ReasonCode::NotAuthorized)] {
        peer.send(publish(topic).payload("x").qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, reason, "{topic}");
    }
    peer.subscribe("b", AtMostOnce).await;
    free.publish(publish("b").payload("heard")).await;
    peer.receive_text("heard").await;
    peer.send(publish("a").payload("kept").retained()).await;
    peer.ping().await;
    free.subscribe("a", AtMostOnce).await;
    free.receive_text("kept").await;
}

#[tokio::test(start_paused = true)]
async fn a_bad_token_is_refused_though_others_might_know_the_client() {
    let secret = Scratch::new("bad", MARKER);
    let house = house(&with_tokens(&secret, &[]), true).await;
    let good = token(&json!({"sub": "anna", "exp": in_s(60)}));
    let forged = format!("{}x", &good[..good.len() - 1]);
    house.refuse(shows(&forged), ReasonCode::BadUserNameOrPassword).await;
    let late = token(&json!({"sub": "anna", "exp": in_s(-60)}));
    house.refuse(shows(&late), ReasonCode::NotAuthorized).await;
    house
        .refuse(connect("c").username("bob").password(good.as_str()), ReasonCode::BadUserNameOrPassword)
        .await;
    house.connect(connect("c").username("bob").password("secret")).await.leave().await;
    house.connect(shows(&good)).await.leave().await;
}

#[tokio::test]
async fn a_service_admits_refuses_and_makes_superusers() {
    let service = HttpService::start().await;
    let house = house(&with_service(&service), false).await;
    house.connect(connect("c").username("bob").password("secret")).await.leave().await;
    assert!(service.asked().is_empty(), "the password file knows bob");
    let allow = r#"{"result": "allow", "acl": [{"permission": "allow", "action": "publish", "topic": "a"}]}"#;
    let superuser = r#"{"result": "allow", "acl": [], "is_superuser": true}"#;
    for (answer, reason) in
        [(allow, ReasonCode::NotAuthorized), (superuser, ReasonCode::NoMatchingSubscribers)]
    {
        service.answer(HttpAnswer::status(200, answer));
        let mut peer = house.connect(shows("pw")).await;
        peer.send(publish("b").payload("x").qos1(1)).await;
        assert_eq!(peer.expect_puback(1).await.reason, reason, "{answer}");
        peer.leave().await;
    }
    service.answer(HttpAnswer::status(200, r#"{"result": "deny"}"#));
    house.refuse(shows("pw"), ReasonCode::BadUserNameOrPassword).await;
    service.answer(HttpAnswer::status(200, r#"{"result": "ignore"}"#));
    house.refuse(shows("pw"), ReasonCode::BadUserNameOrPassword).await;
    service.answer(HttpAnswer::Silence);
    house.refuse(shows("pw"), ReasonCode::ServerUnavailable).await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_holds_up_nobody_else() {
    let service = HttpService::start().await;
    service.always(HttpAnswer::Silence);
    let mut settings = with_service(&service);
    settings.http.timeout = Duration::from_secs(3600);
    let house = house(&settings, false).await;
    let mut stuck = house.open();
    stuck.send(shows("pw")).await;
    let mut bob = house.connect(connect("c").username("bob").password("secret")).await;
    bob.ping().await;
}

/// Log lines of one thread.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("one thread").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn no_secret_is_shown_whatever_fails() {
    let lines = Lines::default();
    let writer = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let service = HttpService::start().await;
    let secret = Scratch::new("marker", MARKER);
    let mut settings = with_service(&service);
    settings.jwt.secret_file = Some(secret.0.clone());
    settings.jwt.jwks_url =
        Setting::read(Value::Text(format!("{}?key={MARKER}", service.url("/keys")))).expect("an address");
    let house = house(&settings, false).await;
    let good = token(&json!({"sub": MARKER, "exp": in_s(60)}));
    let foreign = Header { kid: Some(MARKER.to_owned()), ..Header::default() };
    let foreign =
        jsonwebtoken::encode(&foreign, &json!({"sub": MARKER}), &EncodingKey::from_secret(b"other"));
    for (password, answer) in [
        (MARKER.to_owned(), HttpAnswer::status(500, MARKER)),
        (MARKER.to_owned(), HttpAnswer::status(200, MARKER)),
        (MARKER.to_owned(), HttpAnswer::status(200, &format!(r#"{{"result": "{MARKER}"}}"#))),
        (MARKER.to_owned(), HttpAnswer::ThenClose(MARKER.into())),
        (MARKER.to_owned(), HttpAnswer::Silence),
        (MARKER.to_owned(), HttpAnswer::status(403, MARKER)),
        (good.clone(), HttpAnswer::status(200, MARKER)),
        (foreign.expect("signed"), HttpAnswer::status(200, MARKER)),
        (format!("{good}x"), HttpAnswer::status(404, MARKER)),
    ] {
        service.answer(answer);
        let mut peer = house.open();
        peer.send(shows(&password)).await;
        peer.expect_packet_or_closed().await;
    }
    let mut peer = house.open();
    peer.send(connect("c").username("alice").password(MARKER)).await;
    peer.expect_packet_or_closed().await;
    let short = Scratch::new("short", &MARKER[..20]);
    let mut wrong = settings.clone();
    wrong.jwt.secret_file = Some(short.0.clone());
    wrong.jwt.public_key_files = vec![secret.0.clone()];
    wrong.jwt.jwks_file = Some(secret.0.clone());
    let errors = load(&wrong).expect_err("three mistakes");
    assert_eq!(errors.len(), 3, "{errors:?}");
    let loaded = load(&settings).expect("good settings");
    let shown = format!(
        "{errors:?} {settings:?} {loaded:?} {:?} {:?} {:?} {:?}",
        settings.http.url.show(),
        settings.http.headers.show(),
        settings.jwt.jwks_url.show(),
        house.guard,
    );
    let logged = String::from_utf8(lines.0.lock().expect("one thread").clone()).expect("text");
    assert!(logged.contains("token refused") && logged.contains("cannot be decided"), "{logged}");
    for text in [shown, logged] {
        let at = text.find(&MARKER[..20]);
        assert!(at.is_none(), "{}", &text[at.unwrap_or(0).saturating_sub(300)..]);
        assert!(!text.contains(&good), "a whole token");
    }
}

fn with_authority(service: &HttpService, rules: &[&str]) -> AccessSettings {
    let mut settings = settings(rules);
    let url = format!("{}?key={MARKER}", service.url("/topics"));
    settings.authority.url = Setting::read(Value::Text(url)).expect("an address");
    settings.authority.timeout = Duration::from_millis(300);
    settings
}

async fn told(peer: &mut mqtt_testkit::Peer, topic: &str) -> ReasonCode {
    peer.send(publish(topic).payload("x").qos1(1)).await;
    peer.expect_puback(1).await.reason
}

#[tokio::test]
async fn a_service_is_asked_where_no_rule_decides_and_its_answer_is_remembered() {
    let service = HttpService::start().await;
    let allow = || HttpAnswer::status(200, r#"{"result": "allow"}"#);
    service.always(HttpAnswer::status(200, r#"{"result": "deny"}"#));
    let rules = ["allow user=alice publish ruled/#", "deny user=* all secret/#"];
    let house = house(&with_authority(&service, &rules), false).await;
    let mut alice = house.connect(connect("a").username("alice").password("secret")).await;
    assert_eq!(told(&mut alice, "ruled/1").await, ReasonCode::NoMatchingSubscribers);
    assert_eq!(told(&mut alice, "secret/1").await, ReasonCode::NotAuthorized);
    assert!(service.asked().is_empty());
    service.answer(allow());
    for _ in 0..3 {
        assert_eq!(told(&mut alice, "open/1").await, ReasonCode::NoMatchingSubscribers);
    }
    assert_eq!(told(&mut alice, "open/2").await, ReasonCode::NotAuthorized);
    let asked = service.asked();
    assert_eq!(asked.len(), 2, "{asked:?}");
    for part in ["\"action\":\"publish\"", "\"topic\":\"open/1\"", "\"qos\":\"1\"", "\"clientid\":\"a\""] {
        assert!(asked[0].contains(part), "{part} in {}", asked[0]);
    }
    service.answer(allow());
    alice.subscribe("open/#", AtMostOnce).await;
    assert_eq!(told(&mut alice, "open/1").await, ReasonCode::Success);
    alice.receive_text("x").await;
}

#[tokio::test]
async fn where_the_service_cannot_be_asked_the_client_is_refused_and_the_cause_is_counted() {
    let service = HttpService::start().await;
    let house = house(&with_authority(&service, &[]), false).await;
    let mut alice = house.connect(connect("a").username("alice").password("secret")).await;
    let causes = [
        (HttpAnswer::status(500, MARKER), Unanswered::NoAnswer),
        (HttpAnswer::status(200, MARKER), Unanswered::NoAnswer),
        (HttpAnswer::Silence, Unanswered::TimedOut),
    ];
    for (answer, cause) in causes {
        let before = house.broker.metrics().unanswered[cause as usize];
        service.answer(answer);
        assert_eq!(told(&mut alice, "t").await, ReasonCode::ImplementationSpecificError, "{cause:?}");
        assert_eq!(house.broker.metrics().unanswered[cause as usize], before + 1, "{cause:?}");
    }
    let mut without = with_authority(&service, &[]);
    without.authority.url = Default::default();
    house.reload(&without);
    assert_eq!(told(&mut alice, "t").await, ReasonCode::NoMatchingSubscribers, "there are no rules at all");
}
