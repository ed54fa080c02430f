use core::fmt;

use crate::property::{PropertyId, row_of_number};
use crate::{PacketType, ReasonCode};

/// Why bytes are not a packet: small, `Copy`, and it knows what to answer and which rule was broken.
///
/// ```
/// use mqtt_codec::{DecodeErrorKind, ReasonCode, Version, decode};
///
/// let error = decode(&[0x36, 0x00], Version::V5).unwrap_err();
/// assert_eq!(error.kind(), DecodeErrorKind::PublishQoS3);
/// assert_eq!(error.reason(), ReasonCode::MalformedPacket);
/// assert_eq!(error.clause(), "MQTT-3.3.1-4");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecodeError {
    kind: DecodeErrorKind,
    /// A property's number or a packet type's, as the kind demands; else 0.
    detail: u8,
}

/// Writes the enum and its facts from one table: kind, reason code, clause or section, text.
macro_rules! decode_error_kinds {
    ($($name:ident $reason:ident $clause:literal $text:literal)*) => {
        /// The rule that the bytes break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[non_exhaustive]
        pub enum DecodeErrorKind {
            $(
                #[doc = concat!("The packet has ", $text, " (`", $clause, "`).")]
                $name,
            )*
        }

        impl DecodeErrorKind {
            /// Every kind, for tests and tables.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            const fn facts(self) -> (ReasonCode, &'static str, &'static str) {
                match self { $(Self::$name => (ReasonCode::$reason, $clause, $text)),* }
            }
        }
    };
}

decode_error_kinds! {
    Truncated MalformedPacket "2.1.4" "fewer bytes than its fields need"
    TrailingBytes MalformedPacket "2.1.4" "bytes after its last field"
    OverlongInteger MalformedPacket "1.5.5" "a variable byte integer of more than four bytes"
    NonMinimalInteger MalformedPacket "MQTT-1.5.5-1" "a variable byte integer in more bytes than needed"
    FrameTooLarge PacketTooLarge "MQTT-3.2.2-15" "more bytes than the receiver accepts"
    ReservedPacketType MalformedPacket "2.1.2" "the reserved type 0"
    PacketTypeNotInVersion MalformedPacket "2.1.2" "a type that the protocol version does not know"
    FixedHeaderFlags MalformedPacket "MQTT-2.1.3-1" "fixed header flags other than those prescribed"
    PublishQoS3 MalformedPacket "MQTT-3.3.1-4" "both QoS bits set"
    DupAtQoS0 MalformedPacket "MQTT-3.3.1-2" "DUP set at QoS 0"
    InvalidUtf8 MalformedPacket "MQTT-1.5.4-1" "a string that is not well-formed UTF-8"
    StringContainsNul MalformedPacket "MQTT-1.5.4-2" "a string with the character U+0000"
    PacketIdZero ProtocolError "MQTT-2.2.1-3" "the packet identifier 0"
    UnsupportedProtocolName UnsupportedProtocolVersion "MQTT-3.1.2-1" "an unknown protocol name"
    UnsupportedProtocolVersion UnsupportedProtocolVersion "MQTT-3.1.2-2" "an unknown protocol version"
    ConnectReservedFlag MalformedPacket "MQTT-3.1.2-3" "the reserved connect flag set"
    WillQoSWithoutWill MalformedPacket "MQTT-3.1.2-11" "a will QoS but no will"
    WillQoS3 MalformedPacket "MQTT-3.1.2-12" "the will QoS 3"
    WillRetainWithoutWill MalformedPacket "MQTT-3.1.2-13" "will retain set but no will"
    PasswordWithoutUserName MalformedPacket "MQTT3-3.1.2-22" "a password but no user name"
    ConnackReservedFlags MalformedPacket "MQTT-3.2.2-1" "reserved acknowledge flags set"
    SessionPresentWithError ProtocolError "MQTT-3.2.2-6" "session present set though the connection was refused"
    TopicNameMissing ProtocolError "3.3.2.1" "neither a topic name nor a topic alias"
    NoTopicFilters ProtocolError "MQTT-3.8.3-2" "no topic filter"
    SubscriptionReservedBits MalformedPacket "MQTT-3.8.3-5" "reserved subscription option bits set"
    SubscriptionQoS3 ProtocolError "3.8.3.1" "a subscription with QoS 3"
    RetainHandling3 ProtocolError "3.8.3.1" "a subscription with retain handling 3"
    NoReasonCodes ProtocolError "MQTT-3.9.3-1" "no reason code"
    UnknownReasonCode MalformedPacket "2.4" "a reason code that the standard does not list"
    ReasonCodeNotAllowed ProtocolError "2.4" "a reason code that belongs to other packets"
    UnknownProperty MalformedPacket "2.2.2.2" "a property that the standard does not list"
    PropertyNotAllowed MalformedPacket "2.2.2.2" "a property that belongs to other packets"
    PropertyRepeated ProtocolError "2.2.2.2" "a property twice that may stand only once"
    PropertyValue ProtocolError "2.2.2.2" "a property with a value outside its range"
    TopicAliasZero TopicAliasInvalid "MQTT-3.3.2-8" "the topic alias 0"
    AuthenticationMethodMissing ProtocolError "3.1.2.11.10" "authentication data or an exchange without its method"
}

