//! Exit codes, as `--help` documents them.

use std::process::ExitCode;

use mqtt_codec::ReasonCode;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for is done.
    Done,
    /// It could not be done: an address that is taken, a connection that broke.
    Failed,
    /// The command line or the configuration is wrong; nothing was begun.
    Usage,
    /// No message came in the time that was given.
    TimedOut,
    /// The broker said no; its reason code is the exit code.
    Refused(ReasonCode),
}

/// As in mosquitto's tools.
const TIMED_OUT: u8 = 27;

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::TimedOut => TIMED_OUT,
            Exit::Refused(reason) => reason as u8,
        })
    }
}

/// Why a run ended early: a sentence for people, and the exit code for scripts.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// What is printed to standard error, as it is; nothing if it is empty.
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

    /// The same, with nothing to print.
    pub(crate) fn silent(self) -> Self {
        Self { message: String::new(), ..self }
    }

    /// The broker refused what `what` names.
    pub(crate) fn refused(what: impl std::fmt::Display, reason: ReasonCode) -> Self {
        Self { exit: Exit::Refused(reason), message: format!("error: {what} was refused: {reason}") }
    }
}
