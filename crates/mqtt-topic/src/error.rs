//! Why a text is no topic name or no topic filter.

use core::fmt;

/// The rule that a text breaks. What a peer gets for it depends on the packet: a broker answers a bad name in PUBLISH
/// with reason code 0x90 and a bad filter in SUBSCRIBE with 0x8F.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TopicError {
    /// No character at all.
    Empty,
    /// More than [`TOPIC_BYTES_MAX`](crate::TOPIC_BYTES_MAX) bytes of UTF-8.
    TooLong,
    /// The character U+0000.
    Nul,
    /// `+` or `#` in a topic name.
    WildcardInName,
    /// `#` that is not a whole level, or not the last level.
    MisplacedMultiLevelWildcard,
    /// `+` that is not a whole level.
    MisplacedSingleLevelWildcard,
    /// `$share/` followed by nothing or directly by another `/`.
    EmptyShareName,
    /// A share name that holds a wildcard character or is not ended by `/`.
    InvalidShareName,
    /// `$share/name/` with nothing after it.
    EmptySharedFilter,
}

impl TopicError {
    /// The normative statement that the text breaks, in the numbering of MQTT 5.0, such as `MQTT-4.7.3-1`.
    pub const fn clause(self) -> &'static str {
        match self {
            Self::Empty => "MQTT-4.7.3-1",
            Self::Nul => "MQTT-4.7.3-2",
            Self::TooLong => "MQTT-4.7.3-3",
            Self::WildcardInName => "MQTT-4.7.0-1",
            Self::MisplacedMultiLevelWildcard => "MQTT-4.7.1-1",
            Self::MisplacedSingleLevelWildcard => "MQTT-4.7.1-2",
            Self::EmptyShareName => "MQTT-4.8.2-1",
            Self::InvalidShareName | Self::EmptySharedFilter => "MQTT-4.8.2-2",
        }
    }

    const fn description(self) -> &'static str {
        match self {
            Self::Empty => "a topic has at least one character",
            Self::Nul => "a topic holds no U+0000",
            Self::TooLong => "a topic has at most 65535 bytes",
            Self::WildcardInName => "a topic name holds no `+` and no `#`",
            Self::MisplacedMultiLevelWildcard => "`#` is a whole level and the last one",
            Self::MisplacedSingleLevelWildcard => "`+` is a whole level",
            Self::EmptyShareName => "a share name has at least one character",
            Self::InvalidShareName => "a share name holds no wildcard character and is ended by `/`",
            Self::EmptySharedFilter => "a topic filter follows the share name",
        }
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.description(), self.clause())
    }
}

impl core::error::Error for TopicError {}
