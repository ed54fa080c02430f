//! Rules that a token or a service has for one client, as JSON.

use std::fmt::Write as _;

use mqtt_access::acl::Policy;
use serde_json::{Map, Value};

/// Entries of one list at most.
pub const PERMISSIONS_MAX: usize = 512;

/// Reads `[{"permission": "allow", "action": "publish", "topic": "a/#", "qos": [0, 1], "retain": true}, ...]` or
/// `{"pub": ["a/#"], "sub": [...], "all": [...]}`. A topic may hold `${username}` and `${clientid}`, and begin with `eq `,
/// which takes their meaning from its wildcards where somebody publishes. `source` is what explanations call the list.
///
/// # Errors
/// A sentence that says what is wrong: nothing is left out silently.
pub fn read_permissions(source: &str, acl: &Value) -> Result<Policy, String> {
    let mut lines = Vec::new();
    match acl {
        Value::Array(list) => {
            check_length(list.len())?;
            for entry in list {
                Permission::read(entry)?.write(&mut lines);
            }
        }
        Value::Object(lists) => by_action(lists, &mut lines)?,
        _ => return Err("the rules are neither a list nor an object".to_owned()),
    }
    let built = Policy::builder().lines(source, lines.iter().map(String::as_str)).build();
    built.map_err(|errors| errors.first().map_or_else(String::new, |error| error.problem.clone()))
}

fn check_length(length: usize) -> Result<(), String> {
    if length > PERMISSIONS_MAX {
        Err(format!("there are more than {PERMISSIONS_MAX} rules"))
    } else {
        Ok(())
    }
}

fn by_action(lists: &Map<String, Value>, lines: &mut Vec<String>) -> Result<(), String> {
    for (key, topics) in lists {
        let (publish, subscribe) = action(key).ok_or("a list of topics is none of pub, sub, all")?;
        let topics = topics.as_array().ok_or("the topics of an action are no list")?;
        check_length(lines.len() + topics.len())?;
        for topic in topics {
            let topic = topic.as_str().ok_or("a topic is no string")?;
            Permission { is_allow: true, publish, subscribe, topic, qos: None, retain: None }.write(lines);
        }
    }
    Ok(())
}

/// Whether an action publishes, and whether it subscribes.
fn action(name: &str) -> Option<(bool, bool)> {
    match name {
        "publish" | "pub" => Some((true, false)),
        "subscribe" | "sub" => Some((false, true)),
        "all" | "pubsub" => Some((true, true)),
        _ => None,
    }
}

struct Permission<'a> {
    is_allow: bool,
    publish: bool,
    subscribe: bool,
    topic: &'a str,
    qos: Option<Vec<u64>>,
    retain: Option<bool>,
}

impl<'a> Permission<'a> {
    fn read(entry: &'a Value) -> Result<Self, String> {
        let entry = entry.as_object().ok_or("a rule is no object")?;
        if let Some(key) = entry.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(format!("a rule has {key:?}, which is none of {}", KEYS.join(", ")));
        }
        let text = |key: &str| entry.get(key).and_then(Value::as_str);
        let is_allow = match text("permission") {
            Some("allow") => true,
            Some("deny") => false,
            _ => return Err("`permission` is neither \"allow\" nor \"deny\"".to_owned()),
        };
        let named = text("action").and_then(action);
        let (publish, subscribe) = named.ok_or("`action` is none of publish, subscribe, all")?;
        let topic = text("topic").ok_or("`topic` is no string")?;
        Ok(Self { is_allow, publish, subscribe, topic, qos: qos(entry)?, retain: retain(entry)? })
    }

    /// The same as lines of a rule file. What a client may subscribe to it may also get, in any quality of service up to
    /// the one it may ask for.
    fn write(&self, lines: &mut Vec<String>) {
        let (topic, is_literal) = match self.topic.strip_prefix("eq ") {
            Some(topic) => (topic, true),
            None => (self.topic, false),
        };
        let mut line = |conditions: String, action: &str| {
            let effect = if self.is_allow { "allow" } else { "deny" };
            lines.push(format!("{effect}{conditions} {action} {}", quoted(topic)));
        };
        let qos = self.qos.as_deref().map_or_else(String::new, qos_condition);
        // A topic name has no wildcards, so literal ones never equal it.
        if self.publish && !(is_literal && topic.contains(['+', '#'])) {
            let retain = self.retain.map_or_else(String::new, |retain| format!(" retain={retain}"));
            line(qos.clone() + &retain, "publish");
        }
        match &self.qos {
            _ if !self.subscribe => {}
            None => line(String::new(), "read"),
            Some(levels) => {
                line(qos, "subscribe");
                if self.is_allow {
                    let most = levels.iter().max().copied().unwrap_or_default();
                    line(qos_condition(&(0..=most).collect::<Vec<_>>()), "receive");
                }
            }
        }
    }
}

const KEYS: [&str; 5] = ["permission", "action", "topic", "qos", "retain"];

fn qos(entry: &Map<String, Value>) -> Result<Option<Vec<u64>>, String> {
    let level = |value: &Value| value.as_u64().filter(|level| *level <= 2);
    let levels = match entry.get("qos") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(list)) => list.iter().map(level).collect(),
        Some(one) => level(one).map(|level| vec![level]),
    };
    let levels: Option<Vec<u64>> = levels;
    levels.filter(|levels| !levels.is_empty()).map(Some).ok_or_else(|| "`qos` is none of 0, 1, 2".to_owned())
}

fn retain(entry: &Map<String, Value>) -> Result<Option<bool>, String> {
    match entry.get("retain") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(retain)) => Ok(Some(*retain)),
        Some(Value::String(all)) if all == "all" => Ok(None),
        Some(_) => Err("`retain` is none of true, false, \"all\"".to_owned()),
    }
}

