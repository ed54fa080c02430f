//! Why a message that was published did not reach a receiver.

/// Why a delivery was discarded. Each discarded delivery is counted under exactly one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Its Message Expiry Interval passed while it was queued ([MQTT-3.3.2-5]).
    Expired,
    /// It is larger than the receiver's Maximum Packet Size ([MQTT-3.1.2-25]).
    TooLargeForReceiver,
    /// The receiver's queue holds as many messages as it may.
    QueueFullMessages,
    /// The receiver's queue holds as many bytes as it may.
    QueueFullBytes,
    /// QoS 0, and the receiver is not connected.
    ReceiverOffline,
    /// QoS 0, and the receiver has not read for longer than its stall time.
    ReceiverStalled,
    /// The receiver's session ended while the message was queued.
    SessionEnded,
    /// Its publisher may not publish to this topic.
    PublishNotAuthorized,
    /// Nobody could say whether its publisher may publish it.
    PublishUndecided,
    /// Its receiver may not get it: access rules on the topic, its QoS or its RETAIN flag.
    ReceiveNotAuthorized,
    /// It lies outside the part of the topic tree that the receiver sees, so that it has no name for it.
    OutsideMountpoint,
    /// Its payload is larger than a publisher may send.
    PayloadTooLarge,
    /// The retained set holds as many messages or bytes as it may.
    RetainedFull,
    /// The receiver answered with an error ([MQTT-4.8.2-6] for shared subscriptions).
    RefusedByReceiver,
    /// The broker stopped.
    Shutdown,
    /// Its body was in a store, and could not be read back.
    Unreadable,
}

impl DropReason {
    /// All reasons, in the order of [`index`](Self::index).
    pub const ALL: [Self; 16] = [
        Self::Expired,
        Self::TooLargeForReceiver,
        Self::QueueFullMessages,
        Self::QueueFullBytes,
        Self::ReceiverOffline,
        Self::ReceiverStalled,
        Self::SessionEnded,
        Self::PublishNotAuthorized,
        Self::PublishUndecided,
        Self::ReceiveNotAuthorized,
        Self::OutsideMountpoint,
        Self::PayloadTooLarge,
        Self::RetainedFull,
        Self::RefusedByReceiver,
        Self::Shutdown,
        Self::Unreadable,
    ];

    /// Position in [`ALL`](Self::ALL), for counters by reason.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The name under which it is counted, in words with underscores.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::TooLargeForReceiver => "too_large_for_receiver",
            Self::QueueFullMessages => "queue_full_messages",
            Self::QueueFullBytes => "queue_full_bytes",
            Self::ReceiverOffline => "receiver_offline",
            Self::ReceiverStalled => "receiver_stalled",
            Self::SessionEnded => "session_ended",
            Self::PublishNotAuthorized => "publish_not_authorized",
            Self::PublishUndecided => "publish_undecided",
            Self::ReceiveNotAuthorized => "receive_not_authorized",
            Self::OutsideMountpoint => "outside_mountpoint",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RetainedFull => "retained_full",
            Self::RefusedByReceiver => "refused_by_receiver",
            Self::Shutdown => "shutdown",
            Self::Unreadable => "unreadable",
        }
    }
}
