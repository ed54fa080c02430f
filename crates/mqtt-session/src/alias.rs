//! Topic aliases (section 3.3.2.3.4). They belong to one connection and never outlive it ([MQTT-3.3.2-7]).

use hashbrown::HashMap;
use mqtt_codec::ReasonCode;
use mqtt_topic::TopicName;

use crate::Violation;

/// Aliases that the peer defined.
#[derive(Debug, Default)]
pub(crate) struct AliasesIn {
    maximum: u16,
    /// Index 0 is alias 1. Grows only as far as the peer's highest alias, itself at most `maximum`.
    topics: Vec<Option<TopicName<Box<str>>>>,
}

impl AliasesIn {
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, topics: Vec::new() }
    }

    /// The topic of a PUBLISH that carries `alias`, which is defined anew if a topic came with it.
    pub(crate) fn resolve<'a>(
        &'a mut self,
        alias: u16,
        topic: Option<TopicName<&'a str>>,
    ) -> Result<TopicName<&'a str>, Violation> {
        if alias == 0 || alias > self.maximum {
            return Err(Violation::new(ReasonCode::TopicAliasInvalid, "MQTT-3.3.2-9"));
        }
        let index = usize::from(alias) - 1;
        let Some(topic) = topic else {
            let known = self.topics.get(index).and_then(Option::as_ref);
            return known
                .map(TopicName::as_ref)
                .ok_or(Violation::new(ReasonCode::ProtocolError, "3.3.2.3.4"));
        };
        if self.topics.len() <= index {
            self.topics.resize_with(index + 1, || None);
        }
        self.topics[index] = Some(topic.to_boxed());
        Ok(topic)
    }
}

/// Aliases that we assign: first come, first served, since hot topics come first.
#[derive(Debug, Default)]
pub(crate) struct AliasesOut {
    maximum: u16,
    aliases: HashMap<Box<str>, u16>,
}

/// How one PUBLISH names its topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// The topic alone.
    Topic,
    /// The topic, and an alias for the next time.
    Define(u16),
    /// Only the alias; the topic stays empty.
    Alias(u16),
}

impl AliasesOut {
    pub(crate) fn new(maximum: u16) -> Self {
        Self { maximum, aliases: HashMap::new() }
    }

    /// Whether any alias may be given.
    pub(crate) fn is_in_use(&self) -> bool {
        self.maximum > 0
    }

    /// How `topic` is named now. The caller must call [`define`](Self::define) once it has really sent a
    /// definition.
    pub(crate) fn name(&self, topic: &str) -> Naming {
        if self.maximum == 0 {
            return Naming::Topic;
        }
        match self.aliases.get(topic) {
            Some(alias) => Naming::Alias(*alias),
            // [MQTT-3.1.2-26], [MQTT-3.2.2-17]: never above what the peer announced.
            None if self.aliases.len() < usize::from(self.maximum) => {
                Naming::Define(u16::try_from(self.aliases.len() + 1).expect("at most maximum"))
            }
            None => Naming::Topic,
        }
    }

    pub(crate) fn define(&mut self, topic: &str, alias: u16) {
        self.aliases.insert(topic.into(), alias);
    }
}
