#![doc = include_str!("../README.md")]

mod arrival;
mod certificate;
mod close;
mod connect;
mod connection;
mod listener;
mod open;
mod proxy;
mod quic;
mod reader;
mod scratch;
mod socket;
mod tls;
mod url;
mod writer;
mod ws;

pub use arrival::{Arrival, Cause, HandshakeError, TransportViolation};
pub use certificate::{Certificate, CertificateField};
pub use close::{CloseOutcome, DRAIN_BYTES_MAX, close_gracefully};
pub use connect::{ConnectOptions, Connector, connect};
pub use connection::{BoxStream, Connection, Stream};
pub use listener::{Incoming, Listener, ListenerOptions};
pub use open::OpenSocket;
pub use proxy::{ProxyHeader, parse_proxy_header};
pub use quic::{AddressValidation, QuicClientOptions, QuicOptions};
pub use reader::{Burst, FrameReader, ReadError};
pub use socket::SocketOptions;
pub use tls::{
    CertificateExpiry, CertificateFiles, ClientCertificates, PreparedTls, Reloaded, TlsClientOptions,
    TlsOptions, TlsServer, TlsVersion,
};
pub use url::{Scheme, Url, UrlError, UrlProblem};
pub use writer::{CHAIN_BYTES_MIN, FrameWriter};
#[cfg(feature = "ws")]
pub use ws::{HEAD_BYTES_MAX, WsStream, websocket_accept};
pub use ws::{Refusal, WsOptions};
