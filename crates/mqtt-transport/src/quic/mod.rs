//! QUIC (RFC 9000): the client opens one stream in both directions, which carries what TCP would carry.

mod options;

#[cfg(feature = "quic")]
mod bounds;
#[cfg(feature = "quic")]
mod client;
#[cfg(feature = "quic")]
mod failure;
#[cfg(feature = "quic")]
mod listener;
#[cfg(feature = "quic")]
mod stream;

#[cfg(not(feature = "quic"))]
mod absent;

#[cfg(not(feature = "quic"))]
pub(crate) use absent::{QuicClient, QuicIncoming, QuicListener};
#[cfg(feature = "quic")]
pub(crate) use client::QuicClient;
#[cfg(feature = "quic")]
pub(crate) use listener::{QuicIncoming, QuicListener};
pub use options::{AddressValidation, QuicClientOptions, QuicOptions};

/// What both ends must agree on (ALPN).
#[cfg(feature = "quic")]
const PROTOCOL: &[u8] = b"mqtt";
