//! Why a plug-in cannot be used, and why it did not answer.

use std::path::PathBuf;
use std::{fmt, io};

/// Why a plug-in cannot be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum PluginError {
    /// Its file cannot be read.
    Read(PathBuf, io::Error),
    /// It is no WebAssembly component.
    NoComponent(String),
    /// It is one, but not for this interface: another version, a function too few, or one of the host that there is not.
    Interface(String),
    /// It says that its settings are wrong.
    Settings(String),
    /// Its `start` did not answer.
    Start(Failure),
    /// A new version wants to be asked what the running one is not. The broker has to be started again for it.
    MoreEvents,
    /// The system refuses what every plug-in needs: memory, or a thread.
    System(String),
}

impl fmt::Display for PluginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::NoComponent(problem) => write!(f, "no WebAssembly component: {problem}"),
            Self::Interface(problem) => {
                write!(f, "no component for this version of martlet:plugin: {problem}")
            }
            Self::Settings(problem) => write!(f, "the plug-in refuses its settings: {problem}"),
            Self::Start(failure) => write!(f, "the plug-in did not start: {failure}"),
            Self::MoreEvents => f.write_str("the new version wants to be asked more than the one that runs"),
            Self::System(problem) => f.write_str(problem),
        }
    }
}

impl std::error::Error for PluginError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read(_, error) => Some(error),
            Self::Start(failure) => Some(failure),
            _ => None,
        }
    }
}

/// Why a question was not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The plug-in did what it may not, or gave up: the reason in the words of the runtime.
    Trap(String),
    /// It used [`Limits::fuel_max`](crate::Limits::fuel_max).
    OutOfFuel,
    /// It took longer than [`Limits::deadline`](crate::Limits::deadline).
    TooLate,
    /// It wanted more than [`Limits::memory_bytes_max`](crate::Limits::memory_bytes_max).
    OutOfMemory,
    /// It answered what is none: a topic with wildcards, a text longer than MQTT allows.
    Nonsense(&'static str),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trap(reason) => f.write_str(reason),
            Self::OutOfFuel => f.write_str("it used all its fuel"),
            Self::TooLate => f.write_str("it did not answer in time"),
            Self::OutOfMemory => f.write_str("it wanted more memory than it may have"),
            Self::Nonsense(what) => write!(f, "it answered with {what}"),
        }
    }
}

impl std::error::Error for Failure {}
