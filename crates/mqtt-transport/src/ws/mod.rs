//! MQTT inside WebSocket, section 6 of the standard.

mod handshake;
mod stream;

pub use handshake::{HEAD_BYTES_MAX, Refusal};
pub use stream::WsStream;

use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

/// How MQTT is carried inside WebSocket. More fields may come: build it with `..WsOptions::default()`.
#[derive(Debug, Clone)]
pub struct WsOptions {
    /// Path a client must ask for; compared without the query.
    pub path: String,
    /// Largest WebSocket message accepted, in bytes, however many frames it has. Most clients put a whole packet into one
    /// message, so it should not be below the largest packet. A longer one is answered with close code 1009.
    pub message_bytes_max: usize,
}

impl Default for WsOptions {
    fn default() -> Self {
        Self { path: "/mqtt".to_owned(), message_bytes_max: 16 * 1024 * 1024 }
    }
}

impl WsOptions {
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            // Every message goes to the socket at once; the frame writer has coalesced already.
            .write_buffer_size(0)
            .max_write_buffer_size(2 * MESSAGE_BYTES_OUT)
            .max_message_size(Some(self.message_bytes_max))
            .max_frame_size(Some(self.message_bytes_max))
    }
}

/// Held by every WebSocket connection, so small.
const READ_BUFFER_BYTES: usize = 4 * 1024;

/// Largest message written. The library keeps a buffer of this size once it was needed.
const MESSAGE_BYTES_OUT: usize = 16 * 1024;

/// The subprotocol of the standard, and the one clients of MQTT 3.1 ask for; in the order of preference.
const SUBPROTOCOLS: [&str; 2] = ["mqtt", "mqttv3.1"];
