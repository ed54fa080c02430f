//! Which messages a client may send to a topic, or get from it.

use core::fmt;

use mqtt_codec::QoS;

/// A set of kinds of messages: each quality of service, with and without the RETAIN flag. Small, so that one decision
/// per topic answers for every message.
///
/// ```
/// use mqtt_codec::QoS;
/// use mqtt_session::Rights;
///
/// let rights = Rights::of(QoS::AtMostOnce, false).or(Rights::of(QoS::AtLeastOnce, false));
/// assert!(rights.allow(QoS::AtLeastOnce, false) && !rights.allow(QoS::AtLeastOnce, true));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// Nothing is allowed.
    pub const NONE: Self = Self(0);
    /// Everything is allowed.
    pub const ALL: Self = Self(0b11_11_11);

    /// One kind of message.
    #[must_use]
    pub const fn of(qos: QoS, retain: bool) -> Self {
        Self(1 << (qos as u8 * 2 + retain as u8))
    }

    /// Whether a message of this kind is allowed.
    #[must_use]
    pub const fn allow(self, qos: QoS, retain: bool) -> bool {
        self.0 & Self::of(qos, retain).0 != 0
    }

    /// What either set allows.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What both sets allow.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// What this set allows and the other does not.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing is allowed.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether everything is allowed.
    #[must_use]
    pub const fn is_all(self) -> bool {
        self.0 == Self::ALL.0
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({:06b})", self.0)
    }
}
