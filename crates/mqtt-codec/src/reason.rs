use core::fmt;

use crate::{PacketType, QoS};

/// Writes the enum and its look-ups from one table: number, name, the standard's text, the packets that may carry it.
macro_rules! reason_codes {
    ($($number:literal $name:ident $text:literal [$($packet:ident)*])*) => {
        /// The outcome of an operation (MQTT 5 section 2.4). Numbers from 0x80 are failures.
        ///
        /// Zero has three names in the standard: *success*, [normal disconnection](Self::NORMAL_DISCONNECTION) and
        /// [granted QoS 0](Self::GRANTED_QOS_0).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ReasonCode {
            $(
                #[doc = concat!("`", stringify!($number), "` ", $text, ".")]
                $name = $number,
            )*
        }

        impl ReasonCode {
            /// Every reason code, in the order of the numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The standard's wording, in lower case except for names.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// One bit for each packet type that may carry this code.
            const fn packets(self) -> u16 {
                match self { $(Self::$name => 0 $(| 1 << PacketType::$packet as u16)*),* }
            }

            /// The code with this number.
            #[must_use]
            #[inline]
            pub const fn from_number(number: u8) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

reason_codes! {
    0x00 Success "success" [Connack Puback Pubrec Pubrel Pubcomp Suback Unsuback Disconnect Auth]
    0x01 GrantedQoS1 "granted QoS 1" [Suback]
    0x02 GrantedQoS2 "granted QoS 2" [Suback]
    0x04 DisconnectWithWillMessage "disconnect with will message" [Disconnect]
    0x10 NoMatchingSubscribers "no matching subscribers" [Puback Pubrec]
    0x11 NoSubscriptionExisted "no subscription existed" [Unsuback]
    0x18 ContinueAuthentication "continue authentication" [Auth]
    0x19 ReAuthenticate "re-authenticate" [Auth]
    0x80 UnspecifiedError "unspecified error" [Connack Puback Pubrec Suback Unsuback Disconnect]
    0x81 MalformedPacket "malformed packet" [Connack Disconnect]
    0x82 ProtocolError "protocol error" [Connack Disconnect]
    0x83 ImplementationSpecificError "implementation specific error" [Connack Puback Pubrec Suback Unsuback Disconnect]
    0x84 UnsupportedProtocolVersion "unsupported protocol version" [Connack]
    0x85 ClientIdentifierNotValid "client identifier not valid" [Connack]
    0x86 BadUserNameOrPassword "bad user name or password" [Connack]
    0x87 NotAuthorized "not authorized" [Connack Puback Pubrec Suback Unsuback Disconnect]
    0x88 ServerUnavailable "server unavailable" [Connack]
    0x89 ServerBusy "server busy" [Connack Disconnect]
    0x8A Banned "banned" [Connack]
    0x8B ServerShuttingDown "server shutting down" [Disconnect]
    0x8C BadAuthenticationMethod "bad authentication method" [Connack Disconnect]
    0x8D KeepAliveTimeout "keep alive timeout" [Disconnect]
    0x8E SessionTakenOver "session taken over" [Disconnect]
    0x8F TopicFilterInvalid "topic filter invalid" [Suback Unsuback Disconnect]
    0x90 TopicNameInvalid "topic name invalid" [Connack Puback Pubrec Disconnect]
    0x91 PacketIdentifierInUse "packet identifier in use" [Puback Pubrec Suback Unsuback]
    0x92 PacketIdentifierNotFound "packet identifier not found" [Pubrel Pubcomp]
    0x93 ReceiveMaximumExceeded "receive maximum exceeded" [Disconnect]
    0x94 TopicAliasInvalid "topic alias invalid" [Disconnect]
    0x95 PacketTooLarge "packet too large" [Connack Disconnect]
    0x96 MessageRateTooHigh "message rate too high" [Disconnect]
    0x97 QuotaExceeded "quota exceeded" [Connack Puback Pubrec Suback Disconnect]
    0x98 AdministrativeAction "administrative action" [Disconnect]
    0x99 PayloadFormatInvalid "payload format invalid" [Connack Puback Pubrec Disconnect]
    0x9A RetainNotSupported "retain not supported" [Connack Disconnect]
    0x9B QoSNotSupported "QoS not supported" [Connack Disconnect]
    0x9C UseAnotherServer "use another server" [Connack Disconnect]
    0x9D ServerMoved "server moved" [Connack Disconnect]
    0x9E SharedSubscriptionsNotSupported "shared subscriptions not supported" [Suback Disconnect]
    0x9F ConnectionRateExceeded "connection rate exceeded" [Connack Disconnect]
    0xA0 MaximumConnectTime "maximum connect time" [Disconnect]
    0xA1 SubscriptionIdentifiersNotSupported "subscription identifiers not supported" [Suback Disconnect]
    0xA2 WildcardSubscriptionsNotSupported "wildcard subscriptions not supported" [Suback Disconnect]
}

impl ReasonCode {
    /// What DISCONNECT means by zero.
    pub const NORMAL_DISCONNECTION: Self = Self::Success;
    /// What SUBACK means by zero.
    pub const GRANTED_QOS_0: Self = Self::Success;

    /// Whether the operation failed.
    #[must_use]
    #[inline]
    pub const fn is_error(self) -> bool {
        self as u8 >= 0x80
    }

    /// Whether MQTT 5 lets a packet of this type carry the code (the table of section 2.4).
    #[must_use]
    #[inline]
    pub const fn allowed_in(self, packet: PacketType) -> bool {
        self.packets() >> packet as u16 & 1 == 1
    }

    /// What SUBACK answers when a subscription was accepted at this level.
    #[must_use]
    pub const fn granted(qos: QoS) -> Self {
        match qos {
            QoS::AtMostOnce => Self::GRANTED_QOS_0,
            QoS::AtLeastOnce => Self::GrantedQoS1,
            QoS::ExactlyOnce => Self::GrantedQoS2,
        }
    }
}

/// The number given to [`ReasonCode::try_from`] is not in the standard's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownReasonCode(pub u8);

impl fmt::Display for UnknownReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} is not a reason code", self.0)
    }
}

impl core::error::Error for UnknownReasonCode {}

impl TryFrom<u8> for ReasonCode {
    type Error = UnknownReasonCode;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        Self::from_number(number).ok_or(UnknownReasonCode(number))
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", *self as u8, self.name())
    }
}
