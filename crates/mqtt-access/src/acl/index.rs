//! Finds the rules that may decide on a topic, however many there are, with the matcher that subscriptions use.

use hashbrown::HashMap;
use mqtt_topic::{FilterTree, TopicName};

use super::rule::{Condition, Rule};

/// Numbers of rules by topic. Rules about single users lie in a tree for each, so that those of others cost nothing.
#[derive(Debug, Default)]
pub(super) struct RuleIndex {
    common: Part,
    by_user: HashMap<Box<str>, Part>,
}

#[derive(Debug, Default)]
struct Part {
    tree: FilterTree<u32, ()>,
    /// Rules whose filter depends on the client.
    templates: Vec<u32>,
}

impl RuleIndex {
    pub(super) fn new(rules: &[Rule]) -> Self {
        let mut index = Self::default();
        for (number, rule) in (0..).zip(rules) {
            let users = rule.who.iter().find_map(|condition| match condition {
                Condition::User(names) => names.exact(),
                _ => None,
            });
            match users {
                None => index.common.add(number, rule),
                Some(users) => {
                    for user in users {
                        index.by_user.entry(user.into()).or_default().add(number, rule);
                    }
                }
            }
        }
        index
    }

    /// Numbers of the rules that may be about a topic for this user, in their order.
    pub(super) fn candidates(&self, username: Option<&str>, topic: TopicName<&str>) -> Vec<u32> {
        let mut found = Vec::new();
        self.common.collect(topic, &mut found);
        if let Some(part) = username.and_then(|name| self.by_user.get(name)) {
            part.collect(topic, &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Part {
    fn add(&mut self, number: u32, rule: &Rule) {
        let mut is_template = false;
        for pattern in &rule.patterns {
            match pattern.as_plain() {
                Some(filter) => drop(self.tree.insert(filter, number, ())),
                None => is_template = true,
            }
        }
        if is_template {
            self.templates.push(number);
        }
    }

    fn collect(&self, topic: TopicName<&str>, found: &mut Vec<u32>) {
        self.tree.for_each_match(topic, |number, ()| found.push(*number));
        found.extend(&self.templates);
    }
}
