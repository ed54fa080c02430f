//! A method of two steps: at the login, and again while traffic goes on (section 4.12.1).

use std::sync::Arc;
use std::time::Duration;

use mqtt_broker::{Access, Answer, Broker, Grant, Identity, Login};
use mqtt_codec::QoS::{AtLeastOnce, AtMostOnce};
use mqtt_codec::{
    Property,
    ReasonCode::{self, ContinueAuthentication, ReAuthenticate, Success},
};
use mqtt_session::{AuthenticationMethod, Exchange, Refusal, Rights, Step};
use mqtt_testkit::{Peer, auth, connect, publish, will};
use mqtt_topic::{TopicFilter, TopicName};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::time::sleep;

use crate::harness::{Harness, quiet, start};

/// Two questions, each to be answered with itself in reverse.
#[derive(Debug)]
struct Mirror(&'static str);

struct Questions {
    client_id: String,
    asked: usize,
}

impl AuthenticationMethod for Mirror {
    fn name(&self) -> &str {
        self.0
    }

    fn start(&self, client_id: &str, _: Option<&str>) -> Box<dyn Exchange> {
        Box::new(Questions { client_id: client_id.to_owned(), asked: 0 })
    }
}

impl Questions {
    fn question(&self, number: usize) -> Vec<u8> {
        format!("{number} {}", self.client_id).into_bytes()
    }
}

impl Exchange for Questions {
    fn claimed_username(&self) -> Option<&str> {
        Some(&self.client_id)
    }

    fn step(&mut self, data: &[u8]) -> Step {
        if self.asked > 0 && data != reversed(&self.question(self.asked)) {
            return Step::Failure(ReasonCode::NotAuthorized);
        }
        self.asked += 1;
        if self.asked > 2 {
            return Step::Success(Some(b"proved".as_slice().into()));
        }
        Step::Continue(self.question(self.asked).into())
    }
}

fn reversed(data: &[u8]) -> Vec<u8> {
    data.iter().rev().copied().collect()
}

async fn house() -> Harness {
    let builder = Broker::builder().settings(quiet(|_| ()));
    let one = builder.authentication_method(Arc::new(Mirror("MIRROR")));
    start(one.authentication_method(Arc::new(Mirror("OTHER")))).await
}

fn knock(method: &str) -> mqtt_testkit::ConnectBuilder {
    let client = connect("guest").clean(false).session_expiry_s(100).will(will("w", "gone"));
    client.property(Property::AuthenticationMethod(method))
}

/// Answers one question.
async fn answer(peer: &mut Peer, method: &str) {
    let challenge = peer.expect_auth().await;
    assert_eq!(challenge.reason, ContinueAuthentication);
    assert_eq!(challenge.properties().authentication_method(), Some(method));
    let question = challenge.properties().authentication_data().expect("a question");
    peer.send(auth(ContinueAuthentication).method(method, &reversed(question))).await;
}

async fn guest(house: &Harness, method: &str) -> Peer {
    let mut peer = house.open("guest");
    peer.send(knock(method)).await;
    answer(&mut peer, method).await;
    answer(&mut peer, method).await;
    let connack = peer.expect_connack().await;
    assert_eq!(connack.reason, Success);
    assert_eq!(connack.properties().authentication_data(), Some(&b"proved"[..]));
    peer
}

/// [MQTT-4.12.0-2], [MQTT-4.12.0-3], [MQTT-4.12.0-5]
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_0_3_two_questions_admit_a_client() {
    let house = house().await;
    for method in ["MIRROR", "OTHER"] {
        guest(&house, method).await.ping().await;
    }
}

/// [MQTT-4.12.1-1]: and traffic goes on in both directions in the middle of it.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_1_a_client_may_authenticate_again_in_two_steps() {
    let house = house().await;
    let mut peer = guest(&house, "MIRROR").await;
    peer.subscribe("t", AtLeastOnce).await;
    for _ in 0..3 {
        peer.send(auth(ReAuthenticate).method("MIRROR", b"")).await;
        answer(&mut peer, "MIRROR").await;
        let challenge = peer.expect_auth().await;
        peer.publish(publish("t").payload("meanwhile").qos1(9)).await;
        peer.receive_text("meanwhile").await;
        let question = challenge.properties().authentication_data().expect("a question");
        peer.send(auth(ContinueAuthentication).method("MIRROR", &reversed(question))).await;
        let last = peer.expect_auth().await;
        assert_eq!(last.reason, Success);
        assert_eq!(last.properties().authentication_data(), Some(&b"proved"[..]));
        peer.ping().await;
    }
}

