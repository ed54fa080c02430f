//! What both ends set up alike.

use std::io;
use std::time::Duration;

use quinn::{IdleTimeout, TransportConfig, VarInt};
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// One stream, no datagrams, and no more memory than the window says.
pub(super) fn transport(
    window_bytes: u32,
    idle_timeout: Option<Duration>,
    keep_alive: Option<Duration>,
) -> io::Result<TransportConfig> {
    let mut config = TransportConfig::default();
    let idle_timeout = idle_timeout.map(IdleTimeout::try_from).transpose().map_err(io::Error::other)?;
    config.max_idle_timeout(idle_timeout).keep_alive_interval(keep_alive);
    let window = VarInt::from_u32(window_bytes);
    config.stream_receive_window(window).receive_window(window).send_window(window_bytes.into());
    config.max_concurrent_bidi_streams(VarInt::from_u32(0)).max_concurrent_uni_streams(VarInt::from_u32(0));
    config.datagram_receive_buffer_size(None).datagram_send_buffer_size(0);
    Ok(config)
}

/// The first packets are always sealed with one cipher suite, whichever were chosen for the rest.
pub(super) fn initial_suite() -> rustls::quic::Suite {
    let suite = TLS13_AES_128_GCM_SHA256.tls13().and_then(rustls::Tls13CipherSuite::quic_suite);
    suite.expect("aws-lc-rs has what QUIC needs")
}
