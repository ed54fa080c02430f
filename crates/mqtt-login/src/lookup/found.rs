//! What a database answers, made into users and rules.

use mqtt_access::acl::Policy;
use mqtt_access::password::PasswordHash;
use serde_json::{Value, json};

use crate::{PERMISSIONS_MAX, read_permissions};

/// A user's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What is kept of the password.
    pub hash: PasswordHash,
    /// Whether no rule about topics applies to it.
    pub is_superuser: bool,
}

/// Rules of one user at most.
pub const ROWS_MAX: usize = PERMISSIONS_MAX;

impl Found {
    /// Reads a hash as it stands in the database. The error says nothing of it.
    pub(super) fn read(hash: &str, is_superuser: bool) -> Result<Self, String> {
        let hash = PasswordHash::parse(hash.trim()).map_err(|error| format!("the user's entry: {error}"))?;
        Ok(Self { hash, is_superuser })
    }
}

/// One rule as a database has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// A line as it would stand in a file of rules.
    Line(String),
    /// `allow` or `deny`, an action, and a topic filter.
    Parts { permission: String, action: String, topic: String },
}

/// The rules of one user, in their order.
///
/// # Errors
/// One that cannot be understood: nothing is left out silently.
pub(super) fn rules(source: &str, entries: Vec<Entry>) -> Result<Policy, String> {
    if entries.len() > ROWS_MAX {
        return Err(format!("there are more than {ROWS_MAX} rules"));
    }
    let (mut lines, mut parts) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Line(line) => lines.push(line),
            Entry::Parts { permission, action, topic } => {
                parts.push(json!({"permission": permission, "action": action, "topic": topic}));
            }
        }
    }
    let read = if lines.is_empty() {
        read_permissions(source, &Value::Array(parts))
    } else {
        let built = Policy::builder().lines(source, lines.iter().map(String::as_str)).build();
        built.map_err(|errors| errors.first().map_or_else(String::new, |error| error.problem.clone()))
    };
    read.map_err(|problem| format!("the user's rules: {problem}"))
}

#[cfg(test)]
mod tests {
    use mqtt_access::acl::Subject;
    use mqtt_topic::TopicName;

    use super::*;

    fn parts(permission: &str, action: &str, topic: &str) -> Entry {
        Entry::Parts { permission: permission.into(), action: action.into(), topic: topic.into() }
    }

    fn may_publish(policy: &Policy, topic: &str) -> bool {
        let subject =
            Subject { username: Some("u"), client_id: "c", address: None, listener: "", groups: &[] };
        policy.publish_rights(&subject, TopicName::parse(topic).expect("a name")).is_all()
    }

    #[test]
    fn rules_come_as_lines_or_in_parts_and_the_first_one_decides() {
        let lines = ["deny publish a/secret", "allow publish a/#"].map(|line| Entry::Line(line.into()));
        let columns = [parts("deny", "publish", "a/secret"), parts("allow", "all", "a/#")];
        for entries in [lines.to_vec(), columns.to_vec()] {
            let policy = rules("db", entries).expect("good rules");
            assert!(may_publish(&policy, "a/b") && !may_publish(&policy, "a/secret"));
            assert!(!may_publish(&policy, "b"));
        }
    }

    #[test]
    fn without_any_rule_nothing_is_allowed() {
        assert!(!may_publish(&rules("db", Vec::new()).expect("none"), "a"));
    }

    #[test]
    fn a_rule_that_cannot_be_understood_spoils_them_all() {
        for wrong in [
            vec![Entry::Line("allow everything".into())],
            vec![parts("allow", "publish", "a"), parts("maybe", "publish", "b")],
            vec![parts("allow", "publish", "a/#/b")],
            vec![parts("allow", "publish", "a"); ROWS_MAX + 1],
        ] {
            assert!(rules("db", wrong).is_err());
        }
        let said = Found::read("hunter2", false).expect_err("no hash");
        assert!(!said.contains("hunter2"), "{said}");
    }
}
