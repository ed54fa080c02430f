//! All rules together, and their decisions.

use std::sync::Arc;

use hashbrown::HashMap;
use mqtt_codec::QoS;
use mqtt_session::Rights;
use mqtt_topic::{TopicFilter, TopicName};

use super::index::RuleIndex;
use super::parse::{Line, parse_line};
use super::pattern::Filled;
use super::rule::{Action, Effect, Place, Reading, Rule, Subject};
use super::{RuleError, mosquitto, reach};

/// Rules in their order. The first one that applies decides; where none does, the answer is no.
#[derive(Debug, Default)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    index: RuleIndex,
    groups: HashMap<Box<str>, Vec<Box<str>>>,
    decides_connects: bool,
}

/// Something that is allowed to be written and cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule.
    pub place: Place,
    /// What is strange about it.
    pub problem: String,
}

/// Collects rules and groups from all sources, and everything that is wrong in any of them.
#[derive(Debug, Default)]
pub struct Builder {
    rules: Vec<Rule>,
    groups: HashMap<Box<str>, Vec<Box<str>>>,
    errors: Vec<RuleError>,
}

impl Builder {
    /// Adds the lines of a file in Martlet's own format.
    #[must_use]
    pub fn file(self, source: &str, text: &str) -> Self {
        self.lines(source, text.lines())
    }

    /// Adds rules, one in each text.
    #[must_use]
    pub fn lines<'t>(mut self, source: &str, lines: impl IntoIterator<Item = &'t str>) -> Self {
        let source: Arc<str> = source.into();
        for (line, text) in (1..).zip(lines) {
            let place = Place { source: source.clone(), line };
            match parse_line(text, place.clone()) {
                Ok(Line::Nothing) => {}
                Ok(Line::Rule(rule)) => self.rules.push(rule),
                Ok(Line::Group { name, users }) => {
                    for user in users {
                        self.groups.entry(user).or_default().push(name.clone());
                    }
                }
                Err(problem) => self.errors.push(RuleError { place, problem }),
            }
        }
        self
    }

    /// Adds a file of mosquitto's.
    #[must_use]
    pub fn mosquitto_file(mut self, source: &str, text: &str) -> Self {
        match mosquitto::parse(text, &source.into()) {
            Ok(rules) => self.rules.extend(rules),
            Err(errors) => self.errors.extend(errors),
        }
        self
    }

    /// The rules, ready to decide.
    ///
    /// # Errors
    /// Everything that is wrong: rules with a mistake decide nothing.
    pub fn build(self) -> Result<Policy, Vec<RuleError>> {
        if !self.errors.is_empty() {
            return Err(self.errors);
        }
        let index = RuleIndex::new(&self.rules);
        let decides_connects = self.rules.iter().any(|rule| rule.is_about(Action::Connect));
        Ok(Policy { rules: self.rules, index, groups: self.groups, decides_connects })
    }
}

impl Policy {
    /// Starts to collect rules.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Rules.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there is none, so that everything is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Rules that can never decide, because others before them always do.
    #[must_use]
    pub fn warnings(&self) -> Vec<Warning> {
        reach::unreachable(&self.rules)
    }

    pub(super) fn groups_of(&self, subject: &Subject<'_>) -> &[Box<str>] {
        subject.username.and_then(|name| self.groups.get(name)).map_or(&[], Vec::as_slice)
    }

    /// Whether a client that was authenticated may connect: as long as no rule speaks of connecting, it may.
    #[must_use]
    pub fn may_connect(&self, subject: &Subject<'_>) -> bool {
        let groups = self.groups_of(subject);
        let decides =
            |rule: &&Rule| rule.is_about(Action::Connect) && rule.failing(subject, groups).is_none();
        match self.rules.iter().find(decides) {
            Some(rule) => rule.effect == Effect::Allow,
            None => !self.decides_connects,
        }
    }

    /// Which messages a client may publish to a topic.
    #[must_use]
    pub fn publish_rights(&self, subject: &Subject<'_>, topic: TopicName<&str>) -> Rights {
        self.publish_ruling(subject, topic).allowed
    }

