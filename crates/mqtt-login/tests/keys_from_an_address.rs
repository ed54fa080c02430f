//! Keys that are fetched, kept, and fetched again. The age of a set goes by the time of the login, which is an argument.

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mqtt_access::login::{Authenticator, Decision};
use mqtt_codec::ReasonCode;
use mqtt_http::{Client, ClientOptions, HttpUrl};
use mqtt_login::jwt::{ALGORITHMS, Jwt, KeySet, RemoteKeys, RemoteSettings, TokenSettings};
use mqtt_testkit::{HttpAnswer, HttpService};
use rcgen::KeyPair;
use serde_json::json;
use support::{NOW_S, applicant};

/// A pair with its entry in a set.
struct Signer {
    kid: &'static str,
    pair: KeyPair,
}

impl Signer {
    fn new(kid: &'static str) -> Self {
        Self { kid, pair: KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key") }
    }

    fn token(&self) -> String {
        let header = Header { kid: Some(self.kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
        let key = EncodingKey::from_ed_der(self.pair.serialized_der());
        jsonwebtoken::encode(&header, &json!({"sub": "anna", "exp": NOW_S + 60}), &key).expect("signed")
    }
}

fn set(signers: &[&Signer]) -> String {
    let keys = signers.iter().map(|signer| {
        let x = URL_SAFE_NO_PAD.encode(signer.pair.public_key_raw());
        json!({"kty": "OKP", "crv": "Ed25519", "kid": signer.kid, "x": x})
    });
    json!({"keys": keys.collect::<Vec<_>>()}).to_string()
}

struct House {
    service: HttpService,
    member: Jwt,
    start: Instant,
}

impl House {
    async fn new() -> Self {
        let service = HttpService::start().await;
        let url = HttpUrl::parse(&service.url("/keys")).expect("an address");
        let options = ClientOptions {
            timeout: Duration::from_millis(500),
            answer_bytes_max: 4096,
            ..ClientOptions::default()
        };
        let client = Client::new(&url, &options).expect("no files");
        let algorithms = ALGORITHMS.iter().map(|name| (*name).to_owned()).collect();
        let remote: Arc<RemoteKeys> = RemoteKeys::new(client, RemoteSettings::default(), algorithms);
        let member = Jwt::new(KeySet::default(), TokenSettings::default()).and_remote(remote);
        Self { service, member, start: Instant::now() }
    }

    /// A login so many seconds after the first one: `None` if it is admitted.
    async fn login(&self, after_s: u64, signer: &Signer) -> Option<ReasonCode> {
        let token = signer.token();
        let mut applicant = applicant(self.start + Duration::from_secs(after_s));
        applicant.password = Some(token.as_bytes());
        match self.member.decide(&applicant).await {
            Decision::Allow(_) => None,
            Decision::Deny(reason) => Some(reason),
            Decision::Pass => panic!("a token is always decided on"),
        }
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_a_new_one_when_a_token_names_it() {
    let (house, old, new) = (House::new().await, Signer::new("old"), Signer::new("new"));
    house.service.answer(HttpAnswer::status(200, &set(&[&old])));
    assert_eq!(house.login(0, &old).await, None);
    assert_eq!(house.login(1, &old).await, None);
    assert_eq!(house.login(1, &new).await, Some(ReasonCode::BadUserNameOrPassword));
    assert_eq!(house.service.asked().len(), 1, "within the pause nothing is fetched, whatever a token says");
    house.service.answer(HttpAnswer::status(200, &set(&[&old, &new])));
    assert_eq!(house.login(11, &new).await, None);
    assert_eq!(house.login(12, &old).await, None);
    assert_eq!(house.service.asked().len(), 2);
}

#[tokio::test]
async fn the_last_good_set_is_kept_for_a_bounded_time_when_the_service_fails() {
    let (house, signer) = (House::new().await, Signer::new("a"));
    house.service.answer(HttpAnswer::status(200, &set(&[&signer])));
    assert_eq!(house.login(0, &signer).await, None);
    house.service.always(HttpAnswer::status(503, "down"));
    assert_eq!(house.login(301, &signer).await, None);
    assert_eq!(house.login(24 * 60 * 60, &signer).await, None);
    assert_eq!(house.login(24 * 60 * 60 + 1, &signer).await, Some(ReasonCode::ServerUnavailable));
    house.service.always(HttpAnswer::status(200, &set(&[&signer])));
    assert_eq!(house.login(24 * 60 * 60 + 12, &signer).await, None);
}

#[tokio::test]
async fn without_keys_nobody_is_admitted_whatever_the_service_says() {
    let signer = Signer::new("a");
    for answer in [
        HttpAnswer::status(404, &set(&[&signer])),
        HttpAnswer::status(200, "<html>"),
        HttpAnswer::status(200, r#"{"keys": []}"#),
        HttpAnswer::status(200, &format!("{}{}", set(&[&signer]), " ".repeat(5000))),
        HttpAnswer::status(304, ""),
        HttpAnswer::ThenClose(b"garbage".to_vec()),
        HttpAnswer::Silence,
    ] {
        let house = House::new().await;
        house.service.always(answer.clone());
        assert_eq!(house.login(0, &signer).await, Some(ReasonCode::ServerUnavailable), "{answer:?}");
        assert_eq!(house.login(1, &signer).await, Some(ReasonCode::ServerUnavailable), "{answer:?}");
        assert_eq!(house.service.asked().len(), 1, "a service that fails is left alone for a while");
    }
}

#[tokio::test]
async fn a_set_that_has_not_changed_is_not_sent_again() {
    let (house, signer, unknown) = (House::new().await, Signer::new("a"), Signer::new("b"));
    house.service.answer(HttpAnswer::with_headers(200, "ETag: \"v1\"\r\n", &set(&[&signer])));
    assert_eq!(house.login(0, &signer).await, None);
    house.service.answer(HttpAnswer::with_headers(304, "Cache-Control: max-age=60\r\n", ""));
    assert_eq!(house.login(20, &unknown).await, Some(ReasonCode::BadUserNameOrPassword));
    assert!(house.service.asked()[1].contains("if-none-match: \"v1\""), "{:?}", house.service.asked());
    assert_eq!(house.login(21, &signer).await, None);
}

#[tokio::test]
async fn many_logins_at_a_time_share_one_request() {
    let (house, signer) = (House::new().await, Signer::new("a"));
    house.service.always(HttpAnswer::status(200, &set(&[&signer])));
    let house = Arc::new(house);
    let signer = Arc::new(signer);
    let mut logins = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (house, signer) = (house.clone(), signer.clone());
        logins.spawn(async move { house.login(0, &signer).await });
    }
    assert!(logins.join_all().await.iter().all(Option::is_none));
    assert_eq!(house.service.asked().len(), 1);
}

#[tokio::test]
async fn tokens_of_known_keys_do_not_wait_for_others() {
    let (house, known, unknown) = (House::new().await, Signer::new("a"), Signer::new("b"));
    house.service.answer(HttpAnswer::status(200, &set(&[&known])));
    assert_eq!(house.login(0, &known).await, None);
    house.service.always(HttpAnswer::Silence);
    let waiting = house.login(20, &unknown);
    let passing = async {
        tokio::task::yield_now().await;
        house.login(20, &known).await
    };
    tokio::select! {
        biased;
        _ = waiting => panic!("the service says nothing"),
        passed = passing => assert_eq!(passed, None),
    }
}
