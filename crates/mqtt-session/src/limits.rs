//! Limits, typed by direction so that the two sides' numbers cannot be mixed up.

use core::num::{NonZeroU16, NonZeroU32};

use mqtt_codec::{Connack, Connect, QoS, Version};

/// The largest packet that the standard can express, in bytes: five bytes of fixed header and
/// 268,435,455 of remaining length.
pub const PACKET_BYTES_MAX: u32 = 268_435_460;

/// What this side accepts from its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OurLimits {
    /// QoS 1 and QoS 2 messages that the peer may have under way towards us; 1 to 65,535.
    pub receive_maximum: NonZeroU16,
    /// Bytes of the largest packet that we read.
    pub maximum_packet_size_bytes: u32,
    /// Highest topic alias that the peer may use; 0 for none.
    pub topic_alias_maximum: u16,
}

impl Default for OurLimits {
    fn default() -> Self {
        Self {
            receive_maximum: NonZeroU16::MAX,
            maximum_packet_size_bytes: PACKET_BYTES_MAX,
            topic_alias_maximum: 0,
        }
    }
}

/// What the peer accepts from us.
///
/// ```
/// use mqtt_codec::{Connect, Properties, Version};
/// use mqtt_session::{PACKET_BYTES_MAX, TheirLimits};
///
/// let connect = Connect {
///     version: Version::V5,
///     clean_start: true,
///     keep_alive_s: 60,
///     properties: Properties::EMPTY,
///     client_id: "thermometer",
///     will: None,
///     username: None,
///     password: None,
/// };
/// let theirs = TheirLimits::of_client(&connect);
/// assert_eq!((theirs.receive_maximum.get(), theirs.maximum_packet_size_bytes), (65_535, PACKET_BYTES_MAX));
/// assert_eq!((theirs, theirs.topic_alias_maximum), (TheirLimits::default(), 0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TheirLimits {
    /// QoS 1 and QoS 2 messages that we may have under way towards the peer ([MQTT-3.3.4-9]).
    pub receive_maximum: NonZeroU16,
    /// Bytes of the largest packet that we may send ([MQTT-3.1.2-24]).
    pub maximum_packet_size_bytes: u32,
    /// Highest topic alias that we may use ([MQTT-3.1.2-26]).
    pub topic_alias_maximum: u16,
    /// Whether reason strings and user properties may come with any packet ([MQTT-3.1.2-29]).
    pub problem_information: bool,
}

impl Default for TheirLimits {
    fn default() -> Self {
        Self {
            receive_maximum: NonZeroU16::MAX,
            maximum_packet_size_bytes: PACKET_BYTES_MAX,
            topic_alias_maximum: 0,
            problem_information: true,
        }
    }
}

impl TheirLimits {
    /// What a client announced; the standard's defaults where it said nothing.
    #[must_use]
    pub fn of_client(connect: &Connect<'_>) -> Self {
        let properties = connect.properties;
        let standard = Self::default();
        Self {
            receive_maximum: properties.receive_maximum().unwrap_or(standard.receive_maximum),
            maximum_packet_size_bytes: size(properties.maximum_packet_size()),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            problem_information: properties.request_problem_information().unwrap_or(true),
        }
    }

    /// What a server announced; the standard's defaults where it said nothing.
    #[must_use]
    pub fn of_broker(connack: &Connack<'_>) -> Self {
        let properties = connack.properties;
        let standard = Self::default();
        Self {
            receive_maximum: properties.receive_maximum().unwrap_or(standard.receive_maximum),
            maximum_packet_size_bytes: size(properties.maximum_packet_size()),
            topic_alias_maximum: properties.topic_alias_maximum().unwrap_or(0),
            problem_information: true,
        }
    }
}

fn size(announced: Option<NonZeroU32>) -> u32 {
    announced.map_or(PACKET_BYTES_MAX, |bytes| bytes.get().min(PACKET_BYTES_MAX))
}

/// What a server offers all its clients: the source of every CONNACK.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Lowest protocol version that is admitted.
    pub version_min: Version,
    /// Highest protocol version that is admitted.
    pub version_max: Version,
    /// What clients may send us.
    pub ours: OurLimits,
    /// QoS 1 and QoS 2 messages under way towards one client at most, whatever it announced.
    pub inflight_max: NonZeroU16,
    /// Topic aliases that we assign towards one client at most, whatever it announced; 0 for none.
    pub topic_alias_assign_max: u16,
    /// Highest quality of service for publishing ([MQTT-3.2.2-9]).
    pub maximum_qos: QoS,
    /// Whether retained messages are supported ([MQTT-3.2.2-13]).
    pub retain_available: bool,
    /// Whether filters may hold wildcards.
    pub wildcard_subscription_available: bool,
    /// Whether subscriptions may have identifiers.
    pub subscription_identifiers_available: bool,
    /// Whether shared subscriptions are supported.
    pub shared_subscription_available: bool,
    /// Seconds: a longer (or no) Keep Alive is replaced by this as Server Keep Alive for MQTT 5
    /// clients ([MQTT-3.2.2-21]). Clients of 3.x cannot be told and keep their own. 0 for no maximum.
    pub keep_alive_max_s: u16,
    /// Seconds: the longest Session Expiry Interval granted; `u32::MAX` for no end.
    pub session_expiry_max_s: u32,
    /// Seconds that a session of a 3.x client with Clean Session 0 is kept without a connection.
    pub session_expiry_v3_s: u32,
    /// Bytes of the longest client identifier that is accepted; at least 23 ([MQTT-3.1.3-5]).
    pub client_id_bytes_max: u16,
    /// Whether a client may leave the choice of its identifier to us ([MQTT-3.1.3-6]).
    pub empty_client_id_allowed: bool,
    /// Start of the response topics handed to clients that ask (section 3.2.2.3.15): each is told
    /// `start/its-client-identifier`. `None` to answer with nothing.
    pub response_information: Option<Box<str>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version_min: Version::V3_1,
            version_max: Version::V5,
            ours: OurLimits {
                receive_maximum: NonZeroU16::new(1024).expect("not zero"),
                maximum_packet_size_bytes: 16 << 20,
                topic_alias_maximum: 32,
            },
            inflight_max: NonZeroU16::new(1024).expect("not zero"),
            topic_alias_assign_max: 32,
            maximum_qos: QoS::ExactlyOnce,
            retain_available: true,
            wildcard_subscription_available: true,
            subscription_identifiers_available: true,
            shared_subscription_available: true,
            keep_alive_max_s: 0,
            session_expiry_max_s: u32::MAX,
            session_expiry_v3_s: u32::MAX,
            client_id_bytes_max: 256,
            empty_client_id_allowed: true,
            response_information: None,
        }
    }
}
