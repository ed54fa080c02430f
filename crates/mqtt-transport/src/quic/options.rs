use std::time::Duration;

/// How a QUIC listener treats its connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuicOptions {
    /// Bytes of one connection that may wait in each direction: received and not read yet, sent and not acknowledged yet.
    /// Divided by the round trip time, it is the fastest a connection can be.
    pub window_bytes: u32,
    /// A connection ends after this time without a packet of the peer; the peer may ask for less. `None` leaves it to the
    /// peer and to the keep-alive of MQTT, but then a peer that vanishes and has no keep-alive is never missed.
    pub idle_timeout: Option<Duration>,
    /// Silent peers are sent a packet that they acknowledge after this time. It wakes sleeping devices.
    pub keep_alive: Option<Duration>,
    /// When a client has to show that it can be reached at its address.
    pub address_validation: AddressValidation,
}

impl Default for QuicOptions {
    fn default() -> Self {
        Self {
            window_bytes: 256 * 1024,
            // More than one and a half times the longest keep-alive of MQTT, which so always decides.
            idle_timeout: Some(Duration::from_secs(28 * 60 * 60)),
            keep_alive: None,
            address_validation: AddressValidation::WhenBusy,
        }
    }
}

/// When a client has to show that it can be reached at its address, before anything is kept for it. Takes one more round
/// trip (a Retry packet, RFC 9000 section 8.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AddressValidation {
    /// While at least half of the handshakes that may be under way are.
    WhenBusy,
    /// Each time.
    Always,
}

/// How a client uses QUIC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuicClientOptions {
    /// As in [`QuicOptions`].
    pub window_bytes: u32,
    /// As in [`QuicOptions`].
    pub idle_timeout: Option<Duration>,
    /// As in [`QuicOptions`]. Home routers forget a silent UDP client within half a minute, and then the server cannot
    /// reach it any more.
    pub keep_alive: Option<Duration>,
}

impl Default for QuicClientOptions {
    fn default() -> Self {
        Self {
            window_bytes: 256 * 1024,
            idle_timeout: Some(Duration::from_secs(75)),
            keep_alive: Some(Duration::from_secs(25)),
        }
    }
}
