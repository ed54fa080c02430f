use mqtt_codec::QoS;
use mqtt_topic::{TopicFilter, TopicName};
use proptest::prelude::*;

use super::*;

fn who<'a>(username: Option<&'a str>, client_id: &'a str) -> Subject<'a> {
    Subject { username, client_id, address: "192.0.2.1".parse().ok(), listener: "tcp", groups: &[] }
}

fn own(text: &str) -> Policy {
    Policy::builder().file("own", text).build().expect("good rules")
}

fn mosquitto(text: &str) -> Policy {
    Policy::builder().mosquitto_file("acl", text).build().expect("good rules")
}

/// Asks in both ways, which must agree.
fn ask(policy: &Policy, subject: &Subject<'_>, action: Action, topic: &str, qos: QoS, retain: bool) -> bool {
    let explained =
        policy.explain(subject, &Question { action, topic, qos, retain }).expect("a topic").allowed;
    let decided = match action {
        Action::Connect => policy.may_connect(subject),
        Action::Publish => {
            policy.publish_rights(subject, TopicName::parse(topic).expect("a name")).allow(qos, retain)
        }
        Action::Receive => {
            policy.receive_rights(subject, TopicName::parse(topic).expect("a name")).allow(qos, retain)
        }
        Action::Subscribe => {
            policy.may_subscribe(subject, &TopicFilter::parse(topic).expect("a filter"), qos)
        }
    };
    assert_eq!(explained, decided, "{subject:?} {action:?} {topic}");
    decided
}

fn check(policy: &Policy, subject: &Subject<'_>, action: Action, topics: &[(&str, bool)]) {
    for (topic, expected) in topics {
        let answer = ask(policy, subject, action, topic, QoS::AtLeastOnce, false);
        assert_eq!(answer, *expected, "{subject:?} {action:?} {topic}");
    }
}

#[test]
fn the_first_rule_that_applies_decides_and_no_rule_denies() {
    let policy = own("deny user=eve all #\nallow publish a/#\ndeny publish a/b\nallow user=bob receive b");
    check(&policy, &who(Some("bob"), "c"), Action::Publish, &[("a/b", true), ("b", false)]);
    check(&policy, &who(Some("bob"), "c"), Action::Receive, &[("b", true), ("a/b", false)]);
    check(&policy, &who(Some("Bob"), "c"), Action::Receive, &[("b", false)]);
    check(&policy, &who(Some("eve"), "c"), Action::Publish, &[("a/b", false)]);
    check(&own(""), &who(None, "c"), Action::Publish, &[("a", false)]);
}

#[test]
fn conditions_on_who_asks_all_have_to_hold() {
    let policy = own(
        "group ops olga\nallow group=ops address=192.0.2.0/24 listener=tcp client=op-* publish x\nallow anonymous publish y",
    );
    check(&policy, &who(Some("olga"), "op-1"), Action::Publish, &[("x", true), ("y", false)]);
    check(&policy, &who(Some("olga"), "xop-1"), Action::Publish, &[("x", false)]);
    check(&policy, &who(None, "op-1"), Action::Publish, &[("x", false), ("y", true)]);
    let elsewhere = Subject { address: "192.0.3.1".parse().ok(), ..who(Some("olga"), "op-1") };
    let nowhere = Subject { address: None, ..who(Some("olga"), "op-1") };
    let other_listener = Subject { listener: "ws", ..who(Some("olga"), "op-1") };
    for subject in [elsewhere, nowhere, other_listener] {
        check(&policy, &subject, Action::Publish, &[("x", false)]);
    }
    let groups = ["ops".into()];
    check(
        &policy,
        &Subject { groups: &groups, ..who(Some("paul"), "op-1") },
        Action::Publish,
        &[("x", true)],
    );
}

#[test]
fn qos_and_retain_are_conditions_of_their_own() {
    let policy = own("deny retain=true publish #\nallow qos=0,1 publish #\nallow qos=0 subscribe #");
    let subject = who(None, "c");
    for (qos, retain, expected) in
        [(QoS::AtMostOnce, false, true), (QoS::AtLeastOnce, true, false), (QoS::ExactlyOnce, false, false)]
    {
        assert_eq!(ask(&policy, &subject, Action::Publish, "a", qos, retain), expected);
    }
    assert!(ask(&policy, &subject, Action::Subscribe, "a", QoS::AtMostOnce, false));
    assert!(!ask(&policy, &subject, Action::Subscribe, "a", QoS::AtLeastOnce, false));
}

