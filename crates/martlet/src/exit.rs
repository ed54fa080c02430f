//! Exit codes, as `--help` documents them.

use std::process::ExitCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It could not be done: an address that is taken, a connection that broke.
    Failed,
    /// The command line or the configuration is wrong; nothing was begun.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
        })
    }
}

/// Why a run ended early: a sentence for people, and the exit code for scripts.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is printed to standard error; printed as it is, so an "error: " belongs into it.
    pub(crate) message: String,
}

impl Failure {
    /// The world did not play along.
    pub(crate) fn failed(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Failed, message: format!("error: {message}") }
    }

    /// The user has something to correct.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Self {
        Self { exit: Exit::Usage, message: format!("error: {message}") }
    }
}