fn qos_condition(levels: &[u64]) -> String {
    let levels: Vec<String> = levels.iter().map(u64::to_string).collect();
    format!(" qos={}", levels.join(","))
}

/// One word of a rule, whatever is in it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        let _ = quoted.write_char(character);
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use mqtt_access::acl::Subject;
    use mqtt_codec::QoS::{self, AtLeastOnce, AtMostOnce, ExactlyOnce};
    use mqtt_topic::{TopicFilter, TopicName};
    use serde_json::json;

    use super::*;

    fn subject() -> Subject<'static> {
        Subject { username: Some("anna"), client_id: "c1", address: None, listener: "", groups: &[] }
    }

    fn may_publish(acl: &Value, topic: &str, qos: QoS, retain: bool) -> bool {
        let policy = read_permissions("acl", acl).expect("good rules");
        policy.publish_rights(&subject(), TopicName::parse(topic).expect("a name")).allow(qos, retain)
    }

    fn may_subscribe(acl: &Value, filter: &str, qos: QoS) -> bool {
        let policy = read_permissions("acl", acl).expect("good rules");
        policy.may_subscribe(&subject(), &TopicFilter::parse(filter).expect("a filter"), qos)
    }

    #[test]
    fn the_first_rule_decides_and_names_are_filled_in() {
        let acl = json!([
            {"permission": "deny", "action": "publish", "topic": "devices/${username}/secret"},
            {"permission": "allow", "action": "all", "topic": "devices/${username}/#"},
        ]);
        assert!(may_publish(&acl, "devices/anna/state", ExactlyOnce, true));
        assert!(!may_publish(&acl, "devices/anna/secret", AtMostOnce, false));
        assert!(!may_publish(&acl, "devices/otto/state", AtMostOnce, false));
        assert!(may_subscribe(&acl, "devices/anna/#", ExactlyOnce));
        assert!(!may_subscribe(&acl, "devices/#", AtMostOnce));
    }

    #[test]
    fn qos_and_retain_are_conditions() {
        let acl = json!([
            {"permission": "allow", "action": "publish", "topic": "a", "qos": [0, 1], "retain": false},
            {"permission": "allow", "action": "subscribe", "topic": "b", "qos": 1},
        ]);
        assert!(may_publish(&acl, "a", AtLeastOnce, false));
        assert!(!may_publish(&acl, "a", ExactlyOnce, false) && !may_publish(&acl, "a", AtMostOnce, true));
        assert!(may_subscribe(&acl, "b", AtLeastOnce) && !may_subscribe(&acl, "b", ExactlyOnce));
        let policy = read_permissions("acl", &acl).expect("good rules");
        let rights = policy.receive_rights(&subject(), TopicName::parse("b").expect("a name"));
        assert!(rights.allow(AtMostOnce, false) && !rights.allow(ExactlyOnce, false));
    }

    #[test]
    fn a_literal_topic_with_wildcards_lets_nobody_publish() {
        let acl = json!([{"permission": "allow", "action": "all", "topic": "eq t/1/#"}]);
        assert!(may_subscribe(&acl, "t/1/#", AtMostOnce));
        assert!(!may_publish(&acl, "t/1/2", AtMostOnce, false));
    }

    #[test]
    fn lists_by_action_allow_and_nothing_else_is_allowed() {
        let acl = json!({"pub": ["a/+"], "sub": ["b/#"], "all": ["c"]});
        assert!(may_publish(&acl, "a/1", AtMostOnce, false) && may_publish(&acl, "c", AtMostOnce, false));
        assert!(!may_publish(&acl, "b/1", AtMostOnce, false) && !may_subscribe(&acl, "a/1", AtMostOnce));
        assert!(may_subscribe(&acl, "b/#", AtMostOnce) && may_subscribe(&acl, "c", AtMostOnce));
        assert!(
            !may_publish(&json!([]), "a", AtMostOnce, false)
                && !may_publish(&json!({}), "a", AtMostOnce, false)
        );
    }

    #[test]
    fn a_topic_cannot_break_out_of_its_rule() {
        for topic in ["x\" \"secret", "x\\\" \"secret", "x\nallow publish secret", "a b", "\"", "\\"] {
            let acl = json!([{"permission": "allow", "action": "publish", "topic": topic}]);
            assert!(!may_publish(&acl, "secret", AtMostOnce, false), "{topic:?}");
            assert!(may_publish(&acl, topic, AtMostOnce, false), "{topic:?}");
        }
    }

    #[test]
    fn what_cannot_be_understood_is_refused_as_a_whole() {
        let rule = |key: &str, value: Value| {
            let mut rule = json!({"permission": "allow", "action": "all", "topic": "t"});
            rule[key] = value;
            json!([rule])
        };
        for wrong in [
            json!("a"),
            json!([1]),
            json!([{}]),
            json!({"publish": "a"}),
            json!({"who": ["a"]}),
            json!({"pub": [1]}),
            rule("permission", json!("Allow")),
            rule("action", json!("connect")),
            rule("topic", json!("a/#/b")),
            rule("topic", json!("")),
            rule("topic", json!("$share/g/t")),
            rule("qos", json!(3)),
            rule("qos", json!([])),
            rule("qos", json!(["1"])),
            rule("retain", json!(1)),
            rule("ip", json!("127.0.0.1")),
            Value::Array(vec![
                json!({"permission": "deny", "action": "all", "topic": "t"});
                PERMISSIONS_MAX + 1
            ]),
        ] {
            assert!(read_permissions("acl", &wrong).is_err(), "{wrong}");
        }
    }
}
