//! What can go wrong, sorted by when.

use std::fmt;
use std::io;

use mqtt_codec::{EncodeError, ReasonCode};
use mqtt_session::{Unpublishable, Violation};

/// Why no connection came about.
#[derive(Debug)]
pub enum ConnectError {
    /// The transport could not be opened or broke.
    Io(io::Error),
    /// No CONNACK came within the connect timeout.
    TimedOut,
    /// The server closed the connection without a CONNACK.
    Closed,
    /// The server refused, with its reason and, in MQTT 5, perhaps a text and another server to go to.
    Refused {
        /// Reason Code; a 3.x return code stands as the reason that means the same.
        reason: ReasonCode,
        /// Reason String.
        text: Option<String>,
        /// Server Reference.
        server_reference: Option<String>,
    },
    /// The server broke a rule of the protocol.
    Violation(Violation),
    /// Enhanced authentication failed on this side: the server asked for what the method has no answer to, or could not
    /// show that it is the right one.
    NotAuthenticated,
    /// The options cannot be encoded, such as a client identifier that is too long.
    Options(EncodeError),
}

/// Why a request of the application failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The client has ended: it was disconnected, or gave up to connect.
    Closed,
    /// The server forgot the session while a QoS 2 message, a SUBSCRIBE or an UNSUBSCRIBE was under way:
    /// whether it took effect is not known.
    SessionLost,
    /// The packet is larger than the server accepts.
    TooLarge,
    /// The message expired before it could be sent.
    Expired,
    /// Not a topic name or not a topic filter.
    InvalidTopic,
    /// It cannot be encoded.
    NotEncodable,
    /// No answer came in time.
    TimedOut,
    /// The server refused.
    Refused(ReasonCode),
    /// More messages or bytes wait to be sent than may ([`Options::overflow`](crate::Options::overflow)), or too many
    /// requests wait for a connection.
    BufferFull,
    /// No method of enhanced authentication is in use, or the server could not show that it is the right one.
    NotAuthenticated,
    /// The server offers no such quality of service, or no retained messages.
    NotOffered,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot connect: {error}"),
            Self::TimedOut => f.write_str("the server did not answer in time"),
            Self::Closed => f.write_str("the server closed the connection without an answer"),
            Self::Refused { reason, text: Some(text), .. } => write!(f, "refused: {reason} ({text})"),
            Self::Refused { reason, .. } => write!(f, "refused: {reason}"),
            Self::Violation(violation) => write!(f, "the server broke a rule: {violation}"),
            Self::NotAuthenticated => f.write_str("the server could not be authenticated"),
            Self::Options(error) => write!(f, "the options cannot be sent: {error}"),
        }
    }
}

impl std::error::Error for ConnectError {}

impl ConnectError {
    /// Whether another attempt with the same options would end in the same way: the server does not know this client,
    /// does not want it, or cannot understand it. While reconnecting, a client ends with such an error.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Refused { reason, .. } => matches!(
                reason,
                ReasonCode::MalformedPacket
                    | ReasonCode::ProtocolError
                    | ReasonCode::UnsupportedProtocolVersion
                    | ReasonCode::ClientIdentifierNotValid
                    | ReasonCode::BadUserNameOrPassword
                    | ReasonCode::NotAuthorized
                    | ReasonCode::Banned
                    | ReasonCode::BadAuthenticationMethod
                    | ReasonCode::TopicNameInvalid
                    | ReasonCode::PacketTooLarge
                    | ReasonCode::PayloadFormatInvalid
                    | ReasonCode::RetainNotSupported
                    | ReasonCode::QoSNotSupported
                    | ReasonCode::UseAnotherServer
                    | ReasonCode::ServerMoved
            ),
            Self::NotAuthenticated | Self::Options(_) => true,
            Self::Io(_) | Self::TimedOut | Self::Closed | Self::Violation(_) => false,
        }
    }
}

impl From<io::Error> for ConnectError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Violation> for ConnectError {
    fn from(violation: Violation) -> Self {
        Self::Violation(violation)
    }
}

impl From<EncodeError> for ConnectError {
    fn from(error: EncodeError) -> Self {
        Self::Options(error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused(reason) => return write!(f, "the server refused: {reason}"),
            Self::BufferFull => "too much waits to be sent",
            Self::NotAuthenticated => "not authenticated",
            Self::NotOffered => "the server does not offer this",
            Self::Closed => "the client has ended",
            Self::SessionLost => "the server forgot the session",
            Self::TooLarge => "larger than the server accepts",
            Self::Expired => "expired before it could be sent",
            Self::InvalidTopic => "not a valid topic",
            Self::NotEncodable => "cannot be encoded",
            Self::TimedOut => "no answer in time",
        })
    }
}

impl From<Unpublishable> for ClientError {
    fn from(problem: Unpublishable) -> Self {
        match problem {
            Unpublishable::Topic | Unpublishable::ResponseTopic => Self::InvalidTopic,
            Unpublishable::Packet(EncodeError::PacketTooLarge) => Self::TooLarge,
            Unpublishable::Packet(_) => Self::NotEncodable,
        }
    }
}

impl std::error::Error for ClientError {}
