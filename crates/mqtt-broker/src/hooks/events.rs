use core::ops::BitOr;
use core::sync::atomic::{AtomicU64, Ordering};

/// A set of events: what a hook wants to be asked or told about.
///
/// ```
/// use mqtt_broker::Events;
/// let wanted = Events::PUBLISH | Events::DISCONNECTED;
/// assert!(wanted.contains(Events::PUBLISH) && !wanted.contains(Events::CONNECT));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Events(u64);

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $bit:literal;)*) => {
        impl Events {
            $($(#[$doc])* pub const $name: Self = Self(1 << $bit);)*
            /// Every event.
            pub const ALL: Self = Self($(1 << $bit)|*);
        }
    };
}

events! {
    /// [`Hooks::started`](super::Hooks::started)
    STARTED = 0;
    /// [`Hooks::stopped`](super::Hooks::stopped)
    STOPPED = 1;
    /// [`Hooks::tick`](super::Hooks::tick)
    TICK = 2;
    /// [`Hooks::connection_accepted`](super::Hooks::connection_accepted)
    CONNECTION_ACCEPTED = 3;
    /// [`Hooks::authenticate`](super::Hooks::authenticate)
    AUTHENTICATE = 4;
    /// [`Hooks::connect`](super::Hooks::connect)
    CONNECT = 5;
    /// [`Hooks::session_established`](super::Hooks::session_established)
    SESSION_ESTABLISHED = 6;
    /// [`Hooks::session_taken_over`](super::Hooks::session_taken_over)
    SESSION_TAKEN_OVER = 7;
    /// [`Hooks::session_parked`](super::Hooks::session_parked)
    SESSION_PARKED = 8;
    /// [`Hooks::session_ended`](super::Hooks::session_ended)
    SESSION_ENDED = 9;
    /// [`Hooks::disconnected`](super::Hooks::disconnected)
    DISCONNECTED = 10;
    /// [`Hooks::packet_received`](super::Hooks::packet_received)
    PACKET_RECEIVED = 11;
    /// [`Hooks::packet_sending`](super::Hooks::packet_sending)
    PACKET_SENDING = 12;
    /// [`Hooks::subscribe`](super::Hooks::subscribe)
    SUBSCRIBE = 13;
    /// [`Hooks::subscribed`](super::Hooks::subscribed)
    SUBSCRIBED = 14;
    /// [`Hooks::unsubscribe`](super::Hooks::unsubscribe)
    UNSUBSCRIBE = 15;
    /// [`Hooks::unsubscribed`](super::Hooks::unsubscribed)
    UNSUBSCRIBED = 16;
    /// [`Hooks::publish`](super::Hooks::publish)
    PUBLISH = 17;
    /// [`Hooks::published`](super::Hooks::published)
    PUBLISHED = 18;
    /// [`Hooks::select_member`](super::Hooks::select_member)
    SELECT_MEMBER = 19;
    /// [`Hooks::dropped`](super::Hooks::dropped)
    DROPPED = 20;
    /// [`Hooks::retained`](super::Hooks::retained)
    RETAINED = 21;
    /// [`Hooks::retained_expired`](super::Hooks::retained_expired)
    RETAINED_EXPIRED = 22;
    /// [`Hooks::acknowledged`](super::Hooks::acknowledged)
    ACKNOWLEDGED = 23;
    /// [`Hooks::will`](super::Hooks::will)
    WILL = 24;
    /// [`Hooks::will_sent`](super::Hooks::will_sent)
    WILL_SENT = 25;
    /// [`Hooks::restored`](super::Hooks::restored)
    RESTORED = 26;
    /// [`Hooks::retained_replayed`](super::Hooks::retained_replayed)
    RETAINED_REPLAYED = 27;
    /// [`Hooks::sent`](super::Hooks::sent)
    SENT = 28;
    /// [`Hooks::resent`](super::Hooks::resent)
    RESENT = 29;
    /// [`Hooks::packet_ids_exhausted`](super::Hooks::packet_ids_exhausted)
    PACKET_IDS_EXHAUSTED = 30;
    /// [`Hooks::review_publish`](super::Hooks::review_publish)
    REVIEW_PUBLISH = 31;
    /// [`Hooks::review_subscribe`](super::Hooks::review_subscribe)
    REVIEW_SUBSCRIBE = 32;
}

impl Events {
    /// No event.
    pub const NONE: Self = Self(0);

    /// These and the others; as `|`, for constants.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all events of `other` are among these.
    #[must_use]
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl Events {
    pub(crate) const fn overlaps(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl BitOr for Events {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// A set of events that only becomes smaller, for all threads.
#[derive(Debug, Default)]
pub(super) struct Waning(AtomicU64);

impl Waning {
    pub(super) fn new(events: Events) -> Self {
        Self(AtomicU64::new(events.0))
    }

    #[inline]
    pub(super) fn events(&self) -> Events {
        Events(self.0.load(Ordering::Relaxed))
    }

    pub(super) fn remove(&self, events: Events) {
        self.0.fetch_and(!events.0, Ordering::Relaxed);
    }
}