#[test]
fn a_subscription_needs_one_rule_that_holds_all_of_it() {
    let policy = own("deny subscribe secret/#\nallow subscribe a/+\nallow subscribe b/#");
    let topics = [
        ("a/b", true),
        ("a/+", true),
        ("a/#", false),
        ("#", false),
        ("b/+/c", true),
        ("+/x", false),
        ("$share/g/b/x", true),
        ("$share/g/secret/x", false),
        ("secret/x", false),
    ];
    check(&policy, &who(None, "c"), Action::Subscribe, &topics);
    check(
        &own("deny subscribe secret/#\nallow subscribe #"),
        &who(None, "c"),
        Action::Subscribe,
        &[("#", false), ("+/x", false), ("open/#", true), ("$SYS/#", false)],
    );
}

#[test]
fn names_in_filters_never_widen_them() {
    let policy = own("allow all u/${username}/#\nallow all c/${clientid}\nallow all ${clientid}/x");
    check(
        &policy,
        &who(Some("anna"), "c1"),
        Action::Publish,
        &[("u/anna/x", true), ("u/otto/x", false), ("c/c1", true), ("c1/x", true)],
    );
    check(&policy, &who(None, "c1"), Action::Publish, &[("u//x", false), ("u/c1", false)]);
    for name in ["+", "#", "a/b", "otto/#", "", "\0"] {
        let topics = [("u/otto/x", false), ("u/a/b/x", false), ("u//x", false), ("c/x", false)];
        check(&policy, &who(Some(name), name), Action::Publish, &topics);
        check(
            &policy,
            &who(Some(name), name),
            Action::Subscribe,
            &[("u/+/#", false), ("c/+", false), ("c/#", false), ("u/#", false)],
        );
    }
    check(&policy, &who(None, "$SYS"), Action::Receive, &[("$SYS/x", false)]);
    // A name that cannot stand in a filter escapes from no ban.
    let policy = own("deny publish u/${username}/admin\nallow publish u/#");
    check(&policy, &who(Some("a/b"), "c"), Action::Publish, &[("u/x", false)]);
    check(&policy, &who(Some("a"), "c"), Action::Publish, &[("u/x", true), ("u/a/admin", false)]);
}

#[test]
fn connecting_is_free_until_a_rule_speaks_of_it() {
    check(&own("deny all #"), &who(None, "c"), Action::Connect, &[("", true)]);
    let policy = own("deny client=bad-* connect\nallow user=* connect");
    check(&policy, &who(Some("a"), "c"), Action::Connect, &[("", true)]);
    check(&policy, &who(Some("a"), "bad-1"), Action::Connect, &[("", false)]);
    check(&policy, &who(None, "c"), Action::Connect, &[("", false)]);
}

#[test]
fn mosquittos_file_is_obeyed() {
    let policy = mosquitto(
        "topic read open/#\n\nuser anna\ntopic readwrite a/#\ntopic deny a/secret\ntopic a b\nuser otto\ntopic write $SYS/x\n\
         pattern read in/%u/%c/#\npattern write out/%u\n",
    );
    let anna = who(Some("anna"), "c1");
    check(
        &policy,
        &anna,
        Action::Publish,
        &[("a/x", true), ("a/secret", false), ("a b", true), ("out/anna", true), ("open/x", false)],
    );
    check(
        &policy,
        &anna,
        Action::Receive,
        &[("in/anna/c1/x", true), ("in/anna/c2/x", false), ("out/anna", false), ("a/secret", false)],
    );
    // What is granted in part is granted: each message is checked when it is delivered.
    check(
        &policy,
        &anna,
        Action::Subscribe,
        &[("#", true), ("a/+", true), ("a/secret", false), ("b/#", false)],
    );
    check(&policy, &who(None, "c"), Action::Receive, &[("open/x", true), ("a/x", false)]);
    check(&policy, &who(Some("otto"), "c"), Action::Publish, &[("$SYS/x", true), ("out/otto", true)]);
    for name in ["+", "#", "x/+"] {
        check(&policy, &who(Some(name), "c1"), Action::Receive, &[("in/anna/c1/x", false)]);
        check(&policy, &who(Some("anna"), name), Action::Receive, &[("in/anna/c1/x", false)]);
    }
    check(&policy, &who(Some("a/b"), "c1"), Action::Publish, &[("out/a/b", true)]);
}