impl DecodeError {
    pub(crate) const fn new(kind: DecodeErrorKind) -> Self {
        Self { kind, detail: 0 }
    }

    pub(crate) const fn in_packet(kind: DecodeErrorKind, packet: PacketType) -> Self {
        Self { kind, detail: packet as u8 }
    }

    pub(crate) const fn of_property(kind: DecodeErrorKind, number: u8) -> Self {
        Self { kind, detail: number }
    }

    /// The rule that was broken.
    #[must_use]
    pub const fn kind(self) -> DecodeErrorKind {
        self.kind
    }

    /// What an MQTT 5 server puts into its CONNACK or DISCONNECT (section 4.13).
    #[must_use]
    pub const fn reason(self) -> ReasonCode {
        self.kind.facts().0
    }

    /// The conformance statement, such as `MQTT-3.3.1-4`, or where the standard gives it no number the section, such as
    /// `2.2.2.2`. Statements that only MQTT 3.1.1 has begin with `MQTT3-`.
    #[must_use]
    pub fn clause(self) -> &'static str {
        use PacketType as Type;
        let general = self.kind.facts().1;
        match (self.kind, PacketType::from_first_byte(self.detail << 4)) {
            (DecodeErrorKind::PropertyRepeated | DecodeErrorKind::PropertyValue, _) => {
                row_of_number(self.detail).map_or(general, |row| row.section)
            }
            (DecodeErrorKind::FixedHeaderFlags, Some(Type::Pubrel)) => "MQTT-3.6.1-1",
            (DecodeErrorKind::FixedHeaderFlags, Some(Type::Subscribe)) => "MQTT-3.8.1-1",
            (DecodeErrorKind::FixedHeaderFlags, Some(Type::Unsubscribe)) => "MQTT-3.10.1-1",
            (DecodeErrorKind::FixedHeaderFlags, Some(Type::Disconnect)) => "MQTT-3.14.1-1",
            (DecodeErrorKind::FixedHeaderFlags, Some(Type::Auth)) => "MQTT-3.15.1-1",
            (DecodeErrorKind::NoTopicFilters, Some(Type::Unsubscribe)) => "MQTT-3.10.3-2",
            (DecodeErrorKind::NoReasonCodes, Some(Type::Unsuback)) => "MQTT-3.11.3-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Connack)) => "MQTT-3.2.2-8",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Puback)) => "MQTT-3.4.2-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Pubrec)) => "MQTT-3.5.2-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Pubrel)) => "MQTT-3.6.2-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Pubcomp)) => "MQTT-3.7.2-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Suback)) => "MQTT-3.9.3-2",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Unsuback)) => "MQTT-3.11.3-2",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Disconnect)) => "MQTT-3.14.2-1",
            (DecodeErrorKind::ReasonCodeNotAllowed, Some(Type::Auth)) => "MQTT-3.15.2-1",
            (DecodeErrorKind::AuthenticationMethodMissing, Some(Type::Auth)) => "3.15.2.2.2",
            _ => general,
        }
    }

    /// The property at fault, where the error is about one that the standard knows.
    #[must_use]
    pub fn property(self) -> Option<PropertyId> {
        match self.kind {
            DecodeErrorKind::PropertyNotAllowed
            | DecodeErrorKind::PropertyRepeated
            | DecodeErrorKind::PropertyValue => PropertyId::from_number(self.detail),
            _ => None,
        }
    }
}

