//! Counters: written by every connection, read by `$SYS` and by embedders.

use std::sync::atomic::{AtomicU64, Ordering};

use mqtt_access::consult::Unanswered;
use mqtt_session::DropReason;
use mqtt_transport::{Cause, Scheme, TransportViolation};

use crate::listening::ListenerRules;
use crate::refusals::{EntryRefusal, ReasonCounts};
use crate::storage::StorageSnapshot;

/// For each transport and cause.
type Refused<T> = [[T; Cause::ALL.len()]; Scheme::ALL.len()];

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The broker's own counters; they only grow, but for the gauges that say so.
        #[derive(Debug, Default)]
        pub(crate) struct Metrics {
            $($(#[$doc])* pub(crate) $name: Counter,)*
            dropped: [Counter; DropReason::ALL.len()],
            refused: Refused<Counter>,
            entries: [Counter; EntryRefusal::ALL.len()],
            unanswered: [Counter; Unanswered::ALL.len()],
            pub(crate) reasons: ReasonCounts<Counter>,
        }

        /// All counters at one moment.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct MetricsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Messages discarded, in the order of [`DropReason::ALL`].
            pub dropped: [u64; DropReason::ALL.len()],
            /// Connections that a transport refused or ended, in the order of [`Scheme::ALL`] and [`Cause::ALL`].
            pub refused: Refused<u64>,
            /// Connections closed before their first packet, in the order of [`EntryRefusal::ALL`].
            pub entries_refused: [u64; EntryRefusal::ALL.len()],
            /// Questions about topics that nobody could answer, in the order of [`Unanswered::ALL`].
            pub unanswered: [u64; Unanswered::ALL.len()],
            /// What clients were refused, by reason.
            pub reasons: Box<ReasonCounts>,
            /// Bans that are kept, some of which may have ended (a gauge).
            pub bans: u64,
            /// How the durable store is, if there is one.
            pub storage: Option<StorageSnapshot>,
        }

        impl Metrics {
            pub(crate) fn snapshot(&self) -> MetricsSnapshot {
                MetricsSnapshot {
                    $($name: self.$name.value(),)*
                    dropped: std::array::from_fn(|index| self.dropped[index].value()),
                    storage: None,
                    bans: 0,
                    entries_refused: std::array::from_fn(|index| self.entries[index].value()),
                    unanswered: std::array::from_fn(|index| self.unanswered[index].value()),
                    reasons: self.reasons.snapshot(),
                    refused: std::array::from_fn(|scheme| {
                        std::array::from_fn(|cause| self.refused[scheme][cause].value())
                    }),
                }
            }
        }
    };
}

counters! {
    /// Bytes read from clients.
    bytes_received,
    /// Bytes written to clients.
    bytes_sent,
    /// Packets of any type read from clients.
    packets_received,
    /// Packets of any type written to clients.
    packets_sent,
    /// PUBLISH packets read from clients.
    publish_received,
    /// PUBLISH packets written to clients, retained ones and repetitions included.
    publish_sent,
    /// Payload bytes of PUBLISH packets read.
    publish_bytes_received,
    /// Payload bytes of PUBLISH packets written.
    publish_bytes_sent,
    /// Connections accepted by a listener or attached.
    connections_accepted,
    /// Connections closed before their first packet: banned, too many, too fast.
    connections_refused,
    /// CONNECTs answered with an error, or broken off before the CONNACK.
    connects_failed,
    /// Connections that are admitted now (a gauge).
    clients_connected,
    /// The most that were connected at a time.
    clients_connected_max,
    /// Sessions that ended because their expiry interval passed.
    sessions_expired,
    /// Connections that another one with the same client identifier took over.
    sessions_taken_over,
    /// Connections ended for a broken rule of the protocol.
    violations,
    /// Connections ended because nothing was heard for one and a half keep-alive intervals.
    keep_alive_timeouts,
    /// Connections ended because their login, or the longest time that one may last, was over.
    connections_expired,
    /// Clients disconnected because they were banned.
    clients_banned,
    /// Clients disconnected because access rules changed.
    clients_revoked,
    /// Subscriptions ended because access rules changed.
    subscriptions_revoked,
    /// Wills published.
    wills_published,
    /// Times that an encrypted listener took the contents of its files over again.
    certificate_reloads,
    /// Times that it could not, and went on with the old ones.
    certificate_reloads_failed,
}

/// One number that many tasks change.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) -> u64 {
        self.0.fetch_add(count, Ordering::Relaxed) + count
    }

    pub(crate) fn subtract(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::Relaxed);
    }

    pub(crate) fn raise_to(&self, value: u64) {
        self.0.fetch_max(value, Ordering::Relaxed);
    }

    pub(crate) fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Metrics {
    /// Counts discarded messages. Called from the drop ledger only.
    pub(crate) fn count_dropped(&self, reason: DropReason, count: u64) {
        self.dropped[reason.index()].add(count);
    }

    /// Counts a connection whose peer broke a rule of its transport; other read errors are just losses.
    pub(crate) fn count_broken(&self, listener: &ListenerRules, error: &std::io::Error) {
        if let Some(violation) = TransportViolation::of(error) {
            tracing::debug!(listener = &*listener.name, %error, "connection ended");
            self.count_refused(listener.scheme, violation.cause);
        }
    }

    /// Counts a connection that is closed before its first packet.
    pub(crate) fn count_entry(&self, refusal: EntryRefusal) {
        self.connections_refused.add(1);
        self.entries[refusal as usize].add(1);
    }

    /// Counts a question that nobody could answer.
    pub(crate) fn count_unanswered(&self, why: Unanswered) {
        self.unanswered[why as usize].add(1);
    }

    /// Counts a connection that its transport refused or ended.
    pub(crate) fn count_refused(&self, scheme: Scheme, cause: Cause) {
        self.refused[scheme as usize][cause as usize].add(1);
    }
}

impl MetricsSnapshot {
    /// Messages discarded for one reason.
    #[must_use]
    pub fn dropped_for(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()]
    }

    /// Connections that a transport refused or ended for one cause.
    #[must_use]
    pub fn refused_for(&self, scheme: Scheme, cause: Cause) -> u64 {
        self.refused[scheme as usize][cause as usize]
    }

    /// Connections closed before their first packet for one cause.
    #[must_use]
    pub fn entries_refused_for(&self, refusal: EntryRefusal) -> u64 {
        self.entries_refused[refusal as usize]
    }

    /// Messages discarded for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }
}
