use core::fmt;

use mqtt_codec::{EncodeError, ReasonCode};
use mqtt_session::Unpublishable;

/// Why a local client could not do what it was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalError {
    /// The text is no topic name: empty, with a wildcard or U+0000, or longer than 65,535 bytes.
    InvalidTopic,
    /// The text is no topic filter.
    InvalidFilter,
    /// The subscription identifier is not between 1 and 268,435,455, or No Local was asked of a shared
    /// subscription.
    InvalidOptions,
    /// No PUBLISH can have these properties: one belongs to other packets, or stands twice where it may not.
    InvalidProperties,
    /// Topic, properties and payload are more than one packet can hold.
    TooLarge,
    /// The broker, its access rules or a hook refused, with the reason that a connected client would be told.
    Refused(ReasonCode),
    /// The disk failed before the message was stored: those who are there may have got it, but it may end with the
    /// process.
    NotStored,
    /// No response came in time.
    TimedOut,
    /// The broker has stopped.
    Stopped,
}

impl fmt::Display for LocalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidTopic => f.write_str("not a topic name"),
            Self::InvalidFilter => f.write_str("not a topic filter"),
            Self::InvalidOptions => f.write_str("options that no subscription can have"),
            Self::InvalidProperties => f.write_str("properties that no message can have"),
            Self::TooLarge => f.write_str("larger than a packet can be"),
            Self::Refused(reason) => write!(f, "refused: {reason}"),
            Self::NotStored => f.write_str("the store has failed: the message may not outlive the broker"),
            Self::TimedOut => f.write_str("no response in time"),
            Self::Stopped => f.write_str("the broker has stopped"),
        }
    }
}

impl std::error::Error for LocalError {}

impl From<Unpublishable> for LocalError {
    fn from(problem: Unpublishable) -> Self {
        match problem {
            Unpublishable::Topic | Unpublishable::ResponseTopic => Self::InvalidTopic,
            Unpublishable::Packet(EncodeError::PacketTooLarge) => Self::TooLarge,
            Unpublishable::Packet(_) => Self::InvalidProperties,
        }
    }
}