#[test]
fn mistakes_are_told_with_their_line() {
    for text in [
        "permit publish a",
        "allow publish",
        "allow publish a/#/b",
        "allow connect a",
        "allow qos=3 publish a",
        "allow user=a user=b publish c",
        "allow user= publish c",
        "allow anonymous user=a publish c",
        "allow anonymous publish ${username}",
        "allow address=1.2.3 publish c",
        "allow colour=red publish c",
        "allow publish $share/g/a",
        "allow publish \"a",
        "allow fly a",
        "allow",
        "group ops",
        "allow publish a+${clientid}",
    ] {
        let errors = Policy::builder().file("f", &format!("\n{text}")).build().expect_err(text);
        assert!(errors[0].to_string().starts_with("f:2: "), "{text}: {}", errors[0]);
    }
    for text in ["topic", "user", "pattern", "topic read a/#/b", "access x", "pattern a/#%u"] {
        assert!(Policy::builder().mosquitto_file("f", text).build().is_err(), "{text}");
    }
}

#[test]
fn a_rule_that_can_never_decide_is_a_warning() {
    let policy =
        own("allow publish a/#\ndeny user=eve publish a/b\nallow user=x subscribe a/b\nallow receive a");
    let warned: Vec<u32> = policy.warnings().iter().map(|warning| warning.place.line).collect();
    assert_eq!(warned, [2]);
    let policy = own(
        "deny address=10.0.0.0/8 all #\nallow address=10.1.0.0/16 user=a publish x\nallow client=a* publish y\nallow client=ab publish y",
    );
    let warned: Vec<u32> = policy.warnings().iter().map(|warning| warning.place.line).collect();
    assert_eq!(warned, [2, 4]);
}

#[test]
fn an_explanation_names_the_rule_and_why_others_do_not_apply() {
    let policy = own("deny user=eve all #\nallow publish a/#");
    let question = Question { action: Action::Publish, topic: "a/b", qos: QoS::AtMostOnce, retain: false };
    let text = policy.explain(&who(Some("anna"), "c"), &question).expect("a topic").to_string();
    assert_eq!(
        text,
        "allowed by own:2: allow publish a/#\n  passed over own:1: deny user=eve all #\n    its condition `user` does not hold\n"
    );
    let denied = policy.explain(&who(None, "c"), &Question { topic: "b", ..question }).expect("a topic");
    assert!(denied.to_string().starts_with("denied: no rule applies\n"));
}

fn rule() -> impl Strategy<Value = String> {
    let words = vec!["allow", "deny"];
    let who = vec!["", "user=a", "user=b,c", "client=c*", "anonymous", "user=*"];
    let kinds = vec!["", "qos=0", "qos=1,2", "retain=true", "qos=0 retain=false"];
    let actions = vec!["publish", "subscribe", "receive", "read", "all", "publish,receive"];
    let filters = vec!["#", "a/#", "a/+", "a", "+/b", "a/b", "x/${username}", "${clientid}/b"];
    use prop::sample::select;
    (select(words), select(who), select(kinds), select(actions), select(filters))
        .prop_map(|(effect, who, kind, action, filter)| format!("{effect} {who} {kind} {action} {filter}"))
}

proptest! {
    #[test]
    fn the_index_and_the_explanation_agree(
        rules in prop::collection::vec(rule(), 0..12),
        user in prop::option::of("[abc]"), client in "[ac][/+]?",
        topic in "[abx](/[abc])?", qos in 0_u8..3, retain: bool,
    ) {
        let text = rules.join("\n");
        let Ok(policy) = Policy::builder().file("p", &text).build() else { return Ok(()) };
        let subject = who(user.as_deref(), &client);
        let qos = QoS::try_from(qos).expect("a level");
        for action in [Action::Publish, Action::Receive, Action::Subscribe] {
            ask(&policy, &subject, action, &topic, qos, retain);
        }
    }

    #[test]
    fn no_line_makes_the_parsers_panic(text in "\\PC{0,80}", rest in "(allow|deny|group|topic|user|pattern) \\PC{0,40}") {
        for text in [text, rest] {
            let _ = Policy::builder().file("f", &text).mosquitto_file("m", &text).build();
        }
    }
}
