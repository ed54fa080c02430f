//! Martlet's own rules, one in a line.

use mqtt_codec::QoS;
use mqtt_session::Rights;

use super::pattern::Pattern;
use super::rule::{Action, Condition, Effect, Name, Names, Place, Reading, Rule};
use super::words::{Word, words};

/// What a line says.
#[derive(Debug)]
pub enum Line {
    /// Nothing: it is empty or a comment.
    Nothing,
    /// A rule.
    Rule(Rule),
    /// Users that belong to a group.
    Group {
        /// The group.
        name: Box<str>,
        /// Its users.
        users: Vec<Box<str>>,
    },
}

/// Reads one line: `allow|deny CONDITION... ACTIONS FILTER...` or `group NAME USER...`.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_line(text: &str, place: Place) -> Result<Line, String> {
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('#') {
        return Ok(Line::Nothing);
    }
    let words = words(trimmed)?;
    let (first, rest) = words.split_first().ok_or("there is no word")?;
    let effect = match &*first.text {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        "group" => return group(rest),
        other => return Err(format!("a rule begins with `allow`, `deny` or `group`, not with {other:?}")),
    };
    let mut draft = Draft::default();
    let mut rest = rest.iter();
    let actions = loop {
        let word = rest
            .next()
            .ok_or("there is no action: connect, publish, subscribe, receive, read, write, all")?;
        if let Some(actions) = actions(word)? {
            break actions;
        }
        draft.condition(word)?;
    };
    let patterns = rest.map(pattern).collect::<Result<Vec<_>, _>>()?;
    check_whole(&draft, actions, &patterns)?;
    Ok(Line::Rule(Rule {
        effect,
        actions,
        rights: draft.rights(),
        who: draft.who,
        patterns,
        reading: Reading::Strict,
        place,
        text: trimmed.into(),
    }))
}

fn group(words: &[Word]) -> Result<Line, String> {
    let (name, users) = words.split_first().ok_or("a group needs a name")?;
    if users.is_empty() {
        return Err(format!("group {:?} has no users", name.text));
    }
    let users = users.iter().map(|user| user.text.as_str().into()).collect();
    Ok(Line::Group { name: name.text.as_str().into(), users })
}

/// The actions of a word; `None` if it is a condition.
fn actions(word: &Word) -> Result<Option<u8>, String> {
    if word.quoted || word.text.contains('=') || matches!(&*word.text, "anonymous") {
        return Ok(None);
    }
    let bits = |actions: &[Action]| actions.iter().fold(0, |bits, action| bits | action.bit());
    let mut all = 0;
    for name in word.text.split(',') {
        all |= match name {
            "read" => bits(&[Action::Subscribe, Action::Receive]),
            "write" => bits(&[Action::Publish]),
            "all" => bits(&[Action::Publish, Action::Subscribe, Action::Receive]),
            _ => match Action::ALL.iter().find(|action| action.name() == name) {
                Some(action) => action.bit(),
                None => return Err(format!("{name:?} is neither an action nor a condition")),
            },
        };
    }
    Ok(Some(all))
}

fn pattern(word: &Word) -> Result<Pattern, String> {
    if word.quoted && !word.text.contains("${") {
        Pattern::plain(&word.text)
    } else {
        Pattern::parse(&word.text)
    }
}

fn check_whole(draft: &Draft, actions: u8, patterns: &[Pattern]) -> Result<(), String> {
    let about_topics = actions & !Action::Connect.bit() != 0;
    if about_topics && patterns.is_empty() {
        return Err("there is no topic filter after the action".to_owned());
    }
    if !about_topics && !patterns.is_empty() {
        return Err("a rule about `connect` has no topic filter".to_owned());
    }
    if !about_topics && (draft.qos.is_some() || draft.retain.is_some()) {
        return Err("`qos` and `retain` say nothing about `connect`".to_owned());
    }
    let anonymous = draft.who.contains(&Condition::Anonymous);
    let named = draft.who.iter().any(|condition| matches!(condition, Condition::User(_)));
    if anonymous && (named || patterns.iter().all(Pattern::needs_username) && !patterns.is_empty()) {
        return Err("an anonymous client has no user name, so this can never apply".to_owned());
    }
    Ok(())
}

/// Conditions as they come.
#[derive(Default)]
struct Draft {
    who: Vec<Condition>,
    qos: Option<Vec<QoS>>,
    retain: Option<bool>,
}

impl Draft {
    fn condition(&mut self, word: &Word) -> Result<(), String> {
        if word.text == "anonymous" && !word.quoted {
            return self.add(Condition::Anonymous);
        }
        let (key, value) =
            word.text.split_once('=').ok_or_else(|| format!("{:?} is no condition", word.text))?;
        let names = || names(value, word.quoted);
        match key {
            "user" => self.add(Condition::User(names()?)),
            "client" => self.add(Condition::Client(names()?)),
            "group" => self.add(Condition::Group(names()?)),
            "listener" => self.add(Condition::Listener(names()?)),
            "address" => {
                let networks = value.split(',').map(|text| {
                    text.parse().map_err(|error: crate::NetworkError| format!("address {text:?} is {error}"))
                });
                let networks = networks.collect::<Result<_, _>>()?;
                self.add(Condition::Address(networks))
            }
            "qos" => {
                let levels = value.split(',').map(|text| {
                    let level = text.parse::<u8>().ok().and_then(|level| QoS::try_from(level).ok());
                    level.ok_or_else(|| format!("qos {text:?} is none of 0, 1, 2"))
                });
                twice(key, self.qos.replace(levels.collect::<Result<_, _>>()?))
            }
            "retain" => {
                let retain =
                    value.parse().map_err(|_| format!("retain {value:?} is neither true nor false"))?;
                twice(key, self.retain.replace(retain))
            }
            _ => Err(format!(
                "{key:?} is no condition; there are user, client, group, listener, address, qos, retain, anonymous"
            )),
        }
    }

    fn add(&mut self, condition: Condition) -> Result<(), String> {
        let same = self.who.iter().any(|other| other.describe() == condition.describe());
        self.who.push(condition);
        let name = self.who.last().map_or("", Condition::describe);
        twice(name, same.then_some(()))
    }

    fn rights(&self) -> Rights {
        let levels = self.qos.as_deref().unwrap_or(&[QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce]);
        let retains: &[bool] = match self.retain {
            Some(true) => &[true],
            Some(false) => &[false],
            None => &[true, false],
        };
        let kinds = levels.iter().flat_map(|qos| retains.iter().map(|retain| Rights::of(*qos, *retain)));
        kinds.fold(Rights::NONE, Rights::or)
    }
}

fn twice<T>(key: &str, earlier: Option<T>) -> Result<(), String> {
    if earlier.is_some() { Err(format!("`{key}` is given twice; use a list: {key}=a,b")) } else { Ok(()) }
}

fn names(value: &str, quoted: bool) -> Result<Names, String> {
    if quoted {
        return Ok(Names(vec![Name::Exactly(value.into())]));
    }
    let name = |text: &str| match text {
        "" => Err("a name is empty".to_owned()),
        _ if text.contains('*') => Ok(Name::Like(text.into())),
        _ => Ok(Name::Exactly(text.into())),
    };
    value.split(',').map(name).collect::<Result<_, _>>().map(Names)
}
