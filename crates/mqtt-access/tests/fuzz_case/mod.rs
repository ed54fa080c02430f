//! What the fuzz target `access` and the test of its corpus do with one input.

use mqtt_access::acl::{Action, Policy, Question, Subject};
use mqtt_access::bans::parse_ban;
use mqtt_access::password::{PasswordFile, PasswordHash};
use mqtt_access::scram::{Mechanism, ServerExchange, Users, Verifier};
use mqtt_codec::QoS;
use mqtt_topic::{TopicFilter, TopicName};

struct Nobody;

impl Users for Nobody {
    fn verifier(&self, _: Mechanism, _: &str) -> Option<Verifier> {
        None
    }

    fn secret(&self) -> &[u8] {
        b"secret"
    }
}

/// The first byte chooses a parser. Nothing panics, what is read is written and read back the same, and the two ways to
/// ask the rules agree.
pub(crate) fn run(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else { return };
    if kind % 4 == 0 {
        return check_scram(rest);
    }
    let Ok(text) = std::str::from_utf8(rest) else { return };
    match kind % 4 {
        1 => check_passwords(text),
        2 => check_rules(Policy::builder().file("f", text)),
        _ => check_rules(Policy::builder().mosquitto_file("f", text)),
    }
}

fn check_scram(data: &[u8]) {
    let (first, last) = data.split_at(data.len() / 2);
    for mechanism in Mechanism::ALL {
        let mut exchange = ServerExchange::new(mechanism);
        exchange.step(first, &Nobody);
        exchange.step(last, &Nobody);
        ServerExchange::new(mechanism).step(data, &Nobody);
    }
}

fn check_passwords(text: &str) {
    if let Ok(hash) = PasswordHash::parse(text) {
        assert_eq!(PasswordHash::parse(&hash.to_text()).as_ref(), Ok(&hash));
    }
    let _ = (PasswordFile::parse(text), parse_ban(text));
}

fn check_rules(builder: mqtt_access::acl::Builder) {
    let Ok(policy) = builder.build() else { return };
    let _ = policy.warnings();
    for (username, client_id) in [(None, "c"), (Some("u"), "c/+"), (Some("#"), "$SYS")] {
        let subject = Subject { username, client_id, address: None, listener: "l", groups: &[] };
        for topic in ["a", "a/b", "u/c", "$SYS/x", "#", "a/#"] {
            check_answers(&policy, &subject, topic);
        }
    }
}

fn check_answers(policy: &Policy, subject: &Subject<'_>, topic: &str) {
    let (qos, retain) = (QoS::AtLeastOnce, false);
    let explain = |action| {
        let explained = policy.explain(subject, &Question { action, topic, qos, retain });
        explained.expect("a topic").allowed
    };
    let filter = TopicFilter::parse(topic).expect("a filter");
    assert_eq!(explain(Action::Subscribe), policy.may_subscribe(subject, &filter, qos), "{topic}");
    if let Ok(name) = TopicName::parse(topic) {
        assert_eq!(
            explain(Action::Publish),
            policy.publish_rights(subject, name).allow(qos, retain),
            "{topic}"
        );
        assert_eq!(
            explain(Action::Receive),
            policy.receive_rights(subject, name).allow(qos, retain),
            "{topic}"
        );
    }
}
