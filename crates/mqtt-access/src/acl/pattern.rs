//! Topic filters with places for names.

use std::borrow::Cow;

use mqtt_topic::TopicFilter;

use super::rule::Subject;

/// A filter, perhaps with the names of the client that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Plain(TopicFilter),
    Template(Template),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template {
    parts: Box<[Part]>,
    /// Whether a name may hold `/`, as mosquitto allows.
    slash_allowed: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    Username,
    ClientId,
}

/// What a template becomes for one client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Filled<'a> {
    Filter(Cow<'a, TopicFilter>),
    /// The client has no such name.
    Nameless,
    /// The name would change what the filter means: it holds a wildcard, or a `/`, or makes a `$` topic.
    Unsafe,
}

impl Pattern {
    /// A filter with `${username}` and `${clientid}`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        Self::with_names(text, [("${username}", Part::Username), ("${clientid}", Part::ClientId)], false)
    }

    /// A filter of mosquitto's `pattern` lines, with `%u` and `%c`.
    pub(super) fn parse_mosquitto(text: &str) -> Result<Self, String> {
        Self::with_names(text, [("%u", Part::Username), ("%c", Part::ClientId)], true)
    }

    /// A filter in which every character stands for itself.
    pub(super) fn plain(text: &str) -> Result<Self, String> {
        let filter =
            TopicFilter::parse(text).map_err(|error| format!("{text:?} is no topic filter: {error}"))?;
        if filter.share_name().is_some() {
            return Err(format!("{text:?}: rules are about topics; leave `$share/NAME/` away"));
        }
        Ok(Self::Plain(filter.to_boxed()))
    }

    fn with_names(text: &str, names: [(&'static str, Part); 2], slash_allowed: bool) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((at, name, part)) = first_name(rest, &names) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].into()));
            }
            parts.push(part.clone());
            rest = &rest[at + name.len()..];
        }
        if parts.is_empty() {
            return Self::plain(text);
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.into()));
        }
        let template = Template { parts: parts.into(), slash_allowed };
        Self::plain(&template.joined("x", "x"))?;
        Ok(Self::Template(template))
    }

    /// The filter for this client.
    pub(super) fn fill(&self, subject: &Subject<'_>) -> Filled<'_> {
        match self {
            Self::Plain(filter) => Filled::Filter(Cow::Borrowed(filter)),
            Self::Template(template) => template.fill(subject),
        }
    }

    pub(super) fn as_plain(&self) -> Option<&TopicFilter> {
        if let Self::Plain(filter) = self { Some(filter) } else { None }
    }

    pub(super) fn needs_username(&self) -> bool {
        matches!(self, Self::Template(template) if template.parts.contains(&Part::Username))
    }
}

fn first_name<'n>(
    text: &str,
    names: &'n [(&'static str, Part); 2],
) -> Option<(usize, &'static str, &'n Part)> {
    let found = names.iter().filter_map(|(name, part)| Some((text.find(name)?, *name, part)));
    found.min_by_key(|(at, ..)| *at)
}

impl Template {
    fn fill(&self, subject: &Subject<'_>) -> Filled<'_> {
        for (at, part) in self.parts.iter().enumerate() {
            let name = match part {
                Part::Text(_) => continue,
                Part::Username => subject.username,
                Part::ClientId => Some(subject.client_id),
            };
            let Some(name) = name.filter(|name| !name.is_empty()) else { return Filled::Nameless };
            if !self.is_safe(at, name) {
                return Filled::Unsafe;
            }
        }
        let joined = self.joined(subject.username.unwrap_or_default(), subject.client_id);
        match TopicFilter::parse(joined.into_boxed_str()) {
            Ok(filter) => Filled::Filter(Cow::Owned(filter)),
            Err(_) => Filled::Unsafe,
        }
    }

    /// Whether a name stays within its level, and makes no `$` topic of the whole.
    fn is_safe(&self, at: usize, name: &str) -> bool {
        let forbidden =
            |character| matches!(character, '+' | '#' | '\0') || character == '/' && !self.slash_allowed;
        let makes_dollar_topic = at == 0 && name.starts_with('$');
        !name.contains(forbidden) && !makes_dollar_topic
    }

    fn joined(&self, username: &str, client_id: &str) -> String {
        let mut joined = String::new();
        for part in &self.parts {
            joined.push_str(match part {
                Part::Text(text) => text,
                Part::Username => username,
                Part::ClientId => client_id,
            });
        }
        joined
    }
}
