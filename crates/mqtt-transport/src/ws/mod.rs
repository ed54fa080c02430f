//! MQTT inside WebSocket, section 6 of the standard.

mod decoder;
mod encoder;
mod forwarded;
mod handshake;
mod stream;

use ipnet::IpNet;

pub use handshake::{HEAD_BYTES_MAX, Refusal, websocket_accept};
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

/// The subprotocol of the standard, and the one clients of MQTT 3.1 ask for; in the order of preference.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];

/// Which end of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Its frames are not masked, those it receives are.
    Broker,
    /// The other way round.
    Client,
}

/// Why a connection is closed (RFC 6455, section 7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CloseCode {
    Normal = 1000,
    Protocol = 1002,
    Unsupported = 1003,
    TooLarge = 1009,
}

const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// XORs with the mask, which begins at its byte `phase`.
fn mask_with(bytes: &mut [u8], mask: [u8; 4], phase: usize) {
    let turned: [u8; 8] = std::array::from_fn(|index| mask[(phase + index) % 4]);
    let wide = u64::from_ne_bytes(turned);
    let (chunks, rest) = bytes.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(turned) {
        *byte ^= mask;
    }
}
