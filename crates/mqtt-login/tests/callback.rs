//! A service that decides over HTTP, and what becomes of logins when it does not.

mod support;

use std::time::{Duration, Instant};

use mqtt_access::acl::Subject;
use mqtt_access::login::{Applicant, Authenticator, Decision, Grant};
use mqtt_codec::ReasonCode;
use mqtt_http::{Client, ClientOptions, HttpUrl};
use mqtt_login::http::{AnswerStyle, CallbackSettings, HttpCallback, QuestionStyle};
use mqtt_login::{Bounded, Bounds};
use mqtt_testkit::{HttpAnswer, HttpService};
use mqtt_topic::TopicName;
use support::{NOW_S, applicant};

async fn house(settings: CallbackSettings) -> (HttpService, HttpCallback) {
    let service = HttpService::start().await;
    let url = HttpUrl::parse(&service.url("/login")).expect("an address");
    let options = ClientOptions {
        timeout: Duration::from_millis(500),
        answer_bytes_max: 4096,
        ..ClientOptions::default()
    };
    let client = Client::new(&url, &options).expect("no files");
    (service, HttpCallback::new(client, settings).expect("random numbers"))
}

fn anna() -> Applicant<'static> {
    Applicant { username: Some("anna"), password: Some(b"s&cret"), ..applicant(Instant::now()) }
}