    /// Which messages on a topic a client may get.
    #[must_use]
    pub fn receive_rights(&self, subject: &Subject<'_>, topic: TopicName<&str>) -> Rights {
        self.receive_ruling(subject, topic).allowed
    }

    /// What the rules say about publishing to a topic, for policies that are asked in turn.
    #[must_use]
    pub fn publish_ruling(&self, subject: &Subject<'_>, topic: TopicName<&str>) -> Ruling {
        self.ruling(subject, Action::Publish, topic)
    }

    /// What the rules say about getting messages on a topic, for policies that are asked in turn.
    #[must_use]
    pub fn receive_ruling(&self, subject: &Subject<'_>, topic: TopicName<&str>) -> Ruling {
        self.ruling(subject, Action::Receive, topic)
    }

    fn ruling(&self, subject: &Subject<'_>, action: Action, topic: TopicName<&str>) -> Ruling {
        let groups = self.groups_of(subject);
        let (mut allowed, mut open) = (Rights::NONE, Rights::ALL);
        for number in self.index.candidates(subject.username, topic) {
            let rule = &self.rules[number as usize];
            let decided = rule.rights.and(open);
            let applies = !decided.is_none()
                && rule.is_about(action)
                && rule.failing(subject, groups).is_none()
                && rule.is_on_topic(subject, topic);
            if applies {
                open = open.without(decided);
                if rule.effect == Effect::Allow {
                    allowed = allowed.or(decided);
                }
                if open.is_none() {
                    break;
                }
            }
        }
        Ruling { allowed, open }
    }

    /// Whether a client may subscribe with a filter. The share name of a shared subscription does not count.
    #[must_use]
    pub fn may_subscribe(&self, subject: &Subject<'_>, filter: &TopicFilter<&str>, qos: QoS) -> bool {
        self.subscribe_ruling(subject, filter, qos) == Some(Effect::Allow)
    }

    /// What the rules say about a subscription; `None` if none applies.
    #[must_use]
    pub fn subscribe_ruling(
        &self,
        subject: &Subject<'_>,
        filter: &TopicFilter<&str>,
        qos: QoS,
    ) -> Option<Effect> {
        let groups = self.groups_of(subject);
        let decides = |rule: &&Rule| {
            rule.is_about(Action::Subscribe)
                && rule.is_on_qos(qos)
                && rule.failing(subject, groups).is_none()
                && rule.is_on_filter(subject, filter)
        };
        self.rules.iter().find(decides).map(|rule| rule.effect)
    }
}

/// What rules say about the kinds of messages on one topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// Allowed by a rule.
    pub allowed: Rights,
    /// Kinds that no rule is about.
    pub open: Rights,
}

impl Ruling {
    /// Lets another ruling decide what this one leaves open.
    #[must_use]
    pub fn or_else(self, next: Self) -> Self {
        Self { allowed: self.allowed.or(next.allowed.and(self.open)), open: self.open.and(next.open) }
    }
}

impl Rule {
    /// Whether the rule is about a subscription of this quality of service.
    pub(super) fn is_on_qos(&self, qos: QoS) -> bool {
        self.rights.allow(qos, false) || self.rights.allow(qos, true)
    }

    pub(super) fn is_on_topic(&self, subject: &Subject<'_>, topic: TopicName<&str>) -> bool {
        self.patterns.iter().any(|pattern| match pattern.fill(subject) {
            Filled::Filter(filter) => filter.matches(&topic),
            Filled::Nameless => false,
            // Whoever takes such a name gets nothing for it, and escapes from nothing.
            Filled::Unsafe => self.effect == Effect::Deny,
        })
    }

    pub(super) fn is_on_filter(&self, subject: &Subject<'_>, asked: &TopicFilter<&str>) -> bool {
        let whole = (self.effect == Effect::Allow) == (self.reading == Reading::Strict);
        self.patterns.iter().any(|pattern| match pattern.fill(subject) {
            Filled::Filter(filter) if whole => filter.covers(asked),
            Filled::Filter(filter) => filter.overlaps(asked),
            Filled::Nameless => false,
            Filled::Unsafe => self.effect == Effect::Deny,
        })
    }
}
