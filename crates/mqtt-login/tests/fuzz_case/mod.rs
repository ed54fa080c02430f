//! What the fuzz target `login` and the test of its corpus do with one input.

use std::time::{Duration, Instant, UNIX_EPOCH};

use mqtt_access::acl::{Policy, Subject};
use mqtt_access::login::{Applicant, Moment};
use mqtt_codec::{QoS, Version};
use mqtt_login::http::{Answered, read_answer};
use mqtt_login::jwt::{Checks, Claims, KeySet};
use mqtt_login::lookup::postgres::{Postgres, PostgresOptions};
use mqtt_login::lookup::redis::{Redis, RedisOptions};
use mqtt_login::read_permissions;
use mqtt_topic::{TopicFilter, TopicName};

/// The first byte chooses a parser. Nothing panics, and rules that were taken can be asked.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 8 {
        0 => drop(KeySet::jwks(rest)),
        1 => drop(KeySet::public_key_pem(rest)),
        2 => {
            if let Ok(Answered::Allow(grant)) = read_answer(rest, now()) {
                grant.rules.iter().for_each(|rules| ask(rules));
            }
        }
        3 => {
            let acl = serde_json::from_slice(rest);
            let rules = acl.ok().and_then(|acl| read_permissions("fuzz", &acl).ok());
            rules.iter().for_each(ask);
        }
        4 => check_claims(rest),
        5 => check_templates(rest, "redis://127.0.0.1", "postgresql://u@127.0.0.1/d?sslmode=disable"),
        6 => check_templates(rest, "rediss://127.0.0.1", "host=127.0.0.1 user=u"),
        _ => check_addresses(rest),
    }
}

/// A text of two lines: how databases are asked for users, and for rules. What is none is told with the text itself.
fn check_templates(text: &[u8], redis: &str, postgres: &str) {
    let Ok(text) = core::str::from_utf8(text) else { return };
    let (user, rules) = text.split_once('\n').map_or((text, None), |(user, rules)| (user, Some(rules)));
    let (user, rules) = (user.to_owned(), rules.map(str::to_owned));
    let opened = [open_redis(redis, user.clone(), rules.clone()), open_postgres(postgres, user, rules)];
    for refused in opened.into_iter().flatten() {
        assert!(!refused.is_empty(), "a reason is told");
    }
}

/// Where databases are. No password stands in what is told of a wrong address.
fn check_addresses(text: &[u8]) {
    let Ok(text) = core::str::from_utf8(text) else { return };
    let opened = [
        open_redis(&format!("redis://u:{SECRET}@{text}"), "GET k".to_owned(), None),
        open_redis(&format!("rediss://u:{SECRET}@{text}"), "GET k".to_owned(), None),
        open_postgres(&format!("postgresql://u:{SECRET}@{text}"), "SELECT 1".to_owned(), None),
        open_postgres(&format!("password={SECRET} {text}"), "SELECT 1".to_owned(), None),
    ];
    for refused in opened.into_iter().flatten() {
        assert!(!refused.contains(SECRET), "{refused}");
    }
}

const SECRET: &str = "hunter2";

/// What is wrong, if anything is.
fn open_redis(url: &str, user: String, rules: Option<String>) -> Option<String> {
    let (authorities, timeout) = (Some(Vec::new()), Duration::from_secs(1));
    let opened = Redis::new(&RedisOptions { url: url.to_owned(), authorities, user, rules, timeout });
    opened.map(|redis| assert!(!format!("{redis:?}").contains(SECRET))).err()
}

fn open_postgres(url: &str, user: String, rules: Option<String>) -> Option<String> {
    let (authorities, timeout) = (Some(Vec::new()), Duration::from_secs(1));
    let url = url.to_owned();
    let options = PostgresOptions { url, authorities, user, rules, connections_max: 1, timeout };
    Postgres::new(&options).map(|postgres| assert!(!format!("{postgres:?}").contains(SECRET))).err()
}

fn now() -> Moment {
    Moment { instant: Instant::now(), wall: UNIX_EPOCH + Duration::from_secs(1_700_000_000) }
}

fn check_claims(text: &[u8]) {
    let Some(claims) = Claims::read_unverified(text) else { return };
    let applicant = Applicant {
        client_id: "c1",
        version: Version::V5,
        address: None,
        listener: "door",
        anonymous_allowed: false,
        certificate_subject: None,
        certificate_common_name: None,
        username: None,
        password: Some(text),
        proven_by: None,
        must_wait: false,
        now: now(),
    };
    let asked = Checks {
        issuers: vec!["me".to_owned()],
        audiences: vec!["mqtt".to_owned()],
        required: vec!["a.b=${clientid}".to_owned()],
        groups_claim: "a.groups".to_owned(),
        ..Checks::default()
    };
    for checks in [Checks { expiry_required: false, ..Checks::default() }, asked] {
        if let Ok(grant) = claims.grant(&checks, &applicant, None) {
            assert!(grant.username.is_some_and(|name| !name.is_empty()));
            assert!(grant.expires_at.is_none_or(|end| end > applicant.now.instant));
            grant.rules.iter().for_each(|rules| ask(rules));
        }
    }
}

fn ask(rules: &Policy) {
    let subject = Subject { username: Some("u"), client_id: "c1", address: None, listener: "l", groups: &[] };
    for topic in ["a", "a/u", "$SYS/x"] {
        let name = TopicName::parse(topic).expect("a name");
        let _ = (rules.publish_rights(&subject, name), rules.receive_rights(&subject, name));
        let filter = TopicFilter::parse(topic).expect("a filter");
        let _ = rules.may_subscribe(&subject, &filter, QoS::AtLeastOnce);
    }
}
