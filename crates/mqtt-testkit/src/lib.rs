//! Test helpers for the workspace: a raw wire peer, packet builders, golden packets.
//!
//! [`Peer`] speaks MQTT byte by byte over any stream, so that a test can be as rude as it likes: it sends
//! packets from builders such as [`connect()`] as well as bytes that no encoder would write, and it reads
//! back what the other side sends, with a deadline and with failures that show the whole conversation.
//!
//! Nothing here knows a broker or a client; the crate is a development dependency only.
//!
//! ```
//! use mqtt_testkit::{Peer, connect, pipe};
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let (near, far) = pipe();
//! let mut client = Peer::new("client", near);
//! let mut server = Peer::new("server", far);
//! client.send(connect("c1").keep_alive_s(30)).await;
//! let seen = server.expect_packet().await;
//! assert_eq!(seen.bytes()[0], 0x10);
//! # }
//! ```

#[cfg(feature = "tls")]
mod authority;
mod build;
mod golden;
#[cfg(feature = "http")]
mod http;
mod peer;
mod peer_flows;
#[cfg(test)]
mod peer_tests;
mod raw;
mod received;
mod wire;

#[cfg(feature = "tls")]
pub use authority::{Authority, Issued};
pub use build::{
    AckBuilder, AuthBuilder, ConnectBuilder, DisconnectBuilder, PublishBuilder, SubscribeBuilder,
    UnsubscribeBuilder, WillBuilder, auth, connect, disconnect, pingreq, puback, pubcomp, publish, pubrec,
    pubrel, subscribe, unsubscribe, will,
};
pub use golden::{GOLDEN, Golden, MALFORMED, Malformed};
#[cfg(feature = "http")]
pub use http::{HttpAnswer, HttpService};
pub use peer::{DEADLINE, IDLE, PIPE_BYTES, Peer, pipe};
pub use raw::{RawPacket, raw};
pub use received::{
    ReceivedAck, ReceivedAuth, ReceivedConnack, ReceivedDisconnect, ReceivedPacket, ReceivedPublish,
    ReceivedSuback,
};
pub use wire::ToWire;
