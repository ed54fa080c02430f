//! What a peer did wrong, and the reaction that the standard asks for.

use core::fmt;

use mqtt_codec::{DecodeError, ReasonCode};

/// The peer broke a rule: the connection ends with this reason (section 4.13).
///
/// ```
/// use mqtt_codec::ReasonCode;
/// use mqtt_session::Violation;
///
/// let violation = Violation::protocol_error("MQTT-3.3.4-7");
/// assert_eq!(violation.reason, ReasonCode::ProtocolError);
/// assert!(violation.to_string().ends_with("[MQTT-3.3.4-7]"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What a DISCONNECT or CONNACK says.
    pub reason: ReasonCode,
    /// The clause that was broken, such as `MQTT-3.3.4-7`.
    pub clause: &'static str,
}

impl Violation {
    /// A violation of `clause`, answered with `reason`.
    #[must_use]
    pub const fn new(reason: ReasonCode, clause: &'static str) -> Self {
        Self { reason, clause }
    }

    /// A Protocol Error (0x82) against `clause`.
    #[must_use]
    pub const fn protocol_error(clause: &'static str) -> Self {
        Self::new(ReasonCode::ProtocolError, clause)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.reason, self.clause)
    }
}

impl std::error::Error for Violation {}

impl From<DecodeError> for Violation {
    fn from(error: DecodeError) -> Self {
        Self::new(error.reason(), error.clause())
    }
}