fn granted(decision: Decision) -> Grant {
    match decision {
        Decision::Allow(grant) => grant,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_service_is_told_what_the_client_shows() {
    let who = Applicant { certificate_common_name: Some("cn"), certificate_subject: Some("CN=cn"), ..anna() };
    for (style, line, body) in [
        (
            QuestionStyle::PostJson,
            "POST /login HTTP/1.1",
            r#"{"address":"192.0.2.1","cert_common_name":"cn","cert_subject":"CN=cn","clientid":"c1","listener":"door","password":"s&cret","username":"anna","version":"5.0"}"#,
        ),
        (
            QuestionStyle::PostForm,
            "POST /login HTTP/1.1",
            "clientid=c1&username=anna&password=s%26cret&address=192.0.2.1&listener=door&version=5.0&cert_common_name=cn&cert_subject=CN%3Dcn",
        ),
        (QuestionStyle::Get, "GET /login?clientid=c1&username=anna&password=s%26cret&address=192.0.2.1", ""),
    ] {
        let headers = vec![("x-key".to_owned(), "k".to_owned())];
        let (service, member) =
            house(CallbackSettings { question: style, headers, ..CallbackSettings::default() }).await;
        service.answer(HttpAnswer::status(200, r#"{"result": "allow"}"#));
        let grant = granted(member.decide(&who).await);
        assert_eq!(grant.username.as_deref(), Some("anna"));
        let asked = &service.asked()[0];
        assert!(
            asked.starts_with(line) && asked.ends_with(body) && asked.contains("x-key: k\r\n"),
            "{asked}"
        );
    }
}

#[tokio::test]
async fn the_answer_decides_and_brings_rules_groups_and_an_end() {
    let (service, member) = house(CallbackSettings::default()).await;
    let who = anna();
    let end = NOW_S + 30;
    service.answer(HttpAnswer::status(
        200,
        &format!(
            r#"{{"result": "allow", "is_superuser": false, "expire_at": {end}, "groups": ["ops"], "client_attrs": {{}},
                "acl": [{{"permission": "allow", "action": "publish", "topic": "a"}}]}}"#
        ),
    ));
    let grant = granted(member.decide(&who).await);
    assert_eq!(grant.expires_at, Some(who.now.instant + Duration::from_secs(30)));
    assert_eq!(grant.groups.len(), 1);
    let subject =
        Subject { username: Some("anna"), client_id: "c1", address: None, listener: "", groups: &[] };
    let rules = grant.rules.expect("rules");
    assert!(rules.publish_rights(&subject, TopicName::parse("a").expect("a name")).is_all());
    for (body, expected) in [
        (r#"{"result": "deny"}"#, Some(ReasonCode::BadUserNameOrPassword)),
        (r#"{"ok": false, "error": "x"}"#, Some(ReasonCode::BadUserNameOrPassword)),
        (r#"{"result": "ignore"}"#, None),
        (r#"{"result": "allow", "expire_at": 1}"#, Some(ReasonCode::BadUserNameOrPassword)),
    ] {
        service.answer(HttpAnswer::status(200, body));
        match (member.decide(&who).await, expected) {
            (Decision::Pass, None) => {}
            (Decision::Deny(reason), Some(expected)) => assert_eq!(reason, expected, "{body}"),
            (other, _) => panic!("{body}: {other:?}"),
        }
    }
    service.answer(HttpAnswer::status(200, r#"{"ok": true, "is_superuser": true}"#));
    assert!(granted(member.decide(&who).await).is_superuser);
}

#[tokio::test]
async fn whatever_is_no_clear_answer_admits_nobody() {
    let (service, member) = house(CallbackSettings::default()).await;
    for answer in [
        HttpAnswer::status(200, ""),
        HttpAnswer::status(200, "allow"),
        HttpAnswer::status(200, r#"["allow"]"#),
        HttpAnswer::status(200, r#"{"result": "Allow"}"#),
        HttpAnswer::status(200, r#"{"result": true}"#),
        HttpAnswer::status(200, r#"{"result": null, "ok": true}"#),
        HttpAnswer::status(200, r#"{"result": "allow", "acl": "all"}"#),
        HttpAnswer::status(200, r#"{"result": "allow", "acl": [{"permission": "allow"}]}"#),
        HttpAnswer::status(200, r#"{"result": "allow", "is_superuser": "no"}"#),
        HttpAnswer::status(200, r#"{"result": "allow", "expire_at": "soon"}"#),
        HttpAnswer::status(200, r#"{"result": "allow", "groups": "ops"}"#),
        HttpAnswer::status(200, &format!(r#"{{"result": "allow", "x": "{}"}}"#, "x".repeat(5000))),
        HttpAnswer::status(201, r#"{"result": "allow"}"#),
        HttpAnswer::status(302, r#"{"result": "allow"}"#),
        HttpAnswer::status(404, r#"{"result": "allow"}"#),
        HttpAnswer::status(500, r#"{"result": "allow"}"#),
        HttpAnswer::ThenClose(
            b"HTTP/1.1 200 X\r\ncontent-length: 99\r\n\r\n{\"result\": \"allow\"}".to_vec(),
        ),
        HttpAnswer::ThenClose(Vec::new()),
        HttpAnswer::Silence,
    ] {
        service.answer(answer.clone());
        let decision = member.decide(&anna()).await;
        assert!(
            matches!(decision, Decision::Deny(ReasonCode::ServerUnavailable)),
            "{answer:?}: {decision:?}"
        );
    }
    service.answer(HttpAnswer::status(403, ""));
    assert!(matches!(member.decide(&anna()).await, Decision::Deny(ReasonCode::BadUserNameOrPassword)));
}

#[tokio::test]
async fn the_status_alone_decides_where_that_is_agreed() {
    let settings = CallbackSettings {
        answer: AnswerStyle::Status,
        question: QuestionStyle::PostForm,
        ..CallbackSettings::default()
    };
    let (service, member) = house(settings).await;
    service.answer(HttpAnswer::status(200, "whatever"));
    granted(member.decide(&anna()).await);
    for (status, reason) in [
        (400, ReasonCode::BadUserNameOrPassword),
        (500, ReasonCode::ServerUnavailable),
        (301, ReasonCode::ServerUnavailable),
    ] {
        service.answer(HttpAnswer::status(status, ""));
        let decision = member.decide(&anna()).await;
        assert!(matches!(decision, Decision::Deny(said) if said == reason), "{status}: {decision:?}");
    }
}

#[tokio::test]
async fn a_client_that_shows_nothing_is_left_to_others_and_one_that_must_wait_is_not_asked_about() {
    let (service, member) = house(CallbackSettings::default()).await;
    assert!(matches!(member.decide(&applicant(Instant::now())).await, Decision::Pass));
    let waiting = Applicant { must_wait: true, ..anna() };
    let decision = member.decide(&waiting).await;
    assert!(matches!(decision, Decision::Deny(ReasonCode::ConnectionRateExceeded)), "{decision:?}");
    let binary = Applicant { password: Some(&[0xff]), ..anna() };
    let decision = member.decide(&binary).await;
    assert!(matches!(decision, Decision::Deny(ReasonCode::BadUserNameOrPassword)), "{decision:?}");
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn an_admitted_client_is_remembered_for_its_time_and_only_with_the_same_password() {
    let remember = Duration::from_secs(60);
    let (service, member) = house(CallbackSettings { remember, ..CallbackSettings::default() }).await;
    let who = anna();
    service
        .answer(HttpAnswer::status(200, &format!(r#"{{"result": "allow", "expire_at": {}}}"#, NOW_S + 3600)));
    granted(member.decide(&who).await);
    service.always(HttpAnswer::status(200, r#"{"result": "deny"}"#));
    let mut later = who;
    later.now.instant += Duration::from_secs(59);
    later.must_wait = true;
    assert_eq!(
        granted(member.decide(&later).await).expires_at,
        Some(who.now.instant + Duration::from_secs(3600))
    );
    for other in [
        Applicant { password: Some(b"guess"), ..who },
        Applicant { client_id: "c2", ..who },
        Applicant { username: Some("ann"), ..who },
        Applicant { listener: "other", ..who },
    ] {
        assert!(matches!(member.decide(&other).await, Decision::Deny(_)));
    }
    later.now.instant += Duration::from_secs(1);
    later.must_wait = false;
    assert!(matches!(member.decide(&later).await, Decision::Deny(ReasonCode::BadUserNameOrPassword)));
    let shown = format!("{member:?}");
    assert!(!shown.contains("s&cret"), "{shown}");
}

#[tokio::test]
async fn a_slow_service_holds_up_only_so_many_logins() {
    let (service, member) = house(CallbackSettings::default()).await;
    service.always(HttpAnswer::Silence);
    let bounds = Bounds { concurrent_max: 1, waiting_max: 1, deadline: Duration::from_millis(300) };
    let member = Bounded::new(member, bounds);
    let who = anna();
    let (first, second, third) = tokio::join!(member.decide(&who), member.decide(&who), member.decide(&who));
    assert!(matches!(first, Decision::Deny(ReasonCode::ServerUnavailable)), "{first:?}");
    assert!(matches!(second, Decision::Deny(ReasonCode::ServerUnavailable)), "{second:?}");
    assert!(matches!(third, Decision::Deny(ReasonCode::ServerBusy)), "{third:?}");
    assert_eq!(service.asked().len(), 1);
}
