use core::fmt;

/// A revision of the protocol, in the order of publication.
///
/// Everything that differs between the revisions is asked for through the predicates here, so that no other file compares
/// versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1 (2010): protocol name `MQIsdp`, level 3.
    V3_1,
    /// MQTT 3.1.1 (OASIS 2014, ISO/IEC 20922): protocol name `MQTT`, level 4.
    V3_1_1,
    /// MQTT 5.0 (OASIS 2019): protocol name `MQTT`, level 5.
    V5,
}

impl Version {
    /// All revisions, oldest first.
    pub const ALL: [Self; 3] = [Self::V3_1, Self::V3_1_1, Self::V5];

    /// The revision that a CONNECT announces with this protocol level, or `None` for every other level, those with bit 7 set
    /// by bridges included.
    #[must_use]
    pub const fn from_level(level: u8) -> Option<Self> {
        match level {
            3 => Some(Self::V3_1),
            4 => Some(Self::V3_1_1),
            5 => Some(Self::V5),
            _ => None,
        }
    }

    /// The protocol level byte of CONNECT: 3, 4 or 5 (MQTT 5 section 3.1.2.2).
    #[must_use]
    pub const fn level(self) -> u8 {
        match self {
            Self::V3_1 => 3,
            Self::V3_1_1 => 4,
            Self::V5 => 5,
        }
    }

    /// The protocol name string of CONNECT (MQTT 5 section 3.1.2.1).
    #[must_use]
    pub const fn protocol_name(self) -> &'static str {
        match self {
            Self::V3_1 => "MQIsdp",
            Self::V3_1_1 | Self::V5 => "MQTT",
        }
    }

    /// Whether packets carry property blocks.
    #[must_use]
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether acknowledgements, UNSUBACK and DISCONNECT carry reason codes, and CONNACK those of MQTT 5 instead of the
    /// return codes 0 to 5.
    #[must_use]
    pub const fn has_reason_codes(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether the AUTH packet exists.
    #[must_use]
    pub const fn has_auth(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether SUBSCRIBE carries more than the requested QoS in its option byte.
    #[must_use]
    pub const fn has_subscription_options(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether CONNACK carries the session present flag.
    #[must_use]
    pub const fn has_session_present(self) -> bool {
        !matches!(self, Self::V3_1)
    }

    /// Whether a password may come without a user name: only in MQTT 5 (section 3.1.2.9, against `[MQTT3-3.1.2-22]`).
    #[must_use]
    pub(crate) const fn allows_password_alone(self) -> bool {
        matches!(self, Self::V5)
    }

    /// Whether DUP may be set on PUBREL, SUBSCRIBE and UNSUBSCRIBE: MQTT 3.1 resent those as well.
    #[must_use]
    pub(crate) const fn allows_dup_on_requests(self) -> bool {
        matches!(self, Self::V3_1)
    }

    /// Whether a set reserved bit is an error. MQTT 3.1 calls such bits unused and demands nothing of them.
    #[must_use]
    pub(crate) const fn checks_reserved_bits(self) -> bool {
        !matches!(self, Self::V3_1)
    }

    /// Whether CONNECT may end before the user name or the password that its flags announce: in MQTT 3.1 the remaining length
    /// takes precedence over those flags.
    #[must_use]
    pub(crate) const fn allows_missing_credentials(self) -> bool {
        matches!(self, Self::V3_1)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V3_1 => "3.1",
            Self::V3_1_1 => "3.1.1",
            Self::V5 => "5.0",
        })
    }
}
