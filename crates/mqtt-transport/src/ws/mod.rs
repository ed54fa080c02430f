//! MQTT inside WebSocket, section 6 of the standard.

mod refusal;

#[cfg(feature = "ws")]
mod decoder;
#[cfg(feature = "ws")]
mod encoder;
#[cfg(feature = "ws")]
mod forwarded;
#[cfg(feature = "ws")]
mod frame;
#[cfg(feature = "ws")]
mod handshake;
#[cfg(feature = "ws")]
mod open;
#[cfg(feature = "ws")]
mod stream;

#[cfg(not(feature = "ws"))]
#[path = "absent.rs"]
mod open;

use ipnet::IpNet;

#[cfg(feature = "ws")]
use frame::{BINARY, CLOSE, CloseCode, PING, PONG, Role, mask_with};
#[cfg(feature = "ws")]
pub use handshake::{HEAD_BYTES_MAX, websocket_accept};
pub(crate) use open::{accept, check, connect};
pub use refusal::Refusal;
#[cfg(feature = "ws")]
pub use stream::WsStream;

/// How MQTT is carried inside WebSocket. More fields may come: build it with `..WsOptions::default()`.
#[derive(Debug, Clone)]
pub struct WsOptions {
    /// Path a client must ask for; compared without the query.
    pub path: String,
    /// Largest WebSocket message accepted, in bytes, however many frames it has. No memory is kept for it: what arrives is
    /// handed on at once. A longer one is answered with close code 1009.
    pub message_bytes_max: u64,
    /// Origins, such as `https://example.org`, of the pages that may connect. Empty for all. Clients that are no browsers
    /// send none and are not affected.
    pub origins: Vec<String>,
    /// Proxies whose `Forwarded` or `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
}

impl Default for WsOptions {
    fn default() -> Self {
        Self {
            path: "/mqtt".to_owned(),
            message_bytes_max: MQTT_PACKET_BYTES_MAX,
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

/// The largest packet that MQTT has: most clients put a whole one into a message.
const MQTT_PACKET_BYTES_MAX: u64 = 268_435_460;