impl From<DecodeErrorKind> for DecodeError {
    fn from(kind: DecodeErrorKind) -> Self {
        Self::new(kind)
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the packet has {}", self.kind.facts().2)?;
        if let Some(property) = self.property() {
            write!(f, ": {property}")?;
        }
        write!(f, " [{}]", self.clause())
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({:?}, {}, {:?})", self.kind, self.clause(), self.reason())
    }
}

impl core::error::Error for DecodeError {}

/// Why a packet cannot be written. Nothing has been written when one is returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EncodeError {
    /// A string or binary value is longer than 65,535 bytes (MQTT 5 section 1.5.4).
    FieldTooLong,
    /// A string holds U+0000, which no receiver accepts `[MQTT-1.5.4-2]`.
    StringContainsNul,
    /// The packet after its header would exceed 268,435,455 bytes (MQTT 5 section 2.1.4).
    PacketTooLarge,
    /// The output has less room than the packet needs.
    OutputFull,
    /// PUBLISH above QoS 0 without a packet identifier, or at QoS 0 with one `[MQTT-2.2.1-2]`.
    PacketIdPresence,
    /// PUBLISH at QoS 0 with DUP `[MQTT-3.3.1-2]`.
    DupAtQoS0,
    /// PUBLISH with neither a topic name nor an alias that this version could carry (MQTT 5 section 3.3.2.1).
    TopicNameMissing,
    /// SUBSCRIBE or UNSUBSCRIBE without a filter, SUBACK or UNSUBACK without a reason code.
    NothingListed,
    /// CONNACK that refuses and yet claims a session `[MQTT-3.2.2-6]`.
    SessionPresentWithError,
    /// Before MQTT 5 a password needs a user name `[MQTT3-3.1.2-22]`.
    PasswordWithoutUserName,
    /// The packet type may not carry this reason code, or the version has no return code that comes near it.
    ReasonCode(ReasonCode),
    /// The property may not stand in this packet.
    PropertyNotAllowed(PropertyId),
    /// The property may stand only once in this packet.
    PropertyRepeated(PropertyId),
    /// The value is outside the property's range.
    PropertyValue(PropertyId),
    /// Authentication data, or an AUTH that continues an exchange, without the method.
    AuthenticationMethodMissing,
    /// The version has no such packet: AUTH before MQTT 5.
    PacketTypeNotInVersion,
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldTooLong => f.write_str("a string or binary value exceeds 65,535 bytes"),
            Self::StringContainsNul => f.write_str("a string contains U+0000"),
            Self::PacketTooLarge => f.write_str("the packet exceeds 268,435,455 bytes"),
            Self::OutputFull => f.write_str("the output has not enough room for the packet"),
            Self::PacketIdPresence => f.write_str("a packet identifier is due above QoS 0 and only there"),
            Self::DupAtQoS0 => f.write_str("DUP is set at QoS 0"),
            Self::TopicNameMissing => {
                f.write_str("the publication has neither a topic name nor a usable alias")
            }
            Self::NothingListed => f.write_str("the packet needs at least one entry in its list"),
            Self::SessionPresentWithError => f.write_str("a refused connection has no session"),
            Self::PasswordWithoutUserName => {
                f.write_str("this version allows a password only with a user name")
            }
            Self::ReasonCode(reason) => write!(f, "the packet cannot carry the reason code {reason}"),
            Self::PropertyNotAllowed(id) => write!(f, "the packet cannot carry the property {id}"),
            Self::PropertyRepeated(id) => write!(f, "the packet can carry only one {id}"),
            Self::PropertyValue(id) => write!(f, "the value is outside the range of the property {id}"),
            Self::AuthenticationMethodMissing => f.write_str("authentication needs the name of its method"),
            Self::PacketTypeNotInVersion => f.write_str("the protocol version has no such packet"),
        }
    }
}

impl core::error::Error for EncodeError {}
