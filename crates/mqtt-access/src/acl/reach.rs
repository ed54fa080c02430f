//! Rules that can never decide.

use super::policy::Warning;
use super::rule::{Condition, Rule};

/// Pairs of rules are compared, so that among very many this is left out.
const RULES_MAX: usize = 4000;

/// The rules that another one before them always forestalls.
pub(super) fn unreachable(rules: &[Rule]) -> Vec<Warning> {
    if rules.len() > RULES_MAX {
        return Vec::new();
    }
    let forestalled = |(at, rule): (usize, &Rule)| {
        let earlier = rules[..at].iter().find(|earlier| earlier.forestalls(rule))?;
        let problem =
            format!("this rule is never reached: the one at {} always decides before it", earlier.place);
        Some(Warning { place: rule.place.clone(), problem })
    };
    rules.iter().enumerate().filter(|(_, rule)| rule.place.line > 0).filter_map(forestalled).collect()
}

impl Rule {
    fn forestalls(&self, later: &Self) -> bool {
        let all_kinds = later.rights.without(self.rights).is_none();
        let all_actions = later.actions & !self.actions == 0;
        all_kinds
            && all_actions
            && self.who.iter().all(|condition| later.who.iter().any(|narrower| condition.includes(narrower)))
            && later.patterns.iter().all(|pattern| {
                self.patterns.iter().any(|wider| {
                    wider == pattern
                        || matches!((wider.as_plain(), pattern.as_plain()), (Some(a), Some(b)) if a.covers(b))
                })
            })
    }
}

impl Condition {
    /// Whether this condition holds whenever `narrower` does.
    fn includes(&self, narrower: &Self) -> bool {
        match (self, narrower) {
            (Self::User(wide), Self::User(narrow))
            | (Self::Client(wide), Self::Client(narrow))
            | (Self::Group(wide), Self::Group(narrow))
            | (Self::Listener(wide), Self::Listener(narrow)) => match narrow.exact() {
                Some(names) => names.iter().all(|name| wide.hold(name)),
                None => wide == narrow,
            },
            (Self::Address(wide), Self::Address(narrow)) => {
                narrow.iter().all(|network| wide.iter().any(|wider| wider.covers(network)))
            }
            (a, b) => a == b,
        }
    }
}
