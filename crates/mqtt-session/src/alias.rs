//! Topic aliases (section 3.3.2.3.4). They belong to one connection and never outlive it ([MQTT-3.3.2-7]).

use std::collections::BTreeMap;

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

/// Which topics get an alias.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum AliasUse {
    /// None.
    Never,
    /// First come, first served, since hot topics come first: an alias stays with its topic.
    #[default]
    FirstCome,
    /// The topics that were used last: when all aliases are given, a new topic takes the one that was not used for the
    /// longest time.
    Recent,
}

/// Aliases that we assign.
#[derive(Debug, Default)]
pub(crate) struct AliasesOut {
    maximum: u16,
    aliases: HashMap<Box<str>, u16>,
    recency: Option<Recency>,
}

/// When each alias was used last.
#[derive(Debug, Default)]
struct Recency {
    uses: u64,
    /// By alias less 1: the topic, and the number of its last use.
    topics: Vec<(Box<str>, u64)>,
    /// Aliases by their last use.
    by_use: BTreeMap<u64, u16>,
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
        Self { maximum, ..Self::default() }
    }

    /// Chooses the topics that get an alias. To be called before any was given.
    pub(crate) fn choose(&mut self, alias_use: AliasUse) {
        match alias_use {
            AliasUse::Never => self.maximum = 0,
            AliasUse::FirstCome => self.recency = None,
            AliasUse::Recent => self.recency = Some(Recency::default()),
        }
    }

    /// Whether any alias may be given.
    pub(crate) fn is_in_use(&self) -> bool {
        self.maximum > 0
    }

    /// How `topic` is named now. The caller must call [`define`](Self::define) once it has really sent a
    /// definition.
    pub(crate) fn name(&mut self, topic: &str) -> Naming {
        if self.maximum == 0 {
            return Naming::Topic;
        }
        match (self.aliases.get(topic), &mut self.recency) {
            (Some(alias), None) => Naming::Alias(*alias),
            (Some(alias), Some(recency)) => {
                recency.touch(*alias);
                Naming::Alias(*alias)
            }
            // [MQTT-3.1.2-26], [MQTT-3.2.2-17]: never above what the peer announced.
            (None, _) if self.aliases.len() < usize::from(self.maximum) => {
                Naming::Define(u16::try_from(self.aliases.len() + 1).expect("at most maximum"))
            }
            (None, None) => Naming::Topic,
            (None, Some(recency)) => recency.oldest().map_or(Naming::Topic, Naming::Define),
        }
    }

    pub(crate) fn define(&mut self, topic: &str, alias: u16) {
        if let Some(recency) = &mut self.recency
            && let Some(replaced) = recency.define(topic, alias)
        {
            self.aliases.remove(&replaced);
        }
        self.aliases.insert(topic.into(), alias);
    }
}

impl Recency {
    fn touch(&mut self, alias: u16) {
        self.uses += 1;
        let (_, last) = &mut self.topics[usize::from(alias) - 1];
        self.by_use.remove(last);
        *last = self.uses;
        self.by_use.insert(self.uses, alias);
    }

    fn oldest(&self) -> Option<u16> {
        self.by_use.first_key_value().map(|(_, alias)| *alias)
    }

    /// The topic that had the alias before.
    fn define(&mut self, topic: &str, alias: u16) -> Option<Box<str>> {
        let place = usize::from(alias) - 1;
        let replaced = match self.topics.get_mut(place) {
            Some((known, _)) => Some(core::mem::replace(known, topic.into())),
            None => {
                self.topics.push((topic.into(), 0)); // aliases are given in their order
                None
            }
        };
        self.touch(alias);
        replaced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(aliases: &mut AliasesOut, topic: &str) -> Naming {
        let naming = aliases.name(topic);
        if let Naming::Define(alias) = naming {
            aliases.define(topic, alias);
        }
        naming
    }

    #[test]
    fn an_alias_stays_with_its_topic_unless_the_latest_topics_are_to_have_them() {
        let mut first = AliasesOut::new(2);
        let mut recent = AliasesOut::new(2);
        recent.choose(AliasUse::Recent);
        for (topic, by_first, by_recent) in [
            ("a", Naming::Define(1), Naming::Define(1)),
            ("b", Naming::Define(2), Naming::Define(2)),
            ("a", Naming::Alias(1), Naming::Alias(1)),
            ("c", Naming::Topic, Naming::Define(2)),
            ("c", Naming::Topic, Naming::Alias(2)),
            ("b", Naming::Alias(2), Naming::Define(1)),
            ("a", Naming::Alias(1), Naming::Define(2)),
            ("b", Naming::Alias(2), Naming::Alias(1)),
        ] {
            assert_eq!((send(&mut first, topic), send(&mut recent, topic)), (by_first, by_recent), "{topic}");
        }
        let mut never = AliasesOut::new(2);
        never.choose(AliasUse::Never);
        assert_eq!(send(&mut never, "a"), Naming::Topic);
    }

    #[test]
    fn a_definition_that_was_not_sent_changes_nothing() {
        let mut recent = AliasesOut::new(1);
        recent.choose(AliasUse::Recent);
        send(&mut recent, "a");
        assert_eq!(recent.name("b"), Naming::Define(1));
        assert_eq!(recent.name("a"), Naming::Alias(1));
    }
}
