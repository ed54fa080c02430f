//! What an embedder or an operator chooses: typed values with the standard's or a stated default.

use std::time::Duration;

use mqtt_session::Policy;
use mqtt_store::{Durability, QueueLimits, RetainedLimits};
use mqtt_topic::TopicFilter;

use crate::connection::Rates;

/// Everything that a broker can be told, apart from its listeners and hooks.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What every CONNACK announces and every connection obeys.
    pub policy: Policy,
    /// Bounds on connections and on what a connection may hold.
    pub limits: Limits,
    /// Bounds on the messages that wait for one session, connected or not.
    pub queue: QueueLimits,
    /// Bounds on retained messages.
    pub retained: RetainedLimits,
    /// How a member of a shared subscription is chosen.
    pub shared_strategy: SharedStrategy,
    /// The few rules on topics that need no user: more come through [`Access`](crate::Access).
    pub topics: TopicRules,
    /// The `$SYS` tree.
    pub sys: SysSettings,
    /// Time between two looks at the files of TLS listeners, which are read again when they have changed; `None` to look
    /// only when asked to.
    pub certificate_check_interval: Option<Duration>,
    /// What acknowledgements promise, with a store that outlives the process.
    pub durability: DurabilityRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            policy: Default::default(),
            limits: Default::default(),
            queue: Default::default(),
            retained: Default::default(),
            shared_strategy: Default::default(),
            topics: Default::default(),
            sys: Default::default(),
            durability: Default::default(),
            certificate_check_interval: Some(Duration::from_secs(10)),
        }
    }
}

/// Bounds that are not part of the protocol's own negotiation.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time, over all listeners; one more is closed without a word.
    pub connections_max: usize,
    /// Sessions of clients that are away; at this number, a session ends with its connection.
    pub parked_sessions_max: usize,
    /// Time from the accepted socket to a complete CONNECT, the transport's handshake included.
    pub connect_timeout: Duration,
    /// Bytes of the largest packet before a connection is admitted: that is, of the CONNECT.
    pub connect_bytes_max: u32,
    /// Bytes that may wait for one connected client before its publishers are slowed down. They are slowed
    /// down in any case when its queue is half full.
    pub outbox_bytes_high: usize,
    /// Time that a client may keep its publishers waiting without taking anything, be it a few bytes or an
    /// acknowledgement that makes room for the next message. After that QoS 0 messages to it are dropped, and
    /// QoS 1 and 2 fill its queue, until it has caught up.
    pub stall_timeout: Duration,
    /// Subscriptions of one session.
    pub subscriptions_max: usize,
    /// Levels of a topic name or filter.
    pub topic_levels_max: usize,
    /// Bytes of a topic name or filter; at most 65,535.
    pub topic_bytes_max: usize,
    /// Whether QoS 0 messages wait for a client that is away.
    pub queue_qos0_offline: bool,
    /// Connections of one address, or of one IPv6 /64; 0 for no limit.
    pub connections_per_address_max: usize,
    /// Connections of one user name; 0 for no limit.
    pub connections_per_user_max: usize,
    /// Connections accepted in a second, over all listeners; 0 for no limit.
    pub connects_per_second_max: u32,
    /// Connections accepted in a second from one address; 0 for no limit.
    pub connects_per_address_per_second_max: u32,
    /// Connections that have not been admitted yet; 0 for no limit.
    pub handshakes_max: usize,
    /// Bytes that all connections together may have sent of packets before they are admitted, the first 1,024 of each
    /// not counted; 0 for no limit.
    pub handshake_bytes_max: usize,
    /// PUBLISH packets in a second that are read from one client; 0 for no limit. A faster one is not read from for
    /// a while.
    pub messages_per_second_max: u32,
    /// Bytes of PUBLISH packets in a second that are read from one client; 0 for no limit.
    pub publish_bytes_per_second_max: u32,
    /// Bytes of the payload of a message. A larger one is refused with 0x97 and dropped.
    pub payload_bytes_max: usize,
    /// Time that a connection may last; then it is ended with reason 0xA0. `None` for no end.
    pub connection_lifetime: Option<Duration>,
    /// Bytes of memory of the whole process above which new connections, subscriptions and retained messages are
    /// refused; 0 for no budget. Needs Linux.
    pub memory_bytes_max: u64,
    /// Time that a client gets to read the last packet (a DISCONNECT) before its socket is closed.
    pub linger: Duration,
    /// Time that a shutdown waits for connections to end.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_max: 1_000_000,
            parked_sessions_max: 1_000_000,
            connect_timeout: Duration::from_secs(10),
            connect_bytes_max: 256 << 10,
            outbox_bytes_high: 1 << 20,
            stall_timeout: Duration::from_secs(10),
            subscriptions_max: 100_000,
            topic_levels_max: 128,
            topic_bytes_max: 65_535,
            queue_qos0_offline: false,
            connections_per_address_max: 0,
            connections_per_user_max: 0,
            connects_per_second_max: 0,
            connects_per_address_per_second_max: 0,
            handshakes_max: 20_000,
            handshake_bytes_max: 64 << 20,
            messages_per_second_max: 0,
            publish_bytes_per_second_max: 0,
            payload_bytes_max: 268_435_455,
            connection_lifetime: None,
            memory_bytes_max: 0,
            linger: Duration::from_secs(1),
            shutdown_timeout: Duration::from_secs(5),
        }
    }
}

impl Limits {
    pub(crate) fn rates(&self) -> Rates {
        Rates {
            messages_per_second: self.messages_per_second_max,
            bytes_per_second: self.publish_bytes_per_second_max,
        }
    }
}

/// How one member of a shared subscription is chosen for a message (section 4.8.2). Members that are
/// connected are preferred in every strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SharedStrategy {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Any, evenly.
    Random,
    /// The same member until it leaves.
    Sticky,
    /// The same member for all messages of one publisher.
    HashClient,
    /// The same member for all messages on one topic.
    HashTopic,
}

/// Rules on topics that hold for every client.
#[derive(Clone, Debug)]
pub struct TopicRules {
    /// Filters that nobody may subscribe to, compared by their whole text.
    pub subscribe_denied: Vec<TopicFilter>,
    /// Whether a refused SUBSCRIBE tells the reason (0x87, 0x8F, 0x97 ...). If not, it says 0x80.
    pub denial_reveals_reason: bool,
}

impl Default for TopicRules {
    fn default() -> Self {
        Self { subscribe_denied: Vec::new(), denial_reveals_reason: true }
    }
}

/// What the acknowledgement of a message promises, by topic.
#[derive(Clone, Debug, Default)]
pub struct DurabilityRules {
    /// Where no rule matches.
    pub default: Durability,
    /// The first filter that matches decides.
    pub rules: Vec<(TopicFilter, Durability)>,
}

impl DurabilityRules {
    /// The most that any topic is promised.
    pub(crate) fn strictest(&self) -> Durability {
        self.rules.iter().map(|(_, durability)| *durability).fold(self.default, Durability::max)
    }
}

/// The `$SYS` tree: the broker's own figures as retained messages.
#[derive(Clone, Debug)]
pub struct SysSettings {
    /// Time between two publications; `None` to publish nothing.
    pub interval: Option<Duration>,
}

impl Default for SysSettings {
    fn default() -> Self {
        Self { interval: Some(Duration::from_secs(10)) }
    }
}
