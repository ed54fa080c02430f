//! Tokens that are good, and many that are not.

mod support;

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mqtt_access::acl::Subject;
use mqtt_access::login::{Authenticator, Decision, Grant};
use mqtt_codec::ReasonCode;
use mqtt_login::jwt::{Checks, Jwt, KeyError, KeySet, TokenField, TokenSettings};
use mqtt_topic::TopicName;
use rcgen::KeyPair;
use serde_json::{Value, json};
use support::{NOW_S, applicant};

const SECRET: &[u8; 64] = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn claims() -> Value {
    json!({"sub": "anna", "exp": NOW_S + 60})
}

/// The usual claims with one more.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_secret(SECRET);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("it can be signed")
}

fn base64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// Asks a member about a token in the password of a client without a user name.
async fn ask(member: &Jwt, token: &str) -> Decision {
    ask_as(member, None, token).await
}

async fn ask_as(member: &Jwt, username: Option<&str>, token: &str) -> Decision {
    let mut applicant = applicant(Instant::now());
    applicant.username = username;
    applicant.password = Some(token.as_bytes());
    member.decide(&applicant).await
}

fn member(change: impl FnOnce(&mut Checks)) -> Jwt {
    let mut settings = TokenSettings::default();
    change(&mut settings.checks);
    Jwt::new(KeySet::secret(SECRET).expect("long enough"), settings)
}

async fn granted(member: &Jwt, token: &str) -> Grant {
    match ask(member, token).await {
        Decision::Allow(grant) => grant,
        other => panic!("{other:?}"),
    }
}

async fn check_denied(member: &Jwt, token: &str, reason: ReasonCode, why: &str) {
    let decision = ask(member, token).await;
    assert!(matches!(decision, Decision::Deny(said) if said == reason), "{why}: {decision:?}");
}

/// A key of each kind with the algorithms that go with it.
fn key_pairs() -> Vec<(KeyPair, Vec<Algorithm>)> {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    let pair = |algorithm| KeyPair::generate_for(algorithm).expect("a key");
    vec![
        (pair(&rcgen::PKCS_RSA_SHA256), vec![RS256, RS384, RS512, PS256, PS384, PS512]),
        (pair(&rcgen::PKCS_ECDSA_P256_SHA256), vec![ES256]),
        (pair(&rcgen::PKCS_ECDSA_P384_SHA384), vec![ES384]),
        (pair(&rcgen::PKCS_ED25519), vec![EdDSA]),
    ]
}

fn signing_key(pair: &KeyPair, algorithm: Algorithm) -> EncodingKey {
    let der = pair.serialized_der();
    match algorithm {
        Algorithm::ES256 | Algorithm::ES384 => EncodingKey::from_ec_der(der),
        Algorithm::EdDSA => EncodingKey::from_ed_der(der),
        // PKCS #1 is what PKCS #8 wraps into 26 bytes for a key of 2,048 bits.
        _ => EncodingKey::from_rsa_der(&der[26..]),
    }
}

