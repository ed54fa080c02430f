//! Why a question is answered as it is.

use core::fmt;

use mqtt_codec::QoS;
use mqtt_topic::{TopicFilter, TopicName};

use super::pattern::Filled;
use super::policy::Policy;
use super::rule::{Action, Effect, Rule, Subject};

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What.
    pub action: Action,
    /// Topic name, or filter of a subscription; not looked at for `connect`.
    pub topic: &'a str,
    /// Quality of service.
    pub qos: QoS,
    /// Whether the message has the RETAIN flag.
    pub retain: bool,
}

/// The answer, and how every rule contributed to it.
#[derive(Debug)]
pub struct Explanation<'p> {
    /// Whether it may.
    pub allowed: bool,
    /// All rules up to the one that decides, in their order.
    pub steps: Vec<Step<'p>>,
}

/// One rule that was looked at.
#[derive(Debug)]
pub struct Step<'p> {
    /// The rule.
    pub rule: &'p Rule,
    /// Whether and why not it applies.
    pub verdict: Verdict,
}

/// Whether a rule applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does, and so it decides.
    Decides,
    /// It does not, for this reason.
    Passed(String),
}

impl Explanation<'_> {
    /// This answer if one of its rules decides, else the next one, to which the rules that were passed over are added.
    #[must_use]
    pub fn or_else(mut self, next: Self) -> Self {
        if self.deciding().is_some() {
            return self;
        }
        self.steps.extend(next.steps);
        Self { allowed: next.allowed, steps: self.steps }
    }

    /// The rule that decides; `None` if none applies.
    #[must_use]
    pub fn deciding(&self) -> Option<&Rule> {
        self.steps.last().filter(|step| step.verdict == Verdict::Decides).map(|step| step.rule)
    }
}

impl Policy {
    /// Answers a question one rule after the other.
    ///
    /// # Errors
    /// The topic is no topic name, or no filter where one is needed.
    pub fn explain<'p>(
        &'p self,
        subject: &Subject<'_>,
        question: &Question<'_>,
    ) -> Result<Explanation<'p>, mqtt_topic::TopicError> {
        let topic = Topic::parse(question)?;
        let mut steps = Vec::new();
        for rule in &self.rules {
            let verdict = self.verdict(rule, subject, question, &topic);
            let decides = verdict == Verdict::Decides;
            steps.push(Step { rule, verdict });
            if decides {
                return Ok(Explanation { allowed: rule.effect == Effect::Allow, steps });
            }
        }
        let silent = question.action == Action::Connect
            && !self.rules.iter().any(|rule| rule.is_about(Action::Connect));
        Ok(Explanation { allowed: silent, steps })
    }

    fn verdict(
        &self,
        rule: &Rule,
        subject: &Subject<'_>,
        question: &Question<'_>,
        topic: &Topic<'_>,
    ) -> Verdict {
        let reason = if !rule.is_about(question.action) {
            format!("it is not about `{}`", question.action.name())
        } else if let Some(condition) = rule.failing(subject, self.groups_of(subject)) {
            format!("its condition `{}` does not hold", condition.describe())
        } else if question.action == Action::Connect {
            return Verdict::Decides;
        } else if !rule.is_on_kind(question) {
            "it is about another QoS, or about RETAIN".to_owned()
        } else {
            return rule.judge_topic(subject, topic);
        };
        Verdict::Passed(reason)
    }
}

enum Topic<'a> {
    None,
    Name(TopicName<&'a str>),
    Filter(TopicFilter<&'a str>),
}

impl<'a> Topic<'a> {
    fn parse(question: &Question<'a>) -> Result<Self, mqtt_topic::TopicError> {
        match question.action {
            Action::Connect => Ok(Self::None),
            Action::Subscribe => TopicFilter::parse(question.topic).map(Self::Filter),
            Action::Publish | Action::Receive => TopicName::parse(question.topic).map(Self::Name),
        }
    }
}

impl Rule {
    fn is_on_kind(&self, question: &Question<'_>) -> bool {
        match question.action {
            Action::Subscribe => self.is_on_qos(question.qos),
            _ => self.rights.allow(question.qos, question.retain),
        }
    }

    fn judge_topic(&self, subject: &Subject<'_>, topic: &Topic<'_>) -> Verdict {
        let applies = match topic {
            Topic::None => true,
            Topic::Name(name) => self.is_on_topic(subject, *name),
            Topic::Filter(filter) => self.is_on_filter(subject, filter),
        };
        if applies {
            return Verdict::Decides;
        }
        let fills = || self.patterns.iter().map(|pattern| pattern.fill(subject));
        let reason = if fills().any(|filled| filled == Filled::Unsafe) {
            "the client's name holds a character that would widen the filter"
        } else if fills().any(|filled| filled == Filled::Nameless) {
            "the client has no such name to put into the filter"
        } else if matches!(topic, Topic::Filter(_)) && self.effect == Effect::Allow {
            "its filter does not hold all of the subscription"
        } else {
            "its filter does not match"
        };
        Verdict::Passed(reason.to_owned())
    }
}

impl fmt::Display for Explanation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.allowed { "allowed" } else { "denied" };
        match self.deciding() {
            Some(rule) => writeln!(f, "{word} by {}: {}", rule.place, rule.text)?,
            None => writeln!(f, "{word}: no rule applies")?,
        }
        for Step { rule, verdict } in &self.steps {
            if let Verdict::Passed(reason) = verdict {
                writeln!(f, "  passed over {}: {}\n    {reason}", rule.place, rule.text)?;
            }
        }
        Ok(())
    }
}
