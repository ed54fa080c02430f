//! One rule: whom it is about, what they want to do, and whether they may.

use core::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mqtt_session::Rights;

use super::pattern::Pattern;
use crate::Network;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The user name that was proved; `None` for an anonymous client.
    pub username: Option<&'a str>,
    /// Client identifier.
    pub client_id: &'a str,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
    /// The listener it came through.
    pub listener: &'a str,
    /// Groups (roles) that its login brought along, besides those that the rules give to its user.
    pub groups: &'a [Box<str>],
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// To connect.
    Connect,
    /// To publish to a topic, also by a will.
    Publish,
    /// To subscribe with a filter.
    Subscribe,
    /// To get a message on a topic.
    Receive,
}

impl Action {
    /// All, in the order of their definition.
    pub const ALL: [Self; 4] = [Self::Connect, Self::Publish, Self::Subscribe, Self::Receive];

    /// Its name in rules.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Publish => "publish",
            Self::Subscribe => "subscribe",
            Self::Receive => "receive",
        }
    }

    pub(super) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a rule says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It may.
    Allow,
    /// It may not.
    Deny,
}

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, or the option of the configuration.
    pub source: Arc<str>,
    /// Line of the file or number of the rule in the option, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) effect: Effect,
    pub(super) who: Vec<Condition>,
    /// Bits of the actions.
    pub(super) actions: u8,
    /// Kinds of messages; for a subscription, the quality of service that is asked for, without RETAIN.
    pub(super) rights: Rights,
    /// Any of these; empty for a rule that is about connecting alone.
    pub(super) patterns: Vec<Pattern>,
    pub(super) reading: Reading,
    pub(super) place: Place,
    /// As it was written.
    pub(super) text: Box<str>,
}

/// How a rule's filter is compared with that of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// `allow` needs all of the subscription, `deny` any of it: Martlet's own rules.
    Strict,
    /// The other way round, as each message is checked when it is delivered: mosquitto's files.
    AtDelivery,
}

/// Whom a rule is about; all of its conditions must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Anonymous,
    User(Names),
    Client(Names),
    Group(Names),
    Listener(Names),
    Address(Vec<Network>),
    /// A user name or client identifier with a wildcard in it, which mosquitto's patterns shut out.
    WildcardInName,
}

/// Names, any of which will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names(pub(super) Vec<Name>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Exactly(Box<str>),
    /// With `*` for any number of characters.
    Like(Box<str>),
}

impl Names {
    pub(super) fn hold(&self, name: &str) -> bool {
        self.0.iter().any(|known| known.is(name))
    }

    /// The names, if none of them has a wildcard.
    pub(super) fn exact(&self) -> Option<Vec<&str>> {
        self.0.iter().map(|name| if let Name::Exactly(text) = name { Some(&**text) } else { None }).collect()
    }
}

impl Name {
    fn is(&self, name: &str) -> bool {
        match self {
            Self::Exactly(text) => **text == *name,
            Self::Like(pattern) => is_like(pattern, name),
        }
    }
}

/// Whether a name is like a pattern with `*`. Takes time in proportion to both lengths at most.
fn is_like(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

impl Condition {
    pub(super) fn holds(&self, subject: &Subject<'_>, groups_of_user: &[Box<str>]) -> bool {
        let wild = |name: &str| name.contains(['+', '#']);
        match self {
            Self::Anonymous => subject.username.is_none(),
            Self::User(names) => subject.username.is_some_and(|name| names.hold(name)),
            Self::Client(names) => names.hold(subject.client_id),
            Self::Group(names) => subject.groups.iter().chain(groups_of_user).any(|group| names.hold(group)),
            Self::Listener(names) => names.hold(subject.listener),
            Self::Address(networks) => subject
                .address
                .is_some_and(|address| networks.iter().any(|network| network.contains(address))),
            Self::WildcardInName => wild(subject.username.unwrap_or_default()) || wild(subject.client_id),
        }
    }

    /// The condition as it is written.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::User(_) => "user",
            Self::Client(_) => "client",
            Self::Group(_) => "group",
            Self::Listener(_) => "listener",
            Self::Address(_) => "address",
            Self::WildcardInName => "wildcard in a name",
        }
    }
}

impl Rule {
    /// Where it stands.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it says.
    #[must_use]
    pub fn effect(&self) -> Effect {
        self.effect
    }

    pub(super) fn is_about(&self, action: Action) -> bool {
        self.actions & action.bit() != 0
    }

    /// The first condition that does not hold.
    pub(super) fn failing<'r>(&'r self, subject: &Subject<'_>, groups: &[Box<str>]) -> Option<&'r Condition> {
        self.who.iter().find(|condition| !condition.holds(subject, groups))
    }
}