#[tokio::test]
async fn every_algorithm_is_taken_with_a_key_of_its_kind_and_with_no_other() {
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let token =
            jsonwebtoken::encode(&Header::new(algorithm), &claims(), &EncodingKey::from_secret(SECRET));
        assert!(
            matches!(ask(&member(|_| ()), &token.expect("signed")).await, Decision::Allow(_)),
            "{algorithm:?}"
        );
    }
    let pairs = key_pairs();
    for (pair, algorithms) in &pairs {
        for algorithm in algorithms {
            let key = signing_key(pair, *algorithm);
            let token = jsonwebtoken::encode(&Header::new(*algorithm), &claims(), &key).expect("signed");
            for (other, _) in &pairs {
                let keys = KeySet::public_key_pem(other.public_key_pem().as_bytes()).expect("a public key");
                let decision = ask(&Jwt::new(keys, TokenSettings::default()), &token).await;
                let is_right = other.public_key_pem() == pair.public_key_pem();
                assert_eq!(matches!(decision, Decision::Allow(_)), is_right, "{algorithm:?}: {decision:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_public_key_is_never_taken_for_a_secret() {
    for (pair, _) in key_pairs() {
        let pem = pair.public_key_pem();
        let keys = KeySet::public_key_pem(pem.as_bytes()).expect("a public key");
        let member = Jwt::new(keys, TokenSettings::default());
        for secret in [pem.as_bytes(), pair.public_key_raw()] {
            let header = Header::new(Algorithm::HS256);
            let token =
                jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret)).expect("signed");
            check_denied(&member, &token, ReasonCode::BadUserNameOrPassword, "algorithm confusion").await;
        }
    }
}

#[tokio::test]
async fn a_token_without_a_signature_or_with_another_is_refused() {
    let member = member(|_| ());
    let good = sign(&claims());
    let parts: Vec<&str> = good.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let forged = base64(&json!({"sub": "root", "exp": NOW_S + 60}).to_string());
    let none = |name: &str| base64(&json!({"alg": name, "typ": "JWT"}).to_string());
    let extended = base64(r#"{"alg":"HS256","crit":["x"],"x":1}"#);
    for (token, why) in [
        (format!("{header}.{forged}.{signature}"), "tampered claims"),
        (format!("{header}.{payload}."), "no signature"),
        (format!("{header}.{payload}.{}", &signature[..signature.len() - 4]), "a short signature"),
        (format!("{header}.{payload}.{}", base64("wrong")), "another signature"),
        (format!("{}.{payload}.", none("none")), "none"),
        (format!("{}.{payload}.{signature}", none("None")), "None"),
        (format!("{}.{payload}.{signature}", none("HS384")), "another algorithm"),
        (format!("{}.{payload}.{signature}", none("HS1")), "an unknown algorithm"),
        (format!("{}.{payload}.{signature}", base64(r#"{"alg":7}"#)), "an algorithm that is no text"),
        (format!("{extended}.{payload}.{signature}"), "an extension that must be understood"),
    ] {
        check_denied(&member, &token, ReasonCode::BadUserNameOrPassword, why).await;
    }
    let other = EncodingKey::from_secret(&[7; 32]);
    let other = jsonwebtoken::encode(&Header::default(), &claims(), &other).expect("signed");
    check_denied(&member, &other, ReasonCode::BadUserNameOrPassword, "another key").await;
    let too_long = format!("{}{}", sign(&claims()), "A".repeat(16 * 1024));
    check_denied(&member, &too_long, ReasonCode::BadUserNameOrPassword, "too long").await;
}

#[tokio::test]
async fn what_is_no_token_is_left_to_others() {
    let member = member(|_| ());
    for password in ["", "secret", "a.b", "a.b.c", "a.b.c.d", "e30.e30.e30", "..", "eyJ"] {
        assert!(matches!(ask(&member, password).await, Decision::Pass), "{password:?}");
    }
    assert!(matches!(ask(&member, &"x".repeat(20_000)).await, Decision::Pass));
    assert!(matches!(member.decide(&applicant(Instant::now())).await, Decision::Pass));
}

#[tokio::test]
async fn times_are_kept_with_the_leeway_that_clocks_need() {
    let member = member(|_| ());
    let refused = ReasonCode::NotAuthorized;
    for (claims, admitted) in [
        (with("exp", json!(NOW_S - 4)), true),
        (with("exp", json!(NOW_S - 5)), false),
        (with("exp", json!(NOW_S as f64 + 0.5)), true),
        (with("exp", json!(1e300)), true),
        (with("exp", json!(-1)), false),
        (with("exp", json!("2099")), false),
        (with("exp", json!(null)), false),
        (json!({"sub": "anna"}), false),
        (with("nbf", json!(NOW_S + 5)), true),
        (with("nbf", json!(NOW_S + 6)), false),
        (with("nbf", json!({})), false),
        (with("iat", json!(NOW_S + 6)), false),
        (with("iat", json!(0)), true),
    ] {
        let token = sign(&claims);
        match admitted {
            true => drop(granted(&member, &token).await),
            false => check_denied(&member, &token, refused, &claims.to_string()).await,
        }
    }
    let endless = self::member(|checks| checks.expiry_required = false);
    assert_eq!(granted(&endless, &sign(&json!({"sub": "anna"}))).await.expires_at, None);
    assert_eq!(granted(&endless, &sign(&with("exp", json!(1e18)))).await.expires_at, None);
}

#[tokio::test]
async fn the_login_ends_when_the_token_does() {
    let member = member(|_| ());
    let mut applicant = applicant(Instant::now());
    let token = sign(&claims());
    applicant.password = Some(token.as_bytes());
    let Decision::Allow(grant) = member.decide(&applicant).await else { panic!("a good token") };
    assert_eq!(grant.expires_at, Some(applicant.now.instant + Duration::from_secs(60 + 5)));
}

#[tokio::test]
async fn issuer_audience_and_further_claims_are_asked_for() {
    let member = member(|checks| {
        checks.issuers = vec!["https://id.example".to_owned()];
        checks.audiences = vec!["mqtt".to_owned(), "other".to_owned()];
        checks.required = vec!["device.id=${clientid}".to_owned(), "name=${username}".to_owned()];
    });
    let good = json!({
        "sub": "anna", "exp": NOW_S + 60, "iss": "https://id.example", "aud": ["x", "mqtt"], "name": "anna",
        "device": {"id": "c1"},
    });
    granted(&member, &sign(&good)).await;
    for (name, value) in [
        ("iss", json!("https://id.example.evil")),
        ("iss", json!(["https://id.example"])),
        ("iss", json!(null)),
        ("aud", json!("mqtt2")),
        ("aud", json!([])),
        ("aud", json!({"mqtt": true})),
        ("name", json!("root")),
        ("name", json!(true)),
        ("device", json!({"id": "c2"})),
        ("device", json!("c1")),
    ] {
        let mut claims = good.clone();
        claims[name] = value;
        check_denied(&member, &sign(&claims), ReasonCode::NotAuthorized, &claims.to_string()).await;
    }
}

#[tokio::test]
async fn the_user_name_is_that_of_the_token_and_a_name_that_is_shown_must_be_the_same() {
    let member = member(|_| ());
    let token = sign(&claims());
    assert_eq!(granted(&member, &token).await.username.as_deref(), Some("anna"));
    assert!(matches!(ask_as(&member, Some("anna"), &token).await, Decision::Allow(_)));
    for name in ["root", "Anna", ""] {
        let decision = ask_as(&member, Some(name), &token).await;
        assert!(matches!(decision, Decision::Deny(ReasonCode::NotAuthorized)), "{name:?}: {decision:?}");
    }
    for sub in [json!(""), json!(7), json!(["anna"]), json!("an\u{0}na")] {
        let decision = ask(&member, &sign(&with("sub", sub.clone()))).await;
        assert!(matches!(decision, Decision::Deny(_)), "{sub}: {decision:?}");
    }
    let settings = TokenSettings { field: TokenField::Username, ..TokenSettings::default() };
    let in_username = Jwt::new(KeySet::secret(SECRET).expect("long enough"), settings);
    let Decision::Allow(grant) = ask_as(&in_username, Some(&token), "ignored").await else {
        panic!("a good token")
    };
    assert_eq!(grant.username.as_deref(), Some("anna"));
}

#[tokio::test]
async fn rules_and_groups_come_along() {
    let member = member(|checks| checks.groups_claim = "realm_access.roles".to_owned());
    let mut claims =
        with("acl", json!([{"permission": "allow", "action": "publish", "topic": "a/${clientid}"}]));
    claims["realm_access"] = json!({"roles": ["ops", 7, "dev"]});
    let grant = granted(&member, &sign(&claims)).await;
    assert_eq!(grant.groups.iter().map(|group| &**group).collect::<Vec<_>>(), ["ops", "dev"]);
    let subject =
        Subject { username: Some("anna"), client_id: "c1", address: None, listener: "", groups: &[] };
    let rules = grant.rules.expect("rules");
    let rights = |topic| rules.publish_rights(&subject, TopicName::parse(topic).expect("a name"));
    assert!(rights("a/c1").is_all() && rights("a/c2").is_none());
    let garbage = sign(&with("acl", json!([{"permission": "allow"}])));
    check_denied(&member, &garbage, ReasonCode::NotAuthorized, "rules that are none").await;
    assert!(granted(&member, &sign(&self::claims())).await.rules.is_none());
}

#[tokio::test]
async fn a_key_of_a_set_is_found_by_its_name_and_used_for_what_it_is_made() {
    let pairs = key_pairs();
    let (es256, ed) = (&pairs[1].0, &pairs[3].0);
    let point = es256.public_key_raw();
    let coordinate = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let set = json!({"keys": [
        {"kty": "oct", "k": coordinate(SECRET), "kid": "secret"},
        {"kty": "EC", "crv": "P-256", "kid": "enc", "use": "enc", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])},
        {"kty": "EC", "crv": "P-256", "kid": "ops", "key_ops": ["sign"], "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])},
        {"kty": "EC", "crv": "P-256", "kid": "a", "alg": "ES256", "x": coordinate(&point[1..33]), "y": coordinate(&point[33..])},
        {"kty": "OKP", "crv": "Ed25519", "kid": "b", "use": "sig", "x": coordinate(ed.public_key_raw())},
        {"kty": "OKP", "crv": "X25519", "kid": "x", "x": coordinate(ed.public_key_raw())},
        {"kty": "new"}, 7, {"kty": "RSA"},
    ]});
    let keys = KeySet::jwks(set.to_string().as_bytes()).expect("a set");
    assert_eq!(keys.len(), 2);
    let member = Jwt::new(keys, TokenSettings::default());
    let token = |pair: &KeyPair, algorithm, kid: Option<&str>| {
        let header = Header { kid: kid.map(str::to_owned), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims(), &signing_key(pair, algorithm)).expect("signed")
    };
    for (pair, algorithm, kid, admitted) in [
        (es256, Algorithm::ES256, Some("a"), true),
        (ed, Algorithm::EdDSA, Some("b"), true),
        (ed, Algorithm::EdDSA, None, true),
        (es256, Algorithm::ES256, Some("b"), false),
        (es256, Algorithm::ES256, Some("enc"), false),
        (es256, Algorithm::ES256, Some("unknown"), false),
    ] {
        let decision = ask(&member, &token(pair, algorithm, kid)).await;
        assert_eq!(matches!(decision, Decision::Allow(_)), admitted, "{algorithm:?} {kid:?}: {decision:?}");
    }
    let header = Header { kid: Some("secret".to_owned()), ..Header::new(Algorithm::HS256) };
    let hs = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(SECRET)).expect("signed");
    check_denied(&member, &hs, ReasonCode::BadUserNameOrPassword, "a published secret").await;
}

#[test]
fn a_key_that_cannot_be_meant_is_refused() {
    assert_eq!(KeySet::secret(b"secret").err(), Some(KeyError::ShortSecret));
    assert_eq!(KeySet::public_key_pem(b"no key").err(), Some(KeyError::NotPem));
    let pair = KeyPair::generate().expect("a key");
    assert_eq!(KeySet::public_key_pem(pair.serialize_pem().as_bytes()).err(), Some(KeyError::NotPem));
    for (text, error) in [
        ("", KeyError::NotKeySet),
        ("{}", KeyError::NotKeySet),
        (r#"{"keys": {}}"#, KeyError::NotKeySet),
        (r#"{"keys": []}"#, KeyError::Empty),
    ] {
        assert_eq!(KeySet::jwks(text.as_bytes()).err(), Some(error), "{text}");
    }
}

#[tokio::test]
async fn only_the_algorithms_that_are_named_are_used() {
    let keys = KeySet::secret(SECRET).expect("long enough").only(&["HS512".to_owned()]);
    let member = Jwt::new(keys, TokenSettings::default());
    check_denied(&member, &sign(&claims()), ReasonCode::BadUserNameOrPassword, "HS256").await;
}
