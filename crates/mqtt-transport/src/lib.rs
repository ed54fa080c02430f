#![doc = include_str!("../README.md")]

mod certificate;
mod close;
mod connect;
mod connection;
mod listener;
mod reader;
mod scratch;
mod url;
mod writer;
mod ws;

pub use certificate::{Certificate, CertificateField};
pub use close::{CloseOutcome, DRAIN_BYTES_MAX, close_gracefully};
pub use connect::connect;
pub use connection::{BoxStream, Connection, Stream};
pub use listener::{Incoming, Listener, ListenerOptions};
pub use reader::{Burst, FrameReader, ReadError};
pub use url::{Url, UrlError, UrlProblem};
pub use writer::{CHAIN_BYTES_MIN, FrameWriter};
pub use ws::{HEAD_BYTES_MAX, HandshakeError, Refusal, WsOptions, WsStream};
