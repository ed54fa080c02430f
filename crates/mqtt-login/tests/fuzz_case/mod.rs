//! What the fuzz target `login` and the test of its corpus do with one input.

use std::time::{Duration, Instant, UNIX_EPOCH};

use mqtt_access::acl::{Policy, Subject};
use mqtt_access::login::{Applicant, Moment};
use mqtt_codec::{QoS, Version};
use mqtt_login::http::{Answered, read_answer};
use mqtt_login::jwt::{Checks, Claims, KeySet};
use mqtt_login::read_permissions;
use mqtt_topic::{TopicFilter, TopicName};

/// The first byte chooses a parser. Nothing panics, and rules that were taken can be asked.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    match kind % 5 {
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
        _ => check_claims(rest),
    }
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
