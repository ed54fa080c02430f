//! mosquitto's ACL file, read as it is.
//!
//! Lines are `user NAME`, `topic [read|write|readwrite|deny] FILTER` and `pattern [...] FILTER` with `%u` and `%c`.
//! Topics before the first `user` line are those of anonymous clients. As in mosquitto, what is denied counts before
//! what is allowed, a user's own lines before patterns, and each message is checked when it is delivered.

use std::sync::Arc;

use mqtt_session::Rights;

use super::RuleError;
use super::pattern::Pattern;
use super::rule::{Action, Condition, Effect, Name, Names, Place, Reading, Rule};

/// Rules of each class, in the order in which they count.
#[derive(Default)]
struct Classes {
    topics_denied: Vec<Rule>,
    topics_allowed: Vec<Rule>,
    patterns_denied: Vec<Rule>,
    patterns_allowed: Vec<Rule>,
}

/// Reads a whole file.
///
/// # Errors
/// Every line that is wrong.
pub(super) fn parse(text: &str, source: &Arc<str>) -> Result<Vec<Rule>, Vec<RuleError>> {
    let (mut classes, mut errors) = (Classes::default(), Vec::new());
    let mut user: Option<Box<str>> = None;
    for (line, text) in (1..).zip(text.lines()) {
        let text = text.trim_end_matches('\r');
        let place = Place { source: source.clone(), line };
        if let Err(problem) = classes.read(text, &place, &mut user) {
            errors.push(RuleError { place, problem });
        }
    }
    if errors.is_empty() { Ok(classes.into_rules(source)) } else { Err(errors) }
}

impl Classes {
    fn read(&mut self, text: &str, place: &Place, user: &mut Option<Box<str>>) -> Result<(), String> {
        let text = text.trim();
        if text.is_empty() || text.starts_with('#') {
            return Ok(());
        }
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        match keyword {
            _ if rest.is_empty() => Err(format!("`{keyword}` needs something after it")),
            "user" => {
                *user = Some(rest.into());
                Ok(())
            }
            "topic" => {
                let (access, filter) = access(rest)?;
                let who = match user {
                    Some(name) => Condition::User(Names(vec![Name::Exactly(name.clone())])),
                    None => Condition::Anonymous,
                };
                let rule = rule(access, vec![who], Pattern::plain(filter)?, place, text);
                if access.is_none() {
                    self.topics_denied.push(rule)
                } else {
                    self.topics_allowed.push(rule)
                }
                Ok(())
            }
            "pattern" => {
                let (access, filter) = access(rest)?;
                let rule = rule(access, Vec::new(), Pattern::parse_mosquitto(filter)?, place, text);
                if access.is_none() {
                    self.patterns_denied.push(rule)
                } else {
                    self.patterns_allowed.push(rule)
                }
                Ok(())
            }
            _ => Err(format!("a line begins with `user`, `topic` or `pattern`, not with {keyword:?}")),
        }
    }

    fn into_rules(self, source: &Arc<str>) -> Vec<Rule> {
        let any_pattern = !self.patterns_denied.is_empty() || !self.patterns_allowed.is_empty();
        let guard = any_pattern.then(|| Rule {
            who: vec![Condition::WildcardInName],
            text: "(patterns are not for clients with a wildcard in their name)".into(),
            ..rule(
                None,
                Vec::new(),
                Pattern::plain("#").expect("a filter"),
                &Place { source: source.clone(), line: 0 },
                "",
            )
        });
        let topics = self.topics_denied.into_iter().chain(self.topics_allowed);
        topics.chain(guard).chain(self.patterns_denied).chain(self.patterns_allowed).collect()
    }
}

/// Actions of an access word, `None` to deny all; and the filter, which may hold blanks.
type Access<'t> = (Option<u8>, &'t str);

fn access(rest: &str) -> Result<Access<'_>, String> {
    let read = Action::Subscribe.bit() | Action::Receive.bit();
    let write = Action::Publish.bit();
    let (word, filter) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
    let access = match word {
        "read" => Some(read),
        "write" => Some(write),
        "readwrite" => Some(read | write),
        "deny" => None,
        _ => return Ok((Some(read | write), rest)),
    };
    let filter = filter.trim();
    if filter.is_empty() { Ok((Some(read | write), rest)) } else { Ok((access, filter)) }
}

fn rule(access: Option<u8>, who: Vec<Condition>, pattern: Pattern, place: &Place, text: &str) -> Rule {
    let all = Action::Subscribe.bit() | Action::Receive.bit() | Action::Publish.bit();
    Rule {
        effect: if access.is_some() { Effect::Allow } else { Effect::Deny },
        who,
        actions: access.unwrap_or(all),
        rights: Rights::ALL,
        patterns: vec![pattern],
        reading: Reading::AtDelivery,
        place: place.clone(),
        text: text.into(),
    }
}
