//! What somebody else is asked about topics, where no rule decides, and what is answered.

use std::time::Instant;

/// What a client wants to do with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Publish one message.
    Publish {
        /// Whether it is to be retained.
        retain: bool,
    },
    /// Subscribe.
    Subscribe,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Consulted {
    /// Whether the client may do it, or why nobody could say: then it may not.
    pub verdict: Result<bool, Unanswered>,
    /// Until when the answer holds for the same question, so that it is not put again. A time that is over: for this once.
    pub until: Instant,
}

/// Why nobody could say whether a client may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unanswered {
    /// Too many questions wait.
    Busy,
    /// There was no answer in time.
    TimedOut,
    /// Nobody was there.
    Unreachable,
    /// The answer was not understood.
    NoAnswer,
}

impl Unanswered {
    /// All, in their order.
    pub const ALL: &'static [Self] = &[Self::Busy, Self::TimedOut, Self::Unreachable, Self::NoAnswer];

    /// Its name in `$SYS`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no_answer",
        }
    }
}
