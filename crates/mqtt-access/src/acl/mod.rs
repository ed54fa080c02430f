//! Who may do what: ordered rules, the first one that applies decides, and what none allows is denied.

mod explain;
mod index;
mod mosquitto;
mod parse;
mod pattern;
mod policy;
mod reach;
mod rule;
mod words;

pub use explain::{Explanation, Question, Step, Verdict};
pub use parse::{Line, parse_line};
pub use policy::{Builder, Policy, Ruling, Warning};
pub use rule::{Action, Effect, Place, Rule, Subject};

/// What is wrong with a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleError {
    /// Where.
    pub place: Place,
    /// What is wrong, as a sentence.
    pub problem: String,
}

impl core::fmt::Display for RuleError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

impl core::error::Error for RuleError {}

#[cfg(test)]
mod tests;
