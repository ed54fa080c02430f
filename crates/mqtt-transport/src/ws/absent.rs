//! What stands for WebSocket in a build without it: the attempt to use it says so.

use std::io;
use std::net::{IpAddr, SocketAddr};

use super::WsOptions;
use crate::arrival::HandshakeError;
use crate::connection::{Connection, Stream};
use crate::url::Url;

/// Whether this build has WebSocket.
pub(crate) fn check() -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this build has no WebSocket"))
}

pub(crate) async fn accept(
    _: impl Stream + 'static,
    _: &WsOptions,
    _: Option<IpAddr>,
) -> Result<(Connection, Option<SocketAddr>), HandshakeError> {
    unreachable!("nobody listens without the check")
}

pub(crate) async fn connect(_: impl Stream + 'static, _: &Url, _: &WsOptions) -> io::Result<Connection> {
    unreachable!("nobody connects without the check")
}