/// [MQTT-4.12.1-2]: in the first step or in the second; the session stays, and the will is published.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_2_a_wrong_answer_at_any_step_ends_the_connection() {
    for right_answers in 0..2 {
        let house = house().await;
        let mut heir = house.v5("heir").await;
        heir.subscribe("w", AtMostOnce).await;
        let mut peer = guest(&house, "MIRROR").await;
        peer.send(auth(ReAuthenticate).method("MIRROR", b"")).await;
        for _ in 0..right_answers {
            answer(&mut peer, "MIRROR").await;
        }
        peer.expect_auth().await;
        peer.send(auth(ContinueAuthentication).method("MIRROR", b"wrong")).await;
        peer.expect_disconnect(ReasonCode::NotAuthorized).await;
        heir.receive_text("gone").await;
        let mut back = house.open("back");
        back.send(knock("MIRROR")).await;
        answer(&mut back, "MIRROR").await;
        answer(&mut back, "MIRROR").await;
        assert!(back.expect_connack().await.session_present);
    }
}

/// [MQTT-4.12.1-1], [MQTT-4.12.0-5]: nothing but the next step of the same method fits.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_1_an_auth_out_of_place_is_a_protocol_error() {
    let house = house().await;
    for (reason, method) in
        [(ContinueAuthentication, "MIRROR"), (ReAuthenticate, "OTHER"), (Success, "MIRROR")]
    {
        let mut peer = guest(&house, "MIRROR").await;
        peer.send(auth(reason).method(method, b"")).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
    }
    for second in [ReAuthenticate, Success] {
        let mut peer = guest(&house, "MIRROR").await;
        peer.send(auth(ReAuthenticate).method("MIRROR", b"")).await;
        peer.expect_auth().await;
        peer.send(auth(second).method("MIRROR", b"")).await;
        peer.expect_disconnect(ReasonCode::ProtocolError).await;
    }
}

/// A client that never answers the second question holds its place no longer than the connect timeout, and the
/// client that it wants to be stays.
#[tokio::test(start_paused = true)]
async fn an_unfinished_login_takes_nobody_over_and_is_cut_off() {
    let house = house().await;
    let mut peer = guest(&house, "MIRROR").await;
    let mut thief = house.open("thief");
    thief.send(knock("MIRROR")).await;
    answer(&mut thief, "MIRROR").await;
    thief.expect_auth().await;
    peer.ping().await;
    sleep(Duration::from_secs(10)).await;
    thief.expect_closed().await;
    peer.ping().await;
}

/// Notes who failed, and can make all wait.
#[derive(Debug, Default)]
struct Watchful {
    failed: Mutex<Vec<String>>,
    holds_back: AtomicBool,
}

impl Access for Watchful {
    fn authenticate<'a>(&'a self, login: &'a Login<'a>) -> Answer<'a, Result<Grant, Refusal>> {
        Box::pin(std::future::ready(Ok(Grant::named(login.username))))
    }

    fn may_prove(&self, _: Option<SocketAddr>, _: &str) -> bool {
        !self.holds_back.load(Ordering::Relaxed)
    }

    fn exchange_failed(&self, _: Option<SocketAddr>, username: Option<&str>) {
        self.failed.lock().extend(username.map(Into::into));
    }

    fn publish_rights(&self, _: &Identity, _: TopicName<&str>) -> Rights {
        Rights::ALL
    }

    fn may_subscribe(&self, _: &Identity, _: &TopicFilter<&str>, _: mqtt_codec::QoS) -> bool {
        true
    }
}

/// [MQTT-4.12.1-2]: and it counts as one of the failures that make whoever guesses wait.
#[tokio::test(start_paused = true)]
async fn mqtt_4_12_1_2_failing_to_authenticate_again_counts_as_failing_the_first_time() {
    let access = Arc::new(Watchful::default());
    let builder = Broker::builder().settings(quiet(|_| ())).access(access.clone() as Arc<dyn Access>);
    let house = start(builder.authentication_method(Arc::new(Mirror("MIRROR")))).await;
    let mut peer = guest(&house, "MIRROR").await;
    peer.send(auth(ReAuthenticate).method("MIRROR", b"")).await;
    peer.expect_auth().await;
    peer.send(auth(ContinueAuthentication).method("MIRROR", b"a guess")).await;
    peer.expect_disconnect(ReasonCode::NotAuthorized).await;
    assert_eq!(*access.failed.lock(), ["guest"]);

    let mut peer = guest(&house, "MIRROR").await;
    access.holds_back.store(true, Ordering::Relaxed);
    peer.send(auth(ReAuthenticate).method("MIRROR", b"")).await;
    peer.expect_disconnect(ReasonCode::ConnectionRateExceeded).await;
    assert_eq!(access.failed.lock().len(), 1, "nobody looked at it");
}
